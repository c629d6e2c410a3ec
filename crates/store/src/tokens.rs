//! Tokens, kept as hashes: whoever reads the database cannot use one.

use domain::{AccountId, PrincipalId, ProjectId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// A token as stored.
#[derive(Clone, Debug)]
pub struct Token {
    /// Hex SHA-256 of the token.
    pub hash: String,
    /// The tenant.
    pub account: AccountId,
    /// Whose token it is.
    pub user: PrincipalId,
    /// The project it is scoped to; `None` for the whole account.
    pub project: Option<ProjectId>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl WriteTx {
    /// Adds a token, and forgets those of the account that ended.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_token(&mut self, token: &Token) -> Result<()> {
        sqlx::query("DELETE FROM tokens WHERE expires_at < $1 AND account_id = $2")
            .bind(token.issued_at.as_millis())
            .bind(token.account.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        sqlx::query(
            "INSERT INTO tokens (hash, account_id, user_id, project_id, issued_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(token.hash.as_str())
        .bind(token.account.as_str())
        .bind(token.user.as_str())
        .bind(token.project.as_ref().map(|id| id.as_str().to_owned()))
        .bind(token.issued_at.as_millis())
        .bind(token.expires_at.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Ends a token of the account. Returns whether there was one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_token(&mut self, hash: &str) -> Result<bool> {
        let account = self.account().clone();
        let done = sqlx::query("DELETE FROM tokens WHERE account_id = $1 AND hash = $2")
            .bind(account.as_str())
            .bind(hash)
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends all tokens of a user.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_tokens_of(&mut self, user: &PrincipalId) -> Result<()> {
        sqlx::query("DELETE FROM tokens WHERE user_id = $1")
            .bind(user.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// The token with that hash, ended or not, of whatever account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn token(&mut self, hash: &str) -> Result<Option<Token>> {
        let row = sqlx::query(
            "SELECT account_id, user_id, project_id, issued_at, expires_at FROM tokens WHERE hash = $1",
        )
        .bind(hash)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let account: String = row.try_get("account_id").map_err(database)?;
        let user: String = row.try_get("user_id").map_err(database)?;
        let project: Option<String> = row.try_get("project_id").map_err(database)?;
        Ok(Some(Token {
            hash: hash.to_owned(),
            account: AccountId::stored(&account),
            user: PrincipalId::stored(&user),
            project: project.as_deref().map(ProjectId::stored),
            issued_at: Timestamp::from_millis(row.try_get("issued_at").map_err(database)?),
            expires_at: Timestamp::from_millis(row.try_get("expires_at").map_err(database)?),
        }))
    }
}
