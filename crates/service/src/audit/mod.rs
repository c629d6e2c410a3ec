//! The audit: reading it, and what comes into it besides the commits. Refusals of known callers wait in a bounded
//! queue; failures without valid credentials are only counted, because anybody can cause a million of them.

mod failures;
mod refusals;

use std::sync::atomic::Ordering;

use domain::{Denial, Error, Result};
use sha2::{Digest, Sha256};
use store::{AuditEvent, ReadTx};
pub use store::{AuditFilter, AuditRow, AuditedPod, Explanation, Outcome};

pub use failures::AuthFailure;
pub(crate) use failures::Failures;
pub(crate) use refusals::{Refusal, Refusals};

use crate::authz;
use crate::call::{Call, Caller, Origin};
use crate::service::{PageRequest, Paged, Service};

/// At most so many old events are deleted at once, so that no commit waits long for it.
const TRIMMED_AT_ONCE: i64 = 5_000;
/// The longest resource that is written down.
const MAX_RESOURCE: usize = 256;

/// How the audit's queue stands, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditQueue {
    /// Refusals that wait to be written.
    pub waiting: usize,
    /// Refusals that were dropped since the start, because too many waited.
    pub dropped: u64,
}

impl Service {
    /// A page of the account's events, newest last. The account that the first start made also sees the failures
    /// without valid credentials, which are nobody's.
    ///
    /// # Errors
    /// `Invalid` naming `limit` or `cursor`.
    pub async fn list_audit_events(
        &self,
        call: &Call,
        filter: &AuditFilter,
        request: &PageRequest,
    ) -> Result<Paged<AuditRow>> {
        authz::require(call, "bailiwick:audit:list")?;
        let page = request.to_page()?;
        let mut tx = self.store.read().await?;
        let mut rows = tx.audit_events(Some(call.account()), filter, &page).await?;
        if runs_the_server(&mut tx, call).await? {
            rows.extend(tx.audit_events(None, filter, &page).await?);
            rows.sort_by_key(key);
        }
        tx.end().await?;
        request.paged(rows, key)
    }

    /// Notes that a known caller was refused. Never waits: it is written by the next [`Service::flush_audit`].
    pub fn note_refusal(&self, caller: &Caller, origin: &Origin, action: &str, resource: &str) {
        self.note(caller, origin, action, resource, None);
    }

    /// The same of a refusal by rights: what was refused and why is in the error.
    pub fn note_denial(&self, caller: &Caller, origin: &Origin, denial: &Denial, path: &str) {
        let explanation = Explanation { id: explanation_id(caller, denial), reasons: denial.reasons.clone() };
        let resource = if denial.resource.is_empty() { path } else { denial.resource.as_str() };
        self.note(caller, origin, &denial.action, resource, Some(explanation));
    }

    fn note(
        &self,
        caller: &Caller,
        origin: &Origin,
        action: &str,
        resource: &str,
        explanation: Option<Explanation>,
    ) {
        self.refusals.push(Refusal {
            explanation,
            at: self.now(),
            account: caller.account.clone(),
            actor: caller.principal.clone(),
            actor_name: caller.name.clone(),
            action: action.to_owned(),
            resource: resource.chars().take(MAX_RESOURCE).collect(),
            request_id: origin.request_id.to_string(),
            source: origin.source.to_string(),
        });
    }

    /// Counts a request that did not prove who sent it.
    pub fn note_failure(&self, origin: &Origin, reason: AuthFailure) {
        self.failures.count(&origin.source, reason, self.now());
    }

    /// Writes refusals that wait, and the counts of minutes that ended.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; what could not be written waits on.
    pub async fn flush_audit(&self) -> Result<()> {
        self.write_refusals().await?;
        self.write_failures(self.failures.take_ended(self.now())).await
    }

    /// Writes everything that waits, also the counts of the minute that is not over: the server ends.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn finish_audit(&self) -> Result<()> {
        while self.audit_queue().waiting > 0 {
            self.write_refusals().await?;
        }
        self.write_failures(self.failures.take_all()).await
    }

    /// Deletes some of the events that are older than the audit is kept.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn trim_audit(&self) -> Result<u64> {
        let kept = i64::from(self.settings.audit_retention_days).saturating_mul(24 * 3600);
        self.store.trim_audit(self.now().plus_seconds(-kept), TRIMMED_AT_ONCE).await
    }

    /// How the queue stands.
    #[must_use]
    pub fn audit_queue(&self) -> AuditQueue {
        AuditQueue { waiting: self.refusals.waiting(), dropped: self.refusals.dropped() }
    }

    /// How many requests did not prove who sent them since the start, for each reason.
    #[must_use]
    pub fn auth_failures(&self) -> Vec<(AuthFailure, u64)> {
        self.failures.totals()
    }

    async fn write_refusals(&self) -> Result<()> {
        let batch = self.refusals.take();
        if batch.is_empty() {
            return Ok(());
        }
        let events: Vec<_> = batch
            .iter()
            .map(|(refusal, times)| {
                let event = AuditEvent {
                    id: self.event_id(),
                    at: refusal.at,
                    actor: Some(refusal.actor.clone()),
                    actor_name: refusal.actor_name.clone(),
                    action: refusal.action.clone(),
                    resource: refusal.resource.clone(),
                    outcome: Outcome::Refused,
                    occurrences: *times,
                    explanation: refusal.explanation.clone(),
                    request_id: refusal.request_id.clone(),
                    source: refusal.source.clone(),
                };
                (Some(refusal.account.clone()), event)
            })
            .collect();
        let written = self.store.append_audit(&events).await;
        if written.is_err() {
            self.refusals.give_back(batch);
        }
        written
    }

    async fn write_failures(&self, ended: Vec<failures::Counted>) -> Result<()> {
        if ended.is_empty() {
            return Ok(());
        }
        let events: Vec<_> = ended
            .iter()
            .map(|counted| {
                let event = AuditEvent {
                    id: self.event_id(),
                    at: counted.minute,
                    actor: None,
                    actor_name: String::new(),
                    action: "bailiwick:authentication:fail".to_owned(),
                    resource: format!("reason/{}", counted.reason.as_str()),
                    outcome: Outcome::Unauthenticated,
                    occurrences: i64::try_from(counted.times).unwrap_or(i64::MAX),
                    explanation: None,
                    request_id: String::new(),
                    source: counted.source.clone(),
                };
                (None, event)
            })
            .collect();
        let written = self.store.append_audit(&events).await;
        if written.is_err() {
            self.failures.give_back(ended);
        }
        written
    }

    pub(crate) fn event_id(&self) -> String {
        let count = self.events.fetch_add(1, Ordering::Relaxed);
        domain::GrantId::ordered_uuid(&*self.entropy, self.now(), count).as_str().to_owned()
    }
}

/// The id under which an administrator finds why somebody was refused. It is the same for the same refusal, so that
/// whoever repeats it may be told once. It is made of nothing but what the caller knows: one that told the reasons apart
/// would tell about things and policies that are not theirs to know.
#[must_use]
pub fn explanation_id(caller: &Caller, denial: &Denial) -> String {
    let mut digest = Sha256::new();
    let account = caller.account.as_str();
    for part in [account, caller.principal.as_str(), &denial.action, &denial.resource] {
        digest.update(part.len().to_be_bytes());
        digest.update(part.as_bytes());
    }
    hex::encode(digest.finalize()).chars().take(16).collect()
}

fn key(row: &AuditRow) -> (domain::Timestamp, String) {
    (row.event.at, row.event.id.clone())
}

async fn runs_the_server(tx: &mut ReadTx, call: &Call) -> Result<bool> {
    Ok(tx.first_account().await?.as_ref() == Some(call.account()))
}

/// Reads one end of a span of time.
///
/// # Errors
/// `Invalid` naming `field`.
pub fn instant(field: &str, text: &str) -> Result<domain::Timestamp> {
    domain::Timestamp::parse_rfc3339(text)
        .ok_or_else(|| Error::invalid(field, "must be a time like 2026-11-21T20:41:00Z"))
}

/// Reads which pod somebody wants to know about.
///
/// # Errors
/// `Invalid` naming `field`.
pub fn pod(field: &str, text: &str) -> Result<AuditedPod> {
    AuditedPod::parse(text).ok_or_else(|| Error::invalid(field, "must be NAMESPACE/NAME or the uid of a pod"))
}
