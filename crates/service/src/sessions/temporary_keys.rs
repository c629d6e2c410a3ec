//! Temporary keys: an access key and a security token that end by themselves. They sign wherever lasting ones do.

use std::sync::Arc;

use domain::{AccessKeyId, Error, Result, Secret, Timestamp};
use store::{ReadTx, Session};

use crate::cache::Copy;
use crate::call::{Call, Caller};
use crate::directory::access_keys::SigningKey;
use crate::installation::seal::Record;
use crate::pod_identity::{minting, session as vended_session};
use crate::service::Service;
use crate::sessions::assuming::check_limits;
use crate::sessions::{self, KIND, NewSession, SessionKind, TEMPORARY_PREFIX, ancestors};

/// A temporary key that was just issued: the only time its secrets are shown.
#[derive(Debug)]
pub struct TemporaryKey {
    /// The public half.
    pub id: AccessKeyId,
    /// The half that signs.
    pub secret: Secret,
    /// What each request with it must show, covered by the signature.
    pub security_token: Secret,
    /// As whom it acts.
    pub caller: Arc<Caller>,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Service {
    /// A temporary key of the caller's own, good for as much as what they showed and within `limits`: of each set of
    /// policies one must allow.
    ///
    /// Nobody needs a right for it: it is worth no more than what they have in hand, and ends with it.
    ///
    /// # Errors
    /// `Unauthenticated` if what they showed ended meanwhile.
    pub async fn issue_temporary_key(
        &self,
        call: &Call,
        seconds: i64,
        limits: Vec<Vec<String>>,
    ) -> Result<TemporaryKey> {
        limits.iter().try_for_each(|set| check_limits(set))?;
        let caller = &call.caller;
        let until = self.now().plus_seconds(seconds);
        let mut new = NewSession::of(caller, SessionKind::TemporaryKey, "token", until);
        new.project.clone_from(&call.project);
        new.limits.extend(limits);
        // What is in memory about callers stays good: a session more changes nothing about others.
        let mut tx = self.store.write_grants(&caller.account).await?;
        let ancestors = ancestors(&mut tx, caller, self.now()).await?;
        self.once(&mut tx, call).await?;
        let begun = self.begin_session(&mut tx, new, &ancestors).await?;
        let resource = format!("{}/{}/temporary-key/{}", caller.kind, caller.principal, begun.session.id);
        let key = self.key_of(&mut tx, begun).await?;
        self.commit(tx, call, "bailiwick:temporaryKey:issue", &resource).await?;
        Ok(key)
    }

    /// The key that a session which was just begun is.
    pub(crate) async fn key_of(&self, tx: &mut ReadTx, begun: sessions::Begun) -> Result<TemporaryKey> {
        let session = begun.session;
        let living = self.living(tx, &session, self.now()).await?;
        let living = living.ok_or_else(|| Error::internal("a session was over when it began"))?;
        Ok(TemporaryKey {
            id: AccessKeyId::stored(session.id.as_str()),
            secret: begun.secret.ok_or_else(|| Error::internal("a temporary key without secret"))?,
            security_token: begun.proof,
            expires_at: living.until,
            caller: living.caller,
        })
    }

    /// The temporary key of that id, and a copy of it for the next time.
    pub(crate) async fn load_temporary_key(
        &self,
        mut tx: ReadTx,
        id: &str,
    ) -> Result<Option<Arc<SigningKey>>> {
        let is_one = [TEMPORARY_PREFIX, minting::PREFIX].iter().any(|prefix| id.starts_with(prefix));
        let found = if is_one { self.session_of(&mut tx, id).await? } else { None };
        let Some(session) = found.filter(|session| session.kind == SessionKind::TemporaryKey) else {
            tx.end().await?;
            return Ok(None);
        };
        let secret = self.temporary_secret(&mut tx, &session).await?;
        let revision = tx.revision(&session.account).await?;
        let living = self.living(&mut tx, &session, self.now()).await?;
        tx.end().await?;
        // What is over is not remembered: its row will not come back.
        let Some(living) = living else { return Ok(None) };
        let key = Arc::new(SigningKey {
            secret,
            caller: living.caller,
            security_token: Some(session.proof_hash),
            expires_at: Some(living.until),
        });
        let value = Some(Arc::clone(&key));
        self.signing_keys.put(id, Copy { account: session.account, revision, others: living.others, value });
        Ok(Some(key))
    }

    /// The session of that id, whether it lives or not. One that was vended to a pod is there until it ends.
    pub(crate) async fn session_of(&self, tx: &mut ReadTx, id: &str) -> Result<Option<Session>> {
        if !id.starts_with(minting::PREFIX) {
            return tx.session(id).await;
        }
        let vended = tx.vended_session(id).await?.filter(|vended| vended.expires_at > self.now());
        let Some(vended) = vended else { return Ok(None) };
        let proof = self.mint_in(tx).await?.security_token(id);
        vended_session::session(vended, sessions::proof_hash(proof.expose())).map(Some)
    }

    /// The secret of a temporary key.
    async fn temporary_secret(&self, tx: &mut ReadTx, session: &Session) -> Result<Secret> {
        match session.id.as_str().starts_with(minting::PREFIX) {
            true => Ok(self.mint_in(tx).await?.secret(session.id.as_str())),
            false => self.open_temporary_secret(session),
        }
    }

    fn open_temporary_secret(&self, session: &Session) -> Result<Secret> {
        let sealed = session.sealed_secret.as_deref();
        let sealed = sealed.ok_or_else(|| Error::internal("a temporary key without secret"))?;
        let record = Record { kind: KIND, id: session.id.as_str(), account: &session.account };
        let plain = self.master_key.open(&record, sealed)?;
        String::from_utf8(plain.to_vec())
            .map(Secret::new)
            .map_err(|_| Error::internal("a secret key is not text"))
    }
}
