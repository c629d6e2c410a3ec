//! What can be set about this dialect: its section of the settings file.

use domain::Result;
use serde::Deserialize;

use super::cce::policy_type::PolicyTypes;

/// The section of the settings file that belongs to this dialect.
pub const SECTION: &str = "cce";

/// The dialect's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which reading of the access levels' names is in force.
    pub policy_types: PolicyTypes,
}

/// The section as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    policy_types: Option<String>,
}

impl Settings {
    /// Reads the dialect's section of the settings file.
    ///
    /// # Errors
    /// `Invalid` naming what is wrong.
    pub fn read(section: &Section) -> Result<Self> {
        let policy_types = section.policy_types.as_deref().map(PolicyTypes::parse).transpose()?;
        Ok(Self { policy_types: policy_types.unwrap_or_default() })
    }

    /// What is in force, in a line for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let (admin, cluster_admin) = match self.policy_types {
            PolicyTypes::Current => ("operator", "administrator"),
            PolicyTypes::August2025 => ("administrator", "operator"),
        };
        let reading = self.policy_types.as_str();
        format!(
            "cce.policy_types = {reading}: CCEAdminPolicy is {admin}, CCEClusterAdminPolicy is {cluster_admin}"
        )
    }
}
