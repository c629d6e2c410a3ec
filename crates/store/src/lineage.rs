//! The database's lineage: by which it is told from older copies of itself. See [`domain::lineage`].

use domain::{AccountId, LineageEntry, LineageKind, Result, Stamp, Timestamp};
use sqlx::Row;

use crate::error::{corrupt, database};
use crate::open::Store;
use crate::transaction::{ReadTx, WriteTx};

impl Store {
    /// Begins a change while no account can be changed by anybody: all their locks are held.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn write_all(&self) -> Result<WriteTx> {
        let mut tx = self.begin_account(&AccountId::stored("")).await?;
        // No account can be made any more. The others are locked in one order by everybody who locks several.
        let rows = sqlx::query("SELECT account_id FROM revision WHERE account_id <> '' ORDER BY account_id")
            .fetch_all(tx.connection())
            .await
            .map_err(database)?;
        for row in rows {
            let account: String = row.try_get("account_id").map_err(database)?;
            sqlx::query("UPDATE revision SET n = n WHERE account_id = $1")
                .bind(account)
                .execute(tx.connection())
                .await
                .map_err(database)?;
        }
        Ok(tx)
    }
}

impl WriteTx {
    /// Adds an entry to the lineage. Only within [`Store::write_all`]: no commit may come in between.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_lineage(&mut self, id: &str, kind: LineageKind, now: Timestamp) -> Result<()> {
        let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) + 1 AS next FROM lineage")
            .fetch_one(self.connection())
            .await
            .map_err(database)?;
        let next: i64 = row.try_get("next").map_err(database)?;
        let total = self.revision_sum().await?;
        sqlx::query("INSERT INTO lineage (seq, id, kind, total, at) VALUES ($1, $2, $3, $4, $5)")
            .bind(next)
            .bind(id)
            .bind(kind.as_str())
            .bind(total)
            .bind(now.as_millis())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Counts a commit for every account, so that no copy in any server's memory counts any more. Only within
    /// [`Store::write_all`].
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn advance_all(&mut self) -> Result<()> {
        sqlx::query("UPDATE revision SET n = n + 1, directory = n + 1 WHERE account_id <> ''")
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// The number of commits of all accounts together.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn revision_sum(&mut self) -> Result<i64> {
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) AS sum FROM revision WHERE account_id <> ''",
        )
        .fetch_one(self.connection())
        .await
        .map_err(database)?;
        row.try_get("sum").map_err(database)
    }

    /// How far the database has come; `None` before the first start of a server that keeps a lineage.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn stamp(&mut self, now: Timestamp) -> Result<Option<Stamp>> {
        let row = sqlx::query("SELECT id FROM lineage ORDER BY seq DESC LIMIT 1")
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let lineage = row.try_get("id").map_err(database)?;
        Ok(Some(Stamp { lineage, sum: self.revision_sum().await?, at: now }))
    }

    /// Which course of the database this is: another one from the moment at which a restored copy was confirmed. Empty
    /// before the first start of a server that keeps a lineage.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn history(&mut self) -> Result<String> {
        let row = sqlx::query(
            "SELECT id FROM lineage WHERE kind = $1 OR seq = (SELECT MIN(seq) FROM lineage) ORDER BY seq DESC LIMIT 1",
        )
        .bind(LineageKind::Confirm.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.map_or_else(|| Ok(String::new()), |row| row.try_get("id").map_err(database))
    }

    /// The whole lineage, from the first entry to the last.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn lineage(&mut self) -> Result<Vec<LineageEntry>> {
        let rows = sqlx::query("SELECT id, kind, total, at FROM lineage ORDER BY seq")
            .fetch_all(self.connection())
            .await
            .map_err(database)?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get("id").map_err(database)?;
                let kind: String = row.try_get("kind").map_err(database)?;
                Ok(LineageEntry {
                    kind: LineageKind::parse(&kind).ok_or_else(|| corrupt("lineage", "kind", &id))?,
                    total: row.try_get("total").map_err(database)?,
                    at: Timestamp::from_millis(row.try_get("at").map_err(database)?),
                    id,
                })
            })
            .collect()
    }
}
