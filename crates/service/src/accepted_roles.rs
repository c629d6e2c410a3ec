//! What grants of custom roles are accepted to allow: what workers ask and report about it, and who accepts more.
//!
//! A grant of a ClusterRole by its name gives whatever that role holds. Who granted it accepted what the role held when it
//! was first bound; a role that grows later gives more than anybody granted, so workers compare, and wait.

use std::collections::{BTreeMap, HashMap};

use domain::{ClusterId, Error, Grant, GrantId, Result, Role};
use rbac::cluster_roles::Rule;
use rbac::coverage::canonical;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::ReadTx;

use crate::authz;
use crate::call::Call;
use crate::grants::changeable;
use crate::history;
use crate::leases::Lease;
use crate::service::Service;

/// The most of a role's rules that is kept for one grant in one cluster, in bytes. Of larger ones it is known only
/// whether they are the same.
const MAX_KEPT: usize = 64 << 10;

/// What happens to a grant whose custom role grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoleGrowth {
    /// Nothing of it is bound until somebody confirms it.
    #[default]
    Hold,
    /// It gives whatever the role gives.
    Follow,
}

/// What a grant is accepted to allow in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRole {
    /// The ClusterRole.
    pub cluster_role: String,
    /// [`digest`] of its rules.
    pub digest: String,
    /// Its rules, as far as somebody asked for them and they are kept.
    pub rules: Option<Vec<Rule>>,
}

/// What a worker is about to bind for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// For which grant.
    pub grant: GrantId,
    /// Which generation of it was looked at.
    pub generation: i64,
    /// The ClusterRole.
    pub cluster_role: String,
    /// What it holds.
    pub rules: Vec<Rule>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredRule {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    api_groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resources: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    verbs: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resource_names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    non_resource_urls: Vec<String>,
}

impl From<Rule> for StoredRule {
    fn from(rule: Rule) -> Self {
        let Rule { api_groups, resources, verbs, resource_names, non_resource_urls } = rule;
        Self { api_groups, resources, verbs, resource_names, non_resource_urls }
    }
}

impl From<StoredRule> for Rule {
    fn from(stored: StoredRule) -> Self {
        let StoredRule { api_groups, resources, verbs, resource_names, non_resource_urls } = stored;
        Self { api_groups, resources, verbs, resource_names, non_resource_urls }
    }
}

/// Tells whether rules are the same, whatever their order.
///
/// # Errors
/// `Internal` if they cannot be written down.
pub fn digest(rules: &[Rule]) -> Result<String> {
    to_json(rules).map(|text| digest_of(&text))
}

fn digest_of(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn to_json(rules: &[Rule]) -> Result<String> {
    let stored: Vec<StoredRule> = canonical(rules).into_iter().map(StoredRule::from).collect();
    serde_json::to_string(&stored).map_err(Error::internal)
}

fn from_json(text: &str) -> Result<Vec<Rule>> {
    let stored: Vec<StoredRule> = serde_json::from_str(text).map_err(Error::internal)?;
    Ok(stored.into_iter().map(Rule::from).collect())
}

/// What grants are accepted to allow in a cluster, without the rules.
pub(crate) async fn accepted(tx: &mut ReadTx, id: &ClusterId) -> Result<HashMap<GrantId, AcceptedRole>> {
    let accepted = |row: store::AcceptedRole| {
        (row.grant, AcceptedRole { cluster_role: row.cluster_role, digest: row.digest, rules: None })
    };
    Ok(tx.accepted_roles(id).await?.into_iter().map(accepted).collect())
}

impl Service {
    /// The rules that these grants are accepted to have in a cluster, of those whose rules are kept.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn fleet_accepted_rules(
        &self,
        id: &ClusterId,
        grants: &[GrantId],
    ) -> Result<BTreeMap<GrantId, Vec<Rule>>> {
        let _share = self.shares.take(&self.account_of(id).await?).await;
        let mut tx = self.store.read().await?;
        let mut found = BTreeMap::new();
        for grant in grants {
            if let Some(text) = tx.accepted_rules(id, grant).await? {
                found.insert(grant.clone(), from_json(&text)?);
            }
        }
        tx.end().await?;
        Ok(found)
    }

    /// Writes down what grants are accepted to allow, before it is bound. A grant that changed meanwhile is left out.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; `Conflict` if another server works for the cluster now.
    pub async fn fleet_accept(&self, lease: &Lease, roles: &[Acceptance]) -> Result<()> {
        if roles.is_empty() {
            return Ok(());
        }
        let mut tx = self.write_observed(lease).await?;
        for role in roles {
            let text = to_json(&role.rules)?;
            let row = store::AcceptedRole {
                grant: role.grant.clone(),
                cluster_role: role.cluster_role.clone(),
                digest: digest_of(&text),
            };
            let kept = (text.len() <= MAX_KEPT).then_some(text.as_str());
            tx.accept_role(&lease.cluster, &row, role.generation, kept, self.now()).await?;
        }
        tx.commit().await
    }

    /// Accepts what the custom role of a grant allows now, in each cluster that it covers: a new generation that says
    /// the same as the last one.
    ///
    /// # Errors
    /// `NotFound` if there is no such grant, or it is revoked; `Conflict` if its role is not a custom one.
    pub async fn confirm_grant(&self, call: &Call, id: &str) -> Result<Grant> {
        let right = authz::require_somewhere(call, "bailiwick:grant:update")?;
        let mut tx = match self.begin_grants(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.grant(call, id, self, &right).await,
        };
        let old = changeable(&mut tx, call, id).await?;
        self.may_write(&mut tx, call, &right, &[&old.spec]).await?;
        match old.spec.role {
            Role::Custom(_) => {}
            Role::Administrator
            | Role::AdministratorView
            | Role::Operator
            | Role::Developer
            | Role::Viewer => {
                return Err(Error::conflict(format!(
                    "there is nothing to confirm: the role {} does not grow, only a custom role does",
                    old.spec.role
                )));
            }
        }
        tx.expect_grant_states(&old, self.now()).await?;
        let grant = Grant { generation: old.generation + 1, updated_at: self.now(), ..old };
        tx.replace_grant(&grant).await?;
        history::record(&mut tx, call, &grant).await?;
        self.commit_for_fleet(tx, call, "bailiwick:grant:update", &format!("grant/{id}")).await?;
        Ok(grant)
    }
}
