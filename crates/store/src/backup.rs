//! Copies of a SQLite file while it is in use, and what a copy says about itself. PostgreSQL has tools of its own.

use std::path::Path;

use domain::{Error, InstallationId, Result};
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Row};

use crate::error::database;
use crate::open::{Backend, Store};
use crate::transaction::ReadTx;

/// What a database says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFacts {
    /// The installation.
    pub installation: InstallationId,
    /// The master key that opens its secrets.
    pub master_key_id: String,
    /// The latest migration.
    pub schema: i64,
    /// The latest entry of its lineage; empty if it has none.
    pub lineage: String,
    /// The number of commits of all accounts together.
    pub sum: i64,
}

impl Store {
    /// Copies the whole database, as it is at one instant, into `target`: an empty file, or none. Others go on
    /// reading and writing meanwhile.
    ///
    /// # Errors
    /// `Invalid` on PostgreSQL; `Unavailable` or `Internal` if the copy cannot be made.
    pub async fn copy_into(&self, target: &Path) -> Result<()> {
        if self.backend == Backend::Postgres {
            return Err(Error::invalid("database", "PostgreSQL is backed up with its own tools"));
        }
        sqlx::query("VACUUM INTO $1")
            .bind(text(target)?.to_owned())
            .execute(&self.pool)
            .await
            .map_err(database)?;
        Ok(())
    }

    /// What this database says about itself, in one snapshot.
    ///
    /// # Errors
    /// `Conflict` if it is not a database of ours.
    pub async fn facts(&self) -> Result<BackupFacts> {
        facts(&mut self.read().await?).await
    }

    /// What a SQLite file says about itself. Nothing is written, not beside it either.
    ///
    /// # Errors
    /// `Conflict` if it is not a database of ours.
    pub async fn facts_of_file(path: &Path) -> Result<BackupFacts> {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}?mode=ro&immutable=1", text(path)?);
        let pool = connect(&url).await?;
        let store = Self {
            pool,
            backend: Backend::Sqlite,
            lanes: std::sync::Arc::default(),
            oldest_shared: std::time::Duration::ZERO,
        };
        let found = store.facts().await;
        store.close().await;
        found
    }

    /// Takes a SQLite file out of use: afterwards it is one file, and nothing of it is elsewhere.
    ///
    /// # Errors
    /// `Conflict` if somebody uses it.
    pub async fn take_out_of_use(path: &Path) -> Result<()> {
        sqlx::any::install_default_drivers();
        let in_use = || {
            let message = format!("{} is in use: stop the server first", path.display());
            Error::conflict(message)
        };
        let pool = connect(&format!("sqlite://{}?mode=rw", text(path)?)).await?;
        // Only who is alone with the file may end its write-ahead log.
        let answer = sqlx::query("PRAGMA journal_mode = DELETE").fetch_one(&pool).await;
        pool.close().await;
        let mode: String = answer.map_err(|_| in_use())?.try_get(0).map_err(database)?;
        if mode == "delete" { Ok(()) } else { Err(in_use()) }
    }
}

async fn connect(url: &str) -> Result<AnyPool> {
    AnyPoolOptions::new().max_connections(1).connect(url).await.map_err(database)
}

fn text(path: &Path) -> Result<&str> {
    let text = path.to_str().ok_or_else(|| Error::invalid("file", "the path must be UTF-8"))?;
    if text.contains(['?', '#', '%']) {
        return Err(Error::invalid("file", "the path must not contain `?`, `#` or `%`"));
    }
    Ok(text)
}

async fn facts(tx: &mut ReadTx) -> Result<BackupFacts> {
    let foreign = |_: Error| Error::conflict("it is not a database of this program");
    let row = sqlx::query("SELECT MAX(version) AS version FROM schema_migrations")
        .fetch_one(tx.connection())
        .await
        .map_err(database)
        .map_err(foreign)?;
    let schema: Option<i64> = row.try_get("version").map_err(database)?;
    let found = tx.installation().await.map_err(foreign)?;
    let installation = found.ok_or_else(|| Error::conflict("the database holds no installation yet"))?;
    // Earlier schemas had no lineage.
    let stamp = match schema {
        Some(5..) => tx.stamp(domain::Timestamp::from_millis(0)).await.map_err(foreign)?,
        Some(_) | None => None,
    };
    Ok(BackupFacts {
        installation: installation.id,
        master_key_id: installation.master_key_id,
        schema: schema.unwrap_or_default(),
        sum: stamp.as_ref().map_or(0, |stamp| stamp.sum),
        lineage: stamp.map(|stamp| stamp.lineage).unwrap_or_default(),
    })
}
