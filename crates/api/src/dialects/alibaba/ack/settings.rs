//! What can be set about the clusters' service: its section of the settings file.

use domain::{Error, Result};
use serde::Deserialize;

/// The section of the settings file that belongs to it.
pub const SECTION: &str = "ack";

/// More rows are in no answer that a client would read in time.
const MOST_ROWS: usize = 50_000;

/// The settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many rows may an answer have, and a request.
    pub max_rows: usize,
    /// So many rows may one replacing take away; `None` if any number may.
    pub max_removed_per_replace: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_rows: 5_000, max_removed_per_replace: None }
    }
}

/// The section as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    max_rows: Option<Number>,
    max_removed_per_replace: Option<Number>,
}

/// A number of the file, or its digits in a variable of the environment.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Is(i64),
    Digits(String),
}

impl Number {
    fn within(&self, key: &str, (least, most): (usize, usize)) -> Result<usize> {
        let number = match self {
            Self::Is(number) => usize::try_from(*number).ok(),
            Self::Digits(digits) => digits.parse().ok(),
        };
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            Error::invalid(&format!("{SECTION}.{key}"), format!("must be a number from {least} to {most}"))
        })
    }
}

impl Settings {
    /// Reads the section of the settings file.
    ///
    /// # Errors
    /// `Invalid` naming what is wrong.
    pub fn read(section: &Section) -> Result<Self> {
        let rows = |number: &Number| number.within("max_rows", (1, MOST_ROWS));
        // None at all would be no safeguard but the end of replacing.
        let removed = |number: &Number| number.within("max_removed_per_replace", (1, MOST_ROWS));
        Ok(Self {
            max_rows: section.max_rows.as_ref().map_or(Ok(Self::default().max_rows), rows)?,
            max_removed_per_replace: section.max_removed_per_replace.as_ref().map(removed).transpose()?,
        })
    }

    /// What is in force, in lines for people.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let removed = match self.max_removed_per_replace {
            None => "not set: replacing somebody's permissions may take away any number of them".to_owned(),
            Some(most) => format!("{most}: replacing that would take away more is refused"),
        };
        vec![
            format!("ack.max_rows = {}: permissions of one user in an answer or a request", self.max_rows),
            format!("ack.max_removed_per_replace = {removed}"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &serde_json::Value) -> Result<Settings> {
        let section = Section::deserialize(section);
        Settings::read(&section.map_err(|error| Error::invalid("config", error.to_string()))?)
    }

    #[test]
    fn numbers_are_read_from_the_file_and_from_variables_within_bounds() {
        use serde_json::json;
        assert_eq!(read(&json!({})).unwrap(), Settings { max_rows: 5_000, max_removed_per_replace: None });
        for section in [
            json!({"max_rows": 7, "max_removed_per_replace": 3}),
            json!({"max_rows": "7", "max_removed_per_replace": "3"}),
        ] {
            assert_eq!(read(&section).unwrap(), Settings { max_rows: 7, max_removed_per_replace: Some(3) });
        }
        for (section, field) in [
            (json!({"max_rows": 0}), "ack.max_rows"),
            (json!({"max_rows": 50_001}), "ack.max_rows"),
            (json!({"max_rows": "many"}), "ack.max_rows"),
            (json!({"max_rows": true}), "config"),
            (json!({"max_removed_per_replace": 0}), "ack.max_removed_per_replace"),
            (json!({"max_removed_per_replace": -1}), "ack.max_removed_per_replace"),
            (json!({"max_row": 7}), "config"),
        ] {
            assert_eq!(read(&section).unwrap_err().field(), Some(field), "{section}");
        }
    }
}
