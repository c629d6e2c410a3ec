//! Rules for the names that people give.

use domain::{Error, PrincipalKind, Result};

/// The name of an account, project, user, group or agency: 1 to 128 letters, digits, space and `- _ . @ +`,
/// without space at either end. It appears in URLs, logs and tables, hence no control characters and no slash.
pub(crate) fn check(field: &str, name: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || " -_.@+".contains(c);
    let valid = !name.is_empty() && name.len() <= 128 && name.trim() == name && name.chars().all(allowed);
    if valid && name != "." && name != ".." {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        "must be 1 to 128 bytes of letters, digits, space or `- _ . @ +`, without space at either end",
    ))
}

/// The name of a principal: that of an agency may also hold `=` and `,`.
pub(crate) fn check_of(kind: PrincipalKind, field: &str, name: &str) -> Result<()> {
    match kind {
        PrincipalKind::User | PrincipalKind::Group => check(field, name),
        PrincipalKind::Agency => check(field, &name.replace(['=', ','], "-")),
    }
}

/// Free text that is stored and shown: at most `max` bytes and no control characters.
pub(crate) fn check_text(field: &str, text: &str, max: usize) -> Result<()> {
    if text.len() <= max && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must be at most {max} bytes without control characters")))
}

/// A label of a cluster: key and value as Kubernetes has them, without the prefix rules.
pub(crate) fn check_label(field: &str, key: &str, value: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let key_valid = (1..=253).contains(&key.len()) && key.chars().all(allowed);
    let value_valid = value.len() <= 63 && value.chars().all(|c| allowed(c) && c != '/');
    if key_valid && value_valid {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        "must have keys of 1 to 253 and values of at most 63 letters, digits or `- _ .` (keys also `/`)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_url_or_a_table_are_refused() {
        for good in ["a", "Ada Lovelace", "ci+bot@example.org", "eu-west-101", "müller"] {
            assert!(check("name", good).is_ok(), "{good}");
        }
        for bad in ["", " a", "a ", "a/b", "a\nb", "a\0", "..", "<b>", &"x".repeat(129)] {
            assert!(check("name", bad).is_err(), "{bad:?}");
        }
    }
}
