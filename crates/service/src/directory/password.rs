//! Passwords: argon2id, on one thread of its own.
//!
//! One thread, because hashing is dear on purpose and logins must not starve everything else; and because 19 MiB are
//! touched each time: on one thread the allocator gives the same memory again, on a pool every thread would keep its
//! own.

use std::collections::HashMap;
use std::sync::mpsc::{self, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use domain::{AccountId, Entropy, Error, ErrorKind, Result, Secret};
use tokio::sync::oneshot;

use crate::abuse;

/// The shortest password that may be set.
pub(crate) const MIN_LENGTH: usize = 8;
/// The longest: hashing time grows with the length.
pub(crate) const MAX_LENGTH: usize = 128;

/// So many may wait; at some 25 ms each, more would wait longer than they have time.
const MAX_WAITING: usize = 64;

/// So many of one source, or for one account: it takes eight that flood to leave no room for others.
const MAX_WAITING_OF_ONE: usize = MAX_WAITING / 8;

type Job = Box<dyn FnOnce() + Send>;

/// Hashes and verifies, one at a time.
pub(crate) struct Passwords {
    jobs: mpsc::SyncSender<Job>,
    /// The salt of a password that nobody has. It is hashed when there is no such user, so that the answer takes as
    /// long.
    nobody: [u8; 16],
    waiting: Waiting,
}

/// Whose work waits in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Asker {
    /// A login, of whoever it may be: only the source is sure.
    Source(u128),
    /// A new password, set by somebody who may.
    Account(AccountId),
}

/// How much of each waits. Who has nothing there is not in it, so it is as bounded as the queue.
type Waiting = Arc<Mutex<HashMap<Asker, usize>>>;

/// A place in the queue, free again when it is dropped.
struct Place {
    asker: Asker,
    waiting: Waiting,
}

impl Place {
    fn take(waiting: &Waiting, asker: Asker) -> Result<Self> {
        let mut counts = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(asker.clone()).or_default();
        if *count >= MAX_WAITING_OF_ONE {
            let message = match asker {
                Asker::Source(_) => "too many logins at once from your address; try again",
                Asker::Account(_) => "too many new passwords at once in your account; try again",
            };
            return Err(Error::new(ErrorKind::Limited, message));
        }
        *count += 1;
        Ok(Self { asker, waiting: Arc::clone(waiting) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.asker) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.asker);
            }
        }
    }
}

impl Passwords {
    /// Starts the thread; it ends with this value.
    pub(crate) fn new(entropy: &dyn Entropy) -> Result<Self> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(MAX_WAITING);
        let work = move || queue.into_iter().for_each(|job| job());
        std::thread::Builder::new().name("passwords".to_owned()).spawn(work).map_err(Error::internal)?;
        Ok(Self { jobs, nobody: domain::entropy::bytes(entropy), waiting: Waiting::default() })
    }

    /// The hash to store for a new password of somebody in that account.
    pub(crate) async fn hash(
        &self,
        entropy: &dyn Entropy,
        password: &Secret,
        account: &AccountId,
    ) -> Result<String> {
        let (password, salt) = (password.clone(), domain::entropy::bytes(entropy));
        self.run(Asker::Account(account.clone()), move || hash(&password, salt)).await?
    }

    /// Whether `password` is the one that `stored` was made of. Takes as long where there is none.
    pub(crate) async fn verify(
        &self,
        stored: Option<String>,
        password: &Secret,
        source: &str,
    ) -> Result<bool> {
        if password.expose().len() > MAX_LENGTH {
            return Ok(false);
        }
        let (password, salt) = (password.clone(), self.nobody);
        let asker = Asker::Source(abuse::network_of(source));
        self.run(asker, move || match stored {
            Some(stored) => verify(&stored, &password),
            None => hash(&password, salt).map(|_| false),
        })
        .await?
    }

    async fn run<T: Send + 'static>(
        &self,
        asker: Asker,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let place = Place::take(&self.waiting, asker)?;
        let (done, outcome) = oneshot::channel();
        let job = move || {
            // Whoever asked may have gone; then nobody wants the outcome.
            let outcome = (!done.is_closed()).then(work);
            // The place goes along: whoever hangs up leaves the work in the queue. It is free before anybody is told.
            drop(place);
            outcome.map(|outcome| done.send(outcome));
        };
        self.jobs.try_send(Box::new(job)).map_err(|error| match error {
            TrySendError::Full(_) => Error::new(ErrorKind::Limited, "too many logins at once; try again"),
            TrySendError::Disconnected(_) => Error::internal("the password thread ended"),
        })?;
        outcome.await.map_err(Error::internal)
    }
}

/// Accepts a password's length.
pub(crate) fn check(field: &str, password: &Secret) -> Result<()> {
    if (MIN_LENGTH..=MAX_LENGTH).contains(&password.expose().len()) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must be {MIN_LENGTH} to {MAX_LENGTH} bytes long")))
}

/// Hashes on the calling thread; for commands that have nothing else to do.
pub(crate) fn hash(password: &Secret, salt: [u8; 16]) -> Result<String> {
    Argon2::default()
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| Error::internal(error.to_string()))
}

fn verify(stored: &str, password: &Secret) -> Result<bool> {
    let parsed = PasswordHash::new(stored).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Argon2::default().verify_password(password.expose().as_bytes(), &parsed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::entropy::Fixed;

    #[tokio::test]
    async fn only_the_password_that_was_hashed_verifies() {
        let entropy = Fixed::new(3);
        let passwords = Passwords::new(&entropy).unwrap();
        let right = Secret::new("correct horse".into());
        let account = AccountId::parse("account", "a").unwrap();
        let stored = passwords.hash(&entropy, &right, &account).await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(passwords.verify(Some(stored.clone()), &right, "s").await.unwrap());
        assert!(!passwords.verify(Some(stored), &Secret::new("wrong".into()), "s").await.unwrap());
        assert!(!passwords.verify(None, &right, "s").await.unwrap(), "no such user");
    }

    fn refused<T>(outcomes: &[Result<T>]) -> usize {
        let limited = |outcome: &&Result<T>| outcome.as_ref().is_err_and(|e| e.kind() == ErrorKind::Limited);
        outcomes.iter().filter(limited).count()
    }

    #[tokio::test]
    async fn sources_that_flood_leave_room_for_logins_from_elsewhere() {
        let passwords = Passwords::new(&Fixed::new(3)).unwrap();
        let sources: Vec<String> = (1..=7).map(|n| format!("192.0.2.{n}")).collect();
        let password = Secret::new("a guess, or not".into());
        let flood = |source: &'_ String| (0..MAX_WAITING).map(|_| source.clone()).collect::<Vec<_>>();
        let flood: Vec<String> = sources.iter().flat_map(flood).collect();
        let guesses = flood.iter().map(|source| passwords.verify(None, &password, source));
        let login = passwords.verify(None, &password, "192.0.2.200");
        let (guesses, login) = futures::join!(futures::future::join_all(guesses), login);
        assert!(login.is_ok());
        assert!(refused(&guesses) > 0);
        assert!(passwords.waiting.lock().unwrap().is_empty(), "places are given back");
    }

    #[tokio::test]
    async fn an_account_that_sets_many_passwords_leaves_room_for_logins_and_other_accounts() {
        let entropy = Fixed::new(3);
        let passwords = Passwords::new(&entropy).unwrap();
        let [busy, other] = ["busy", "other"].map(|id| AccountId::parse("account", id).unwrap());
        let password = Secret::new("correct horse".into());
        let new = (0..MAX_WAITING).map(|_| passwords.hash(&entropy, &password, &busy));
        let (new, login, elsewhere) = futures::join!(
            futures::future::join_all(new),
            passwords.verify(None, &password, "192.0.2.1"),
            passwords.hash(&entropy, &password, &other)
        );
        assert!(login.is_ok() && elsewhere.is_ok());
        assert!(refused(&new) > 0);
    }

    #[test]
    fn nobody_takes_more_than_an_eighth_of_the_queue() {
        let waiting = Waiting::default();
        let account = |id| Asker::Account(AccountId::parse("account", id).unwrap());
        for asker in [Asker::Source(1), Asker::Source(2), account("a"), account("b")] {
            let take = || Place::take(&waiting, asker.clone());
            let places: Vec<Place> = (0..MAX_WAITING / 8).map(|_| take().unwrap()).collect();
            assert_eq!(take().err().map(|error| error.kind()), Some(ErrorKind::Limited), "{asker:?}");
            drop(places);
            assert!(take().is_ok(), "{asker:?}");
        }
    }
}
