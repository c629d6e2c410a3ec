//! Credentials for a pod as they are answered, in every dialect alike: agents hand on what they got as it came.

use serde::Serialize;
use service::pod_identity::Vended;

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    assumed_agency: Option<AssumedAgency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<&'a str>,
    credentials: Credentials<'a>,
    pod_identity_association_id: &'a str,
    subject: Subject<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<i64>,
}

#[derive(Serialize)]
struct AssumedAgency {
    urn: String,
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Credentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    security_token: &'a str,
    expiration: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subject<'a> {
    namespace: &'a str,
    service_account: &'a str,
}

impl<'a> Body<'a> {
    /// The answer without anything that vendors do not have.
    pub(crate) fn new(vended: &'a Vended) -> Self {
        let Vended { association, agency_name, session_name, audience, key } = vended;
        let assumed = || AssumedAgency {
            urn: format!("sts::{}:assumed-agency:{agency_name}/{session_name}", association.account),
            id: format!("{}:{session_name}", association.agency),
        };
        Self {
            assumed_agency: audience.is_some().then(assumed),
            audience: audience.as_deref(),
            credentials: Credentials {
                access_key_id: key.id.as_str(),
                secret_access_key: key.secret.expose(),
                security_token: key.security_token.expose(),
                expiration: key.expires_at.rfc3339_micros(),
            },
            pod_identity_association_id: association.id.as_str(),
            subject: Subject {
                namespace: association.namespace.as_str(),
                service_account: association.service_account.as_str(),
            },
            epoch: None,
        }
    }

    /// The same for our own agents, who keep it while the association is as it was.
    pub(crate) fn for_agents(vended: &'a Vended) -> Self {
        Self { epoch: Some(vended.association.epoch), ..Self::new(vended) }
    }
}
