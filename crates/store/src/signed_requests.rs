//! Signed requests that changed something, remembered in the commit that did it for as long as their signatures are
//! good: whoever sends one again, to whichever server of this database, is known by it.

use domain::{AccountId, GrantId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::open::Store;
use crate::transaction::WriteTx;

/// What is remembered of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRow {
    /// Stands for access key and signature.
    pub digest: String,
    /// When the signature ends.
    pub valid_until: Timestamp,
}

/// What the first of several equal requests did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstOutcome {
    /// The number of its commit.
    pub revision: i64,
    /// What the audit says it did; empty if it changed nothing.
    pub action: String,
    /// To what; empty if it changed nothing.
    pub resource: String,
    /// Its id; empty if it changed nothing.
    pub request_id: String,
}

impl WriteTx {
    /// Remembers the request in this commit. Returns whether it is the first of its kind.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn remember_signed(&mut self, row: &SignedRow) -> Result<bool> {
        let (account, revision) = (self.account().clone(), self.revision());
        let done = sqlx::query(
            "INSERT INTO signed_requests (valid_until, account_id, digest, revision) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(row.valid_until.as_millis())
        .bind(account.as_str())
        .bind(row.digest.as_str())
        .bind(revision)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// What the request did when it came first; `None` if it is not remembered.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn first_outcome(&mut self, row: &SignedRow) -> Result<Option<FirstOutcome>> {
        let account = self.account().clone();
        let found = sqlx::query(
            "SELECT s.revision AS revision, COALESCE(a.action, '') AS action, \
             COALESCE(a.resource, '') AS resource, COALESCE(a.request_id, '') AS request_id \
             FROM signed_requests s LEFT JOIN audit_events a \
             ON a.account_id = s.account_id AND a.revision = s.revision AND a.outcome = 'done' \
             WHERE s.valid_until = $1 AND s.account_id = $2 AND s.digest = $3",
        )
        .bind(row.valid_until.as_millis())
        .bind(account.as_str())
        .bind(row.digest.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        let Some(found) = found else { return Ok(None) };
        let text = |column: &str| found.try_get::<String, _>(column).map_err(database);
        Ok(Some(FirstOutcome {
            revision: found.try_get("revision").map_err(database)?,
            action: text("action")?,
            resource: text("resource")?,
            request_id: text("request_id")?,
        }))
    }

    /// Whether a later commit of the account than `revision` was about `resource`, as the audit names it.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn changed_since(&mut self, resource: &str, revision: i64) -> Result<bool> {
        let account = self.account().clone();
        let row = sqlx::query(
            "SELECT id FROM audit_events \
             WHERE account_id = $1 AND revision > $2 AND resource = $3 AND outcome = 'done' LIMIT 1",
        )
        .bind(account.as_str())
        .bind(revision)
        .bind(resource)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        Ok(row.is_some())
    }

    /// Which version of a grant the commit `revision` left.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grant_generation_at(&mut self, grant: &GrantId, revision: i64) -> Result<Option<i64>> {
        let row = sqlx::query(
            "SELECT generation FROM grant_history WHERE grant_id = $1 AND revision <= $2 \
             ORDER BY generation DESC LIMIT 1",
        )
        .bind(grant.as_str())
        .bind(revision)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.map(|row| row.try_get("generation")).transpose().map_err(database)
    }
}

impl Store {
    /// Forgets requests whose signatures ended before `at`, at most `limit` of them. Returns how many.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_signed(&self, at: Timestamp, limit: i64) -> Result<u64> {
        let mut tx = self.begin_write(&AccountId::stored(""), 0).await?;
        // One end is some second's requests of all accounts: deleting by ends needs no other index.
        let done = sqlx::query(
            "DELETE FROM signed_requests WHERE valid_until < $1 AND valid_until <= \
             (SELECT MAX(valid_until) FROM (SELECT valid_until FROM signed_requests WHERE valid_until < $1 \
             ORDER BY valid_until LIMIT $2) AS oldest)",
        )
        .bind(at.as_millis())
        .bind(limit)
        .execute(tx.connection())
        .await
        .map_err(database)?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}
