//! Under which names people arrive in clusters, and who they are that are to be named.

use std::collections::HashMap;

use domain::{
    AccountId, Arrival, ClusterId, Error, ExternalId, GroupMembers, NameTemplate, Principal, PrincipalId,
    PrincipalKind, Result, Timestamp,
};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::{corrupt, database};
use crate::transaction::{ReadTx, WriteTx};

/// The columns of an arrival, as they are stored.
pub(crate) struct StoredArrival {
    pub(crate) users: String,
    pub(crate) groups: String,
    pub(crate) members: &'static str,
}

impl StoredArrival {
    pub(crate) fn new(arrival: &Arrival) -> Self {
        Self {
            users: lines(&arrival.users),
            groups: lines(&arrival.groups),
            members: arrival.members.as_str(),
        }
    }
}

/// Reads the columns of an arrival.
pub(crate) fn arrival(row: &AnyRow, id: &str) -> Result<Arrival> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
    let templates = |column: &'static str| -> Result<Vec<NameTemplate>> {
        let texts = text(column)?;
        let read = texts.lines().map(|line| NameTemplate::parse(column, line)).collect::<Result<_>>();
        read.map_err(|_| corrupt("clusters", column, id))
    };
    Ok(Arrival {
        users: templates("user_names")?,
        groups: templates("group_names")?,
        members: GroupMembers::parse("group_members", &text("group_members")?)
            .map_err(|_| corrupt("clusters", "group_members", id))?,
    })
}

impl WriteTx {
    /// Changes under which names people arrive in a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_arrival(&mut self, id: &ClusterId, arrival: &Arrival, now: Timestamp) -> Result<()> {
        let stored = StoredArrival::new(arrival);
        sqlx::query(
            "UPDATE clusters SET user_names = $2, group_names = $3, group_members = $4, updated_at = $5, \
             arrival_at = $5 WHERE id = $1",
        )
        .bind(id.as_str())
        .bind(stored.users)
        .bind(stored.groups)
        .bind(stored.members)
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// Whether some cluster of the account binds the members of groups.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn binds_members(&mut self, account: &AccountId) -> Result<bool> {
        let row = sqlx::query(
            "SELECT id FROM clusters WHERE account_id = $1 AND group_members = 'bind' \
             AND sealed_connection IS NOT NULL LIMIT 1",
        )
        .bind(account.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        Ok(row.is_some())
    }

    /// The account's principals that a grant ever named, with their external ids.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn granted_principals(&mut self, account: &AccountId) -> Result<Vec<Principal>> {
        self.whole_principals(
            account,
            "SELECT p.id AS id, p.kind AS kind, p.name AS name, p.created_at AS created_at FROM principals p \
             WHERE p.account_id = $1 AND p.id IN (SELECT principal_id FROM grant_principals)",
            "SELECT e.principal_id AS principal_id, e.issuer AS issuer, e.subject AS subject FROM external_ids e \
             WHERE e.account_id = $1 AND e.principal_id IN (SELECT principal_id FROM grant_principals)",
        )
        .await
    }

    /// The users who are in a group that a grant ever named, with their external ids.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn granted_members(&mut self, account: &AccountId) -> Result<Vec<Principal>> {
        self.whole_principals(
            account,
            "SELECT p.id AS id, p.kind AS kind, p.name AS name, p.created_at AS created_at FROM principals p \
             WHERE p.account_id = $1 AND p.id IN (SELECT m.user_id FROM memberships m \
             JOIN grant_principals g ON g.principal_id = m.group_id)",
            "SELECT e.principal_id AS principal_id, e.issuer AS issuer, e.subject AS subject FROM external_ids e \
             WHERE e.account_id = $1 AND e.principal_id IN (SELECT m.user_id FROM memberships m \
             JOIN grant_principals g ON g.principal_id = m.group_id)",
        )
        .await
    }

    /// Who is in the account's groups that a grant ever named: (group, user).
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn granted_memberships(
        &mut self,
        account: &AccountId,
    ) -> Result<Vec<(PrincipalId, PrincipalId)>> {
        let rows = sqlx::query(
            "SELECT m.group_id AS group_id, m.user_id AS user_id FROM memberships m \
             JOIN principals g ON g.id = m.group_id WHERE g.account_id = $1 \
             AND m.group_id IN (SELECT principal_id FROM grant_principals)",
        )
        .bind(account.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let id = |row: &AnyRow, column: &str| -> Result<PrincipalId> {
            let text: String = row.try_get(column).map_err(database)?;
            Ok(PrincipalId::stored(&text))
        };
        rows.iter().map(|row| Ok((id(row, "group_id")?, id(row, "user_id")?))).collect()
    }

    async fn whole_principals(
        &mut self,
        account: &AccountId,
        principals: &'static str,
        external_ids: &'static str,
    ) -> Result<Vec<Principal>> {
        let rows = sqlx::query(external_ids)
            .bind(account.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        let mut external: HashMap<String, Vec<ExternalId>> = HashMap::new();
        for row in rows {
            let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
            let found = ExternalId { issuer: text("issuer")?, subject: text("subject")? };
            external.entry(text("principal_id")?).or_default().push(found);
        }
        let rows = sqlx::query(principals)
            .bind(account.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        let principal = |row: &AnyRow| -> Result<Principal> {
            let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
            let id = text("id")?;
            let unknown = |_: Error| corrupt("principals", "kind", &id);
            Ok(Principal {
                account: account.clone(),
                kind: PrincipalKind::parse("kind", &text("kind")?).map_err(unknown)?,
                name: text("name")?,
                enabled: true,
                root: false,
                external_ids: external.remove(&id).unwrap_or_default(),
                // What bindings do not depend on is not read.
                description: String::new(),
                password_set_at: None,
                created_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
                updated_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
                id: PrincipalId::stored(&id),
            })
        };
        rows.iter().map(principal).collect()
    }
}

fn lines(templates: &[NameTemplate]) -> String {
    templates.iter().map(NameTemplate::as_str).collect::<Vec<_>>().join("\n")
}
