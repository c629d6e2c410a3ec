//! Sessions: what tokens and temporary keys stand for.
//!
//! A session is derived from what its caller showed: a password, an access key, another session. It ends no later than
//! that, and with every one of its ancestors (`store/session_ends.rs`).

pub mod assuming;
pub mod revocation;
pub mod session_tags;
pub mod temporary_keys;
pub mod tokens;

use std::sync::Arc;

use domain::{
    AccountId, Error, ErrorKind, PrincipalId, Project, ProjectId, Result, Secret, SessionId, Timestamp,
};
use policy::Document;
use sha2::{Digest, Sha256};
pub use store::SessionKind;
use store::{Ancestor, AncestorKind, ReadTx, Session, WriteTx};

use crate::authz::GRAMMARS;
use crate::call::{Caller, Proof, SessionFacts, Tag};
use crate::directory::access_keys::{KEY_ID_ALPHABET, SECRET_ALPHABET, random_text};
use crate::installation::seal::Record;
use crate::pod_identity::session as pod_identity;
use crate::quotas::room;
use crate::service::Service;

/// What kind of record the secret of a temporary key is sealed for.
pub(crate) const KIND: &str = "temporary-key";

/// How the ids of temporary keys begin. Those of keys that last begin differently, so that both can be told apart.
pub(crate) const TEMPORARY_PREFIX: &str = "BT";

/// The most that a session may come from: each use of one adds to it, and each is looked at with every use.
const MOST_ANCESTORS: usize = 16;

/// The most sets of policies that limit a session, one for each time that it was limited further.
const MOST_LIMITS: usize = 4;

/// The most tags of a session, inherited ones included.
const MOST_TAGS: usize = 50;

/// A session to begin.
pub(crate) struct NewSession {
    pub(crate) kind: SessionKind,
    pub(crate) account: AccountId,
    /// As whom it acts.
    pub(crate) principal: PrincipalId,
    pub(crate) project: Option<ProjectId>,
    pub(crate) name: String,
    pub(crate) methods: Vec<String>,
    pub(crate) assumer: Option<PrincipalId>,
    pub(crate) limits: Vec<Vec<String>>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) source_identity: String,
    pub(crate) expires_at: Timestamp,
}

impl NewSession {
    /// One that acts as `caller` does, with the same limits, and ends when they end at the latest.
    pub(crate) fn of(caller: &Caller, kind: SessionKind, method: &str, until: Timestamp) -> Self {
        let parent = caller.session();
        let mut methods = parent.map(|parent| parent.methods.clone()).unwrap_or_default();
        if !methods.iter().any(|known| known == method) {
            methods.push(method.to_owned());
        }
        Self {
            kind,
            account: caller.account.clone(),
            principal: caller.principal.clone(),
            project: None,
            name: parent.map(|parent| parent.name.clone()).unwrap_or_default(),
            methods,
            assumer: parent.and_then(|parent| parent.assumer.clone()),
            limits: parent.map(|parent| parent.limits.clone()).unwrap_or_default(),
            tags: parent.map(|parent| parent.tags.clone()).unwrap_or_default(),
            source_identity: parent.map(|parent| parent.source_identity.clone()).unwrap_or_default(),
            expires_at: no_later_than(caller, until),
        }
    }
}

/// `until`, or the end of the session with which somebody calls, whichever comes first.
pub(crate) fn no_later_than(caller: &Caller, until: Timestamp) -> Timestamp {
    caller.session().map_or(until, |parent| parent.expires_at.min(until))
}

/// A session that was just begun: the only time that its secrets are known.
pub(crate) struct Begun {
    pub(crate) session: Session,
    /// The token, or the security token.
    pub(crate) proof: Secret,
    /// The secret half of a temporary key.
    pub(crate) secret: Option<Secret>,
}

/// A session that lives, with everything about it.
pub(crate) struct Living {
    pub(crate) caller: Arc<Caller>,
    pub(crate) project: Option<Project>,
    pub(crate) assumed_by: Option<AssumedBy>,
    /// When it or the first of its ancestors ends.
    pub(crate) until: Timestamp,
    /// How far the accounts of its ancestors were, its own left out.
    pub(crate) others: Vec<(AccountId, i64)>,
}

/// Who assumed the agency as which a session acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumedBy {
    /// Their id.
    pub id: PrincipalId,
    /// Their name.
    pub name: String,
    /// Their account.
    pub account: AccountId,
    /// Its name.
    pub account_name: String,
}

impl Service {
    /// Begins a session. The ancestors were read in the same transaction.
    pub(crate) async fn begin_session(
        &self,
        tx: &mut WriteTx,
        new: NewSession,
        ancestors: &[Ancestor],
    ) -> Result<Begun> {
        let issued_at = self.now();
        if new.expires_at <= issued_at {
            return Err(ended());
        }
        check_size(&new, ancestors)?;
        let have = match new.methods.first().map(String::as_str) {
            // As many pods as there are may act as one agency. What each of them begins with what was vended to it is
            // counted by the name, which it keeps.
            Some(pod_identity::METHOD) if new.assumer.is_none() => {
                tx.count_sessions_named(&new.principal, &new.name, issued_at).await?
            }
            Some(_) | None => tx.count_sessions_of(&new.principal, new.assumer.as_ref(), issued_at).await?,
        };
        room(
            "tokens and temporary keys that are not over",
            have,
            self.settings.quotas.sessions_per_principal,
        )?;
        let random = hex::encode(domain::entropy::bytes::<32>(&*self.entropy));
        let (id, proof, secret) = match new.kind {
            SessionKind::Token => (SessionId::random_hex(&*self.entropy), format!("bwt_{random}"), None),
            SessionKind::TemporaryKey => {
                let id = format!("{TEMPORARY_PREFIX}{}", random_text(&*self.entropy, KEY_ID_ALPHABET, 18));
                let secret = Secret::new(random_text(&*self.entropy, SECRET_ALPHABET, 40));
                (SessionId::stored(&id), format!("bws_{random}"), Some(secret))
            }
        };
        let sealed_secret = match &secret {
            None => None,
            Some(secret) => {
                let record = Record { kind: KIND, id: id.as_str(), account: &new.account };
                let key = self.master_key.sealing(tx).await?;
                Some(key.seal(&*self.entropy, &record, secret.expose().as_bytes())?)
            }
        };
        let session = Session {
            id,
            kind: new.kind,
            account: new.account,
            principal: new.principal,
            project: new.project,
            name: new.name,
            methods: new.methods,
            assumer: new.assumer,
            limits: serde_json::to_string(&new.limits).map_err(Error::internal)?,
            tags: serde_json::to_string(&new.tags).map_err(Error::internal)?,
            source_identity: new.source_identity,
            proof_hash: proof_hash(&proof),
            sealed_secret,
            issued_at,
            expires_at: new.expires_at,
        };
        tx.insert_session(&session, ancestors).await?;
        Ok(Begun { session, proof: Secret::new(proof), secret })
    }
}

/// Refuses a session that would carry too much, of its own or from where it comes.
fn check_size(new: &NewSession, ancestors: &[Ancestor]) -> Result<()> {
    if ancestors.len() > MOST_ANCESTORS {
        let message = format!(
            "a session must come from at most {MOST_ANCESTORS} others, keys and agencies: begin with a password or an \
             access key again"
        );
        return Err(Error::conflict(message));
    }
    if new.limits.len() > MOST_LIMITS {
        let message =
            format!("must not be the {}th on top of each other: at most {MOST_LIMITS}", new.limits.len());
        return Err(Error::invalid("policy", message));
    }
    if new.tags.len() > MOST_TAGS {
        let message = format!("must be at most {MOST_TAGS}, inherited ones included");
        return Err(Error::invalid("tags", message));
    }
    Ok(())
}

/// Everything that a session which `caller` begins now comes from.
///
/// # Errors
/// `Unauthenticated` if any of it ended since they showed it.
pub(crate) async fn ancestors(tx: &mut ReadTx, caller: &Caller, now: Timestamp) -> Result<Vec<Ancestor>> {
    match &caller.proof {
        Proof::Session(facts) => {
            let living = tx.living_ancestors(facts.id.as_str(), now).await?.ok_or_else(ended)?;
            let mut found = living.ancestors;
            found.push(Ancestor {
                kind: AncestorKind::Session,
                id: facts.id.as_str().to_owned(),
                account: caller.account.clone(),
                epoch: 0,
            });
            Ok(found)
        }
        Proof::AccessKey(id) => {
            let key = tx.key_as_ancestor(&caller.account, id.as_str()).await?.ok_or_else(ended)?;
            Ok(vec![principal(tx, caller).await?, key])
        }
        Proof::Server => Ok(vec![principal(tx, caller).await?]),
    }
}

async fn principal(tx: &mut ReadTx, caller: &Caller) -> Result<Ancestor> {
    tx.principal_as_ancestor(&caller.account, &caller.principal).await?.ok_or_else(ended)
}

pub(crate) fn ended() -> Error {
    Error::new(ErrorKind::Unauthenticated, "the credential ended while the request was waiting")
}

impl Service {
    /// Everything about a session, if it lives: all of it in one snapshot.
    pub(crate) async fn living(
        &self,
        tx: &mut ReadTx,
        session: &Session,
        now: Timestamp,
    ) -> Result<Option<Living>> {
        let Some(found) = tx.living_ancestors(session.id.as_str(), now).await? else { return Ok(None) };
        let caller = self.caller(tx, &session.account, &session.principal).await?;
        let Some(caller) = caller else { return Ok(None) };
        let until = session.expires_at.min(found.until);
        let facts = facts(session, until)?;
        let caller = caller.within(documents(&facts.limits));
        let caller = Caller { proof: Proof::Session(Arc::new(facts)), ..caller };
        let project = match &session.project {
            Some(id) => tx.project(&session.account, id.as_str()).await?,
            None => None,
        };
        let assumed_by = match &session.assumer {
            Some(id) => assumed_by(tx, id).await?,
            None => None,
        };
        let others = others(tx, &session.account, found.ancestors).await?;
        Ok(Some(Living { caller: Arc::new(caller), project, assumed_by, until, others }))
    }
}

/// How far the accounts of the ancestors are, `own` left out.
async fn others(tx: &mut ReadTx, own: &AccountId, ancestors: Vec<Ancestor>) -> Result<Vec<(AccountId, i64)>> {
    let mut others: Vec<(AccountId, i64)> = Vec::new();
    for Ancestor { account, .. } in ancestors {
        if account != *own && others.iter().all(|(known, _)| *known != account) {
            let revision = tx.revision(&account).await?;
            others.push((account, revision));
        }
    }
    Ok(others)
}

/// The policies that limit a session, ready to be asked.
fn documents(limits: &[Vec<String>]) -> Vec<Vec<Arc<Document>>> {
    let read = |text: &String| Arc::new(Document::stored("session policy", text, &GRAMMARS));
    limits.iter().map(|set| set.iter().map(read).collect()).collect()
}

async fn assumed_by(tx: &mut ReadTx, id: &PrincipalId) -> Result<Option<AssumedBy>> {
    let Some(found) = tx.principal_of_any_account(id).await? else { return Ok(None) };
    let Some(account) = tx.account(&found.account).await? else { return Ok(None) };
    Ok(Some(AssumedBy { id: found.id, name: found.name, account: found.account, account_name: account.name }))
}

fn facts(session: &Session, until: Timestamp) -> Result<SessionFacts> {
    Ok(SessionFacts {
        id: session.id.clone(),
        kind: session.kind,
        name: session.name.clone(),
        methods: session.methods.clone(),
        assumer: session.assumer.clone(),
        limits: serde_json::from_str(&session.limits).map_err(Error::internal)?,
        tags: serde_json::from_str(&session.tags).map_err(Error::internal)?,
        source_identity: session.source_identity.clone(),
        expires_at: until,
    })
}

/// What is kept of a token or a security token.
pub(crate) fn proof_hash(proof: &str) -> String {
    hex::encode(Sha256::digest(proof.as_bytes()))
}
