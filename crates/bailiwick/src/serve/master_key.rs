//! Where the master key comes from. It is never in the data folder: whoever copies that folder has no key.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use domain::{Entropy, Error, Result, Secret};
use service::{MasterKey, MasterKeys};
use store::Installation;

use super::files;
use super::settings::{MasterKeySource, Settings};
use crate::environment::ServerEnvironment;

const FIELD: &str = "master key";

/// Finds the keys, or makes one for a database that has none yet.
///
/// # Errors
/// `Invalid` or `Conflict` saying which key is needed and where it was looked for.
pub fn obtain(
    settings: &Settings,
    environment: &ServerEnvironment,
    entropy: &dyn Entropy,
    installation: Option<&Installation>,
) -> Result<MasterKeys> {
    let place = Place::new(settings, environment);
    let mut keys = place.read()?;
    if let (true, MasterKeySource::File(path), None) = (keys.is_empty(), &place.source, installation) {
        make(path, entropy)?;
        keys = place.read()?;
    }
    if keys.is_empty() {
        return Err(missing(&place.name(), installation));
    }
    // A command may take its time; the requests of other callers are not to wait for it.
    Ok(MasterKeys::from_source(keys, Arc::new(move || tokio::task::block_in_place(|| place.read()))))
}

/// The ids of the keys that are there, without making one.
///
/// # Errors
/// As [`obtain`], but for a file that is not there.
pub fn look(settings: &Settings, environment: &ServerEnvironment) -> Result<Vec<String>> {
    if let MasterKeySource::File(path) = &settings.master_key
        && !path.exists()
    {
        return Ok(Vec::new());
    }
    let place = Place::new(settings, environment);
    Ok(place.read()?.iter().map(|key| key.id().to_owned()).collect())
}

/// Where keys come from, with what it takes to look there again.
struct Place {
    source: MasterKeySource,
    data_dir: PathBuf,
    named: Option<Secret>,
}

impl Place {
    fn new(settings: &Settings, environment: &ServerEnvironment) -> Self {
        Self {
            source: settings.master_key.clone(),
            data_dir: settings.data_dir.clone(),
            named: environment.master_key.clone(),
        }
    }

    fn name(&self) -> String {
        match &self.source {
            MasterKeySource::Environment => "BAILIWICK_MASTER_KEY".to_owned(),
            MasterKeySource::Command(words) => words.first().cloned().unwrap_or_default(),
            MasterKeySource::File(path) => path.display().to_string(),
            MasterKeySource::Nowhere => "nowhere".to_owned(),
        }
    }

    /// The keys that are there now: none if there is no such file.
    fn read(&self) -> Result<Vec<MasterKey>> {
        match &self.source {
            MasterKeySource::Environment => {
                MasterKey::parse_all(FIELD, self.named.as_ref().map_or("", Secret::expose))
            }
            MasterKeySource::Command(words) => MasterKey::parse_all(FIELD, &run(words)?),
            MasterKeySource::File(path) => {
                let folder =
                    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                files::secret_folder(FIELD, folder)?;
                refuse_data_folder(path, folder, &self.data_dir)?;
                match files::read_secret(FIELD, path)? {
                    None => Ok(Vec::new()),
                    Some(text) => at_least_one(path, MasterKey::parse_all(FIELD, &text)?),
                }
            }
            MasterKeySource::Nowhere => Err(Error::invalid(
                FIELD,
                "has no place: there is no home directory; set BAILIWICK_MASTER_KEY_FILE to a file outside the data folder",
            )),
        }
    }
}

/// A file that is there is never written over, even if it is empty: it may be the wrong one.
fn at_least_one(path: &Path, keys: Vec<MasterKey>) -> Result<Vec<MasterKey>> {
    if keys.is_empty() {
        let message = format!("{} holds none: it must hold 64 hex digits for each key", path.display());
        return Err(Error::invalid(FIELD, message));
    }
    Ok(keys)
}

fn missing(place: &str, installation: Option<&Installation>) -> Error {
    let needed = installation.map_or("", |found| found.master_key_id.as_str());
    Error::conflict(format!(
        "the database needs master key {needed}, and {place} does not have one: bring it back"
    ))
}

fn make(path: &Path, entropy: &dyn Entropy) -> Result<()> {
    let key = MasterKey::generate(entropy);
    match files::write_new_secret(path, &format!("{}\n", *key.to_hex())) {
        Ok(()) => {
            tracing::info!(
                key = key.id(),
                "made master key {} in {}: keep a copy of it",
                key.id(),
                path.display()
            );
            Ok(())
        }
        // Another server made it at the same moment.
        Err(error) if error.kind() == domain::ErrorKind::Conflict => Ok(()),
        Err(error) => Err(error),
    }
}

/// A key beside the database protects nothing. Both are looked at as they really are, behind any links.
fn refuse_data_folder(path: &Path, folder: &Path, data_dir: &Path) -> Result<()> {
    let real = |path: &Path| path.canonicalize().map_err(|error| Error::invalid(FIELD, error.to_string()));
    if !data_dir.exists() {
        return Ok(());
    }
    let data_dir = real(data_dir)?;
    let linked = path.exists().then(|| real(path)).transpose()?;
    if real(folder)?.starts_with(&data_dir) || linked.is_some_and(|file| file.starts_with(&data_dir)) {
        return Err(Error::invalid(
            FIELD,
            "must not be in the data folder: whoever copies the folder would have both; choose another place",
        ));
    }
    Ok(())
}

fn run(words: &[String]) -> Result<zeroize::Zeroizing<String>> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| Error::invalid("master_key_command", "must name a program"))?;
    let failed = |what: String| Error::invalid("master_key_command", format!("{program} {what}"));
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    String::from_utf8(output.stdout)
        .map(zeroize::Zeroizing::new)
        .map_err(|_| failed("did not print text".to_owned()))
}
