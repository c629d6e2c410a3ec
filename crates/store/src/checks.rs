//! What clusters answered about the credentials of their connections, and from when to when.

use domain::{ClusterId, Result, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// So many different answers of a cluster are kept.
const KEPT: i64 = 100;

/// What a cluster answered, once or several times in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCheck {
    /// Which one of the cluster's.
    pub number: i64,
    /// When it answered so first.
    pub first_at: Timestamp,
    /// When it answered so last.
    pub last_at: Timestamp,
    /// What, as JSON.
    pub found: String,
}

impl WriteTx {
    /// Keeps what a cluster answered, and forgets what it answered long ago.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn keep_check(&mut self, cluster: &ClusterId, at: Timestamp, found: &str) -> Result<()> {
        let last = self.checks(cluster, None, 1).await?.pop();
        let number = match last {
            Some(last) if last.found == found => {
                return self.see_check_again(cluster, last.number, at).await;
            }
            Some(last) => last.number + 1,
            None => 1,
        };
        sqlx::query(
            "INSERT INTO checks (cluster_id, number, first_at, last_at, found) VALUES ($1, $2, $3, $3, $4)",
        )
        .bind(cluster.as_str())
        .bind(number)
        .bind(at.as_millis())
        .bind(found)
        .execute(self.connection())
        .await
        .map_err(database)?;
        sqlx::query("DELETE FROM checks WHERE cluster_id = $1 AND number <= $2")
            .bind(cluster.as_str())
            .bind(number - KEPT)
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    async fn see_check_again(&mut self, cluster: &ClusterId, number: i64, at: Timestamp) -> Result<()> {
        sqlx::query("UPDATE checks SET last_at = $3 WHERE cluster_id = $1 AND number = $2 AND last_at < $3")
            .bind(cluster.as_str())
            .bind(number)
            .bind(at.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// What a cluster answered, the latest first; only what it began to answer by `until`, if that is given.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn checks(
        &mut self,
        cluster: &ClusterId,
        until: Option<Timestamp>,
        limit: i64,
    ) -> Result<Vec<KeptCheck>> {
        let rows = sqlx::query(
            "SELECT number, first_at, last_at, found FROM checks WHERE cluster_id = $1 AND first_at <= $2 \
             ORDER BY number DESC LIMIT $3",
        )
        .bind(cluster.as_str())
        .bind(until.map_or(i64::MAX, Timestamp::as_millis))
        .bind(limit)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(kept).collect()
    }
}

fn kept(row: &AnyRow) -> Result<KeptCheck> {
    let at = |column| row.try_get(column).map(Timestamp::from_millis).map_err(database);
    Ok(KeptCheck {
        number: row.try_get("number").map_err(database)?,
        first_at: at("first_at")?,
        last_at: at("last_at")?,
        found: row.try_get("found").map_err(database)?,
    })
}
