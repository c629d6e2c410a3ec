//! Changing the file with the master keys, one key a line, so that at each instant it holds the old or the new ones.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use domain::{Error, Result};
use service::MasterKey;

use super::files;

const FIELD: &str = "master key";

/// The file, held against other changes by commands like this one.
pub struct KeyFile {
    path: PathBuf,
    folder: PathBuf,
    _held: File,
}

impl KeyFile {
    /// Takes hold of the file behind any links.
    ///
    /// # Errors
    /// `Conflict` if another command changes it; `Invalid` if it is not there.
    pub fn hold(path: &Path) -> Result<Self> {
        let path = path.canonicalize().map_err(|error| failed(path, &error))?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let held = File::open(&folder).map_err(|error| failed(&folder, &error))?;
        held.try_lock().map_err(|_| {
            Error::conflict(format!("another command changes {}: wait for it", path.display()))
        })?;
        Ok(Self { path, folder, _held: held })
    }

    /// The keys in it.
    ///
    /// # Errors
    /// `Invalid` if it cannot be read or holds something else.
    pub fn keys(&self) -> Result<Vec<MasterKey>> {
        let text = files::read_secret(FIELD, &self.path)?.unwrap_or_default();
        MasterKey::parse_all(FIELD, &text)
    }

    /// Writes the keys in the place of what is there, for the same owner.
    ///
    /// # Errors
    /// `Invalid` if the file cannot be replaced: then it is as it was.
    pub fn replace(&self, keys: &[MasterKey]) -> Result<()> {
        let lines: Vec<String> = keys.iter().map(|key| format!("{}\n", *key.to_hex())).collect();
        let text = zeroize::Zeroizing::new(lines.concat());
        let draft = self.beside("new");
        files::remove(&draft)?;
        let failed = |error: std::io::Error| failed(&draft, &error);
        let owner = fs::metadata(&self.path).map_err(failed)?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
        // Root may run this for a server that runs as somebody else and has to read the file.
        fchown(&file, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&draft, &self.path).map_err(failed)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Puts a key that nothing needs any more into a file of its own, for the backups that were made under it. Returns
    /// where it is.
    ///
    /// # Errors
    /// `Invalid` if it cannot be written.
    pub fn retire(&self, key: &MasterKey) -> Result<PathBuf> {
        let path = self.beside(&format!("retired-{}", key.id()));
        files::replace_secret(&path, &format!("{}\n", *key.to_hex()))?;
        Ok(path)
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{end}"));
        self.folder.join(name)
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::invalid(FIELD, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use domain::entropy::Fixed;

    use super::*;

    #[test]
    fn a_key_file_is_replaced_behind_its_link_and_stays_closed() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        let (old, new) = (MasterKey::generate(&Fixed::new(1)), MasterKey::generate(&Fixed::new(2)));
        files::write_new_secret(&real, &format!("# ours\n{}\n", *old.to_hex())).unwrap();
        symlink(&real, &link).unwrap();
        let file = KeyFile::hold(&link).unwrap();
        assert!(KeyFile::hold(&link).is_err(), "one command at a time");
        let mut keys = file.keys().unwrap();
        keys.push(new.clone());
        file.replace(&keys).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o600);
        let ids: Vec<String> = file.keys().unwrap().iter().map(|key| key.id().to_owned()).collect();
        assert_eq!(ids, [old.id(), new.id()]);
        let retired = file.retire(&old).unwrap();
        assert_eq!(fs::metadata(&retired).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(retired).unwrap().trim(), &**old.to_hex());
    }
}
