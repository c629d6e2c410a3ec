//! The versions of a policy. One of them counts, the default; changing which one it is changes the rights of everybody
//! who holds the policy.

use std::collections::BTreeSet;

use domain::{Error, Policy, PolicyScope, PolicyVersion, PrincipalId, Result, Timestamp};
use store::{ReadTx, WriteTx};

use super::{Found, check_document};
use crate::authz::ladder::Ending;
use crate::authz::{self, Held};
use crate::call::Call;
use crate::directory::which::Which;
use crate::service::Service;

/// The most versions that a policy has at one time.
const MAX_VERSIONS: usize = 5;

/// A version of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionView {
    /// Its number.
    pub version: i64,
    /// The document, as its author wrote it.
    pub document: String,
    /// Whether it is the one that counts.
    pub is_default: bool,
    /// When it was created; `None` if the policy is shipped.
    pub created_at: Option<Timestamp>,
}

/// Whether a new version counts from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// It does.
    Default,
    /// It is kept until somebody makes it the default.
    Spare,
}

/// The versions of a policy, the latest first.
pub(super) async fn of(tx: &mut ReadTx, found: &Found<'_>) -> Result<Vec<VersionView>> {
    let policy = match found {
        Found::Own(policy) => policy,
        Found::Shipped(shipped) => {
            let document = shipped.text.clone();
            return Ok(vec![VersionView { version: 1, document, is_default: true, created_at: None }]);
        }
    };
    let view = |version: PolicyVersion| VersionView {
        version: version.version,
        document: version.document,
        is_default: version.version == policy.default_version,
        created_at: Some(version.created_at),
    };
    Ok(tx.policy_versions(&policy.id).await?.into_iter().map(view).collect())
}

impl Service {
    /// The versions of a policy, the latest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such policy.
    pub async fn list_policy_versions(
        &self,
        call: &Call,
        policy: impl Into<Which<'_>>,
    ) -> Result<Vec<VersionView>> {
        let right = authz::require_somewhere(call, "bailiwick:policy:show")?;
        let mut tx = self.store.read().await?;
        let found = self.permitted_policy(&mut tx, call, &right, policy.into()).await?;
        let versions = of(&mut tx, &found).await?;
        tx.end().await?;
        Ok(versions)
    }

    /// Adds a version to a policy.
    ///
    /// # Errors
    /// As [`Service::update_policy`].
    pub async fn create_policy_version(
        &self,
        call: &Call,
        policy: impl Into<Which<'_>>,
        document: &str,
        becomes: Becomes,
    ) -> Result<VersionView> {
        let right = authz::require_somewhere(call, "bailiwick:policy:update")?;
        let mut tx = self.begin(call).await?;
        let mut policy = self.permitted_policy(&mut tx, call, &right, policy.into()).await?.own()?;
        policy.updated_at = self.now();
        self.add_version(&mut tx, call, &mut policy, document, becomes).await?;
        self.commit(tx, call, "bailiwick:policy:update", &format!("policy/{}", policy.id)).await?;
        Ok(VersionView {
            version: policy.last_version,
            document: document.to_owned(),
            is_default: becomes == Becomes::Default,
            created_at: Some(policy.updated_at),
        })
    }

    /// Makes a version the one that counts.
    ///
    /// # Errors
    /// `NotFound` if there is no such policy or version; `Forbidden` if it would give somebody more than the caller has.
    pub async fn set_default_policy_version(
        &self,
        call: &Call,
        policy: impl Into<Which<'_>>,
        version: i64,
    ) -> Result<()> {
        let right = authz::require_somewhere(call, "bailiwick:policy:update")?;
        let mut tx = self.begin(call).await?;
        let mut policy = self.permitted_policy(&mut tx, call, &right, policy.into()).await?.own()?;
        let versions = tx.policy_versions(&policy.id).await?;
        let wanted = find(&versions, version)?;
        if policy.default_version == version {
            return Ok(());
        }
        self.may_replace(&mut tx, call, &policy, &versions, &wanted.document).await?;
        policy.default_version = version;
        policy.updated_at = self.now();
        tx.update_policy(&policy).await?;
        self.commit(tx, call, "bailiwick:policy:update", &format!("policy/{}", policy.id)).await
    }

    /// Deletes a version that does not count.
    ///
    /// # Errors
    /// `NotFound` if there is no such policy or version; `Conflict` for the default version.
    pub async fn delete_policy_version(
        &self,
        call: &Call,
        policy: impl Into<Which<'_>>,
        version: i64,
    ) -> Result<()> {
        let right = authz::require_somewhere(call, "bailiwick:policy:update")?;
        let mut tx = self.begin(call).await?;
        let policy = self.permitted_policy(&mut tx, call, &right, policy.into()).await?.own()?;
        if policy.default_version == version {
            let message = format!("version {version} is the default: make another one the default first");
            return Err(Error::conflict(message));
        }
        if !tx.delete_policy_version(&policy.id, version).await? {
            return Err(Error::not_found("version", &version.to_string()));
        }
        let resource = format!("policy/{}/version/{version}", policy.id);
        self.commit(tx, call, "bailiwick:policy:update", &resource).await
    }

    /// Adds a version, asking what has to be asked if it is to count.
    pub(super) async fn add_version(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        policy: &mut Policy,
        document: &str,
        becomes: Becomes,
    ) -> Result<()> {
        check_document(&policy.name, document)?;
        let versions = tx.policy_versions(&policy.id).await?;
        if versions.len() >= MAX_VERSIONS {
            return Err(Error::conflict(format!(
                "a policy has at most {MAX_VERSIONS} versions: delete one that is not the default"
            )));
        }
        policy.last_version += 1;
        if becomes == Becomes::Default {
            self.may_replace(tx, call, policy, &versions, document).await?;
            policy.default_version = policy.last_version;
        }
        tx.add_policy_version(policy, document).await
    }

    /// Lets another document count for everybody who holds the policy, if the caller may give it to each of them, and end
    /// what the former one denied.
    async fn may_replace(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        policy: &Policy,
        versions: &[PolicyVersion],
        document: &str,
    ) -> Result<()> {
        let holders = tx.holders(call.account(), &policy.id).await?;
        if call.caller.root || holders.is_empty() {
            return Ok(());
        }
        let held = |text: &str, scope| Held::proposed(&policy.id, &policy.name, text, scope);
        let scopes: BTreeSet<PolicyScope> = holders.iter().map(|held| held.scope.clone()).collect();
        for scope in scopes {
            self.may_give(call, &held(document, scope))?;
        }
        // A former version that is not there any more may have denied anything.
        let former = versions.iter().find(|version| version.version == policy.default_version);
        let former = held(former.map_or("", |version| &version.document), PolicyScope::Account);
        self.may_end(call, &[former], Ending::Policy(&policy.id))?;
        let principals: BTreeSet<PrincipalId> = holders.into_iter().map(|held| held.principal).collect();
        for principal in &principals {
            self.may_change(tx, call, principal).await?;
        }
        Ok(())
    }
}

fn find(versions: &[PolicyVersion], version: i64) -> Result<&PolicyVersion> {
    let found = versions.iter().find(|known| known.version == version);
    found.ok_or_else(|| Error::not_found("version", &version.to_string()))
}
