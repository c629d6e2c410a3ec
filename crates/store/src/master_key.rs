//! Which master key seals, which one is to take its place, and what the servers say about that one.

use domain::{AccountId, Result, Timestamp};
use sqlx::Row;

use crate::audit::AuditEvent;
use crate::error::database;
use crate::open::Store;
use crate::transaction::{ReadTx, WriteTx};

/// Which keys this database needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyState {
    /// The id of the key that seals.
    pub current: String,
    /// The id of the key that takes its place, from its announcement until nothing is sealed by another.
    pub next: Option<String>,
}

/// What a server says about the announced key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which server, as people find it.
    pub server: String,
    /// Whether it holds the key.
    pub held: bool,
}

impl ReadTx {
    /// Which keys the database needs; `None` before the first start finished.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn master_key_state(&mut self) -> Result<Option<MasterKeyState>> {
        let row = sqlx::query(
            "SELECT i.master_key_id, r.next_key_id FROM installation i \
             LEFT JOIN master_key_rotation r ON r.one = i.one WHERE i.one = 1",
        )
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(MasterKeyState {
            current: row.try_get("master_key_id").map_err(database)?,
            next: row.try_get("next_key_id").map_err(database)?,
        }))
    }

    /// What the servers said about a key, by their names.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn master_key_answers(&mut self, key_id: &str) -> Result<Vec<Answer>> {
        let rows =
            sqlx::query("SELECT server, held FROM master_key_answers WHERE key_id = $1 ORDER BY server")
                .bind(key_id)
                .fetch_all(self.connection())
                .await
                .map_err(database)?;
        rows.iter()
            .map(|row| {
                let held: i64 = row.try_get("held").map_err(database)?;
                Ok(Answer { server: row.try_get("server").map_err(database)?, held: held == 1 })
            })
            .collect()
    }
}

impl Store {
    /// Announces the key that is to take the place of the one that seals, and asks all servers anew.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn announce_master_key(&self, key_id: &str, now: Timestamp) -> Result<()> {
        let mut tx = self.begin_of_nobody().await?;
        sqlx::query(
            "INSERT INTO master_key_rotation (one, next_key_id, begun_at) VALUES (1, $1, $2) \
             ON CONFLICT (one) DO UPDATE SET next_key_id = excluded.next_key_id",
        )
        .bind(key_id)
        .bind(now.as_millis())
        .execute(tx.connection())
        .await
        .map_err(database)?;
        sqlx::query("DELETE FROM master_key_answers").execute(tx.connection()).await.map_err(database)?;
        tx.commit().await
    }

    /// Says for a server whether it holds the announced key.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn answer_master_key(&self, key_id: &str, answer: &Answer) -> Result<()> {
        let mut tx = self.begin_of_nobody().await?;
        sqlx::query(
            "INSERT INTO master_key_answers (server, key_id, held) VALUES ($1, $2, $3) \
             ON CONFLICT (server) DO UPDATE SET key_id = excluded.key_id, held = excluded.held",
        )
        .bind(answer.server.as_str())
        .bind(key_id)
        .bind(i64::from(answer.held))
        .execute(tx.connection())
        .await
        .map_err(database)?;
        tx.commit().await
    }

    /// Lets the announced key seal from now on, in the place of `former`. Returns whether it was the announced one still,
    /// and `former` the one that sealed.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn switch_master_key(&self, former: &str, next: &str, event: &AuditEvent) -> Result<bool> {
        let mut tx = self.begin_of_nobody().await?;
        let done = sqlx::query(
            "UPDATE installation SET master_key_id = $2 \
             WHERE one = 1 AND master_key_id = $1 AND one IN (SELECT one FROM master_key_rotation WHERE next_key_id = $2)",
        )
        .bind(former)
        .bind(next)
        .execute(tx.connection())
        .await
        .map_err(database)?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        tx.audit(event).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends the announcement: nothing is sealed by another key any more.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_master_key_rotation(&self) -> Result<()> {
        let mut tx = self.begin_of_nobody().await?;
        for statement in ["DELETE FROM master_key_rotation", "DELETE FROM master_key_answers"] {
            sqlx::query(statement).execute(tx.connection()).await.map_err(database)?;
        }
        tx.commit().await
    }

    /// What concerns all accounts is nobody's: one row, written by one statement.
    async fn begin_of_nobody(&self) -> Result<WriteTx> {
        self.begin_write(&AccountId::stored(""), 0).await
    }
}
