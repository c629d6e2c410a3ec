//! Where each grant stands in each cluster, as its worker last wrote it.

use domain::{
    AccountId, ClusterGrantState, ClusterId, ClusterScope, Grant, GrantId, Result, State, Timestamp,
};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::{corrupt, database};
use crate::transaction::{ReadTx, WriteTx};

/// A grant's state in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantStateRow {
    /// Which grant.
    pub grant: GrantId,
    /// Where it stands.
    pub state: ClusterGrantState,
}

impl WriteTx {
    /// Writes a grant's state in a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn put_grant_state(&mut self, row: &GrantStateRow) -> Result<()> {
        sqlx::query(
            "INSERT INTO grant_states (cluster_id, grant_id, state, reason, since, observed_generation) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (cluster_id, grant_id) DO UPDATE SET \
             state = excluded.state, reason = excluded.reason, since = excluded.since, \
             observed_generation = excluded.observed_generation",
        )
        .bind(row.state.cluster.as_str())
        .bind(row.grant.as_str())
        .bind(row.state.state.as_str())
        .bind(row.state.reason.as_str())
        .bind(row.state.since.as_millis())
        .bind(row.state.observed_generation)
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}

impl WriteTx {
    /// Notes, before a grant is revoked or changed, that it stands somewhere in every connected cluster that it
    /// covers now, unless the grant is younger than the cluster's suspension. Without that a revoke that overtakes the
    /// first report would leave no trace in a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn expect_grant_states(&mut self, grant: &Grant, now: Timestamp) -> Result<()> {
        sqlx::query(
            "INSERT INTO grant_states (cluster_id, grant_id, state, reason, since, observed_generation) \
             SELECT c.id, $1, 'pending', '', $2, 0 FROM clusters c \
             WHERE c.account_id = $3 AND c.removed_at IS NULL AND c.sealed_connection IS NOT NULL \
             AND (c.suspended_at IS NULL OR $5 <= c.suspended_at) \
             AND ($4 = 1 OR c.id IN (SELECT l.cluster_id FROM grant_clusters l WHERE l.grant_id = $1)) \
             ON CONFLICT (cluster_id, grant_id) DO UPDATE SET state = 'pending', reason = '', since = excluded.since \
             WHERE grant_states.state = 'revoked'",
        )
        .bind(grant.id.as_str())
        .bind(now.as_millis())
        .bind(grant.account.as_str())
        .bind(i64::from(grant.spec.clusters == ClusterScope::All))
        .bind(grant.created_at.as_millis())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// One grant's state in a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grant_state(
        &mut self,
        cluster: &ClusterId,
        grant: &GrantId,
    ) -> Result<Option<ClusterGrantState>> {
        let row = sqlx::query(
            "SELECT cluster_id, grant_id, state, reason, since, observed_generation FROM grant_states \
             WHERE cluster_id = $1 AND grant_id = $2",
        )
        .bind(cluster.as_str())
        .bind(grant.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(state_row).transpose().map(|row| row.map(|row| row.state))
    }

    /// A grant's states in all clusters where it has one, by cluster id.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grant_states(&mut self, grant: &GrantId) -> Result<Vec<GrantStateRow>> {
        let rows = sqlx::query(
            "SELECT cluster_id, grant_id, state, reason, since, observed_generation FROM grant_states \
             WHERE grant_id = $1 ORDER BY cluster_id",
        )
        .bind(grant.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(state_row).collect()
    }

    /// When the grant last changed, or when the cluster came, if that was later.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn grant_changed_at(
        &mut self,
        grant: &GrantId,
        cluster: &ClusterId,
    ) -> Result<Option<Timestamp>> {
        let row = sqlx::query(
            "SELECT g.updated_at AS updated_at, g.revoked_at AS revoked_at, c.created_at AS cluster_at \
             FROM grants g, clusters c WHERE g.id = $1 AND c.id = $2",
        )
        .bind(grant.as_str())
        .bind(cluster.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let updated: i64 = row.try_get("updated_at").map_err(database)?;
        let revoked: Option<i64> = row.try_get("revoked_at").map_err(database)?;
        let cluster_at: i64 = row.try_get("cluster_at").map_err(database)?;
        Ok(Some(Timestamp::from_millis(revoked.unwrap_or(updated).max(cluster_at))))
    }

    /// All states of the account's grants that are not revoked, by grant and cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn account_states(&mut self, account: &AccountId) -> Result<Vec<GrantStateRow>> {
        let rows = sqlx::query(
            "SELECT s.cluster_id, s.grant_id, s.state, s.reason, s.since, s.observed_generation FROM grant_states s \
             JOIN grants g ON g.id = s.grant_id WHERE g.account_id = $1 AND g.revoked_at IS NULL \
             ORDER BY s.grant_id, s.cluster_id",
        )
        .bind(account.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(state_row).collect()
    }

    /// Ids of grants that have a state in the cluster which is not `revoked`, though they are revoked or no longer
    /// cover it: their revoke is not finished there.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn unfinished_revokes(&mut self, cluster: &ClusterId) -> Result<Vec<GrantId>> {
        let rows = sqlx::query(
            "SELECT g.id AS id FROM grant_states s JOIN grants g ON g.id = s.grant_id \
             WHERE s.cluster_id = $1 AND s.state <> 'revoked' \
             AND (g.revoked_at IS NOT NULL OR (g.all_clusters = 0 AND g.id NOT IN \
             (SELECT grant_id FROM grant_clusters WHERE cluster_id = $1)))",
        )
        .bind(cluster.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get("id").map_err(database)?;
                Ok(GrantId::stored(&id))
            })
            .collect()
    }
}

fn state_row(row: &AnyRow) -> Result<GrantStateRow> {
    let cluster: String = row.try_get("cluster_id").map_err(database)?;
    let grant: String = row.try_get("grant_id").map_err(database)?;
    let state: String = row.try_get("state").map_err(database)?;
    Ok(GrantStateRow {
        state: ClusterGrantState {
            cluster: ClusterId::stored(&cluster),
            state: State::parse(&state).ok_or_else(|| corrupt("grant_states", "state", &grant))?,
            reason: row.try_get("reason").map_err(database)?,
            since: Timestamp::from_millis(row.try_get("since").map_err(database)?),
            observed_generation: row.try_get("observed_generation").map_err(database)?,
        },
        grant: GrantId::stored(&grant),
    })
}
