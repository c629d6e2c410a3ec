//! What the server's operator does to its data directly, without calls and without rights: whoever can read the
//! database and the master key needs none.

use std::path::Path;

use domain::{AccountId, Error, Result, Secret};
use service::installation::bootstrap::AccountSpec;
use service::installation::recovery::{OldKeys, Recovery};

use super::open::Opened;
use super::settings::Settings;
use super::{ServeArgs, StorageArgs, files, open};
use crate::environment::ServerEnvironment;

/// An account that was just made, with its root user's key, which is shown this once.
pub struct NewAccount {
    /// The account.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// The id of its root user.
    pub user_id: String,
    /// The id of the root user's access key.
    pub access_key_id: String,
    /// The secret of that key.
    pub secret_access_key: Secret,
}

/// The settings of a command that works on the server's data.
///
/// # Errors
/// `Invalid` naming the setting.
pub fn settings(storage: &StorageArgs, environment: &ServerEnvironment) -> Result<Settings> {
    Settings::read(&ServeArgs::of_storage(storage), environment)
}

/// Opens the data of a server that was started once.
///
/// # Errors
/// `Invalid` if there is none; `Unavailable` without the database; `Conflict` without its key.
pub async fn open_existing(storage: &StorageArgs) -> Result<Opened> {
    open(storage).await.map(|(_, opened)| opened)
}

/// The same, with the settings.
///
/// # Errors
/// `Invalid` if there is none; `Unavailable` without the database; `Conflict` without its key.
pub async fn open(storage: &StorageArgs) -> Result<(Settings, Opened)> {
    let environment = ServerEnvironment::read();
    let settings = settings(storage, &environment)?;
    if let store::Location::File(path) = &settings.location
        && !path.exists()
    {
        let message =
            format!("{} is not there: start the server once, or name its data folder", path.display());
        return Err(Error::invalid("data_dir", message));
    }
    let opened = open::open(&settings, &environment).await?;
    Ok((settings, opened))
}

/// Makes an account with a root user and a key.
///
/// # Errors
/// `Invalid` for an id or name that may not be, `Conflict` for a taken one, `Unavailable` without the database.
pub async fn create_account(storage: &StorageArgs, id: Option<&str>, name: &str) -> Result<NewAccount> {
    let opened = open_existing(storage).await?;
    let spec = AccountSpec {
        account_id: id.map(str::to_owned),
        account_name: Some(name.to_owned()),
        ..AccountSpec::default()
    };
    let prepared = opened.bootstrap.prepare(spec)?;
    opened.bootstrap.store_account(&prepared).await?;
    opened.bootstrap.store.close().await;
    Ok(NewAccount {
        id: prepared.account.id,
        name: prepared.account.name,
        user_id: prepared.root.id.to_string(),
        access_key_id: prepared.access_key_id.to_string(),
        secret_access_key: prepared.secret_access_key,
    })
}

/// Makes new credentials for an account's root user, and stores them. With `file` they are in it before they count: what
/// only the database knew would be lost.
///
/// # Errors
/// `NotFound` for an account that is not there, `Conflict` if there is such a file, `Unavailable` without the database.
pub async fn recover(
    storage: &StorageArgs,
    account: Option<&str>,
    file: Option<&Path>,
    old_keys: OldKeys,
) -> Result<(Recovery, usize)> {
    let opened = open_existing(storage).await?;
    let made = opened.bootstrap.prepare_recovery(account).await?;
    if let Some(file) = file {
        let lines = format!(
            "BAILIWICK_ACCOUNT_NAME={}\nBAILIWICK_USER_NAME={}\nBAILIWICK_PASSWORD={}\n\
             BAILIWICK_ACCESS_KEY_ID={}\nBAILIWICK_SECRET_ACCESS_KEY={}\n",
            made.account.name,
            made.user_name,
            made.password.expose(),
            made.access_key_id,
            made.secret_access_key.expose()
        );
        files::write_new_secret(file, &lines)?;
    }
    let stored = opened.bootstrap.store_recovery(&made, old_keys).await;
    opened.bootstrap.store.close().await;
    match (stored, file) {
        (Ok(disabled), _) => Ok((made, disabled)),
        (Err(error), Some(file)) => {
            files::remove(file)?;
            Err(error)
        }
        (Err(error), None) => Err(error),
    }
}
