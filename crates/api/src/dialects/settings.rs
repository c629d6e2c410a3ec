//! What can be set about the dialects: the sections of the settings file that belong to them.

use domain::{Error, Result};
use serde::Deserialize;

use super::{alibaba, huawei};

/// The sections of the settings file that belong to dialects.
pub const SECTIONS: [&str; 5] = [
    huawei::settings::SECTION,
    huawei::hss::settings::SECTION,
    huawei::pod_identity::SECTION,
    alibaba::settings::SECTION,
    alibaba::ack::settings::SECTION,
];

/// The settings of all dialects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Those of the first vendor.
    pub huawei: huawei::settings::Settings,
    /// Those of the second.
    pub alibaba: alibaba::settings::Settings,
    /// Those of the second vendor's service for clusters.
    pub ack: alibaba::ack::settings::Settings,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    cce: huawei::settings::Section,
    hss: huawei::hss::settings::Section,
    pod_identity: huawei::pod_identity::Section,
    alibaba: alibaba::settings::Section,
    ack: alibaba::ack::settings::Section,
}

impl Settings {
    /// Reads the dialects' sections of the settings file.
    ///
    /// # Errors
    /// `Invalid` naming what is wrong.
    pub fn read<'de, D: serde::Deserializer<'de>>(sections: D) -> Result<Self> {
        let file =
            File::deserialize(sections).map_err(|error| Error::invalid("config", error.to_string()))?;
        Ok(Self {
            huawei: huawei::settings::Settings::read(&file.cce, &file.hss, &file.pod_identity)?,
            alibaba: alibaba::settings::Settings::read(&file.alibaba)?,
            ack: alibaba::ack::settings::Settings::read(&file.ack)?,
        })
    }

    /// What changing a grant takes beside a policy.
    #[must_use]
    pub fn grant_requires(&self) -> service::GrantRequires {
        self.huawei.grant_requires
    }

    /// What changing a cluster takes, where a vendor's interface asks for no policy.
    #[must_use]
    pub fn cluster_requires(&self) -> service::ClusterRequires {
        self.huawei.hss.authorization
    }

    /// How pods prove who they are, and what they are told.
    #[must_use]
    pub fn pod_identity(&self) -> &service::PodIdentity {
        &self.huawei.pod_identity
    }

    /// What clusters are asked, in the place of what is shipped.
    #[must_use]
    pub fn rows_file(&self) -> Option<&std::path::Path> {
        self.huawei.hss.rows_file.as_deref()
    }

    /// What is in force, in lines for people.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        [self.huawei.describe(), vec![self.alibaba.describe()], self.ack.describe()].concat()
    }
}
