//! Beginning a transaction of the database, whoever waits for it.

use domain::{Error, Result};
use sqlx::{Any, SqlSafeStr, Transaction};

use crate::error::database;
use crate::open::{Backend, Store};

impl Store {
    /// A transaction that this statement begins.
    ///
    /// On PostgreSQL it begins in a task of its own: where a request is given up in between, the driver would put the
    /// connection back with a transaction open of which nobody knows. Whatever came next on it would be part of that, and
    /// fail, or never be committed.
    pub(crate) async fn begin(&self, statement: &'static str) -> Result<Transaction<'static, Any>> {
        match self.backend {
            Backend::Sqlite => self.pool.begin_with(statement).await.map_err(database),
            Backend::Postgres => {
                let connection = self.pool.acquire().await.map_err(database)?;
                let begins = Transaction::begin(connection, Some(statement.into_sql_str()));
                tokio::spawn(begins).await.map_err(Error::internal)?.map_err(database)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use crate::testing::{databases, execute, number};

    #[tokio::test]
    async fn who_gives_up_while_a_transaction_begins_leaves_none_open() {
        for database in databases().await {
            let store = database.open().await;
            execute(&store, "CREATE TABLE notes (id BIGINT PRIMARY KEY)").await;
            for _ in 0..20 {
                // The first look sends it off; who is not answered by then gives up.
                drop(pin!(store.read()).poll(&mut Context::from_waker(Waker::noop())));
            }
            let other = database.open().await;
            // More often than there are connections.
            for id in 0..40 {
                execute(&store, &format!("INSERT INTO notes VALUES ({id})")).await;
                let seen = number(&other, "SELECT COUNT(*) FROM notes").await;
                assert_eq!(seen, id + 1, "{}", database.name());
            }
        }
    }
}
