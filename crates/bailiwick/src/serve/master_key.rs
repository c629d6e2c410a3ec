//! Where the master key comes from. It is never in the data folder: whoever copies that folder has no key.

use std::path::Path;
use std::process::{Command, Stdio};

use domain::{Entropy, Error, Result};
use service::MasterKey;
use store::Installation;

use super::files;
use super::settings::{MasterKeySource, Settings};
use crate::environment::ServerEnvironment;

const FIELD: &str = "master key";

/// Finds the key, or makes one for a database that has none yet.
///
/// # Errors
/// `Invalid` or `Conflict` saying which key is needed and where it was looked for.
pub fn obtain(
    settings: &Settings,
    environment: &ServerEnvironment,
    entropy: &dyn Entropy,
    installation: Option<&Installation>,
) -> Result<MasterKey> {
    match &settings.master_key {
        MasterKeySource::Environment => {
            let text = environment
                .master_key
                .as_ref()
                .ok_or_else(|| missing("BAILIWICK_MASTER_KEY", installation))?;
            MasterKey::parse(FIELD, text.expose())
        }
        MasterKeySource::Command(words) => MasterKey::parse(FIELD, &run(words)?),
        MasterKeySource::File(path) => {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            files::secret_folder(FIELD, folder)?;
            refuse_data_folder(path, folder, &settings.data_dir)?;
            match files::read_secret(FIELD, path)? {
                Some(text) => MasterKey::parse(FIELD, &text),
                None if installation.is_some() => Err(missing(&path.display().to_string(), installation)),
                None => make(path, entropy),
            }
        }
        MasterKeySource::Nowhere => Err(Error::invalid(
            FIELD,
            "has no place: there is no home directory; set BAILIWICK_MASTER_KEY_FILE to a file outside the data folder",
        )),
    }
}

fn missing(place: &str, installation: Option<&Installation>) -> Error {
    let needed = installation.map_or("", |found| found.master_key_id.as_str());
    Error::conflict(format!(
        "the database needs master key {needed}, and {place} does not have one: bring it back"
    ))
}

fn make(path: &Path, entropy: &dyn Entropy) -> Result<MasterKey> {
    let key = MasterKey::generate(entropy);
    match files::write_new_secret(path, &format!("{}\n", *key.to_hex())) {
        Ok(()) => {
            tracing::info!(
                key = key.id(),
                "made master key {} in {}: keep a copy of it",
                key.id(),
                path.display()
            );
            Ok(key)
        }
        // Another server made it at the same moment.
        Err(error) if error.kind() == domain::ErrorKind::Conflict => {
            let text = files::read_secret(FIELD, path)?.ok_or(error)?;
            MasterKey::parse(FIELD, &text)
        }
        Err(error) => Err(error),
    }
}

/// A key beside the database protects nothing. Both are looked at as they really are, behind any links.
fn refuse_data_folder(path: &Path, folder: &Path, data_dir: &Path) -> Result<()> {
    let real = |path: &Path| path.canonicalize().map_err(|error| Error::invalid(FIELD, error.to_string()));
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
