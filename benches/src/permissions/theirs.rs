//! The peer: one flat table in PostgreSQL that holds the answer's rows as they are, an index that holds all of a row in
//! the answer's order, and one prepared statement that builds the JSON. No request, no signature, no right is checked, and
//! the rows of groups are written out for each member beforehand: the best case for it.

use std::io;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row as _};
use tokio::runtime::Runtime;

use super::seed::{self, Holder};
use crate::process;

const TABLE: &str = "CREATE TABLE permissions (principal_id TEXT NOT NULL, resource_id TEXT NOT NULL, \
     resource_type TEXT NOT NULL, role_name TEXT NOT NULL, role_type TEXT NOT NULL, is_owner INTEGER NOT NULL, \
     is_ram_role INTEGER NOT NULL)";

/// After the rows are there.
const READY: [&str; 2] = [
    "CREATE INDEX permissions_by_principal ON permissions (principal_id, resource_id, role_type) \
     INCLUDE (resource_type, role_name, is_owner, is_ram_role)",
    "VACUUM ANALYZE permissions",
];

const STATEMENT: &str = "SELECT coalesce(json_agg(p), '[]')::text FROM (SELECT resource_id, resource_type, role_name, \
     role_type, is_owner, is_ram_role FROM permissions WHERE principal_id = $1 ORDER BY resource_id, role_type) p";

/// A connection to the table, by a client on the thread that calls it, and the process that serves it.
pub struct Peer {
    runtime: Runtime,
    connection: PgConnection,
    backend: i32,
}

impl Peer {
    /// Connects.
    pub fn connect(url: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connected = async {
            let mut connection = PgConnection::connect(url).await?;
            // Its planner would rather sort the rows than read the index in its order, which is a tenth faster.
            sqlx::query("SET enable_bitmapscan = off").execute(&mut connection).await?;
            let row = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
            Ok::<_, sqlx::Error>((row.try_get(0)?, connection))
        };
        let (backend, connection) = runtime.block_on(connected).map_err(io::Error::other)?;
        Ok(Self { runtime, connection, backend })
    }

    /// The rows of a user as JSON. The statement is prepared by the first call and kept by the connection.
    pub fn list(&mut self, user: &str) -> io::Result<String> {
        let asked = async {
            let row = sqlx::query(STATEMENT).bind(user).fetch_one(&mut self.connection).await?;
            row.try_get(0)
        };
        self.runtime.block_on(asked).map_err(io::Error::other)
    }

    /// Microseconds of a list, of the backend's processor time and of the client's.
    pub fn round(&mut self, user: &str, count: u32) -> io::Result<(f64, f64)> {
        let backend = format!("/proc/{}/schedstat", self.backend);
        let (server, client) = (process::on_processor(&backend)?, process::on_processor(process::THREAD)?);
        for _ in 0..count {
            std::hint::black_box(self.list(user)?);
        }
        let each = |from: f64, to: f64| (to - from) / f64::from(count) / 1000.0;
        Ok((
            each(server, process::on_processor(&backend)?),
            each(client, process::on_processor(process::THREAD)?),
        ))
    }
}

/// Fills an empty database.
pub async fn fill(url: &str) -> io::Result<()> {
    let mut connection = PgConnection::connect(url).await.map_err(io::Error::other)?;
    sqlx::query(TABLE).execute(&mut connection).await.map_err(io::Error::other)?;
    let mut copy = connection.copy_in_raw("COPY permissions FROM STDIN").await.map_err(io::Error::other)?;
    let mut text = String::new();
    for grant in seed::grants() {
        match grant.holder {
            Holder::User(_) | Holder::Administrator => line(&mut text, &grant.holder.id(), &grant.row()),
            Holder::Group => {
                (0..seed::HEAVY).for_each(|number| line(&mut text, &seed::user(number), &grant.row()));
            }
        }
        if text.len() > 1_000_000 {
            copy.send(std::mem::take(&mut text).into_bytes()).await.map_err(io::Error::other)?;
        }
    }
    copy.send(text.into_bytes()).await.map_err(io::Error::other)?;
    copy.finish().await.map_err(io::Error::other)?;
    for statement in READY {
        sqlx::query(statement).execute(&mut connection).await.map_err(io::Error::other)?;
    }
    connection.close().await.map_err(io::Error::other)
}

fn line(text: &mut String, user: &str, row: &seed::Row) {
    let seed::Row { resource_id, resource_type, role_name, role_type, is_owner, is_ram_role } = row;
    let columns = [
        user,
        resource_id,
        resource_type,
        role_name,
        role_type,
        &is_owner.to_string(),
        &is_ram_role.to_string(),
    ];
    text.push_str(&columns.join("\t"));
    text.push('\n');
}
