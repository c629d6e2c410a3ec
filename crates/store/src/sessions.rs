//! Sessions: tokens and temporary keys, with everything that each of them came from. Kept as hashes and sealed: whoever
//! reads the database cannot use one.
//!
//! **Invariant:** a session has all ancestors of what it was derived from, and that itself. So what ends with something
//! is found by one look at `session_ancestors`, at any depth.

use domain::{AccountId, PrincipalId, ProjectId, Result, SessionId, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::{corrupt, database};
use crate::transaction::{ReadTx, WriteTx};

/// SQL that counts 1 if the ancestor `a` of a session still is what it was when the session began, at `$2`.
macro_rules! ancestor_lives {
    () => {
        "CASE a.kind \
         WHEN 'principal' THEN (SELECT COUNT(*) FROM principals p LEFT JOIN agency_details d \
             ON d.agency_id = p.id WHERE p.id = a.ancestor_id AND p.enabled = 1 AND p.ended = a.epoch \
             AND (d.expires_at IS NULL OR d.expires_at > $2)) \
         WHEN 'password' THEN (SELECT COUNT(*) FROM principals p WHERE p.id = a.ancestor_id \
             AND p.passwords_set = a.epoch) \
         WHEN 'access-key' THEN (SELECT COUNT(*) FROM access_keys k WHERE k.id = a.ancestor_id \
             AND k.enabled = 1 AND k.ended = a.epoch AND (k.ends_at IS NULL OR k.ends_at > $2)) \
         WHEN 'association' THEN (SELECT COUNT(*) FROM associations s WHERE s.id = a.ancestor_id \
             AND s.ended = a.epoch) \
         WHEN 'service-account' THEN (SELECT CASE WHEN COUNT(*) = 0 THEN 1 ELSE 0 END FROM service_account_ends s \
             WHERE s.id = a.ancestor_id AND s.ended_at > a.epoch) \
         ELSE (SELECT COUNT(*) FROM sessions f WHERE f.id = a.ancestor_id AND f.expires_at > $2) \
             + (SELECT COUNT(*) FROM vended_sessions f WHERE f.id = a.ancestor_id AND f.expires_at > $2) END"
    };
}
pub(crate) use ancestor_lives;

/// What a session came from, whether each of that still is what it was, and when it ends.
pub(crate) const LIVING: &str = concat!(
    "SELECT a.kind, a.ancestor_id, a.account_id, a.epoch, COALESCE(CASE a.kind \
     WHEN 'principal' THEN (SELECT d.expires_at FROM agency_details d WHERE d.agency_id = a.ancestor_id) \
     WHEN 'session' THEN COALESCE((SELECT s.expires_at FROM sessions s WHERE s.id = a.ancestor_id), \
     (SELECT s.expires_at FROM vended_sessions s WHERE s.id = a.ancestor_id)) \
     END, o.expires_at) AS ends, o.expires_at AS own_end, ",
    ancestor_lives!(),
    " AS alive FROM all_ancestors a JOIN all_sessions o ON o.id = a.session_id \
     WHERE a.session_id = $1 AND o.id = $1 AND o.expires_at > $2",
);

/// What is shown of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// A token, shown as it is.
    Token,
    /// A key that signs, shown with a security token.
    TemporaryKey,
}

impl SessionKind {
    /// `token` or `temporary-key`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::TemporaryKey => "temporary-key",
        }
    }

    pub(crate) fn stored(text: &str) -> Option<Self> {
        [Self::Token, Self::TemporaryKey].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A session as stored.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its public name; of a temporary key, the access key id.
    pub id: SessionId,
    /// Token or temporary key.
    pub kind: SessionKind,
    /// The tenant.
    pub account: AccountId,
    /// As whom it acts: a user, or an agency that was assumed.
    pub principal: PrincipalId,
    /// The project it is scoped to; `None` for the whole account.
    pub project: Option<ProjectId>,
    /// What whoever began it calls it; empty if nothing.
    pub name: String,
    /// How it was come by, the last way last.
    pub methods: Vec<String>,
    /// Who assumed the agency, perhaps of another account.
    pub assumer: Option<PrincipalId>,
    /// Documents that limit it, as JSON.
    pub limits: String,
    /// Its tags, as JSON.
    pub tags: String,
    /// Who is behind it, as its first ancestor said; empty if nobody said so.
    pub source_identity: String,
    /// Hex SHA-256 of the token, or of the security token.
    pub proof_hash: String,
    /// The secret half of a temporary key, sealed.
    pub sealed_secret: Option<String>,
    /// When it began.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a session may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AncestorKind {
    /// Somebody: the user who logged in, an agency on the way.
    Principal,
    /// A user's password; the ancestor has the user's id.
    Password,
    /// An access key that lasts.
    AccessKey,
    /// Another session.
    Session,
    /// A pod identity association, by its id.
    Association,
    /// A service account of a cluster, as `<cluster id>/<uid>`.
    ServiceAccount,
}

impl AncestorKind {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Password => "password",
            Self::AccessKey => "access-key",
            Self::Session => "session",
            Self::Association => "association",
            Self::ServiceAccount => "service-account",
        }
    }

    fn stored(text: &str) -> Option<Self> {
        let all = [
            Self::Principal,
            Self::Password,
            Self::AccessKey,
            Self::Session,
            Self::Association,
            Self::ServiceAccount,
        ];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Something that a session came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// What it is.
    pub kind: AncestorKind,
    /// Its id.
    pub id: String,
    /// The tenant it belongs to.
    pub account: AccountId,
    /// How often everything that came from it had been ended when the session began; of a service account, when that was
    /// last, in milliseconds.
    pub epoch: i64,
}

/// What a living session came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingAncestors {
    /// All of it.
    pub ancestors: Vec<Ancestor>,
    /// When the first of it ends, or the session itself: an agency's end may have been moved after the session began.
    pub until: Timestamp,
}

impl WriteTx {
    /// Adds a session, and forgets those of the account that are over.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_session(&mut self, session: &Session, ancestors: &[Ancestor]) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE account_id = $1 AND expires_at < $2")
            .bind(session.account.as_str())
            .bind(session.issued_at.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        sqlx::query(
            "INSERT INTO sessions (id, kind, account_id, principal_id, project_id, name, methods, assumer_id, \
             limits, tags, source_identity, proof_hash, sealed_secret, issued_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind(session.id.as_str())
        .bind(session.kind.as_str())
        .bind(session.account.as_str())
        .bind(session.principal.as_str())
        .bind(session.project.as_ref().map(|id| id.as_str().to_owned()))
        .bind(session.name.as_str())
        .bind(session.methods.join(" "))
        .bind(session.assumer.as_ref().map(|id| id.as_str().to_owned()))
        .bind(session.limits.as_str())
        .bind(session.tags.as_str())
        .bind(session.source_identity.as_str())
        .bind(session.proof_hash.as_str())
        .bind(session.sealed_secret.clone())
        .bind(session.issued_at.as_millis())
        .bind(session.expires_at.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        self.insert_ancestors(&session.id, ancestors).await
    }

    /// All in one statement: each takes a way to the database and back.
    async fn insert_ancestors(&mut self, session: &SessionId, ancestors: &[Ancestor]) -> Result<()> {
        if ancestors.is_empty() {
            return Ok(());
        }
        let row = |first: usize| format!("($1, ${}, ${}, ${}, ${})", first, first + 1, first + 2, first + 3);
        let rows: Vec<String> = (0..ancestors.len()).map(|number| row(2 + 4 * number)).collect();
        // Somebody may be on the way twice; the first time counts, because it is the older one.
        let text = format!(
            "INSERT INTO session_ancestors (session_id, kind, ancestor_id, account_id, epoch) VALUES {} \
             ON CONFLICT (session_id, kind, ancestor_id) DO NOTHING",
            rows.join(", ")
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(session.as_str());
        for ancestor in ancestors {
            query = query
                .bind(ancestor.kind.as_str())
                .bind(ancestor.id.as_str())
                .bind(ancestor.account.as_str())
                .bind(ancestor.epoch);
        }
        query.execute(self.connection()).await.map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// The session whose token or security token has that hash, ended or not, of whatever account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn session_by_proof(&mut self, hash: &str) -> Result<Option<Session>> {
        let row = sqlx::query(
            "SELECT id, kind, account_id, principal_id, project_id, name, methods, assumer_id, limits, tags, \
             source_identity, proof_hash, sealed_secret, issued_at, expires_at FROM sessions \
             WHERE proof_hash = $1",
        )
        .bind(hash)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(session).transpose()
    }

    /// The session with that id, ended or not, of whatever account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn session(&mut self, id: &str) -> Result<Option<Session>> {
        let row = sqlx::query(
            "SELECT id, kind, account_id, principal_id, project_id, name, methods, assumer_id, limits, tags, \
             source_identity, proof_hash, sealed_secret, issued_at, expires_at FROM sessions WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(session).transpose()
    }

    /// What a session came from, if it and all of that is still good: people are enabled, keys too, sessions are
    /// there and not over, and nothing was ended since. `None` if not. Ends are seen here whatever was deleted, so a
    /// session that was derived while its parent was ended never lives.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn living_ancestors(&mut self, id: &str, now: Timestamp) -> Result<Option<LivingAncestors>> {
        let rows = sqlx::query(LIVING)
            .bind(id)
            .bind(now.as_millis())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        let mut ancestors = Vec::with_capacity(rows.len());
        let mut until = i64::MAX;
        for row in &rows {
            let number = |column| row.try_get::<i64, _>(column).map_err(database);
            if number("alive")? == 0 {
                return Ok(None);
            }
            until = until.min(number("ends")?).min(number("own_end")?);
            ancestors.push(ancestor(row, id)?);
        }
        // Every session has ancestors: none means that there is no such session.
        let found = LivingAncestors { ancestors, until: Timestamp::from_millis(until) };
        Ok(Some(found).filter(|found| !found.ancestors.is_empty()))
    }

    /// How many sessions of that name that act as a principal and that nobody assumed are not over.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_sessions_named(
        &mut self,
        principal: &PrincipalId,
        name: &str,
        now: Timestamp,
    ) -> Result<i64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM sessions WHERE principal_id = $1 AND name = $2 AND expires_at > $3 \
             AND assumer_id IS NULL",
        )
        .bind(principal.as_str())
        .bind(name)
        .bind(now.as_millis())
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        row.try_get("n").map_err(database)
    }

    /// How many sessions that act as a principal are not over. Of an agency, only those that `assumer` began count:
    /// else one who may assume it could keep the others out.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_sessions_of(
        &mut self,
        principal: &PrincipalId,
        assumer: Option<&PrincipalId>,
        now: Timestamp,
    ) -> Result<i64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM sessions \
             WHERE principal_id = $1 AND expires_at > $2 AND COALESCE(assumer_id, '') = $3",
        )
        .bind(principal.as_str())
        .bind(now.as_millis())
        .bind(assumer.map(PrincipalId::as_str).unwrap_or_default())
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        row.try_get("n").map_err(database)
    }
}

fn session(row: &AnyRow) -> Result<Session> {
    let id: String = row.try_get("id").map_err(database)?;
    let kind: String = row.try_get("kind").map_err(database)?;
    let account: String = row.try_get("account_id").map_err(database)?;
    let principal: String = row.try_get("principal_id").map_err(database)?;
    let project: Option<String> = row.try_get("project_id").map_err(database)?;
    let methods: String = row.try_get("methods").map_err(database)?;
    let assumer: Option<String> = row.try_get("assumer_id").map_err(database)?;
    Ok(Session {
        kind: SessionKind::stored(&kind).ok_or_else(|| corrupt("sessions", "kind", &id))?,
        id: SessionId::stored(&id),
        account: AccountId::stored(&account),
        principal: PrincipalId::stored(&principal),
        project: project.as_deref().map(ProjectId::stored),
        name: row.try_get("name").map_err(database)?,
        methods: methods.split_whitespace().map(str::to_owned).collect(),
        assumer: assumer.as_deref().map(PrincipalId::stored),
        limits: row.try_get("limits").map_err(database)?,
        tags: row.try_get("tags").map_err(database)?,
        source_identity: row.try_get("source_identity").map_err(database)?,
        proof_hash: row.try_get("proof_hash").map_err(database)?,
        sealed_secret: row.try_get("sealed_secret").map_err(database)?,
        issued_at: Timestamp::from_millis(row.try_get("issued_at").map_err(database)?),
        expires_at: Timestamp::from_millis(row.try_get("expires_at").map_err(database)?),
    })
}

fn ancestor(row: &AnyRow, session: &str) -> Result<Ancestor> {
    let kind: String = row.try_get("kind").map_err(database)?;
    let account: String = row.try_get("account_id").map_err(database)?;
    Ok(Ancestor {
        kind: AncestorKind::stored(&kind).ok_or_else(|| corrupt("session_ancestors", "kind", session))?,
        id: row.try_get("ancestor_id").map_err(database)?,
        account: AccountId::stored(&account),
        epoch: row.try_get("epoch").map_err(database)?,
    })
}
