//! Namespace names: DNS labels.

use std::borrow::Borrow;
use std::fmt;

use crate::{Error, Result};

/// The name of a Kubernetes namespace: 1 to 63 of `a-z 0-9 -`, not beginning or ending with `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

impl Namespace {
    /// Accepts a namespace's name.
    ///
    /// # Errors
    /// `Invalid` naming `field` if it is not a DNS label.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let valid = (1..=63).contains(&text.len())
            && text.bytes().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if !valid {
            return Err(Error::invalid(
                field,
                "must be DNS labels: 1 to 63 lowercase letters, digits or `-`, not beginning or ending with `-`",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Takes a name that was checked before it was stored, or that an API server gave.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Namespace {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dns_labels_are_namespaces() {
        for good in ["a", "kube-system", "0", &"x".repeat(63)] {
            assert!(Namespace::parse("f", good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "*", "a/b", "ä", &"x".repeat(64)] {
            assert!(Namespace::parse("f", bad).is_err(), "{bad}");
        }
    }
}
