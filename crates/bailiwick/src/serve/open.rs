//! From settings to an open database with its key and its installation. Shared by the server and by commands that
//! work on its data.

use std::sync::Arc;

use domain::Result;
use service::installation::bootstrap::{Bootstrap, Purpose};
use store::{Installation, Location, Store};

use super::settings::Settings;
use super::{demo, files, master_key};
use crate::environment::ServerEnvironment;
use crate::system::{OsEntropy, SystemClock};

/// An open database.
pub struct Opened {
    /// What can be done without a door.
    pub bootstrap: Bootstrap,
    /// What the database says it is.
    pub installation: Installation,
}

/// Opens the database, checks that it is what it should be, and makes it an installation if it is empty.
///
/// # Errors
/// `Unavailable` without the database; `Conflict` with the wrong key or purpose.
pub async fn open(settings: &Settings, environment: &ServerEnvironment) -> Result<Opened> {
    files::private_folder(&settings.data_dir)?;
    if !settings.demo {
        demo::refuse(&settings.data_dir)?;
    }
    if let Location::File(path) = &settings.location {
        files::private_file(path)?;
    }
    let store = Store::open(&settings.location).await?;
    let mut tx = store.read().await?;
    let known = tx.installation().await?;
    tx.end().await?;
    let entropy = Arc::new(OsEntropy);
    let master_key = if settings.demo {
        // A demo's database is thrown away with the process, and its key with it.
        service::MasterKeys::from(service::MasterKey::generate(&*entropy))
    } else {
        master_key::obtain(settings, environment, &*entropy, known.as_ref())?
    };
    let bootstrap = Bootstrap { store, clock: Arc::new(SystemClock), entropy, master_key };
    let purpose = if settings.demo { Purpose::Demo } else { Purpose::Real };
    let installation = bootstrap.installation(purpose).await?;
    Ok(Opened { bootstrap, installation })
}
