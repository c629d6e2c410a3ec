//! Users, groups and agencies, with the names other systems give them.

use std::collections::HashMap;

use domain::{AccountId, Error, ExternalId, Principal, PrincipalId, PrincipalKind, Result, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::apart::Called;
use crate::error::{corrupt, database, unless_taken};
use crate::sessions::AncestorKind;
use crate::transaction::{Page, ReadTx, WriteTx};

impl WriteTx {
    /// Adds a principal, with its password's hash if it has one.
    ///
    /// # Errors
    /// `Conflict` if the id was ever used, or the name or an external id is taken.
    pub async fn insert_principal(
        &mut self,
        principal: &Principal,
        password_hash: Option<&str>,
    ) -> Result<()> {
        self.take_id("principal", principal.kind.as_str(), principal.id.as_str()).await?;
        let called = Called::Principal(principal.kind);
        self.keep_apart(called, &principal.account, principal.id.as_str(), &principal.name).await?;
        let inserted = sqlx::query(
            "INSERT INTO principals (id, account_id, kind, name, enabled, root, password_hash, description, \
             password_set_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(principal.id.as_str())
        .bind(principal.account.as_str())
        .bind(principal.kind.as_str())
        .bind(principal.name.as_str())
        .bind(i64::from(principal.enabled))
        .bind(i64::from(principal.root))
        .bind(password_hash)
        .bind(principal.description.as_str())
        .bind(principal.password_set_at.map(Timestamp::as_millis))
        .bind(principal.created_at.as_millis())
        .bind(principal.updated_at.as_millis())
        .execute(self.connection())
        .await;
        unless_taken(inserted, || {
            Error::conflict(format!("a {} named `{}` exists", principal.kind, principal.name))
        })?;
        for external in &principal.external_ids {
            self.insert_external_id(principal, external).await?;
        }
        Ok(())
    }

    pub(crate) async fn insert_external_id(
        &mut self,
        principal: &Principal,
        external: &ExternalId,
    ) -> Result<()> {
        let inserted = sqlx::query(
            "INSERT INTO external_ids (account_id, issuer, subject, principal_id) VALUES ($1, $2, $3, $4)",
        )
        .bind(principal.account.as_str())
        .bind(external.issuer.as_str())
        .bind(external.subject.as_str())
        .bind(principal.id.as_str())
        .execute(self.connection())
        .await;
        unless_taken(inserted, || {
            let ExternalId { issuer, subject } = external;
            Error::conflict(format!(
                "the external id `{subject}` of issuer `{issuer}` belongs to another principal"
            ))
        })?;
        Ok(())
    }

    /// Replaces a user's password and ends what the old one began.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_password_hash(&mut self, user: &PrincipalId, hash: &str, now: Timestamp) -> Result<()> {
        sqlx::query(
            "UPDATE principals SET password_hash = $2, password_set_at = $3, passwords_set = passwords_set + 1 \
             WHERE id = $1",
        )
        .bind(user.as_str())
        .bind(hash)
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        self.delete_descendants(AncestorKind::Password, user.as_str()).await
    }

    /// Deletes a principal with its credentials, memberships, associations and places in grants. Grants that named it get a new
    /// generation; one that named nobody else stays, and allows nobody.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_principal(&mut self, id: &PrincipalId, now: Timestamp) -> Result<()> {
        sqlx::query(
            "UPDATE grants SET generation = generation + 1, updated_at = $2 \
             WHERE revoked_at IS NULL AND id IN (SELECT grant_id FROM grant_principals WHERE principal_id = $1)",
        )
        .bind(id.as_str())
        .bind(now.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        self.revoke_certificates_of_principal(id, now).await?;
        self.end_associations_of_agency(id, now).await?;
        for key in self.access_keys_of(id).await? {
            self.delete_descendants(AncestorKind::AccessKey, key.id.as_str()).await?;
        }
        self.delete_descendants(AncestorKind::Principal, id.as_str()).await?;
        for statement in [
            "DELETE FROM grant_principals WHERE principal_id = $1",
            "DELETE FROM memberships WHERE user_id = $1 OR group_id = $1",
            "DELETE FROM attachments WHERE principal_id = $1",
            "DELETE FROM access_keys WHERE user_id = $1",
            "DELETE FROM agents WHERE user_id = $1",
            "DELETE FROM external_ids WHERE principal_id = $1",
            "DELETE FROM activity WHERE principal_id = $1",
            "DELETE FROM agency_details WHERE agency_id = $1",
            "DELETE FROM certificate_lifetimes WHERE principal_id = $1",
            "UPDATE clusters SET owner_id = NULL WHERE owner_id = $1",
            "DELETE FROM principals WHERE id = $1",
        ] {
            sqlx::query(statement).bind(id.as_str()).execute(self.connection()).await.map_err(database)?;
        }
        Ok(())
    }
}

impl ReadTx {
    /// The account's principal with that id.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn principal(&mut self, account: &AccountId, id: &str) -> Result<Option<Principal>> {
        let row = sqlx::query(
            "SELECT id, account_id, kind, name, enabled, root, description, password_set_at, created_at, updated_at \
             FROM principals \
             WHERE account_id = $1 AND id = $2",
        )
        .bind(account.as_str())
        .bind(id)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        self.with_external_ids(row).await
    }

    /// The account's principal of that kind with that id, else the one with that name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn principal_named(
        &mut self,
        account: &AccountId,
        kind: PrincipalKind,
        id_or_name: &str,
    ) -> Result<Option<Principal>> {
        let row = sqlx::query(
            "SELECT id, account_id, kind, name, enabled, root, description, password_set_at, created_at, updated_at \
             FROM principals \
             WHERE account_id = $1 AND kind = $2 AND (id = $3 OR name = $3) \
             ORDER BY CASE WHEN id = $3 THEN 0 ELSE 1 END LIMIT 1",
        )
        .bind(account.as_str())
        .bind(kind.as_str())
        .bind(id_or_name)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        self.with_external_ids(row).await
    }

    /// The user with that id, of whatever account: somebody who logs in by id names no account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn user_of_any_account(&mut self, id: &str) -> Result<Option<Principal>> {
        let row = sqlx::query(
            "SELECT id, account_id, kind, name, enabled, root, description, password_set_at, created_at, updated_at \
             FROM principals \
             WHERE id = $1 AND kind = 'user'",
        )
        .bind(id)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        self.with_external_ids(row).await
    }

    /// The principal with that id, of whatever account: ids are unique in the installation.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn principal_of_any_account(&mut self, id: &PrincipalId) -> Result<Option<Principal>> {
        let row = sqlx::query(
            "SELECT id, account_id, kind, name, enabled, root, description, password_set_at, created_at, updated_at \
             FROM principals WHERE id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        self.with_external_ids(row).await
    }

    pub(crate) async fn with_external_ids(&mut self, row: Option<AnyRow>) -> Result<Option<Principal>> {
        let Some(row) = row else { return Ok(None) };
        let mut found = principal(&row)?;
        let rows = sqlx::query(
            "SELECT issuer, subject FROM external_ids WHERE principal_id = $1 ORDER BY issuer, subject",
        )
        .bind(found.id.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        for row in rows {
            found.external_ids.push(external_id(&row)?);
        }
        Ok(Some(found))
    }

    /// A page of the account's principals of one kind.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn principals(
        &mut self,
        account: &AccountId,
        kind: PrincipalKind,
        page: &Page,
    ) -> Result<Vec<Principal>> {
        let rows = sqlx::query(
            "SELECT id, account_id, kind, name, enabled, root, description, password_set_at, created_at, updated_at \
             FROM principals \
             WHERE account_id = $1 AND kind = $2 AND (created_at > $3 OR (created_at = $3 AND id > $4)) \
             ORDER BY created_at, id LIMIT $5",
        )
        .bind(account.as_str())
        .bind(kind.as_str())
        .bind(page.after_millis())
        .bind(page.after_id())
        .bind(page.limit)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let external = sqlx::query(
            "SELECT e.principal_id AS principal_id, e.issuer AS issuer, e.subject AS subject FROM external_ids e JOIN \
             (SELECT id FROM principals \
             WHERE account_id = $1 AND kind = $2 AND (created_at > $3 OR (created_at = $3 AND id > $4)) \
             ORDER BY created_at, id LIMIT $5) p ON p.id = e.principal_id ORDER BY e.issuer, e.subject",
        )
        .bind(account.as_str())
        .bind(kind.as_str())
        .bind(page.after_millis())
        .bind(page.after_id())
        .bind(page.limit)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        with_external(&rows, &external)
    }

    /// The password hash of an enabled user, for logging in.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn password_hash(&mut self, user: &PrincipalId) -> Result<Option<String>> {
        let row = sqlx::query("SELECT password_hash FROM principals WHERE id = $1 AND enabled = 1")
            .bind(user.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        match row {
            Some(row) => row.try_get("password_hash").map_err(database),
            None => Ok(None),
        }
    }

    /// The kinds of those of `ids` that are principals of the account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn principal_kinds(
        &mut self,
        account: &AccountId,
        ids: &[PrincipalId],
    ) -> Result<Vec<Option<PrincipalKind>>> {
        let mut kinds = Vec::with_capacity(ids.len());
        for id in ids {
            let row = sqlx::query("SELECT kind FROM principals WHERE account_id = $1 AND id = $2")
                .bind(account.as_str())
                .bind(id.as_str())
                .fetch_optional(self.connection())
                .await
                .map_err(database)?;
            kinds.push(row.as_ref().map(|row| kind(row, id.as_str())).transpose()?);
        }
        Ok(kinds)
    }
}

/// Principals with the external ids that were read for all of them.
pub(crate) fn with_external(rows: &[AnyRow], external: &[AnyRow]) -> Result<Vec<Principal>> {
    let mut ids: HashMap<String, Vec<ExternalId>> = HashMap::new();
    for row in external {
        let owner: String = row.try_get("principal_id").map_err(database)?;
        ids.entry(owner).or_default().push(external_id(row)?);
    }
    let read = |row| {
        let mut found = principal(row)?;
        found.external_ids = ids.remove(found.id.as_str()).unwrap_or_default();
        Ok(found)
    };
    rows.iter().map(read).collect()
}

pub(crate) fn principal(row: &AnyRow) -> Result<Principal> {
    let id: String = row.try_get("id").map_err(database)?;
    let account: String = row.try_get("account_id").map_err(database)?;
    let enabled: i64 = row.try_get("enabled").map_err(database)?;
    let root: i64 = row.try_get("root").map_err(database)?;
    let password_set_at: Option<i64> = row.try_get("password_set_at").map_err(database)?;
    Ok(Principal {
        kind: kind(row, &id)?,
        id: PrincipalId::stored(&id),
        account: AccountId::stored(&account),
        name: row.try_get("name").map_err(database)?,
        enabled: enabled == 1,
        root: root == 1,
        external_ids: Vec::new(),
        description: row.try_get("description").map_err(database)?,
        password_set_at: password_set_at.map(Timestamp::from_millis),
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
        updated_at: Timestamp::from_millis(row.try_get("updated_at").map_err(database)?),
    })
}

fn kind(row: &AnyRow, id: &str) -> Result<PrincipalKind> {
    let kind: String = row.try_get("kind").map_err(database)?;
    PrincipalKind::parse("kind", &kind).map_err(|_| corrupt("principals", "kind", id))
}

fn external_id(row: &AnyRow) -> Result<ExternalId> {
    Ok(ExternalId {
        issuer: row.try_get("issuer").map_err(database)?,
        subject: row.try_get("subject").map_err(database)?,
    })
}
