//! Texts in scripts for a POSIX shell.

use domain::{Error, Result};

/// The text as one word that the shell takes as it is.
///
/// # Errors
/// `Invalid` naming `field` for control characters, which terminals and some shells do not take as they are.
pub(super) fn word(field: &str, text: &str) -> Result<String> {
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "must not hold control characters"));
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_every_word_as_it_is() {
        for text in [
            "",
            "plain",
            "two words",
            "$(touch /tmp/pwned)",
            "`id`",
            "'; id; '",
            "''",
            "\\'",
            "\"$HOME\"",
            "-n",
            "!!",
            "é\u{202e}x",
            "*",
            "~",
        ] {
            let script = format!("printf %s {}", word("f", text).unwrap());
            let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
        for text in ["a\nb", "a\0b", "a\u{1b}[31m", "\r"] {
            assert_eq!(word("f", text).unwrap_err().field(), Some("f"));
        }
    }
}
