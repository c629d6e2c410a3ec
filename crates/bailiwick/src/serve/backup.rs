//! Backups and what becomes of them: `bailiwick backup`, `bailiwick restore`, `bailiwick hold`. All of them work on the
//! server's data directly; but for `restore`, the server may be running.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use domain::{Clock, Error, Result};
use serde::{Deserialize, Serialize};
use service::installation::lineage::Confirmed;
use sha2::{Digest, Sha256};
use store::{BackupFacts, HeldPlan, Hold, Location, Store};

use super::settings::Settings;
use super::{ServeArgs, StorageArgs, files, master_key, offline};
use crate::environment::ServerEnvironment;
use crate::system::{OsEntropy, SystemClock};

/// What a backup says about itself, in a file beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The installation.
    pub installation: String,
    /// The latest migration of its database.
    pub schema: i64,
    /// The master key without which the backup is worth nothing.
    pub master_key_id: String,
    /// The latest entry of the database's lineage.
    pub lineage: String,
    /// The number of commits of all accounts together.
    pub commits: i64,
    /// When it was made.
    pub made_at: String,
    /// The program that made it.
    pub program: String,
    /// SHA-256 of the file; left out where other tools make the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Manifest {
    fn new(facts: &BackupFacts, sha256: Option<String>) -> Self {
        Self {
            installation: facts.installation.to_string(),
            schema: facts.schema,
            master_key_id: facts.master_key_id.clone(),
            lineage: facts.lineage.clone(),
            commits: facts.sum,
            made_at: SystemClock.now().rfc3339_seconds(),
            program: format!("bailiwick {}", env!("CARGO_PKG_VERSION")),
            sha256,
        }
    }

    /// Where the manifest of a backup is.
    pub fn beside(backup: &Path) -> PathBuf {
        let mut name = backup.file_name().unwrap_or_default().to_owned();
        name.push(".manifest.json");
        backup.with_file_name(name)
    }

    fn read(path: &Path) -> Result<Self> {
        let cannot =
            |error: &dyn std::fmt::Display| Error::invalid("file", format!("{}: {error}", path.display()));
        let text = fs::read(path).map_err(|error| cannot(&error))?;
        serde_json::from_slice(&text).map_err(|error| cannot(&error))
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(Error::internal)?;
        files::write_new_secret(path, &format!("{text}\n"))
    }

    /// Refuses a database that is not the one that the manifest is about.
    fn check(&self, facts: &BackupFacts) -> Result<()> {
        let found = Self { sha256: self.sha256.clone(), ..Self::new(facts, None) };
        let same = (&found.installation, &found.master_key_id, &found.lineage, found.commits)
            == (&self.installation, &self.master_key_id, &self.lineage, self.commits);
        if same && facts.schema == self.schema {
            return Ok(());
        }
        Err(Error::conflict("the manifest is about another database, or about another state of it"))
    }
}

/// A backup that was made.
pub struct Made {
    /// What it says about itself.
    pub manifest: Manifest,
    /// Where that is written.
    pub manifest_file: PathBuf,
    /// What is left to be done by hand: the command that writes the file itself.
    pub command: Option<String>,
}

/// Copies the embedded database into `file`, with its manifest beside it. Of PostgreSQL only the manifest is written.
///
/// # Errors
/// `Conflict` if one of the files exists.
pub async fn backup(storage: &StorageArgs, file: &Path) -> Result<Made> {
    let (settings, opened) = offline::open(storage).await?;
    let store = &opened.bootstrap.store;
    let manifest_file = Manifest::beside(file);
    if manifest_file.exists() {
        return Err(Error::conflict(format!("{} exists", manifest_file.display())));
    }
    let (manifest, command) = match &settings.location {
        Location::File(_) => {
            files::write_new_secret(file, "")?;
            let copied = copy(store, file).await;
            if copied.is_err() {
                files::remove(file)?;
            }
            (copied?, None)
        }
        Location::Postgres(_) => {
            (Manifest::new(&store.facts().await?, None), dump_command(&settings.location, file)?)
        }
    };
    manifest.write(&manifest_file)?;
    store.close().await;
    Ok(Made { manifest, manifest_file, command })
}

async fn copy(store: &Store, file: &Path) -> Result<Manifest> {
    store.copy_into(file).await?;
    let synced = fs::File::open(file).and_then(|file| file.sync_all());
    synced.map_err(|error| Error::invalid("file", format!("{}: {error}", file.display())))?;
    Ok(Manifest::new(&Store::facts_of_file(file).await?, Some(sha256(file)?)))
}

/// The command that belongs to a manifest, which makes a file that only its maker can read. No password is in it:
/// process arguments are visible to everybody.
fn dump_command(location: &Location, file: &Path) -> Result<Option<String>> {
    let Some(url) = location.url_for_tools()? else { return Ok(None) };
    let (file, url) = (quoted(&file.display().to_string()), quoted(&url));
    Ok(Some(format!("(umask 077 && pg_dump --format=custom --file={file} --dbname={url})")))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn sha256(path: &Path) -> Result<String> {
    let failed = |error: std::io::Error| Error::invalid("file", format!("{}: {error}", path.display()));
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut block).map_err(failed)?;
        match block.get(..read) {
            Some(bytes) if !bytes.is_empty() => digest.update(bytes),
            Some(_) | None => return Ok(hex::encode(digest.finalize())),
        }
    }
}

/// Puts a backup in the place of the database, and holds the installation until somebody confirms it. A database that
/// is there is moved to `old`. Of PostgreSQL, whose tools did the first half, only the second is done.
///
/// # Errors
/// `Conflict` if the backup is not what its manifest says, needs another key, or something is in its place.
pub async fn restore(storage: &StorageArgs, file: &Path, old: Option<&Path>) -> Result<Manifest> {
    let environment = ServerEnvironment::read();
    let settings = Settings::read(&ServeArgs::of_storage(storage), &environment)?;
    let manifest = Manifest::read(&Manifest::beside(file))?;
    match &settings.location {
        Location::File(target) => {
            check_file(&settings, &environment, file, &manifest).await?;
            install(&settings, file, target, old, &manifest).await?;
        }
        Location::Postgres(_) => {
            let opened = offline::open(storage).await?.1;
            manifest.check(&opened.bootstrap.store.facts().await?)?;
            opened.bootstrap.hold(reason(&manifest)).await?;
            opened.bootstrap.store.close().await;
        }
    }
    Ok(manifest)
}

fn reason(manifest: &Manifest) -> String {
    format!("it was restored from the backup of {}", manifest.made_at)
}

async fn check_file(
    settings: &Settings,
    environment: &ServerEnvironment,
    file: &Path,
    manifest: &Manifest,
) -> Result<()> {
    if Some(sha256(file)?) != manifest.sha256 {
        return Err(Error::conflict(format!(
            "{} is not the file of its manifest: it was changed",
            file.display()
        )));
    }
    manifest.check(&Store::facts_of_file(file).await?)?;
    files::private_folder(&settings.data_dir)?;
    let needed = store::Installation {
        id: domain::InstallationId::stored(&manifest.installation),
        master_key_id: manifest.master_key_id.clone(),
        demo: false,
    };
    let keys = master_key::obtain(settings, environment, &OsEntropy, Some(&needed))?;
    if keys.find(&manifest.master_key_id).is_none() {
        return Err(Error::conflict(format!(
            "the backup was sealed with master key {}, given are {}: bring back the key it needs",
            manifest.master_key_id,
            keys.ids().join(", ")
        )));
    }
    Ok(())
}

/// Makes the copy complete, hold included, before it takes the place of anything.
async fn install(
    settings: &Settings,
    file: &Path,
    target: &Path,
    old: Option<&Path>,
    manifest: &Manifest,
) -> Result<()> {
    let failed = |path: &Path, error: std::io::Error| {
        Error::invalid("data_dir", format!("{}: {error}", path.display()))
    };
    if target.metadata().is_ok_and(|found| found.len() > 0) {
        let Some(old) = old else {
            let message = format!(
                "{} holds a database: say with `--move-old-to FILE` where to keep it",
                target.display()
            );
            return Err(Error::conflict(message));
        };
        if old.exists() {
            return Err(Error::conflict(format!("{} exists", old.display())));
        }
        Store::take_out_of_use(target).await?;
    }
    let new = settings.data_dir.join("restoring.db");
    files::remove(&new)?;
    files::write_new_secret(&new, "")?;
    fs::copy(file, &new).map_err(|error| failed(&new, error))?;
    files::private_file(&new)?;
    let store = Store::open(&Location::File(new.clone())).await?;
    let hold = Hold { since: SystemClock.now(), reason: reason(manifest) };
    store.insert_hold(&hold).await?;
    store.close().await;
    Store::take_out_of_use(&new).await?;
    if let (true, Some(old)) = (target.exists(), old) {
        fs::rename(target, old).map_err(|error| failed(old, error))?;
    }
    // What a server that was killed left beside the old file belongs to that one.
    for companion in ["-wal", "-shm"] {
        let mut name = target.as_os_str().to_owned();
        name.push(companion);
        files::remove(Path::new(&name))?;
    }
    fs::rename(&new, target).map_err(|error| failed(target, error))
}

/// The hold and what the workers would do; `None` if there is none.
///
/// # Errors
/// `Unavailable` without the database.
pub async fn show_hold(storage: &StorageArgs) -> Result<Option<(Hold, Vec<HeldPlan>)>> {
    let opened = offline::open(storage).await?.1;
    let shown = opened.bootstrap.show_hold().await;
    opened.bootstrap.store.close().await;
    shown
}

/// Ends the hold: the database counts from now on.
///
/// # Errors
/// `Conflict` if there is no hold.
pub async fn confirm_hold(storage: &StorageArgs) -> Result<Confirmed> {
    let opened = offline::open(storage).await?.1;
    let confirmed = opened.bootstrap.confirm_hold().await;
    opened.bootstrap.store.close().await;
    confirmed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dump_command_holds_no_password_survives_a_shell_and_makes_a_closed_file() {
        let file = Path::new("/b/it's.dump");
        let url = "postgres://u:hunter2@db:5432/it's?sslmode=verify-full&password=hunter2";
        assert_eq!(
            dump_command(&Location::parse("database", url).unwrap(), file).unwrap().unwrap(),
            r"(umask 077 && pg_dump --format=custom --file='/b/it'\''s.dump' --dbname='postgres://u@db:5432/it'\''s?sslmode=verify-full')"
        );
    }

    #[test]
    fn a_manifest_is_about_one_state_of_one_database() {
        let facts = BackupFacts {
            installation: domain::InstallationId::stored("i"),
            master_key_id: "k".into(),
            schema: 5,
            lineage: "l".into(),
            sum: 7,
        };
        let manifest = Manifest::new(&facts, None);
        assert!(manifest.check(&facts).is_ok());
        for other in [
            BackupFacts { installation: domain::InstallationId::stored("j"), ..facts.clone() },
            BackupFacts { master_key_id: "x".into(), ..facts.clone() },
            BackupFacts { lineage: "x".into(), ..facts.clone() },
            BackupFacts { sum: 6, ..facts.clone() },
            BackupFacts { schema: 4, ..facts.clone() },
        ] {
            assert!(manifest.check(&other).is_err(), "{other:?}");
        }
    }
}
