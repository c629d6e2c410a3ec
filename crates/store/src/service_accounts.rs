//! Service accounts of clusters that sessions come from, and those that were seen to be gone.

use domain::{AccountId, ClusterId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::open::Store;
use crate::rows::{placeholders, portions};
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
    /// The uids of a cluster's service accounts for which sessions were vended that may not be over.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn service_accounts_with_sessions(
        &mut self,
        cluster: &ClusterId,
        now: Timestamp,
    ) -> Result<Vec<String>> {
        let rows =
            sqlx::query("SELECT uid FROM vended_service_accounts WHERE cluster_id = $1 AND until > $2")
                .bind(cluster.as_str())
                .bind(now.as_millis())
                .fetch_all(self.connection())
                .await
                .map_err(database)?;
        rows.iter().map(|row| row.try_get("uid").map_err(database)).collect()
    }

    /// Whether sessions were vended for a service account that may not be over.
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
            "SELECT 1 AS one FROM vended_service_accounts WHERE cluster_id = $1 AND uid = $2 AND until > $3",
        )
        .bind(cluster.as_str())
        .bind(uid)
        .bind(now.as_millis())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        Ok(row.is_some())
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
    /// Writes down that sessions are vended for service accounts of a cluster, by uid, which end then at the latest. None of
    /// them twice.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn note_vended_for(&mut self, rows: &[(ClusterId, String, Timestamp)]) -> Result<()> {
        for rows in portions(rows) {
            let text = format!(
                "INSERT INTO vended_service_accounts (cluster_id, uid, until) VALUES {} \
                 ON CONFLICT (cluster_id, uid) DO UPDATE SET until = excluded.until \
                 WHERE excluded.until > vended_service_accounts.until",
                placeholders(self.connection(), rows.len(), 3)
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
            for (cluster, uid, until) in rows {
                query = query.bind(cluster.as_str()).bind(uid.as_str()).bind(until.as_millis());
            }
            query.execute(self.connection()).await.map_err(database)?;
        }
        Ok(())
    }

    /// Forgets that sessions were vended for a service account, because they are over with it. Returns whether there may
    /// have been any.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_vended_for(&mut self, cluster: &ClusterId, uid: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM vended_service_accounts WHERE cluster_id = $1 AND uid = $2")
            .bind(cluster.as_str())
            .bind(uid)
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(done.rows_affected() > 0)
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
