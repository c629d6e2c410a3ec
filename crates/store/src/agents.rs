//! Users that are the agent of pod identity in a cluster.

use domain::{ClusterId, Error, PrincipalId, Result, Timestamp};
use sqlx::Row;

use crate::error::{database, unless_taken};
use crate::transaction::{ReadTx, WriteTx};

impl WriteTx {
    /// Makes a user the agent of a cluster, for as long as there is that user.
    ///
    /// # Errors
    /// `Conflict` if the cluster has one.
    pub async fn insert_agent(&mut self, user: &PrincipalId, cluster: &ClusterId) -> Result<()> {
        let done = sqlx::query("INSERT INTO agents (user_id, cluster_id) VALUES ($1, $2)")
            .bind(user.as_str())
            .bind(cluster.as_str())
            .execute(self.connection())
            .await;
        unless_taken(done, || Error::conflict("the cluster has an agent already"))?;
        Ok(())
    }

    /// Says when a key of the account ends by itself.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_access_key_at(&mut self, id: &str, end: Timestamp) -> Result<()> {
        let account = self.account().clone();
        sqlx::query("UPDATE access_keys SET ends_at = $3 WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id)
            .bind(end.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// The user that is the agent of a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn agent_of_cluster(&mut self, cluster: &ClusterId) -> Result<Option<PrincipalId>> {
        let row = sqlx::query("SELECT user_id FROM agents WHERE cluster_id = $1")
            .bind(cluster.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        row.map(|row| Ok(PrincipalId::stored(row.try_get::<&str, _>("user_id").map_err(database)?)))
            .transpose()
    }

    /// The cluster whose agent a user is; `None` for everybody else.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn cluster_of_agent(&mut self, user: &PrincipalId) -> Result<Option<ClusterId>> {
        let row = sqlx::query("SELECT cluster_id FROM agents WHERE user_id = $1")
            .bind(user.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        row.map(|row| Ok(ClusterId::stored(row.try_get::<&str, _>("cluster_id").map_err(database)?)))
            .transpose()
    }
}
