//! Databases for tests: a SQLite file always, and a database on a PostgreSQL server where the feature
//! `postgres-tests` asks for it. A suite that is written over [`databases`] runs unchanged on both.

use sqlx::{AnyPool, AssertSqlSafe, Row};
use tempfile::TempDir;

use crate::{Location, Store};

/// An empty database that lives as long as this value.
pub struct TestDatabase {
    /// Where it is.
    pub location: Location,
    folder: TempDir,
}

impl TestDatabase {
    /// Opens it, as a server would.
    ///
    /// # Panics
    /// If it cannot be opened: the test cannot go on.
    #[expect(clippy::expect_used, reason = "a test that has no database must fail here")]
    pub async fn open(&self) -> Store {
        Store::open(&self.location).await.expect("the test database opens")
    }

    /// What to call it in a failure: `SQLite` or `PostgreSQL`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.location {
            Location::File(_) => "SQLite",
            Location::Postgres(_) => "PostgreSQL",
        }
    }

    /// A folder of the test's own.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// Empty databases of every kind that this build tests.
///
/// # Panics
/// If the feature `postgres-tests` is on and `BAILIWICK_TEST_POSTGRES` names no server.
pub async fn databases() -> Vec<TestDatabase> {
    let mut databases = vec![embedded()];
    if cfg!(feature = "postgres-tests") {
        databases.push(postgres().await);
    }
    databases
}

/// An empty SQLite database, for tests of what lies above the database.
///
/// # Panics
/// If there is no place for temporary files.
#[must_use]
#[expect(clippy::expect_used, reason = "a test that has no database must fail here")]
pub fn embedded() -> TestDatabase {
    let folder = TempDir::new().expect("a temporary folder");
    let location = Location::File(folder.path().join("test.db"));
    TestDatabase { location, folder }
}

#[expect(clippy::expect_used, reason = "a test that has no database must fail here")]
#[expect(clippy::disallowed_methods, reason = "the test's runner says where its server is")]
async fn postgres() -> TestDatabase {
    let server = std::env::var("BAILIWICK_TEST_POSTGRES")
        .expect("BAILIWICK_TEST_POSTGRES must be a URL like postgres://user@host:port/database");
    let folder = TempDir::new().expect("a temporary folder");
    let unique: String = folder
        .path()
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_lowercase();
    sqlx::any::install_default_drivers();
    let authority = server.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
    let base = format!("postgres://{authority}");
    let pool = AnyPool::connect(&server).await.expect("the PostgreSQL server answers");
    let create = format!("CREATE DATABASE test_{unique}");
    sqlx::query(AssertSqlSafe(create)).execute(&pool).await.expect("a database can be made");
    pool.close().await;
    TestDatabase { location: Location::Postgres(format!("{base}/test_{unique}")), folder }
}

/// Runs a statement past every rule, as a thief or a careless operator would.
///
/// # Panics
/// If the statement fails.
#[expect(clippy::expect_used, reason = "a test's own statement must run")]
pub async fn execute(store: &Store, sql: &str) {
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&store.pool).await.expect("the test's statement runs");
}

/// The first column of the first row, as text.
///
/// # Panics
/// If there is none.
#[expect(clippy::expect_used, reason = "a test's own statement must run")]
pub async fn text(store: &Store, sql: &str) -> String {
    let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&store.pool).await.expect("a row");
    row.try_get::<String, _>(0).expect("a text")
}

/// The first column of the first row, as a number.
///
/// # Panics
/// If there is none.
#[expect(clippy::expect_used, reason = "a test's own statement must run")]
pub async fn number(store: &Store, sql: &str) -> i64 {
    let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&store.pool).await.expect("a row");
    row.try_get::<i64, _>(0).expect("a number")
}
