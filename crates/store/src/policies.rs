//! Identity policies, their versions, and who holds them where.

use domain::{
    AccountId, Attachment, Error, Policy, PolicyId, PolicyScope, PolicyVersion, PrincipalId, Result,
    Timestamp,
};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::apart::Called;
use crate::error::{corrupt, database, unless_taken};
use crate::transaction::{Page, ReadTx, WriteTx};

/// A policy that somebody holds, with the document that counts.
#[derive(Clone, Debug)]
pub struct HeldPolicy {
    /// By whom it is held: the one who was asked about, or a group of theirs.
    pub holder: PrincipalId,
    /// The name of the group through which it is held; `None` if it is held directly.
    pub group: Option<String>,
    /// The policy.
    pub policy: PolicyId,
    /// Its name and the document of its default version; `None` if it is not one of the account's own.
    pub own: Option<(String, String)>,
    /// Where it holds.
    pub scope: PolicyScope,
}

impl WriteTx {
    /// Adds a policy with its first version.
    ///
    /// # Errors
    /// `Conflict` if the id was ever used or the name is taken.
    pub async fn insert_policy(&mut self, policy: &Policy, document: &str) -> Result<()> {
        self.take_id("policy", "policy", policy.id.as_str()).await?;
        self.keep_apart(Called::Policy, &policy.account, policy.id.as_str(), &policy.name).await?;
        let inserted = sqlx::query(
            "INSERT INTO policies (id, account_id, name, description, default_version, last_version, created_at, \
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(policy.id.as_str())
        .bind(policy.account.as_str())
        .bind(policy.name.as_str())
        .bind(policy.description.as_str())
        .bind(policy.default_version)
        .bind(policy.last_version)
        .bind(policy.created_at.as_millis())
        .bind(policy.updated_at.as_millis())
        .execute(self.connection())
        .await;
        unless_taken(inserted, || Error::conflict(format!("a policy named `{}` exists", policy.name)))?;
        self.insert_policy_version(policy, document, policy.created_at).await
    }

    /// Adds the version `policy.last_version`, and writes down what else changed about the policy.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn add_policy_version(&mut self, policy: &Policy, document: &str) -> Result<()> {
        self.insert_policy_version(policy, document, policy.updated_at).await?;
        self.update_policy(policy).await
    }

    async fn insert_policy_version(
        &mut self,
        policy: &Policy,
        document: &str,
        created_at: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO policy_versions (policy_id, version, document, created_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(policy.id.as_str())
        .bind(policy.last_version)
        .bind(document)
        .bind(created_at.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Writes a policy's name, description and versions' numbers.
    ///
    /// # Errors
    /// `Conflict` if the name is taken.
    pub async fn update_policy(&mut self, policy: &Policy) -> Result<()> {
        self.keep_apart(Called::Policy, &policy.account, policy.id.as_str(), &policy.name).await?;
        let updated = sqlx::query(
            "UPDATE policies SET name = $2, description = $3, default_version = $4, last_version = $5, \
             updated_at = $6 WHERE id = $1",
        )
        .bind(policy.id.as_str())
        .bind(policy.name.as_str())
        .bind(policy.description.as_str())
        .bind(policy.default_version)
        .bind(policy.last_version)
        .bind(policy.updated_at.as_millis())
        .execute(self.connection())
        .await;
        unless_taken(updated, || Error::conflict(format!("a policy named `{}` exists", policy.name)))?;
        Ok(())
    }

    /// Deletes one version of a policy. Returns whether there was one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_policy_version(&mut self, policy: &PolicyId, version: i64) -> Result<bool> {
        let done = sqlx::query("DELETE FROM policy_versions WHERE policy_id = $1 AND version = $2")
            .bind(policy.as_str())
            .bind(version)
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a policy with its versions and attachments.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_policy(&mut self, policy: &PolicyId) -> Result<()> {
        for statement in [
            "DELETE FROM attachments WHERE policy_id = $1",
            "DELETE FROM policy_versions WHERE policy_id = $1",
            "DELETE FROM policies WHERE id = $1",
        ] {
            sqlx::query(statement)
                .bind(policy.as_str())
                .execute(self.connection())
                .await
                .map_err(database)?;
        }
        Ok(())
    }

    /// Lets a principal of the account hold a policy. Returns whether that is new.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn attach_policy(&mut self, attachment: &Attachment) -> Result<bool> {
        let account = self.account().clone();
        let done = sqlx::query(
            "INSERT INTO attachments (account_id, principal_id, policy_id, scope, scope_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(account.as_str())
        .bind(attachment.principal.as_str())
        .bind(attachment.policy.as_str())
        .bind(attachment.scope.kind())
        .bind(attachment.scope.id())
        .bind(attachment.created_at.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes a policy from a principal of the account, in one scope. Returns whether they held it there.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn detach_policy(
        &mut self,
        principal: &PrincipalId,
        policy: &PolicyId,
        scope: &PolicyScope,
    ) -> Result<bool> {
        let account = self.account().clone();
        let done = sqlx::query(
            "DELETE FROM attachments WHERE account_id = $1 AND principal_id = $2 AND policy_id = $3 AND scope = $4 \
             AND scope_id = $5",
        )
        .bind(account.as_str())
        .bind(principal.as_str())
        .bind(policy.as_str())
        .bind(scope.kind())
        .bind(scope.id())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}

impl ReadTx {
    /// The account's policy with that id, else the one with that name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn policy_named(&mut self, account: &AccountId, id_or_name: &str) -> Result<Option<Policy>> {
        let row = sqlx::query(
            "SELECT id, account_id, name, description, default_version, last_version, created_at, updated_at \
             FROM policies WHERE account_id = $1 AND (id = $2 OR name = $2) \
             ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1",
        )
        .bind(account.as_str())
        .bind(id_or_name)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(policy).transpose()
    }

    /// A page of the account's policies.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn policies(&mut self, account: &AccountId, page: &Page) -> Result<Vec<Policy>> {
        let rows = sqlx::query(
            "SELECT id, account_id, name, description, default_version, last_version, created_at, updated_at \
             FROM policies WHERE account_id = $1 AND (created_at > $2 OR (created_at = $2 AND id > $3)) \
             ORDER BY created_at, id LIMIT $4",
        )
        .bind(account.as_str())
        .bind(page.after_millis())
        .bind(page.after_id())
        .bind(page.limit)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(policy).collect()
    }

    /// How many policies the account has.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_policies_of(&mut self, account: &AccountId) -> Result<i64> {
        let row = sqlx::query("SELECT COUNT(*) AS n FROM policies WHERE account_id = $1")
            .bind(account.as_str())
            .fetch_one(self.connection())
            .await
            .map_err(database)?;
        row.try_get("n").map_err(database)
    }

    /// The versions of a policy, the latest first.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn policy_versions(&mut self, policy: &PolicyId) -> Result<Vec<PolicyVersion>> {
        let rows = sqlx::query(
            "SELECT version, document, created_at FROM policy_versions WHERE policy_id = $1 ORDER BY version DESC",
        )
        .bind(policy.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(version).collect()
    }

    /// Who holds a policy in the account, and where.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn holders(&mut self, account: &AccountId, policy: &PolicyId) -> Result<Vec<Attachment>> {
        let rows = sqlx::query(
            "SELECT principal_id, policy_id, scope, scope_id, created_at FROM attachments \
             WHERE account_id = $1 AND policy_id = $2 ORDER BY created_at, principal_id, scope, scope_id",
        )
        .bind(account.as_str())
        .bind(policy.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(attachment).collect()
    }

    /// What a principal of the account holds itself.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn attachments_of(&mut self, principal: &PrincipalId) -> Result<Vec<Attachment>> {
        let rows = sqlx::query(
            "SELECT principal_id, policy_id, scope, scope_id, created_at FROM attachments \
             WHERE principal_id = $1 ORDER BY created_at, policy_id, scope, scope_id",
        )
        .bind(principal.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(attachment).collect()
    }

    /// The documents of the account's own policies that count, held by somebody or not.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn policy_documents(&mut self, account: &AccountId) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT v.document AS document FROM policies p \
             JOIN policy_versions v ON v.policy_id = p.id AND v.version = p.default_version \
             WHERE p.account_id = $1 ORDER BY p.id",
        )
        .bind(account.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(|row| row.try_get("document").map_err(database)).collect()
    }

    /// What a principal holds, itself and through its groups, with the documents that count.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn held_policies(&mut self, principal: &PrincipalId) -> Result<Vec<HeldPolicy>> {
        let rows = sqlx::query(
            "SELECT a.principal_id AS holder, g.name AS group_name, a.policy_id AS policy_id, a.scope AS scope, \
             a.scope_id AS scope_id, p.name AS policy_name, v.document AS document \
             FROM attachments a \
             JOIN principals g ON g.id = a.principal_id \
             LEFT JOIN policies p ON p.id = a.policy_id AND p.account_id = a.account_id \
             LEFT JOIN policy_versions v ON v.policy_id = p.id AND v.version = p.default_version \
             WHERE a.principal_id = $1 OR a.principal_id IN (SELECT m.group_id FROM memberships m WHERE m.user_id = $1) \
             ORDER BY a.created_at, a.policy_id, a.principal_id, a.scope, a.scope_id",
        )
        .bind(principal.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(|row| held(row, principal)).collect()
    }

    /// The groups of a user, id and name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn groups_of(&mut self, user: &PrincipalId) -> Result<Vec<(PrincipalId, String)>> {
        let rows = sqlx::query(
            "SELECT g.id AS id, g.name AS name FROM memberships m JOIN principals g ON g.id = m.group_id \
             WHERE m.user_id = $1 ORDER BY g.name",
        )
        .bind(user.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get("id").map_err(database)?;
                Ok((PrincipalId::stored(&id), row.try_get("name").map_err(database)?))
            })
            .collect()
    }
}

fn policy(row: &AnyRow) -> Result<Policy> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(database);
    let number = |name: &str| row.try_get::<i64, _>(name).map_err(database);
    Ok(Policy {
        id: PolicyId::stored(&text("id")?),
        account: AccountId::stored(&text("account_id")?),
        name: text("name")?,
        description: text("description")?,
        default_version: number("default_version")?,
        last_version: number("last_version")?,
        created_at: Timestamp::from_millis(number("created_at")?),
        updated_at: Timestamp::from_millis(number("updated_at")?),
    })
}

fn version(row: &AnyRow) -> Result<PolicyVersion> {
    Ok(PolicyVersion {
        version: row.try_get("version").map_err(database)?,
        document: row.try_get("document").map_err(database)?,
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
    })
}

fn attachment(row: &AnyRow) -> Result<Attachment> {
    let principal: String = row.try_get("principal_id").map_err(database)?;
    let policy: String = row.try_get("policy_id").map_err(database)?;
    Ok(Attachment {
        scope: scope(row, &policy)?,
        principal: PrincipalId::stored(&principal),
        policy: PolicyId::stored(&policy),
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
    })
}

fn scope(row: &AnyRow, policy: &str) -> Result<PolicyScope> {
    let kind: String = row.try_get("scope").map_err(database)?;
    let id: String = row.try_get("scope_id").map_err(database)?;
    PolicyScope::parse(&kind, &id).map_err(|_| corrupt("attachments", "scope", policy))
}

fn held(row: &AnyRow, principal: &PrincipalId) -> Result<HeldPolicy> {
    let holder: String = row.try_get("holder").map_err(database)?;
    let group: String = row.try_get("group_name").map_err(database)?;
    let policy: String = row.try_get("policy_id").map_err(database)?;
    let name: Option<String> = row.try_get("policy_name").map_err(database)?;
    let document: Option<String> = row.try_get("document").map_err(database)?;
    Ok(HeldPolicy {
        group: (holder != principal.as_str()).then_some(group),
        scope: scope(row, &policy)?,
        // A policy whose document went missing is read as a document that nobody can read: it denies.
        own: name.map(|name| (name, document.unwrap_or_default())),
        holder: PrincipalId::stored(&holder),
        policy: PolicyId::stored(&policy),
    })
}
