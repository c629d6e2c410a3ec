//! Transactions: reads that see one state, writes that hold their account's lock.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use domain::{AccountId, Error, Result, Timestamp};
use sqlx::{Any, AnyConnection, Row, Transaction};
use tokio::time::timeout;

use crate::error::database;
use crate::group;
use crate::open::{Backend, Store};
use crate::turns::Turn;

/// How long a writer waits for its turn. A database that answers so slowly does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A transaction in which all reads see the same state.
pub struct ReadTx {
    inner: Transaction<'static, Any>,
}

/// A transaction that holds the write lock of one account. Dropped without [`WriteTx::commit`], it did nothing. Those who
/// wait share one transaction of the database; of that nothing is seen here.
pub struct WriteTx {
    turn: Turn,
    account: AccountId,
    revision: i64,
    touches: Touches,
    /// The last commit that changed more than grants, where it is known.
    directory: Option<i64>,
    ends_sessions: bool,
}

/// What a write transaction may change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touches {
    Everything,
    Grants,
}

/// How far an account has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRevision {
    /// The tenant.
    pub account: AccountId,
    /// The number of its last commit.
    pub latest: i64,
    /// The number of the last one that changed more than grants.
    pub directory: i64,
}

/// Where a page of a list begins and how long it may be. Lists are ordered by (creation time, id).
#[derive(Clone, Debug)]
pub struct Page {
    /// Only entries after this (creation time, id).
    pub after: Option<(Timestamp, String)>,
    /// At most so many.
    pub limit: i64,
}

impl Page {
    pub(crate) fn after_millis(&self) -> i64 {
        self.after.as_ref().map_or(i64::MIN, |(at, _)| at.as_millis())
    }

    pub(crate) fn after_id(&self) -> String {
        self.after.as_ref().map_or(String::new(), |(_, id)| id.clone())
    }
}

impl Store {
    /// Begins reading.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn read(&self) -> Result<ReadTx> {
        self.begin_with(self.backend.begin_read()).await
    }

    pub(crate) async fn begin_with(&self, statement: &'static str) -> Result<ReadTx> {
        Ok(ReadTx { inner: self.begin(statement).await? })
    }

    /// Begins changing something of `account`, waiting for other writers of it.
    ///
    /// # Errors
    /// `NotFound` if there is no such account; `Unavailable` if the database does not answer.
    pub async fn write(&self, account: &AccountId) -> Result<WriteTx> {
        let sql = "UPDATE revision SET n = n + 1, directory = n + 1 WHERE account_id = $1 RETURNING n";
        self.write_numbered(account, sql).await
    }

    /// The same for a change of nothing but grants: what is kept in memory about the account's callers stays good.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_grants(&self, account: &AccountId) -> Result<WriteTx> {
        let sql = "UPDATE revision SET n = n + 1 WHERE account_id = $1 RETURNING n, directory";
        let mut tx = self.write_numbered(account, sql).await?;
        tx.touches = Touches::Grants;
        Ok(tx)
    }

    /// Begins adding sessions that are no change of the account: nothing that is kept in memory about it is out of date
    /// afterwards, so the commit has no number. Nobody else writes in the account meanwhile.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_sessions(&self, account: &AccountId) -> Result<WriteTx> {
        let mut tx = self.begin_write(account, 0).await?;
        let row = sqlx::query(self.backend.locked_directory())
            .bind(account.as_str())
            .fetch_optional(tx.connection())
            .await
            .map_err(database)?
            .ok_or_else(|| Error::not_found("account", account.as_str()))?;
        tx.directory = Some(row.try_get("directory").map_err(database)?);
        tx.touches = Touches::Grants;
        tx.turn.locked();
        Ok(tx)
    }

    async fn write_numbered(&self, account: &AccountId, sql: &'static str) -> Result<WriteTx> {
        let mut tx = self.begin_write(account, 0).await?;
        let row = sqlx::query(sql)
            .bind(account.as_str())
            .fetch_optional(tx.connection())
            .await
            .map_err(database)?
            .ok_or_else(|| Error::not_found("account", account.as_str()))?;
        tx.revision = row.try_get("n").map_err(database)?;
        tx.directory = row.try_get("directory").ok();
        tx.turn.locked();
        Ok(tx)
    }

    /// Begins writing what a cluster's worker saw. It is not a change of the account: no revision, because one worker at
    /// a time writes about a cluster. The account's lock is held nevertheless: writers who share a transaction would
    /// otherwise take rows in an order in which they could wait for each other for ever.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn write_observed(&self, account: &AccountId) -> Result<WriteTx> {
        let mut tx = self.begin_write(account, 0).await?;
        if let (Some(lock), false) = (self.backend.lock(), tx.turn.is_locked()) {
            sqlx::query(lock).bind(account.as_str()).execute(tx.connection()).await.map_err(database)?;
            tx.turn.locked();
        }
        Ok(tx)
    }

    pub(crate) async fn begin_write(&self, account: &AccountId, revision: i64) -> Result<WriteTx> {
        let lane = match self.backend {
            Backend::Sqlite => AccountId::stored(""),
            Backend::Postgres => account.clone(),
        };
        let too_late = |_| Error::unavailable("too much is being written; try again", "no turn in time");
        let mut turn = timeout(PATIENCE, self.lanes.turn(lane, account)).await.map_err(too_late)?;
        group::enter(self, &mut turn).await?;
        Ok(WriteTx {
            turn,
            account: account.clone(),
            revision,
            touches: Touches::Everything,
            directory: None,
            ends_sessions: false,
        })
    }

    /// The revision of every account, for servers that share a database and keep copies.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn revisions(&self) -> Result<Vec<AccountRevision>> {
        let rows = sqlx::query("SELECT account_id, n, directory FROM revision WHERE account_id <> ''")
            .fetch_all(&self.pool)
            .await
            .map_err(database)?;
        rows.iter()
            .map(|row| {
                let account: String = row.try_get("account_id").map_err(database)?;
                Ok(AccountRevision {
                    account: AccountId::stored(&account),
                    latest: row.try_get("n").map_err(database)?,
                    directory: row.try_get("directory").map_err(database)?,
                })
            })
            .collect()
    }
}

impl ReadTx {
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    /// The account's revision that this transaction sees.
    ///
    /// # Errors
    /// `NotFound` if there is no such account.
    pub async fn revision(&mut self, account: &AccountId) -> Result<i64> {
        let row = sqlx::query("SELECT n FROM revision WHERE account_id = $1")
            .bind(account.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?
            .ok_or_else(|| Error::not_found("account", account.as_str()))?;
        row.try_get("n").map_err(database)
    }

    /// Ends reading and gives the connection back.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end(self) -> Result<()> {
        self.inner.rollback().await.map_err(database)
    }

    pub(crate) async fn commit(self) -> Result<()> {
        self.inner.commit().await.map_err(database)
    }
}

impl WriteTx {
    /// The account's last commit that changed more than grants; `None` if this one does.
    #[must_use]
    pub fn directory(&self) -> Option<i64> {
        self.directory
    }

    /// The account whose lock is held.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The number that this commit has among the account's commits; 0 if it has none.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Whether what is kept in memory about the account's callers is out of date after the commit.
    #[must_use]
    pub fn changes_directory(&self) -> bool {
        self.touches == Touches::Everything
    }

    /// Whether what somebody or something began was ended: certificates may have ended with it.
    #[must_use]
    pub fn ends_sessions(&self) -> bool {
        self.ends_sessions
    }

    /// Notes that it was.
    pub(crate) fn note_ended(&mut self) {
        self.ends_sessions = true;
    }

    /// Makes the changes durable. If this future is dropped, they become so nevertheless.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer: whether the change was made is then unknown.
    pub async fn commit(self) -> Result<()> {
        group::settle(self.turn).await
    }

    /// Takes `id` for good: no other thing of this `space` gets it, even after this one is gone.
    ///
    /// # Errors
    /// `Conflict` naming `noun` if the id was ever given.
    pub(crate) async fn take_id(&mut self, space: &str, noun: &str, id: &str) -> Result<()> {
        let result = sqlx::query("INSERT INTO used_ids (space, id) VALUES ($1, $2)")
            .bind(space)
            .bind(id)
            .execute(self.connection())
            .await;
        crate::error::unless_taken(result, || {
            Error::conflict(format!("the {noun} id `{id}` is or was in use; ids are never given again"))
        })?;
        Ok(())
    }
}

impl Deref for WriteTx {
    type Target = ReadTx;

    fn deref(&self) -> &ReadTx {
        self.turn.read()
    }
}

impl DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut ReadTx {
        self.turn.read_mut()
    }
}
