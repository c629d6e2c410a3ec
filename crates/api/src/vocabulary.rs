//! The words that policies may use, put together from the tables that lie beside the dialects, and the policies that
//! are shipped with them.

use domain::{Error, Result};
use serde::Deserialize;
use service::authz::{Fact, NamedAction, NamedKey, Shipped, Vocabulary};

use crate::dialects;

/// A row of a dialect's list of shipped policies.
#[derive(Deserialize)]
struct Listed {
    file: String,
    name: String,
    description: String,
}

/// A policy's file beside a dialect: its name and its text.
pub(crate) type File = (&'static str, &'static str);

/// All words.
///
/// # Errors
/// `Internal` if a table is broken: a defect that the first start shows.
pub fn vocabulary() -> Result<Vocabulary> {
    let (mut actions, mut keys, mut shipped) = (Vec::new(), Vec::new(), Vec::new());
    for (_, tables) in dialects::actions()? {
        for row in tables.rows() {
            actions.extend(row.native.clone().map(|action| NamedAction {
                name: row.action.clone(),
                aliases: row.aliases.clone(),
                action,
                resource: row.resource_template.clone(),
                keys: row.keys.iter().map(|key| plain(key)).collect(),
            }));
        }
        for key in tables.keys() {
            keys.push(NamedKey { key: key.key.clone(), fact: Fact::parse(&key.fact)? });
        }
    }
    for (index, files) in dialects::shipped() {
        shipped.extend(read_shipped(index, files)?);
    }
    Vocabulary::new(actions, keys, shipped)
}

/// A key without the name of its placeholder: `g:ResourceTag/<tag-key>` is every key that begins with `g:ResourceTag/`.
fn plain(key: &str) -> String {
    key.split('<').next().unwrap_or_default().to_owned()
}

fn read_shipped(index: &str, files: &[File]) -> Result<Vec<Shipped>> {
    let listed: Vec<Listed> = serde_json::from_str(index).map_err(Error::internal)?;
    let policy = |row: Listed| {
        let found = files.iter().find(|(file, _)| *file == row.file);
        let (_, text) = found.ok_or_else(|| Error::internal(format!("{} is not included", row.file)))?;
        let id = row.file.strip_suffix(".json").unwrap_or(&row.file);
        Shipped::new(id, &row.name, &row.description, text)
    };
    listed.into_iter().map(policy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_beside_the_dialects_are_in_order() {
        let vocabulary = vocabulary().unwrap();
        assert!(vocabulary.shipped().len() > 10);
        assert!(vocabulary.names("bailiwick:grant:create").len() > 1, "every vendor has a name for it");
        assert!(vocabulary.shipped().iter().all(|policy| policy.document.problems().is_empty()));
    }
}
