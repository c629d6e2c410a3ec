//! Pod identity: which agency the pods of a service account act as, without a secret of their own.

use std::collections::BTreeMap;
use std::fmt;

use crate::{AccountId, AssociationId, ClusterId, Error, Namespace, PrincipalId, Result, Timestamp};

/// The name of a service account: 1 to 253 of `a-z 0-9 - .`, each part between dots beginning and ending with a letter or
/// digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAccountName(String);

impl ServiceAccountName {
    /// Accepts a service account's name.
    ///
    /// # Errors
    /// `Invalid` naming `field` if it is not a DNS subdomain.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
        };
        if text.len() > 253 || !text.split('.').all(part) {
            let message = "must be a DNS subdomain: 1 to 253 lowercase letters, digits, `-` or `.`, each part between dots \
                           beginning and ending with a letter or digit";
            return Err(Error::invalid(field, message));
        }
        Ok(Self(text.to_owned()))
    }

    /// Takes a name that was checked before it was stored.
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

impl fmt::Display for ServiceAccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pod identity association: pods of that service account, in that cluster, act as that agency. There is at most one
/// for a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// Its id.
    pub id: AssociationId,
    /// The tenant.
    pub account: AccountId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The service account's namespace.
    pub namespace: Namespace,
    /// The service account.
    pub service_account: ServiceAccountName,
    /// The agency: that very one, and not another that gets its name later.
    pub agency: PrincipalId,
    /// Tags, which policies may ask about.
    pub tags: BTreeMap<String, String>,
    /// How often it was changed: what agents keep is good for one number.
    pub epoch: i64,
    /// How often everything was ended that had been vended by it.
    pub ended: i64,
    /// The account's revision when it was last changed.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_service_accounts_are_subdomains() {
        for good in ["default", "a", "a.b-c.d0", &"a".repeat(253)] {
            assert!(ServiceAccountName::parse("serviceAccount", good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a_b", "a..b", ".a", "a.", "-a", "a-", "a/b", "é", &"a".repeat(254)] {
            assert!(ServiceAccountName::parse("serviceAccount", bad).is_err(), "{bad}");
        }
    }
}
