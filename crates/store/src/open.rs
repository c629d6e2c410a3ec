//! Opening a database: which kind it is, its pool, its durability settings, its schema.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::{Error, Result};
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Connection, Executor};

use crate::error::database;
use crate::group::OLDEST;
use crate::turns::Lanes;

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file.
    File(PathBuf),
    /// A `postgres://…` URL. It may hold a password: never print it.
    Postgres(String),
}

impl Location {
    /// Reads a database URL: `postgres://…`, `postgresql://…`, `sqlite:PATH` or `sqlite://PATH`.
    ///
    /// # Errors
    /// `Invalid` naming `field` for anything else; the text itself is not repeated, it may hold a password.
    pub fn parse(field: &str, url: &str) -> Result<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        match url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            Some(path) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            _ => Err(Error::invalid(field, "must be `postgres://…` or `sqlite:PATH`")),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "sqlite file {}", path.display()),
            Self::Postgres(_) => f.write_str("postgres"),
        }
    }
}

/// An open database.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: AnyPool,
    pub(crate) backend: Backend,
    /// SQLite has one writer at a time and lets those who wait poll for their turn; PostgreSQL has one for each account.
    /// Both would let each of them hold a connection that readers need. Here they queue up before they ask for one.
    pub(crate) lanes: Arc<Lanes>,
    /// How old a transaction may be that a writer joins.
    pub(crate) oldest_shared: Duration,
}

/// Which database it is, for the six statements that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    /// SQLite must take its write lock at once: a transaction that reads first and writes later fails when another
    /// wrote in between, in spite of the busy time-out.
    pub(crate) fn begin_write(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// Takes an account's lock without changing anything, where a transaction does not lock everything anyway.
    pub(crate) fn lock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT n FROM revision WHERE account_id = $1 FOR NO KEY UPDATE"),
        }
    }

    /// The same, telling the account's last commit that changed more than grants.
    pub(crate) fn locked_directory(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT directory FROM revision WHERE account_id = $1",
            Self::Postgres => "SELECT directory FROM revision WHERE account_id = $1 FOR NO KEY UPDATE",
        }
    }

    /// Forgets service accounts whose time is over. Where others write meanwhile, those that they hold are left for later:
    /// each side could wait for the other.
    pub(crate) fn forget_vended_for(self) -> &'static str {
        match self {
            Self::Sqlite => "DELETE FROM vended_service_accounts WHERE until < $1",
            Self::Postgres => {
                "DELETE FROM vended_service_accounts WHERE (cluster_id, uid) IN (SELECT cluster_id, uid \
                 FROM vended_service_accounts WHERE until < $1 FOR UPDATE SKIP LOCKED)"
            }
        }
    }

    /// All reads of one transaction see one state of the database.
    pub(crate) fn begin_read(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN DEFERRED",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

/// A connection that lay idle for so long proves that it lives before it is used.
const PROOF: Duration = Duration::from_secs(1);

impl Store {
    /// Opens the database, creating a SQLite file where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be reached; `Conflict` if its schema is newer than this program.
    pub async fn open(location: &Location) -> Result<Self> {
        let store = Self::open_unmigrated(location).await?;
        crate::migrate::migrate(&store).await?;
        Ok(store)
    }

    pub(crate) async fn open_unmigrated(location: &Location) -> Result<Self> {
        sqlx::any::install_default_drivers();
        match location {
            Location::File(path) => Self::open_file(path).await,
            Location::Postgres(url) => Self::open_postgres(url).await,
        }
    }

    async fn open_file(path: &Path) -> Result<Self> {
        let text = path.to_str().ok_or_else(|| Error::invalid("database", "the path must be UTF-8"))?;
        if text.contains(['?', '#', '%']) {
            return Err(Error::invalid("database", "the path must not contain `?`, `#` or `%`"));
        }
        let pool = options(8)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // WAL lets readers go on while one writes; FULL makes a commit survive a power cut.
                    connection.execute("PRAGMA journal_mode = WAL").await?;
                    connection.execute("PRAGMA synchronous = FULL").await?;
                    connection.execute("PRAGMA foreign_keys = ON").await?;
                    connection.execute("PRAGMA busy_timeout = 10000").await?;
                    // What a statement would need to take itself back is small, and not worth a file each time.
                    connection.execute("PRAGMA temp_store = MEMORY").await?;
                    // Ends of tables are written again and again: with a longer log less often into the database.
                    connection.execute("PRAGMA wal_autocheckpoint = 4000").await?;
                    Ok(())
                })
            })
            .connect(&format!("sqlite://{text}?mode=rwc"))
            .await
            .map_err(database)?;
        Ok(Self { pool, backend: Backend::Sqlite, lanes: Arc::default(), oldest_shared: OLDEST })
    }

    async fn open_postgres(url: &str) -> Result<Self> {
        let pool = options(16)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // A server that stands still in the middle of a change must not hold up the others for long.
                    connection.execute("SET idle_in_transaction_session_timeout = '10s'").await?;
                    Ok(())
                })
            })
            .connect(url)
            .await
            .map_err(database)?;
        Ok(Self { pool, backend: Backend::Postgres, lanes: Arc::default(), oldest_shared: OLDEST })
    }

    /// Whether other servers may work on this database at the same time. An embedded one is one server's.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.backend == Backend::Postgres
    }

    /// Closes all connections. A SQLite file is left without its write-ahead log.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn options(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        // One that was used a moment ago needs no proof of life; a round trip less for every transaction.
        .test_before_acquire(false)
        .before_acquire(|connection, usage| {
            Box::pin(async move {
                if usage.idle_for >= PROOF {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_with_a_password_is_not_printed() {
        let location = Location::parse("database", "postgres://u:hunter2@db/x").unwrap();
        assert!(!format!("{location:?}").contains("hunter2"));
        let error = Location::parse("database", "mysql://u:hunter2@db/x").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
