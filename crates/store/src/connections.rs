//! The life of a cluster's connection: which cluster it leads to, what comes in its place, and its end.

use std::collections::BTreeSet;

use domain::{ClusterId, ClusterIdentity, ConnectionState, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// A connection that takes the place of another.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// Where the API server is.
    pub server: String,
    /// The connection, sealed.
    pub sealed: String,
    /// The version of the connection that it replaces.
    pub instead_of: i64,
    /// How it stands.
    pub state: ConnectionState,
    /// The cluster behind it.
    pub identity: ClusterIdentity,
    /// Until when it is meant to last; what was said of the former one otherwise.
    pub declared_end: Option<Timestamp>,
}

/// What is known of a cluster's connection besides itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// Changes whenever the connection does.
    pub version: i64,
    /// The connection, sealed; `None` for a detached cluster.
    pub sealed: Option<String>,
    /// The cluster behind it; `None` if it was never reached.
    pub identity: Option<ClusterIdentity>,
    /// Whether the cluster was removed.
    pub removed: bool,
    /// Whether it is suspended, because its connection leads to another cluster than before.
    pub suspended: bool,
    /// Why it does not answer; empty if all is well.
    pub reason: String,
}

impl ReadTx {
    /// What is known of a cluster's connection, removed or not, of whatever account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn connection_facts(&mut self, id: &ClusterId) -> Result<Option<ConnectionFacts>> {
        let row = sqlx::query(
            "SELECT connection_version, sealed_connection, identified_at, identity_uid, identity_keys, \
             connection_reason, CASE WHEN removed_at IS NULL THEN 0 ELSE 1 END AS removed, \
             CASE WHEN suspended_at IS NULL THEN 0 ELSE 1 END AS suspended FROM clusters WHERE id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let identified: Option<i64> = row.try_get("identified_at").map_err(database)?;
        let keys: String = row.try_get("identity_keys").map_err(database)?;
        let identity = ClusterIdentity {
            uid: row.try_get("identity_uid").map_err(database)?,
            keys: keys.lines().map(str::to_owned).collect(),
        };
        let removed: i64 = row.try_get("removed").map_err(database)?;
        let suspended: i64 = row.try_get("suspended").map_err(database)?;
        Ok(Some(ConnectionFacts {
            version: row.try_get("connection_version").map_err(database)?,
            sealed: row.try_get("sealed_connection").map_err(database)?,
            identity: identified.map(|_| identity),
            removed: removed == 1,
            suspended: suspended == 1,
            reason: row.try_get("connection_reason").map_err(database)?,
        }))
    }
}

impl WriteTx {
    /// Writes which cluster a connection leads to. Nothing happens if the connection is another by now.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_identity(
        &mut self,
        id: &ClusterId,
        connection_version: i64,
        identity: &ClusterIdentity,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE clusters SET identified_at = $3, identity_uid = $4, identity_keys = $5 \
             WHERE id = $1 AND connection_version = $2",
        )
        .bind(id.as_str())
        .bind(connection_version)
        .bind(now.as_millis())
        .bind(identity.uid.clone())
        .bind(lines(&identity.keys))
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Puts a connection in the place of another. Returns whether that was still there.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn replace_connection(
        &mut self,
        id: &ClusterId,
        new: &NewConnection,
        now: Timestamp,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE clusters SET server = $3, sealed_connection = $4, connection_version = connection_version + 1, \
             connection_state = $5, connection_reason = '', identified_at = $6, identity_uid = $7, \
             identity_keys = $8, connection_since = $6, declared_end = COALESCE($9, declared_end), updated_at = $6 \
             WHERE id = $1 AND connection_version = $2 AND removed_at IS NULL",
        )
        .bind(id.as_str())
        .bind(new.instead_of)
        .bind(new.server.as_str())
        .bind(new.sealed.as_str())
        .bind(new.state.as_str())
        .bind(now.as_millis())
        .bind(new.identity.uid.clone())
        .bind(lines(&new.identity.keys))
        .bind(new.declared_end.map(Timestamp::as_millis))
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// Suspends the cluster's grants until [`WriteTx::resume_cluster`]. What is recorded as applied stays recorded: it is
    /// still there, in the cluster as it was.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn suspend_cluster(&mut self, id: &ClusterId, now: Timestamp) -> Result<()> {
        sqlx::query("UPDATE clusters SET suspended_at = $2 WHERE id = $1")
            .bind(id.as_str())
            .bind(now.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Ends the suspension. Returns whether there was one. What is known of grants is about the cluster as it was, so
    /// each has to be seen anew. Recorded names stay: the worker forgets those that it does not find.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn resume_cluster(&mut self, id: &ClusterId, now: Timestamp) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE clusters SET suspended_at = NULL, updated_at = $2 \
             WHERE id = $1 AND suspended_at IS NOT NULL AND removed_at IS NULL",
        )
        .bind(id.as_str())
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "UPDATE grant_states SET state = 'pending', reason = '', since = $2, observed_generation = 0 \
             WHERE cluster_id = $1 AND state <> 'revoked'",
        )
        .bind(id.as_str())
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(true)
    }

    /// Ends the connection of a removed cluster, whatever is left there.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn abandon_connection(&mut self, id: &ClusterId) -> Result<()> {
        sqlx::query(
            "UPDATE clusters SET sealed_connection = NULL, server = NULL, connection_state = 'detached', \
             connection_reason = '', connection_version = connection_version + 1 \
             WHERE id = $1 AND removed_at IS NOT NULL",
        )
        .bind(id.as_str())
        .execute(self.connection())
        .await
        .map_err(database)?;
        self.forget_work(id).await
    }

    async fn forget_work(&mut self, id: &ClusterId) -> Result<()> {
        for statement in [
            "DELETE FROM applied_names WHERE cluster_id = $1",
            "DELETE FROM grant_states WHERE cluster_id = $1",
        ] {
            sqlx::query(statement).bind(id.as_str()).execute(self.connection()).await.map_err(database)?;
        }
        Ok(())
    }
}

fn lines(texts: &BTreeSet<String>) -> String {
    texts.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}
