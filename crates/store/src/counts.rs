//! How many there are of what: over all accounts for metrics, within one for quotas.

use domain::{AccountId, ConnectionState, PrincipalId, Result, State};
use sqlx::Row;

use crate::error::{corrupt, database};
use crate::transaction::ReadTx;

impl ReadTx {
    /// How many clusters there are in each state.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_clusters(&mut self) -> Result<Vec<(ConnectionState, i64)>> {
        let rows = sqlx::query(
            "SELECT connection_state AS state, COUNT(*) AS n FROM clusters WHERE removed_at IS NULL \
             GROUP BY connection_state",
        )
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                let text: String = row.try_get("state").map_err(database)?;
                let state = ConnectionState::parse(&text)
                    .ok_or_else(|| corrupt("clusters", "connection_state", &text))?;
                Ok((state, row.try_get("n").map_err(database)?))
            })
            .collect()
    }

    /// How many pairs of grant and cluster there are in each state that a worker reported.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_grant_states(&mut self) -> Result<Vec<(State, i64)>> {
        let rows = sqlx::query("SELECT state, COUNT(*) AS n FROM grant_states GROUP BY state")
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        rows.iter()
            .map(|row| {
                let text: String = row.try_get("state").map_err(database)?;
                let state = State::parse(&text).ok_or_else(|| corrupt("grant_states", "state", &text))?;
                Ok((state, row.try_get("n").map_err(database)?))
            })
            .collect()
    }

    /// How many grants of the account are not revoked.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_grants_of(&mut self, account: &AccountId) -> Result<i64> {
        self.count(
            "SELECT COUNT(*) AS n FROM grants WHERE account_id = $1 AND revoked_at IS NULL",
            account.as_str(),
        )
        .await
    }

    /// How many pairs of role and namespace the grants of the account list; all namespaces count as one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_places_of(&mut self, account: &AccountId) -> Result<i64> {
        self.count(
            "SELECT COUNT(*) AS n FROM (SELECT DISTINCT g.role, COALESCE(l.namespace, '') FROM grants g \
             LEFT JOIN grant_namespaces l ON l.grant_id = g.id \
             WHERE g.account_id = $1 AND g.revoked_at IS NULL) AS places",
            account.as_str(),
        )
        .await
    }

    /// How many clusters the account has.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_clusters_of(&mut self, account: &AccountId) -> Result<i64> {
        self.count(
            "SELECT COUNT(*) AS n FROM clusters WHERE account_id = $1 AND removed_at IS NULL",
            account.as_str(),
        )
        .await
    }

    /// How many users, groups and agencies the account has.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_principals_of(&mut self, account: &AccountId) -> Result<i64> {
        self.count("SELECT COUNT(*) AS n FROM principals WHERE account_id = $1", account.as_str()).await
    }

    /// How many access keys the user has.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn count_access_keys_of(&mut self, user: &PrincipalId) -> Result<i64> {
        self.count("SELECT COUNT(*) AS n FROM access_keys WHERE user_id = $1", user.as_str()).await
    }

    async fn count(&mut self, statement: &'static str, of: &str) -> Result<i64> {
        let row = sqlx::query(statement).bind(of).fetch_one(self.connection()).await.map_err(database)?;
        row.try_get("n").map_err(database)
    }
}
