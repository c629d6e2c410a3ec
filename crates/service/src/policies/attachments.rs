//! Who holds which policy: giving, taking, and lists of both.

use domain::{Attachment, Error, PolicyScope, Principal, PrincipalKind, Result, Timestamp};
use store::{Holder, ReadTx, WriteTx};

use super::{Found, PolicyView};
use crate::authz::ladder::Ending;
use crate::authz::{self, Held, Thing};
use crate::call::Call;
use crate::directory::which::Which;
use crate::quotas::room;
use crate::service::{PageRequest, Paged, Service};

/// A user, group or agency.
#[derive(Clone, Copy, Debug)]
pub struct WhichPrincipal<'a> {
    /// Which of the three.
    pub kind: PrincipalKind,
    /// Which of them.
    pub which: Which<'a>,
}

/// The part of the account in which a policy is to hold.
#[derive(Clone, Copy, Debug)]
pub enum WhichScope<'a> {
    /// All of it.
    Account,
    /// The project of that id or name.
    Project(&'a str),
    /// The enterprise project of that id or name.
    EnterpriseProject(&'a str),
}

/// A policy that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedPolicy {
    /// The policy.
    pub policy: PolicyView,
    /// Where it holds.
    pub scope: PolicyScope,
    /// Since when.
    pub since: Timestamp,
}

impl Service {
    /// Lets a user, group or agency hold a policy; doing it again changes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is no such policy or principal; `Invalid` naming the scope if there is none such; `Conflict`
    /// if the principal may hold no more; `Forbidden` if it gives what the caller does not have, or to somebody who has
    /// more than the caller.
    pub async fn attach_policy(
        &self,
        call: &Call,
        policy: impl Into<Which<'_>>,
        to: WhichPrincipal<'_>,
        scope: WhichScope<'_>,
    ) -> Result<()> {
        let action = "bailiwick:policy:attach";
        let right = authz::require_somewhere(call, action)?;
        let mut tx = self.begin(call).await?;
        let found = self.policy_named(&mut tx, call, policy.into()).await?;
        let principal = principal(&mut tx, call, to).await?;
        right.on(&Thing::policy(found.id(), found.name()).with(&principal))?;
        let scope = scope_of(&mut tx, call, scope).await?;
        let held = proposed(&mut tx, &found, scope.clone()).await?;
        self.may_give(call, &held)?;
        self.may_change(&mut tx, call, &principal.id).await?;
        let held = tx.attachments_of(&principal.id).await?;
        if held.iter().any(|held| held.policy == *found.id() && held.scope == scope) {
            return Ok(());
        }
        let have = i64::try_from(held.len()).unwrap_or(i64::MAX);
        room("policies that one principal holds", have, self.settings.quotas.policies_per_principal)?;
        let attachment = Attachment {
            principal: principal.id.clone(),
            policy: found.id().clone(),
            scope,
            created_at: self.now(),
        };
        tx.attach_policy(&attachment).await?;
        self.commit(tx, call, action, &resource(&found, &principal)).await
    }

    /// Takes a policy from a user, group or agency; doing it again changes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is no such policy or principal; `Forbidden` if the principal has more than the caller, or the
    /// policy denies something and the caller is no administrator whom it does not bind.
    pub async fn detach_policy(
        &self,
        call: &Call,
        policy: impl Into<Which<'_>>,
        from: WhichPrincipal<'_>,
        scope: WhichScope<'_>,
    ) -> Result<()> {
        let action = "bailiwick:policy:detach";
        let right = authz::require_somewhere(call, action)?;
        let mut tx = self.begin(call).await?;
        let found = self.policy_named(&mut tx, call, policy.into()).await?;
        let principal = principal(&mut tx, call, from).await?;
        right.on(&Thing::policy(found.id(), found.name()).with(&principal))?;
        let scope = scope_of(&mut tx, call, scope).await?;
        let held = proposed(&mut tx, &found, scope.clone()).await?;
        self.may_end(call, &[held], Ending::Policy(found.id()))?;
        self.may_change(&mut tx, call, &principal.id).await?;
        if !tx.detach_policy(&principal.id, found.id(), &scope).await? {
            return Ok(());
        }
        self.commit(tx, call, action, &resource(&found, &principal)).await
    }

    /// What a user, group or agency holds itself, the oldest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such principal.
    pub async fn list_attached_policies(
        &self,
        call: &Call,
        of: WhichPrincipal<'_>,
        page: &PageRequest,
    ) -> Result<Paged<AttachedPolicy>> {
        authz::require(call, "bailiwick:policy:list")?;
        let mut tx = self.store.read().await?;
        let principal = principal(&mut tx, call, of).await?;
        let counts = tx.attachment_counts(call.account()).await?;
        let mut all = Vec::new();
        for held in tx.attachments_of(&principal.id).await? {
            // A policy that is not shipped any more gives nothing.
            let Ok(found) = self.policy_named(&mut tx, call, Which::Id(held.policy.as_str())).await else {
                continue;
            };
            let policy = found.view(counts.get(&held.policy).copied().unwrap_or_default());
            all.push(AttachedPolicy { policy, scope: held.scope, since: held.created_at });
        }
        tx.end().await?;
        let key = |held: &AttachedPolicy| {
            (held.since, format!("{}/{}/{}", held.policy.id, held.scope.kind(), held.scope.id()))
        };
        all.sort_by_key(key);
        page.slice(&all, key)
    }

    /// Who holds a policy, and where, the oldest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such policy.
    pub async fn list_policy_holders(
        &self,
        call: &Call,
        policy: impl Into<Which<'_>>,
        page: &PageRequest,
    ) -> Result<Paged<Holder>> {
        let right = authz::require_somewhere(call, "bailiwick:policy:show")?;
        let mut tx = self.store.read().await?;
        let found = self.permitted_policy(&mut tx, call, &right, policy.into()).await?;
        let holders = tx.holders_page(call.account(), found.id(), &page.to_page()?).await?;
        tx.end().await?;
        page.paged(holders, |holder| (holder.attachment.created_at, holder.key()))
    }
}

fn resource(found: &Found<'_>, principal: &Principal) -> String {
    format!("policy/{}/{}/{}", found.id(), principal.kind, principal.id)
}

async fn principal(tx: &mut ReadTx, call: &Call, which: WhichPrincipal<'_>) -> Result<Principal> {
    which.which.find(tx, call.account(), which.kind).await
}

async fn scope_of(tx: &mut WriteTx, call: &Call, which: WhichScope<'_>) -> Result<PolicyScope> {
    let missing = |field: &str, id: &str| Error::invalid(field, format!("`{id}` does not exist"));
    match which {
        WhichScope::Account => Ok(PolicyScope::Account),
        WhichScope::Project(id) => {
            let found = tx.project(call.account(), id).await?;
            found.map(|project| PolicyScope::Project(project.id)).ok_or_else(|| missing("project", id))
        }
        WhichScope::EnterpriseProject(id) => {
            let found = tx.enterprise_project(call.account(), id).await?;
            let found = found.map(|project| PolicyScope::EnterpriseProject(project.id));
            found.ok_or_else(|| missing("enterpriseProject", id))
        }
    }
}

/// The policy as whoever holds it in that scope would hold it.
async fn proposed(tx: &mut WriteTx, found: &Found<'_>, scope: PolicyScope) -> Result<Held> {
    let text = match found {
        Found::Shipped(shipped) => shipped.text.clone(),
        Found::Own(policy) => {
            let versions = tx.policy_versions(&policy.id).await?;
            let counts = versions.into_iter().find(|version| version.version == policy.default_version);
            counts.map(|version| version.document).unwrap_or_default()
        }
    };
    Ok(Held::proposed(found.id(), found.name(), &text, scope))
}
