//! Ending sessions with what they came from.
//!
//! Two things end a session: the number beside its ancestor, which every look at the session compares, and its
//! deletion. The number alone would do; it also reaches sessions of other accounts, whose rows are not ours to write
//! while we hold one account's lock. Deleting makes the table small. What was vended to pods is left to the number: it has no
//! indexes by which it would be found, and does not live long.

use domain::{AccountId, PrincipalId, Result, SessionId, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::{corrupt, database};
use crate::sessions::{Ancestor, AncestorKind, SessionKind};
use crate::transaction::{ReadTx, WriteTx};

/// A session that comes from something, at any depth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// Its id.
    pub id: SessionId,
    /// Token or temporary key.
    pub kind: SessionKind,
    /// The tenant, perhaps another one.
    pub account: AccountId,
    /// As whom it acts.
    pub principal: PrincipalId,
}

/// How many sessions come from something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Tokens.
    pub tokens: i64,
    /// Temporary keys.
    pub temporary_keys: i64,
}

impl WriteTx {
    /// Deletes the account's sessions that come from something.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_descendants(&mut self, kind: AncestorKind, id: &str) -> Result<()> {
        self.note_ended();
        let account = self.account().clone();
        sqlx::query(
            "DELETE FROM sessions WHERE account_id = $1 AND id IN \
             (SELECT session_id FROM session_ancestors WHERE kind = $2 AND ancestor_id = $3)",
        )
        .bind(account.as_str())
        .bind(kind.as_str())
        .bind(id)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Deletes one session of the account; what comes from it is over with it, and certificates that were asked for with
    /// any of that. Returns whether there was one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_session(&mut self, id: &str, now: Timestamp) -> Result<bool> {
        self.revoke_certificates_of_session(id, now).await?;
        self.delete_descendants(AncestorKind::Session, id).await?;
        let account = self.account().clone();
        let deleted = sqlx::query("DELETE FROM sessions WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id)
            .execute(self.connection())
            .await
            .map_err(database)?;
        // The row is the audit's, too, and remembers the request: sent again, that gets nothing.
        let ended = sqlx::query(
            "UPDATE vended_sessions SET expires_at = issued_at WHERE account_id = $1 AND id = $2 AND expires_at > $3",
        )
        .bind(account.as_str())
        .bind(id)
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(deleted.rows_affected() + ended.rows_affected() == 1)
    }

    /// Ends everything that a principal of the account began, or that was begun as it, at any depth.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_sessions_of_principal(&mut self, id: &PrincipalId) -> Result<()> {
        let account = self.account().clone();
        sqlx::query("UPDATE principals SET ended = ended + 1 WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        self.delete_descendants(AncestorKind::Principal, id.as_str()).await
    }

    /// Ends everything that an access key of the account began, at any depth.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_sessions_of_key(&mut self, id: &str) -> Result<()> {
        let account = self.account().clone();
        sqlx::query("UPDATE access_keys SET ended = ended + 1 WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id)
            .execute(self.connection())
            .await
            .map_err(database)?;
        self.delete_descendants(AncestorKind::AccessKey, id).await
    }

    /// Takes away a principal's right to act, until somebody gives it back, and ends what they began.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn disable_principal(&mut self, id: &PrincipalId) -> Result<()> {
        let account = self.account().clone();
        sqlx::query("UPDATE principals SET enabled = 0 WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        self.end_sessions_of_principal(id).await
    }
}

impl ReadTx {
    /// A principal as an ancestor of what begins now, if it may act.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn principal_as_ancestor(
        &mut self,
        account: &AccountId,
        id: &PrincipalId,
    ) -> Result<Option<Ancestor>> {
        let row =
            sqlx::query("SELECT ended FROM principals WHERE account_id = $1 AND id = $2 AND enabled = 1")
                .bind(account.as_str())
                .bind(id.as_str())
                .fetch_optional(self.connection())
                .await
                .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let epoch = row.try_get("ended").map_err(database)?;
        let (id, account) = (id.as_str().to_owned(), account.clone());
        Ok(Some(Ancestor { kind: AncestorKind::Principal, id, account, epoch }))
    }

    /// A user's password as an ancestor of what begins now.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn password_as_ancestor(
        &mut self,
        account: &AccountId,
        user: &PrincipalId,
    ) -> Result<Option<Ancestor>> {
        let row = sqlx::query("SELECT passwords_set FROM principals WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(user.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let epoch = row.try_get("passwords_set").map_err(database)?;
        let (id, account) = (user.as_str().to_owned(), account.clone());
        Ok(Some(Ancestor { kind: AncestorKind::Password, id, account, epoch }))
    }

    /// An access key as an ancestor of what begins now, if it is enabled.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn key_as_ancestor(&mut self, account: &AccountId, id: &str) -> Result<Option<Ancestor>> {
        let row =
            sqlx::query("SELECT ended FROM access_keys WHERE account_id = $1 AND id = $2 AND enabled = 1")
                .bind(account.as_str())
                .bind(id)
                .fetch_optional(self.connection())
                .await
                .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let epoch = row.try_get("ended").map_err(database)?;
        let (id, account) = (id.to_owned(), account.clone());
        Ok(Some(Ancestor { kind: AncestorKind::AccessKey, id, account, epoch }))
    }

    /// How many sessions that are not over come from something since it was last ended, of whatever account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_derived(&mut self, from: &Ancestor, now: Timestamp) -> Result<Ended> {
        let rows = sqlx::query(
            "SELECT s.kind, COUNT(*) AS n FROM sessions s JOIN session_ancestors a ON a.session_id = s.id \
             WHERE a.kind = $1 AND a.ancestor_id = $2 AND a.epoch = $3 AND s.expires_at > $4 GROUP BY s.kind",
        )
        .bind(from.kind.as_str())
        .bind(from.id.as_str())
        .bind(from.epoch)
        .bind(now.as_millis())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let mut ended = Ended::default();
        for row in rows {
            let kind: String = row.try_get("kind").map_err(database)?;
            let n: i64 = row.try_get("n").map_err(database)?;
            match SessionKind::stored(&kind).ok_or_else(|| corrupt("sessions", "kind", &from.id))? {
                SessionKind::Token => ended.tokens = n,
                SessionKind::TemporaryKey => ended.temporary_keys = n,
            }
        }
        ended.temporary_keys += self.count_vended_from(from, now).await?;
        Ok(ended)
    }

    /// The first of them by id.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn derived(&mut self, from: &Ancestor, now: Timestamp, most: i64) -> Result<Vec<Derived>> {
        let rows = sqlx::query(
            "SELECT s.id, s.kind, s.account_id, s.principal_id \
             FROM sessions s JOIN session_ancestors a ON a.session_id = s.id \
             WHERE a.kind = $1 AND a.ancestor_id = $2 AND a.epoch = $3 AND s.expires_at > $4 \
             ORDER BY s.id LIMIT $5",
        )
        .bind(from.kind.as_str())
        .bind(from.id.as_str())
        .bind(from.epoch)
        .bind(now.as_millis())
        .bind(most)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let vended = self.vended_from(from, now, most).await?;
        let mut all = rows.iter().chain(&vended).map(derived).collect::<Result<Vec<Derived>>>()?;
        all.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        all.truncate(usize::try_from(most).unwrap_or_default());
        Ok(all)
    }
}

fn derived(row: &AnyRow) -> Result<Derived> {
    let id: String = row.try_get("id").map_err(database)?;
    let kind: String = row.try_get("kind").map_err(database)?;
    let account: String = row.try_get("account_id").map_err(database)?;
    let principal: String = row.try_get("principal_id").map_err(database)?;
    Ok(Derived {
        kind: SessionKind::stored(&kind).ok_or_else(|| corrupt("sessions", "kind", &id))?,
        id: SessionId::stored(&id),
        account: AccountId::stored(&account),
        principal: PrincipalId::stored(&principal),
    })
}
