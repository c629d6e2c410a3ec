//! The root user of an account, for whoever has to get back into it.

use domain::{AccountId, Principal, PrincipalId, PrincipalKind, Result};
use sqlx::Row;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

impl ReadTx {
    /// The account's root user.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn root_of(&mut self, account: &AccountId) -> Result<Option<Principal>> {
        let row =
            sqlx::query("SELECT id FROM principals WHERE account_id = $1 AND root = 1 AND kind = 'user'")
                .bind(account.as_str())
                .fetch_optional(self.connection())
                .await
                .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let id: String = row.try_get("id").map_err(database)?;
        self.principal_named(account, PrincipalKind::User, &id).await
    }
}

impl WriteTx {
    /// Lets a disabled principal act again.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn enable_principal(&mut self, id: &PrincipalId) -> Result<()> {
        let account = self.account().clone();
        sqlx::query("UPDATE principals SET enabled = 1 WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }
}
