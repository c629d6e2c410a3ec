//! What can be set about this dialect: its section of the settings file.

use domain::{Error, Result};
use serde::Deserialize;

/// The section of the settings file that belongs to this dialect.
pub const SECTION: &str = "alibaba";

/// The dialect's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What becomes of bodies that no signature covers.
    pub unprotected_body: UnprotectedBody,
}

/// What becomes of bodies that no signature covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnprotectedBody {
    /// Requests with one are refused.
    #[default]
    Refused,
    /// They are taken: whoever can change a request on its way can change its body.
    Allowed,
}

/// The section as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    allow_unprotected_body: Option<Switch>,
}

/// A boolean of the file, or its name in a variable of the environment.
#[derive(Deserialize)]
#[serde(untagged)]
enum Switch {
    Is(bool),
    Named(String),
}

impl Settings {
    /// Reads the dialect's section of the settings file.
    ///
    /// # Errors
    /// `Invalid` naming what is wrong.
    pub fn read(section: &Section) -> Result<Self> {
        let allowed = match &section.allow_unprotected_body {
            None => false,
            Some(Switch::Is(allowed)) => *allowed,
            Some(Switch::Named(name)) => name
                .parse()
                .map_err(|_| Error::invalid("alibaba.allow_unprotected_body", "must be `true` or `false`"))?,
        };
        let unprotected_body = if allowed { UnprotectedBody::Allowed } else { UnprotectedBody::Refused };
        Ok(Self { unprotected_body })
    }

    /// What is in force, in a line for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let text = match self.unprotected_body {
            UnprotectedBody::Refused => "no: a body that no signature covers is refused",
            UnprotectedBody::Allowed => {
                "yes: whoever can change a request by `acs` on its way can change its body"
            }
        };
        format!("alibaba.allow_unprotected_body = {text}")
    }
}
