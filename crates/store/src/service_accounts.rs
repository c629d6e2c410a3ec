//! Service accounts of clusters that sessions come from, and those that were seen to be gone.

use domain::{AccountId, ClusterId, Result, SessionId, Timestamp};
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

/// For whom a session was vended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendedTo {
    /// In which cluster.
    pub cluster: ClusterId,
    /// The uid of the service account.
    pub service_account: String,
    /// The uid of the pod; empty if the token was bound to none.
    pub pod: String,
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
    /// The uids of a cluster's service accounts for which sessions were vended that are not over.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn service_accounts_with_sessions(
        &mut self,
        cluster: &ClusterId,
        now: Timestamp,
    ) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT DISTINCT service_account_uid FROM vended_sessions WHERE cluster_id = $1 AND expires_at > $2",
        )
        .bind(cluster.as_str())
        .bind(now.as_millis())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(|row| row.try_get("service_account_uid").map_err(database)).collect()
    }

    /// Whether sessions that are not over were vended for a service account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn has_vended_sessions(
        &mut self,
        cluster: &ClusterId,
        uid: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let row = sqlx::query(
            "SELECT 1 AS one FROM vended_sessions \
             WHERE cluster_id = $1 AND service_account_uid = $2 AND expires_at > $3 LIMIT 1",
        )
        .bind(cluster.as_str())
        .bind(uid)
        .bind(now.as_millis())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        Ok(row.is_some())
    }

    /// How many sessions that are not over were vended to a pod, or for a service account with tokens that are bound to
    /// none.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_vended_to(&mut self, to: &VendedTo, now: Timestamp) -> Result<i64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM vended_sessions \
             WHERE cluster_id = $1 AND service_account_uid = $2 AND pod_uid = $3 AND expires_at > $4",
        )
        .bind(to.cluster.as_str())
        .bind(to.service_account.as_str())
        .bind(to.pod.as_str())
        .bind(now.as_millis())
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        row.try_get("n").map_err(database)
    }

    /// How many sessions that are not over were vended in a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_vended_in(&mut self, cluster: &ClusterId, now: Timestamp) -> Result<i64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM vended_sessions WHERE cluster_id = $1 AND expires_at > $2",
        )
        .bind(cluster.as_str())
        .bind(now.as_millis())
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        row.try_get("n").map_err(database)
    }

    /// When a service account was last seen to be gone, in milliseconds; 0 if it never was. What began before is over.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn service_account_ended(&mut self, cluster: &ClusterId, uid: &str) -> Result<i64> {
        let row = sqlx::query("SELECT ended_at FROM service_account_ends WHERE id = $1")
            .bind(called(cluster, uid))
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        row.map_or(Ok(0), |row| row.try_get("ended_at").map_err(database))
    }
}

impl WriteTx {
    /// Writes down for whom a session was vended.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_vended(
        &mut self,
        session: &SessionId,
        to: &VendedTo,
        until: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO vended_sessions (session_id, cluster_id, service_account_uid, pod_uid, expires_at) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(session.as_str())
        .bind(to.cluster.as_str())
        .bind(to.service_account.as_str())
        .bind(to.pod.as_str())
        .bind(until.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Forgets for whom sessions were vended, because they are over with their service account. Returns how many.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_vended(&mut self, cluster: &ClusterId, uid: &str) -> Result<u64> {
        let done =
            sqlx::query("DELETE FROM vended_sessions WHERE cluster_id = $1 AND service_account_uid = $2")
                .bind(cluster.as_str())
                .bind(uid)
                .execute(self.connection())
                .await
                .map_err(database)?;
        Ok(done.rows_affected())
    }

    /// Writes down that a service account is gone, which ends what was vended for it until now. Those from before
    /// `forgotten` are forgotten.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_service_account(
        &mut self,
        cluster: &ClusterId,
        uid: &str,
        now: Timestamp,
        forgotten: Timestamp,
    ) -> Result<()> {
        sqlx::query("DELETE FROM service_account_ends WHERE ended_at < $1")
            .bind(forgotten.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        // Later than the end before, whatever the clock says: what began in between is over, too.
        sqlx::query(
            "INSERT INTO service_account_ends (id, ended_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET ended_at = \
             CASE WHEN excluded.ended_at > service_account_ends.ended_at THEN excluded.ended_at \
             ELSE service_account_ends.ended_at + 1 END",
        )
        .bind(called(cluster, uid))
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}
