//! Which cluster is behind a connection: the uid of its namespace `kube-system`, and the keys that sign the tokens of its
//! service accounts.
//!
//! The keys are read from the connection itself. The `jwks_uri` that a cluster advertises is an address of its choice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::{ClusterId, ClusterIdentity, Error, Result};
use serde::Deserialize;
use service::Service;
use service::clusters::connection::prober::Pending;
use service::clusters::connection::{AddressPolicy, Connection, Prober};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::client::{ApiClient, MAX_ANSWER};
use crate::failure::Failure;
use crate::observe::{Health, Observer};
use crate::right::Right;
use crate::wire::NamespaceObject;

/// More keys than any cluster has; a hostile one may name many.
const MAX_KEYS: usize = 100;

/// Keys, as `/openid/v1/jwks` lists them.
#[derive(Deserialize)]
struct KeySet {
    #[serde(default)]
    keys: Vec<Key>,
}

/// The public half of one key: what RFC 7638 makes a thumbprint of.
#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    kty: String,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    /// RFC 7638: SHA-256 over the members that make the key, in the order of their names. `None` for kinds that no API
    /// server signs with.
    fn thumbprint(&self) -> Option<String> {
        let members = match self.kty.as_str() {
            "RSA" => serde_json::json!({"e": self.e.as_ref()?, "kty": "RSA", "n": self.n.as_ref()?}),
            "EC" => serde_json::json!({
                "crv": self.crv.as_ref()?, "kty": "EC", "x": self.x.as_ref()?, "y": self.y.as_ref()?
            }),
            _ => return None,
        };
        Some(hex::encode(Sha256::digest(members.to_string())))
    }
}

/// Asks over a client.
pub(crate) async fn identify(client: &ApiClient) -> Result<ClusterIdentity, Failure> {
    let namespace = client.get::<NamespaceObject>("/api/v1/namespaces/kube-system", MAX_ANSWER).await;
    let uid = readable(namespace)?.map(|namespace| namespace.metadata.uid).filter(|uid| !uid.is_empty());
    let keys =
        readable(client.get_as::<KeySet>("application/jwk-set+json", "/openid/v1/jwks", MAX_ANSWER).await)?;
    let keys = keys.into_iter().flat_map(|set| set.keys).take(MAX_KEYS);
    let keys: BTreeSet<String> = keys.filter_map(|key| key.thumbprint()).collect();
    Ok(ClusterIdentity { uid: uid.filter(|uid| uid.len() <= 64 && uid.is_ascii()), keys })
}

/// What may not be read, or is not there, is missing; everything else is a failure.
fn readable<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Failure::Refused(refusal)) if (400..500).contains(&refusal.status) && refusal.status != 429 => {
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Looks at a connection that no worker has.
pub struct Identifier {
    policy: Arc<AddressPolicy>,
}

impl Identifier {
    /// One that connects to where the policy allows.
    #[must_use]
    pub fn new(policy: AddressPolicy) -> Self {
        Self { policy: Arc::new(policy) }
    }
}

impl Prober for Identifier {
    fn identify<'a>(&'a self, connection: &'a Connection) -> Pending<'a, Result<ClusterIdentity>> {
        Box::pin(async move {
            let told =
                |failure: Failure| Error::conflict(failure.sentence(&Right::base("read its namespaces")));
            let client = ApiClient::new(connection, Arc::clone(&self.policy)).map_err(told)?;
            identify(&client).await.map_err(|failure| {
                tracing::info!(%failure, "fleet.identify.failed");
                told(failure)
            })
        })
    }
}

/// Keeps written down which cluster a worker's connection leads to.
pub(crate) struct Keeper {
    /// Where it is written.
    pub(crate) service: Arc<Service>,
    /// Of which cluster.
    pub(crate) cluster: ClusterId,
    /// Of which version of its connection.
    pub(crate) version: i64,
    /// After how long it is looked at again: keys are rotated.
    pub(crate) again: Duration,
}

impl Keeper {
    /// Does so for ever, whenever the cluster answers.
    pub(crate) async fn run(self, client: Arc<ApiClient>, observer: Arc<Observer>, mut backoff: Backoff) {
        let mut changes = observer.changes();
        loop {
            let watching = |observer: &Observer| matches!(observer.health(), Health::Watching { .. });
            while !watching(&observer) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
            match self.look(&client).await {
                Ok(()) => {
                    backoff.reset();
                    sleep(self.again).await;
                }
                Err(failure) => {
                    tracing::warn!(cluster = %self.cluster, failure, "fleet.identity.unknown");
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    async fn look(&self, client: &ApiClient) -> Result<(), String> {
        let found = identify(client).await.map_err(|failure| failure.to_string())?;
        let known = self.service.fleet_identified(&self.cluster, self.version, &found).await;
        if !known.map_err(|error| format!("{error:?}"))? {
            tracing::error!(cluster = %self.cluster, "behind the connection of cluster {} is another cluster than before", self.cluster);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_are_those_of_rfc_7638() {
        let key: Key = serde_json::from_str(
            r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
        )
        .unwrap();
        // The RFC's own example, NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs, in hex.
        assert_eq!(
            key.thumbprint().as_deref(),
            Some("3736cbb1787cb8309c77ee8c3705c5e16ffb9e859715901f1e4c59b11182f57b")
        );
        let other: Key = serde_json::from_str(r#"{"kty":"oct","k":"secret"}"#).unwrap();
        assert_eq!(other.thumbprint(), None);
    }
}
