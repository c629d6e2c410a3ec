//! Which clusters somebody administers.

use std::collections::BTreeSet;

use domain::{AccountId, ClusterId, Namespace, PrincipalId, Result};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::database;
use crate::transaction::ReadTx;

/// The clusters of grants that make an administrator, and those that are owned. Here and below, `CROSS JOIN` has SQLite begin
/// with what is its left: an account may have a million grants, and somebody a few of them.
pub(crate) const ADMINISTERED: &str = "SELECT g.all_clusters AS everywhere, c.cluster_id AS cluster FROM \
     (SELECT p.grant_id FROM grant_principals p WHERE p.principal_id = $2 UNION \
     SELECT p.grant_id FROM memberships m JOIN grant_principals p ON p.principal_id = m.group_id \
     WHERE m.user_id = $2) held \
     CROSS JOIN grants g LEFT JOIN grant_clusters c ON c.grant_id = g.id \
     WHERE g.id = held.grant_id AND g.account_id = $1 AND g.revoked_at IS NULL AND g.role = 'administrator' \
     AND g.all_namespaces = 1 UNION SELECT 0, o.id FROM clusters o WHERE o.account_id = $1 AND o.owner_id = $2 \
     AND o.removed_at IS NULL";

/// The namespaces of grants that make an administrator of no more than these.
pub(crate) const ADMINISTERED_NAMESPACES: &str = "SELECT n.namespace AS namespace, g.all_clusters AS everywhere, \
     c.cluster_id AS cluster FROM \
     (SELECT p.grant_id FROM grant_principals p WHERE p.principal_id = $2 UNION \
     SELECT p.grant_id FROM memberships m JOIN grant_principals p ON p.principal_id = m.group_id \
     WHERE m.user_id = $2) held \
     CROSS JOIN grants g JOIN grant_namespaces n ON n.grant_id = g.id LEFT JOIN grant_clusters c ON c.grant_id = g.id \
     WHERE g.id = held.grant_id AND g.account_id = $1 AND g.revoked_at IS NULL AND g.role = 'administrator' \
     AND g.all_namespaces = 0";

/// The clusters of all grants, and those that are owned.
pub(crate) const GRANTED: &str = "SELECT g.all_clusters AS everywhere, c.cluster_id AS cluster FROM \
     (SELECT p.grant_id FROM grant_principals p WHERE p.principal_id = $2 UNION \
     SELECT p.grant_id FROM memberships m JOIN grant_principals p ON p.principal_id = m.group_id \
     WHERE m.user_id = $2) held \
     CROSS JOIN grants g LEFT JOIN grant_clusters c ON c.grant_id = g.id \
     WHERE g.id = held.grant_id AND g.account_id = $1 AND g.revoked_at IS NULL \
     UNION SELECT 0, o.id FROM clusters o WHERE o.account_id = $1 AND o.owner_id = $2 AND o.removed_at IS NULL";

/// The clusters that somebody administers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Administered {
    /// All of the account's, those of the future included.
    pub all: bool,
    /// These.
    pub clusters: BTreeSet<ClusterId>,
}

/// The namespaces that somebody administers in clusters of which they administer no more than that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdministeredNamespaces {
    /// In every cluster of the account.
    pub everywhere: BTreeSet<Namespace>,
    /// In one cluster.
    pub of_clusters: BTreeSet<(ClusterId, Namespace)>,
}

impl ReadTx {
    /// What a principal of the account administers: as owner, and by grants of the role administrator on all namespaces,
    /// its own and its groups'.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn administered(
        &mut self,
        account: &AccountId,
        principal: &PrincipalId,
    ) -> Result<Administered> {
        let rows = sqlx::query(ADMINISTERED)
            .bind(account.as_str())
            .bind(principal.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        collected(&rows)
    }

    /// The namespaces that a principal of the account administers by grants of the role administrator, its own and its
    /// groups'.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn administered_namespaces(
        &mut self,
        account: &AccountId,
        principal: &PrincipalId,
    ) -> Result<AdministeredNamespaces> {
        let rows = sqlx::query(ADMINISTERED_NAMESPACES)
            .bind(account.as_str())
            .bind(principal.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        let mut found = AdministeredNamespaces::default();
        for row in rows {
            let namespace: String = row.try_get("namespace").map_err(database)?;
            let namespace = Namespace::stored(&namespace);
            let everywhere: i64 = row.try_get("everywhere").map_err(database)?;
            let cluster: Option<String> = row.try_get("cluster").map_err(database)?;
            match cluster {
                _ if everywhere == 1 => drop(found.everywhere.insert(namespace)),
                Some(cluster) => drop(found.of_clusters.insert((ClusterId::stored(&cluster), namespace))),
                // Its list of clusters became empty.
                None => {}
            }
        }
        Ok(found)
    }

    /// Where a principal of the account has rights of any kind: as owner, and by its own and its groups' grants.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn granted_clusters(
        &mut self,
        account: &AccountId,
        principal: &PrincipalId,
    ) -> Result<Administered> {
        let rows = sqlx::query(GRANTED)
            .bind(account.as_str())
            .bind(principal.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        collected(&rows)
    }
}

fn collected(rows: &[AnyRow]) -> Result<Administered> {
    let mut found = Administered::default();
    for row in rows {
        let everywhere: i64 = row.try_get("everywhere").map_err(database)?;
        let cluster: Option<String> = row.try_get("cluster").map_err(database)?;
        found.all |= everywhere == 1;
        found.clusters.extend(cluster.as_deref().map(ClusterId::stored));
    }
    Ok(found)
}
