//! The grants, written straight into the database of a server that does not run: a million requests would take longer
//! than everything that is measured.

use std::io;

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::seed::{self, Holder};
use crate::process::Account;

/// Grants in one statement.
const CHUNK: usize = 20_000;

/// What was read from one statement's parameter goes into each table in the order of its key.
const TABLES: [&str; 6] = [
    "INSERT INTO used_ids (space, id) SELECT 'grant', id FROM seed ORDER BY id",
    "INSERT INTO grants (id, account_id, name, role, principal_kind, all_clusters, all_namespaces, generation, created_at, \
     updated_at) SELECT id, account, 'bench', role, kind, 0, namespace IS NULL, 1, at, at FROM seed ORDER BY id",
    "INSERT INTO grant_principals (grant_id, ordinal, principal_id) SELECT id, 0, holder FROM seed ORDER BY id",
    "INSERT INTO grant_clusters (grant_id, ordinal, cluster_id) SELECT id, 0, cluster FROM seed ORDER BY id",
    "INSERT INTO grant_namespaces (grant_id, ordinal, namespace) SELECT id, 0, namespace FROM seed \
     WHERE namespace IS NOT NULL ORDER BY id",
    "INSERT INTO grant_history (grant_id, generation, account_id, revision, at, actor_id, actor_name, role, revoked, spec, \
     sole_principal) SELECT id, 1, account, 1, at, '', '', role, 0, json_object('name', 'bench', 'role', role, 'kind', kind, \
     'principals', json_array(holder), 'clusters', json_array(cluster), 'namespaces', \
     CASE WHEN namespace IS NULL THEN NULL ELSE json_array(namespace) END), holder FROM seed ORDER BY id",
];

/// Writes clusters, people and grants into the database file that a server made.
pub async fn write(file: &std::path::Path, account: &Account) -> io::Result<()> {
    let mut connection =
        SqliteConnectOptions::new().filename(file).connect().await.map_err(io::Error::other)?;
    // Nobody else reads or writes it, and it is made anew for each run.
    for statement in
        ["PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -200000", "BEGIN"]
    {
        run(&mut connection, statement).await?;
    }
    people(&mut connection, account).await?;
    run(
        &mut connection,
        "CREATE TEMP TABLE seed (id TEXT, holder TEXT, kind TEXT, role TEXT, cluster TEXT, namespace TEXT, at BIGINT, account TEXT)",
    )
    .await?;
    let mut chunk = Vec::with_capacity(CHUNK);
    for grant in seed::grants() {
        let kind = match grant.holder {
            Holder::User(_) | Holder::Administrator => "user",
            Holder::Group => "group",
        };
        let at = 1_795_000_000_000_usize + grant.number;
        chunk.push(json!([
            grant.id(),
            grant.holder.id(),
            kind,
            grant.role().0,
            grant.cluster(),
            grant.namespace(),
            at
        ]));
        if chunk.len() == CHUNK {
            stage(&mut connection, account, std::mem::take(&mut chunk)).await?;
        }
    }
    stage(&mut connection, account, chunk).await?;
    for statement in TABLES {
        run(&mut connection, statement).await?;
    }
    run(&mut connection, "COMMIT").await?;
    connection.close().await.map_err(io::Error::other)
}

async fn people(connection: &mut SqliteConnection, account: &Account) -> io::Result<()> {
    let mut people: Vec<_> = (0..seed::users()).map(|number| json!([seed::user(number), "user"])).collect();
    people.push(json!([seed::NOBODY, "user"]));
    people.push(json!([seed::ADMINISTRATOR, "user"]));
    people.push(json!([seed::GROUP, "group"]));
    let clusters: Vec<_> = (0..seed::CLUSTERS).map(seed::cluster).collect();
    let members: Vec<_> = (0..seed::HEAVY).map(seed::user).collect();
    let statements = [
        (
            "INSERT INTO principals (id, account_id, kind, name, enabled, root, created_at) \
             SELECT value ->> 0, $2, value ->> 1, value ->> 0, 1, 0, 0 FROM json_each($1)",
            json!(people),
        ),
        (
            "INSERT INTO clusters (id, account_id, project_id, name, provider, region, connection_version, connection_state, \
             connection_reason, kubernetes_version, created_at, updated_at) SELECT value, $2, \
             (SELECT MIN(id) FROM projects WHERE account_id = $2), value, '', '', 0, 'detached', '', '', 0, 0 FROM json_each($1)",
            json!(clusters),
        ),
        (
            "INSERT INTO memberships (group_id, user_id) SELECT 'bench-group', value FROM json_each($1) WHERE $2 <> ''",
            json!(members),
        ),
    ];
    for (statement, values) in statements {
        sqlx::query(statement)
            .bind(values.to_string())
            .bind(account.account_id)
            .execute(&mut *connection)
            .await
            .map_err(io::Error::other)?;
    }
    Ok(())
}

async fn stage(
    connection: &mut SqliteConnection,
    account: &Account,
    grants: Vec<serde_json::Value>,
) -> io::Result<()> {
    sqlx::query(
        "INSERT INTO seed SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, $2 \
         FROM json_each($1)",
    )
    .bind(serde_json::Value::Array(grants).to_string())
    .bind(account.account_id)
    .execute(connection)
    .await
    .map_err(io::Error::other)?;
    Ok(())
}

async fn run(connection: &mut SqliteConnection, statement: &'static str) -> io::Result<()> {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await.map_err(io::Error::other)?;
    Ok(())
}
