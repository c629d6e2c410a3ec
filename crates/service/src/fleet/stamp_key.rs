//! The key that seals the stamps in clusters, and from which the keys of pods are derived. It belongs to the installation and outlives every master key: a copy of the
//! database from before a change of the master key must still read the stamps that were written after it.

use domain::{AccountId, Error, Result};
use store::{ReadTx, STAMP_KEY};

use crate::installation::bootstrap::Bootstrap;
use crate::installation::key_ring::MasterKeys;
use crate::installation::seal::{MasterKey, Record};
use crate::service::Service;

/// What kind of record the sealed key is.
pub(crate) const KIND: &str = "stamp-key";

/// Whom the key belongs to: all accounts, so none.
fn nobody() -> AccountId {
    AccountId::stored("")
}

async fn read(tx: &mut ReadTx, keys: &MasterKeys) -> Result<Option<MasterKey>> {
    let Some(sealed) = tx.sealed_stamp_key().await? else { return Ok(None) };
    let record = Record { kind: KIND, id: STAMP_KEY, account: &nobody() };
    let plain = keys.open(&record, &sealed)?;
    let text = std::str::from_utf8(&plain).map_err(Error::internal)?;
    MasterKey::parse("stamp key", text).map(Some)
}

fn missing() -> Error {
    Error::internal("the database has no key for stamps")
}

impl Bootstrap {
    /// Makes the key that seals stamps, unless there is one.
    pub(crate) async fn make_stamp_key(&self) -> Result<()> {
        let mut tx = self.store.read().await?;
        let known = tx.sealed_stamp_key().await?;
        tx.end().await?;
        if known.is_some() {
            return Ok(());
        }
        let account = nobody();
        let mut tx = self.store.begin_account(&account).await?;
        let record = Record { kind: KIND, id: STAMP_KEY, account: &account };
        let key = MasterKey::generate(&*self.entropy);
        let sealing = self.master_key.sealing(&mut tx).await?;
        let sealed = sealing.seal(&*self.entropy, &record, key.to_hex().as_bytes())?;
        tx.insert_stamp_key(&sealed).await?;
        tx.commit().await
    }
}

impl Service {
    /// The key that seals stamps. It never changes, so it is read once.
    pub(crate) async fn stamp_key(&self) -> Result<&MasterKey> {
        self.stamp_key
            .get_or_try_init(|| async {
                let mut tx = self.store.read().await?;
                let found = read(&mut tx, &self.master_key).await?;
                tx.end().await?;
                found.ok_or_else(missing)
            })
            .await
    }

    /// The same for who is reading already: waiting for another connection they would hold up those who wait for theirs.
    pub(crate) async fn stamp_key_in(&self, tx: &mut ReadTx) -> Result<&MasterKey> {
        self.stamp_key
            .get_or_try_init(|| async { read(tx, &self.master_key).await?.ok_or_else(missing) })
            .await
    }
}
