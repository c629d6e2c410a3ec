//! How far this machine's servers saw each installation's database come: a small file in a folder of its own, out of
//! reach of whoever copies the data folder back. It holds no secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::{Error, InstallationId, Result, Stamp};
use service::Service;
use service::installation::lineage::{stamp_from_json, stamp_to_json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::files;
use super::settings::{MasterKeySource, Settings};
use crate::environment::ServerEnvironment;

/// How often it is looked whether the database moved.
const EVERY: Duration = Duration::from_secs(1);

/// The setting.
const FIELD: &str = "seen_dir";

/// The folder that the settings give, whether it can be used or not.
fn folder(settings: &Settings, environment: &ServerEnvironment) -> Option<PathBuf> {
    if settings.demo {
        return None;
    }
    if let Some(folder) = &settings.seen_dir {
        return Some(folder.clone());
    }
    let key = match &settings.master_key {
        MasterKeySource::File(path) => path,
        MasterKeySource::Environment | MasterKeySource::Command(_) | MasterKeySource::Nowhere => {
            environment.default_master_key_file.as_ref()?
        }
    };
    let folder = key.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(folder.join("seen"))
}

/// What `check-config` says of it: the folder, if there is to be one. Makes nothing.
///
/// # Errors
/// As [`Place::find`].
pub fn look(settings: &Settings, environment: &ServerEnvironment) -> Result<Option<PathBuf>> {
    let Some(folder) = folder(settings, environment) else { return Ok(None) };
    refuse_data_folder(&folder, &settings.data_dir)?;
    if folder.exists() {
        files::secret_folder(FIELD, &folder)?;
    }
    Ok(Some(folder))
}

/// In the data folder it would be copied back together with the database, and tell nothing.
fn refuse_data_folder(folder: &Path, data_dir: &Path) -> Result<()> {
    if !real(folder)?.starts_with(real(data_dir)?) {
        return Ok(());
    }
    Err(Error::invalid(
        FIELD,
        "must not be in the data folder: whoever copies the folder back would bring both; choose another place",
    ))
}

/// A path behind any links, of which the last parts need not exist yet.
fn real(path: &Path) -> Result<PathBuf> {
    let failed = |error: std::io::Error| Error::invalid(FIELD, format!("{}: {error}", path.display()));
    let whole = std::path::absolute(path).map_err(failed)?;
    let there = whole.ancestors().find(|part| part.exists()).unwrap_or(Path::new("/"));
    let missing = whole.strip_prefix(there).unwrap_or(Path::new(""));
    Ok(there.canonicalize().map_err(failed)?.join(missing))
}

/// The file of one installation.
pub struct Place {
    file: PathBuf,
}

impl Place {
    /// The file, if there is a place for it outside the data folder.
    ///
    /// # Errors
    /// `Invalid` if a folder was named that cannot be used: whoever names one counts on it.
    pub fn find(
        settings: &Settings,
        environment: &ServerEnvironment,
        installation: &InstallationId,
    ) -> Result<Option<Self>> {
        let Some(folder) = folder(settings, environment) else { return Ok(None) };
        let place = Self { file: folder.join(installation.as_str()) };
        match (place.prepare(&folder, &settings.data_dir), &settings.seen_dir) {
            (Ok(()), _) => Ok(Some(place)),
            (Err(error), Some(_)) => Err(error),
            (Err(error), None) => {
                tracing::warn!(
                    "cannot keep {}: {error}; an older copy of the database would not be noticed at the start: \
                     name a folder for it by --seen-dir",
                    place.file.display()
                );
                Ok(None)
            }
        }
    }

    fn prepare(&self, folder: &Path, data_dir: &Path) -> Result<()> {
        refuse_data_folder(folder, data_dir)?;
        files::secret_folder(FIELD, folder)?;
        // What did not exist a moment ago might have led elsewhere.
        refuse_data_folder(folder, data_dir)?;
        let new = self.new_file();
        files::replace_secret(&new, "").and_then(|()| files::remove(&new)).map_err(|error| {
            Error::invalid(FIELD, format!("nothing can be written there: {}", error.message()))
        })
    }

    /// One name for each process: servers of one machine may share the folder.
    fn new_file(&self) -> PathBuf {
        self.file.with_extension(format!("new-{}", std::process::id()))
    }

    /// What was seen last; `None` if nothing was, or the file is not one of ours.
    pub fn read(&self) -> Option<Stamp> {
        let text = match std::fs::read(&self.file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("cannot read {}: {error}", self.file.display());
                return None;
            }
            Ok(text) => text,
        };
        let stamp = stamp_from_json(&text);
        if stamp.is_none() {
            tracing::warn!("{} is not what a server wrote; it is ignored", self.file.display());
        }
        stamp
    }

    fn write(&self, stamp: &Stamp) -> Result<()> {
        let new = self.new_file();
        files::replace_secret(&new, &stamp_to_json(stamp)?)?;
        std::fs::rename(&new, &self.file)
            .map_err(|error| Error::invalid(FIELD, format!("{}: {error}", self.file.display())))
    }
}

/// The task that keeps the file.
pub struct Keeper {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Begins.
    pub fn start(place: Place, service: Arc<Service>) -> Self {
        let (end, ended) = oneshot::channel();
        Self { end, task: tokio::spawn(keep(place, service, ended)) }
    }

    /// Writes what is to be written, and ends.
    pub async fn finish(self) {
        drop(self.end);
        drop(self.task.await);
    }
}

async fn keep(place: Place, service: Arc<Service>, mut ended: oneshot::Receiver<()>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written = None;
    let mut failed = false;
    loop {
        let last = tokio::select! {
            _ = ticks.tick() => false,
            _ = &mut ended => true,
        };
        let result = note(&place, &service, &mut written).await;
        if let (Err(error), false) = (&result, failed) {
            tracing::warn!(?error, "cannot note how far the database has come in {}", place.file.display());
        }
        failed = result.is_err();
        if last {
            return;
        }
    }
}

/// Writes the file if the database has moved since it was written.
async fn note(place: &Place, service: &Service, written: &mut Option<(String, i64)>) -> Result<()> {
    let Some(stamp) = service.stamp().await? else { return Ok(()) };
    let now = (stamp.lineage.clone(), stamp.sum);
    if written.as_ref() != Some(&now) {
        place.write(&stamp)?;
        *written = Some(now);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_known_to_be_in_the_data_folder_before_it_is_made() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, root.path().join("link")).unwrap();
        for inside in ["data", "data/seen", "data/a/b", "link/seen"] {
            let error = refuse_data_folder(&root.path().join(inside), &data).unwrap_err();
            assert_eq!(error.field(), Some("seen_dir"), "{inside}");
        }
        for outside in ["seen", "data-seen/a", "x/y/z"] {
            assert!(refuse_data_folder(&root.path().join(outside), &data).is_ok(), "{outside}");
        }
        assert!(refuse_data_folder(&root.path().join("seen"), &root.path().join("not-yet")).is_ok());
        assert!(refuse_data_folder(&root.path().join("not-yet/seen"), &root.path().join("not-yet")).is_err());
        assert!(!data.join("seen").exists(), "nothing is made");
    }
}
