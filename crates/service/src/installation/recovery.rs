//! Getting back into an account whose root user's credentials are lost or in wrong hands. For the server's operator:
//! whoever holds the database and the master key needs no rights.

use domain::{AccessKeyId, Account, Error, GrantId, Result, Secret};
use store::{AuditEvent, Outcome, ReadTx, WriteTx};

use crate::directory::access_keys::{KEY_ID_ALPHABET, SECRET_ALPHABET, random_text, seal_key};
use crate::installation::bootstrap::Bootstrap;

/// New credentials of a root user, not stored yet.
#[derive(Debug)]
pub struct Recovery {
    /// The account.
    pub account: Account,
    /// The root user's id.
    pub user_id: String,
    /// The root user's name.
    pub user_name: String,
    /// The new password.
    pub password: Secret,
    /// The public half of the new key.
    pub access_key_id: AccessKeyId,
    /// The secret half.
    pub secret_access_key: Secret,
}

/// What becomes of the keys that the root user has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKeys {
    /// They go on.
    Stay,
    /// They are refused from now on.
    AreDisabled,
}

impl Bootstrap {
    /// Makes new credentials for the root user of the account with that id or name, or of the only one there is.
    ///
    /// # Errors
    /// `NotFound` if there is no such account; `Invalid` if there are several and none was named.
    pub async fn prepare_recovery(&self, account: Option<&str>) -> Result<Recovery> {
        let mut tx = self.store.read().await?;
        let account = self.account_to_recover(&mut tx, account).await?;
        let root = tx.root_of(&account.id).await?;
        tx.end().await?;
        let root = root.ok_or_else(|| Error::internal("the account has no root user"))?;
        let entropy = &*self.entropy;
        Ok(Recovery {
            account,
            user_id: root.id.to_string(),
            user_name: root.name,
            password: Secret::new(random_text(entropy, SECRET_ALPHABET, 24)),
            access_key_id: AccessKeyId::stored(&format!("BW{}", random_text(entropy, KEY_ID_ALPHABET, 18))),
            secret_access_key: Secret::new(random_text(entropy, SECRET_ALPHABET, 40)),
        })
    }

    async fn account_to_recover(&self, tx: &mut ReadTx, named: Option<&str>) -> Result<Account> {
        if let Some(named) = named {
            return match tx.account(&domain::AccountId::stored(named)).await? {
                Some(found) => Ok(found),
                None => tx.account_by_name(named).await?.ok_or_else(|| Error::not_found("account", named)),
            };
        }
        match self.store.revisions().await?.as_slice() {
            [only] => {
                tx.account(&only.account).await?.ok_or_else(|| Error::internal("an account without a record"))
            }
            [] => Err(Error::conflict("the database has no account yet: start the server once")),
            _ => Err(Error::invalid("account", "must be named: there are several")),
        }
    }

    /// Stores them: from then on the former password and all tokens of the root user are refused. Returns how many keys
    /// were disabled.
    ///
    /// # Errors
    /// `NotFound` if the account went away; `Unavailable` if the database does not answer.
    pub async fn store_recovery(&self, recovery: &Recovery, old_keys: OldKeys) -> Result<usize> {
        let hash =
            crate::directory::password::hash(&recovery.password, domain::entropy::bytes(&*self.entropy))?;
        let mut tx = self.store.write(&recovery.account.id).await?;
        let root = tx.root_of(&recovery.account.id).await?;
        let root = root.ok_or_else(|| Error::internal("the account has no root user"))?;
        tx.set_password_hash(&root.id, &hash, self.clock.now()).await?;
        tx.enable_principal(&root.id).await?;
        // What their keys began, too: whoever recovers an account wants nobody else in it.
        tx.end_sessions_of_principal(&root.id).await?;
        let mut disabled = 0;
        if old_keys == OldKeys::AreDisabled {
            for key in tx.access_keys_of(&root.id).await?.into_iter().filter(|key| key.enabled) {
                tx.set_access_key_enabled(key.id.as_str(), 0).await?;
                disabled += 1;
            }
        }
        let sealing = self.master_key.sealing(&mut tx).await?;
        let key = seal_key(
            &sealing,
            &*self.entropy,
            self.clock.now(),
            &recovery.account.id,
            &root.id,
            recovery.access_key_id.clone(),
            &recovery.secret_access_key,
            "made by `bailiwick recover`",
        )?;
        tx.insert_access_key(&key).await?;
        self.note_recovery(&mut tx, recovery).await?;
        tx.commit().await?;
        Ok(disabled)
    }

    async fn note_recovery(&self, tx: &mut WriteTx, recovery: &Recovery) -> Result<()> {
        for (action, resource) in [
            ("bailiwick:account:recover", format!("account/{}", recovery.account.id)),
            ("bailiwick:user:setPassword", format!("user/{}", recovery.user_id)),
            ("bailiwick:accessKey:create", format!("access-key/{}", recovery.access_key_id)),
        ] {
            let event = AuditEvent {
                id: GrantId::random_uuid(&*self.entropy).as_str().to_owned(),
                at: self.clock.now(),
                actor: None,
                actor_name: String::new(),
                action: action.to_owned(),
                resource,
                outcome: Outcome::Done,
                occurrences: 1,
                explanation: None,
                request_id: String::new(),
                source: "server operator".to_owned(),
            };
            tx.audit(&event).await?;
        }
        Ok(())
    }
}
