//! Text from elsewhere made harmless for a terminal.

use std::fmt::Write;

/// The text with everything visible kept and everything that steers a terminal or a reader's eye spelled out:
/// control characters, line breaks, invisible and direction-changing characters.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            hidden if steers(hidden) => {
                // Writing to a `String` cannot fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(hidden));
            }
            visible => safe.push(visible),
        }
    }
    safe
}

fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_steers_is_spelled_out() {
        for (raw, safe) in [
            ("Grüße 你好 `x`", "Grüße 你好 `x`"),
            ("a\nb\tc\r", "a\\nb\\tc\\u{d}"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("a\u{2066}b\u{feff}", "a\\u{2066}b\\u{feff}"),
        ] {
            assert_eq!(escape(raw), safe);
        }
    }
}
