//! How client certificates end: by a revoke, or sooner or later than they were to.

use domain::{CertificateId, ClusterId, PrincipalId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::sessions::Ancestor;
use crate::transaction::{ReadTx, WriteTx};

impl WriteTx {
    /// Moves the end of those lasting certificates of a holder in a cluster that are signed and live, never beyond what
    /// they say themselves.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_certificates_end(
        &mut self,
        cluster: &ClusterId,
        principal: &PrincipalId,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE certificates SET expires_at = CASE WHEN not_after < $3 THEN not_after ELSE $3 END \
             WHERE cluster_id = $1 AND principal_id = $2 AND lasting = 1 AND not_after IS NOT NULL \
             AND revoked_at IS NULL AND expires_at > $4",
        )
        .bind(cluster.as_str())
        .bind(principal.as_str())
        .bind(end.as_millis())
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Revokes one certificate. Returns whether it was not over.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn revoke_certificate(&mut self, id: &CertificateId, now: Timestamp) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE certificates SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2",
        )
        .bind(id.as_str())
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// Revokes those of a holder in one cluster that are not over, and forgets which lifetime was chosen. Returns how
    /// many there were.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn revoke_certificates_of(
        &mut self,
        cluster: &ClusterId,
        principal: &PrincipalId,
        now: Timestamp,
    ) -> Result<u64> {
        sqlx::query("DELETE FROM certificate_lifetimes WHERE cluster_id = $1 AND principal_id = $2")
            .bind(cluster.as_str())
            .bind(principal.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        let done = sqlx::query(
            "UPDATE certificates SET revoked_at = $3 WHERE cluster_id = $1 AND principal_id = $2 \
             AND revoked_at IS NULL AND expires_at > $3",
        )
        .bind(cluster.as_str())
        .bind(principal.as_str())
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected())
    }

    /// Revokes those of a holder that are not over, wherever they count. Returns how many there were.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn revoke_certificates_of_principal(
        &mut self,
        principal: &PrincipalId,
        now: Timestamp,
    ) -> Result<u64> {
        let statement = "UPDATE certificates SET revoked_at = $2 WHERE principal_id = $1 AND revoked_at IS NULL \
                         AND expires_at > $2";
        self.revoke_all(statement, principal.as_str(), now).await
    }

    /// Revokes those of a cluster that are not over. Returns how many there were.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn revoke_certificates_of_cluster(
        &mut self,
        cluster: &ClusterId,
        now: Timestamp,
    ) -> Result<u64> {
        let statement = "UPDATE certificates SET revoked_at = $2 WHERE cluster_id = $1 AND revoked_at IS NULL \
                         AND expires_at > $2";
        self.revoke_all(statement, cluster.as_str(), now).await
    }

    /// Revokes those of every account that are not over. Only within [`Store::write_all`](crate::Store::write_all).
    /// Returns how many there were.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn revoke_every_certificate(&mut self, now: Timestamp) -> Result<u64> {
        let done = sqlx::query(
            "UPDATE certificates SET revoked_at = $1 WHERE revoked_at IS NULL AND expires_at > $1",
        )
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected())
    }

    /// Revokes those of the account that were asked for with a token, or with one that came from it. Returns nothing: they
    /// are counted before, with those of other accounts.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn revoke_certificates_of_session(&mut self, session: &str, now: Timestamp) -> Result<()> {
        let account = self.account().clone();
        sqlx::query(
            "UPDATE certificates SET revoked_at = $3 WHERE account_id = $1 AND revoked_at IS NULL AND expires_at > $3 \
             AND asked_with IN ('token', 'lent') AND (asked_id = $2 OR asked_id IN \
             (SELECT session_id FROM session_ancestors WHERE kind = 'session' AND ancestor_id = $2))",
        )
        .bind(account.as_str())
        .bind(session)
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    async fn revoke_all(&mut self, statement: &'static str, of: &str, now: Timestamp) -> Result<u64> {
        let done = sqlx::query(statement)
            .bind(of)
            .bind(now.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(done.rows_affected())
    }

    /// Forgets certificates of the account that were over before `at`.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_certificates(&mut self, at: Timestamp) -> Result<()> {
        let account = self.account().clone();
        sqlx::query(
            "DELETE FROM certificates WHERE account_id = $1 AND issued_at < $2 \
             AND (expires_at < $2 OR revoked_at < $2)",
        )
        .bind(account.as_str())
        .bind(at.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Notes for how many hours the lasting certificates of somebody are to be good in a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_certificate_lifetime(
        &mut self,
        cluster: &ClusterId,
        principal: &PrincipalId,
        hours: i64,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO certificate_lifetimes (cluster_id, principal_id, hours) VALUES ($1, $2, $3) \
             ON CONFLICT (cluster_id, principal_id) DO UPDATE SET hours = EXCLUDED.hours",
        )
        .bind(cluster.as_str())
        .bind(principal.as_str())
        .bind(hours)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// The user names of those certificates of a cluster that its API server still takes and that bindings may name: they are
    /// not over, or ended with the removal of the cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn certificates_left(&mut self, cluster: &ClusterId, now: Timestamp) -> Result<Vec<String>> {
        let rows = sqlx::query(concat!(
            "SELECT c.user_name AS user_name FROM certificates c JOIN clusters k ON k.id = c.cluster_id \
             WHERE c.cluster_id = $1 AND COALESCE(c.not_after, c.expires_at) > $2 \
             AND (c.revoked_at >= k.removed_at OR (c.revoked_at IS NULL AND c.expires_at > $2 AND ",
            crate::certificates::still_asked!(),
            ")) ORDER BY c.user_name",
        ))
        .bind(cluster.as_str())
        .bind(now.as_millis())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(|row| row.try_get("user_name").map_err(database)).collect()
    }

    /// How many certificates that are not over were asked for with something, or with a session that came from it, of
    /// whatever account. Those that a principal holds are not counted with the principal.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_certificates_from(&mut self, from: &Ancestor, now: Timestamp) -> Result<u64> {
        let row = sqlx::query(concat!(
            "SELECT COUNT(*) AS n FROM certificates c WHERE c.expires_at > $2 AND c.revoked_at IS NULL \
             AND ($1 <> 'principal' OR c.principal_id <> $3) AND ((c.asked_id = $3 AND $1 IN ('access-key', 'session')) \
             OR ($1 = 'principal' AND c.issued_by = $3 AND c.asked_with IN ('token', 'access-key')) \
             OR (c.asked_with IN ('token', 'lent') AND c.asked_id IN (SELECT d.session_id FROM session_ancestors d \
             WHERE d.kind = $1 AND d.ancestor_id = $3 AND d.epoch = $4)) OR (c.asked_with = 'lent' AND EXISTS \
             (SELECT v.id FROM vended_sessions v WHERE v.id = c.asked_id AND (($1 = 'principal' \
             AND ((v.agency_id = $3 AND v.agency_ended = $4) OR (v.messenger_id = $3 AND v.messenger_ended = $4))) \
             OR ($1 = 'association' AND v.association_id = $3 AND v.association_ended = $4) \
             OR ($1 = 'service-account' AND v.cluster_id || '/' || v.service_account_uid = $3 \
             AND v.service_account_ended = $4))))) AND ",
            crate::certificates::still_asked!(),
        ))
        .bind(from.kind.as_str())
        .bind(now.as_millis())
        .bind(from.id.as_str())
        .bind(from.epoch)
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        let n: i64 = row.try_get("n").map_err(database)?;
        Ok(u64::try_from(n).unwrap_or_default())
    }

    /// The hours that were chosen for somebody's lasting certificates in a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn certificate_lifetime(
        &mut self,
        cluster: &ClusterId,
        principal: &PrincipalId,
    ) -> Result<Option<i64>> {
        let row = sqlx::query(
            "SELECT hours FROM certificate_lifetimes WHERE cluster_id = $1 AND principal_id = $2",
        )
        .bind(cluster.as_str())
        .bind(principal.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.map(|row| row.try_get("hours").map_err(database)).transpose()
    }
}
