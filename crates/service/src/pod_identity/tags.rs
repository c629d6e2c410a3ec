//! Tags of associations. Policies ask about them, so each key means one thing, and what cannot be seen in a list is refused.

use std::collections::BTreeMap;

use domain::{Error, Result};

/// The most tags that one thing has.
const MOST: usize = 20;
const KEY_LENGTH: usize = 128;
const VALUE_LENGTH: usize = 255;
/// How keys begin that only the server gives.
const RESERVED: &str = "_sys_";

/// Tags by their keys.
///
/// # Errors
/// `Invalid` naming the first tag that breaks a rule.
pub(super) fn checked(tags: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    if tags.len() > MOST {
        return Err(Error::invalid("tags", format!("must be at most {MOST}, not {}", tags.len())));
    }
    let mut known = BTreeMap::new();
    for (place, (key, value)) in tags.iter().enumerate() {
        check_key(&format!("tags[{place}].key"), key)?;
        check_value(&format!("tags[{place}].value"), value)?;
        if known.insert(key.clone(), value.clone()).is_some() {
            let message = format!("must be unique: `{key}` is there twice");
            return Err(Error::invalid(&format!("tags[{place}].key"), message));
        }
    }
    Ok(known)
}

fn check_key(field: &str, key: &str) -> Result<()> {
    if key.is_empty() || key.chars().count() > KEY_LENGTH {
        return Err(Error::invalid(field, format!("must be 1 to {KEY_LENGTH} characters")));
    }
    if key.starts_with(is_space) || key.ends_with(is_space) {
        return Err(Error::invalid(field, "must not begin or end with a space"));
    }
    if key.starts_with(RESERVED) {
        return Err(Error::invalid(field, format!("must not begin with `{RESERVED}`")));
    }
    match key.chars().all(|c| is_letter(c) || "_.:=+-@".contains(c)) {
        true => Ok(()),
        false => Err(Error::invalid(field, "must be letters, digits, spaces or `_ . : = + - @`")),
    }
}

fn check_value(field: &str, value: &str) -> Result<()> {
    if value.chars().count() > VALUE_LENGTH {
        return Err(Error::invalid(field, format!("must be at most {VALUE_LENGTH} characters")));
    }
    match value.chars().all(|c| is_letter(c) || "_.:/=+-@".contains(c)) {
        true => Ok(()),
        false => Err(Error::invalid(field, "must be letters, digits, spaces or `_ . : / = + - @`")),
    }
}

/// Spaces of every script; neither tabs nor line breaks.
fn is_space(c: char) -> bool {
    c.is_whitespace() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// Letters, digits and spaces of every script, with the marks that scripts write around their letters. Those without a
/// width of their own that are not part of a script (joiners, directions) are not among them.
fn is_letter(c: char) -> bool {
    (c.is_alphanumeric() && !is_blank(c)) || is_space(c) || is_mark(c)
}

/// Letters that nothing is drawn for: the fillers of Korean syllables.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

/// Marks that are not letters by themselves: combining diacritics, and the signs of Indic and South-East Asian scripts
/// that take a vowel away.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036f}' | '\u{0483}'..='\u{0487}' | '\u{0591}'..='\u{05bd}' | '\u{064b}'..='\u{0652}'
        | '\u{093c}' | '\u{094d}' | '\u{09bc}' | '\u{09cd}' | '\u{0a3c}' | '\u{0a4d}' | '\u{0abc}' | '\u{0acd}'
        | '\u{0b3c}' | '\u{0b4d}' | '\u{0bcd}' | '\u{0c4d}' | '\u{0cbc}' | '\u{0ccd}' | '\u{0d4d}' | '\u{0dca}'
        | '\u{0e47}'..='\u{0e4e}' | '\u{0eb8}'..='\u{0ecd}' | '\u{0f39}' | '\u{0f84}' | '\u{1037}'
        | '\u{1039}'..='\u{103a}' | '\u{17c6}'..='\u{17d3}' | '\u{3099}'..='\u{309a}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(key: &str, value: &str) -> Option<String> {
        let error = checked(&[(key.to_owned(), value.to_owned())]).err()?;
        error.field().map(str::to_owned)
    }

    #[test]
    fn letters_digits_and_spaces_of_every_script_and_some_signs_are_taken() {
        for key in [
            "k",
            "团队",
            "команда",
            "टीम हिन्दी",
            "ทีมที่",
            "a b",
            "a\u{3000}b",
            "_.:=+-@",
            "e\u{301}",
            "sys_",
            &"ü".repeat(128),
        ] {
            assert_eq!(refused(key, ""), None, "{key}");
        }
        for value in ["", " ", "a/b", "_.:/=+-@", "값", &"ü".repeat(255)] {
            assert_eq!(refused("k", value), None, "{value}");
        }
    }

    #[test]
    fn what_is_empty_too_long_reserved_or_cannot_be_seen_is_refused() {
        let long = "k".repeat(129);
        for key in [
            "",
            " k",
            "k ",
            "\u{a0}k",
            "_sys_",
            "_sys_k",
            "a/b",
            "a\tb",
            "a\nb",
            "a\0",
            "a\u{200b}b",
            "a\u{202e}",
            "a\u{3164}",
            "a\u{ffa0}",
            "\u{115f}a",
            "a\u{1160}",
            "k*",
            "🙂",
            &long,
        ] {
            assert_eq!(refused(key, "").as_deref(), Some("tags[0].key"), "{key:?}");
        }
        let long = "v".repeat(256);
        for value in ["a\nb", "a\u{2028}", "\0", "a\u{200d}", "a,b", "🙂", &long] {
            assert_eq!(refused("k", value).as_deref(), Some("tags[0].value"), "{value:?}");
        }
    }

    #[test]
    fn a_key_is_there_once_and_twenty_are_enough() {
        let tags =
            |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), "v".to_owned())).collect::<Vec<_>>();
        assert_eq!(checked(&tags(&["a", "b", "a"])).unwrap_err().field(), Some("tags[2].key"));
        assert_eq!(checked(&tags(&["a", "A"])).unwrap().len(), 2);
        let many: Vec<String> = (0..21).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(checked(&tags(&many)).unwrap_err().field(), Some("tags"));
        assert!(checked(&tags(many.split_last().unwrap().1)).is_ok());
    }
}
