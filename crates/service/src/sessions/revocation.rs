//! Ending credentials at once, with a receipt of what ended: of a principal, of a key, or one session.
//!
//! What is revoked ends with everything that came from it, at any depth, and in other accounts too. Other servers see
//! it with the revision of the account, within a poll.

use domain::{AccessKeyId, Error, ErrorKind, Principal, PrincipalKind, Result, Timestamp};
use store::{Ancestor, AncestorKind, Derived, Ended, WriteTx};

use crate::authz;
use crate::call::Call;
use crate::directory::access_keys::keep_a_way_in;
use crate::service::Service;
use crate::sessions::SessionKind;
use crate::sessions::tokens::is_shown;

/// What it takes to end what is not one's own.
const ACTION: &str = "bailiwick:revocation:create";

/// The most sessions that a receipt names one by one.
const MOST_NAMED: i64 = 1000;

/// Whether a user whose credentials are revoked may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// Nobody acts as them until they are enabled again.
    Disabled,
    /// They may log in and be given new keys.
    Enabled,
}

/// What was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// Everything of a user or an agency.
    Principal {
        /// Whose.
        principal: Principal,
        /// Whether they were disabled.
        disabled: bool,
    },
    /// An access key that lasts.
    AccessKey(AccessKeyId),
    /// A token or a temporary key.
    Session {
        /// Its id.
        id: String,
        /// What it is.
        kind: SessionKind,
    },
}

/// What ended.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// What was revoked.
    pub revoked: Revoked,
    /// When.
    pub at: Timestamp,
    /// Access keys that were enabled and are not any more.
    pub access_keys: Vec<AccessKeyId>,
    /// How many tokens ended, what was revoked included.
    pub tokens: i64,
    /// How many temporary keys ended, what was revoked included.
    pub temporary_keys: i64,
    /// How many client certificates ended.
    pub certificates: u64,
    /// The first thousand sessions that came from what was revoked, by id.
    pub sessions: Vec<Derived>,
}

impl Receipt {
    fn new(revoked: Revoked, at: Timestamp) -> Self {
        Self {
            revoked,
            at,
            access_keys: Vec::new(),
            tokens: 0,
            temporary_keys: 0,
            certificates: 0,
            sessions: Vec::new(),
        }
    }

    fn add(&mut self, ended: Ended, sessions: Vec<Derived>) {
        self.tokens += ended.tokens;
        self.temporary_keys += ended.temporary_keys;
        self.sessions.extend(sessions);
    }
}

impl Service {
    /// Ends everything of a user or agency: tokens, temporary keys, what came from them, client certificates, and access
    /// keys, which are disabled. A user is disabled too unless they may go on. An agency has no credentials of its own: those whom it
    /// trusts may assume it again.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` for a root user who would be disabled.
    pub async fn revoke_principal(
        &self,
        call: &Call,
        kind: Option<PrincipalKind>,
        id_or_name: &str,
        afterwards: Afterwards,
    ) -> Result<Receipt> {
        authz::require(call, ACTION)?;
        let mut tx = self.begin(call).await?;
        let found = principal_to_revoke(&mut tx, call, kind, id_or_name).await?;
        may_revoke(call, &found)?;
        let disabled = may_disable(&found, afterwards)?;
        self.may_change(&mut tx, call, &found.id).await?;
        let mut receipt = Receipt::new(Revoked::Principal { principal: found.clone(), disabled }, self.now());
        // Read before it is disabled, for what came from it is known by the number that is now.
        if let Some(ancestor) = tx.principal_as_ancestor(&found.account, &found.id).await? {
            self.count_ended(&mut tx, &ancestor, &mut receipt).await?;
        }
        for key in tx.access_keys_of(&found.id).await?.into_iter().filter(|key| key.enabled) {
            tx.set_access_key_enabled(key.id.as_str(), 0).await?;
            receipt.access_keys.push(key.id);
        }
        if disabled {
            tx.disable_principal(&found.id).await?;
        } else {
            tx.end_sessions_of_principal(&found.id).await?;
        }
        receipt.certificates += tx.revoke_certificates_of_principal(&found.id, self.now()).await?;
        let resource = format!("{}/{}", found.kind, found.id);
        self.commit_for_fleet(tx, call, ACTION, &resource).await?;
        Ok(receipt)
    }

    /// Ends an access key of the account, lasting or temporary, with everything that came from it. One that lasts is
    /// disabled.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn revoke_key(&self, call: &Call, id: &str) -> Result<Receipt> {
        authz::require(call, ACTION)?;
        let mut tx = self.begin(call).await?;
        let Some(key) = tx.access_key(id).await?.filter(|key| key.account == *call.account()) else {
            return self.revoke_session(tx, call, id, SessionKind::TemporaryKey).await;
        };
        self.may_change(&mut tx, call, &key.user).await?;
        keep_a_way_in(&mut tx, &key).await?;
        if let Some(owner) = tx.principal(call.account(), key.user.as_str()).await? {
            may_revoke(call, &owner)?;
        }
        let mut receipt = Receipt::new(Revoked::AccessKey(key.id.clone()), self.now());
        if let Some(ancestor) = tx.key_as_ancestor(call.account(), id).await? {
            self.count_ended(&mut tx, &ancestor, &mut receipt).await?;
        }
        tx.set_access_key_enabled(id, 0).await?;
        receipt.access_keys.extend(key.enabled.then_some(key.id));
        self.commit(tx, call, ACTION, &format!("access-key/{id}")).await?;
        Ok(receipt)
    }

    /// Ends a token of the account by its text, with everything that came from it. Whoever calls with it needs no right:
    /// that is logging out.
    ///
    /// # Errors
    /// `NotFound` if it is unknown, ended or of another account.
    pub async fn revoke_token(&self, call: &Call, token: &str) -> Result<Receipt> {
        self.revoke_shown_token(call, token, "bailiwick:token:revoke").await
    }

    /// The same, for who ends credentials of whatever kind.
    ///
    /// # Errors
    /// `NotFound` if it is unknown, ended or of another account.
    pub async fn revoke_any_token(&self, call: &Call, token: &str) -> Result<Receipt> {
        self.revoke_shown_token(call, token, ACTION).await
    }

    async fn revoke_shown_token(&self, call: &Call, token: &str, action: &str) -> Result<Receipt> {
        let view = self.own_or_allowed(call, token, action).await?;
        // Whoever ends the token with which they call needs no right, and so cannot lose one while they wait.
        let tx = match is_shown(call, &view) {
            true => self.store.write(call.account()).await?,
            false => self.begin(call).await?,
        };
        self.revoke_session(tx, call, view.id.as_str(), SessionKind::Token).await
    }

    /// Ends a token of the account by its id, with everything that came from it.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn revoke_token_by_id(&self, call: &Call, id: &str) -> Result<Receipt> {
        authz::require(call, ACTION)?;
        let tx = self.begin(call).await?;
        self.revoke_session(tx, call, id, SessionKind::Token).await
    }

    async fn revoke_session(
        &self,
        mut tx: WriteTx,
        call: &Call,
        id: &str,
        kind: SessionKind,
    ) -> Result<Receipt> {
        let (noun, action) = match kind {
            SessionKind::Token => ("token", "bailiwick:token:revoke"),
            SessionKind::TemporaryKey => ("access key", ACTION),
        };
        let session = self
            .session_of(&mut tx, id)
            .await?
            .filter(|found| found.account == *call.account() && found.kind == kind)
            .ok_or_else(|| Error::not_found(noun, id))?;
        let mut receipt = Receipt::new(Revoked::Session { id: id.to_owned(), kind }, self.now());
        let account = session.account.clone();
        let ancestor = Ancestor { kind: AncestorKind::Session, id: id.to_owned(), account, epoch: 0 };
        self.count_ended(&mut tx, &ancestor, &mut receipt).await?;
        match kind {
            SessionKind::Token => receipt.tokens += 1,
            SessionKind::TemporaryKey => receipt.temporary_keys += 1,
        }
        if let Some(vended) = tx.vended_session(id).await? {
            // Its pod may have another one now.
            self.holding.forget_of(&vended.to.cluster);
        }
        tx.delete_session(id, self.now()).await?;
        let resource = format!("{}/{id}", kind.as_str());
        self.commit(tx, call, action, &resource).await?;
        Ok(receipt)
    }

    async fn count_ended(&self, tx: &mut WriteTx, from: &Ancestor, receipt: &mut Receipt) -> Result<()> {
        let now = self.now();
        let ended = tx.count_derived(from, now).await?;
        let sessions = tx.derived(from, now, MOST_NAMED).await?;
        receipt.add(ended, sessions);
        receipt.certificates += tx.count_certificates_from(from, now).await?;
        Ok(())
    }
}

/// Whom somebody means. Without a kind it may be a user or an agency, but not both.
async fn principal_to_revoke(
    tx: &mut WriteTx,
    call: &Call,
    kind: Option<PrincipalKind>,
    id_or_name: &str,
) -> Result<Principal> {
    if let Some(kind) = kind {
        let found = tx.principal_named(call.account(), kind, id_or_name).await?;
        return found.ok_or_else(|| Error::not_found(kind.as_str(), id_or_name));
    }
    let user = tx.principal_named(call.account(), PrincipalKind::User, id_or_name).await?;
    let agency = tx.principal_named(call.account(), PrincipalKind::Agency, id_or_name).await?;
    match (user, agency) {
        (Some(found), None) | (None, Some(found)) => Ok(found),
        (None, None) => Err(Error::not_found("user or agency", id_or_name)),
        (Some(_), Some(_)) => Err(Error::conflict(format!(
            "a user and an agency are called `{id_or_name}`: name one by its id"
        ))),
    }
}

/// Taking away is no way up, so whoever may revoke may do it to people who may do more. But not to the root user: who
/// could would lock an account's owner out.
fn may_revoke(call: &Call, found: &Principal) -> Result<()> {
    let is_above = call.caller.root || call.caller.administrator;
    if !found.root || is_above {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Forbidden, "only administrators may revoke what the root user has"))
}

/// Whether the principal is to be disabled.
fn may_disable(found: &Principal, afterwards: Afterwards) -> Result<bool> {
    match (found.kind, afterwards) {
        (PrincipalKind::Group, _) => {
            Err(Error::invalid("principal", "must be a user or an agency: groups have no credentials"))
        }
        (PrincipalKind::User, Afterwards::Enabled) if found.root && found.password_set_at.is_none() => {
            Err(Error::conflict(
                "the root user has no password: without keys nobody could get in as root any more",
            ))
        }
        (PrincipalKind::Agency, _) | (PrincipalKind::User, Afterwards::Enabled) => Ok(false),
        (PrincipalKind::User, Afterwards::Disabled) if found.root => Err(Error::conflict(
            "the root user cannot be disabled: keep them enabled, and set a new password first",
        )),
        (PrincipalKind::User, Afterwards::Disabled) => Ok(true),
    }
}
