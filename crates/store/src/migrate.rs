//! The schema and its history. Migrations are only ever added; each runs once, in one transaction, under a lock.

use domain::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Row};

use crate::error::database;
use crate::open::{Backend, Store};
use crate::peek::Schema;

const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../migrations/0001_initial.sql")),
    (2, include_str!("../migrations/0002_unfinished_states.sql")),
    (3, include_str!("../migrations/0003_audit.sql")),
    (4, include_str!("../migrations/0004_leases.sql")),
    (5, include_str!("../migrations/0005_lineage.sql")),
    (6, include_str!("../migrations/0006_cluster_identity.sql")),
    (7, include_str!("../migrations/0007_master_key.sql")),
    (8, include_str!("../migrations/0008_directory_revision.sql")),
    (9, include_str!("../migrations/0009_stamp_key.sql")),
    (10, include_str!("../migrations/0010_policies.sql")),
    (11, include_str!("../migrations/0011_signed_requests.sql")),
    (12, include_str!("../migrations/0012_sessions.sql")),
    (13, include_str!("../migrations/0013_directory.sql")),
    (14, include_str!("../migrations/0014_permissions.sql")),
    (15, include_str!("../migrations/0015_custom_roles.sql")),
    (16, include_str!("../migrations/0016_certificates.sql")),
    (17, include_str!("../migrations/0017_activity.sql")),
    (18, include_str!("../migrations/0018_checks.sql")),
    (19, include_str!("../migrations/0019_cluster_standing.sql")),
    (20, include_str!("../migrations/0020_associations.sql")),
    (21, include_str!("../migrations/0021_pod_identity_agents.sql")),
    (22, include_str!("../migrations/0022_vended_sessions.sql")),
    (24, include_str!("../migrations/0024_agent_pairs.sql")),
    (25, include_str!("../migrations/0025_vended_rows.sql")),
];

/// Any fixed number: two servers that start together on one PostgreSQL wait for each other here.
const ADVISORY_LOCK: &str = "SELECT CAST(pg_advisory_xact_lock(7100421997) AS TEXT)";

/// Brings the schema up to date.
pub(crate) async fn migrate(store: &Store) -> Result<()> {
    apply(store, MIGRATIONS).await
}

async fn apply(store: &Store, migrations: &[(i64, &str)]) -> Result<()> {
    let mut tx = store.pool.begin_with(store.backend.begin_write()).await.map_err(database)?;
    if store.backend == Backend::Postgres {
        sqlx::query(ADVISORY_LOCK).execute(&mut *tx).await.map_err(database)?;
    }
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, checksum TEXT NOT NULL)",
    )
    .execute(&mut *tx)
    .await
    .map_err(database)?;
    let rows = sqlx::query("SELECT version, checksum FROM schema_migrations ORDER BY version")
        .fetch_all(&mut *tx)
        .await
        .map_err(database)?;
    let mut applied = Vec::with_capacity(rows.len());
    for row in rows {
        let version: i64 = row.try_get("version").map_err(database)?;
        let checksum: String = row.try_get("checksum").map_err(database)?;
        applied.push((version, checksum));
    }
    check_history(&applied)?;
    for (version, sql) in migrations.iter().skip(applied.len()) {
        for statement in statements(sql) {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await.map_err(database)?;
        }
        sqlx::query("INSERT INTO schema_migrations (version, checksum) VALUES ($1, $2)")
            .bind(*version)
            .bind(checksum(sql))
            .execute(&mut *tx)
            .await
            .map_err(database)?;
    }
    tx.commit().await.map_err(database)
}

/// What a start would do about a database that has these.
pub(crate) fn compare(applied: &[i64]) -> Schema {
    let known: Vec<i64> = MIGRATIONS.iter().map(|(version, _)| *version).collect();
    match applied {
        [] => Schema::None,
        all if all == known => Schema::Current,
        some if known.starts_with(some) => Schema::Older,
        _ => Schema::Newer,
    }
}

/// Refuses a database that a newer program wrote, or whose history is not ours.
fn check_history(applied: &[(i64, String)]) -> Result<()> {
    if applied.len() > MIGRATIONS.len() {
        return Err(Error::conflict(format!(
            "the database has schema {}, this program knows up to {}: start the newer program",
            applied.len(),
            MIGRATIONS.len()
        )));
    }
    for ((version, sql), (found_version, found)) in MIGRATIONS.iter().zip(applied) {
        if version != found_version || checksum(sql) != *found {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("schema {version} of the database is not the one of this program"),
            ));
        }
    }
    Ok(())
}

/// The text of every migration, for tests that compare something with the schema.
#[cfg(test)]
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().map(|(_, sql)| *sql)
}

fn checksum(sql: &str) -> String {
    hex::encode(Sha256::digest(sql.as_bytes()))
}

/// The statements of a migration, without comment lines. No statement of ours has a `;` inside.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.join("\n").split(';').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_program_refuses_a_newer_schema() {
        let mut applied: Vec<(i64, String)> =
            MIGRATIONS.iter().map(|(version, sql)| (*version, checksum(sql))).collect();
        assert!(check_history(&applied).is_ok());
        let versions =
            |applied: &[(i64, String)]| applied.iter().map(|(version, _)| *version).collect::<Vec<_>>();
        assert_eq!(compare(&versions(&applied)), Schema::Current);
        assert_eq!(compare(&versions(&applied)[..1]), Schema::Older);
        assert_eq!(compare(&[]), Schema::None);
        applied.push((99, "later".into()));
        assert_eq!(compare(&versions(&applied)), Schema::Newer);
        assert_eq!(check_history(&applied).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn servers_that_start_together_on_an_older_schema_bring_it_up_to_date_once() {
        let folder = tempfile::tempdir().unwrap();
        let location = crate::Location::File(folder.path().join("old.db"));
        let old = Store::open_unmigrated(&location).await.unwrap();
        apply(&old, &MIGRATIONS[..2]).await.unwrap();
        old.close().await;
        let starts: Vec<_> = (0..6)
            .map(|_| {
                let location = location.clone();
                tokio::spawn(async move { Store::open(&location).await })
            })
            .collect();
        for start in starts {
            let store = start.await.unwrap().unwrap();
            let row = sqlx::query("SELECT COUNT(*) AS n FROM schema_migrations").fetch_one(&store.pool).await;
            assert_eq!(row.unwrap().try_get::<i64, _>("n").unwrap(), MIGRATIONS.len() as i64);
            store.close().await;
        }
    }

    #[test]
    fn a_changed_history_is_refused() {
        assert!(check_history(&[(1, "something else".into())]).is_err());
    }
}
