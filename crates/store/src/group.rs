//! One database transaction for writers who wait for each other: each does its work behind a savepoint, one commit
//! makes all of it durable, and only then each is told so.
//!
//! Who gives up, or whose future is dropped in the middle of a statement, takes back its own work and nobody else's:
//! nothing can be awaited while something is dropped, so the transaction is passed on as it is, and whoever has it next
//! rolls back to the savepoint first. What must not be interrupted (closing one's own part, the commit) runs in a task
//! of its own.

use std::time::Duration;

use domain::{Error, Result};
use sqlx::raw_sql;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::database;
use crate::open::Store;
use crate::transaction::ReadTx;
use crate::turns::Turn;

/// At most so many writers share a commit.
const MOST: usize = 64;
/// Nobody joins a transaction that is older: who came first waits for the work of who came last.
pub(crate) const OLDEST: Duration = Duration::from_millis(20);

/// An open transaction with the work of some writers.
pub(crate) struct Group {
    pub(crate) read: ReadTx,
    /// Whether the lock of the account is held.
    pub(crate) locked: bool,
    /// Those whose work is done and not yet durable.
    members: Vec<oneshot::Sender<Result<()>>>,
    /// When nobody may join any more.
    closes: Instant,
    /// Whether a savepoint stands before the work of who has the turn. The first has nobody's work to protect.
    savepoint: bool,
    /// Whether there may be work of somebody who is no member, yet or any more.
    unsettled: bool,
}

impl Group {
    async fn begin(store: &Store) -> Result<Self> {
        Ok(Self {
            read: store.begin_with(store.backend.begin_write()).await?,
            locked: false,
            members: Vec::new(),
            closes: Instant::now() + store.oldest_shared,
            savepoint: false,
            unsettled: true,
        })
    }

    /// Whether one more may join. Without members there is nothing to join: whoever comes begins anew.
    pub(crate) fn may_grow(&self) -> bool {
        self.members.is_empty() || (self.members.len() < MOST && Instant::now() < self.closes)
    }

    /// Takes back what somebody left who gave up.
    async fn clean(&mut self) -> Result<()> {
        if self.unsettled {
            let back = raw_sql("ROLLBACK TO SAVEPOINT writer").execute(self.read.connection()).await;
            back.map_err(database)?;
            // A lock that was taken after the savepoint went with it.
            self.locked = false;
            self.unsettled = false;
        }
        Ok(())
    }

    /// Puts a savepoint after the work that was just done. PostgreSQL would commit a transaction in which a statement
    /// failed by rolling it back, without an error; here that shows.
    async fn separate(&mut self) -> Result<()> {
        let statements = match self.savepoint {
            true => "RELEASE SAVEPOINT writer; SAVEPOINT writer",
            false => "SAVEPOINT writer",
        };
        raw_sql(statements).execute(self.read.connection()).await.map_err(database)?;
        self.savepoint = true;
        self.unsettled = false;
        Ok(())
    }

    /// The last member's work cannot be kept.
    fn expel(&mut self, error: &Error) {
        self.unsettled = true;
        if let Some(member) = self.members.pop() {
            tell(member, Err(unknown(error)));
        }
    }

    /// Ends the transaction, making the members' work durable, and tells them.
    async fn end(mut self) {
        if self.members.is_empty() {
            // Should this fail, the connection is given up and the database takes back what was done.
            drop(self.read.end().await);
            return;
        }
        let outcome = match self.clean().await {
            Ok(()) => self.read.commit().await,
            Err(error) => Err(error),
        };
        for member in self.members {
            let told = outcome.as_ref().copied().map_err(unknown);
            tell(member, told);
        }
    }
}

/// Whoever gave up while the commit was under way does not hear how it went.
fn tell(member: oneshot::Sender<Result<()>>, outcome: Result<()>) {
    drop(member.send(outcome));
}

fn unknown(cause: &Error) -> Error {
    let public = "the database does not answer; whether the change was made is unknown";
    Error::unavailable(public, format!("{cause:?}"))
}

/// Prepares the transaction of `turn` for who has it now: joins the one that is open, or begins one.
pub(crate) async fn enter(store: &Store, turn: &mut Turn) -> Result<()> {
    if let Some(group) = turn.group.take_if(|group| group.members.is_empty()) {
        // Somebody gave up alone.
        group.read.end().await?;
    }
    if let Some(group) = &mut turn.group {
        if let Err(error) = group.clean().await {
            // With it the members' senders end, which tells them.
            turn.group = None;
            return Err(error);
        }
        group.unsettled = true;
    } else {
        turn.group = Some(Group::begin(store).await?);
    }
    Ok(())
}

/// Takes the work of who has the turn as done, and answers when it is durable. That happens also if this future is
/// dropped.
pub(crate) async fn settle(mut turn: Turn) -> Result<()> {
    let (member, outcome) = oneshot::channel();
    if let Some(group) = &mut turn.group {
        group.members.push(member);
    }
    tokio::spawn(pass_on(turn));
    outcome.await.unwrap_or_else(|ended| Err(unknown(&Error::internal(ended))))
}

/// Hands the transaction to the next writer by dropping the turn, or commits.
async fn pass_on(mut turn: Turn) {
    let wanted = turn.is_wanted();
    let Some(group) = &mut turn.group else { return };
    let goes_on = wanted && group.may_grow();
    if goes_on || group.savepoint {
        if let Err(error) = group.separate().await {
            group.expel(&error);
        }
    } else {
        group.unsettled = false;
    }
    if let Some(group) = turn.group.take_if(|_| !goes_on) {
        end(group, turn).await;
    }
}

/// Ends the transaction, and only then lets the next writer begin: SQLite would let it poll for the lock.
async fn end(group: Group, turn: Turn) {
    group.end().await;
    drop(turn);
}

/// Ends the transaction of a turn that nobody wants. Where no task can run any more the program ends: what was not
/// committed is taken back, and nobody was told otherwise.
pub(crate) fn end_later(group: Group, turn: Turn) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(end(group, turn));
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use domain::{AccountId, ErrorKind};

    use super::*;
    use crate::testing::{TestDatabase, databases, execute, number};
    use crate::transaction::WriteTx;

    /// A store with the account `a` and a table in which a wrong row is found out by the commit alone.
    async fn stores() -> Vec<(TestDatabase, Store)> {
        let mut stores = Vec::new();
        for database in databases().await {
            let mut store = database.open().await;
            // On a busy machine as well, the second finds the first's transaction open.
            store.oldest_shared = Duration::from_secs(60);
            execute(&store, "INSERT INTO revision (account_id, n) VALUES ('a', 0)").await;
            execute(
                &store,
                "CREATE TABLE notes (id TEXT PRIMARY KEY, account_id TEXT REFERENCES accounts (id) \
                 DEFERRABLE INITIALLY DEFERRED)",
            )
            .await;
            stores.push((database, store));
        }
        stores
    }

    fn a() -> AccountId {
        AccountId::stored("a")
    }

    async fn note(tx: &mut WriteTx, id: &str) {
        let sql = "INSERT INTO notes (id) VALUES ($1)";
        sqlx::query(sql).bind(id).execute(tx.connection()).await.unwrap();
    }

    async fn notes(store: &Store) -> i64 {
        number(store, "SELECT COUNT(*) FROM notes").await
    }

    /// Lets a future begin, as a task would; it is not done yet.
    fn begin<F: Future>(future: std::pin::Pin<&mut F>) {
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(future.poll(&mut context), Poll::Pending));
    }

    /// The first of two writers, done but not durable, and the second, who joined its transaction.
    async fn two(store: &Store) -> (tokio::task::JoinHandle<Result<()>>, WriteTx) {
        let mut first = store.write(&a()).await.unwrap();
        let account = a();
        let mut second = pin!(store.write(&account));
        begin(second.as_mut());
        note(&mut first, "first").await;
        let first = tokio::spawn(first.commit());
        let second = second.await.unwrap();
        assert!(!first.is_finished(), "nobody is told before the commit");
        (first, second)
    }

    #[tokio::test]
    async fn writers_who_wait_share_a_commit_and_number_their_changes_one_by_one() {
        for (_database, store) in stores().await {
            let (first, mut second) = two(&store).await;
            assert_eq!(second.revision(), 2);
            assert_eq!(notes(&store).await, 0, "others see nothing of it yet");
            note(&mut second, "second").await;
            second.commit().await.unwrap();
            first.await.unwrap().unwrap();
            assert_eq!(notes(&store).await, 2, "what was acknowledged is seen");
        }
    }

    #[tokio::test]
    async fn who_gives_up_takes_nothing_of_others_along() {
        for (_database, store) in stores().await {
            let (first, mut second) = two(&store).await;
            note(&mut second, "second").await;
            drop(second);
            first.await.unwrap().unwrap();
            assert_eq!(notes(&store).await, 1);
            assert_eq!(number(&store, "SELECT n FROM revision WHERE account_id = 'a'").await, 1);
            assert_eq!(
                store.write(&a()).await.unwrap().revision(),
                2,
                "the next one finds everything in order"
            );
        }
    }

    #[tokio::test]
    async fn a_failed_statement_of_one_is_not_the_others_failure() {
        for (_database, store) in stores().await {
            let (first, mut second) = two(&store).await;
            let sql = "INSERT INTO notes (id) VALUES ('first')";
            assert!(sqlx::query(sql).execute(second.connection()).await.is_err());
            let account = a();
            let mut third = pin!(store.write(&account));
            begin(third.as_mut());
            drop(second);
            let mut third = third.await.unwrap();
            note(&mut third, "third").await;
            third.commit().await.unwrap();
            first.await.unwrap().unwrap();
            assert_eq!(notes(&store).await, 2);
        }
    }

    #[tokio::test]
    async fn who_is_cut_off_within_a_statement_takes_nothing_of_others_along() {
        for (_database, store) in stores().await {
            for _ in 0..20 {
                let (first, mut second) = two(&store).await;
                {
                    let statement = sqlx::query("INSERT INTO notes (id) VALUES ('cut off')");
                    // Mostly the database is at it after this.
                    let mut context = Context::from_waker(Waker::noop());
                    let _ = pin!(statement.execute(second.connection())).poll(&mut context);
                }
                drop(second);
                first.await.unwrap().unwrap();
                assert_eq!(notes(&store).await, 1);
                execute(&store, "DELETE FROM notes").await;
            }
        }
    }

    #[tokio::test]
    async fn who_is_cut_off_while_a_turn_is_on_its_way_does_not_keep_it() {
        for (_database, store) in stores().await {
            let mut first = store.write(&a()).await.unwrap();
            {
                let account = a();
                let mut second = pin!(store.write(&account));
                begin(second.as_mut());
                note(&mut first, "first").await;
                let committed = tokio::spawn(first.commit());
                // The turn is with the second by now, or will be; it never looks.
                tokio::task::yield_now().await;
                drop(committed);
            }
            let mut third = store.write(&a()).await.unwrap();
            note(&mut third, "third").await;
            third.commit().await.unwrap();
            assert_eq!(notes(&store).await, 2, "also the first, whom nobody waits for any more");
        }
    }

    #[tokio::test]
    async fn a_commit_that_fails_fails_for_all_who_share_it() {
        for (_database, store) in stores().await {
            let (first, mut second) = two(&store).await;
            let sql = "INSERT INTO notes (id, account_id) VALUES ('second', 'nobody')";
            sqlx::query(sql).execute(second.connection()).await.unwrap();
            assert_eq!(second.commit().await.unwrap_err().kind(), ErrorKind::Unavailable);
            assert_eq!(first.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
            assert_eq!(notes(&store).await, 0);
            assert_eq!(
                store.write(&a()).await.unwrap().revision(),
                1,
                "the next one finds everything in order"
            );
        }
    }

    #[tokio::test]
    async fn what_failed_and_is_committed_nevertheless_fails_alone() {
        for (_database, store) in stores().await {
            if store.backend.lock().is_none() {
                continue;
            }
            let (first, mut second) = two(&store).await;
            assert!(sqlx::query("SELECT 1 FROM nothing").execute(second.connection()).await.is_err());
            assert!(
                second.commit().await.is_err(),
                "PostgreSQL would roll everything back and say that all is well"
            );
            first.await.unwrap().unwrap();
            assert_eq!(notes(&store).await, 1);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn two_hundred_writers_of_whom_many_give_up_end_with_the_work_of_the_rest() {
        for (_database, store) in stores().await {
            let writers = (0..200).map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    let write = async {
                        let mut tx = store.write(&a()).await?;
                        note(&mut tx, &n.to_string()).await;
                        tx.commit().await
                    };
                    // Each third one is cut off at some point, wherever that is.
                    if n % 3 == 0 {
                        let patience = Duration::from_micros(100 * n);
                        return tokio::time::timeout(patience, write).await.is_ok();
                    }
                    write.await.unwrap();
                    true
                })
            });
            let mut acknowledged = 0;
            for writer in writers.collect::<Vec<_>>() {
                acknowledged += i64::from(writer.await.unwrap());
            }
            // What was under way when its writer was cut off may have been done.
            store.write(&a()).await.unwrap().commit().await.unwrap();
            let done = notes(&store).await;
            assert!(done >= acknowledged && done <= 200, "{done} done, {acknowledged} acknowledged");
            assert_eq!(number(&store, "SELECT n FROM revision WHERE account_id = 'a'").await, done + 1);
        }
    }
}
