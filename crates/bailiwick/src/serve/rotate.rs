//! The operator's side of a new master key: the file, the questions to the servers, the order of the steps.
//! `service::installation::key_rotation` says why they are in this order, and what a repeated command finds.

use std::path::PathBuf;
use std::time::Duration;

use domain::{Error, Result};
use service::MasterKey;
use service::installation::bootstrap::Bootstrap;
use service::installation::key_rotation::KeysInUse;

use super::key_file::KeyFile;
use super::settings::MasterKeySource;
use super::{StorageArgs, offline};
use crate::environment::ServerEnvironment;

/// By then every server that runs has said whether it holds the new key: each looks once a second.
const ANSWERS: Duration = Duration::from_secs(4);

/// Which keys there are and what they are for.
pub struct Listed {
    /// The ids of the keys that are given.
    pub held: Vec<String>,
    /// What the database needs.
    pub in_use: KeysInUse,
}

/// What came of it.
pub struct Rotated {
    /// The id of the key that seals now.
    pub key: String,
    /// The id of the one that did before, if this command changed it.
    pub former: Option<String>,
    /// How many values were sealed anew.
    pub resealed: u64,
    /// How many servers said that they hold the new key.
    pub servers: usize,
    /// Where keys are now that nothing needs any more but backups.
    pub retired: Vec<PathBuf>,
    /// Why they are still where they were, if so.
    pub not_retired: Option<String>,
}

/// Which keys there are, and what they are for.
///
/// # Errors
/// `Unavailable` without the database, `Conflict` without a key that it needs.
pub async fn list(storage: &StorageArgs) -> Result<Listed> {
    let opened = offline::open_existing(storage).await?;
    let in_use = state(&opened.bootstrap).await?;
    let held = opened.bootstrap.master_key.ids();
    opened.bootstrap.store.close().await;
    Ok(Listed { held, in_use })
}

/// Puts a new key in the place of the one that seals, or finishes what was begun. `to` names a key that is given
/// already; otherwise one is made.
///
/// # Errors
/// `Conflict` if a server does not hold the new key, or something does not open; nothing is lost then, and a repeated
/// call goes on.
pub async fn rotate(storage: &StorageArgs, to: Option<&str>) -> Result<Rotated> {
    let opened = offline::open_existing(storage).await?;
    let settings = offline::settings(storage, &ServerEnvironment::read())?;
    let work = Work { bootstrap: &opened.bootstrap, source: &settings.master_key };
    let rotated = work.run(to).await;
    opened.bootstrap.store.close().await;
    rotated
}

async fn state(bootstrap: &Bootstrap) -> Result<KeysInUse> {
    let found = bootstrap.keys_in_use().await?;
    found.ok_or_else(|| Error::internal("the database has no installation after it was opened"))
}

struct Work<'a> {
    bootstrap: &'a Bootstrap,
    source: &'a MasterKeySource,
}

impl Work<'_> {
    async fn run(&self, to: Option<&str>) -> Result<Rotated> {
        let file = match self.source {
            MasterKeySource::File(path) => Some(KeyFile::hold(path)?),
            MasterKeySource::Environment | MasterKeySource::Command(_) | MasterKeySource::Nowhere => None,
        };
        let before = state(self.bootstrap).await?.state;
        let next = before.next.as_deref();
        let key = match (to, next) {
            (Some(to), Some(next)) if before.current == next && to != next => {
                let message = format!("master key {next} is taking over already: repeat without `--to`");
                return Err(Error::conflict(message));
            }
            (Some(to), _) => self.given(to)?,
            (None, Some(next)) => match self.bootstrap.master_key.find(next) {
                Some(key) => key,
                // It was announced and is gone, and nothing is sealed by it: another takes its place.
                None => self.make(file.as_ref())?,
            },
            (None, None) => self.make(file.as_ref())?,
        };
        if before.next.is_none() && before.current == key.id() {
            return Err(Error::conflict(format!("master key {} seals already", key.id())));
        }
        self.bootstrap.announce_key(&key).await?;
        let mut servers = 0;
        let former = (before.current != key.id()).then_some(before.current);
        if let Some(former) = &former {
            servers = self.ask(&key).await?;
            self.bootstrap.switch_key(former, &key).await?;
        }
        let resealed = self.bootstrap.reseal(&key).await?;
        if !resealed.broken.is_empty() {
            return Err(Error::conflict(format!(
                "{} sealed values do not open, because they were changed or moved: {}; delete them or bring them back, \
                 and repeat; the keys stay where they are",
                resealed.broken.len(),
                resealed.broken.iter().take(20).cloned().collect::<Vec<_>>().join(", ")
            )));
        }
        let retired = file.map_or(Err(not_ours(self.source)), |file| retire(&file, &key));
        self.bootstrap.end_key_change().await?;
        let (retired, not_retired) = match retired {
            Ok(paths) => (paths, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Ok(Rotated {
            key: key.id().to_owned(),
            former,
            resealed: resealed.done,
            servers,
            retired,
            not_retired,
        })
    }

    /// A key that is there already, where this command cannot or should not write.
    fn given(&self, id: &str) -> Result<MasterKey> {
        self.bootstrap.master_key.find(id).ok_or_else(|| {
            let held = self.bootstrap.master_key.ids().join(", ");
            Error::invalid("to", format!("must be the id of a key that is given; those are {held}"))
        })
    }

    /// A new key, in the file beside the one that seals. A crash after this leaves a key that nobody uses, and the next
    /// key takes it away.
    fn make(&self, file: Option<&KeyFile>) -> Result<MasterKey> {
        let Some(file) = file else { return Err(not_ours(self.source)) };
        let key = MasterKey::generate(&*self.bootstrap.entropy);
        let mut keys = file.keys()?;
        keys.push(key.clone());
        file.replace(&keys)?;
        self.bootstrap.master_key.read_again()?;
        Ok(key)
    }

    /// Waits until all servers that run said whether they hold the key. Returns how many do.
    async fn ask(&self, key: &MasterKey) -> Result<usize> {
        tokio::time::sleep(ANSWERS).await;
        let answers = self.bootstrap.key_answers(key).await?;
        let lacking: Vec<&str> =
            answers.iter().filter(|answer| !answer.held).map(|answer| answer.server.as_str()).collect();
        if lacking.is_empty() {
            return Ok(answers.len());
        }
        Err(Error::conflict(format!(
            "master key {} is not with every server yet: {}; give it to them (copy the key file, with all its lines) and \
             repeat; until then everything goes on with the old key",
            key.id(),
            lacking.join(", ")
        )))
    }
}

/// Leaves only `key` in the file.
fn retire(file: &KeyFile, key: &MasterKey) -> Result<Vec<PathBuf>> {
    let (kept, gone): (Vec<MasterKey>, Vec<MasterKey>) =
        file.keys()?.into_iter().partition(|found| found.id() == key.id());
    let retired = gone.iter().map(|key| file.retire(key)).collect::<Result<Vec<_>>>()?;
    if !gone.is_empty() {
        file.replace(&kept)?;
    }
    Ok(retired)
}

fn not_ours(source: &MasterKeySource) -> Error {
    let place = match source {
        MasterKeySource::Environment => "BAILIWICK_MASTER_KEY",
        MasterKeySource::Command(_) => "a command",
        MasterKeySource::File(_) | MasterKeySource::Nowhere => "elsewhere",
    };
    let message = format!(
        "comes from {place}, where this command cannot write: put a new key (64 hex digits) on a line of its own beside \
         the old one, restart the servers or send them SIGHUP, and give its id: `--to ID`; `master-key list` shows it"
    );
    Error::invalid("master key", message)
}
