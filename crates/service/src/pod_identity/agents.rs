//! The agents of a cluster: the users as whom the programs of that cluster follow its associations and ask for credentials.
//!
//! They are users with access keys, and not agencies: they are seen in the list of users, revoked like one, and their
//! signatures are verified like everybody's. What they may do is not a policy that somebody could change, but follows from
//! being an agent; and whatever they are given besides, they stay within that. They never have a password.
//!
//! There are two. The key of one lies on every node, so it may only follow and vend. The other one's lies with the webhook
//! alone: it renews the keys of both. So who takes a node over has a key that ends, and cannot make it last.

use domain::{Cluster, ClusterId, Error, ErrorKind, Principal, PrincipalId, PrincipalKind, Result, Secret};
use store::{AgentPair, AgentRole, WriteTx};

use super::feed::FOLLOW;
use super::vending::VEND;
use crate::authz::{self, Thing};
use crate::call::{Call, Proof};
use crate::directory::access_keys::{AccessKey, NewKey, make_key};
use crate::directory::principals::NewPrincipal;
use crate::quotas::room;
use crate::service::Service;

/// As decisions call what an agent may do.
pub(crate) const DOCUMENT: &str = "agent of pod identity";

const ISSUE: &str = "bailiwick:podIdentity:issueAgentKey";
const RENEW: &str = "bailiwick:podIdentity:renewAgentKey";

/// A key that was replaced goes on for so long, because each node reads the new one in its own time.
const OVERLAP_SECONDS: i64 = 3600;
/// Keys are renewed at most once in so long.
const RENEWED_EVERY_SECONDS: i64 = 60;
/// So many pairs of keys may be good at once before one more is renewed.
const MOST_PAIRS: usize = 8;

/// New keys of the agents of a cluster: the only time their secrets are shown.
#[derive(Debug)]
pub struct AgentKeys {
    /// The cluster.
    pub cluster: ClusterId,
    /// What nodes sign with.
    pub node: AgentKey,
    /// What the keeper signs with.
    pub keeper: AgentKey,
}

/// A key of an agent.
#[derive(Debug)]
pub struct AgentKey {
    /// The agent's user.
    pub agent: PrincipalId,
    /// The key as it will be listed.
    pub key: AccessKey,
    /// Its secret half.
    pub secret: Secret,
}

/// What becomes of the keys that the agents have when others are issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They go on for an hour, so that all nodes have time to read the new ones.
    EndInAnHour,
    /// They end now, because somebody else may have them. What was vended for pods goes on.
    EndNow,
}

/// The agents of a cluster.
struct Agents {
    cluster: ClusterId,
    node: PrincipalId,
    keeper: PrincipalId,
}

/// What an agent of a cluster may do.
pub(crate) fn document(cluster: &ClusterId, role: AgentRole) -> String {
    let actions = match role {
        AgentRole::Node => format!(r#""{VEND}","{FOLLOW}""#),
        AgentRole::Keeper => format!(r#""{FOLLOW}","{RENEW}""#),
    };
    format!(
        r#"{{"Version":"5.0","Statement":[{{"Effect":"Allow","Action":[{actions}],"Resource":["*"],"Condition":{{"StringEquals":{{"bailiwick:ClusterId":["{cluster}"]}}}}}}]}}"#
    )
}

impl Service {
    /// Makes keys for the agents of a cluster, and the agents if there are none.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster; `Forbidden`, also for who may not vend and follow there themselves;
    /// `Conflict` if an agent was disabled.
    pub async fn issue_agent_keys(&self, call: &Call, cluster: &str, others: Others) -> Result<AgentKeys> {
        let right = authz::require_somewhere(call, ISSUE)?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        let mut tx = self.begin(call).await?;
        let cluster = present(&mut tx, &cluster).await?;
        right.on(&Thing::cluster(&cluster))?;
        // Nobody gives away what they do not have.
        for action in [VEND, FOLLOW] {
            authz::require_somewhere(call, action)?.on(&Thing::cluster(&cluster))?;
        }
        let agents = self.agents(&mut tx, call, &cluster).await?;
        let before = tx.agent_pairs(&cluster.id).await?;
        self.end_others(&mut tx, &agents, others).await?;
        let (made, pair) = self.make_pair(&mut tx, call, &agents).await?;
        tx.insert_agent_pair(&pair).await?;
        for replaced in before {
            tx.replace_agent_pair(&replaced.keeper, &pair.keeper).await?;
        }
        tx.forget_agent_pairs(&cluster.id).await?;
        self.commit(tx, call, ISSUE, &resource(&pair)).await?;
        Ok(made)
    }

    /// Makes new keys for the keeper that asks for them and for its nodes. The ones before end in an hour.
    ///
    /// A key that was replaced renews only while nobody signed with the ones that replaced it: whoever asked for those did not
    /// come as far as keeping them. They end then.
    ///
    /// # Errors
    /// `Forbidden` for everybody but the cluster's keeper, and for a key whose time is over; `Limited` for more than one
    /// renewal in a minute.
    pub async fn renew_agent_keys(&self, call: &Call, cluster: &str) -> Result<AgentKeys> {
        let right = authz::require_somewhere(call, RENEW)?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        let mut tx = self.begin(call).await?;
        let keeper = tx.cluster_of_agent(&call.caller.principal).await?;
        let is_keeper = keeper == Some((cluster.id.clone(), AgentRole::Keeper));
        let Proof::AccessKey(key) = &call.caller.proof else { return Err(not_the_keeper()) };
        if !is_keeper {
            return Err(not_the_keeper());
        }
        let agents = self.agents(&mut tx, call, &cluster).await?;
        let pairs = tx.agent_pairs(&cluster.id).await?;
        let Some(own) = pairs.iter().find(|pair| pair.keeper == *key) else {
            let message = "only keys that were issued to the cluster's agents together are renewed";
            return Err(Error::new(ErrorKind::Forbidden, message));
        };
        if let Some(next) = &own.replaced_by {
            let next = pairs.iter().find(|pair| pair.keeper == *next);
            if !self.is_lost(&mut tx, next).await? {
                return Err(self.replaced_key_renews(call, &cluster));
            }
            if let Some(AgentPair { keeper, node, .. }) = next {
                tx.delete_access_key(keeper.as_str()).await?;
                tx.delete_access_key(node.as_str()).await?;
            }
        }
        self.slowly(&mut tx, &agents, &pairs).await?;
        let end = self.now().plus_seconds(OVERLAP_SECONDS);
        for (agent, key) in [(&agents.keeper, &own.keeper), (&agents.node, &own.node)] {
            let mut known = tx.access_keys_of(agent).await?.into_iter();
            if known.any(|known| known.id == *key && known.ends_at.is_none()) {
                tx.end_access_key_at(key.as_str(), end).await?;
            }
        }
        let (made, pair) = self.make_pair(&mut tx, call, &agents).await?;
        let pair = AgentPair { is_renewal: true, ..pair };
        tx.insert_agent_pair(&pair).await?;
        tx.replace_agent_pair(&own.keeper, &pair.keeper).await?;
        tx.forget_agent_pairs(&cluster.id).await?;
        self.commit(tx, call, RENEW, &resource(&pair)).await?;
        Ok(made)
    }

    /// Deletes the agents of a cluster with all their keys.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster, or it has no agents; `Forbidden`.
    pub async fn end_agent(&self, call: &Call, cluster: &str) -> Result<()> {
        let right = authz::require_somewhere(call, ISSUE)?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.deleted(ISSUE).await,
        };
        if tx.delete_agents_of_cluster(&cluster.id, self.now()).await? == 0 {
            return Err(Error::not_found("agent of cluster", cluster.id.as_str()));
        }
        self.commit_for_fleet(tx, call, ISSUE, &format!("cluster/{}/agents", cluster.id)).await
    }

    /// Both agents, made if they are not there.
    async fn agents(&self, tx: &mut WriteTx, call: &Call, cluster: &Cluster) -> Result<Agents> {
        let known = tx.agents_of_cluster(&cluster.id).await?;
        let [node, keeper] = AgentRole::ALL.map(|role| known.iter().find(|(of, _)| *of == role));
        let node = match node {
            Some((_, id)) => enabled(tx, call, id).await?,
            None => self.make_agent(tx, call, cluster, AgentRole::Node).await?,
        };
        let keeper = match keeper {
            Some((_, id)) => enabled(tx, call, id).await?,
            None => self.make_agent(tx, call, cluster, AgentRole::Keeper).await?,
        };
        Ok(Agents { cluster: cluster.id.clone(), node, keeper })
    }

    async fn make_agent(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        cluster: &Cluster,
        role: AgentRole,
    ) -> Result<PrincipalId> {
        let have = tx.count_principals_of(call.account()).await?;
        room("users, groups and agencies together", have, self.settings.quotas.principals)?;
        let (name, what) = match role {
            AgentRole::Node => (format!("pod-identity-agent-{}", cluster.id), "agent"),
            AgentRole::Keeper => {
                (format!("pod-identity-keeper-{}", cluster.id), "keeper of the agent's keys")
            }
        };
        let new = NewPrincipal::named(PrincipalKind::User, name);
        let (user, _) = self.prepare_principal(call, new).await?;
        let description = format!("{what} of pod identity in cluster {}", cluster.name);
        let user = Principal { description, ..user };
        tx.insert_principal(&user, None).await?;
        tx.insert_agent(&user.id, &cluster.id, role).await?;
        Ok(user.id)
    }

    async fn end_others(&self, tx: &mut WriteTx, agents: &Agents, others: Others) -> Result<()> {
        let now = self.now();
        for agent in [&agents.node, &agents.keeper] {
            for key in tx.access_keys_of(agent).await? {
                let over = !key.enabled || key.ends_at.is_some_and(|end| end <= now);
                if over || others == Others::EndNow {
                    tx.delete_access_key(key.id.as_str()).await?;
                } else if key.ends_at.is_none() {
                    tx.end_access_key_at(key.id.as_str(), now.plus_seconds(OVERLAP_SECONDS)).await?;
                }
            }
        }
        Ok(())
    }

    async fn make_pair(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        agents: &Agents,
    ) -> Result<(AgentKeys, AgentPair)> {
        let sealing = self.master_key.sealing(tx).await?;
        let make = |agent: &PrincipalId| -> Result<AgentKey> {
            let description = "of the agent; it is renewed by itself";
            let NewKey { key, secret } =
                make_key(&sealing, &*self.entropy, self.now(), call.account(), agent, description)?;
            Ok(AgentKey { agent: agent.clone(), key, secret })
        };
        let (node, keeper) = (make(&agents.node)?, make(&agents.keeper)?);
        tx.insert_access_key(&node.key).await?;
        tx.insert_access_key(&keeper.key).await?;
        let pair = AgentPair {
            keeper: keeper.key.id.clone(),
            node: node.key.id.clone(),
            cluster: agents.cluster.clone(),
            made_at: self.now(),
            is_renewal: false,
            replaced_by: None,
        };
        Ok((AgentKeys { cluster: agents.cluster.clone(), node, keeper }, pair))
    }

    /// Whether a pair that the keeper asked for never came as far as being used. One that somebody else issued did, as far as
    /// anybody knows, and so did one whose keys were deleted.
    async fn is_lost(&self, tx: &mut WriteTx, pair: Option<&AgentPair>) -> Result<bool> {
        let Some(pair) = pair.filter(|pair| pair.is_renewal && pair.replaced_by.is_none()) else {
            return Ok(false);
        };
        for id in [&pair.keeper, &pair.node] {
            let key = tx.access_key(id.as_str()).await?;
            let unused = key.is_some_and(|key| key.last_used_at.is_none());
            if !unused || self.key_use.is_known(id.as_str()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells that a key was used that should be used no more, and refuses it.
    fn replaced_key_renews(&self, call: &Call, cluster: &Cluster) -> Error {
        let what = format!("cluster/{}/agent/replaced-key", cluster.id);
        self.note_refusal(&call.caller, &call.origin, RENEW, &what);
        tracing::warn!(
            cluster = %cluster.id,
            source = %call.origin.source,
            "a key of the keeper of pod identity that was replaced asked for another: somebody may have a copy of it"
        );
        let message = "the key was replaced, and the one that replaced it is in use: sign with that one; if somebody else may \
                       have it, issue others and end these";
        Error::new(ErrorKind::Forbidden, message)
    }

    /// Refuses a renewal right after another, and one more while many keys are good.
    async fn slowly(&self, tx: &mut WriteTx, agents: &Agents, pairs: &[AgentPair]) -> Result<()> {
        let now = self.now();
        let last = pairs.iter().filter(|pair| pair.is_renewal).map(|pair| pair.made_at).max();
        if last.is_some_and(|last| now < last.plus_seconds(RENEWED_EVERY_SECONDS)) {
            let message =
                format!("the keys were renewed less than {RENEWED_EVERY_SECONDS} s ago; try again later");
            return Err(Error::new(ErrorKind::Limited, message));
        }
        let mut good = 0;
        for key in tx.access_keys_of(&agents.keeper).await? {
            if key.ends_at.is_some_and(|end| end <= now) {
                tx.delete_access_key(key.id.as_str()).await?;
            } else {
                good += 1;
            }
        }
        for key in tx.access_keys_of(&agents.node).await? {
            if key.ends_at.is_some_and(|end| end <= now) {
                tx.delete_access_key(key.id.as_str()).await?;
            }
        }
        match good > MOST_PAIRS {
            false => Ok(()),
            true => {
                let message = format!("{MOST_PAIRS} keys that were replaced are good still; try again later");
                Err(Error::new(ErrorKind::Limited, message))
            }
        }
    }
}

fn not_the_keeper() -> Error {
    let message = "only the keeper of the cluster's keys renews them, with its own; others issue new ones";
    Error::new(ErrorKind::Forbidden, message)
}

fn resource(pair: &AgentPair) -> String {
    format!("cluster/{}/agent/access-key/{}/keeper/access-key/{}", pair.cluster, pair.node, pair.keeper)
}

/// The cluster as it is now that nobody else can change it.
async fn present(tx: &mut WriteTx, cluster: &Cluster) -> Result<Cluster> {
    let mut all = tx.clusters(&cluster.account).await?.into_iter();
    all.find(|one| one.id == cluster.id).ok_or_else(|| Error::not_found("cluster", cluster.id.as_str()))
}

/// Refuses a password for an agent: it signs, and nobody logs in as it.
///
/// # Errors
/// `Conflict`.
pub(crate) async fn refuse_password(tx: &mut WriteTx, user: &PrincipalId) -> Result<()> {
    match tx.cluster_of_agent(user).await? {
        None => Ok(()),
        Some((cluster, _)) => Err(Error::conflict(format!(
            "the user is an agent of pod identity in cluster `{cluster}`, which signs and never has a password"
        ))),
    }
}

/// Whoever disabled an agent meant it: another key must not bring it back.
async fn enabled(tx: &mut WriteTx, call: &Call, agent: &PrincipalId) -> Result<PrincipalId> {
    let found = tx.principal(call.account(), agent.as_str()).await?;
    match found {
        Some(found) if found.enabled => Ok(found.id),
        Some(_) | None => Err(Error::conflict(
            "an agent of the cluster was disabled: enable its user again, or delete the agents first, which ends their keys",
        )),
    }
}
