//! What is asked of a cluster for a caller who waits, and not by its worker: with a connection of its own, so that neither
//! waits for the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::{Error, Namespace, Result};
use rbac::is_ours;
use rbac::probe::Probe;
use serde::de::DeserializeOwned;
use service::clusters::connection::contact::{Ours, Reviewed, SigningRequest, Unasked};
use service::clusters::connection::prober::Pending;
use service::clusters::connection::{AddressPolicy, Connection, Contact};
use tokio::time::{Instant, timeout};

use crate::checking;
use crate::client::{ApiClient, MAX_LIST, segment};
use crate::failure::{Failure, clean};
use crate::kept::{Kept, Origin};
use crate::right::Right;
use crate::signing;
use crate::wire::{BindingObject, List, NamespaceObject};

/// How long a list with all its pages may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What fails sooner than this did so because of a connection that was kept and had ended.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The most objects in a page.
const PAGE: usize = 500;
/// More namespaces than this are not worth waiting for.
const MAX_NAMESPACES: usize = 50_000;
const BINDINGS: [&str; 2] = [
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
];

/// Speaks to clusters for callers who wait.
pub struct Visitor {
    policy: Arc<AddressPolicy>,
    /// For questions that are asked again and again; whoever changes something has a client of their own.
    kept: Kept,
}

impl Visitor {
    /// One that connects to where the policy allows.
    #[must_use]
    pub fn new(policy: AddressPolicy) -> Self {
        Self { policy: Arc::new(policy), kept: Kept::default() }
    }

    /// A client that failed is not kept: the next question is asked by a new one.
    async fn review_once(
        &self,
        connection: &Connection,
        questions: &[Probe],
    ) -> (Result<Reviewed, Unasked>, Origin) {
        let (client, origin) = match self.kept.of(connection, &self.policy) {
            Ok(found) => found,
            Err(failure) => return (Err(Unasked(checking::precisely(&failure))), Origin::New),
        };
        let reviewed = checking::check(&client, connection, questions).await;
        if reviewed.is_err() {
            self.kept.forget(connection);
        }
        (reviewed, origin)
    }

    fn client(&self, connection: &Connection, right: &Right) -> Result<ApiClient> {
        ApiClient::new(connection, Arc::clone(&self.policy)).map_err(|failure| told(&failure, right))
    }
}

fn told(failure: &Failure, right: &Right) -> Error {
    tracing::info!(%failure, "fleet.contact.failed");
    Error::conflict(failure.sentence(right))
}

impl Contact for Visitor {
    fn sign<'a>(
        &'a self,
        connection: &'a Connection,
        request: &'a SigningRequest,
    ) -> Pending<'a, Result<String>> {
        Box::pin(async move {
            let client = self.client(connection, &Right::certificates("request a client certificate"))?;
            signing::sign(&client.for_signing_requests(), request).await.map_err(Error::conflict)
        })
    }

    fn foreign_users<'a>(
        &'a self,
        connection: &'a Connection,
        ours: &'a Ours,
        users: &'a [String],
    ) -> Pending<'a, Result<Option<String>>> {
        Box::pin(async move {
            let right = Right::base("list bindings");
            let client = self.client(connection, &right)?;
            let looked = in_time(foreign_users(&client, ours, users)).await;
            looked.map_err(|failure| told(&failure, &right))
        })
    }

    fn namespaces<'a>(&'a self, connection: &'a Connection) -> Pending<'a, Result<Vec<Namespace>>> {
        Box::pin(async move {
            let right = Right::base("list namespaces");
            let client = self.client(connection, &right)?;
            in_time(namespaces(&client)).await.map_err(|failure| told(&failure, &right))
        })
    }

    fn review<'a>(
        &'a self,
        connection: &'a Connection,
        questions: &'a [Probe],
    ) -> Pending<'a, Result<Reviewed, Unasked>> {
        Box::pin(async move {
            let began = Instant::now();
            match self.review_once(connection, questions).await {
                // An API server that closed what it had kept open is no API server that cannot be asked.
                (Err(_), Origin::Kept) if began.elapsed() < AT_ONCE => {
                    self.review_once(connection, questions).await.0
                }
                (reviewed, _) => reviewed,
            }
        })
    }
}

async fn in_time<T>(looking: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(PATIENCE, looking).await.map_err(|_| Failure::Unreachable("listing took too long".to_owned()))?
}

async fn foreign_users(client: &ApiClient, ours: &Ours, users: &[String]) -> Result<Option<String>, Failure> {
    for path in BINDINGS {
        let mut found = None;
        let look = |binding: BindingObject| {
            let Some(user) = binding.named(users) else { return true };
            let observed = binding.into();
            if !is_ours(&ours.owner, &observed, &ours.recorded) {
                found = Some(clean(&format!("{} names User {user}", observed.object)));
            }
            found.is_none()
        };
        each(client, path, look).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

async fn namespaces(client: &ApiClient) -> Result<Vec<Namespace>, Failure> {
    let mut found = BTreeSet::new();
    let take = |namespace: NamespaceObject| {
        // What the server names is its own choice.
        found.extend(Namespace::parse("namespace", &namespace.metadata.name).ok());
        found.len() < MAX_NAMESPACES
    };
    each(client, "/api/v1/namespaces", take).await?;
    Ok(found.into_iter().collect())
}

/// Hands on each object of a list until `take` wants no more. Pages that are too large are asked for in parts; an object
/// that is too large by itself is a failure: nobody could say what is in it.
async fn each<T: DeserializeOwned>(
    client: &ApiClient,
    path: &str,
    mut take: impl FnMut(T) -> bool,
) -> Result<(), Failure> {
    let (mut next, mut limit) = (String::new(), PAGE);
    loop {
        let asked = format!("{path}?limit={limit}&continue={}", segment(&next));
        let page: List<T> = match client.get(&asked, MAX_LIST).await {
            Err(failure) if failure == Failure::TOO_LARGE && limit > 1 => {
                limit /= 2;
                continue;
            }
            page => page?,
        };
        for object in page.items {
            if !take(object) {
                return Ok(());
            }
        }
        if page.metadata.r#continue.is_empty() {
            return Ok(());
        }
        next = page.metadata.r#continue;
    }
}
