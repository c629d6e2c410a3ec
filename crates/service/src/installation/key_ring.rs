//! The master keys that this process holds. The database says which of them seals; all of them open.
//!
//! More than one is held while one takes the place of another (`key_rotation.rs`). A key that is needed and not held is
//! looked for once more where keys come from: somebody may have added it since the start.

use std::sync::{Arc, PoisonError, RwLock};

use domain::{Error, Result};
use store::ReadTx;
use zeroize::Zeroizing;

use crate::installation::seal::{MasterKey, Record, key_id_of};

/// Where keys come from, to be read again.
pub type KeySource = dyn Fn() -> Result<Vec<MasterKey>> + Send + Sync;

/// The keys held, shared by everything in the process that seals or opens.
#[derive(Clone)]
pub struct MasterKeys {
    held: Arc<RwLock<Vec<MasterKey>>>,
    source: Option<Arc<KeySource>>,
}

impl From<MasterKey> for MasterKeys {
    /// One key that stays the only one.
    fn from(key: MasterKey) -> Self {
        Self { held: Arc::new(RwLock::new(vec![key])), source: None }
    }
}

impl std::fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "master keys {}", self.ids().join(", "))
    }
}

impl MasterKeys {
    /// The keys that `source` had, and may have others later.
    #[must_use]
    pub fn from_source(first: Vec<MasterKey>, source: Arc<KeySource>) -> Self {
        Self { held: Arc::new(RwLock::new(first)), source: Some(source) }
    }

    /// The ids of the keys held, the first of the source first.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.with(|held| held.iter().map(|key| key.id().to_owned()).collect())
    }

    /// The id of the first key: the one that seals in a database that has none yet.
    ///
    /// # Errors
    /// `Internal` if no key is held, which the constructors rule out.
    pub fn first_id(&self) -> Result<String> {
        self.ids().into_iter().next().ok_or_else(|| Error::internal("no master key is held"))
    }

    /// The key of that id, after a second look at where keys come from.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<MasterKey> {
        let held = || self.with(|held| held.iter().find(|key| key.id() == id).cloned());
        held().or_else(|| {
            // What was held before stays held if the source cannot be read: the caller names the key that is missing.
            let again = self.read_again();
            again.inspect_err(|error| tracing::warn!(?error, "cannot read the master keys again")).ok()?;
            held()
        })
    }

    /// Holds what the source has now, and nothing else.
    ///
    /// # Errors
    /// What the source says, `Invalid` if it has none: what was held before then stays held.
    pub fn read_again(&self) -> Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        let keys = source()?;
        if keys.is_empty() {
            return Err(Error::invalid("master key", "must hold at least one master key: 64 hex digits"));
        }
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn with<T>(&self, look: impl FnOnce(&[MasterKey]) -> T) -> T {
        look(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that seals. Asked inside the transaction that will hold what is sealed and has its account's lock: who
    /// changes the key takes that lock afterwards, and so finds everything that was sealed before.
    ///
    /// # Errors
    /// `Unavailable` naming the key if it is not held.
    pub(crate) async fn sealing(&self, tx: &mut ReadTx) -> Result<MasterKey> {
        let state = tx.master_key_state().await?;
        let id = state.ok_or_else(|| Error::internal("the database has no installation"))?.current;
        self.find(&id).ok_or_else(|| not_held(&id, &self.ids()))
    }

    /// Opens what one of the keys sealed for the record.
    ///
    /// # Errors
    /// `Internal` if the key is not held, or it was sealed for another record, or was changed.
    pub fn open(&self, record: &Record<'_>, sealed: &str) -> Result<Zeroizing<Vec<u8>>> {
        match key_id_of(sealed).and_then(|id| self.find(id)) {
            Some(key) => key.open(record, sealed),
            None => Err(Error::internal(format!(
                "sealed {} of `{}` needs master key {}, this server holds {}",
                record.kind,
                record.id,
                key_id_of(sealed).unwrap_or("of an unknown form"),
                self.ids().join(", ")
            ))),
        }
    }
}

fn not_held(id: &str, held: &[String]) -> Error {
    let message = "this server lacks the master key that seals; its operator has to give it the key";
    Error::unavailable(message, format!("needs master key {id}, holds {}", held.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use domain::AccountId;
    use domain::entropy::Fixed;

    use super::*;

    #[test]
    fn a_key_that_was_added_since_the_start_is_found_and_one_that_is_gone_stays_until_asked() {
        let (old, new) = (MasterKey::generate(&Fixed::new(1)), MasterKey::generate(&Fixed::new(2)));
        let account = AccountId::stored("a");
        let record = Record { kind: "access-key", id: "K", account: &account };
        let by_new = new.seal(&Fixed::new(3), &record, b"secret").unwrap();
        let there = Arc::new(Mutex::new(Ok(vec![old.clone()])));
        let source = Arc::clone(&there);
        let keys = MasterKeys::from_source(
            vec![old.clone()],
            Arc::new(move || {
                source.lock().unwrap().clone().map_err(|()| Error::invalid("master key", "is unreadable"))
            }),
        );
        let error = keys.open(&record, &by_new).unwrap_err();
        assert!(format!("{error:?}").contains(new.id()), "it says which key it needs: {error:?}");
        *there.lock().unwrap() = Ok(vec![old.clone(), new.clone()]);
        assert_eq!(keys.open(&record, &by_new).unwrap().as_slice(), b"secret");
        *there.lock().unwrap() = Err(());
        assert!(keys.read_again().is_err());
        assert_eq!(keys.ids(), [old.id(), new.id()], "a source that fails takes nothing away");
        *there.lock().unwrap() = Ok(vec![new.clone()]);
        keys.read_again().unwrap();
        assert_eq!(keys.ids(), [new.id()]);
        assert!(!format!("{keys:?}").contains(&*new.to_hex()));
    }
}
