//! Service accounts of clusters that sessions come from, and those that were seen to be gone.

use domain::{AccountId, ClusterId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::open::Store;
use crate::transaction::{ReadTx, WriteTx};

/// A namespace of a cluster in which service accounts have associations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssociatedNamespace {
    /// The cluster.
    pub cluster: ClusterId,
    /// The tenant.
    pub account: AccountId,
    /// The namespace.
    pub namespace: String,
}

/// What a service account is called where sessions name what they come from.
fn called(cluster: &ClusterId, uid: &str) -> String {
    format!("{cluster}/{uid}")
}

impl Store {
    /// Every namespace with associations, of clusters that have a connection which may be believed.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn associated_namespaces(&self) -> Result<Vec<AssociatedNamespace>> {
        let rows = sqlx::query(
            "SELECT DISTINCT a.cluster_id, a.account_id, a.namespace FROM associations a \
             JOIN clusters c ON c.id = a.cluster_id WHERE c.sealed_connection IS NOT NULL \
             AND c.removed_at IS NULL AND c.suspended_at IS NULL",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(database)?;
        let text = |row: &sqlx::any::AnyRow, column| row.try_get::<String, _>(column).map_err(database);
        rows.iter()
            .map(|row| {
                Ok(AssociatedNamespace {
                    cluster: ClusterId::stored(&text(row, "cluster_id")?),
                    account: AccountId::stored(&text(row, "account_id")?),
                    namespace: text(row, "namespace")?,
                })
            })
            .collect()
    }
}

impl ReadTx {
    /// The uids of a cluster's service accounts that sessions which are not over come from.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn service_accounts_with_sessions(
        &mut self,
        cluster: &ClusterId,
        now: Timestamp,
    ) -> Result<Vec<String>> {
        // What follows `/` in the alphabet of bytes is `0`.
        let rows = sqlx::query(
            "SELECT DISTINCT a.ancestor_id FROM session_ancestors a JOIN sessions s ON s.id = a.session_id \
             WHERE a.kind = 'service-account' AND a.ancestor_id >= $1 AND a.ancestor_id < $2 AND s.expires_at > $3",
        )
        .bind(called(cluster, ""))
        .bind(format!("{cluster}0"))
        .bind(now.as_millis())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let prefix = called(cluster, "");
        rows.iter()
            .map(|row| {
                let id: String = row.try_get("ancestor_id").map_err(database)?;
                Ok(id.strip_prefix(&prefix).unwrap_or_default().to_owned())
            })
            .collect()
    }

    /// Whether a service account was seen to be gone.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn service_account_ended(&mut self, cluster: &ClusterId, uid: &str) -> Result<bool> {
        let row = sqlx::query("SELECT id FROM service_account_ends WHERE id = $1")
            .bind(called(cluster, uid))
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        Ok(row.is_some())
    }
}

impl WriteTx {
    /// Writes down that a service account is gone, which ends what was vended for it. Those from before `forgotten` are
    /// forgotten. Returns whether it is news.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_service_account(
        &mut self,
        cluster: &ClusterId,
        uid: &str,
        now: Timestamp,
        forgotten: Timestamp,
    ) -> Result<bool> {
        sqlx::query("DELETE FROM service_account_ends WHERE ended_at < $1")
            .bind(forgotten.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        let done = sqlx::query(
            "INSERT INTO service_account_ends (id, ended_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        )
        .bind(called(cluster, uid))
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}
