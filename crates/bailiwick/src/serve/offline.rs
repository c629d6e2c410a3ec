//! What the server's operator does to its data directly, without calls and without rights: whoever can read the
//! database and the master key needs none.

use domain::{AccountId, Error, Result, Secret};
use service::bootstrap::AccountSpec;

use super::open::Opened;
use super::settings::Settings;
use super::{ServeArgs, StorageArgs, open};
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

/// Makes an account with a root user and a key.
///
/// # Errors
/// `Invalid` for an id or name that may not be, `Conflict` for a taken one, `Unavailable` without the database.
pub async fn create_account(storage: &StorageArgs, id: Option<&str>, name: &str) -> Result<NewAccount> {
    let opened = open(storage).await?.1;
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

/// The data of a server that may be running.
///
/// # Errors
/// `Invalid` if there is none yet; `Unavailable` without the database; `Conflict` with the wrong key.
pub async fn open(storage: &StorageArgs) -> Result<(Settings, Opened)> {
    let environment = ServerEnvironment::read();
    let settings = Settings::read(&ServeArgs::of_storage(storage), &environment)?;
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
