//! What grants of custom roles are accepted to allow in each cluster.
//!
//! It ends with whatever somebody decides about the grant: replacing what it says, revoking it, removing the cluster. It
//! stays when a grant only loses somebody, so that this accepts nothing.
//!
//! Rules are kept once for a cluster, however many grants point at them, and go with the last of these.

use domain::{ClusterId, GrantId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// What a grant is accepted to allow in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRole {
    /// Which grant.
    pub grant: GrantId,
    /// The ClusterRole that the rules are of.
    pub cluster_role: String,
    /// Tells whether rules are these.
    pub digest: String,
}

impl WriteTx {
    /// Writes what a grant is accepted to allow in a cluster, if it still is of that generation.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn accept_role(
        &mut self,
        cluster: &ClusterId,
        accepted: &AcceptedRole,
        generation: i64,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO accepted_roles (cluster_id, grant_id, cluster_role, digest, accepted_at) \
             SELECT $1, g.id, $3, $4, $5 FROM grants g \
             WHERE g.id = $2 AND g.generation = $6 AND g.revoked_at IS NULL \
             ON CONFLICT (cluster_id, grant_id) DO UPDATE SET cluster_role = excluded.cluster_role, \
             digest = excluded.digest, accepted_at = excluded.accepted_at",
        )
        .bind(cluster.as_str())
        .bind(accepted.grant.as_str())
        .bind(accepted.cluster_role.as_str())
        .bind(accepted.digest.as_str())
        .bind(now.as_millis())
        .bind(generation)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Keeps the rules of a digest for a cluster. Returns whether they were not kept already.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn keep_rules(&mut self, cluster: &ClusterId, digest: &str, rules: &str) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO accepted_rules (cluster_id, digest, size, rules) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (cluster_id, digest) DO NOTHING",
        )
        .bind(cluster.as_str())
        .bind(digest)
        .bind(i64::try_from(rules.len()).unwrap_or(i64::MAX))
        .bind(rules)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() > 0)
    }

    /// How many bytes of rules are kept for a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn size_of_rules(&mut self, cluster: &ClusterId) -> Result<i64> {
        let sql =
            "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) AS size FROM accepted_rules WHERE cluster_id = $1";
        let row =
            sqlx::query(sql).bind(cluster.as_str()).fetch_one(self.connection()).await.map_err(database)?;
        row.try_get("size").map_err(database)
    }

    /// Forgets the rules kept for a cluster that no grant is accepted to have any more.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_unused_rules(&mut self, cluster: &ClusterId) -> Result<()> {
        sqlx::query(
            "DELETE FROM accepted_rules WHERE cluster_id = $1 AND digest NOT IN \
             (SELECT a.digest FROM accepted_roles a WHERE a.cluster_id = $1)",
        )
        .bind(cluster.as_str())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Forgets what a grant was accepted to allow, in every cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_accepted_roles(&mut self, grant: &GrantId) -> Result<()> {
        // The rules that nothing but this grant points at, before what points at them.
        for statement in [
            "DELETE FROM accepted_rules WHERE (cluster_id, digest) IN \
             (SELECT a.cluster_id, a.digest FROM accepted_roles a WHERE a.grant_id = $1) \
             AND NOT EXISTS (SELECT 1 FROM accepted_roles o WHERE o.cluster_id = accepted_rules.cluster_id \
             AND o.digest = accepted_rules.digest AND o.grant_id <> $1)",
            "DELETE FROM accepted_roles WHERE grant_id = $1",
        ] {
            sqlx::query(statement).bind(grant.as_str()).execute(self.connection()).await.map_err(database)?;
        }
        Ok(())
    }

    /// Forgets what a grant that lists clusters was accepted to allow in those that it does not list any more.
    pub(crate) async fn forget_dropped_clusters(&mut self, grant: &GrantId) -> Result<()> {
        for statement in [
            "DELETE FROM accepted_rules WHERE (cluster_id, digest) IN \
             (SELECT a.cluster_id, a.digest FROM accepted_roles a WHERE a.grant_id = $1 AND a.cluster_id NOT IN \
             (SELECT l.cluster_id FROM grant_clusters l WHERE l.grant_id = $1)) \
             AND NOT EXISTS (SELECT 1 FROM accepted_roles o WHERE o.cluster_id = accepted_rules.cluster_id \
             AND o.digest = accepted_rules.digest AND o.grant_id <> $1)",
            "DELETE FROM accepted_roles WHERE grant_id = $1 AND cluster_id NOT IN \
             (SELECT l.cluster_id FROM grant_clusters l WHERE l.grant_id = $1)",
        ] {
            sqlx::query(statement).bind(grant.as_str()).execute(self.connection()).await.map_err(database)?;
        }
        Ok(())
    }
}

impl ReadTx {
    /// What grants are accepted to allow in a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn accepted_roles(&mut self, cluster: &ClusterId) -> Result<Vec<AcceptedRole>> {
        let rows =
            sqlx::query("SELECT grant_id, cluster_role, digest FROM accepted_roles WHERE cluster_id = $1")
                .bind(cluster.as_str())
                .fetch_all(self.connection())
                .await
                .map_err(database)?;
        let text = |row: &sqlx::any::AnyRow, column: &str| row.try_get::<String, _>(column).map_err(database);
        let accepted = |row| {
            Ok(AcceptedRole {
                grant: GrantId::stored(&text(row, "grant_id")?),
                cluster_role: text(row, "cluster_role")?,
                digest: text(row, "digest")?,
            })
        };
        rows.iter().map(accepted).collect()
    }

    /// The rules of a digest in a cluster; `None` if they were too many to be kept.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn accepted_rules(&mut self, cluster: &ClusterId, digest: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT rules FROM accepted_rules WHERE cluster_id = $1 AND digest = $2")
            .bind(cluster.as_str())
            .bind(digest)
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        row.map(|row| row.try_get("rules").map_err(database)).transpose()
    }
}
