//! Access keys: an id that is public and a secret that signs.

use std::sync::Arc;

use domain::{AccessKeyId, AccountId, Entropy, Error, PrincipalId, PrincipalKind, Result, Secret, Timestamp};
use sha2::{Digest, Sha256};
pub use store::AccessKey;
use store::{ReadTx, WriteTx};
use subtle::ConstantTimeEq;

use crate::abuse::Known;
use crate::audit::AuthFailure;
use crate::authz::{self, Rights};
use crate::cache::Copy;
use crate::call::{Call, Caller, Origin, Proof};
use crate::directory::which::{Which, WhichKey};
use crate::installation::seal::{MasterKey, Record};
use crate::quotas::room;
use crate::service::{PageRequest, Paged, Service};

/// What is needed to verify a signature, and who it then speaks for.
#[derive(Debug)]
pub struct SigningKey {
    /// The secret half.
    pub secret: Secret,
    /// Whose key it is.
    pub caller: Arc<Caller>,
    /// Hex SHA-256 of the security token that a temporary key is shown with; `None` for a permanent key.
    pub security_token: Option<String>,
    /// When it ends, if it does by itself: a temporary key, or one that is being replaced.
    pub expires_at: Option<Timestamp>,
}

impl SigningKey {
    /// Whether the key may be shown with this security token: a temporary one with its own and no other, a permanent
    /// one with none. The token must be covered by the signature.
    #[must_use]
    pub fn accepts(&self, shown: Option<&str>) -> bool {
        match (&self.security_token, shown) {
            (None, None) => true,
            (Some(known), Some(shown)) => {
                let shown = hex::encode(Sha256::digest(shown.as_bytes()));
                bool::from(known.as_bytes().ct_eq(shown.as_bytes()))
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// A key that was just made: the only time its secret is shown.
#[derive(Debug)]
pub struct NewKey {
    /// The key as it will be listed.
    pub key: AccessKey,
    /// The secret half.
    pub secret: Secret,
}

/// What is to change about a key. What is `None` stays.
#[derive(Debug, Default)]
pub struct KeyUpdate {
    /// Whether signatures with it are accepted.
    pub enabled: Option<bool>,
    /// Another note.
    pub description: Option<String>,
}

impl Service {
    /// The enabled key of that id with its enabled user, or the temporary key of that id while its session lives, of
    /// whatever account: the caller proved nothing yet. Unknown ids are not remembered, so that guessing cannot push
    /// out what is known.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn signing_key(&self, id: &str) -> Result<Option<Arc<SigningKey>>> {
        let known = match self.signing_keys.get(&self.revisions, id) {
            Some(copy) => copy.value.clone(),
            None => self.load_signing_key(id).await?,
        };
        Ok(known.filter(|key| key.expires_at.is_none_or(|end| end > self.now())))
    }

    async fn load_signing_key(&self, id: &str) -> Result<Option<Arc<SigningKey>>> {
        let mut tx = self.store.read().await?;
        let Some(key) = tx.access_key(id).await? else {
            return self.load_temporary_key(tx, id).await;
        };
        let revision = tx.revision(&key.account).await?;
        let caller = if key.enabled { self.caller(&mut tx, &key.account, &key.user).await? } else { None };
        tx.end().await?;
        let value = match caller {
            Some(caller) => Some(Arc::new(SigningKey {
                secret: self.open_secret(&key)?,
                caller: Arc::new(Caller { proof: Proof::AccessKey(key.id.clone()), ..caller }),
                security_token: None,
                expires_at: key.ends_at,
            })),
            None => None,
        };
        let copy = Copy { account: key.account, revision, others: Vec::new(), value: value.clone() };
        self.signing_keys.put(id, copy);
        Ok(value)
    }

    /// Whether signatures with this key id are not looked at, because too many from there were wrong.
    #[must_use]
    pub fn is_key_locked(&self, id: &str, origin: &Origin) -> bool {
        self.key_guesses.is_locked(id, &origin.source, self.now())
    }

    /// Counts what became of a signature with this key id. Only what may be a guess locks anybody out.
    pub fn note_signature(&self, id: &str, origin: &Origin, outcome: std::result::Result<(), AuthFailure>) {
        let failed = |known| self.key_guesses.failed(known, id, &origin.source, self.now());
        match outcome {
            Ok(()) => self.key_guesses.succeeded(id, &origin.source),
            Err(AuthFailure::Signature) => failed(Known::Yes),
            Err(AuthFailure::UnknownKey) => failed(Known::No),
            Err(
                AuthFailure::Nothing
                | AuthFailure::Scheme
                | AuthFailure::Malformed
                | AuthFailure::Date
                | AuthFailure::Token
                | AuthFailure::Password
                | AuthFailure::Locked
                | AuthFailure::PodToken,
            ) => {}
        }
    }

    fn open_secret(&self, key: &AccessKey) -> Result<Secret> {
        let record = Record { kind: "access-key", id: key.id.as_str(), account: &key.account };
        let plain = self.master_key.open(&record, &key.sealed_secret)?;
        String::from_utf8(plain.to_vec())
            .map(Secret::new)
            .map_err(|_| Error::internal("a secret key is not text"))
    }

    /// Makes a key for a user of the account.
    ///
    /// # Errors
    /// `NotFound` if there is no such user; `Forbidden` for whoever has less rights than the user.
    pub async fn create_access_key(
        &self,
        call: &Call,
        user: impl Into<Which<'_>> + Send,
        description: &str,
    ) -> Result<NewKey> {
        authz::require(call, "bailiwick:accessKey:create")?;
        crate::directory::names::check_text("description", description, 255)?;
        let mut tx = self.begin(call).await?;
        let owner = user.into().find(&mut tx, call.account(), PrincipalKind::User).await?;
        self.may_change(&mut tx, call, &owner.id).await?;
        let have = tx.count_access_keys_of(&owner.id).await?;
        room("access keys of a user", have, self.settings.quotas.access_keys_per_user)?;
        let sealing = self.master_key.sealing(&mut tx).await?;
        let made = make_key(&sealing, &*self.entropy, self.now(), &owner.account, &owner.id, description)?;
        tx.insert_access_key(&made.key).await?;
        self.commit(tx, call, "bailiwick:accessKey:create", &format!("access-key/{}", made.key.id)).await?;
        Ok(made)
    }

    /// A page of the account's keys, or all of one user's.
    ///
    /// # Errors
    /// `NotFound` if there is no such user.
    pub async fn list_access_keys(
        &self,
        call: &Call,
        user: Option<&str>,
        page: &PageRequest,
    ) -> Result<Paged<AccessKey>> {
        authz::require(call, "bailiwick:accessKey:list")?;
        let mut tx = self.store.read().await?;
        let key = |key: &AccessKey| (key.created_at, key.id.as_str().to_owned());
        let paged = match user {
            None => page.paged(tx.access_keys(call.account(), &page.to_page()?).await?, key)?,
            Some(user) => {
                let owner = Which::from(user).find(&mut tx, call.account(), PrincipalKind::User).await?;
                page.slice(&tx.access_keys_of(&owner.id).await?, key)?
            }
        };
        tx.end().await?;
        Ok(paged)
    }

    /// A page of the keys of the user with that id.
    ///
    /// # Errors
    /// `NotFound` if there is no such user.
    pub async fn list_access_keys_of(
        &self,
        call: &Call,
        user: Which<'_>,
        page: &PageRequest,
    ) -> Result<Paged<AccessKey>> {
        authz::require(call, "bailiwick:accessKey:list")?;
        let mut tx = self.store.read().await?;
        let owner = user.find(&mut tx, call.account(), PrincipalKind::User).await?;
        let keys = tx.access_keys_of(&owner.id).await?;
        tx.end().await?;
        page.slice(&keys, |key| (key.created_at, key.id.as_str().to_owned()))
    }

    /// A key of the account, with when it was used last.
    ///
    /// # Errors
    /// `NotFound` if there is no such key in the account.
    pub async fn show_access_key(
        &self,
        call: &Call,
        key: impl Into<WhichKey<'_>> + Send,
    ) -> Result<AccessKey> {
        authz::require(call, "bailiwick:accessKey:show")?;
        let mut tx = self.store.read().await?;
        let found = key.into().find(&mut tx, call.account()).await?;
        tx.end().await?;
        Ok(found)
    }

    /// Enables a key.
    ///
    /// # Errors
    /// As [`Service::update_access_key`].
    pub async fn enable_access_key(&self, call: &Call, id: &str) -> Result<AccessKey> {
        self.update_access_key(call, id, KeyUpdate { enabled: Some(true), description: None }).await
    }

    /// Disables a key: signatures with it are refused from now on.
    ///
    /// # Errors
    /// As [`Service::update_access_key`].
    pub async fn disable_access_key(&self, call: &Call, id: &str) -> Result<AccessKey> {
        self.update_access_key(call, id, KeyUpdate { enabled: Some(false), description: None }).await
    }

    /// Enables or disables a key, or writes another note about it.
    ///
    /// # Errors
    /// `NotFound` if there is no such key in the account; `Forbidden` for whoever has less rights than its user;
    /// `Conflict` if it is the root user's last way in.
    pub async fn update_access_key(
        &self,
        call: &Call,
        key: impl Into<WhichKey<'_>> + Send,
        update: KeyUpdate,
    ) -> Result<AccessKey> {
        authz::require(call, "bailiwick:accessKey:update")?;
        crate::directory::names::check_text(
            "description",
            update.description.as_deref().unwrap_or_default(),
            255,
        )?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => {
                return self.repeated(call, error).await?.access_key("bailiwick:accessKey:update").await;
            }
        };
        let mut key = key.into().find(&mut tx, call.account()).await?;
        let id = key.id.clone();
        self.may_change(&mut tx, call, &key.user).await?;
        if let Some(enabled) = update.enabled {
            if !enabled {
                keep_a_way_in(&mut tx, &key).await?;
            }
            tx.set_access_key_enabled(id.as_str(), i64::from(enabled)).await?;
            key.enabled = enabled;
        }
        if let Some(description) = update.description {
            tx.set_access_key_description(id.as_str(), &description).await?;
            key.description = description;
        }
        self.commit(tx, call, "bailiwick:accessKey:update", &format!("access-key/{id}")).await?;
        Ok(key)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// `NotFound` if there is no such key in the account; `Forbidden` for whoever has less rights than its user;
    /// `Conflict` if it is the root user's last way in.
    pub async fn delete_access_key(&self, call: &Call, key: impl Into<WhichKey<'_>> + Send) -> Result<()> {
        authz::require(call, "bailiwick:accessKey:delete")?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => {
                return self.repeated(call, error).await?.deleted("bailiwick:accessKey:delete").await;
            }
        };
        let key = key.into().find(&mut tx, call.account()).await?;
        self.may_change(&mut tx, call, &key.user).await?;
        keep_a_way_in(&mut tx, &key).await?;
        tx.delete_access_key(key.id.as_str()).await?;
        self.commit(tx, call, "bailiwick:accessKey:delete", &format!("access-key/{}", key.id)).await
    }
}

/// Refuses to end the key with which alone the root user can still call: nobody else could let them in again.
pub(crate) async fn keep_a_way_in(tx: &mut WriteTx, key: &AccessKey) -> Result<()> {
    let Some(owner) = tx.principal(&key.account, key.user.as_str()).await? else { return Ok(()) };
    if !owner.root || !key.enabled || owner.password_set_at.is_some() {
        return Ok(());
    }
    let others = tx.access_keys_of(&owner.id).await?;
    if others.iter().any(|other| other.enabled && other.id != key.id) {
        return Ok(());
    }
    Err(Error::conflict(
        "the root user has no password and no other enabled access key: without this one nobody could get in as root \
         any more",
    ))
}

pub(crate) const KEY_ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
pub(crate) const SECRET_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A new key, not stored yet. Ids are 20 upper-case characters, secrets 40, as people know them.
pub(crate) fn make_key(
    master_key: &MasterKey,
    entropy: &dyn Entropy,
    now: Timestamp,
    account: &AccountId,
    user: &PrincipalId,
    description: &str,
) -> Result<NewKey> {
    let id = AccessKeyId::stored(&format!("BW{}", random_text(entropy, KEY_ID_ALPHABET, 18)));
    let secret = Secret::new(random_text(entropy, SECRET_ALPHABET, 40));
    let key = seal_key(master_key, entropy, now, account, user, id, &secret, description)?;
    Ok(NewKey { key, secret })
}

/// Seals a key whose halves are given.
#[expect(
    clippy::too_many_arguments,
    reason = "a key's record has these parts; a builder would only rename them"
)]
pub(crate) fn seal_key(
    master_key: &MasterKey,
    entropy: &dyn Entropy,
    now: Timestamp,
    account: &AccountId,
    user: &PrincipalId,
    id: AccessKeyId,
    secret: &Secret,
    description: &str,
) -> Result<AccessKey> {
    let record = Record { kind: "access-key", id: id.as_str(), account };
    let sealed_secret = master_key.seal(entropy, &record, secret.expose().as_bytes())?;
    Ok(AccessKey {
        account: account.clone(),
        user: user.clone(),
        sealed_secret,
        enabled: true,
        description: description.to_owned(),
        created_at: now,
        last_used_at: None,
        ends_at: None,
        id,
    })
}

/// Text of `length` letters. The alphabet has a power of two letters, so that each byte's low bits pick one evenly.
pub(crate) fn random_text(entropy: &dyn Entropy, alphabet: &[u8], length: usize) -> String {
    let mut bytes = vec![0; length];
    entropy.fill(&mut bytes);
    bytes
        .iter()
        .filter_map(|byte| alphabet.get(usize::from(*byte) % alphabet.len()))
        .map(|b| char::from(*b))
        .collect()
}

impl Service {
    /// The enabled user, or the agency, of that id as a caller.
    pub(crate) async fn caller(
        &self,
        tx: &mut ReadTx,
        account: &AccountId,
        principal: &PrincipalId,
    ) -> Result<Option<Caller>> {
        let found = tx.principal(account, principal.as_str()).await?;
        let Some(found) = found.filter(|principal| principal.enabled) else { return Ok(None) };
        let Some(tenant) = tx.account(account).await? else { return Ok(None) };
        let projects = tx.projects(account, &store::Page { after: None, limit: i64::MAX }).await?;
        let rights = Rights::read(tx, &self.settings.vocabulary, principal).await?;
        Ok(Some(Caller {
            projects: projects.into_iter().map(|project| project.id).collect(),
            account: account.clone(),
            account_name: tenant.name,
            principal: found.id,
            kind: found.kind,
            name: found.name,
            root: found.root,
            administrator: rights.groups.iter().any(|(_, name)| name == authz::ADMINISTRATORS),
            rights: Arc::new(rights),
            revision: tx.revision(account).await?,
            proof: Proof::Server,
        }))
    }
}
