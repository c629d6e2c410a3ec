//! What clusters are asked about the credentials of their connections: an operator's own rows, or those that lie beside the
//! dialect that asks first.

use std::path::Path;

use domain::{Error, Result};
use service::clusters::checks::Checklist;

use crate::dialects;

/// The rows of the file, or else those that are part of the program.
///
/// # Errors
/// `Invalid` naming the setting, and what is wrong in the file.
pub fn checklist(file: Option<&Path>) -> Result<Checklist> {
    let (setting, own) = dialects::CHECKED_ROWS;
    let Some(file) = file else { return Checklist::parse(setting, own) };
    let text = std::fs::read_to_string(file).map_err(|error| {
        Error::invalid(setting, format!("`{}` must be a file that can be read: {error}", file.display()))
    })?;
    Checklist::parse(setting, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_the_program_are_in_order() {
        let checklist = checklist(None).unwrap();
        assert!(checklist.rows().len() > 10);
        let sets: std::collections::BTreeSet<&str> =
            checklist.rows().iter().map(|row| row.set.as_str()).collect();
        assert_eq!(sets.into_iter().collect::<Vec<_>>(), ["bailiwick", "security"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let message = checklist(Some(Path::new("/nowhere/rows.json"))).unwrap_err().to_string();
        assert!(message.contains("/nowhere/rows.json"), "{message}");
    }
}
