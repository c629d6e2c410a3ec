//! What grants of custom roles are accepted to allow: what workers ask and report about it, and who accepts more.
//!
//! A grant of a ClusterRole by its name gives whatever that role holds. Who granted it accepted what the role held when it
//! was first bound; a role that grows later gives more than anybody granted, so workers compare, and wait.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use domain::{ClusterId, Error, Grant, GrantId, Result, Role};
use rbac::cluster_roles::Rule;
use rbac::coverage::canonical;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{ReadTx, WriteTx};

use crate::authz;
use crate::call::Call;
use crate::fleet::leases::Lease;
use crate::grants::changeable;
use crate::grants::history;
use crate::service::Service;

/// The most of a role's rules that is kept, in bytes. Of larger ones it is known only whether they are the same.
const MAX_KEPT: usize = 64 << 10;

/// The most that is kept of all rules in a cluster, in bytes: whoever writes its roles decides how many there are.
const MAX_KEPT_IN_CLUSTER: i64 = 4 << 20;

/// So many grants are written down in one transaction: it holds up whoever else writes in the account.
const BATCH: usize = 500;

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
    /// [`Written::digest`] of its rules.
    pub digest: String,
    /// Its rules, as far as somebody asked for them and they are kept.
    pub rules: Option<Arc<[Rule]>>,
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
    pub rules: Written,
}

/// Rules as they are written down. However many grants of a role there are, they share one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    digest: Arc<str>,
    kept: Option<Arc<str>>,
}

impl Written {
    /// Writes rules down, whatever their order.
    ///
    /// # Errors
    /// `Internal` if they cannot be written down.
    pub fn new(rules: &[Rule]) -> Result<Self> {
        let text = to_json(rules)?;
        let digest = hex::encode(Sha256::digest(text.as_bytes())).into();
        Ok(Self { digest, kept: (text.len() <= MAX_KEPT).then(|| text.into()) })
    }

    /// Tells whether rules are the same.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
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

/// Keeps the rules of each role once, as long as there is room for them.
async fn keep(tx: &mut WriteTx, cluster: &ClusterId, batch: &[Acceptance]) -> Result<()> {
    tx.forget_unused_rules(cluster).await?;
    let mut size = tx.size_of_rules(cluster).await?;
    let mut seen = HashSet::new();
    for Written { digest, kept } in batch.iter().map(|role| &role.rules) {
        let Some(text) = kept.as_ref().filter(|_| seen.insert(digest)) else { continue };
        let more = i64::try_from(text.len()).unwrap_or(i64::MAX);
        if size.saturating_add(more) <= MAX_KEPT_IN_CLUSTER && tx.keep_rules(cluster, digest, text).await? {
            size += more;
        }
    }
    // Whose grants changed meanwhile.
    tx.forget_unused_rules(cluster).await
}

impl Service {
    /// The rules with these digests that grants are accepted to have in a cluster, of those that are kept.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn fleet_accepted_rules(
        &self,
        id: &ClusterId,
        digests: &BTreeSet<String>,
    ) -> Result<HashMap<String, Arc<[Rule]>>> {
        let _share = self.shares.take(&self.account_of(id).await?).await;
        let mut tx = self.store.read().await?;
        let mut found = HashMap::new();
        for digest in digests {
            if let Some(text) = tx.accepted_rules(id, digest).await? {
                found.insert(digest.clone(), from_json(&text)?.into());
            }
        }
        tx.end().await?;
        Ok(found)
    }

    /// Writes down what grants are accepted to allow, before it is bound. A grant that changed meanwhile is left out.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; `Conflict` if another server works for the cluster now. Some may be
    /// written down then.
    pub async fn fleet_accept(&self, lease: &Lease, roles: &[Acceptance]) -> Result<()> {
        for batch in roles.chunks(BATCH) {
            self.accept_batch(lease, batch).await?;
        }
        Ok(())
    }

    async fn accept_batch(&self, lease: &Lease, batch: &[Acceptance]) -> Result<()> {
        let mut tx = self.write_observed(lease).await?;
        for role in batch {
            let row = store::AcceptedRole {
                grant: role.grant.clone(),
                cluster_role: role.cluster_role.clone(),
                digest: role.rules.digest().to_owned(),
            };
            tx.accept_role(&lease.cluster, &row, role.generation, self.now()).await?;
        }
        keep(&mut tx, &lease.cluster, batch).await?;
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
