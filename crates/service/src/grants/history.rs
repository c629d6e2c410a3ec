//! What grants said before: recorded with every change, shown, and brought back.

use std::collections::HashSet;

use domain::{
    ClusterId, ClusterScope, Error, Grant, GrantId, GrantSpec, Namespace, NamespaceScope, PrincipalId,
    PrincipalKind, Principals, Result, Role, Timestamp,
};
use serde::{Deserialize, Serialize};
use store::{GrantVersion, WriteTx};

use crate::authz;
use crate::call::Call;
use crate::grants::may_see;
use crate::service::{PageRequest, Paged, Service};

/// Up to so many grants are read one by one; for more it is cheaper to read all of the account.
const FEW: usize = 50;

/// A version of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastGrant {
    /// Which version.
    pub generation: i64,
    /// The commit that made it.
    pub revision: i64,
    /// When.
    pub at: Timestamp,
    /// Who made it: an id, or empty where nobody asked for it.
    pub actor: String,
    /// What they were called then.
    pub actor_name: String,
    /// Whether the grant ended with it.
    pub revoked: bool,
    /// What it said; of one that ended, what it had said.
    pub spec: GrantSpec,
}

/// What is stored. `None` is everything.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    role: String,
    kind: String,
    principals: Vec<String>,
    clusters: Option<Vec<String>>,
    namespaces: Option<Vec<String>>,
}

fn to_json(spec: &GrantSpec) -> Result<String> {
    let stored = Stored {
        name: spec.name.clone(),
        role: spec.role.to_string(),
        kind: spec.principals.kind.as_str().to_owned(),
        principals: spec.principals.ids.iter().map(ToString::to_string).collect(),
        clusters: match &spec.clusters {
            ClusterScope::All => None,
            ClusterScope::Listed(ids) => Some(ids.iter().map(ToString::to_string).collect()),
        },
        namespaces: match &spec.namespaces {
            NamespaceScope::All => None,
            NamespaceScope::Listed(names) => Some(names.iter().map(ToString::to_string).collect()),
        },
    };
    serde_json::to_string(&stored).map_err(Error::internal)
}

pub(crate) fn from_json(text: &str) -> Result<GrantSpec> {
    let stored: Stored = serde_json::from_str(text).map_err(Error::internal)?;
    let listed = |ids: Vec<String>| ids.iter().map(|id| ClusterId::stored(id)).collect();
    let named = |names: Vec<String>| names.iter().map(|name| Namespace::stored(name)).collect();
    Ok(GrantSpec {
        name: stored.name,
        role: Role::parse("role", &stored.role)?,
        principals: Principals {
            kind: PrincipalKind::parse("kind", &stored.kind)?,
            ids: stored.principals.iter().map(|id| PrincipalId::stored(id)).collect(),
        },
        clusters: stored.clusters.map_or(ClusterScope::All, |ids| ClusterScope::Listed(listed(ids))),
        namespaces: stored
            .namespaces
            .map_or(NamespaceScope::All, |names| NamespaceScope::Listed(named(names))),
    })
}

impl TryFrom<GrantVersion> for PastGrant {
    type Error = Error;

    fn try_from(version: GrantVersion) -> Result<Self> {
        Ok(Self {
            spec: from_json(&version.spec)?,
            generation: version.generation,
            revision: version.revision,
            at: version.at,
            actor: version.actor,
            actor_name: version.actor_name,
            revoked: version.revoked,
        })
    }
}

/// Records what a grant says as of this commit.
pub(crate) async fn record(tx: &mut WriteTx, call: &Call, grant: &Grant) -> Result<()> {
    let by = By {
        actor: call.caller.principal.as_str(),
        actor_name: call.caller.name.as_str(),
        dialect: call.origin.dialect,
    };
    insert(tx, grant, by).await
}

/// Records what a grant says, found as it is.
pub(crate) async fn record_unattributed(tx: &mut WriteTx, grant: &Grant) -> Result<()> {
    insert(tx, grant, By { actor: "", actor_name: "", dialect: "" }).await
}

/// Records what these grants say after something that they named is gone.
pub(crate) async fn record_changed(tx: &mut WriteTx, call: &Call, ids: &[GrantId]) -> Result<()> {
    let account = call.account();
    if ids.len() > FEW {
        let ids: HashSet<&GrantId> = ids.iter().collect();
        let grants = tx.grants(account).await?;
        for grant in grants.iter().filter(|grant| ids.contains(&grant.id)) {
            record(tx, call, grant).await?;
        }
        return Ok(());
    }
    for id in ids {
        if let Some(grant) = tx.grant(account, id.as_str()).await? {
            record(tx, call, &grant).await?;
        }
    }
    Ok(())
}

/// Who says it, and in which dialect.
struct By<'a> {
    actor: &'a str,
    actor_name: &'a str,
    dialect: &'a str,
}

async fn insert(tx: &mut WriteTx, grant: &Grant, by: By<'_>) -> Result<()> {
    let sole_principal = match grant.spec.principals.ids.as_slice() {
        // An owner's right is nobody's to bring back.
        [one] if !grant.of_owner => Some(one.clone()),
        [] | [_, ..] => None,
    };
    let version = GrantVersion {
        grant: grant.id.clone(),
        account: grant.account.clone(),
        generation: grant.generation,
        revision: tx.revision(),
        at: grant.revoked_at.unwrap_or(grant.updated_at),
        actor: by.actor.to_owned(),
        actor_name: by.actor_name.to_owned(),
        sole_principal,
        dialect: by.dialect.to_owned(),
        role: grant.spec.role.to_string(),
        revoked: grant.revoked_at.is_some(),
        spec: to_json(&grant.spec)?,
    };
    tx.insert_grant_version(&version).await
}

impl Service {
    /// A page of the versions of a grant that are kept, the first one first. A revoked grant has them, too.
    ///
    /// # Errors
    /// `NotFound` if there never was one in the account; `Invalid` naming `limit` or `cursor`.
    pub async fn show_grant_history(
        &self,
        call: &Call,
        id: &str,
        page: &PageRequest,
    ) -> Result<Paged<PastGrant>> {
        let right = authz::require_somewhere(call, "bailiwick:grant:show")?;
        let wanted = page.to_page()?;
        // Versions are ordered by their numbers, which stand in the cursor where lists have a time.
        let after = wanted.after.map_or(0, |(generation, _)| generation.as_millis());
        let mut tx = self.store.read().await?;
        let grant = tx.grant(call.account(), id).await?.ok_or_else(|| Error::not_found("grant", id))?;
        may_see(&mut tx, &right, &grant).await?;
        let versions = tx.grant_versions(call.account(), id, after, wanted.limit).await?;
        if versions.is_empty() && tx.grant_versions(call.account(), id, 0, 1).await?.is_empty() {
            return Err(Error::not_found("grant", id));
        }
        tx.end().await?;
        let versions = versions.into_iter().map(PastGrant::try_from).collect::<Result<Vec<_>>>()?;
        page.paged(versions, |version| (Timestamp::from_millis(version.generation), String::new()))
    }

    /// Makes a grant say again what it said in an earlier version. What it names must still be there.
    ///
    /// # Errors
    /// `NotFound` if there is no such grant, or it is revoked; `Invalid` naming `generation` or what is gone.
    pub async fn restore_grant(&self, call: &Call, id: &str, generation: i64) -> Result<Grant> {
        let right = authz::require_somewhere(call, "bailiwick:grant:update")?;
        let mut tx = self.store.read().await?;
        let grant = tx.grant(call.account(), id).await?.filter(|grant| grant.revoked_at.is_none());
        may_see(&mut tx, &right, &grant.ok_or_else(|| Error::not_found("grant", id))?).await?;
        let found = tx.grant_versions(call.account(), id, generation.saturating_sub(1), 1).await?;
        tx.end().await?;
        let wanted = found.into_iter().find(|version| version.generation == generation);
        let missing = || Error::invalid("generation", "must be one of the grant's history");
        self.update_grant(call, id, from_json(&wanted.ok_or_else(missing)?.spec)?).await
    }
}
