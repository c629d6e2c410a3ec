//! How far this machine's servers saw each installation's database come: a small file beside the master key, out of
//! reach of whoever copies the data folder back. It holds no secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::{InstallationId, Result, Stamp};
use service::Service;
use service::lineage::{stamp_from_json, stamp_to_json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::files;
use super::settings::{MasterKeySource, Settings};
use crate::environment::ServerEnvironment;

/// How often it is looked whether the database moved.
const EVERY: Duration = Duration::from_secs(1);

/// The file of one installation.
pub struct Place {
    file: PathBuf,
}

impl Place {
    /// The file, if there is a place for it outside the data folder.
    pub fn find(
        settings: &Settings,
        environment: &ServerEnvironment,
        installation: &InstallationId,
    ) -> Option<Self> {
        if settings.demo {
            return None;
        }
        let key = match &settings.master_key {
            MasterKeySource::File(path) => path,
            MasterKeySource::Environment | MasterKeySource::Command(_) | MasterKeySource::Nowhere => {
                environment.default_master_key_file.as_ref()?
            }
        };
        let folder = key.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let place = Self { file: folder.join("seen").join(installation.as_str()) };
        match place.prepare(&settings.data_dir) {
            Ok(()) => Some(place),
            Err(error) => {
                tracing::warn!(
                    "cannot keep {}: {error}; an older copy of the database would not be noticed at the start",
                    place.file.display()
                );
                None
            }
        }
    }

    fn prepare(&self, data_dir: &Path) -> Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        files::secret_folder("master_key", folder)?;
        let (folder, data) = (folder.canonicalize(), data_dir.canonicalize());
        match (folder, data) {
            (Ok(folder), Ok(data)) if !folder.starts_with(&data) => Ok(()),
            (Ok(_), Ok(_)) => Err(domain::Error::invalid("master_key", "it would be in the data folder")),
            (Err(error), _) | (_, Err(error)) => Err(domain::Error::invalid("master_key", error.to_string())),
        }
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
        // One name for each process: servers of one machine may share the folder.
        let new = self.file.with_extension(format!("new-{}", std::process::id()));
        files::replace_secret(&new, &stamp_to_json(stamp)?)?;
        std::fs::rename(&new, &self.file).map_err(|error| {
            domain::Error::invalid("master_key", format!("{}: {error}", self.file.display()))
        })
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
