//! Users, groups and agencies: creating, listing, changing, deleting.

use domain::{Error, ExternalId, Principal, PrincipalKind, Result, Secret};
use store::WriteTx;

use crate::authz;
use crate::call::Call;
use crate::directory::which::Which;
use crate::grants::history;
use crate::pod_identity::associations::Associations;
use crate::quotas::room;
use crate::service::{PageRequest, Paged, Service};

/// The most external ids one principal may have.
const MAX_EXTERNAL_IDS: usize = 10;

/// The longest note about a principal, in bytes.
pub(crate) const MAX_DESCRIPTION: usize = 1024;

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
    /// A note.
    pub description: String,
    /// Whether a user may act at once.
    pub enabled: bool,
}

impl NewPrincipal {
    /// One with nothing but a name.
    #[must_use]
    pub fn named(kind: PrincipalKind, name: String) -> Self {
        Self {
            kind,
            id: None,
            name,
            password: None,
            external_ids: Vec::new(),
            description: String::new(),
            enabled: true,
        }
    }
}

/// What is to change about a principal. What is `None` stays.
#[derive(Debug, Default)]
pub struct PrincipalUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Another note.
    pub description: Option<String>,
    /// Whether a user may act.
    pub enabled: Option<bool>,
    /// Another password for a user.
    pub password: Option<Secret>,
    /// Other names in other systems, in place of all that there are.
    pub external_ids: Option<Vec<ExternalId>>,
}

impl Service {
    /// Creates a user, group or agency.
    ///
    /// # Errors
    /// `Invalid` naming the field; `Conflict` if the id was ever used or the name is taken; `Forbidden` for all but
    /// administrators if a trust policy or a condition names the name.
    pub async fn create_principal(&self, call: &Call, new: NewPrincipal) -> Result<Principal> {
        let action = action(new.kind, "create");
        authz::require(call, &action)?;
        let kind = new.kind;
        let (principal, hash) = self.prepare_principal(call, new).await?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.principal(call, kind, &action).await,
        };
        let have = tx.count_principals_of(call.account()).await?;
        room("users, groups and agencies together", have, self.settings.quotas.principals)?;
        self.may_be_called(&mut tx, call, &principal).await?;
        tx.insert_principal(&principal, hash.as_deref()).await?;
        self.commit(tx, call, &action, &format!("{}/{}", principal.kind, principal.id)).await?;
        Ok(principal)
    }

    /// What is to be stored of a new principal, and the hash of its password.
    pub(crate) async fn prepare_principal(
        &self,
        call: &Call,
        new: NewPrincipal,
    ) -> Result<(Principal, Option<String>)> {
        check(&new)?;
        let hash = match &new.password {
            Some(password) => Some(self.passwords.hash(&*self.entropy, password, call.account()).await?),
            None => None,
        };
        let principal = Principal {
            id: self.chosen_or_new(new.id.as_deref())?,
            account: call.account().clone(),
            kind: new.kind,
            name: new.name,
            enabled: new.enabled,
            root: false,
            external_ids: new.external_ids,
            description: new.description,
            password_set_at: hash.is_some().then(|| self.now()),
            created_at: self.now(),
            updated_at: self.now(),
        };
        Ok((principal, hash))
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
        which: impl Into<Which<'_>> + Send,
    ) -> Result<Principal> {
        authz::require(call, &action(kind, "show"))?;
        let mut tx = self.store.read().await?;
        let found = which.into().find(&mut tx, call.account(), kind).await;
        tx.end().await?;
        found
    }

    /// The account's principal of one kind with exactly that name, if there is one: a list that can have one entry.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn list_principals_named(
        &self,
        call: &Call,
        kind: PrincipalKind,
        name: &str,
    ) -> Result<Vec<Principal>> {
        authz::require(call, &action(kind, "list"))?;
        let mut tx = self.store.read().await?;
        let found = tx.principal_by_name(call.account(), kind, name).await?;
        tx.end().await?;
        Ok(found.into_iter().collect())
    }

    /// Changes a principal. Another password ends the tokens that the old one gave; who is disabled is refused from then
    /// on, and what they had begun does not go on when they are enabled again.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Invalid` naming the field; `Forbidden` for whoever has less rights than the
    /// principal; `Conflict` if the name is taken, for disabling the root user and renaming the group of administrators.
    pub async fn update_principal(
        &self,
        call: &Call,
        kind: PrincipalKind,
        which: impl Into<Which<'_>> + Send,
        update: PrincipalUpdate,
    ) -> Result<Principal> {
        let action = action(kind, "update");
        authz::require(call, &action)?;
        if update.password.is_some() {
            authz::require(call, "bailiwick:user:setPassword")?;
        }
        check_update(kind, &update)?;
        let which = which.into();
        if update.password.is_some() {
            // Hashing is dear: not for somebody who does not exist.
            let mut tx = self.store.read().await?;
            let found = which.find(&mut tx, call.account(), kind).await;
            tx.end().await?;
            found?;
        }
        let hash = match &update.password {
            Some(password) => Some(self.passwords.hash(&*self.entropy, password, call.account()).await?),
            None => None,
        };
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.principal(call, kind, &action).await,
        };
        let before = which.find(&mut tx, call.account(), kind).await?;
        self.may_change(&mut tx, call, &before.id).await?;
        let mut after = self.with_update(&before, update)?;
        self.may_be_renamed(&mut tx, call, &before, &after).await?;
        if before.enabled && !after.enabled {
            self.set_user_disabled(&mut tx, &after).await?;
        }
        tx.update_principal(&after).await?;
        if after.external_ids != before.external_ids {
            tx.replace_external_ids(&after).await?;
        }
        if let Some(hash) = hash {
            tx.set_password_hash(&after.id, &hash, self.now()).await?;
            after.password_set_at = Some(self.now());
        }
        let resource = format!("{kind}/{}", after.id);
        // Clusters know people by templates that may hold the name or an external id, and by certificates.
        let known_by = |one: &Principal| (one.name.clone(), one.external_ids.clone(), one.enabled);
        if known_by(&after) == known_by(&before) {
            self.commit(tx, call, &action, &resource).await?;
        } else {
            self.commit_for_fleet(tx, call, &action, &resource).await?;
        }
        Ok(after)
    }

    pub(crate) fn with_update(&self, before: &Principal, update: PrincipalUpdate) -> Result<Principal> {
        let mut after = Principal { updated_at: self.now(), ..before.clone() };
        if let Some(name) = update.name.filter(|name| *name != before.name) {
            if is_administrators(before) {
                return Err(Error::conflict("the built-in group `administrators` cannot be renamed"));
            }
            after.name = name;
        }
        after.description = update.description.unwrap_or(after.description);
        after.enabled = update.enabled.unwrap_or(after.enabled);
        if let Some(mut external_ids) = update.external_ids {
            external_ids.sort();
            after.external_ids = external_ids;
        }
        Ok(after)
    }

    /// What disabling a user ends. Their keys need no end: a key counts only while its user is enabled.
    async fn set_user_disabled(&self, tx: &mut WriteTx, user: &Principal) -> Result<()> {
        if user.root {
            return Err(Error::conflict("the root user cannot be disabled"));
        }
        tx.end_sessions_of_principal(&user.id).await?;
        tx.revoke_certificates_of_principal(&user.id, self.now()).await?;
        Ok(())
    }

    /// Deletes a principal: its keys and tokens end, it leaves its groups and every grant.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` for the root user, the group of administrators, and an agency that has pod
    /// identity associations.
    pub async fn delete_principal(
        &self,
        call: &Call,
        kind: PrincipalKind,
        which: impl Into<Which<'_>> + Send,
    ) -> Result<()> {
        self.delete_with_associations(call, kind, which.into(), Associations::Stay).await
    }

    /// Deletes an agency together with its pod identity associations: what was vended by them is over at once.
    ///
    /// # Errors
    /// As [`Service::delete_principal`]; `Forbidden` for whoever may not delete one of the associations.
    pub async fn delete_agency_with_associations(&self, call: &Call, which: Which<'_>) -> Result<()> {
        self.delete_with_associations(call, PrincipalKind::Agency, which, Associations::End).await
    }

    async fn delete_with_associations(
        &self,
        call: &Call,
        kind: PrincipalKind,
        which: Which<'_>,
        associations: Associations,
    ) -> Result<()> {
        let action = action(kind, "delete");
        authz::require(call, &action)?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.deleted(&action).await,
        };
        let found = which.find(&mut tx, call.account(), kind).await?;
        if found.root {
            return Err(Error::conflict("the root user cannot be deleted"));
        }
        if is_administrators(&found) {
            return Err(Error::conflict("the built-in group `administrators` cannot be deleted"));
        }
        self.may_change(&mut tx, call, &found.id).await?;
        match kind {
            PrincipalKind::Group => self.may_end_group(&mut tx, call, &found.id).await?,
            PrincipalKind::Agency => self.may_end_with(&mut tx, call, &found, associations).await?,
            PrincipalKind::User => {}
        }
        let grants = tx.grants_of_principal(&found.id).await?;
        tx.delete_principal(&found.id, self.now()).await?;
        history::record_changed(&mut tx, call, &grants).await?;
        self.commit_for_fleet(tx, call, &action, &format!("{kind}/{}", found.id)).await
    }
}

fn action(kind: PrincipalKind, verb: &str) -> String {
    format!("bailiwick:{kind}:{verb}")
}

/// The group whose members may do everything, by its name, which no other group can have.
fn is_administrators(principal: &Principal) -> bool {
    principal.kind == PrincipalKind::Group && principal.name == authz::ADMINISTRATORS
}

fn check(new: &NewPrincipal) -> Result<()> {
    crate::directory::names::check_of(new.kind, "name", &new.name)?;
    check_password(new.kind, new.password.as_ref())?;
    check_description(&new.description)?;
    if !new.enabled && new.kind != PrincipalKind::User {
        return Err(Error::invalid("enabled", "must be left out: only users can be disabled"));
    }
    check_external_ids(&new.external_ids)
}

pub(crate) fn check_update(kind: PrincipalKind, update: &PrincipalUpdate) -> Result<()> {
    if let Some(name) = &update.name {
        crate::directory::names::check_of(kind, "name", name)?;
    }
    check_password(kind, update.password.as_ref())?;
    check_description(update.description.as_deref().unwrap_or_default())?;
    if update.enabled.is_some() && kind != PrincipalKind::User {
        return Err(Error::invalid("enabled", "must be left out: only users can be disabled"));
    }
    check_external_ids(update.external_ids.as_deref().unwrap_or_default())
}

fn check_password(kind: PrincipalKind, password: Option<&Secret>) -> Result<()> {
    let Some(password) = password else { return Ok(()) };
    if kind != PrincipalKind::User {
        return Err(Error::invalid("password", "must be left out: only users have one"));
    }
    crate::directory::password::check("password", password)
}

fn check_description(description: &str) -> Result<()> {
    crate::directory::names::check_text("description", description, MAX_DESCRIPTION)
}

fn check_external_ids(external_ids: &[ExternalId]) -> Result<()> {
    if external_ids.len() > MAX_EXTERNAL_IDS {
        return Err(Error::invalid("externalIds", format!("must be at most {MAX_EXTERNAL_IDS}")));
    }
    for external in external_ids {
        for (field, text) in
            [("externalIds.issuer", &external.issuer), ("externalIds.subject", &external.subject)]
        {
            crate::directory::names::check_text(field, text, 512)?;
            if text.is_empty() {
                return Err(Error::invalid(field, "must not be empty"));
            }
        }
    }
    Ok(())
}
