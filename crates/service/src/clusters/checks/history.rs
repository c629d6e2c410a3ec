//! What clusters answered before.

use domain::{AccountId, Error, Result, Timestamp};
use store::KeptCheck;

use super::{CHECK, Check, Found};
use crate::authz;
use crate::call::Call;
use crate::service::Service;

/// The most answers in a list.
pub const MAX_LISTED: i64 = 100;
/// The same answer is noted again only after so many seconds: reading must not make everybody wait for writes.
const NOTED_AGAIN: i64 = 60;

/// What a cluster answered, once or several times in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCheck {
    /// When it answered so first.
    pub first_at: Timestamp,
    /// When it answered so last, or at most a minute before.
    pub last_at: Timestamp,
    /// What.
    pub found: Found,
}

impl Service {
    /// What a cluster answered, the latest first: at most `limit` different answers, and only those it began to give by
    /// `until`.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`; `Invalid` naming `limit`.
    pub async fn list_checks(
        &self,
        call: &Call,
        cluster: &str,
        until: Option<Timestamp>,
        limit: i64,
    ) -> Result<Vec<PastCheck>> {
        let right = authz::require_somewhere(call, CHECK)?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        if !(1..=MAX_LISTED).contains(&limit) {
            return Err(Error::invalid("limit", format!("must be 1 to {MAX_LISTED}")));
        }
        let mut tx = self.store.read().await?;
        let kept = tx.checks(&cluster.id, until, limit).await?;
        tx.end().await?;
        kept.into_iter().map(past).collect()
    }

    /// Keeps what a cluster answered.
    pub(super) async fn keep(&self, check: &Check, account: &AccountId) -> Result<()> {
        let found = serde_json::to_string(&check.found).map_err(Error::internal)?;
        let mut tx = self.store.read().await?;
        let last = tx.checks(&check.cluster, None, 1).await?.pop();
        tx.end().await?;
        let noted = |last: &KeptCheck| {
            last.found == found && check.checked_at < last.last_at.plus_seconds(NOTED_AGAIN)
        };
        if last.as_ref().is_some_and(noted) {
            return Ok(());
        }
        let mut tx = self.store.write_observed(account).await?;
        // Removed meanwhile: then there is nothing to remember.
        if tx.cluster_row(&check.cluster).await?.is_some_and(|row| !row.removed) {
            tx.keep_check(&check.cluster, check.checked_at, &found).await?;
        }
        tx.commit().await
    }
}

fn past(kept: KeptCheck) -> Result<PastCheck> {
    let found = serde_json::from_str(&kept.found).map_err(Error::internal)?;
    Ok(PastCheck { first_at: kept.first_at, last_at: kept.last_at, found })
}
