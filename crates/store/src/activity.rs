//! Who was seen in a cluster when, and of which time that is known.

use std::collections::BTreeMap;

use domain::activity::{Span, merged};
use domain::{ClusterId, PrincipalId, Result, Timestamp};
use sqlx::{AssertSqlSafe, Row};

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// So many people are noted by one statement.
const BATCH: usize = 200;

impl WriteTx {
    /// Notes when people were last seen in a cluster, unless they were seen later. Who is gone is left out.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn note_seen(
        &mut self,
        cluster: &ClusterId,
        seen: &BTreeMap<PrincipalId, Timestamp>,
    ) -> Result<()> {
        let seen: Vec<_> = seen.iter().collect();
        for batch in seen.chunks(BATCH) {
            let rows: Vec<String> = (0..batch.len())
                .map(|row| format!("(CAST(${} AS TEXT), CAST(${} AS BIGINT))", 2 * row + 2, 2 * row + 3))
                .collect();
            let sql = format!(
                "INSERT INTO activity (cluster_id, principal_id, last_seen) \
                 SELECT CAST($1 AS TEXT), v.column1, v.column2 FROM (VALUES {}) AS v \
                 WHERE EXISTS (SELECT p.id FROM principals p WHERE p.id = v.column1) \
                 ON CONFLICT (cluster_id, principal_id) DO UPDATE SET last_seen = \
                 CASE WHEN excluded.last_seen > activity.last_seen THEN excluded.last_seen ELSE activity.last_seen END",
                rows.join(", ")
            );
            // Nothing of it but the numbers of its parameters is made here.
            let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false).bind(cluster.as_str());
            for (principal, at) in batch {
                query = query.bind(principal.as_str()).bind(at.as_millis());
            }
            query.execute(self.connection()).await.map_err(database)?;
        }
        Ok(())
    }

    /// Notes that it is known who was active in a cluster at some time. What ended before `forget` is not kept.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn note_covered(&mut self, cluster: &ClusterId, span: Span, forget: Timestamp) -> Result<()> {
        let mut spans = self.activity_coverage(cluster).await?;
        spans.push(span);
        sqlx::query("DELETE FROM activity_coverage WHERE cluster_id = $1")
            .bind(cluster.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        for span in merged(spans).into_iter().filter(|span| span.to >= forget) {
            sqlx::query("INSERT INTO activity_coverage (cluster_id, from_at, to_at) VALUES ($1, $2, $3)")
                .bind(cluster.as_str())
                .bind(span.from.as_millis())
                .bind(span.to.as_millis())
                .execute(self.connection())
                .await
                .map_err(database)?;
        }
        Ok(())
    }

    /// Forgets what was seen in a cluster: it is another one now.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_activity(&mut self, cluster: &ClusterId) -> Result<()> {
        for statement in [
            "DELETE FROM activity WHERE cluster_id = $1",
            "DELETE FROM activity_coverage WHERE cluster_id = $1",
        ] {
            sqlx::query(statement)
                .bind(cluster.as_str())
                .execute(self.connection())
                .await
                .map_err(database)?;
        }
        Ok(())
    }
}

impl ReadTx {
    /// When somebody was last seen in a cluster, if they were.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn last_seen(
        &mut self,
        cluster: &ClusterId,
        principal: &PrincipalId,
    ) -> Result<Option<Timestamp>> {
        let row = sqlx::query("SELECT last_seen FROM activity WHERE cluster_id = $1 AND principal_id = $2")
            .bind(cluster.as_str())
            .bind(principal.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        row.map(|row| row.try_get("last_seen").map(Timestamp::from_millis).map_err(database)).transpose()
    }

    /// When somebody was last given a certificate of a cluster, if they were, whatever became of it.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn last_certified(
        &mut self,
        cluster: &ClusterId,
        principal: &PrincipalId,
    ) -> Result<Option<Timestamp>> {
        let row = sqlx::query(
            "SELECT MAX(issued_at) AS issued_at FROM certificates WHERE cluster_id = $1 AND principal_id = $2",
        )
        .bind(cluster.as_str())
        .bind(principal.as_str())
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        let at: Option<i64> = row.try_get("issued_at").map_err(database)?;
        Ok(at.map(Timestamp::from_millis))
    }

    /// Of which time it is known who was active in a cluster, the first one first.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn activity_coverage(&mut self, cluster: &ClusterId) -> Result<Vec<Span>> {
        let rows = sqlx::query(
            "SELECT from_at, to_at FROM activity_coverage WHERE cluster_id = $1 ORDER BY from_at",
        )
        .bind(cluster.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                let at = |column: &str| row.try_get(column).map(Timestamp::from_millis).map_err(database);
                Ok(Span { from: at("from_at")?, to: at("to_at")? })
            })
            .collect()
    }

    /// Since when a principal has the names that it has, in this cluster: the later of when it got its own, and of when
    /// the cluster's way to make names was last changed.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn named_since(&mut self, cluster: &ClusterId, principal: &PrincipalId) -> Result<Timestamp> {
        let row = sqlx::query(
            "SELECT p.created_at AS created_at, p.named_at AS named_at, c.arrival_at AS arrival_at \
             FROM principals p, clusters c WHERE p.id = $2 AND c.id = $1",
        )
        .bind(cluster.as_str())
        .bind(principal.as_str())
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        let at = |column: &str| row.try_get(column).map(Timestamp::from_millis).map_err(database);
        Ok(at("created_at")?.max(at("named_at")?).max(at("arrival_at")?))
    }
}
