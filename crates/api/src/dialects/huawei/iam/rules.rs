//! The vendor's rules for names, passwords and notes, where they are narrower than ours. They hold for what is written
//! through this interface; what was made through another is shown as it is.

use domain::{Error, Result, Secret};

use crate::json::Object;

/// A user's name: 1 to 64 letters, digits, spaces and `- _ .`, the first no digit.
pub(super) fn user_name(field: &str, name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " -_.".contains(c);
    let begins_well = !name.starts_with(|c: char| c.is_ascii_digit());
    if (1..=64).contains(&name.len()) && begins_well && name.chars().all(allowed) {
        return Ok(());
    }
    let rule = "must be 1 to 64 letters, digits, spaces or `- _ .`, and not begin with a digit";
    Err(Error::invalid(field, rule))
}

/// An agency's name: 1 to 64 letters, digits and `_ + = , . @ -`.
pub(super) fn agency_name(field: &str, name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::invalid(field, "must be 1 to 64 letters, digits or `_ + = , . @ -`"))
}

/// A note of at most so many characters.
pub(super) fn description(field: &str, text: &str, most: usize) -> Result<()> {
    if text.chars().count() <= most {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must be at most {most} characters")))
}

/// A password: two of the four kinds of characters. Its length is a rule of the whole server.
pub(super) fn password(field: &str, password: &Secret) -> Result<()> {
    let text = password.expose();
    let kinds: [fn(char) -> bool; 4] = [
        |c| c.is_ascii_uppercase(),
        |c| c.is_ascii_lowercase(),
        |c| c.is_ascii_digit(),
        |c| !c.is_ascii_alphanumeric(),
    ];
    if kinds.iter().filter(|kind| text.chars().any(kind)).count() >= 2 {
        return Ok(());
    }
    let rule = "must hold two of: upper-case letters, lower-case letters, digits, other characters";
    Err(Error::invalid(field, rule))
}

/// The account that a body names, which can only be the caller's.
pub(super) fn own_account(body: &mut Object, field: &str, account: &domain::AccountId) -> Result<()> {
    match body.optional_text("domain_id")? {
        Some(named) if named != account.as_str() => Err(Error::invalid(field, "is not your account")),
        Some(_) | None => Ok(()),
    }
}

/// The failure with its field spelled as in this interface: inside the object that the body consists of.
pub(super) fn inside(object: &'static str) -> impl Fn(Error) -> Error {
    move |error| match error.field() {
        Some(field) if !field.starts_with(object) => {
            let spelled = format!("{object}.{field}");
            error.at_field(&spelled)
        }
        Some(_) | None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_follow_the_vendors_rules() {
        for good in ["a", "Ada Lovelace", "x-_.9", &"x".repeat(64)] {
            assert!(user_name("f", good).is_ok(), "{good}");
        }
        for bad in ["", "9a", "a@b", "a/b", "ä", &"x".repeat(65)] {
            assert!(user_name("f", bad).is_err(), "{bad}");
        }
        for good in ["a", "9", "a_+=,.@-b"] {
            assert!(agency_name("f", good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", &"x".repeat(65)] {
            assert!(agency_name("f", bad).is_err(), "{bad}");
        }
        for (text, good) in [("aaaaaaaa", false), ("aaaaaaa1", true), ("AAAAaaaa", true), ("1111 111", true)]
        {
            assert_eq!(password("f", &Secret::new(text.into())).is_ok(), good, "{text}");
        }
        assert!(description("f", &"描".repeat(255), 255).is_ok());
        assert!(description("f", &"x".repeat(256), 255).is_err());
    }
}
