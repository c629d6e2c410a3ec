//! An embedded database is one server's: two would each work for every cluster. The claim is a lock that the kernel
//! gives up with the process, however it ends.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use domain::{Error, Result};
use store::Location;

use super::files;

/// Claims the database of `location` for this process, for as long as the answer lives. A PostgreSQL database is
/// shared and needs no claim.
///
/// # Errors
/// `Conflict` if another server has it; `Invalid` if the lock's file cannot be made.
pub fn claim(location: &Location) -> Result<Option<File>> {
    let Location::File(database) = location else { return Ok(None) };
    let path = lock_of(database);
    files::private_file(&path)?;
    let failed = |error: &std::io::Error| Error::invalid("data_dir", format!("{}: {error}", path.display()));
    let file = File::options().append(true).open(&path).map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(Error::conflict(format!(
            "another server works on {}: stop it first (several servers can share a PostgreSQL database)",
            database.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// The lock's file: beside the database, so that it is found from wherever the database is named.
pub fn lock_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
