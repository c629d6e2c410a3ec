//! The one row that says what this database is.

use domain::{InstallationId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::open::Store;
use crate::transaction::ReadTx;

/// What this database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Made at the first start; marks every object that we write in clusters.
    pub id: InstallationId,
    /// The id of the key that seals secrets in this database.
    pub master_key_id: String,
    /// Whether the database holds a demo and nothing else.
    pub demo: bool,
}

impl ReadTx {
    /// What this database is; `None` before the first start finished.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn installation(&mut self) -> Result<Option<Installation>> {
        let row = sqlx::query("SELECT id, master_key_id, demo FROM installation WHERE one = 1")
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let id: String = row.try_get("id").map_err(database)?;
        let demo: i64 = row.try_get("demo").map_err(database)?;
        Ok(Some(Installation {
            id: InstallationId::stored(&id),
            master_key_id: row.try_get("master_key_id").map_err(database)?,
            demo: demo == 1,
        }))
    }
}

impl Store {
    /// Makes this database an installation, unless it is one already. Two servers that start together on an empty
    /// database both get the row of the one that came first.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn claim_installation(&self, wanted: &Installation, now: Timestamp) -> Result<Installation> {
        sqlx::query(
            "INSERT INTO installation (one, id, master_key_id, demo, created_at) VALUES (1, $1, $2, $3, $4) \
             ON CONFLICT (one) DO NOTHING",
        )
        .bind(wanted.id.as_str())
        .bind(wanted.master_key_id.as_str())
        .bind(i64::from(wanted.demo))
        .bind(now.as_millis())
        .execute(&self.pool)
        .await
        .map_err(database)?;
        let mut tx = self.read().await?;
        let found = tx.installation().await?;
        tx.end().await?;
        found.ok_or_else(|| domain::Error::internal("the installation row is missing after it was written"))
    }
}
