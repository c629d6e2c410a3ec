//! Access keys: an id that is public and a secret that signs.

use std::sync::Arc;

use domain::{AccessKeyId, AccountId, Entropy, Error, PrincipalId, PrincipalKind, Result, Secret, Timestamp};
use sha2::{Digest, Sha256};
pub use store::AccessKey;
use store::ReadTx;
use subtle::ConstantTimeEq;

use crate::abuse::Known;
use crate::audit::AuthFailure;
use crate::authz::{self, Rights};
use crate::cache::Copy;
use crate::call::{Call, Caller, Origin, Proof};
use crate::quotas::room;
use crate::seal::{MasterKey, Record};
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
    /// When a temporary key ends.
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
                expires_at: None,
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
                | AuthFailure::Locked,
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
    /// `NotFound` if there is no such user.
    pub async fn create_access_key(&self, call: &Call, user: &str, description: &str) -> Result<NewKey> {
        authz::require(call, "bailiwick:accessKey:create")?;
        crate::names::check_text("description", description, 255)?;
        let mut tx = self.begin(call).await?;
        let owner = tx
            .principal_named(call.account(), PrincipalKind::User, user)
            .await?
            .ok_or_else(|| Error::not_found("user", user))?;
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
                let owner = tx
                    .principal_named(call.account(), PrincipalKind::User, user)
                    .await?
                    .ok_or_else(|| Error::not_found("user", user))?;
                page.slice(&tx.access_keys_of(&owner.id).await?, key)?
            }
        };
        tx.end().await?;
        Ok(paged)
    }

    /// Enables a key.
    ///
    /// # Errors
    /// `NotFound` if there is no such key in the account.
    pub async fn enable_access_key(&self, call: &Call, id: &str) -> Result<AccessKey> {
        self.set_key_enabled(call, id, 1).await
    }

    /// Disables a key: signatures with it are refused from now on.
    ///
    /// # Errors
    /// `NotFound` if there is no such key in the account.
    pub async fn disable_access_key(&self, call: &Call, id: &str) -> Result<AccessKey> {
        self.set_key_enabled(call, id, 0).await
    }

    async fn set_key_enabled(&self, call: &Call, id: &str, enabled: i64) -> Result<AccessKey> {
        authz::require(call, "bailiwick:accessKey:update")?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => {
                return self.repeated(call, error).await?.access_key("bailiwick:accessKey:update").await;
            }
        };
        if !tx.set_access_key_enabled(id, enabled).await? {
            return Err(Error::not_found("access key", id));
        }
        let key = tx.access_key(id).await?.ok_or_else(|| Error::not_found("access key", id))?;
        self.commit(tx, call, "bailiwick:accessKey:update", &format!("access-key/{id}")).await?;
        Ok(key)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// `NotFound` if there is no such key in the account.
    pub async fn delete_access_key(&self, call: &Call, id: &str) -> Result<()> {
        authz::require(call, "bailiwick:accessKey:delete")?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => {
                return self.repeated(call, error).await?.deleted("bailiwick:accessKey:delete").await;
            }
        };
        if !tx.delete_access_key(id).await? {
            return Err(Error::not_found("access key", id));
        }
        self.commit(tx, call, "bailiwick:accessKey:delete", &format!("access-key/{id}")).await
    }
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
