//! What can be set about this dialect: its section of the settings file.

use domain::{Error, Result};
use serde::Deserialize;
use service::GrantRequires;

use super::cce::policy_type::PolicyTypes;

/// The section of the settings file that belongs to this dialect.
pub const SECTION: &str = "cce";

/// The dialect's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which reading of the access levels' names is in force.
    pub policy_types: PolicyTypes,
    /// What changing a grant takes beside a policy.
    pub grant_requires: GrantRequires,
    /// Of the service for clusters that the vendor does not run.
    pub hss: super::hss::settings::Settings,
    /// How pods prove who they are, and what they are told.
    pub pod_identity: service::PodIdentity,
}

/// The section as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    policy_types: Option<String>,
    grant_requires: Option<String>,
}

impl Settings {
    /// Reads the dialect's sections of the settings file.
    ///
    /// # Errors
    /// `Invalid` naming what is wrong.
    pub fn read(
        section: &Section,
        hss: &super::hss::settings::Section,
        pod_identity: &super::pod_identity::Section,
    ) -> Result<Self> {
        let policy_types = section.policy_types.as_deref().map(PolicyTypes::parse).transpose()?;
        let grant_requires = match section.grant_requires.as_deref() {
            None | Some("administration") => GrantRequires::Administration,
            Some("iam") => GrantRequires::Policy,
            Some(_) => {
                return Err(Error::invalid("cce.grant_requires", "must be `administration` or `iam`"));
            }
        };
        let hss = super::hss::settings::Settings::read(hss)?;
        let pod_identity = super::pod_identity::read(pod_identity)?;
        Ok(Self { policy_types: policy_types.unwrap_or_default(), grant_requires, hss, pod_identity })
    }

    /// What is in force, in lines for people.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let (admin, cluster_admin) = match self.policy_types {
            PolicyTypes::Current => ("operator", "administrator"),
            PolicyTypes::August2025 => ("administrator", "operator"),
        };
        let reading = self.policy_types.as_str();
        let requires = match self.grant_requires {
            GrantRequires::Administration => {
                "administration: whoever changes a cluster's grants must administer the cluster"
            }
            GrantRequires::Policy => {
                "iam: whoever a policy lets write grants may give anybody every right in every cluster"
            }
        };
        let own = vec![
            format!(
                "cce.policy_types = {reading}: CCEAdminPolicy is {admin}, CCEClusterAdminPolicy is {cluster_admin}"
            ),
            format!("cce.grant_requires = {requires}"),
        ];
        [own, self.hss.describe(), super::pod_identity::describe(&self.pod_identity)].concat()
    }
}
