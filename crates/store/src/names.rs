//! Names of bindings that we applied in clusters, kept until their deletion was observed: an object under such a
//! name is ours whatever became of its labels.

use domain::{ClusterId, Result};
use sqlx::Row;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// The name of an applied binding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppliedName {
    /// The RoleBinding's namespace; `None` for a ClusterRoleBinding.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl WriteTx {
    /// Writes down that we are about to apply an object of that name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_applied_name(&mut self, cluster: &ClusterId, applied: &AppliedName) -> Result<()> {
        sqlx::query(
            "INSERT INTO applied_names (cluster_id, namespace, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(cluster.as_str())
        .bind(applied.namespace.clone().unwrap_or_default())
        .bind(applied.name.as_str())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Forgets a name whose object was seen to be gone.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_applied_name(&mut self, cluster: &ClusterId, applied: &AppliedName) -> Result<()> {
        sqlx::query("DELETE FROM applied_names WHERE cluster_id = $1 AND namespace = $2 AND name = $3")
            .bind(cluster.as_str())
            .bind(applied.namespace.clone().unwrap_or_default())
            .bind(applied.name.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// The names applied in a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn applied_names(&mut self, cluster: &ClusterId) -> Result<Vec<AppliedName>> {
        let rows = sqlx::query("SELECT namespace, name FROM applied_names WHERE cluster_id = $1")
            .bind(cluster.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        rows.iter()
            .map(|row| {
                let namespace: String = row.try_get("namespace").map_err(database)?;
                let name = row.try_get("name").map_err(database)?;
                Ok(AppliedName { namespace: Some(namespace).filter(|n| !n.is_empty()), name })
            })
            .collect()
    }
}
