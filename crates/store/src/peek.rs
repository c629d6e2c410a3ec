//! Looking at a database without changing anything in it, for whoever wants to know before a server starts.

use std::time::Duration;

use domain::Result;
use sqlx::Row;
use sqlx::any::AnyPoolOptions;

use crate::error::database;
use crate::migrate;
use crate::open::{Backend, Location, Store};
use crate::{Installation, MasterKeyState};

/// What a database says about itself.
#[derive(Debug)]
pub struct Peek {
    /// What a start would do about its schema.
    pub schema: Schema,
    /// What it is; `None` before the first start finished.
    pub installation: Option<Installation>,
    /// Which master keys it needs; `None` before the first start finished, or with an older schema.
    pub master_key: Option<MasterKeyState>,
}

/// What a start would do about a database's schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// There is none: it would be made.
    None,
    /// It is an earlier one: it would be brought up to date.
    Older,
    /// It is the one of this program.
    Current,
    /// It is one that this program does not know: it would refuse.
    Newer,
}

impl Store {
    /// Looks at a database that is there.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be reached.
    pub async fn peek(location: &Location) -> Result<Peek> {
        sqlx::any::install_default_drivers();
        let (url, backend) = match location {
            Location::File(path) => (format!("sqlite://{}?mode=rw", path.display()), Backend::Sqlite),
            Location::Postgres(url) => (url.clone(), Backend::Postgres),
        };
        let options = AnyPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(5));
        let pool = options.connect(&url).await.map_err(database)?;
        let store = Self {
            pool,
            backend,
            lanes: std::sync::Arc::default(),
            oldest_shared: std::time::Duration::ZERO,
        };
        let peek = store.look().await;
        store.close().await;
        peek
    }

    async fn look(&self) -> Result<Peek> {
        let versions =
            sqlx::query("SELECT version FROM schema_migrations ORDER BY version").fetch_all(&self.pool).await;
        let versions = match versions {
            Ok(rows) => rows,
            // The one reason for which a database that answers refuses this: the table is not there.
            Err(error) if error.as_database_error().is_some() => {
                return Ok(Peek { schema: Schema::None, installation: None, master_key: None });
            }
            Err(error) => return Err(database(error)),
        };
        let versions = versions.iter().map(|row| row.try_get::<i64, _>("version"));
        let versions = versions.collect::<std::result::Result<Vec<_>, _>>().map_err(database)?;
        let schema = migrate::compare(&versions);
        let mut tx = self.read().await?;
        let installation = match schema {
            Schema::None | Schema::Newer => None,
            Schema::Older | Schema::Current => tx.installation().await?,
        };
        let master_key = match schema {
            Schema::None | Schema::Older | Schema::Newer => None,
            Schema::Current => tx.master_key_state().await?,
        };
        tx.end().await?;
        Ok(Peek { schema, installation, master_key })
    }
}
