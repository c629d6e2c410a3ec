//! Sessions that are vended to pods. Thousands of pods start at once, so each is one row at the end of one table, which is
//! its line of the audit, too, and several are written with one statement. No secret is among its columns: the key follows
//! from the id.

use std::collections::HashSet;

use domain::{AccountId, AssociationId, ClusterId, PrincipalId, Result, SessionId, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::database;
use crate::open::Store;
use crate::rows::{placeholders, portions};
use crate::sessions::{Ancestor, AncestorKind};
use crate::transaction::{ReadTx, WriteTx};

/// What is called so in the audit.
pub const VENDED: &str = "bailiwick:podIdentity:vend";

/// The longest that anything lives that is vended, in seconds: of the rows, which stay for years, no older one is looked at.
pub const LONGEST_VENDED: i64 = 43_200;

/// What was vended until then is over.
fn oldest(now: Timestamp) -> Timestamp {
    now.plus_seconds(-LONGEST_VENDED)
}

/// The statement about what was vended in the account `$1` since `$2` and comes from `$3` since its `$4`th end, and is not over
/// at `$5`; none for what nothing vended comes from.
macro_rules! from_statement {
    ($kind:expr, $before:literal, $after:literal) => {
        match $kind {
            AncestorKind::Principal => Some(concat!(
                $before,
                "account_id = $1 AND issued_at > $2 AND ((agency_id = $3 AND agency_ended = $4) \
                 OR (messenger_id = $3 AND messenger_ended = $4)) AND expires_at > $5",
                $after
            )),
            AncestorKind::Association => Some(concat!(
                $before,
                "account_id = $1 AND issued_at > $2 AND association_id = $3 AND association_ended = $4 \
                 AND expires_at > $5",
                $after
            )),
            AncestorKind::ServiceAccount => Some(concat!(
                $before,
                "account_id = $1 AND issued_at > $2 AND cluster_id || '/' || service_account_uid = $3 \
                 AND service_account_ended = $4 AND expires_at > $5",
                $after
            )),
            AncestorKind::Password | AncestorKind::AccessKey | AncestorKind::Session => None,
        }
    };
}

/// A session that was vended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendedSession {
    /// The access key id. Later ones are greater.
    pub id: SessionId,
    /// The tenant.
    pub account: AccountId,
    /// As which agency it acts, and how often everything that was begun as it had been ended then.
    pub agency: (PrincipalId, i64),
    /// Who brought the token, and the same of them; `None` if the pod did.
    pub messenger: Option<(PrincipalId, i64)>,
    /// By which association, and the same of it.
    pub association: (AssociationId, i64),
    /// To whom.
    pub to: VendedTo,
    /// When.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Who asked for it, as people read it.
    pub actor_name: String,
    /// The request that asked.
    pub request_id: String,
    /// The address that it came from.
    pub source: String,
}

/// To whom a session was vended: what a token proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendedTo {
    /// In which cluster.
    pub cluster: ClusterId,
    /// What that was called then.
    pub cluster_name: String,
    /// The namespace.
    pub namespace: String,
    /// The name of the service account.
    pub service_account: String,
    /// Its uid.
    pub service_account_uid: String,
    /// When a service account with that uid had been seen to be gone last, in milliseconds; 0 if never.
    pub service_account_ended: i64,
    /// Name and uid of the pod; `None` if the token was bound to none.
    pub pod: Option<(String, String)>,
}

/// What is counted of a vended session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendedUntil {
    /// The uid of the service account.
    pub service_account: String,
    /// The uid of the pod; empty if the token was bound to none.
    pub pod: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl WriteTx {
    /// Adds sessions. Returns the ids of those that were not there; of equal ones among them, one is added.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_vended(&mut self, sessions: &[&VendedSession]) -> Result<HashSet<String>> {
        let mut added = HashSet::with_capacity(sessions.len());
        for portion in portions(sessions) {
            self.insert_portion(portion, &mut added).await?;
        }
        Ok(added)
    }

    async fn insert_portion(
        &mut self,
        sessions: &[&VendedSession],
        added: &mut HashSet<String>,
    ) -> Result<()> {
        let text = format!(
            "INSERT INTO vended_sessions (id, account_id, agency_id, agency_ended, messenger_id, messenger_ended, \
             association_id, association_ended, cluster_id, cluster_name, namespace, service_account, \
             service_account_uid, service_account_ended, pod, pod_uid, issued_at, expires_at, actor_name, request_id, \
             source) VALUES {} ON CONFLICT DO NOTHING RETURNING id",
            placeholders(self.connection(), sessions.len(), 21)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for session in sessions {
            let to = &session.to;
            let messenger = session.messenger.as_ref();
            let pod = to.pod.as_ref();
            query = query
                .bind(session.id.as_str())
                .bind(session.account.as_str())
                .bind(session.agency.0.as_str())
                .bind(session.agency.1)
                .bind(messenger.map_or("", |(id, _)| id.as_str()))
                .bind(messenger.map_or(0, |(_, ended)| *ended))
                .bind(session.association.0.as_str())
                .bind(session.association.1)
                .bind(to.cluster.as_str())
                .bind(to.cluster_name.as_str())
                .bind(to.namespace.as_str())
                .bind(to.service_account.as_str())
                .bind(to.service_account_uid.as_str())
                .bind(to.service_account_ended)
                .bind(pod.map_or("", |(name, _)| name.as_str()))
                .bind(pod.map_or("", |(_, uid)| uid.as_str()))
                .bind(session.issued_at.as_millis())
                .bind(session.expires_at.as_millis())
                .bind(session.actor_name.as_str())
                .bind(session.request_id.as_str())
                .bind(session.source.as_str());
        }
        for row in query.fetch_all(self.connection()).await.map_err(database)? {
            added.insert(row.try_get("id").map_err(database)?);
        }
        Ok(())
    }

    /// Takes sessions back that were added in this transaction.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn take_vended_back(&mut self, ids: &[SessionId]) -> Result<()> {
        for id in ids {
            sqlx::query("DELETE FROM vended_sessions WHERE id = $1")
                .bind(id.as_str())
                .execute(self.connection())
                .await
                .map_err(database)?;
        }
        Ok(())
    }
}

impl Store {
    /// Forgets for which service accounts something was vended that is over since `at`.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_vended_for(&self, at: Timestamp) -> Result<u64> {
        let mut tx = self.begin_write(&AccountId::stored(""), 0).await?;
        let done = sqlx::query(self.backend.forget_vended_for())
            .bind(at.as_millis())
            .execute(tx.connection())
            .await
            .map_err(database)?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}

impl ReadTx {
    /// The vended session with that id, ended or not, of whatever account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn vended_session(&mut self, id: &str) -> Result<Option<VendedSession>> {
        let row = sqlx::query(
            "SELECT id, account_id, agency_id, agency_ended, messenger_id, messenger_ended, association_id, \
             association_ended, cluster_id, cluster_name, namespace, service_account, service_account_uid, \
             service_account_ended, pod, pod_uid, issued_at, expires_at, actor_name, request_id, source \
             FROM vended_sessions WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(vended).transpose()
    }

    /// To whom sessions were vended in a cluster of the account that are not over, one entry for each.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn vended_in(
        &mut self,
        account: &AccountId,
        cluster: &ClusterId,
        now: Timestamp,
    ) -> Result<Vec<VendedUntil>> {
        let rows = sqlx::query(
            "SELECT service_account_uid, pod_uid, expires_at FROM vended_sessions \
             WHERE account_id = $1 AND issued_at > $2 AND cluster_id = $3 AND expires_at > $4",
        )
        .bind(account.as_str())
        .bind(oldest(now).as_millis())
        .bind(cluster.as_str())
        .bind(now.as_millis())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                Ok(VendedUntil {
                    service_account: row.try_get("service_account_uid").map_err(database)?,
                    pod: row.try_get("pod_uid").map_err(database)?,
                    expires_at: Timestamp::from_millis(row.try_get("expires_at").map_err(database)?),
                })
            })
            .collect()
    }

    /// The ids of those that come from something since it was last ended and are not over, the first of them.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub(crate) async fn vended_from(
        &mut self,
        from: &Ancestor,
        now: Timestamp,
        most: i64,
    ) -> Result<Vec<AnyRow>> {
        let Some(statement) = from_statement!(
            from.kind,
            "SELECT id, 'temporary-key' AS kind, account_id, agency_id AS principal_id FROM vended_sessions WHERE ",
            " ORDER BY issued_at, id LIMIT $6"
        ) else {
            return Ok(Vec::new());
        };
        sqlx::query(statement)
            .bind(from.account.as_str())
            .bind(oldest(now).as_millis())
            .bind(from.id.as_str())
            .bind(from.epoch)
            .bind(now.as_millis())
            .bind(most)
            .fetch_all(self.connection())
            .await
            .map_err(database)
    }

    /// How many there are of these.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub(crate) async fn count_vended_from(&mut self, from: &Ancestor, now: Timestamp) -> Result<i64> {
        let Some(statement) =
            from_statement!(from.kind, "SELECT COUNT(*) AS n FROM vended_sessions WHERE ", "")
        else {
            return Ok(0);
        };
        let row = sqlx::query(statement)
            .bind(from.account.as_str())
            .bind(oldest(now).as_millis())
            .bind(from.id.as_str())
            .bind(from.epoch)
            .bind(now.as_millis())
            .fetch_one(self.connection())
            .await
            .map_err(database)?;
        row.try_get("n").map_err(database)
    }
}

fn vended(row: &AnyRow) -> Result<VendedSession> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(database);
    let principal = |id: &str, ended: &str| Ok((PrincipalId::stored(&text(id)?), number(ended)?));
    let (pod, pod_uid) = (text("pod")?, text("pod_uid")?);
    Ok(VendedSession {
        id: SessionId::stored(&text("id")?),
        account: AccountId::stored(&text("account_id")?),
        agency: principal("agency_id", "agency_ended")?,
        messenger: Some(principal("messenger_id", "messenger_ended")?)
            .filter(|(id, _)| !id.as_str().is_empty()),
        association: (AssociationId::stored(&text("association_id")?), number("association_ended")?),
        to: VendedTo {
            cluster: ClusterId::stored(&text("cluster_id")?),
            cluster_name: text("cluster_name")?,
            namespace: text("namespace")?,
            service_account: text("service_account")?,
            service_account_uid: text("service_account_uid")?,
            service_account_ended: number("service_account_ended")?,
            pod: (!pod_uid.is_empty()).then_some((pod, pod_uid)),
        },
        issued_at: Timestamp::from_millis(number("issued_at")?),
        expires_at: Timestamp::from_millis(number("expires_at")?),
        actor_name: text("actor_name")?,
        request_id: text("request_id")?,
        source: text("source")?,
    })
}
