//! Clusters and their sealed connections.

use std::collections::BTreeMap;

use domain::{
    AccountId, Arrival, Cluster, ClusterId, ConnectionState, EnterpriseProjectId, Error, PrincipalId,
    ProjectId, Result, Timestamp,
};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::apart::Called;
use crate::arrivals::{StoredArrival, arrival};
use crate::error::{corrupt, database, unless_taken};
use crate::open::Store;
use crate::transaction::{ReadTx, WriteTx};

/// A cluster to be registered.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// What is known of it.
    pub cluster: Cluster,
    /// Its connection, sealed; `None` for a detached cluster.
    pub sealed_connection: Option<String>,
}

/// What a worker needs to begin: which cluster, and which version of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRow {
    /// The cluster.
    pub id: ClusterId,
    /// The tenant.
    pub account: AccountId,
    /// Changes whenever the connection does.
    pub connection_version: i64,
    /// The connection, sealed.
    pub sealed_connection: String,
    /// Whether it was removed and only its bindings are left to be removed.
    pub removed: bool,
    /// Whether its grants are suspended.
    pub suspended: bool,
    /// Under which names people arrive there.
    pub arrival: Arrival,
}

impl WriteTx {
    /// Registers a cluster.
    ///
    /// # Errors
    /// `Conflict` if the id was ever used or the name is taken.
    pub async fn insert_cluster(&mut self, new: &NewCluster) -> Result<()> {
        let cluster = &new.cluster;
        let arrival = StoredArrival::new(&cluster.arrival);
        self.take_id("cluster", "cluster", cluster.id.as_str()).await?;
        self.keep_apart(Called::Cluster, &cluster.account, cluster.id.as_str(), &cluster.name).await?;
        let inserted = sqlx::query(
            "INSERT INTO clusters (id, account_id, project_id, enterprise_project_id, name, provider, region, owner_id, \
             server, sealed_connection, connection_version, connection_state, connection_reason, kubernetes_version, \
             created_at, updated_at, user_names, group_names, group_members) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, '', '', $12, $12, $13, $14, $15)",
        )
        .bind(cluster.id.as_str())
        .bind(cluster.account.as_str())
        .bind(cluster.project.as_str())
        .bind(cluster.enterprise_project.as_ref().map(|id| id.as_str().to_owned()))
        .bind(cluster.name.as_str())
        .bind(cluster.provider.as_str())
        .bind(cluster.region.as_str())
        .bind(cluster.owner.as_ref().map(|id| id.as_str().to_owned()))
        .bind(cluster.server.clone())
        .bind(new.sealed_connection.clone())
        .bind(cluster.connection.as_str())
        .bind(cluster.created_at.as_millis())
        .bind(arrival.users)
        .bind(arrival.groups)
        .bind(arrival.members)
        .execute(self.connection())
        .await;
        unless_taken(inserted, || Error::conflict(format!("a cluster named `{}` exists", cluster.name)))?;
        self.insert_labels(&cluster.id, &cluster.labels).await
    }

    async fn insert_labels(&mut self, id: &ClusterId, labels: &BTreeMap<String, String>) -> Result<()> {
        for (key, value) in labels {
            sqlx::query(
                "INSERT INTO cluster_labels (cluster_id, label_key, label_value) VALUES ($1, $2, $3)",
            )
            .bind(id.as_str())
            .bind(key.as_str())
            .bind(value.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        }
        Ok(())
    }

    /// Replaces who answers for a cluster, and its labels.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn describe_cluster(&mut self, cluster: &Cluster, now: Timestamp) -> Result<()> {
        let id = &cluster.id;
        sqlx::query("UPDATE clusters SET owner_id = $2, updated_at = $3 WHERE id = $1")
            .bind(id.as_str())
            .bind(cluster.owner.as_ref().map(|owner| owner.as_str().to_owned()))
            .bind(now.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        sqlx::query("DELETE FROM cluster_labels WHERE cluster_id = $1")
            .bind(id.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        self.insert_labels(id, &cluster.labels).await
    }

    /// Removes a cluster from the account: it leaves every grant's list, and its connection stays only until its
    /// bindings are gone. A grant that listed no other cluster stays, and is effective nowhere.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn remove_cluster(&mut self, id: &ClusterId, now: Timestamp) -> Result<()> {
        for statement in [
            "UPDATE grants SET generation = generation + 1, updated_at = $2 \
             WHERE revoked_at IS NULL AND id IN (SELECT grant_id FROM grant_clusters WHERE cluster_id = $1)",
            "UPDATE clusters SET removed_at = $2, updated_at = $2 WHERE id = $1",
        ] {
            sqlx::query(statement)
                .bind(id.as_str())
                .bind(now.as_millis())
                .execute(self.connection())
                .await
                .map_err(database)?;
        }
        for statement in [
            "DELETE FROM grant_clusters WHERE cluster_id = $1",
            "DELETE FROM grant_states WHERE cluster_id = $1",
            "DELETE FROM checks WHERE cluster_id = $1",
            "DELETE FROM accepted_roles WHERE cluster_id = $1",
            "DELETE FROM accepted_rules WHERE cluster_id = $1",
        ] {
            sqlx::query(statement).bind(id.as_str()).execute(self.connection()).await.map_err(database)?;
        }
        self.end_associations_of_cluster(id, now).await?;
        self.delete_agents_of_cluster(id, now).await?;
        self.forget_activity(id).await
    }

    /// Whether the cluster still has this version of its connection. Until this transaction ends nobody can change it.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn holds_connection(&mut self, id: &ClusterId, version: i64) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE clusters SET connection_version = connection_version \
             WHERE id = $1 AND connection_version = $2 AND sealed_connection IS NOT NULL",
        )
        .bind(id.as_str())
        .bind(version)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets the connection of a removed cluster when nothing of ours is left in it. Returns whether it did.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_removed_connection(&mut self, id: &ClusterId) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE clusters SET sealed_connection = NULL, server = NULL, connection_state = 'detached' \
             WHERE id = $1 AND removed_at IS NOT NULL AND sealed_connection IS NOT NULL \
             AND id NOT IN (SELECT cluster_id FROM applied_names)",
        )
        .bind(id.as_str())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// Writes how a cluster's connection stands. Returns whether that was news.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_connection_state(
        &mut self,
        id: &ClusterId,
        state: ConnectionState,
        reason: &str,
        version: Option<&str>,
        now: Timestamp,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE clusters SET connection_state = $2, connection_reason = $3, \
             connection_since = CASE WHEN connection_state <> $2 THEN $5 ELSE connection_since END, \
             kubernetes_version = COALESCE($4, kubernetes_version) \
             WHERE id = $1 AND sealed_connection IS NOT NULL AND (connection_state <> $2 OR connection_reason <> $3 \
             OR kubernetes_version <> COALESCE($4, kubernetes_version))",
        )
        .bind(id.as_str())
        .bind(state.as_str())
        .bind(reason)
        .bind(version.map(str::to_owned))
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}

impl ReadTx {
    /// The account's clusters, oldest first.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn clusters(&mut self, account: &AccountId) -> Result<Vec<Cluster>> {
        let rows = sqlx::query(
            "SELECT id, account_id, project_id, enterprise_project_id, name, provider, region, owner_id, server, \
             connection_state, connection_reason, kubernetes_version, created_at, updated_at, \
             suspended_at, identified_at, user_names, group_names, group_members FROM clusters \
             WHERE account_id = $1 AND removed_at IS NULL ORDER BY created_at, id",
        )
        .bind(account.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let mut clusters = rows.iter().map(cluster).collect::<Result<Vec<_>>>()?;
        let rows = sqlx::query(
            "SELECT l.cluster_id, l.label_key, l.label_value FROM cluster_labels l \
             JOIN clusters c ON c.id = l.cluster_id WHERE c.account_id = $1 AND c.removed_at IS NULL",
        )
        .bind(account.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let mut labels: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for row in rows {
            let id: String = row.try_get("cluster_id").map_err(database)?;
            let key: String = row.try_get("label_key").map_err(database)?;
            labels.entry(id).or_default().insert(key, row.try_get("label_value").map_err(database)?);
        }
        for cluster in &mut clusters {
            cluster.labels = labels.remove(cluster.id.as_str()).unwrap_or_default();
        }
        Ok(clusters)
    }

    /// A removed cluster of the account as it was, by its id.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn removed_cluster(&mut self, account: &AccountId, id: &ClusterId) -> Result<Option<Cluster>> {
        let row = sqlx::query(
            "SELECT id, account_id, project_id, enterprise_project_id, name, provider, region, owner_id, server, \
             connection_state, connection_reason, kubernetes_version, created_at, updated_at, \
             suspended_at, identified_at, user_names, group_names, group_members FROM clusters \
             WHERE account_id = $1 AND id = $2 AND removed_at IS NOT NULL",
        )
        .bind(account.as_str())
        .bind(id.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        self.with_labels(row.as_ref().map(cluster).transpose()?).await
    }

    /// A cluster of the account that was not removed, by its id.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn cluster(&mut self, account: &AccountId, id: &str) -> Result<Option<Cluster>> {
        let row = sqlx::query(
            "SELECT id, account_id, project_id, enterprise_project_id, name, provider, region, owner_id, server, \
             connection_state, connection_reason, kubernetes_version, created_at, updated_at, \
             suspended_at, identified_at, user_names, group_names, group_members FROM clusters \
             WHERE account_id = $1 AND id = $2 AND removed_at IS NULL",
        )
        .bind(account.as_str())
        .bind(id)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        self.with_labels(row.as_ref().map(cluster).transpose()?).await
    }

    async fn with_labels(&mut self, found: Option<Cluster>) -> Result<Option<Cluster>> {
        let Some(mut found) = found else { return Ok(None) };
        let rows = sqlx::query("SELECT label_key, label_value FROM cluster_labels WHERE cluster_id = $1")
            .bind(found.id.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        for row in rows {
            let key: String = row.try_get("label_key").map_err(database)?;
            found.labels.insert(key, row.try_get("label_value").map_err(database)?);
        }
        Ok(Some(found))
    }

    /// Which of the account's clusters exist, by id.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn cluster_exists(&mut self, account: &AccountId, id: &ClusterId) -> Result<bool> {
        let row =
            sqlx::query("SELECT id FROM clusters WHERE account_id = $1 AND id = $2 AND removed_at IS NULL")
                .bind(account.as_str())
                .bind(id.as_str())
                .fetch_optional(self.connection())
                .await
                .map_err(database)?;
        Ok(row.is_some())
    }

    /// The tenant of a cluster, and whether it was removed; of whatever account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn cluster_row(&mut self, id: &ClusterId) -> Result<Option<ClusterRow>> {
        let row = sqlx::query(
            "SELECT id, account_id, connection_version, sealed_connection, \
             CASE WHEN removed_at IS NULL THEN 0 ELSE 1 END AS removed, \
             CASE WHEN suspended_at IS NULL THEN 0 ELSE 1 END AS suspended, \
             user_names, group_names, group_members \
             FROM clusters WHERE id = $1 AND sealed_connection IS NOT NULL",
        )
        .bind(id.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(cluster_row).transpose()
    }
}

impl Store {
    /// The version of a cluster's connection; `None` if it has none.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn connection_version(&self, id: &ClusterId) -> Result<Option<i64>> {
        let row = sqlx::query(
            "SELECT connection_version FROM clusters WHERE id = $1 AND sealed_connection IS NOT NULL",
        )
        .bind(id.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(database)?;
        row.map(|row| row.try_get("connection_version").map_err(database)).transpose()
    }

    /// Every cluster of every account that has a connection.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn connected_clusters(&self) -> Result<Vec<ClusterRow>> {
        let rows = sqlx::query(
            "SELECT id, account_id, connection_version, sealed_connection, \
             CASE WHEN removed_at IS NULL THEN 0 ELSE 1 END AS removed, \
             CASE WHEN suspended_at IS NULL THEN 0 ELSE 1 END AS suspended, \
             user_names, group_names, group_members \
             FROM clusters WHERE sealed_connection IS NOT NULL ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(database)?;
        rows.iter().map(cluster_row).collect()
    }
}

fn cluster(row: &AnyRow) -> Result<Cluster> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
    let optional = |column: &str| row.try_get::<Option<String>, _>(column).map_err(database);
    let id = text("id")?;
    let state = text("connection_state")?;
    let time = |column: &str| -> Result<Option<Timestamp>> {
        let millis: Option<i64> = row.try_get(column).map_err(database)?;
        Ok(millis.map(Timestamp::from_millis))
    };
    Ok(Cluster {
        account: AccountId::stored(&text("account_id")?),
        name: text("name")?,
        project: ProjectId::stored(&text("project_id")?),
        enterprise_project: optional("enterprise_project_id")?.as_deref().map(EnterpriseProjectId::stored),
        provider: text("provider")?,
        region: text("region")?,
        owner: optional("owner_id")?.as_deref().map(PrincipalId::stored),
        labels: BTreeMap::new(),
        server: optional("server")?,
        connection: ConnectionState::parse(&state)
            .ok_or_else(|| corrupt("clusters", "connection_state", &id))?,
        connection_reason: text("connection_reason")?,
        version: text("kubernetes_version")?,
        arrival: arrival(row, &id)?,
        identified_at: time("identified_at")?,
        suspended_at: time("suspended_at")?,
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
        updated_at: Timestamp::from_millis(row.try_get("updated_at").map_err(database)?),
        id: ClusterId::stored(&id),
    })
}

fn cluster_row(row: &AnyRow) -> Result<ClusterRow> {
    let id: String = row.try_get("id").map_err(database)?;
    let account: String = row.try_get("account_id").map_err(database)?;
    let removed: i64 = row.try_get("removed").map_err(database)?;
    let suspended: i64 = row.try_get("suspended").map_err(database)?;
    Ok(ClusterRow {
        arrival: arrival(row, &id)?,
        id: ClusterId::stored(&id),
        account: AccountId::stored(&account),
        connection_version: row.try_get("connection_version").map_err(database)?,
        sealed_connection: row.try_get("sealed_connection").map_err(database)?,
        removed: removed == 1,
        suspended: suspended == 1,
    })
}
