//! The hold: while there is one, servers apply nothing and let nobody in; and what they would apply.

use domain::{ClusterId, Result, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::database;
use crate::open::Store;
use crate::transaction::{ReadTx, WriteTx};

const HOLD: &str = "SELECT since, reason FROM hold WHERE one = 1";

/// Why nothing is applied and nobody is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Since when.
    pub since: Timestamp,
    /// Why, in a sentence.
    pub reason: String,
}

/// What a worker would do in its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPlan {
    /// Which cluster.
    pub cluster: ClusterId,
    /// When the worker looked.
    pub at: Timestamp,
    /// How many changes add.
    pub grows: i64,
    /// How many changes take away.
    pub shrinks: i64,
    /// The first of them, a line each.
    pub lines: Vec<String>,
}

impl Store {
    /// Begins to hold, unless it is held already. Returns whether it was not.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_hold(&self, hold: &Hold) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO hold (one, since, reason) VALUES (1, $1, $2) ON CONFLICT (one) DO NOTHING",
        )
        .bind(hold.since.as_millis())
        .bind(hold.reason.as_str())
        .execute(&self.pool)
        .await
        .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}

impl Store {
    /// The hold, if there is one: one statement, for servers that ask again and again.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn hold(&self) -> Result<Option<Hold>> {
        let row = sqlx::query(HOLD).fetch_optional(&self.pool).await.map_err(database)?;
        row.as_ref().map(hold).transpose()
    }
}

impl WriteTx {
    /// Ends the hold and forgets the plans. Returns whether there was one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_hold(&mut self) -> Result<bool> {
        sqlx::query("DELETE FROM held_plans").execute(self.connection()).await.map_err(database)?;
        let done = sqlx::query("DELETE FROM hold").execute(self.connection()).await.map_err(database)?;
        Ok(done.rows_affected() > 0)
    }

    /// Ends every token and temporary key of every account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_all_sessions(&mut self, now: Timestamp) -> Result<u64> {
        let vended = sqlx::query("UPDATE vended_sessions SET expires_at = issued_at WHERE expires_at > $1")
            .bind(now.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?
            .rows_affected();
        let done = sqlx::query("DELETE FROM sessions").execute(self.connection()).await.map_err(database)?;
        Ok(done.rows_affected() + vended)
    }

    /// Writes what a worker would do.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn put_held_plan(&mut self, plan: &HeldPlan) -> Result<()> {
        sqlx::query(
            "INSERT INTO held_plans (cluster_id, at, grows, shrinks, lines) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (cluster_id) DO UPDATE SET at = excluded.at, grows = excluded.grows, \
             shrinks = excluded.shrinks, lines = excluded.lines",
        )
        .bind(plan.cluster.as_str())
        .bind(plan.at.as_millis())
        .bind(plan.grows)
        .bind(plan.shrinks)
        .bind(plan.lines.join("\n"))
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// The hold, if there is one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn hold(&mut self) -> Result<Option<Hold>> {
        let row = sqlx::query(HOLD).fetch_optional(self.connection()).await.map_err(database)?;
        row.as_ref().map(hold).transpose()
    }

    /// What the workers would do, by cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn held_plans(&mut self) -> Result<Vec<HeldPlan>> {
        let rows =
            sqlx::query("SELECT cluster_id, at, grows, shrinks, lines FROM held_plans ORDER BY cluster_id")
                .fetch_all(self.connection())
                .await
                .map_err(database)?;
        rows.iter()
            .map(|row| {
                let cluster: String = row.try_get("cluster_id").map_err(database)?;
                let lines: String = row.try_get("lines").map_err(database)?;
                Ok(HeldPlan {
                    cluster: ClusterId::stored(&cluster),
                    at: Timestamp::from_millis(row.try_get("at").map_err(database)?),
                    grows: row.try_get("grows").map_err(database)?,
                    shrinks: row.try_get("shrinks").map_err(database)?,
                    lines: lines.lines().map(str::to_owned).collect(),
                })
            })
            .collect()
    }
}

fn hold(row: &AnyRow) -> Result<Hold> {
    Ok(Hold {
        since: Timestamp::from_millis(row.try_get("since").map_err(database)?),
        reason: row.try_get("reason").map_err(database)?,
    })
}
