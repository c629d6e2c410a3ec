//! Users that are an agent of pod identity in a cluster, and which of their keys were made together.

use domain::{AccessKeyId, ClusterId, Error, PrincipalId, Result, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::{corrupt, database, unless_taken};
use crate::transaction::{ReadTx, WriteTx};

/// What an agent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AgentRole {
    /// Its key lies on every node: it follows and vends.
    Node,
    /// Its key lies with the webhook: it follows and renews the keys of both.
    Keeper,
}

impl AgentRole {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Node, Self::Keeper];

    /// `node` or `keeper`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Keeper => "keeper",
        }
    }

    fn stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// A key of each agent of a cluster, made together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPair {
    /// The keeper's key.
    pub keeper: AccessKeyId,
    /// The nodes' key.
    pub node: AccessKeyId,
    /// The cluster.
    pub cluster: ClusterId,
    /// When they were made.
    pub made_at: Timestamp,
    /// Whether the keeper asked for them.
    pub is_renewal: bool,
    /// The keeper's key of the pair that replaced this one.
    pub replaced_by: Option<AccessKeyId>,
}

impl WriteTx {
    /// Makes a user an agent of a cluster, for as long as there is that user.
    ///
    /// # Errors
    /// `Conflict` if the cluster has one.
    pub async fn insert_agent(
        &mut self,
        user: &PrincipalId,
        cluster: &ClusterId,
        role: AgentRole,
    ) -> Result<()> {
        let done = sqlx::query("INSERT INTO agents (user_id, cluster_id, role) VALUES ($1, $2, $3)")
            .bind(user.as_str())
            .bind(cluster.as_str())
            .bind(role.as_str())
            .execute(self.connection())
            .await;
        unless_taken(done, || Error::conflict("the cluster has an agent already"))?;
        Ok(())
    }

    /// Deletes the users that are the agents of a cluster, with their keys. Returns how many there were.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_agents_of_cluster(&mut self, cluster: &ClusterId, now: Timestamp) -> Result<usize> {
        let agents = self.agents_of_cluster(cluster).await?;
        for (_, user) in &agents {
            self.delete_principal(user, now).await?;
        }
        sqlx::query("DELETE FROM agent_pairs WHERE cluster_id = $1")
            .bind(cluster.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(agents.len())
    }

    /// Deletes every key of the users that are the agents of a cluster. The users stay as they are.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_agent_keys(&mut self, cluster: &ClusterId) -> Result<()> {
        for (_, user) in self.agents_of_cluster(cluster).await? {
            for key in self.access_keys_of(&user).await? {
                self.delete_access_key(key.id.as_str()).await?;
            }
            self.end_sessions_of_principal(&user).await?;
        }
        self.forget_agent_pairs(cluster).await
    }

    /// Says when a key of the account ends by itself.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_access_key_at(&mut self, id: &str, end: Timestamp) -> Result<()> {
        let account = self.account().clone();
        sqlx::query("UPDATE access_keys SET ends_at = $3 WHERE account_id = $1 AND id = $2")
            .bind(account.as_str())
            .bind(id)
            .bind(end.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Writes down which keys were made together.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_agent_pair(&mut self, pair: &AgentPair) -> Result<()> {
        sqlx::query(
            "INSERT INTO agent_pairs (keeper_key_id, node_key_id, cluster_id, made_at, renewal) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(pair.keeper.as_str())
        .bind(pair.node.as_str())
        .bind(pair.cluster.as_str())
        .bind(pair.made_at.as_millis())
        .bind(i64::from(pair.is_renewal))
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }

    /// Writes down that a pair was replaced by the one with the keeper's key `by`.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn replace_agent_pair(&mut self, keeper: &AccessKeyId, by: &AccessKeyId) -> Result<()> {
        sqlx::query("UPDATE agent_pairs SET replaced_by = $2 WHERE keeper_key_id = $1")
            .bind(keeper.as_str())
            .bind(by.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Forgets the pairs of a cluster whose keeper's key is not there any more.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_agent_pairs(&mut self, cluster: &ClusterId) -> Result<()> {
        sqlx::query(
            "DELETE FROM agent_pairs WHERE cluster_id = $1 AND keeper_key_id NOT IN (SELECT id FROM access_keys)",
        )
        .bind(cluster.as_str())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// The users that are the agents of a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn agents_of_cluster(&mut self, cluster: &ClusterId) -> Result<Vec<(AgentRole, PrincipalId)>> {
        let rows = sqlx::query("SELECT user_id, role FROM agents WHERE cluster_id = $1 ORDER BY role")
            .bind(cluster.as_str())
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        let user = |row: &AnyRow| row.try_get::<String, _>("user_id").map_err(database);
        rows.iter().map(|row| Ok((role(row)?, PrincipalId::stored(&user(row)?)))).collect()
    }

    /// The cluster of which a user is an agent, and what for; `None` for everybody else.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn cluster_of_agent(&mut self, user: &PrincipalId) -> Result<Option<(ClusterId, AgentRole)>> {
        let row = sqlx::query("SELECT user_id, cluster_id, role FROM agents WHERE user_id = $1")
            .bind(user.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let cluster: String = row.try_get("cluster_id").map_err(database)?;
        Ok(Some((ClusterId::stored(&cluster), role(&row)?)))
    }

    /// The pairs of keys of a cluster's agents, the newest last.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn agent_pairs(&mut self, cluster: &ClusterId) -> Result<Vec<AgentPair>> {
        let rows = sqlx::query(
            "SELECT keeper_key_id, node_key_id, made_at, renewal, replaced_by FROM agent_pairs \
             WHERE cluster_id = $1 ORDER BY made_at, keeper_key_id",
        )
        .bind(cluster.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(|row| pair(row, cluster)).collect()
    }
}

fn role(row: &AnyRow) -> Result<AgentRole> {
    let text: String = row.try_get("role").map_err(database)?;
    let user: String = row.try_get("user_id").map_err(database)?;
    AgentRole::stored(&text).ok_or_else(|| corrupt("agents", "role", &user))
}

fn pair(row: &AnyRow, cluster: &ClusterId) -> Result<AgentPair> {
    let text = |column| row.try_get::<String, _>(column).map_err(database);
    let number = |column| row.try_get::<i64, _>(column).map_err(database);
    let replaced_by: Option<String> = row.try_get("replaced_by").map_err(database)?;
    Ok(AgentPair {
        keeper: AccessKeyId::stored(&text("keeper_key_id")?),
        node: AccessKeyId::stored(&text("node_key_id")?),
        cluster: cluster.clone(),
        made_at: Timestamp::from_millis(number("made_at")?),
        is_renewal: number("renewal")? == 1,
        replaced_by: replaced_by.as_deref().map(AccessKeyId::stored),
    })
}
