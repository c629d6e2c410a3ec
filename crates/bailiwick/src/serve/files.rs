//! What the server keeps on disk, and who may read it: the data folder 0700, its files 0600.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use domain::{Error, Result};
use zeroize::Zeroizing;

/// Makes the folder if it is not there, and closes it to everybody else.
///
/// # Errors
/// `Invalid` if it is not a folder or cannot be closed.
pub fn private_folder(path: &Path) -> Result<()> {
    let failed = |what: &str, error: std::io::Error| {
        Error::invalid("data_dir", format!("{}: {what}: {error}", path.display()))
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| failed("cannot be made", error))?;
    let metadata = fs::metadata(path).map_err(|error| failed("cannot be read", error))?;
    if metadata.uid() != own_uid() {
        return Err(Error::invalid("data_dir", format!("{} belongs to somebody else", path.display())));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(|error| failed("is open to others and cannot be closed", error))?;
    }
    Ok(())
}

/// Who we are. The kernel says it of our own process without a system call that Rust's library lacks.
fn own_uid() -> u32 {
    fs::metadata("/proc/self").map_or(u32::MAX, |metadata| metadata.uid())
}

/// Makes the folder of a secret, closed to everybody else as far as it is made now.
///
/// # Errors
/// `Invalid` naming `field` if it cannot be made, or others could replace what is in it.
pub fn secret_folder(field: &str, path: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::invalid(field, format!("{}: {error}", path.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let metadata = fs::metadata(path).map_err(failed)?;
    match weakness(metadata.uid(), own_uid(), metadata.mode()) {
        None => Ok(()),
        Some(how) => Err(Error::invalid(field, format!("{} {how}", path.display()))),
    }
}

/// Why others could replace what is in a folder of that owner and mode.
fn weakness(owner: u32, own: u32, mode: u32) -> Option<&'static str> {
    if owner != own && owner != 0 {
        return Some("belongs to somebody else: it must be the server's own or root's");
    }
    // In a folder with the sticky bit others cannot rename or remove what is ours.
    (mode & 0o022 != 0 && mode & 0o1000 == 0)
        .then_some("can be written by others, who could replace what is in it: close it")
}

/// Makes a file that only we can read, if it is not there. SQLite gives its companions the same mode.
///
/// # Errors
/// `Invalid` if it cannot be made, or is open to others and cannot be closed.
pub fn private_file(path: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::invalid("data_dir", format!("{}: {error}", path.display()));
    if path.is_symlink() {
        return Err(Error::invalid("data_dir", format!("{} must not be a link", path.display())));
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
    }
    Ok(())
}

/// Writes a secret into a new file. Nothing that exists is touched.
///
/// # Errors
/// `Conflict` if there is such a file; `Invalid` if it cannot be written.
pub fn write_new_secret(path: &Path, text: &str) -> Result<()> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Error::conflict(format!("{} exists", path.display())),
        _ => Error::invalid("file", format!("{}: {error}", path.display())),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Writes a secret into a file that may be there from an earlier start that did not get far.
///
/// # Errors
/// `Invalid` if it cannot be written.
pub fn replace_secret(path: &Path, text: &str) -> Result<()> {
    remove(path)?;
    write_new_secret(path, text)
}

/// Removes a file if it is there.
///
/// # Errors
/// `Invalid` if it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::invalid("file", format!("{}: {error}", path.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads a secret. `None` if there is no such file.
///
/// What belongs to us is for us alone. What belongs to somebody else was handed to us, and its group or access list is
/// how: so do systemd's credentials and Kubernetes' secrets, which both show as mode 0440.
///
/// # Errors
/// `Invalid` if others can read it too, or it cannot be read.
pub fn read_secret(field: &str, path: &Path) -> Result<Option<Zeroizing<String>>> {
    let failed = |error: std::io::Error| Error::invalid(field, format!("{}: {error}", path.display()));
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.map_err(failed)?,
    };
    let others = if metadata.uid() == own_uid() { 0o077 } else { 0o037 };
    if metadata.mode() & others != 0 {
        let message = format!("{} can be read by others: run `chmod 600` on it", path.display());
        return Err(Error::invalid(field, message));
    }
    fs::read_to_string(path).map(|text| Some(Zeroizing::new(text))).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_which_others_could_replace_a_secret_is_refused() {
        let (own, root, other) = (1000, 0, 1001);
        for (owner, mode) in [(own, 0o700), (own, 0o755), (own, 0o1777), (root, 0o755), (root, 0o1777)] {
            assert_eq!(weakness(owner, own, mode), None, "{owner} {mode:o}");
        }
        for (owner, mode) in [(own, 0o777), (own, 0o770), (root, 0o2775), (other, 0o700), (other, 0o1777)] {
            assert!(weakness(owner, own, mode).is_some(), "{owner} {mode:o}");
        }
    }
}
