//! Who did what, written in the commit that did it; who was refused what, written soon after; and reading both.

use domain::{AccountId, PrincipalId, Result, Timestamp};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::error::{corrupt, database};
use crate::open::Store;
use crate::transaction::{Page, ReadTx, WriteTx};

/// How what was asked for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The caller was known and may not do it.
    Refused,
    /// Nobody proved who they are.
    Unauthenticated,
}

impl Outcome {
    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Done, Self::Refused, Self::Unauthenticated].into_iter().find(|known| known.as_str() == text)
    }
}

/// Why somebody was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// A short id that the caller was told. The same refusal for the same reasons has the same one.
    pub id: String,
    /// Which statement of which policy decided, or what was missing.
    pub reasons: String,
}

/// One thing that was done, or refused.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Unique.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who did it; `None` if nobody proved who they are.
    pub actor: Option<PrincipalId>,
    /// What the actor was called then.
    pub actor_name: String,
    /// What was done, as an action name.
    pub action: String,
    /// To what: `grant/<id>` and the like.
    pub resource: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How often. What is done is done once; refusals that follow each other closely are one event.
    pub occurrences: i64,
    /// Why it was refused, where rights were the reason.
    pub explanation: Option<Explanation>,
    /// The request that did it.
    pub request_id: String,
    /// The address it came from.
    pub source: String,
}

/// An event in its place.
#[derive(Clone, Debug)]
pub struct AuditRow {
    /// The number of the commit among the account's; 0 where nothing of the account was changed.
    pub revision: i64,
    /// What happened.
    pub event: AuditEvent,
}

/// Which events are wanted. What is `None` excludes none.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// By whom: an id or a name.
    pub actor: Option<String>,
    /// Which action.
    pub action: Option<String>,
    /// To what.
    pub resource: Option<String>,
    /// For which reasons: the id that a refused caller was told.
    pub explanation: Option<String>,
    /// For which pod, where credentials were vended.
    pub pod: Option<AuditedPod>,
}

/// A pod as the audit is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditedPod {
    /// By namespace and name: every pod that ever had it.
    Named(String, String),
    /// By its uid.
    Uid(String),
}

impl AuditedPod {
    /// Reads `NAMESPACE/NAME` or a uid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let plain = |part: &str| !part.is_empty() && part.len() <= 253 && part.bytes().all(inner);
        match text.split_once('/') {
            Some((namespace, name)) if plain(namespace) && plain(name) => {
                Some(Self::Named(namespace.to_owned(), name.to_owned()))
            }
            None if plain(text) => Some(Self::Uid(text.to_owned())),
            Some(_) | None => None,
        }
    }

    /// What the resource of its events looks like. Nothing in it has a meaning of its own in patterns.
    fn pattern(&self) -> String {
        match self {
            Self::Named(namespace, name) => format!("%/pod/{namespace}/{name}/%"),
            Self::Uid(uid) => format!("%/pod/%/{uid}/%"),
        }
    }
}

/// Events of nobody's account have this one.
fn nobody() -> AccountId {
    AccountId::stored("")
}

/// What the audit calls something that was vended: where, for which pod, by which association, as which agency.
macro_rules! vended_resource {
    () => {
        "'cluster/' || cluster_id || '/service-account/' || namespace || '/' || service_account || CASE pod_uid WHEN '' \
         THEN '' ELSE '/pod/' || namespace || '/' || pod || '/' || pod_uid END || '/association/' || association_id \
         || '/agency/' || agency_id || '/temporary-key/' || id"
    };
}

/// A page of an account's events. What was vended is among them; a database reads a page of each in its order, and sorts no
/// more than both pages.
pub(crate) const PAGE: &str = concat!(
    "SELECT * FROM (SELECT id, revision, at, actor_id, actor_name, action, resource, outcome, occurrences, request_id, \
     source, explanation_id, detail FROM audit_events \
     WHERE account_id = $1 AND (at > $2 OR (at = $2 AND id > $3)) AND at >= $4 AND at < $5 \
     AND ($6 = '' OR actor_id = $6 OR actor_name = $6) AND ($7 = '' OR action = $7) \
     AND ($8 = '' OR resource = $8) AND ($9 = '' OR explanation_id = $9) AND ($10 = '' OR resource LIKE $10) \
     ORDER BY at, id LIMIT $11) AS events UNION ALL \
     SELECT * FROM (SELECT id, CAST(0 AS BIGINT), issued_at, messenger_id, actor_name, 'bailiwick:podIdentity:vend', ",
    vended_resource!(),
    ", 'done', CAST(1 AS BIGINT), request_id, source, '', '' FROM vended_sessions WHERE account_id = $1 \
     AND (issued_at > $2 OR (issued_at = $2 AND id > $3)) AND issued_at >= $4 AND issued_at < $5 \
     AND ($6 = '' OR messenger_id = $6 OR actor_name = $6) AND ($7 = '' OR $7 = 'bailiwick:podIdentity:vend') \
     AND $9 = '' AND ($8 = '' OR $8 = ",
    vended_resource!(),
    ") AND ($10 = '' OR ",
    vended_resource!(),
    " LIKE $10) ORDER BY issued_at, id LIMIT $11) AS vended ORDER BY at, id LIMIT $11"
);

impl WriteTx {
    /// Adds the event to this commit.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; the change then does not happen either.
    pub async fn audit(&mut self, event: &AuditEvent) -> Result<()> {
        let account = self.account().clone();
        let revision = self.revision();
        insert(self.connection(), &account, revision, event).await
    }
}

impl Store {
    /// Writes events that belong to no commit, in one transaction. Without an account they are nobody's.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer: then none of them is written.
    pub async fn append_audit(&self, events: &[(Option<AccountId>, AuditEvent)]) -> Result<()> {
        let mut tx = self.begin_write(&nobody(), 0).await?;
        for (account, event) in events {
            let account = account.clone().unwrap_or_else(nobody);
            insert(tx.connection(), &account, 0, event).await?;
        }
        tx.commit().await
    }

    /// Deletes events from before `at`, at most `limit` of them, oldest first. Returns how many.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn trim_audit(&self, at: Timestamp, limit: i64) -> Result<u64> {
        let mut tx = self.begin_write(&nobody(), 0).await?;
        let done = sqlx::query(
            "DELETE FROM audit_events WHERE id IN \
             (SELECT id FROM audit_events WHERE at < $1 ORDER BY at LIMIT $2)",
        )
        .bind(at.as_millis())
        .bind(limit)
        .execute(tx.connection())
        .await
        .map_err(database)?;
        // Ids grow with time: the oldest are found without an index of all accounts' times.
        let vended = sqlx::query(
            "DELETE FROM vended_sessions WHERE issued_at < $1 AND expires_at < $1 \
             AND id IN (SELECT id FROM vended_sessions ORDER BY id LIMIT $2)",
        )
        .bind(at.as_millis())
        .bind(limit)
        .execute(tx.connection())
        .await
        .map_err(database)?;
        tx.commit().await?;
        Ok(done.rows_affected() + vended.rows_affected())
    }
}

impl ReadTx {
    /// A page of the account's events, oldest first; of nobody's where there is no account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn audit_events(
        &mut self,
        account: Option<&AccountId>,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Vec<AuditRow>> {
        let account = account.cloned().unwrap_or_else(nobody);
        let text = |wanted: &Option<String>| wanted.clone().unwrap_or_default();
        let rows = sqlx::query(PAGE)
            .bind(account.as_str())
            .bind(page.after_millis())
            .bind(page.after_id())
            .bind(filter.since.map_or(i64::MIN, Timestamp::as_millis))
            .bind(filter.until.map_or(i64::MAX, Timestamp::as_millis))
            .bind(text(&filter.actor))
            .bind(text(&filter.action))
            .bind(text(&filter.resource))
            .bind(text(&filter.explanation))
            .bind(filter.pod.as_ref().map(AuditedPod::pattern).unwrap_or_default())
            .bind(page.limit)
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        rows.iter().map(row).collect()
    }

    /// The account that the first start made: its administrators run the server.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn first_account(&mut self) -> Result<Option<AccountId>> {
        let row = sqlx::query("SELECT id FROM accounts ORDER BY created_at, id LIMIT 1")
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        let id = row.map(|row| row.try_get::<String, _>("id")).transpose().map_err(database)?;
        Ok(id.map(|id| AccountId::stored(&id)))
    }
}

async fn insert(
    connection: &mut AnyConnection,
    account: &AccountId,
    revision: i64,
    event: &AuditEvent,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit_events (id, account_id, revision, at, actor_id, actor_name, action, resource, outcome, \
         occurrences, request_id, source, explanation_id, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(event.id.as_str())
    .bind(account.as_str())
    .bind(revision)
    .bind(event.at.as_millis())
    .bind(event.actor.as_ref().map_or("", PrincipalId::as_str))
    .bind(event.actor_name.as_str())
    .bind(event.action.as_str())
    .bind(event.resource.as_str())
    .bind(event.outcome.as_str())
    .bind(event.occurrences)
    .bind(event.request_id.as_str())
    .bind(event.source.as_str())
    .bind(event.explanation.as_ref().map_or("", |explanation| explanation.id.as_str()))
    .bind(event.explanation.as_ref().map_or("", |explanation| explanation.reasons.as_str()))
    .execute(connection)
    .await
    .map_err(database)?;
    Ok(())
}

fn row(row: &AnyRow) -> Result<AuditRow> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(database);
    let (id, actor, outcome) = (text("id")?, text("actor_id")?, text("outcome")?);
    let event = AuditEvent {
        at: Timestamp::from_millis(number("at")?),
        actor: Some(actor).filter(|actor| !actor.is_empty()).map(|actor| PrincipalId::stored(&actor)),
        actor_name: text("actor_name")?,
        action: text("action")?,
        resource: text("resource")?,
        outcome: Outcome::parse(&outcome).ok_or_else(|| corrupt("audit_events", "outcome", &id))?,
        occurrences: number("occurrences")?,
        explanation: Some(Explanation { id: text("explanation_id")?, reasons: text("detail")? })
            .filter(|explanation| !explanation.id.is_empty()),
        request_id: text("request_id")?,
        source: text("source")?,
        id,
    };
    Ok(AuditRow { revision: number("revision")?, event })
}
