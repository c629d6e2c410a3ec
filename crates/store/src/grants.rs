//! Grants as rules: one row each, and one per listed principal, cluster and namespace.

use std::collections::HashMap;

use domain::{
    AccountId, ClusterId, ClusterScope, Grant, GrantId, GrantSpec, Namespace, NamespaceScope, PrincipalId,
    PrincipalKind, Principals, Result, Role, Timestamp,
};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::{corrupt, database};
use crate::transaction::{ReadTx, WriteTx};

impl WriteTx {
    /// Adds a grant.
    ///
    /// # Errors
    /// `Conflict` if the id was ever used.
    pub async fn insert_grant(&mut self, grant: &Grant) -> Result<()> {
        self.take_id("grant", "grant", grant.id.as_str()).await?;
        sqlx::query(
            "INSERT INTO grants (id, account_id, name, role, principal_kind, all_clusters, all_namespaces, generation, \
             created_at, updated_at, of_owner) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)",
        )
        .bind(grant.id.as_str())
        .bind(grant.account.as_str())
        .bind(grant.spec.name.as_str())
        .bind(grant.spec.role.to_string())
        .bind(grant.spec.principals.kind.as_str())
        .bind(i64::from(grant.spec.clusters == ClusterScope::All))
        .bind(i64::from(grant.spec.namespaces == NamespaceScope::All))
        .bind(grant.generation)
        .bind(grant.created_at.as_millis())
        .bind(i64::from(grant.of_owner))
        .execute(self.connection())
        .await
        .map_err(database)?;
        self.insert_lists(&grant.id, &grant.spec).await
    }

    /// Replaces what a grant says. Whoever does so accepts what its role allows then.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn replace_grant(&mut self, grant: &Grant) -> Result<()> {
        self.write_over(grant).await?;
        self.forget_accepted_roles(&grant.id).await
    }

    /// Takes principals or clusters out of a grant. That accepts nothing: what its role was accepted to allow stays, but
    /// for the clusters that are out.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn narrow_grant(&mut self, grant: &Grant) -> Result<()> {
        self.write_over(grant).await?;
        match grant.spec.clusters {
            ClusterScope::All => Ok(()),
            ClusterScope::Listed(_) => self.forget_dropped_clusters(&grant.id).await,
        }
    }

    async fn write_over(&mut self, grant: &Grant) -> Result<()> {
        sqlx::query(
            "UPDATE grants SET name = $2, role = $3, principal_kind = $4, all_clusters = $5, all_namespaces = $6, \
             generation = $7, updated_at = $8 WHERE id = $1",
        )
        .bind(grant.id.as_str())
        .bind(grant.spec.name.as_str())
        .bind(grant.spec.role.to_string())
        .bind(grant.spec.principals.kind.as_str())
        .bind(i64::from(grant.spec.clusters == ClusterScope::All))
        .bind(i64::from(grant.spec.namespaces == NamespaceScope::All))
        .bind(grant.generation)
        .bind(grant.updated_at.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        for statement in [
            "DELETE FROM grant_principals WHERE grant_id = $1",
            "DELETE FROM grant_clusters WHERE grant_id = $1",
            "DELETE FROM grant_namespaces WHERE grant_id = $1",
        ] {
            sqlx::query(statement)
                .bind(grant.id.as_str())
                .execute(self.connection())
                .await
                .map_err(database)?;
        }
        self.insert_lists(&grant.id, &grant.spec).await
    }

    async fn insert_lists(&mut self, id: &GrantId, spec: &GrantSpec) -> Result<()> {
        for (ordinal, principal) in (0_i64..).zip(&spec.principals.ids) {
            let sql = "INSERT INTO grant_principals (grant_id, ordinal, principal_id) VALUES ($1, $2, $3)";
            self.insert_list_row(sql, id, ordinal, principal.as_str()).await?;
        }
        if let ClusterScope::Listed(clusters) = &spec.clusters {
            for (ordinal, cluster) in (0_i64..).zip(clusters) {
                let sql = "INSERT INTO grant_clusters (grant_id, ordinal, cluster_id) VALUES ($1, $2, $3)";
                self.insert_list_row(sql, id, ordinal, cluster.as_str()).await?;
            }
        }
        if let NamespaceScope::Listed(namespaces) = &spec.namespaces {
            for (ordinal, namespace) in (0_i64..).zip(namespaces) {
                let sql = "INSERT INTO grant_namespaces (grant_id, ordinal, namespace) VALUES ($1, $2, $3)";
                self.insert_list_row(sql, id, ordinal, namespace.as_str()).await?;
            }
        }
        Ok(())
    }

    async fn insert_list_row(
        &mut self,
        sql: &'static str,
        id: &GrantId,
        ordinal: i64,
        value: &str,
    ) -> Result<()> {
        sqlx::query(sql)
            .bind(id.as_str())
            .bind(ordinal)
            .bind(value)
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Revokes a grant. Its row stays, to say where the revoke stands.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn revoke_grant(&mut self, id: &GrantId, now: Timestamp) -> Result<()> {
        sqlx::query(
            "UPDATE grants SET revoked_at = $2, updated_at = $2, generation = generation + 1 \
             WHERE id = $1 AND revoked_at IS NULL",
        )
        .bind(id.as_str())
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        self.forget_accepted_roles(id).await
    }
}

impl ReadTx {
    /// The account's grants that are not revoked, oldest first.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grants(&mut self, account: &AccountId) -> Result<Vec<Grant>> {
        let rows = sqlx::query(
            "SELECT id, account_id, name, role, principal_kind, all_clusters, all_namespaces, generation, created_at, \
             updated_at, of_owner, revoked_at FROM grants WHERE account_id = $1 AND revoked_at IS NULL ORDER BY created_at, id",
        )
        .bind(account.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let mut lists = Lists {
            principals: self
                .list_rows(
                    "SELECT l.grant_id, l.principal_id AS value FROM grant_principals l JOIN grants g ON g.id = l.grant_id \
                     WHERE g.account_id = $1 AND g.revoked_at IS NULL ORDER BY l.grant_id, l.ordinal",
                    account.as_str(),
                )
                .await?,
            clusters: self
                .list_rows(
                    "SELECT l.grant_id, l.cluster_id AS value FROM grant_clusters l JOIN grants g ON g.id = l.grant_id \
                     WHERE g.account_id = $1 AND g.revoked_at IS NULL ORDER BY l.grant_id, l.ordinal",
                    account.as_str(),
                )
                .await?,
            namespaces: self
                .list_rows(
                    "SELECT l.grant_id, l.namespace AS value FROM grant_namespaces l JOIN grants g ON g.id = l.grant_id \
                     WHERE g.account_id = $1 AND g.revoked_at IS NULL ORDER BY l.grant_id, l.ordinal",
                    account.as_str(),
                )
                .await?,
        };
        rows.iter().map(|row| grant(row, &mut lists)).collect()
    }

    /// The account's grant with that id, revoked or not.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grant(&mut self, account: &AccountId, id: &str) -> Result<Option<Grant>> {
        let row = sqlx::query(
            "SELECT id, account_id, name, role, principal_kind, all_clusters, all_namespaces, generation, created_at, \
             updated_at, of_owner, revoked_at FROM grants WHERE account_id = $1 AND id = $2",
        )
        .bind(account.as_str())
        .bind(id)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let mut lists = Lists {
            principals: self
                .list_rows(
                    "SELECT grant_id, principal_id AS value FROM grant_principals WHERE grant_id = $1 ORDER BY ordinal",
                    id,
                )
                .await?,
            clusters: self
                .list_rows(
                    "SELECT grant_id, cluster_id AS value FROM grant_clusters WHERE grant_id = $1 ORDER BY ordinal",
                    id,
                )
                .await?,
            namespaces: self
                .list_rows(
                    "SELECT grant_id, namespace AS value FROM grant_namespaces WHERE grant_id = $1 ORDER BY ordinal",
                    id,
                )
                .await?,
        };
        grant(&row, &mut lists).map(Some)
    }

    pub(crate) async fn list_rows(
        &mut self,
        sql: &'static str,
        key: &str,
    ) -> Result<HashMap<String, Vec<String>>> {
        let rows = sqlx::query(sql).bind(key).fetch_all(self.connection()).await.map_err(database)?;
        let mut lists: HashMap<String, Vec<String>> = HashMap::new();
        for row in rows {
            let id: String = row.try_get("grant_id").map_err(database)?;
            lists.entry(id).or_default().push(row.try_get("value").map_err(database)?);
        }
        Ok(lists)
    }
}

/// The listed values of several grants, by grant id.
pub(crate) struct Lists {
    pub(crate) principals: HashMap<String, Vec<String>>,
    pub(crate) clusters: HashMap<String, Vec<String>>,
    pub(crate) namespaces: HashMap<String, Vec<String>>,
}

pub(crate) fn grant(row: &AnyRow, lists: &mut Lists) -> Result<Grant> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(database);
    let id = text("id")?;
    let take = |from: &mut HashMap<String, Vec<String>>| from.remove(&id).unwrap_or_default();
    let clusters = match number("all_clusters")? {
        1 => ClusterScope::All,
        _ => ClusterScope::Listed(take(&mut lists.clusters).iter().map(|id| ClusterId::stored(id)).collect()),
    };
    let namespaces = match number("all_namespaces")? {
        1 => NamespaceScope::All,
        _ => {
            NamespaceScope::Listed(take(&mut lists.namespaces).iter().map(|n| Namespace::stored(n)).collect())
        }
    };
    let spec = GrantSpec {
        name: text("name")?,
        role: Role::parse("role", &text("role")?).map_err(|_| corrupt("grants", "role", &id))?,
        principals: Principals {
            kind: PrincipalKind::parse("kind", &text("principal_kind")?)
                .map_err(|_| corrupt("grants", "principal_kind", &id))?,
            ids: take(&mut lists.principals).iter().map(|id| PrincipalId::stored(id)).collect(),
        },
        clusters,
        namespaces,
    };
    let revoked_at: Option<i64> = row.try_get("revoked_at").map_err(database)?;
    Ok(Grant {
        account: AccountId::stored(&text("account_id")?),
        spec,
        generation: number("generation")?,
        created_at: Timestamp::from_millis(number("created_at")?),
        updated_at: Timestamp::from_millis(number("updated_at")?),
        of_owner: number("of_owner")? == 1,
        revoked_at: revoked_at.map(Timestamp::from_millis),
        id: GrantId::stored(&id),
    })
}
