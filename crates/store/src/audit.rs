//! Who did what, written in the commit that did it.

use domain::{PrincipalId, Result, Timestamp};

use crate::error::database;
use crate::transaction::WriteTx;

/// One thing that was done.
#[derive(Clone, Debug)]
pub struct AuditEvent<'a> {
    /// Unique.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: &'a PrincipalId,
    /// What was done, as an action name.
    pub action: &'a str,
    /// To what: `grant/<id>` and the like.
    pub resource: &'a str,
    /// The request that did it.
    pub request_id: &'a str,
    /// The address it came from.
    pub source: &'a str,
}

impl WriteTx {
    /// Adds the event to this commit.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; the change then does not happen either.
    pub async fn audit(&mut self, event: &AuditEvent<'_>) -> Result<()> {
        let account = self.account().clone();
        let revision = self.revision();
        sqlx::query(
            "INSERT INTO audit_events (id, account_id, revision, at, actor_id, action, resource, request_id, source) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(event.id.as_str())
        .bind(account.as_str())
        .bind(revision)
        .bind(event.at.as_millis())
        .bind(event.actor.as_str())
        .bind(event.action)
        .bind(event.resource)
        .bind(event.request_id)
        .bind(event.source)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}
