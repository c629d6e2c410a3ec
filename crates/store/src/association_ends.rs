//! The ends of pod identity associations, and what agents that ask what changed since need to know of them.

use domain::{AccountId, AssociationId, ClusterId, PrincipalId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::open::Store;
use crate::transaction::{ReadTx, WriteTx};

impl Store {
    /// Forgets which associations ended before `before`. Agents that ask about an earlier time are told everything. Returns
    /// how many ends were forgotten.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_association_ends(&self, before: Timestamp) -> Result<u64> {
        let mut tx = self.begin_write(&AccountId::stored(""), 0).await?;
        sqlx::query(
            "INSERT INTO association_ends_forgotten (cluster_id, revision) \
             SELECT cluster_id, MAX(revision) FROM association_ends WHERE ended_at < $1 GROUP BY cluster_id \
             ON CONFLICT (cluster_id) DO UPDATE SET revision = excluded.revision",
        )
        .bind(before.as_millis())
        .execute(tx.connection())
        .await
        .map_err(database)?;
        let done = sqlx::query("DELETE FROM association_ends WHERE ended_at < $1")
            .bind(before.as_millis())
            .execute(tx.connection())
            .await
            .map_err(database)?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}

impl WriteTx {
    /// Ends all associations of a cluster. Returns how many there were.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_associations_of_cluster(&mut self, cluster: &ClusterId, now: Timestamp) -> Result<u64> {
        let remember = "INSERT INTO association_ends (id, account_id, cluster_id, revision, ended_at) \
                        SELECT id, account_id, cluster_id, $2, $3 FROM associations WHERE cluster_id = $1";
        self.end_associations(
            remember,
            "DELETE FROM associations WHERE cluster_id = $1",
            cluster.as_str(),
            now,
        )
        .await
    }

    /// Ends all associations of an agency. Returns how many there were.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_associations_of_agency(&mut self, agency: &PrincipalId, now: Timestamp) -> Result<u64> {
        let remember = "INSERT INTO association_ends (id, account_id, cluster_id, revision, ended_at) \
                        SELECT id, account_id, cluster_id, $2, $3 FROM associations WHERE agency_id = $1";
        self.end_associations(remember, "DELETE FROM associations WHERE agency_id = $1", agency.as_str(), now)
            .await
    }

    async fn end_associations(
        &mut self,
        remember: &'static str,
        delete: &'static str,
        of: &str,
        now: Timestamp,
    ) -> Result<u64> {
        let revision = self.revision();
        sqlx::query(remember)
            .bind(of)
            .bind(revision)
            .bind(now.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        let done = sqlx::query(delete).bind(of).execute(self.connection()).await.map_err(database)?;
        if done.rows_affected() > 0 {
            self.note_ended();
        }
        Ok(done.rows_affected())
    }
}

impl ReadTx {
    /// The ids of associations of a cluster that were deleted after `after`.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn association_ends(&mut self, cluster: &ClusterId, after: i64) -> Result<Vec<AssociationId>> {
        let rows = sqlx::query(
            "SELECT id FROM association_ends WHERE cluster_id = $1 AND revision > $2 ORDER BY revision, id",
        )
        .bind(cluster.as_str())
        .bind(after)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| Ok(AssociationId::stored(row.try_get::<&str, _>("id").map_err(database)?)))
            .collect()
    }

    /// The revision at which an association of the cluster was last made, changed or ended; 0 if there never was one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn newest_association(&mut self, cluster: &ClusterId) -> Result<i64> {
        let row = sqlx::query(
            "SELECT COALESCE((SELECT MAX(revision) FROM associations WHERE cluster_id = $1), 0) AS changed, \
             COALESCE((SELECT MAX(revision) FROM association_ends WHERE cluster_id = $1), 0) AS ended, \
             COALESCE((SELECT revision FROM association_ends_forgotten WHERE cluster_id = $1), 0) AS forgotten",
        )
        .bind(cluster.as_str())
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        let number = |column| row.try_get::<i64, _>(column).map_err(database);
        Ok(number("changed")?.max(number("ended")?).max(number("forgotten")?))
    }

    /// Up to which revision it is not known any more which associations of the cluster ended; 0 if all of it is.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn association_ends_forgotten(&mut self, cluster: &ClusterId) -> Result<i64> {
        let row = sqlx::query("SELECT revision FROM association_ends_forgotten WHERE cluster_id = $1")
            .bind(cluster.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        row.map_or(Ok(0), |row| row.try_get("revision").map_err(database))
    }
}
