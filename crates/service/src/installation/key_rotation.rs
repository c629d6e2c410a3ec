//! A new master key in the place of the old one, while servers go on.
//!
//! 1. The new key is added to where keys come from, and **announced** in the database: servers say whether they hold it.
//! 2. When all that answered do, the installation is **switched**: from then on the new key seals. Whoever seals asks in
//!    its own transaction, under its account's lock, so nobody goes on with the old one.
//! 3. Account by account, under the same lock, what the old key sealed is **sealed anew**. After that pass nothing that
//!    the old key sealed can appear any more.
//! 4. The announcement **ends**, and the old key can be taken away.
//!
//! Each step is a commit of its own and may be repeated: whoever finds an announcement goes on where it stopped.

use domain::{AccountId, Error, GrantId, Result};
use store::{Answer, AuditEvent, MasterKeyState, Outcome, Sealed, SealedValue, WriteTx};

use crate::fleet::stamp_key;
use crate::installation::bootstrap::Bootstrap;
use crate::installation::seal::{MasterKey, Record};
use crate::service::Service;

/// How many values are sealed anew in one transaction, during which nothing else of their account can change.
const BATCH: i64 = 100;

/// What came of sealing anew.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// How many values the new key sealed.
    pub done: u64,
    /// Values that do not open: `access-key/ID` and the like. They were left as they are.
    pub broken: Vec<String>,
}

/// Which keys are needed for what.
#[derive(Debug, PartialEq, Eq)]
pub struct KeysInUse {
    /// Which key seals, and which is to.
    pub state: MasterKeyState,
    /// How many values each key sealed: (id of the key, number), the most first.
    pub sealed: Vec<(String, i64)>,
}

impl Bootstrap {
    /// Refuses to go on without the key that seals, or, in the middle of a change, any key that is still needed.
    pub(crate) async fn require_keys(&self, current: &str) -> Result<()> {
        let mut needed = vec![current.to_owned()];
        let in_use = self.keys_in_use_while_changing().await?;
        needed.extend(in_use.into_iter().map(|(id, _)| id).filter(|id| id != current));
        match needed.iter().find(|id| self.master_key.find(id).is_none()) {
            None => Ok(()),
            Some(missing) => Err(Error::conflict(format!(
                "the database needs master key {missing}, the key given is {}: start with the key it needs",
                self.master_key.ids().join(", ")
            ))),
        }
    }

    /// Counting reads everything that is sealed, so it is only done while there may be more than one key.
    async fn keys_in_use_while_changing(&self) -> Result<Vec<(String, i64)>> {
        let found = self.keys_in_use().await?;
        Ok(found.filter(|found| found.state.next.is_some()).map(|found| found.sealed).unwrap_or_default())
    }

    /// Which keys are needed for what; `None` before the first start finished.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn keys_in_use(&self) -> Result<Option<KeysInUse>> {
        let mut tx = self.store.read().await?;
        let Some(state) = tx.master_key_state().await? else { return Ok(None) };
        let mut sealed: Vec<(String, i64)> = Vec::new();
        for what in Sealed::ALL {
            for (id, count) in tx.sealed_by(what).await? {
                match sealed.iter_mut().find(|(known, _)| *known == id) {
                    Some((_, sum)) => *sum += count,
                    None => sealed.push((id, count)),
                }
            }
        }
        tx.end().await?;
        sealed.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(Some(KeysInUse { state, sealed }))
    }

    /// Step 1: asks all servers whether they hold `key`.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn announce_key(&self, key: &MasterKey) -> Result<()> {
        self.store.announce_master_key(key.id(), self.clock.now()).await
    }

    /// What the servers said so far. A server that does not run says nothing.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn key_answers(&self, key: &MasterKey) -> Result<Vec<Answer>> {
        let mut tx = self.store.read().await?;
        let answers = tx.master_key_answers(key.id()).await?;
        tx.end().await?;
        Ok(answers)
    }

    /// Step 2: the announced key seals from now on.
    ///
    /// # Errors
    /// `Conflict` if somebody else changed the key meanwhile.
    pub async fn switch_key(&self, former: &str, key: &MasterKey) -> Result<()> {
        let event = AuditEvent {
            id: GrantId::random_uuid(&*self.entropy).as_str().to_owned(),
            at: self.clock.now(),
            actor: None,
            actor_name: String::new(),
            action: "bailiwick:masterKey:rotate".to_owned(),
            resource: format!("master-key/{}", key.id()),
            outcome: Outcome::Done,
            occurrences: 1,
            explanation: None,
            request_id: String::new(),
            source: "server operator".to_owned(),
        };
        if self.store.switch_master_key(former, key.id(), &event).await? {
            return Ok(());
        }
        let message = "somebody else changes the master key: look with `bailiwick master-key list`";
        Err(Error::conflict(message))
    }

    /// Step 3: seals everything anew that another key sealed.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; what was done until then is done.
    pub async fn reseal(&self, key: &MasterKey) -> Result<Resealed> {
        // Whoever makes an account holds this lock: afterwards there is none whose first key the old one still seals
        // and that is not in the list.
        self.store.begin_account(&AccountId::stored("")).await?.commit().await?;
        let mut resealed = Resealed::default();
        let revisions = self.store.revisions().await?;
        let nobody = std::iter::once(AccountId::stored(""));
        for account in revisions.into_iter().map(|revision| revision.account).chain(nobody) {
            for what in Sealed::ALL {
                self.reseal_column(key, &account, what, &mut resealed).await?;
            }
        }
        Ok(resealed)
    }

    async fn reseal_column(
        &self,
        key: &MasterKey,
        account: &AccountId,
        what: Sealed,
        resealed: &mut Resealed,
    ) -> Result<()> {
        let mut after = String::new();
        loop {
            let mut tx = self.store.write(account).await?;
            let values = tx.sealed_otherwise(what, key.id(), &after, BATCH).await?;
            let Some(last) = values.last() else { return Ok(()) };
            after.clone_from(&last.id);
            for value in &values {
                self.reseal_value(&mut tx, key, what, value, resealed).await?;
            }
            tx.commit().await?;
        }
    }

    /// A value that does not open was moved or changed: it stays as it is, for somebody to look at.
    async fn reseal_value(
        &self,
        tx: &mut WriteTx,
        key: &MasterKey,
        what: Sealed,
        value: &SealedValue,
        resealed: &mut Resealed,
    ) -> Result<()> {
        let account = tx.account().clone();
        let record = Record { kind: kind(what), id: &value.id, account: &account };
        let Ok(plain) = self.master_key.open(&record, &value.sealed) else {
            resealed.broken.push(format!("{}/{}", record.kind, value.id));
            return Ok(());
        };
        let sealed = key.seal(&*self.entropy, &record, &plain)?;
        resealed.done += u64::from(tx.replace_sealed(what, value, &sealed).await?);
        Ok(())
    }

    /// Step 4: nothing is sealed by another key any more.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn end_key_change(&self) -> Result<()> {
        self.store.end_master_key_rotation().await
    }
}

/// What kind of record a column's values are sealed for.
fn kind(what: Sealed) -> &'static str {
    match what {
        Sealed::AccessKeys => "access-key",
        Sealed::Connections => "connection",
        Sealed::StampKeys => stamp_key::KIND,
        Sealed::TemporaryKeys => crate::sessions::KIND,
    }
}

impl Service {
    /// Answers for this server, called `server`, whether it holds the key that was announced, if one was. Returns which.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn answer_key_question(&self, server: &str) -> Result<Option<String>> {
        let mut tx = self.store.read().await?;
        let state = tx.master_key_state().await?;
        tx.end().await?;
        let Some(MasterKeyState { current, next: Some(next) }) = state else { return Ok(None) };
        if current != next {
            let held = self.master_key.find(&next).is_some();
            self.store.answer_master_key(&next, &Answer { server: server.to_owned(), held }).await?;
        }
        Ok(Some(next))
    }

    /// Holds the keys that there are now, and no others. Returns their ids.
    ///
    /// # Errors
    /// If they cannot be read: those that were held stay.
    pub fn read_keys_again(&self) -> Result<String> {
        self.master_key.read_again()?;
        Ok(self.master_key.ids().join(", "))
    }
}
