//! What a session that is vended looks like: its name and its tags.

use domain::{Error, Result};
use sha2::{Digest, Sha256};
use store::{Session, SessionKind, VendedSession, VendedTo};

use crate::call::Tag;

/// How a vended session was come by.
pub(crate) const METHOD: &str = "pod_identity";

/// So much of a namespace and of a service account stands in a session's name: with both dots and the digest 64 characters.
const SHOWN: (usize, usize) = (20, 30);

/// The name: readable as far as there is room, and one for each pod, or for the service account where the token is bound to
/// none. It holds nothing but letters, digits, `-` and `.`.
pub(super) fn name(to: &VendedTo) -> String {
    let uid = to.pod.as_ref().map_or(&to.service_account_uid, |(_, uid)| uid);
    let digest = Sha256::digest(format!("{}/{uid}", to.cluster));
    let short: String = hex::encode(digest).chars().take(12).collect();
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let (namespace, account) = (cut(&to.namespace, SHOWN.0), cut(&to.service_account, SHOWN.1));
    format!("{namespace}.{account}.{short}")
}

/// The tags. All of their keys are reserved: only the server gives them, and sessions that are begun with this one keep them.
fn tags(session: &VendedSession) -> Vec<Tag> {
    let to = &session.to;
    let pod = to.pod.as_ref();
    let all = [
        ("account-id", Some(session.account.as_str())),
        ("cluster-id", Some(to.cluster.as_str())),
        ("cluster-name", Some(to.cluster_name.as_str())),
        ("kubernetes-namespace", Some(to.namespace.as_str())),
        ("kubernetes-service-account", Some(to.service_account.as_str())),
        ("kubernetes-service-account-uid", Some(to.service_account_uid.as_str())),
        ("kubernetes-pod-name", pod.map(|(name, _)| name.as_str())),
        ("kubernetes-pod-uid", pod.map(|(_, uid)| uid.as_str())),
    ];
    let tag = |(key, value): (&str, Option<&str>)| {
        let value = value?.to_owned();
        Some(Tag { key: key.to_owned(), value, transitive: true })
    };
    all.into_iter().filter_map(tag).collect()
}

/// What was vended, as all sessions are.
pub(crate) fn session(vended: VendedSession, proof_hash: String) -> Result<Session> {
    let tags = serde_json::to_string(&tags(&vended)).map_err(Error::internal)?;
    Ok(Session {
        name: name(&vended.to),
        tags,
        id: vended.id,
        kind: SessionKind::TemporaryKey,
        account: vended.account,
        principal: vended.agency.0,
        project: None,
        methods: vec![METHOD.to_owned()],
        assumer: None,
        limits: "[]".to_owned(),
        source_identity: String::new(),
        proof_hash,
        sealed_secret: None,
        issued_at: vended.issued_at,
        expires_at: vended.expires_at,
    })
}
