//! Users, groups and agencies: creating, listing, deleting.

use domain::{Error, ExternalId, Principal, PrincipalId, PrincipalKind, Result, Secret};

use crate::authz;
use crate::call::Call;
use crate::history;
use crate::quotas::room;
use crate::service::{PageRequest, Paged, Service};

/// The most external ids one principal may have.
const MAX_EXTERNAL_IDS: usize = 10;

/// A principal to be created.
#[derive(Debug)]
pub struct NewPrincipal {
    /// User, group or agency.
    pub kind: PrincipalKind,
    /// An id of one's own choice; 32 hex digits otherwise.
    pub id: Option<String>,
    /// Unique among the account's principals of that kind.
    pub name: String,
    /// A user's password. Without one they cannot log in, only sign.
    pub password: Option<Secret>,
    /// Names under which other systems know the principal.
    pub external_ids: Vec<ExternalId>,
}

impl Service {
    /// Creates a user, group or agency.
    ///
    /// # Errors
    /// `Invalid` naming the field; `Conflict` if the id was ever used or the name is taken.
    pub async fn create_principal(&self, call: &Call, new: NewPrincipal) -> Result<Principal> {
        let action = action(new.kind, "create");
        authz::require(call, &action)?;
        check(&new)?;
        let hash = match &new.password {
            Some(password) => Some(self.passwords.hash(&*self.entropy, password).await?),
            None => None,
        };
        let principal = Principal {
            id: self.chosen_or_new(new.id.as_deref())?,
            account: call.account().clone(),
            kind: new.kind,
            name: new.name,
            enabled: true,
            root: false,
            external_ids: new.external_ids,
            created_at: self.now(),
        };
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => {
                return self.repeated(call, error).await?.created_principal(call, new.kind, &action).await;
            }
        };
        let have = tx.count_principals_of(call.account()).await?;
        room("users, groups and agencies together", have, self.settings.quotas.principals)?;
        tx.insert_principal(&principal, hash.as_deref()).await?;
        self.commit(tx, call, &action, &format!("{}/{}", principal.kind, principal.id)).await?;
        Ok(principal)
    }

    /// A page of the account's principals of one kind.
    ///
    /// # Errors
    /// `Invalid` naming `limit` or `cursor`.
    pub async fn list_principals(
        &self,
        call: &Call,
        kind: PrincipalKind,
        page: &PageRequest,
    ) -> Result<Paged<Principal>> {
        authz::require(call, &action(kind, "list"))?;
        let mut tx = self.store.read().await?;
        let found = tx.principals(call.account(), kind, &page.to_page()?).await?;
        tx.end().await?;
        page.paged(found, |principal| (principal.created_at, principal.id.as_str().to_owned()))
    }

    /// A principal by id or name.
    ///
    /// # Errors
    /// `NotFound` if there is none in the account.
    pub async fn show_principal(
        &self,
        call: &Call,
        kind: PrincipalKind,
        id_or_name: &str,
    ) -> Result<Principal> {
        authz::require(call, &action(kind, "show"))?;
        let mut tx = self.store.read().await?;
        let found = tx.principal_named(call.account(), kind, id_or_name).await?;
        tx.end().await?;
        found.ok_or_else(|| Error::not_found(kind.as_str(), id_or_name))
    }

    /// Deletes a principal: its keys and tokens end, it leaves its groups and every grant.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` for the root user and the group of administrators.
    pub async fn delete_principal(&self, call: &Call, kind: PrincipalKind, id_or_name: &str) -> Result<()> {
        let action = action(kind, "delete");
        authz::require(call, &action)?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.deleted(&action).await,
        };
        let found = tx
            .principal_named(call.account(), kind, id_or_name)
            .await?
            .ok_or_else(|| Error::not_found(kind.as_str(), id_or_name))?;
        if found.root {
            return Err(Error::conflict("the root user cannot be deleted"));
        }
        if kind == PrincipalKind::Group && found.name == authz::ADMINISTRATORS {
            return Err(Error::conflict("the built-in group `administrators` cannot be deleted"));
        }
        let grants = tx.grants_of_principal(&found.id).await?;
        tx.delete_principal(&found.id, self.now()).await?;
        history::record_changed(&mut tx, call, &grants).await?;
        self.commit_for_fleet(tx, call, &action, &format!("{kind}/{}", found.id)).await
    }

    /// Sets a user's password; tokens that the old one gave end.
    ///
    /// # Errors
    /// `NotFound` if there is no such user; `Invalid` naming `password`.
    pub async fn set_password(&self, call: &Call, user: &str, password: &Secret) -> Result<()> {
        authz::require(call, "bailiwick:user:setPassword")?;
        crate::password::check("password", password)?;
        let hash = self.passwords.hash(&*self.entropy, password).await?;
        let mut tx = self.begin(call).await?;
        let found: PrincipalId = tx
            .principal_named(call.account(), PrincipalKind::User, user)
            .await?
            .map(|principal| principal.id)
            .ok_or_else(|| Error::not_found("user", user))?;
        tx.set_password_hash(&found, &hash).await?;
        self.commit(tx, call, "bailiwick:user:setPassword", &format!("user/{found}")).await
    }
}

fn action(kind: PrincipalKind, verb: &str) -> String {
    format!("bailiwick:{kind}:{verb}")
}

fn check(new: &NewPrincipal) -> Result<()> {
    crate::names::check("name", &new.name)?;
    if let Some(password) = &new.password {
        if new.kind != PrincipalKind::User {
            return Err(Error::invalid("password", "must be left out: only users have one"));
        }
        crate::password::check("password", password)?;
    }
    if new.external_ids.len() > MAX_EXTERNAL_IDS {
        return Err(Error::invalid("externalIds", format!("must be at most {MAX_EXTERNAL_IDS}")));
    }
    for external in &new.external_ids {
        for (field, text) in
            [("externalIds.issuer", &external.issuer), ("externalIds.subject", &external.subject)]
        {
            crate::names::check_text(field, text, 512)?;
            if text.is_empty() {
                return Err(Error::invalid(field, "must not be empty"));
            }
        }
    }
    Ok(())
}
