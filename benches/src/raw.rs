//! The peer of writes: the rows of one grant, inserted by the same driver with the same durability and nothing around
//! it. Who waits is written in one transaction with others who wait, as the server does it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::any::AnyConnectOptions;
use sqlx::{Any, AnyConnection, ConnectOptions, Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

/// At most so many share a commit.
const MOST: usize = 64;

type Waiting = oneshot::Sender<()>;

/// A database with the server's schema, and one connection that writes.
pub struct Raw {
    requests: mpsc::UnboundedSender<Waiting>,
}

/// Whose grants are inserted.
#[derive(Clone)]
pub struct Owner {
    /// The account, which must be in the database.
    pub account: String,
    /// The user, who must be in the database.
    pub user: String,
}

impl Raw {
    /// Opens a database that the server made.
    pub async fn open(url: &str, owner: Owner) -> io::Result<Self> {
        sqlx::any::install_default_drivers();
        let options: AnyConnectOptions = url.parse().map_err(io::Error::other)?;
        let mut connection = options.connect().await.map_err(io::Error::other)?;
        let begin = if url.starts_with("sqlite") {
            for pragma in ["journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"] {
                let pragma = sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"));
                sqlx::query(pragma).execute(&mut connection).await.map_err(io::Error::other)?;
            }
            "BEGIN IMMEDIATE"
        } else {
            "BEGIN"
        };
        let (requests, waiting) = mpsc::unbounded_channel();
        tokio::spawn(write(connection, begin, owner, waiting));
        Ok(Self { requests })
    }

    /// `total` grants by `writers` who each wait until theirs is durable.
    pub async fn many(&self, writers: usize, total: usize) -> io::Result<()> {
        let mut tasks = Vec::with_capacity(writers);
        for _ in 0..writers {
            let requests = self.requests.clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..total / writers {
                    let (done, durable) = oneshot::channel();
                    requests.send(done).map_err(io::Error::other)?;
                    durable.await.map_err(io::Error::other)?;
                }
                Ok::<_, io::Error>(())
            }));
        }
        for task in tasks {
            task.await.map_err(io::Error::other)??;
        }
        Ok(())
    }
}

async fn write(
    mut connection: AnyConnection,
    begin: &'static str,
    owner: Owner,
    mut waiting: mpsc::UnboundedReceiver<Waiting>,
) -> io::Result<()> {
    let mut group = Vec::new();
    while waiting.recv_many(&mut group, 1).await > 0 {
        let mut transaction = connection.begin_with(begin).await.map_err(io::Error::other)?;
        let mut written = 0;
        // Who comes while others are written joins them.
        while written < group.len() {
            insert(&mut transaction, &owner).await.map_err(io::Error::other)?;
            written += 1;
            while group.len() < MOST
                && let Ok(more) = waiting.try_recv()
            {
                group.push(more);
            }
        }
        transaction.commit().await.map_err(io::Error::other)?;
        for done in group.drain(..) {
            // The round is over: nobody waits.
            let _ = done.send(());
        }
    }
    Ok(())
}

/// What the server stores of a grant to one user in two namespaces of all clusters.
async fn insert(transaction: &mut Transaction<'_, Any>, owner: &Owner) -> sqlx::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let id = format!("{number:016x}-0000-4000-8000-{:012x}", number >> 20);
    let now = 1_795_293_660_000_i64;
    let connection = &mut **transaction;
    sqlx::query("UPDATE revision SET n = n + 1 WHERE account_id = $1 RETURNING n")
        .bind(&owner.account)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO used_ids (space, id) VALUES ($1, $2)")
        .bind("grant")
        .bind(&id)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO grants (id, account_id, name, role, principal_kind, all_clusters, all_namespaces, generation, \
         created_at, updated_at) VALUES ($1, $2, 'load', 'viewer', 'user', 1, 0, 1, $3, $3)",
    )
    .bind(&id)
    .bind(&owner.account)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    sqlx::query("INSERT INTO grant_principals (grant_id, ordinal, principal_id) VALUES ($1, $2, $3)")
        .bind(&id)
        .bind(0_i64)
        .bind(&owner.user)
        .execute(&mut *connection)
        .await?;
    for (ordinal, namespace) in [(0_i64, "team"), (1, "shared")] {
        sqlx::query("INSERT INTO grant_namespaces (grant_id, ordinal, namespace) VALUES ($1, $2, $3)")
            .bind(&id)
            .bind(ordinal)
            .bind(namespace)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(
        "INSERT INTO audit_events (id, account_id, revision, at, actor_id, actor_name, action, resource, outcome, \
         occurrences, request_id, source) VALUES ($1, $2, 1, $3, $4, $4, 'bailiwick:grant:create', $1, 'done', 1, $1, \
         '127.0.0.1')",
    )
    .bind(&id)
    .bind(&owner.account)
    .bind(now)
    .bind(&owner.user)
    .execute(&mut *connection)
    .await?;
    Ok(())
}
