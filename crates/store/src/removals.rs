//! Bindings whose end no recorded revoke explains. They stay until somebody says that they may go.

use domain::{ClusterId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::names::AppliedName;
use crate::transaction::{ReadTx, WriteTx};

/// A binding that would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingRemoval {
    /// Which binding.
    pub object: AppliedName,
    /// Whom it would take what, for people.
    pub what: String,
    /// Since when it waits.
    pub since: Timestamp,
    /// Whether somebody said that it may go.
    pub confirmed: bool,
}

impl WriteTx {
    /// Adds a binding that waits; one that waits already is left as it is.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_waiting_removal(
        &mut self,
        cluster: &ClusterId,
        waiting: &WaitingRemoval,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO waiting_removals (cluster_id, namespace, name, what, since, confirmed) \
             VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT DO NOTHING",
        )
        .bind(cluster.as_str())
        .bind(waiting.object.namespace.clone().unwrap_or_default())
        .bind(waiting.object.name.as_str())
        .bind(waiting.what.as_str())
        .bind(waiting.since.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Forgets a binding that waited.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_waiting_removal(&mut self, cluster: &ClusterId, object: &AppliedName) -> Result<()> {
        sqlx::query("DELETE FROM waiting_removals WHERE cluster_id = $1 AND namespace = $2 AND name = $3")
            .bind(cluster.as_str())
            .bind(object.namespace.clone().unwrap_or_default())
            .bind(object.name.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Lets everything go that waits in a cluster. Returns how many that are.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn confirm_removals(&mut self, cluster: &ClusterId) -> Result<u64> {
        let done =
            sqlx::query("UPDATE waiting_removals SET confirmed = 1 WHERE cluster_id = $1 AND confirmed = 0")
                .bind(cluster.as_str())
                .execute(self.connection())
                .await
                .map_err(database)?;
        Ok(done.rows_affected())
    }
}

impl ReadTx {
    /// What waits in a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn waiting_removals(&mut self, cluster: &ClusterId) -> Result<Vec<WaitingRemoval>> {
        let rows = sqlx::query(
            "SELECT namespace, name, what, since, confirmed FROM waiting_removals WHERE cluster_id = $1 \
             ORDER BY namespace, name",
        )
        .bind(cluster.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                let namespace: String = row.try_get("namespace").map_err(database)?;
                let confirmed: i64 = row.try_get("confirmed").map_err(database)?;
                let name = row.try_get("name").map_err(database)?;
                Ok(WaitingRemoval {
                    object: AppliedName { namespace: Some(namespace).filter(|n| !n.is_empty()), name },
                    what: row.try_get("what").map_err(database)?,
                    since: Timestamp::from_millis(row.try_get("since").map_err(database)?),
                    confirmed: confirmed == 1,
                })
            })
            .collect()
    }
}
