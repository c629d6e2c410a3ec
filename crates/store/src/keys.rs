//! Access keys. The secret half is sealed by the caller before it comes here.

use domain::{AccessKeyId, AccountId, Error, PrincipalId, Result, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::{database, unless_taken};
use crate::sessions::AncestorKind;
use crate::transaction::{Page, ReadTx, WriteTx};

/// An access key as stored.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// The public half.
    pub id: AccessKeyId,
    /// The tenant.
    pub account: AccountId,
    /// Whose key it is.
    pub user: PrincipalId,
    /// The secret half, sealed.
    pub sealed_secret: String,
    /// A disabled key's signatures are refused.
    pub enabled: bool,
    /// A note of its owner.
    pub description: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// The last request that it signed, to some minutes; `None` if there was none.
    pub last_used_at: Option<Timestamp>,
    /// From when on its signatures are refused; `None` for one that lasts until somebody ends it.
    pub ends_at: Option<Timestamp>,
}

impl WriteTx {
    /// Adds an access key.
    ///
    /// # Errors
    /// `Conflict` if the id was ever used.
    pub async fn insert_access_key(&mut self, key: &AccessKey) -> Result<()> {
        self.take_id("access-key", "access key", key.id.as_str()).await?;
        let inserted = sqlx::query(
            "INSERT INTO access_keys (id, account_id, user_id, sealed_secret, enabled, description, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(key.id.as_str())
        .bind(key.account.as_str())
        .bind(key.user.as_str())
        .bind(key.sealed_secret.as_str())
        .bind(i64::from(key.enabled))
        .bind(key.description.as_str())
        .bind(key.created_at.as_millis())
        .execute(self.connection())
        .await;
        unless_taken(inserted, || Error::conflict("the access key id is in use"))?;
        Ok(())
    }

    /// Enables or disables a key of the account; disabling it ends what it began. Returns whether there is one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_access_key_enabled(&mut self, id: &str, enabled: i64) -> Result<bool> {
        if enabled == 0 {
            self.end_sessions_of_key(id).await?;
        }
        let account = self.account().clone();
        let done = sqlx::query("UPDATE access_keys SET enabled = $3 WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id)
            .bind(enabled)
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a key of the account, and ends what it began. Returns whether there was one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_access_key(&mut self, id: &str) -> Result<bool> {
        self.delete_descendants(AncestorKind::AccessKey, id).await?;
        let account = self.account().clone();
        let done = sqlx::query("DELETE FROM access_keys WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id)
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}

impl ReadTx {
    /// The key with that id, of whatever account: the request that names it has not proved anything yet.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn access_key(&mut self, id: &str) -> Result<Option<AccessKey>> {
        let row = sqlx::query(
            "SELECT id, account_id, user_id, sealed_secret, enabled, description, created_at, last_used_at, ends_at \
             FROM access_keys \
             WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(access_key).transpose()
    }

    /// A page of the account's keys.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn access_keys(&mut self, account: &AccountId, page: &Page) -> Result<Vec<AccessKey>> {
        let rows = sqlx::query(
            "SELECT id, account_id, user_id, sealed_secret, enabled, description, created_at, last_used_at, ends_at \
             FROM access_keys \
             WHERE account_id = $1 AND (created_at > $2 OR (created_at = $2 AND id > $3)) \
             ORDER BY created_at, id LIMIT $4",
        )
        .bind(account.as_str())
        .bind(page.after_millis())
        .bind(page.after_id())
        .bind(page.limit)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(access_key).collect()
    }

    /// All keys of one user.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn access_keys_of(&mut self, user: &PrincipalId) -> Result<Vec<AccessKey>> {
        let rows = sqlx::query(
            "SELECT id, account_id, user_id, sealed_secret, enabled, description, created_at, last_used_at, ends_at \
             FROM access_keys \
             WHERE user_id = $1 ORDER BY created_at, id",
        )
        .bind(user.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(access_key).collect()
    }
}

fn access_key(row: &AnyRow) -> Result<AccessKey> {
    let id: String = row.try_get("id").map_err(database)?;
    let account: String = row.try_get("account_id").map_err(database)?;
    let user: String = row.try_get("user_id").map_err(database)?;
    let enabled: i64 = row.try_get("enabled").map_err(database)?;
    let last_used_at: Option<i64> = row.try_get("last_used_at").map_err(database)?;
    let ends_at: Option<i64> = row.try_get("ends_at").map_err(database)?;
    Ok(AccessKey {
        id: AccessKeyId::stored(&id),
        account: AccountId::stored(&account),
        user: PrincipalId::stored(&user),
        sealed_secret: row.try_get("sealed_secret").map_err(database)?,
        enabled: enabled == 1,
        description: row.try_get("description").map_err(database)?,
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
        last_used_at: last_used_at.map(Timestamp::from_millis),
        ends_at: ends_at.map(Timestamp::from_millis),
    })
}
