//! Leases: which of the servers that share a database works for which cluster.
//!
//! A server shows that it lives by one counter, whatever the number of its leases; a lease has a counter of its own,
//! which moves when the holder makes sure of it. Who finds both standing still for long enough, by their own clock,
//! takes the lease and raises its epoch. What a worker writes is tied to its epoch, so that one that was asleep cannot
//! speak for its successor.

use domain::{ClusterId, Result};
use sqlx::Row;

use crate::error::database;
use crate::open::Store;
use crate::transaction::WriteTx;

const HOLDS: &str =
    "UPDATE leases SET counter = counter + 1 WHERE cluster_id = $1 AND server_id = $2 AND epoch = $3";

/// A cluster's lease as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// For which cluster.
    pub cluster: ClusterId,
    /// The server that holds it; empty if nobody does.
    pub server: String,
    /// Grows whenever the lease changes hands; 0 if nobody ever had it.
    pub epoch: i64,
    /// Grows when the holder makes sure of it.
    pub counter: i64,
    /// Grows as long as the server lives; -1 if there is no such server.
    pub server_counter: i64,
}

impl Store {
    /// The lease of every cluster that has a connection, in the order of the clusters' ids.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn leases(&self) -> Result<Vec<LeaseRow>> {
        let rows = sqlx::query(
            "SELECT c.id, COALESCE(l.server_id, '') AS server_id, COALESCE(l.epoch, 0) AS epoch, \
             COALESCE(l.counter, 0) AS counter, COALESCE(s.counter, -1) AS server_counter FROM clusters c \
             LEFT JOIN leases l ON l.cluster_id = c.id LEFT JOIN servers s ON s.id = l.server_id \
             WHERE c.sealed_connection IS NOT NULL ORDER BY c.id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                let cluster: String = row.try_get("id").map_err(database)?;
                Ok(LeaseRow {
                    cluster: ClusterId::stored(&cluster),
                    server: row.try_get("server_id").map_err(database)?,
                    epoch: row.try_get("epoch").map_err(database)?,
                    counter: row.try_get("counter").map_err(database)?,
                    server_counter: row.try_get("server_counter").map_err(database)?,
                })
            })
            .collect()
    }

    /// Every server that ever beat and did not leave, with its counter.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn servers(&self) -> Result<Vec<(String, i64)>> {
        let rows = sqlx::query("SELECT id, counter FROM servers ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .map_err(database)?;
        rows.iter()
            .map(|row| Ok((row.try_get("id").map_err(database)?, row.try_get("counter").map_err(database)?)))
            .collect()
    }

    /// Shows that `server` lives.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn beat(&self, server: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO servers (id, counter) VALUES ($1, 1) \
             ON CONFLICT (id) DO UPDATE SET counter = servers.counter + 1",
        )
        .bind(server)
        .execute(&self.pool)
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Forgets a server, unless its counter moved since it was `seen`.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_server(&self, server: &str, seen: i64) -> Result<()> {
        sqlx::query("DELETE FROM servers WHERE id = $1 AND counter = $2")
            .bind(server)
            .bind(seen)
            .execute(&self.pool)
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Takes a lease that is still exactly as it was `seen`, holder and all. Returns whether it was.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn take_lease(&self, server: &str, seen: &LeaseRow) -> Result<bool> {
        if seen.epoch == 0 {
            return self.take_first_lease(server, &seen.cluster).await;
        }
        let done = sqlx::query(
            "UPDATE leases SET server_id = $2, epoch = epoch + 1, counter = counter + 1 \
             WHERE cluster_id = $1 AND epoch = $3 AND counter = $4 AND server_id = $5 \
             AND NOT EXISTS (SELECT 1 FROM servers WHERE id = $5 AND counter <> $6)",
        )
        .bind(seen.cluster.as_str())
        .bind(server)
        .bind(seen.epoch)
        .bind(seen.counter)
        .bind(seen.server.as_str())
        .bind(seen.server_counter)
        .execute(&self.pool)
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    async fn take_first_lease(&self, server: &str, cluster: &ClusterId) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO leases (cluster_id, server_id, epoch, counter) VALUES ($1, $2, 1, 1) \
             ON CONFLICT DO NOTHING",
        )
        .bind(cluster.as_str())
        .bind(server)
        .execute(&self.pool)
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives one lease back, if it is still `server`'s of that epoch.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn release_lease(&self, server: &str, cluster: &ClusterId, epoch: i64) -> Result<()> {
        sqlx::query(
            "UPDATE leases SET server_id = '', counter = counter + 1 \
             WHERE cluster_id = $1 AND server_id = $2 AND epoch = $3",
        )
        .bind(cluster.as_str())
        .bind(server)
        .bind(epoch)
        .execute(&self.pool)
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Gives everything of `server` back, so that others need not wait.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn leave(&self, server: &str) -> Result<()> {
        sqlx::query("UPDATE leases SET server_id = '', counter = counter + 1 WHERE server_id = $1")
            .bind(server)
            .execute(&self.pool)
            .await
            .map_err(database)?;
        sqlx::query("DELETE FROM servers WHERE id = $1")
            .bind(server)
            .execute(&self.pool)
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Whether `server` holds the cluster's lease in that epoch. Nobody who saw it before can take it then.
    ///
    /// One statement on its own: a row that others wait for must not be held until somebody else's work is done.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn confirm_lease(&self, server: &str, cluster: &ClusterId, epoch: i64) -> Result<bool> {
        let done = sqlx::query(HOLDS)
            .bind(cluster.as_str())
            .bind(server)
            .bind(epoch)
            .execute(&self.pool)
            .await
            .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}

impl WriteTx {
    /// Whether `server` holds the cluster's lease in that epoch. Until this transaction ends nobody can take it.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn holds_lease(&mut self, server: &str, cluster: &ClusterId, epoch: i64) -> Result<bool> {
        let done = sqlx::query(HOLDS)
            .bind(cluster.as_str())
            .bind(server)
            .bind(epoch)
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}
