//! What changes about principals and access keys after they were made, and who belongs together.

use domain::{AccountId, Error, Principal, PrincipalId, PrincipalKind, Result, Timestamp};

use crate::apart::Called;
use crate::error::{database, unless_taken};
use crate::principals::with_external;
use crate::sessions::AncestorKind;
use crate::transaction::{ReadTx, WriteTx};

impl WriteTx {
    /// Writes a principal's name, description and whether it is enabled.
    ///
    /// # Errors
    /// `Conflict` if the name is taken.
    pub async fn update_principal(&mut self, principal: &Principal) -> Result<()> {
        let called = Called::Principal(principal.kind);
        self.keep_apart(called, &principal.account, principal.id.as_str(), &principal.name).await?;
        let updated = sqlx::query(
            "UPDATE principals SET name = $3, enabled = $4, description = $5, updated_at = $6, \
             named_at = CASE WHEN name <> $3 THEN $6 ELSE named_at END WHERE account_id = $1 AND id = $2",
        )
        .bind(principal.account.as_str())
        .bind(principal.id.as_str())
        .bind(principal.name.as_str())
        .bind(i64::from(principal.enabled))
        .bind(principal.description.as_str())
        .bind(principal.updated_at.as_millis())
        .execute(self.connection())
        .await;
        unless_taken(updated, || {
            Error::conflict(format!("a {} named `{}` exists", principal.kind, principal.name))
        })?;
        Ok(())
    }

    /// Writes a principal's external ids in place of those that it had.
    ///
    /// # Errors
    /// `Conflict` if one of them belongs to another principal.
    pub async fn replace_external_ids(&mut self, principal: &Principal) -> Result<()> {
        sqlx::query("DELETE FROM external_ids WHERE principal_id = $1")
            .bind(principal.id.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        for external in &principal.external_ids {
            self.insert_external_id(principal, external).await?;
        }
        sqlx::query("UPDATE principals SET named_at = $2 WHERE id = $1")
            .bind(principal.id.as_str())
            .bind(principal.updated_at.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Takes a user's password away and ends what it began.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn clear_password(&mut self, user: &PrincipalId) -> Result<()> {
        sqlx::query(
            "UPDATE principals SET password_hash = NULL, password_set_at = NULL, passwords_set = passwords_set + 1 \
             WHERE id = $1",
        )
        .bind(user.as_str())
        .execute(self.connection())
        .await
        .map_err(database)?;
        self.delete_descendants(AncestorKind::Password, user.as_str()).await
    }

    /// Writes the note about a key of the account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_access_key_description(&mut self, id: &str, description: &str) -> Result<()> {
        let account = self.account().clone();
        sqlx::query("UPDATE access_keys SET description = $3 WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id)
            .bind(description)
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Notes that a key of the account signed something at `at`, unless something later than `unless_after` is noted.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_access_key_used(
        &mut self,
        id: &str,
        at: Timestamp,
        unless_after: Timestamp,
    ) -> Result<()> {
        let account = self.account().clone();
        sqlx::query(
            "UPDATE access_keys SET last_used_at = $3 \
             WHERE account_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at <= $4)",
        )
        .bind(account.as_str())
        .bind(id)
        .bind(at.as_millis())
        .bind(unless_after.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// The account's principal of that kind with that id, and never one that only has it as a name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn principal_by_id(
        &mut self,
        account: &AccountId,
        kind: PrincipalKind,
        id: &str,
    ) -> Result<Option<Principal>> {
        let found = self.principal(account, id).await?;
        Ok(found.filter(|principal| principal.kind == kind))
    }

    /// The account's principal of that kind with exactly that name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn principal_by_name(
        &mut self,
        account: &AccountId,
        kind: PrincipalKind,
        name: &str,
    ) -> Result<Option<Principal>> {
        let row = sqlx::query(
            "SELECT id, account_id, kind, name, enabled, root, description, password_set_at, created_at, updated_at \
             FROM principals WHERE account_id = $1 AND kind = $2 AND name = $3",
        )
        .bind(account.as_str())
        .bind(kind.as_str())
        .bind(name)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        self.with_external_ids(row).await
    }

    /// Whether a user is in a group.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn is_member(&mut self, group: &PrincipalId, user: &PrincipalId) -> Result<bool> {
        let row = sqlx::query("SELECT user_id FROM memberships WHERE group_id = $1 AND user_id = $2")
            .bind(group.as_str())
            .bind(user.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        Ok(row.is_some())
    }

    /// The groups that a user is in, by creation time and id.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn groups_with(&mut self, account: &AccountId, user: &PrincipalId) -> Result<Vec<Principal>> {
        let rows = sqlx::query(
            "SELECT p.id AS id, p.account_id AS account_id, p.kind AS kind, p.name AS name, p.enabled AS enabled, \
             p.root AS root, p.description AS description, p.password_set_at AS password_set_at, \
             p.created_at AS created_at, p.updated_at AS updated_at \
             FROM memberships m JOIN principals p ON p.id = m.group_id \
             WHERE m.user_id = $2 AND p.account_id = $1 ORDER BY p.created_at, p.id",
        )
        .bind(account.as_str())
        .bind(user.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let external = sqlx::query(
            "SELECT e.principal_id AS principal_id, e.issuer AS issuer, e.subject AS subject \
             FROM memberships m JOIN external_ids e ON e.principal_id = m.group_id \
             WHERE m.user_id = $2 AND e.account_id = $1 ORDER BY e.issuer, e.subject",
        )
        .bind(account.as_str())
        .bind(user.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        with_external(&rows, &external)
    }

    /// The users that are in a group, by creation time and id.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn users_in(&mut self, account: &AccountId, group: &PrincipalId) -> Result<Vec<Principal>> {
        let rows = sqlx::query(
            "SELECT p.id AS id, p.account_id AS account_id, p.kind AS kind, p.name AS name, p.enabled AS enabled, \
             p.root AS root, p.description AS description, p.password_set_at AS password_set_at, \
             p.created_at AS created_at, p.updated_at AS updated_at \
             FROM memberships m JOIN principals p ON p.id = m.user_id \
             WHERE m.group_id = $2 AND p.account_id = $1 ORDER BY p.created_at, p.id",
        )
        .bind(account.as_str())
        .bind(group.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let external = sqlx::query(
            "SELECT e.principal_id AS principal_id, e.issuer AS issuer, e.subject AS subject \
             FROM memberships m JOIN external_ids e ON e.principal_id = m.user_id \
             WHERE m.group_id = $2 AND e.account_id = $1 ORDER BY e.issuer, e.subject",
        )
        .bind(account.as_str())
        .bind(group.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        with_external(&rows, &external)
    }
}
