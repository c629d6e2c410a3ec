//! What can be set about pod identity: its section of the settings file. The words that pods are told are this vendor's,
//! because its SDKs are what reads them.

use domain::{Error, Result};
use serde::Deserialize;
use service::PodIdentity;
use service::pod_identity::{LONGEST_LIFE, SHORTEST_LIFE};

/// The section of the settings file.
pub const SECTION: &str = "pod_identity";

/// What trust policies call the service that vends credentials to pods. The documents do not say; it is the audience that
/// answers name.
const PRINCIPAL: &str = "service.cce.pods";

/// The section as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    audience: Option<String>,
    uri_variable: Option<String>,
    token_file_variable: Option<String>,
    lifetime_seconds: Option<Number>,
    require_bound_pod: Option<Switch>,
    direct: Option<Switch>,
}

/// A number of the file, or its digits in a variable of the environment.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Is(i64),
    Named(String),
}

/// A boolean of the file, or its name in a variable of the environment.
#[derive(Deserialize)]
#[serde(untagged)]
enum Switch {
    Is(bool),
    Named(String),
}

/// Reads the section of the settings file.
///
/// # Errors
/// `Invalid` naming what is wrong.
pub fn read(section: &Section) -> Result<PodIdentity> {
    let audience = section.audience.as_deref().unwrap_or(PRINCIPAL);
    if audience.is_empty() || audience.len() > 255 || audience.chars().any(|c| c.is_control() || c == ' ') {
        return Err(Error::invalid("pod_identity.audience", "must be 1 to 255 characters without spaces"));
    }
    Ok(PodIdentity {
        principal: PRINCIPAL.to_owned(),
        audience: audience.to_owned(),
        uri_variable: variable(
            "pod_identity.uri_variable",
            section.uri_variable.as_deref(),
            "HC_CONTAINER_CREDENTIALS_FULL_URI",
        )?,
        token_file_variable: variable(
            "pod_identity.token_file_variable",
            section.token_file_variable.as_deref(),
            "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        )?,
        lifetime_seconds: lifetime(section.lifetime_seconds.as_ref())?,
        require_bound_pod: switch("pod_identity.require_bound_pod", section.require_bound_pod.as_ref())?,
        direct: switch("pod_identity.direct", section.direct.as_ref())?,
        ..PodIdentity::default()
    })
}

fn variable(setting: &str, given: Option<&str>, usual: &str) -> Result<String> {
    let name = given.unwrap_or(usual);
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty()
        || name.len() > 128
        || !name.bytes().all(inner)
        || name.starts_with(|c: char| c.is_numeric())
    {
        return Err(Error::invalid(setting, "must be the name of an environment variable"));
    }
    Ok(name.to_owned())
}

/// Off unless somebody switches it on.
fn switch(setting: &str, given: Option<&Switch>) -> Result<bool> {
    match given {
        None => Ok(false),
        Some(Switch::Is(value)) => Ok(*value),
        Some(Switch::Named(name)) => {
            name.parse().map_err(|_| Error::invalid(setting, "must be `true` or `false`"))
        }
    }
}

fn lifetime(given: Option<&Number>) -> Result<i64> {
    let seconds = match given {
        None => Some(PodIdentity::default().lifetime_seconds),
        Some(Number::Is(seconds)) => Some(*seconds),
        Some(Number::Named(digits)) => digits.parse().ok(),
    };
    seconds.filter(|seconds| (SHORTEST_LIFE..=LONGEST_LIFE).contains(seconds)).ok_or_else(|| {
        let message = format!("must be {SHORTEST_LIFE} to {LONGEST_LIFE}");
        Error::invalid("pod_identity.lifetime_seconds", message)
    })
}

/// What is in force, in lines for people.
#[must_use]
pub fn describe(settings: &PodIdentity) -> Vec<String> {
    let PodIdentity {
        principal: _,
        audience,
        uri_variable,
        token_file_variable,
        lifetime_seconds,
        require_bound_pod,
        direct,
        most_waiting: _,
    } = settings;
    vec![
        format!("pod_identity.audience = {audience}"),
        format!("pod_identity.uri_variable = {uri_variable}"),
        format!("pod_identity.token_file_variable = {token_file_variable}"),
        format!("pod_identity.lifetime_seconds = {lifetime_seconds}"),
        format!("pod_identity.require_bound_pod = {require_bound_pod}"),
        format!("pod_identity.direct = {direct}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<PodIdentity> {
        read(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_life_that_clients_would_fetch_anew_with_each_call_is_refused() {
        assert_eq!(of("{}").unwrap().lifetime_seconds, 7200);
        assert_eq!(of(r#"{"lifetime_seconds": "3600"}"#).unwrap().lifetime_seconds, 3600);
        for wrong in ["3599", "43201", "\"soon\""] {
            let error = of(&format!(r#"{{"lifetime_seconds": {wrong}}}"#)).unwrap_err();
            assert_eq!(error.field(), Some("pod_identity.lifetime_seconds"));
        }
    }

    #[test]
    fn pods_ask_the_server_themselves_only_where_somebody_says_so() {
        assert!(!of("{}").unwrap().direct);
        assert!(of(r#"{"direct": true}"#).unwrap().direct && of(r#"{"direct": "true"}"#).unwrap().direct);
        assert_eq!(of(r#"{"direct": "yes"}"#).unwrap_err().field(), Some("pod_identity.direct"));
    }

    #[test]
    fn variables_have_names_that_shells_take() {
        for wrong in ["", "A B", "1A", "A=B", "A-B"] {
            assert!(of(&format!(r#"{{"uri_variable": "{wrong}"}}"#)).is_err(), "{wrong}");
        }
    }
}
