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
use domain::{Entropy, Error, ErrorKind, Result, Secret};
use tokio::sync::oneshot;

use crate::abuse;

/// The shortest password that may be set.
pub(crate) const MIN_LENGTH: usize = 8;
/// The longest: hashing time grows with the length.
pub(crate) const MAX_LENGTH: usize = 128;

/// So many may wait; at some 25 ms each, more would wait longer than they have time.
const MAX_WAITING: usize = 64;

/// So many of one source: whoever floods leaves room for logins from elsewhere.
const MAX_WAITING_OF_SOURCE: usize = MAX_WAITING / 2;

type Job = Box<dyn FnOnce() + Send>;

/// Hashes and verifies, one at a time.
pub(crate) struct Passwords {
    jobs: mpsc::SyncSender<Job>,
    /// The salt of a password that nobody has. It is hashed when there is no such user, so that the answer takes as
    /// long.
    nobody: [u8; 16],
    waiting: Waiting,
}

/// How many logins of each source wait. Sources with none are not in it, so it is as bounded as the queue.
type Waiting = Arc<Mutex<HashMap<u128, usize>>>;

/// A place in the queue for a source, free again when it is dropped.
struct Place {
    source: u128,
    waiting: Waiting,
}

impl Place {
    fn take(waiting: &Waiting, source: &str) -> Result<Self> {
        let source = abuse::network_of(source);
        let mut counts = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        if *count >= MAX_WAITING_OF_SOURCE {
            return Err(Error::new(
                ErrorKind::Limited,
                "too many logins at once from your address; try again",
            ));
        }
        *count += 1;
        Ok(Self { source, waiting: Arc::clone(waiting) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
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

    /// The hash to store for a new password.
    pub(crate) async fn hash(&self, entropy: &dyn Entropy, password: &Secret) -> Result<String> {
        let (password, salt) = (password.clone(), domain::entropy::bytes(entropy));
        self.run(move || hash(&password, salt)).await?
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
        let place = Place::take(&self.waiting, source)?;
        // The place goes along: whoever hangs up leaves the work in the queue.
        self.run(move || {
            let _place = place;
            match stored {
                Some(stored) => verify(&stored, &password),
                None => hash(&password, salt).map(|_| false),
            }
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (done, outcome) = oneshot::channel();
        // Whoever asked may have gone; then nobody wants the outcome.
        let job = move || {
            if !done.is_closed() {
                drop(done.send(work()));
            }
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
        let stored = passwords.hash(&entropy, &right).await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(passwords.verify(Some(stored.clone()), &right, "s").await.unwrap());
        assert!(!passwords.verify(Some(stored), &Secret::new("wrong".into()), "s").await.unwrap());
        assert!(!passwords.verify(None, &right, "s").await.unwrap(), "no such user");
    }

    #[tokio::test]
    async fn a_source_that_floods_leaves_room_for_logins_from_elsewhere() {
        let passwords = Passwords::new(&Fixed::new(3)).unwrap();
        let (flooding, other) = ("192.0.2.1", "192.0.2.2");
        let password = Secret::new("a guess, or not".into());
        let guesses = (0..MAX_WAITING * 2).map(|_| passwords.verify(None, &password, flooding));
        let login = passwords.verify(None, &password, other);
        let (guesses, login) = futures::join!(futures::future::join_all(guesses), login);
        assert!(login.is_ok());
        let refused =
            |outcome: &&Result<bool>| outcome.as_ref().is_err_and(|e| e.kind() == ErrorKind::Limited);
        assert_eq!(guesses.iter().filter(refused).count(), MAX_WAITING * 2 - MAX_WAITING_OF_SOURCE);
        assert!(passwords.waiting.lock().unwrap().is_empty(), "places are given back");
    }
}
