//! What every grant said, version by version, as far back as versions are kept. Never changed: it is by this record
//! that taking a right away is known to have been decided.

use std::ops::ControlFlow;

use domain::{AccountId, GrantId, PrincipalId, Result, Timestamp};
use futures::TryStreamExt as _;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// So many versions of a grant are kept, the newest ones. A removal that only an older one would explain waits for a
/// confirmation if it is one of many, which is safe; that a cluster is so far behind is rare.
const KEPT_VERSIONS: i64 = 100;

/// Which versions of grants are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// The last one of each grant that did not end.
    Standing,
    /// Those after which another version or the end came.
    Ended,
}

impl Versions {
    fn statement(self) -> &'static str {
        match self {
            Self::Standing => {
                "SELECT h.spec AS spec FROM grant_history h WHERE h.account_id = $1 AND h.role = $2 \
                 AND h.revoked = 0 AND h.generation = \
                 (SELECT MAX(l.generation) FROM grant_history l WHERE l.grant_id = h.grant_id)"
            }
            Self::Ended => {
                "SELECT h.spec AS spec FROM grant_history h WHERE h.account_id = $1 AND h.role = $2 \
                 AND (h.revoked = 1 OR h.generation < \
                 (SELECT MAX(l.generation) FROM grant_history l WHERE l.grant_id = h.grant_id))"
            }
        }
    }
}

/// A version of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantVersion {
    /// Which grant.
    pub grant: GrantId,
    /// The tenant.
    pub account: AccountId,
    /// Which version.
    pub generation: i64,
    /// The commit that made it.
    pub revision: i64,
    /// When.
    pub at: Timestamp,
    /// Who made it; empty where nobody asked for it.
    pub actor: String,
    /// What they were called then.
    pub actor_name: String,
    /// The role, by which versions are found.
    pub role: String,
    /// Whether the grant ended with this version.
    pub revoked: bool,
    /// The principal, if it named one alone.
    pub sole_principal: Option<PrincipalId>,
    /// In which dialect it was said; empty if that is not known.
    pub dialect: String,
    /// What it said, in the form that the use cases choose.
    pub spec: String,
}

impl WriteTx {
    /// Adds a version, and drops those of the grant that are too many by it.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_grant_version(&mut self, version: &GrantVersion) -> Result<()> {
        sqlx::query(
            "INSERT INTO grant_history (grant_id, generation, account_id, revision, at, actor_id, actor_name, role, \
             revoked, spec, sole_principal, dialect) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
             ON CONFLICT DO NOTHING",
        )
        .bind(version.grant.as_str())
        .bind(version.generation)
        .bind(version.account.as_str())
        .bind(version.revision)
        .bind(version.at.as_millis())
        .bind(version.actor.as_str())
        .bind(version.actor_name.as_str())
        .bind(version.role.as_str())
        .bind(i64::from(version.revoked))
        .bind(version.spec.as_str())
        .bind(version.sole_principal.as_ref().map(PrincipalId::as_str))
        .bind(version.dialect.as_str())
        .execute(self.connection())
        .await
        .map_err(database)?;
        let too_old = version.generation.saturating_sub(KEPT_VERSIONS);
        if too_old > 0 {
            sqlx::query("DELETE FROM grant_history WHERE grant_id = $1 AND generation <= $2")
                .bind(version.grant.as_str())
                .bind(too_old)
                .execute(self.connection())
                .await
                .map_err(database)?;
        }
        Ok(())
    }
}

impl ReadTx {
    /// The versions of a grant that are kept, the first one first: at most `limit` of those after a generation.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grant_versions(
        &mut self,
        account: &AccountId,
        grant: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<GrantVersion>> {
        let rows = sqlx::query(
            "SELECT grant_id, generation, account_id, revision, at, actor_id, actor_name, role, revoked, spec, \
             sole_principal, dialect FROM grant_history WHERE account_id = $1 AND grant_id = $2 AND generation > $3 \
             ORDER BY generation LIMIT $4",
        )
        .bind(account.as_str())
        .bind(grant)
        .bind(after)
        .bind(limit)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(version).collect()
    }

    /// Hands on what each version with that role said, of all grants of the account, until `take` wants no more. One
    /// at a time: all of them together may be far more than there is memory.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; what `take` fails with.
    pub async fn each_version_with_role(
        &mut self,
        account: &AccountId,
        role: &str,
        which: Versions,
        take: &mut (dyn FnMut(&str) -> Result<ControlFlow<()>> + Send),
    ) -> Result<()> {
        let mut rows =
            sqlx::query(which.statement()).bind(account.as_str()).bind(role).fetch(self.connection());
        while let Some(row) = rows.try_next().await.map_err(database)? {
            let spec: String = row.try_get("spec").map_err(database)?;
            if take(&spec)?.is_break() {
                return Ok(());
            }
            // Rows that are there already would be taken without a pause.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Ids of grants of the account of which no version is recorded: an older program wrote them.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grants_without_history(&mut self) -> Result<Vec<(AccountId, GrantId)>> {
        let rows = sqlx::query(
            "SELECT account_id, id FROM grants WHERE id NOT IN (SELECT grant_id FROM grant_history) ORDER BY id",
        )
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                let account: String = row.try_get("account_id").map_err(database)?;
                let grant: String = row.try_get("id").map_err(database)?;
                Ok((AccountId::stored(&account), GrantId::stored(&grant)))
            })
            .collect()
    }

    /// Ids of the account's active grants that list this principal.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grants_of_principal(&mut self, principal: &PrincipalId) -> Result<Vec<GrantId>> {
        self.ids(
            "SELECT g.id AS id FROM grants g JOIN grant_principals l ON l.grant_id = g.id \
             WHERE l.principal_id = $1 AND g.revoked_at IS NULL ORDER BY g.id",
            principal.as_str(),
        )
        .await
    }

    /// Ids of the account's active grants that list this cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grants_of_cluster(&mut self, cluster: &domain::ClusterId) -> Result<Vec<GrantId>> {
        self.ids(
            "SELECT g.id AS id FROM grants g JOIN grant_clusters l ON l.grant_id = g.id \
             WHERE l.cluster_id = $1 AND g.revoked_at IS NULL ORDER BY g.id",
            cluster.as_str(),
        )
        .await
    }

    async fn ids(&mut self, sql: &'static str, key: &str) -> Result<Vec<GrantId>> {
        let rows = sqlx::query(sql).bind(key).fetch_all(self.connection()).await.map_err(database)?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get("id").map_err(database)?;
                Ok(GrantId::stored(&id))
            })
            .collect()
    }
}

pub(crate) fn version(row: &AnyRow) -> Result<GrantVersion> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(database);
    Ok(GrantVersion {
        grant: GrantId::stored(&text("grant_id")?),
        account: AccountId::stored(&text("account_id")?),
        generation: number("generation")?,
        revision: number("revision")?,
        at: Timestamp::from_millis(number("at")?),
        actor: text("actor_id")?,
        actor_name: text("actor_name")?,
        role: text("role")?,
        revoked: number("revoked")? == 1,
        sole_principal: row
            .try_get::<Option<String>, _>("sole_principal")
            .map_err(database)?
            .map(|id| PrincipalId::stored(&id)),
        dialect: text("dialect")?,
        spec: text("spec")?,
    })
}
