//! What can be set about HSS: its section of the settings file.

use std::path::PathBuf;

use domain::{Error, Result};
use serde::Deserialize;
use service::ClusterRequires;

/// The section of the settings file.
pub const SECTION: &str = "hss";

/// The settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What changing a cluster takes.
    pub authorization: ClusterRequires,
    /// Whether enterprise projects are told apart.
    pub enterprise_projects: EnterpriseProjects,
    /// How long the texts of permissions may be.
    pub lengths: Lengths,
    /// What clusters are asked, in the place of what is shipped.
    pub rows_file: Option<PathBuf>,
}

/// Whether enterprise projects are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnterpriseProjects {
    /// `enterprise_project_id` says which clusters are meant.
    #[default]
    Used,
    /// It is read and means nothing.
    Unused,
}

/// How long the texts of permissions may be: the vendor's example breaks the vendor's table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lengths {
    /// As the example has them.
    #[default]
    OfTheExample,
    /// As the table says.
    OfTheTable,
}

/// The section as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    authorization: Option<String>,
    enterprise_projects: Option<Switch>,
    strict_lengths: Option<Switch>,
    rows_file: Option<PathBuf>,
}

/// A boolean of the file, or its name in a variable of the environment.
#[derive(Deserialize)]
#[serde(untagged)]
enum Switch {
    Is(bool),
    Named(String),
}

impl Switch {
    fn read(switch: Option<&Self>, setting: &str) -> Result<Option<bool>> {
        match switch {
            None => Ok(None),
            Some(Self::Is(value)) => Ok(Some(*value)),
            Some(Self::Named(name)) => match name.parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(Error::invalid(setting, "must be `true` or `false`")),
            },
        }
    }
}

impl Settings {
    /// Reads the section of the settings file.
    ///
    /// # Errors
    /// `Invalid` naming what is wrong.
    pub fn read(section: &Section) -> Result<Self> {
        let authorization = match section.authorization.as_deref() {
            None | Some("policies") => ClusterRequires::Right,
            Some("documented") => ClusterRequires::Membership,
            Some(_) => return Err(Error::invalid("hss.authorization", "must be `policies` or `documented`")),
        };
        let used = Switch::read(section.enterprise_projects.as_ref(), "hss.enterprise_projects")?;
        let strict = Switch::read(section.strict_lengths.as_ref(), "hss.strict_lengths")?;
        Ok(Self {
            authorization,
            enterprise_projects: match used {
                None | Some(true) => EnterpriseProjects::Used,
                Some(false) => EnterpriseProjects::Unused,
            },
            lengths: match strict {
                None | Some(false) => Lengths::OfTheExample,
                Some(true) => Lengths::OfTheTable,
            },
            rows_file: section.rows_file.clone(),
        })
    }

    /// What is in force, in lines for people.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let authorization = match self.authorization {
            ClusterRequires::Right => "policies: changing a cluster takes a policy that allows it",
            ClusterRequires::Membership => {
                "documented: whoever belongs to an account may import, change and remove its clusters"
            }
        };
        let enterprise_projects = match self.enterprise_projects {
            EnterpriseProjects::Used => "yes",
            EnterpriseProjects::Unused => "no: enterprise_project_id means nothing",
        };
        let lengths = match self.lengths {
            Lengths::OfTheExample => "no: texts of permissions are as long as in the vendor's example",
            Lengths::OfTheTable => "yes: texts of permissions are cut as the vendor's table says",
        };
        let rows_file = match &self.rows_file {
            None => "what is shipped".to_owned(),
            Some(path) => path.display().to_string(),
        };
        vec![
            format!("hss.authorization = {authorization}"),
            format!("hss.enterprise_projects = {enterprise_projects}"),
            format!("hss.rows_file = {rows_file}"),
            format!("hss.strict_lengths = {lengths}"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings> {
        Settings::read(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn without_a_word_changing_a_cluster_takes_a_policy() {
        assert_eq!(read("{}").unwrap(), Settings::default());
        assert_eq!(Settings::default().authorization, ClusterRequires::Right);
        assert_eq!(
            read(r#"{"authorization": "documented"}"#).unwrap().authorization,
            ClusterRequires::Membership
        );
        assert_eq!(read(r#"{"strict_lengths": "true"}"#).unwrap().lengths, Lengths::OfTheTable);
        let unused = read(r#"{"enterprise_projects": false}"#).unwrap();
        assert_eq!(unused.enterprise_projects, EnterpriseProjects::Unused);
        for (text, setting) in [
            (r#"{"authorization": "none"}"#, "hss.authorization"),
            (r#"{"strict_lengths": "yes"}"#, "hss.strict_lengths"),
            (r#"{"enterprise_projects": "0"}"#, "hss.enterprise_projects"),
        ] {
            assert_eq!(read(text).unwrap_err().field(), Some(setting));
        }
    }
}
