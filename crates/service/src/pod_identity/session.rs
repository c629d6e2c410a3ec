//! What a session that is vended looks like: its name, its tags, what it comes from, and how the audit calls it.

use domain::{Association, Cluster};
use podidentity::Claims;
use sha2::{Digest, Sha256};
use store::{Ancestor, AncestorKind};

use crate::call::Tag;

/// How a vended session was come by.
pub(crate) const METHOD: &str = "pod_identity";

/// So much of a namespace and of a service account stands in a session's name: with both dots and the digest 64 characters.
const SHOWN: (usize, usize) = (20, 30);

/// The name: readable as far as there is room, and one for each pod, or for the service account where the token is bound to
/// none. It holds nothing but letters, digits, `-` and `.`.
pub(super) fn name(cluster: &Cluster, claims: &Claims) -> String {
    let uid = claims.pod.as_ref().map_or(&claims.service_account.uid, |pod| &pod.uid);
    let digest = Sha256::digest(format!("{}/{uid}", cluster.id));
    let short: String = hex::encode(digest).chars().take(12).collect();
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let (namespace, account) = (cut(&claims.namespace, SHOWN.0), cut(&claims.service_account.name, SHOWN.1));
    format!("{namespace}.{account}.{short}")
}

/// The tags. All of their keys are reserved: only the server gives them, and sessions that are begun with this one keep them.
pub(super) fn tags(cluster: &Cluster, claims: &Claims) -> Vec<Tag> {
    let pod = claims.pod.as_ref();
    let all = [
        ("account-id", Some(cluster.account.as_str())),
        ("cluster-id", Some(cluster.id.as_str())),
        ("cluster-name", Some(cluster.name.as_str())),
        ("kubernetes-namespace", Some(claims.namespace.as_str())),
        ("kubernetes-service-account", Some(claims.service_account.name.as_str())),
        ("kubernetes-service-account-uid", Some(claims.service_account.uid.as_str())),
        ("kubernetes-pod-name", pod.map(|pod| pod.name.as_str())),
        ("kubernetes-pod-uid", pod.map(|pod| pod.uid.as_str())),
    ];
    let tag = |(key, value): (&str, Option<&str>)| {
        let value = value?.to_owned();
        Some(Tag { key: key.to_owned(), value, transitive: true })
    };
    all.into_iter().filter_map(tag).collect()
}

/// What it comes from beside principals. `ended` is when the service account was last seen to be gone.
pub(super) fn ancestors(
    cluster: &Cluster,
    claims: &Claims,
    association: &Association,
    ended: i64,
) -> Vec<Ancestor> {
    let account = &cluster.account;
    let ancestor = |kind, id, epoch| Ancestor { kind, id, account: account.clone(), epoch };
    let service_account = format!("{}/{}", cluster.id, claims.service_account.uid);
    vec![
        ancestor(AncestorKind::Association, association.id.as_str().to_owned(), association.ended),
        ancestor(AncestorKind::ServiceAccount, service_account, ended),
    ]
}

/// As the audit calls what was vended: where, for which pod, by which association, as which agency.
pub(super) fn resource(cluster: &Cluster, claims: &Claims, association: &Association, id: &str) -> String {
    let Claims { namespace, service_account, pod, .. } = claims;
    let mut text = format!("cluster/{}/service-account/{namespace}/{}", cluster.id, service_account.name);
    if let Some(pod) = pod {
        text.push_str(&format!("/pod/{namespace}/{}/{}", pod.name, pod.uid));
    }
    text.push_str(&format!("/association/{}/agency/{}", association.id, association.agency));
    text.push_str(&format!("/temporary-key/{id}"));
    text
}
