//! Transactions: reads that see one state, writes that hold their account's lock.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use domain::{AccountId, Error, Result, Timestamp};
use sqlx::{Any, AnyConnection, Row, Transaction};
use tokio::sync::OwnedMutexGuard;

use crate::error::database;
use crate::open::{Backend, Store};

/// A transaction in which all reads see the same state.
pub struct ReadTx {
    inner: Transaction<'static, Any>,
}

/// A transaction that holds the write lock of one account. Dropped without [`WriteTx::commit`], it did nothing.
pub struct WriteTx {
    // Before the guard, so that it ends before the next writer begins.
    read: ReadTx,
    _turn: Option<OwnedMutexGuard<()>>,
    account: AccountId,
    revision: i64,
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
        let inner = self.pool.begin_with(self.backend.begin_read()).await.map_err(database)?;
        Ok(ReadTx { inner })
    }

    /// Begins changing something of `account`, waiting for other writers of it.
    ///
    /// # Errors
    /// `NotFound` if there is no such account; `Unavailable` if the database does not answer.
    pub async fn write(&self, account: &AccountId) -> Result<WriteTx> {
        let mut tx = self.begin_write(account, 0).await?;
        let row = sqlx::query("UPDATE revision SET n = n + 1 WHERE account_id = $1 RETURNING n")
            .bind(account.as_str())
            .fetch_optional(tx.connection())
            .await
            .map_err(database)?
            .ok_or_else(|| Error::not_found("account", account.as_str()))?;
        tx.revision = row.try_get("n").map_err(database)?;
        Ok(tx)
    }

    /// Begins writing what a cluster's worker saw. It is not a change of the account: no revision, no lock beyond
    /// the rows, because one worker at a time writes about a cluster.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn write_observed(&self, account: &AccountId) -> Result<WriteTx> {
        self.begin_write(account, 0).await
    }

    pub(crate) async fn begin_write(&self, account: &AccountId, revision: i64) -> Result<WriteTx> {
        let turn = match self.backend {
            Backend::Sqlite => Some(Arc::clone(&self.writer).lock_owned().await),
            Backend::Postgres => None,
        };
        let inner = self.pool.begin_with(self.backend.begin_write()).await.map_err(database)?;
        Ok(WriteTx { read: ReadTx { inner }, _turn: turn, account: account.clone(), revision })
    }

    /// The revision of every account, for servers that share a database and keep copies.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn revisions(&self) -> Result<Vec<(AccountId, i64)>> {
        let rows = sqlx::query("SELECT account_id, n FROM revision WHERE account_id <> ''")
            .fetch_all(&self.pool)
            .await
            .map_err(database)?;
        rows.iter()
            .map(|row| {
                let account: String = row.try_get("account_id").map_err(database)?;
                Ok((AccountId::stored(&account), row.try_get("n").map_err(database)?))
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
}

impl WriteTx {
    /// The account whose lock is held.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The number that this commit has among the account's commits.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Makes the changes durable.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer: whether the change was made is then unknown.
    pub async fn commit(self) -> Result<()> {
        self.read.inner.commit().await.map_err(database)
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
        &self.read
    }
}

impl DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut ReadTx {
        &mut self.read
    }
}
