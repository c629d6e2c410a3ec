//! The questions themselves.

use podidentity::KeySet;
use serde::Deserialize;
use service::pod_identity::workloads::{Signing, Workload, WorkloadKind};

use crate::client::{ApiClient, MAX_ANSWER, MAX_OBJECT, segment};
use crate::failure::Failure;
use crate::wire::Metadata;

/// The longest issuer. It is a URL.
const MAX_ISSUER: usize = 2048;

/// What a cluster says of its tokens. Where it says that its keys are to be found is not read: that is an address of its
/// choice, perhaps one that only we can reach.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

/// A service account or a pod.
#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    phase: String,
}

/// Completes "the connector may not …".
pub(super) fn action(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::ServiceAccount => "get service accounts",
        WorkloadKind::Pod => "get pods",
    }
}

/// How the cluster signs.
pub(crate) async fn signing(client: &ApiClient) -> Result<Signing, Failure> {
    let found: Discovery = client.get("/.well-known/openid-configuration", MAX_ANSWER).await?;
    if found.issuer.is_empty() || found.issuer.len() > MAX_ISSUER {
        return Err(Failure::Unreadable("its issuer of tokens is no URL"));
    }
    let keys: KeySet = client.get_as("application/jwk-set+json", "/openid/v1/jwks", MAX_ANSWER).await?;
    let keys = keys.checked().map_err(|_| Failure::Unreadable("it has too many keys"))?;
    Ok(Signing { issuer: found.issuer, keys })
}

/// The uid of what is alive under that name.
pub(super) async fn uid(client: &ApiClient, workload: &Workload) -> Result<Option<String>, Failure> {
    match client.get::<Object>(&path(workload), MAX_OBJECT).await {
        Ok(found) => Ok(is_alive(workload.kind, &found).then_some(found.metadata.uid)),
        Err(failure) if failure.is(404) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn path(workload: &Workload) -> String {
    let kind = match workload.kind {
        WorkloadKind::ServiceAccount => "serviceaccounts",
        WorkloadKind::Pod => "pods",
    };
    format!("/api/v1/namespaces/{}/{kind}/{}", segment(&workload.namespace), segment(&workload.name))
}

fn is_alive(kind: WorkloadKind, found: &Object) -> bool {
    let is_there = !found.metadata.uid.is_empty();
    is_there
        && match kind {
            WorkloadKind::ServiceAccount => found.metadata.deletion_timestamp.is_none(),
            WorkloadKind::Pod => !["Succeeded", "Failed"].contains(&found.status.phase.as_str()),
        }
}
