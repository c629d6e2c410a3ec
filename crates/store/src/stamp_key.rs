//! The key that seals stamps, itself sealed by the master key.

use domain::Result;
use sqlx::Row;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// The id of the one row.
pub const STAMP_KEY: &str = "installation";

impl ReadTx {
    /// The key that seals stamps, sealed; `None` before the first start with a program that makes one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn sealed_stamp_key(&mut self) -> Result<Option<String>> {
        let row = sqlx::query("SELECT sealed_key FROM stamp_keys WHERE id = $1")
            .bind(STAMP_KEY)
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        row.map(|row| row.try_get("sealed_key").map_err(database)).transpose()
    }
}

impl WriteTx {
    /// Writes the key that seals stamps, unless there is one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_stamp_key(&mut self, sealed: &str) -> Result<()> {
        let account = self.account().clone();
        sqlx::query(
            "INSERT INTO stamp_keys (id, account_id, sealed_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(STAMP_KEY)
        .bind(account.as_str())
        .bind(sealed)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}
