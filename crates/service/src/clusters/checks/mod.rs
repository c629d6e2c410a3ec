//! Checking a cluster: what the credential of its connection may really do there, as the cluster itself answers.
//!
//! Nothing of it is an opinion that was kept: what could not be asked is an error and never a no. What was answered is kept
//! only to tell later what changed.

mod checklist;
mod history;
mod turns;

use domain::{Cluster, ClusterId, Error, Result, Timestamp};
use rbac::check::{Answers, Grantee, manifest};
use rbac::probe::Probe;
use serde::{Deserialize, Serialize};

pub use checklist::Checklist;
pub use history::{MAX_LISTED, PastCheck};
pub use rbac::check::Row;
pub(crate) use turns::Turns;

use crate::authz::{self, Thing};
use crate::call::Call;
use crate::clusters::connection::contact::Unasked;
use crate::service::Service;

const CHECK: &str = "bailiwick:cluster:check";
/// Who may do this says where a cluster is, and so may know what is to be found there.
const REPLACE: &str = "bailiwick:cluster:rotate";

/// What a cluster answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which cluster.
    pub cluster: ClusterId,
    /// When it was asked.
    pub checked_at: Timestamp,
    /// What it said.
    pub found: Found,
}

/// What a cluster said about the credential of its connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Whose the credential is, as the API server calls them, if that could be told.
    pub identity: Option<String>,
    /// What should be allowed.
    pub rows: Vec<CheckedRow>,
    /// What is allowed and dangerous.
    pub surplus: Vec<Surplus>,
}

/// Rights that are needed together for something, and whether they are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedRow {
    /// What they are needed for.
    pub function: String,
    /// The API groups; the core group is empty.
    pub api_groups: Vec<String>,
    /// The resources, subresources after a slash.
    pub resources: Vec<String>,
    /// Whether all of it is allowed.
    pub authorized: bool,
    /// What of it is not allowed.
    pub missing: Vec<Missing>,
    /// What to do if it is not.
    pub advice: String,
    /// Which rows belong together.
    pub set: String,
}

/// A right that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The verb.
    pub verb: String,
    /// The API group; the core group is empty.
    pub group: String,
    /// The resource, a subresource after a slash.
    pub resource: String,
    /// The name of the one object that it is about; `None` if it is about all.
    pub name: Option<String>,
}

/// A right that is dangerous to whoever runs the cluster, should the credential be stolen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surplus {
    /// What is allowed.
    pub what: String,
    /// Why that is dangerous.
    pub why: String,
}

impl Check {
    /// Whether every row is true.
    #[must_use]
    pub fn authorized(&self) -> bool {
        self.found.rows.iter().all(|row| row.authorized)
    }

    /// The RBAC that adds what is missing and nothing else, for `kubectl apply`: for `subject`, or else for the identity.
    /// `None` if nothing is missing.
    ///
    /// # Errors
    /// `Invalid` naming `subject` if nobody can be called so, or if it must be given because nobody knows the name.
    pub fn manifest(&self, subject: Option<&str>) -> Result<Option<String>> {
        let missing: Vec<Probe> =
            self.found.rows.iter().flat_map(|row| row.missing.iter().map(probe)).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        let unknown =
            "must be given: neither the cluster nor the credential says what its holder is called there";
        let name =
            subject.or(self.found.identity.as_deref()).ok_or_else(|| Error::invalid("subject", unknown))?;
        let grantee = Grantee::named(name);
        let grantee = grantee
            .ok_or_else(|| Error::invalid("subject", "must be a user's name without control characters"))?;
        Ok(manifest(&missing, &grantee))
    }
}

impl Service {
    /// Asks a cluster what the credential of its connection may do there.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`; `Conflict` with a sentence for people if the cluster has no connection or could not be asked;
    /// `Limited` if it is asked too often.
    pub async fn check_cluster(&self, call: &Call, cluster: &str) -> Result<Check> {
        let right = authz::require_somewhere(call, CHECK)?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        self.ask_all(call, &cluster).await
    }

    /// The same for whoever belongs to the account, unless a policy denies it outright or the session's limits do not allow it:
    /// some dialects ask for no right.
    /// `id` is the cluster's id and not its name.
    ///
    /// # Errors
    /// As [`Service::check_cluster`].
    pub async fn check_cluster_as_member(&self, call: &Call, id: &str) -> Result<Check> {
        let cluster = self.cluster_of_member(call, CHECK, id).await?;
        self.ask_all(call, &cluster).await
    }

    /// A cluster of the caller's account by its id, if belonging to the account is enough for the action on it.
    pub(crate) async fn cluster_of_member(&self, call: &Call, action: &str, id: &str) -> Result<Cluster> {
        let found = self.clusters_of(call).await?.into_iter().find(|cluster| cluster.id.as_str() == id);
        let Some(found) = found else {
            authz::require_of_member(call, action, &Thing::unknown_cluster(&ClusterId::stored(id)))?;
            return Err(Error::not_found("cluster", id));
        };
        authz::require_of_member(call, action, &Thing::cluster(&found))?;
        Ok(found)
    }

    async fn ask_all(&self, call: &Call, cluster: &Cluster) -> Result<Check> {
        let mut tx = self.store.read().await?;
        let row = tx.cluster_row(&cluster.id).await?;
        tx.end().await?;
        let row = row.ok_or_else(|| {
            Error::conflict(format!("cluster `{}` has no connection: nobody can be asked", cluster.name))
        })?;
        self.limiter.check(&cluster.id)?;
        let _turn = self.turns.take(&cluster.id).await?;
        let connection = self.open_connection(&row.id, &row.account, &row.sealed_connection)?;
        let questions = self.settings.checklist.questions();
        let reviewed = self.contact.review(&connection, &questions).await;
        let reviewed = reviewed.map_err(|unasked| self.told(call, cluster, unasked))?;
        let answers = Answers::new(questions, &reviewed.allowed)
            .ok_or_else(|| Error::internal("a cluster was not asked everything"))?;
        let check = Check {
            cluster: cluster.id.clone(),
            checked_at: self.now(),
            found: self.settings.checklist.judge(&answers, reviewed.identity)?,
        };
        self.keep(&check, &row.account).await?;
        Ok(check)
    }

    /// Why it could not be asked, as far as the caller may know that.
    pub(crate) fn told(&self, call: &Call, cluster: &Cluster, unasked: Unasked) -> Error {
        let Unasked(precisely) = unasked;
        tracing::info!(cluster = %cluster.id, reason = precisely, "a cluster could not be asked");
        let may_know = authz::require_somewhere(call, REPLACE)
            .is_ok_and(|right| right.holds_for(&Thing::cluster(cluster)));
        let why = if may_know { precisely } else { "who may replace its connection is told why".to_owned() };
        Error::conflict(format!("cluster `{}` could not be asked: {why}", cluster.name))
    }
}

fn probe(missing: &Missing) -> Probe {
    Probe {
        verb: missing.verb.clone(),
        group: missing.group.clone(),
        resource: missing.resource.clone(),
        namespace: None,
        name: missing.name.clone(),
    }
}
