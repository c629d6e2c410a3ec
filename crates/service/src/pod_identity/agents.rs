//! The agent of a cluster: the user as whom the programs of that cluster follow its associations and ask for credentials.
//!
//! It is a user with access keys, and not an agency: it is seen in the list of users, revoked like one, and its signatures
//! are verified like everybody's. What it may do is not a policy that somebody could change, but follows from being the
//! agent; and whatever it is given besides, it stays within that. It never has a password.

use domain::{Cluster, ClusterId, Error, ErrorKind, Principal, PrincipalId, PrincipalKind, Result, Secret};
use store::WriteTx;

use crate::authz::{self, Thing};
use crate::call::Call;
use crate::directory::access_keys::{NewKey, make_key};
use crate::directory::principals::NewPrincipal;
use crate::quotas::room;
use crate::service::Service;

/// As decisions call what an agent may do.
pub(crate) const DOCUMENT: &str = "agent of pod identity";

const ISSUE: &str = "bailiwick:podIdentity:issueAgentKey";
const RENEW: &str = "bailiwick:podIdentity:renewAgentKey";

/// A key that was replaced goes on for so long, because each node reads the new one in its own time.
const OVERLAP_SECONDS: i64 = 3600;
/// So many keys of an agent may be good at once; of more, the oldest end.
const MOST_KEYS: usize = 4;

/// A key of an agent: the only time its secret is shown.
#[derive(Debug)]
pub struct AgentKey {
    /// The agent's user.
    pub agent: PrincipalId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The key as it will be listed.
    pub key: crate::directory::access_keys::AccessKey,
    /// Its secret half.
    pub secret: Secret,
}

/// What the agent of a cluster may do.
pub(crate) fn document(cluster: &ClusterId) -> String {
    format!(
        r#"{{"Version":"5.0","Statement":[{{"Effect":"Allow","Action":["bailiwick:podIdentity:vend","bailiwick:podIdentity:follow","bailiwick:podIdentity:renewAgentKey"],"Resource":["*"],"Condition":{{"StringEquals":{{"bailiwick:ClusterId":["{cluster}"]}}}}}}]}}"#
    )
}

impl Service {
    /// Makes a key for the agent of a cluster, and the agent if there is none. Keys that it has end in an hour.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster; `Forbidden`; `Conflict` if the agent was disabled.
    pub async fn issue_agent_key(&self, call: &Call, cluster: &str) -> Result<AgentKey> {
        let right = authz::require_somewhere(call, ISSUE)?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        let mut tx = self.begin(call).await?;
        let cluster = present(&mut tx, &cluster).await?;
        right.on(&Thing::cluster(&cluster))?;
        let agent = match tx.agent_of_cluster(&cluster.id).await? {
            Some(id) => enabled(&mut tx, call, &id).await?,
            None => self.make_agent(&mut tx, call, &cluster).await?,
        };
        self.replace_key(tx, call, ISSUE, (agent, cluster.id)).await
    }

    /// Makes a new key for the agent that asks for it.
    ///
    /// # Errors
    /// `Forbidden` for everybody but the cluster's agent.
    pub async fn renew_agent_key(&self, call: &Call, cluster: &str) -> Result<AgentKey> {
        let right = authz::require_somewhere(call, RENEW)?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        let mut tx = self.begin(call).await?;
        let agent = tx.agent_of_cluster(&cluster.id).await?;
        if agent.as_ref() != Some(&call.caller.principal) || call.caller.session().is_some() {
            let message = "only the cluster's agent renews its key, with its key; others make it a new one";
            return Err(Error::new(ErrorKind::Forbidden, message));
        }
        self.replace_key(tx, call, RENEW, (call.caller.principal.clone(), cluster.id)).await
    }

    /// Deletes the agent of a cluster with all its keys.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster, or it has no agent; `Forbidden`.
    pub async fn end_agent(&self, call: &Call, cluster: &str) -> Result<()> {
        let right = authz::require_somewhere(call, ISSUE)?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.deleted(ISSUE).await,
        };
        let agent = tx.agent_of_cluster(&cluster.id).await?;
        let agent = agent.ok_or_else(|| Error::not_found("agent of cluster", cluster.id.as_str()))?;
        tx.delete_principal(&agent, self.now()).await?;
        self.commit_for_fleet(tx, call, ISSUE, &format!("user/{agent}")).await
    }

    async fn make_agent(&self, tx: &mut WriteTx, call: &Call, cluster: &Cluster) -> Result<PrincipalId> {
        let have = tx.count_principals_of(call.account()).await?;
        room("users, groups and agencies together", have, self.settings.quotas.principals)?;
        let name = format!("pod-identity-agent-{}", cluster.id);
        let new = NewPrincipal::named(PrincipalKind::User, name);
        let (user, _) = self.prepare_principal(call, new).await?;
        let description = format!("agent of pod identity in cluster {}", cluster.name);
        let user = Principal { description, ..user };
        tx.insert_principal(&user, None).await?;
        tx.insert_agent(&user.id, &cluster.id).await?;
        Ok(user.id)
    }

    async fn replace_key(
        &self,
        mut tx: WriteTx,
        call: &Call,
        action: &str,
        (agent, cluster): (PrincipalId, ClusterId),
    ) -> Result<AgentKey> {
        let now = self.now();
        let mut good = 0;
        for key in tx.access_keys_of(&agent).await?.into_iter().rev() {
            good += 1;
            if !key.enabled || good >= MOST_KEYS || key.ends_at.is_some_and(|end| end <= now) {
                tx.delete_access_key(key.id.as_str()).await?;
            } else if key.ends_at.is_none() {
                tx.end_access_key_at(key.id.as_str(), now.plus_seconds(OVERLAP_SECONDS)).await?;
            }
        }
        let sealing = self.master_key.sealing(&mut tx).await?;
        let description = "of the agent; it is renewed by itself";
        let made = make_key(&sealing, &*self.entropy, now, call.account(), &agent, description)?;
        let NewKey { key, secret } = made;
        tx.insert_access_key(&key).await?;
        self.commit(tx, call, action, &format!("access-key/{}", key.id)).await?;
        Ok(AgentKey { agent, cluster, key, secret })
    }
}

/// The cluster as it is now that nobody else can change it.
async fn present(tx: &mut WriteTx, cluster: &Cluster) -> Result<Cluster> {
    let mut all = tx.clusters(&cluster.account).await?.into_iter();
    all.find(|one| one.id == cluster.id).ok_or_else(|| Error::not_found("cluster", cluster.id.as_str()))
}

/// Whoever disabled an agent meant it: another key must not bring it back.
async fn enabled(tx: &mut WriteTx, call: &Call, agent: &PrincipalId) -> Result<PrincipalId> {
    let found = tx.principal(call.account(), agent.as_str()).await?;
    match found {
        Some(found) if found.enabled => Ok(found.id),
        Some(_) | None => Err(Error::conflict(
            "the cluster's agent was disabled: enable its user again, or delete the agent first, which ends its keys",
        )),
    }
}
