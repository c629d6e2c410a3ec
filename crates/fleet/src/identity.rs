//! Which cluster is behind a connection: the uid of its namespace `kube-system`, and the keys that sign the tokens of its
//! service accounts.
//!
//! The keys are read from the connection itself. The `jwks_uri` that a cluster advertises is an address of its choice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::{ClusterId, ClusterIdentity, Error, Result};
use podidentity::KeySet;
use service::Service;
use service::clusters::connection::prober::Pending;
use service::clusters::connection::{AddressPolicy, Connection, Prober};
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::client::{ApiClient, MAX_ANSWER};
use crate::failure::{Failure, Refusal};
use crate::observe::{Health, Observer};
use crate::right::Right;
use crate::wire::NamespaceObject;

/// How long all of it may take for somebody who waits.
const PATIENCE: Duration = Duration::from_secs(9);

/// Asks over a client.
pub(crate) async fn identify(client: &ApiClient) -> Result<ClusterIdentity, Failure> {
    let namespace = client.get::<NamespaceObject>("/api/v1/namespaces/kube-system", MAX_ANSWER).await;
    if let Err(Failure::Refused(Refusal { status: 400..=428 | 430..=499, message, .. })) = &namespace
        && message.is_empty()
    {
        // An API server says what it refuses. What does not may be anything that speaks HTTP.
        return Err(Failure::Unreadable(
            "a refusal without a word is not how a Kubernetes API server refuses",
        ));
    }
    let uid = readable(namespace)?.map(|namespace| namespace.metadata.uid).filter(|uid| !uid.is_empty());
    let keys =
        readable(client.get_as::<KeySet>("application/jwk-set+json", "/openid/v1/jwks", MAX_ANSWER).await)?;
    let keys: BTreeSet<String> = keys.map(|set| set.thumbprints()).unwrap_or_default();
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
            let found = timeout(PATIENCE, identify(&client)).await;
            let found = found.unwrap_or_else(|_| Err(Failure::Unreachable("timed out".to_owned())));
            found.map_err(|failure| {
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
