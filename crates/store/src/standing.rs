//! How a cluster's connection stands, and what was said of the cluster when it was registered.

use domain::{ClusterId, Result, Timestamp};
use sqlx::Row;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// What whoever registered a cluster said of it. It is shown again, and nothing depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Until when its connection is meant to last.
    pub end: Option<Timestamp>,
    /// From where its images are pulled; empty if nobody said.
    pub image_repository: String,
}

/// How a cluster's connection stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Since when it is in its state; `None` if it was never tried.
    pub since: Option<Timestamp>,
    /// The connection, sealed; `None` for a detached cluster.
    pub sealed: Option<String>,
    /// What was said.
    pub declared: Declared,
}

impl ReadTx {
    /// How a cluster's connection stands.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn standing(&mut self, id: &ClusterId) -> Result<Option<Standing>> {
        let row = sqlx::query(
            "SELECT connection_since, sealed_connection, declared_end, image_repository FROM clusters WHERE id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let since: Option<i64> = row.try_get("connection_since").map_err(database)?;
        let end: Option<i64> = row.try_get("declared_end").map_err(database)?;
        Ok(Some(Standing {
            since: since.map(Timestamp::from_millis),
            sealed: row.try_get("sealed_connection").map_err(database)?,
            declared: Declared {
                end: end.map(Timestamp::from_millis),
                image_repository: row.try_get("image_repository").map_err(database)?,
            },
        }))
    }
}

impl WriteTx {
    /// Writes what is said of a cluster; an end that is not said stays as it is, and so does a repository.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn declare(&mut self, id: &ClusterId, declared: &Declared) -> Result<()> {
        sqlx::query(
            "UPDATE clusters SET declared_end = COALESCE($2, declared_end), \
             image_repository = CASE WHEN $3 = '' THEN image_repository ELSE $3 END WHERE id = $1",
        )
        .bind(id.as_str())
        .bind(declared.end.map(Timestamp::as_millis))
        .bind(declared.image_repository.as_str())
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}
