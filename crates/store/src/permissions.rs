//! Grants by who holds them, and what was said about one principal alone, commit by commit.

use domain::{AccountId, ClusterId, Grant, GrantId, PrincipalId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::grants::{Lists, grant};
use crate::history::{GrantVersion, version};
use crate::transaction::ReadTx;

/// The grants of somebody, and of their groups. Here and below, `CROSS JOIN` has SQLite begin with what is its left: an
/// account may have a million grants, and somebody a few of them.
pub(crate) const HELD: &str = "SELECT g.id, g.account_id, g.name, g.role, g.principal_kind, g.all_clusters, \
     g.all_namespaces, g.generation, g.created_at, g.updated_at, g.of_owner, g.revoked_at FROM \
     (SELECT p.grant_id FROM grant_principals p WHERE p.principal_id = $2 UNION \
     SELECT p.grant_id FROM memberships m JOIN grant_principals p ON p.principal_id = m.group_id \
     WHERE m.user_id = $2) held \
     CROSS JOIN grants g WHERE g.id = held.grant_id AND g.account_id = $1 AND g.revoked_at IS NULL \
     ORDER BY g.created_at, g.id";

/// The last version of each of these.
pub(crate) const LAST_VERSIONS: &str = "SELECT h.grant_id, h.generation, h.account_id, h.revision, h.at, h.actor_id, \
     h.actor_name, h.role, h.revoked, h.spec, h.sole_principal, h.dialect FROM \
     (SELECT p.grant_id FROM grant_principals p WHERE p.principal_id = $2 UNION \
     SELECT p.grant_id FROM memberships m JOIN grant_principals p ON p.principal_id = m.group_id \
     WHERE m.user_id = $2) held \
     CROSS JOIN grants g JOIN grant_history h ON h.grant_id = g.id AND h.generation = g.generation \
     WHERE g.id = held.grant_id AND g.account_id = $1 AND g.revoked_at IS NULL";

/// The commits that changed what one principal alone was given.
pub(crate) const CHANGES: &str = "SELECT h.revision AS revision, MAX(h.at) AS at FROM \
     (SELECT DISTINCT s.grant_id FROM grant_history s WHERE s.sole_principal = $2) alone \
     CROSS JOIN grant_history h WHERE h.grant_id = alone.grant_id AND h.account_id = $1 AND h.revision < $3 \
     GROUP BY h.revision ORDER BY h.revision DESC LIMIT $4";

/// What grants that were ever one principal's alone said as of a commit.
pub(crate) const AS_OF: &str = "SELECT h.grant_id, h.generation, h.account_id, h.revision, h.at, h.actor_id, h.actor_name, \
     h.role, h.revoked, h.spec, h.sole_principal, h.dialect FROM \
     (SELECT DISTINCT s.grant_id FROM grant_history s WHERE s.sole_principal = $2) alone \
     CROSS JOIN grant_history h WHERE h.grant_id = alone.grant_id AND h.account_id = $1 AND h.revision <= $3 \
     AND h.generation = (SELECT MAX(l.generation) FROM grant_history l WHERE l.grant_id = h.grant_id \
     AND l.revision <= $3)";

/// The grants of somebody, and through which groups they have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldGrants {
    /// Those that name them or a group of theirs, oldest first.
    pub grants: Vec<Grant>,
    /// Their groups, id and name, by name.
    pub groups: Vec<(PrincipalId, String)>,
}

/// A commit that changed what one principal alone was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedPermission {
    /// The commit.
    pub revision: i64,
    /// When.
    pub at: Timestamp,
}

impl ReadTx {
    /// The grants that are not revoked and name a principal of the account, or one of its groups.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn held_grants(&mut self, account: &AccountId, principal: &PrincipalId) -> Result<HeldGrants> {
        let rows = sqlx::query(HELD)
            .bind(account.as_str())
            .bind(principal.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        let groups = self.groups_of(principal).await?;
        if rows.is_empty() {
            return Ok(HeldGrants { grants: Vec::new(), groups });
        }
        let id = principal.as_str();
        let mut lists = Lists {
            principals: self
                .list_rows(
                    "SELECT l.grant_id, l.principal_id AS value FROM grant_principals l \
                     JOIN grants g ON g.id = l.grant_id AND g.revoked_at IS NULL WHERE l.grant_id IN \
                     (SELECT p.grant_id FROM grant_principals p WHERE p.principal_id = $1 UNION \
                     SELECT p.grant_id FROM memberships m JOIN grant_principals p ON p.principal_id = m.group_id \
                     WHERE m.user_id = $1) ORDER BY l.grant_id, l.ordinal",
                    id,
                )
                .await?,
            clusters: self
                .list_rows(
                    "SELECT l.grant_id, l.cluster_id AS value FROM grant_clusters l \
                     JOIN grants g ON g.id = l.grant_id AND g.revoked_at IS NULL WHERE l.grant_id IN \
                     (SELECT p.grant_id FROM grant_principals p WHERE p.principal_id = $1 UNION \
                     SELECT p.grant_id FROM memberships m JOIN grant_principals p ON p.principal_id = m.group_id \
                     WHERE m.user_id = $1) ORDER BY l.grant_id, l.ordinal",
                    id,
                )
                .await?,
            namespaces: self
                .list_rows(
                    "SELECT l.grant_id, l.namespace AS value FROM grant_namespaces l \
                     JOIN grants g ON g.id = l.grant_id AND g.revoked_at IS NULL WHERE l.grant_id IN \
                     (SELECT p.grant_id FROM grant_principals p WHERE p.principal_id = $1 UNION \
                     SELECT p.grant_id FROM memberships m JOIN grant_principals p ON p.principal_id = m.group_id \
                     WHERE m.user_id = $1) ORDER BY l.grant_id, l.ordinal",
                    id,
                )
                .await?,
        };
        let grants = rows.iter().map(|row| grant(row, &mut lists)).collect::<Result<_>>()?;
        Ok(HeldGrants { grants, groups })
    }

    /// The last version of each of these grants, in no order. One that an older program wrote may have none.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn last_versions(
        &mut self,
        account: &AccountId,
        principal: &PrincipalId,
    ) -> Result<Vec<GrantVersion>> {
        let rows = sqlx::query(LAST_VERSIONS)
            .bind(account.as_str())
            .bind(principal.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        rows.iter().map(version).collect()
    }

    /// The last commit that said something of a principal alone; 0 if there was none.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn permissions_revision(
        &mut self,
        account: &AccountId,
        principal: &PrincipalId,
    ) -> Result<i64> {
        let row = sqlx::query(
            "SELECT COALESCE(MAX(revision), 0) AS revision FROM grant_history \
             WHERE sole_principal = $2 AND account_id = $1",
        )
        .bind(account.as_str())
        .bind(principal.as_str())
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        row.try_get("revision").map_err(database)
    }

    /// The latest commits before `before` that changed what a principal alone was given, the last one first.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn permission_changes(
        &mut self,
        account: &AccountId,
        principal: &PrincipalId,
        before: i64,
        limit: i64,
    ) -> Result<Vec<ChangedPermission>> {
        let rows = sqlx::query(CHANGES)
            .bind(account.as_str())
            .bind(principal.as_str())
            .bind(before)
            .bind(limit)
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        rows.iter()
            .map(|row| {
                let at: i64 = row.try_get("at").map_err(database)?;
                let revision = row.try_get("revision").map_err(database)?;
                Ok(ChangedPermission { revision, at: Timestamp::from_millis(at) })
            })
            .collect()
    }

    /// What grants that were ever a principal's alone said as of a commit: of each the last version until then, ended or
    /// not.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn versions_as_of(
        &mut self,
        account: &AccountId,
        principal: &PrincipalId,
        revision: i64,
    ) -> Result<Vec<GrantVersion>> {
        let rows = sqlx::query(AS_OF)
            .bind(account.as_str())
            .bind(principal.as_str())
            .bind(revision)
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        rows.iter().map(version).collect()
    }

    /// The active grant that is the right of a cluster's owner, if it has one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grant_of_owner(&mut self, cluster: &ClusterId) -> Result<Option<GrantId>> {
        let row = sqlx::query(
            "SELECT g.id AS id FROM grants g JOIN grant_clusters c ON c.grant_id = g.id \
             WHERE c.cluster_id = $1 AND g.of_owner = 1 AND g.revoked_at IS NULL",
        )
        .bind(cluster.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.map(|row| row.try_get::<String, _>("id").map(|id| GrantId::stored(&id)).map_err(database))
            .transpose()
    }
}
