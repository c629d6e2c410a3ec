//! What grants of custom roles are accepted to allow in each cluster.
//!
//! It ends with whatever somebody decides about the grant: replacing what it says, revoking it, removing the cluster. It
//! stays when a grant only loses somebody, so that this accepts nothing.

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
        rules: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO accepted_roles (cluster_id, grant_id, cluster_role, digest, rules, accepted_at) \
             SELECT $1, g.id, $3, $4, $5, $6 FROM grants g \
             WHERE g.id = $2 AND g.generation = $7 AND g.revoked_at IS NULL \
             ON CONFLICT (cluster_id, grant_id) DO UPDATE SET cluster_role = excluded.cluster_role, \
             digest = excluded.digest, rules = excluded.rules, accepted_at = excluded.accepted_at",
        )
        .bind(cluster.as_str())
        .bind(accepted.grant.as_str())
        .bind(accepted.cluster_role.as_str())
        .bind(accepted.digest.as_str())
        .bind(rules.map(str::to_owned))
        .bind(now.as_millis())
        .bind(generation)
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
        sqlx::query("DELETE FROM accepted_roles WHERE grant_id = $1")
            .bind(grant.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
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

    /// The rules that a grant is accepted to have in a cluster; `None` if they were too many to be kept.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn accepted_rules(&mut self, cluster: &ClusterId, grant: &GrantId) -> Result<Option<String>> {
        let row = sqlx::query("SELECT rules FROM accepted_roles WHERE cluster_id = $1 AND grant_id = $2")
            .bind(cluster.as_str())
            .bind(grant.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        match row {
            Some(row) => row.try_get("rules").map_err(database),
            None => Ok(None),
        }
    }
}
