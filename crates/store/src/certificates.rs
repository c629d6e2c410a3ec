//! Client certificates: which were issued, for whom, and which of them live.

use domain::{AccountId, CertificateId, ClusterId, Error, PrincipalId, PrincipalKind, Result, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::{corrupt, database};
use crate::transaction::{Page, ReadTx, WriteTx};

/// With what a certificate was asked for: it ends when that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedWith {
    /// With nothing: the server acted on somebody's behalf.
    Nothing,
    /// With an access key that lasts, until that is disabled or deleted.
    AccessKey {
        /// Which key.
        id: String,
        /// How often what came from it had been ended.
        epoch: i64,
    },
    /// With a token of one's own. Its time ends nothing, its revocation does, and its user's.
    Token {
        /// The token's id.
        id: String,
        /// How often what came from its user had been ended.
        epoch: i64,
    },
    /// With a session that lends for a while: it lives only while that does.
    Lent {
        /// The session's id.
        id: String,
    },
}

impl AskedWith {
    fn stored(&self) -> (&'static str, &str, i64) {
        match self {
            Self::Nothing => ("nothing", "", 0),
            Self::AccessKey { id, epoch } => ("access-key", id, *epoch),
            Self::Token { id, epoch } => ("token", id, *epoch),
            Self::Lent { id } => ("lent", id, 0),
        }
    }
}

/// SQL that is true if the certificate `c` was asked for with something that still is what it was, at `$2`. Looked at
/// with every look at a certificate, as with sessions: whatever ends a key or a session, in whatever account, cannot
/// forget the certificates.
macro_rules! still_asked {
    () => {
        concat!(
            "(CASE c.asked_with WHEN 'access-key' THEN (SELECT COUNT(*) FROM access_keys k WHERE k.id = c.asked_id \
             AND k.enabled = 1 AND k.ended = c.asked_epoch) \
             WHEN 'token' THEN (SELECT COUNT(*) FROM principals i WHERE i.id = c.issued_by AND i.enabled = 1 \
             AND i.ended = c.asked_epoch) \
             WHEN 'lent' THEN (SELECT COUNT(*) FROM sessions s WHERE s.id = c.asked_id AND s.expires_at > $2 \
             AND NOT EXISTS (SELECT a.session_id FROM session_ancestors a WHERE a.session_id = s.id AND ",
            crate::sessions::ancestor_lives!(),
            " = 0)) + (SELECT COUNT(*) FROM vended_sessions v WHERE v.id = c.asked_id AND v.expires_at > $2 \
             AND NOT EXISTS (SELECT a.kind FROM (SELECT 'principal' AS kind, v.agency_id AS ancestor_id, \
             v.agency_ended AS epoch UNION ALL SELECT 'principal', v.messenger_id, v.messenger_ended \
             WHERE v.messenger_id <> '' UNION ALL SELECT 'association', v.association_id, v.association_ended \
             UNION ALL SELECT 'service-account', v.cluster_id || '/' || v.service_account_uid, \
             v.service_account_ended) a WHERE ",
            crate::sessions::ancestor_lives!(),
            " = 0)) ELSE 1 END > 0)"
        )
    };
}

pub(crate) use still_asked;

/// A certificate that was issued. Neither it nor its key is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its serial among us.
    pub id: CertificateId,
    /// The tenant.
    pub account: AccountId,
    /// Where it counts.
    pub cluster: ClusterId,
    /// Whose it is: a user or an agency, which may be gone.
    pub principal: PrincipalId,
    /// Which of the two.
    pub kind: PrincipalKind,
    /// The holder's name when it was issued.
    pub principal_name: String,
    /// The user name in it.
    pub user_name: String,
    /// Whether it was asked for without saying for how long.
    pub lasting: bool,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// By whom.
    pub issued_by: PrincipalId,
    /// Whether that with which it was asked for has ended.
    pub source_ended: bool,
    /// When its name is bound no more.
    pub expires_at: Timestamp,
    /// When it says itself that it ends, which may be later; `None` before it is signed.
    pub not_after: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A certificate whose name is to be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveCertificate {
    /// Whose it is.
    pub principal: PrincipalId,
    /// The user name in it.
    pub user_name: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Which certificates a list is to show.
#[derive(Clone, Debug, Default)]
pub struct CertificateFilter {
    /// Those of this cluster only.
    pub cluster: Option<ClusterId>,
    /// Those of this holder only.
    pub principal: Option<PrincipalId>,
}

impl WriteTx {
    /// Adds a certificate.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_certificate(&mut self, new: &Certificate, asked: &AskedWith) -> Result<()> {
        let (asked_with, asked_id, asked_epoch) = asked.stored();
        sqlx::query(
            "INSERT INTO certificates (id, account_id, cluster_id, principal_id, principal_kind, principal_name, \
             user_name, lasting, issued_at, issued_by, expires_at, asked_with, asked_id, asked_epoch) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(new.id.as_str())
        .bind(new.account.as_str())
        .bind(new.cluster.as_str())
        .bind(new.principal.as_str())
        .bind(new.kind.as_str())
        .bind(new.principal_name.as_str())
        .bind(new.user_name.as_str())
        .bind(i64::from(new.lasting))
        .bind(new.issued_at.as_millis())
        .bind(new.issued_by.as_str())
        .bind(new.expires_at.as_millis())
        .bind(asked_with)
        .bind(asked_id)
        .bind(asked_epoch)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Notes what a certificate says of itself now that it is signed, and when it is to end. Returns whether it was not
    /// revoked meanwhile.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn note_signed(
        &mut self,
        id: &CertificateId,
        not_after: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE certificates SET not_after = $2, expires_at = $3 WHERE id = $1 AND revoked_at IS NULL",
        )
        .bind(id.as_str())
        .bind(not_after.as_millis())
        .bind(expires_at.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}

impl ReadTx {
    /// The certificates of a cluster whose names are to be bound: they are not over, their holder may act, and that with
    /// which they were asked for has not ended.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn live_certificates(
        &mut self,
        cluster: &ClusterId,
        now: Timestamp,
    ) -> Result<Vec<LiveCertificate>> {
        let rows = sqlx::query(concat!(
            "SELECT c.principal_id AS principal_id, c.user_name AS user_name, c.expires_at AS expires_at \
             FROM certificates c JOIN principals p ON p.id = c.principal_id AND p.account_id = c.account_id \
             WHERE c.cluster_id = $1 AND c.expires_at > $2 AND c.revoked_at IS NULL AND p.enabled = 1 AND ",
            still_asked!(),
        ))
        .bind(cluster.as_str())
        .bind(now.as_millis())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let live = |row: &AnyRow| -> Result<LiveCertificate> {
            let principal: String = row.try_get("principal_id").map_err(database)?;
            Ok(LiveCertificate {
                principal: PrincipalId::stored(&principal),
                user_name: row.try_get("user_name").map_err(database)?,
                expires_at: Timestamp::from_millis(row.try_get("expires_at").map_err(database)?),
            })
        };
        rows.iter().map(live).collect()
    }

    /// In which groups the holders of the cluster's certificates are that are not over: (group, user).
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn certified_memberships(
        &mut self,
        cluster: &ClusterId,
        now: Timestamp,
    ) -> Result<Vec<(PrincipalId, PrincipalId)>> {
        let rows = sqlx::query(
            "SELECT m.group_id AS group_id, m.user_id AS user_id FROM memberships m WHERE m.user_id IN \
             (SELECT principal_id FROM certificates WHERE cluster_id = $1 AND expires_at > $2 AND revoked_at IS NULL)",
        )
        .bind(cluster.as_str())
        .bind(now.as_millis())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let id = |row: &AnyRow, column: &str| -> Result<PrincipalId> {
            let text: String = row.try_get(column).map_err(database)?;
            Ok(PrincipalId::stored(&text))
        };
        rows.iter().map(|row| Ok((id(row, "group_id")?, id(row, "user_id")?))).collect()
    }

    /// Whether somebody has a certificate that is not over.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn has_certificate(&mut self, principal: &PrincipalId, now: Timestamp) -> Result<bool> {
        let row = sqlx::query(
            "SELECT id FROM certificates WHERE principal_id = $1 AND expires_at > $2 AND revoked_at IS NULL LIMIT 1",
        )
        .bind(principal.as_str())
        .bind(now.as_millis())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        Ok(row.is_some())
    }

    /// How many certificates somebody has in a cluster that are not over.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_certificates_of(
        &mut self,
        cluster: &ClusterId,
        principal: &PrincipalId,
        now: Timestamp,
    ) -> Result<i64> {
        let row = sqlx::query(concat!(
            "SELECT COUNT(*) AS n FROM certificates c WHERE c.cluster_id = $1 AND c.principal_id = $3 \
             AND c.expires_at > $2 AND c.revoked_at IS NULL AND ",
            still_asked!(),
        ))
        .bind(cluster.as_str())
        .bind(now.as_millis())
        .bind(principal.as_str())
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        row.try_get("n").map_err(database)
    }

    /// The account's certificate of that serial.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn certificate(
        &mut self,
        account: &AccountId,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Certificate>> {
        let row = sqlx::query(concat!(
            "SELECT id, account_id, cluster_id, principal_id, principal_kind, principal_name, user_name, lasting, \
             issued_at, issued_by, expires_at, not_after, revoked_at, CASE WHEN ",
            still_asked!(),
            " THEN 0 ELSE 1 END AS source_ended FROM certificates c WHERE account_id = $1 AND id = $3",
        ))
        .bind(account.as_str())
        .bind(now.as_millis())
        .bind(id)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(certificate).transpose()
    }

    /// A page of the account's certificates.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn certificates(
        &mut self,
        account: &AccountId,
        filter: &CertificateFilter,
        page: &Page,
        now: Timestamp,
    ) -> Result<Vec<Certificate>> {
        let cluster = filter.cluster.as_ref().map_or("", ClusterId::as_str);
        let principal = filter.principal.as_ref().map_or("", PrincipalId::as_str);
        let rows = sqlx::query(concat!(
            "SELECT id, account_id, cluster_id, principal_id, principal_kind, principal_name, user_name, lasting, \
             issued_at, issued_by, expires_at, not_after, revoked_at, CASE WHEN ",
            still_asked!(),
            " THEN 0 ELSE 1 END AS source_ended FROM certificates c \
             WHERE account_id = $1 AND ($7 = '' OR cluster_id = $7) AND ($3 = '' OR principal_id = $3) \
             AND (issued_at > $4 OR (issued_at = $4 AND id > $5)) ORDER BY issued_at, id LIMIT $6",
        ))
        .bind(account.as_str())
        .bind(now.as_millis())
        .bind(principal)
        .bind(page.after_millis())
        .bind(page.after_id())
        .bind(page.limit)
        .bind(cluster)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(certificate).collect()
    }
}

fn certificate(row: &AnyRow) -> Result<Certificate> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(database);
    let time = |column: &str| -> Result<Option<Timestamp>> {
        let millis: Option<i64> = row.try_get(column).map_err(database)?;
        Ok(millis.map(Timestamp::from_millis))
    };
    let id = text("id")?;
    let unknown = |_: Error| corrupt("certificates", "principal_kind", &id);
    Ok(Certificate {
        account: AccountId::stored(&text("account_id")?),
        cluster: ClusterId::stored(&text("cluster_id")?),
        principal: PrincipalId::stored(&text("principal_id")?),
        kind: PrincipalKind::parse("kind", &text("principal_kind")?).map_err(unknown)?,
        principal_name: text("principal_name")?,
        user_name: text("user_name")?,
        lasting: number("lasting")? == 1,
        issued_at: Timestamp::from_millis(number("issued_at")?),
        issued_by: PrincipalId::stored(&text("issued_by")?),
        expires_at: Timestamp::from_millis(number("expires_at")?),
        not_after: time("not_after")?,
        revoked_at: time("revoked_at")?,
        source_ended: number("source_ended")? == 1,
        id: CertificateId::stored(&id),
    })
}
