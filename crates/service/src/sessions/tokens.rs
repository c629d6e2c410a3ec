//! Tokens: a password turned into something that ends by itself.

use std::sync::Arc;

use domain::{
    Account, AccountId, Error, ErrorKind, PrincipalId, PrincipalKind, Project, Result, Secret, SessionId,
    Timestamp,
};
use store::{Ancestor, ReadTx, Session, WriteTx};
use subtle::ConstantTimeEq;

use crate::abuse::Known;
use crate::audit::AuthFailure;
use crate::authz;
use crate::cache::Copy;
use crate::call::{Call, Caller, Origin};
use crate::service::Service;
use crate::sessions::{AssumedBy, Living, NewSession, SessionKind, ancestors, proof_hash};

/// How long a token lives: 24 hours, as the vendors' tokens do.
pub const LIFETIME_SECONDS: i64 = 24 * 3600;

/// Longer texts are not looked up.
const MAX_TOKEN_LENGTH: usize = 32_768;

/// What is said to whoever guessed too often. It is said of users that do not exist, too.
const LOCKED: &str = "too many wrong passwords for this user; try again in five minutes";

/// Who logs in.
#[derive(Debug)]
pub enum Login {
    /// By user name, in the account of that id or name.
    Name {
        /// The account's id, if it was given by id.
        account_id: Option<String>,
        /// The account's name, if it was given by name.
        account_name: Option<String>,
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// By user id.
    Id {
        /// The user's id.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// What a token is good for.
#[derive(Debug, Clone)]
pub enum Scope {
    /// The whole account.
    Account {
        /// The id or name that the caller wrote; `None` means the user's own.
        named: Option<String>,
    },
    /// One project of it, by id or name.
    Project {
        /// The id or name that the caller wrote.
        named: String,
    },
}

/// A token that was just issued: the only time its text is shown.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub token: Secret,
    /// What it stands for.
    pub view: TokenView,
}

/// What a token stands for.
#[derive(Debug, Clone)]
pub struct TokenView {
    /// Its public name, by which it can be revoked.
    pub id: SessionId,
    /// As whom it acts.
    pub caller: Arc<Caller>,
    /// The project it is scoped to.
    pub project: Option<Project>,
    /// How it was come by, the last way last.
    pub methods: Vec<String>,
    /// Who assumed the agency, if it acts as one.
    pub assumed_by: Option<AssumedBy>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl TokenView {
    fn of(session: Session, living: Living) -> Self {
        Self {
            id: session.id,
            caller: living.caller,
            project: living.project,
            methods: session.methods,
            assumed_by: living.assumed_by,
            issued_at: session.issued_at,
            expires_at: living.until,
        }
    }
}

/// A token that was looked up.
pub(crate) struct KnownToken {
    view: TokenView,
}

impl Service {
    /// Turns a password into a token. Whatever is wrong with user, account or password gets the same answer.
    ///
    /// # Errors
    /// `Unauthenticated` if the login is not right; `Invalid` if the scope does not exist in the account.
    pub async fn issue_token(&self, login: &Login, scope: &Scope, origin: &Origin) -> Result<IssuedToken> {
        let (user, account) = self.log_in(login, origin).await?;
        let mut tx = self.store.write_grants(&account).await?;
        let caller = self.still_valid(&mut tx, &account, &user).await.inspect_err(|error| {
            if error.kind() == ErrorKind::Unauthenticated {
                self.note_failure(origin, AuthFailure::Password);
            }
        })?;
        let caller = Arc::new(caller);
        let project = scoped_project(&mut tx, &caller, scope).await?;
        let mut ancestors = ancestors(&mut tx, &caller, self.now()).await?;
        ancestors.extend(tx.password_as_ancestor(&account, &caller.principal).await?);
        let until = self.now().plus_seconds(LIFETIME_SECONDS);
        let mut new = NewSession::of(&caller, SessionKind::Token, "password", until);
        new.project = project.map(|project| project.id);
        let call = Call { caller, project: new.project.clone(), origin: origin.clone(), signed: None };
        self.store_token(tx, &call, new, &ancestors).await
    }

    /// A token for whoever calls, for another scope of their account. It ends no later than what they showed.
    ///
    /// Nobody needs a right for it: it is worth no more than what they have in hand, and ends with it.
    ///
    /// # Errors
    /// `Unauthenticated` if what they showed ended meanwhile; `Invalid` if the scope does not exist in the account.
    pub async fn rescope_token(&self, call: &Call, scope: &Scope) -> Result<IssuedToken> {
        let caller = &call.caller;
        let mut tx = self.store.write_grants(&caller.account).await?;
        let project = scoped_project(&mut tx, caller, scope).await?;
        let ancestors = ancestors(&mut tx, caller, self.now()).await?;
        self.once(&mut tx, call).await?;
        let method = if caller.session().is_some() { "token" } else { "hw_ak_sk" };
        let until = self.now().plus_seconds(LIFETIME_SECONDS);
        let mut new = NewSession::of(caller, SessionKind::Token, method, until);
        new.project = project.map(|project| project.id);
        self.store_token(tx, call, new, &ancestors).await
    }

    pub(crate) async fn store_token(
        &self,
        mut tx: WriteTx,
        call: &Call,
        new: NewSession,
        ancestors: &[Ancestor],
    ) -> Result<IssuedToken> {
        let begun = self.begin_session(&mut tx, new, ancestors).await?;
        let living = self.living(&mut tx, &begun.session, self.now()).await?;
        let living = living.ok_or_else(|| Error::internal("a session was over when it began"))?;
        let view = TokenView::of(begun.session, living);
        let resource = format!("{}/{}/token/{}", view.caller.kind, view.caller.principal, view.id);
        self.commit(tx, call, "bailiwick:token:issue", &resource).await?;
        Ok(IssuedToken { token: begun.proof, view })
    }

    /// The call of somebody who shows both halves of an access key that lasts.
    ///
    /// # Errors
    /// `Unauthenticated` if they are not the halves of one, or it is disabled.
    pub async fn call_by_key(&self, id: &str, secret: &Secret, origin: Origin) -> Result<Call> {
        let refused = |reason, text| {
            self.note_failure(&origin, reason);
            Err(Error::new(ErrorKind::Unauthenticated, text))
        };
        if self.is_key_locked(id, &origin) {
            let text =
                "too many wrong secrets of this access key from your address; try again in five minutes";
            return refused(AuthFailure::Locked, text);
        }
        let found = self.signing_key(id).await?;
        let reason = if found.is_some() { AuthFailure::Signature } else { AuthFailure::UnknownKey };
        let known = found.filter(|key| {
            let same = key.secret.expose().as_bytes().ct_eq(secret.expose().as_bytes());
            bool::from(same) && key.accepts(None)
        });
        let Some(key) = known else {
            self.note_signature(id, &origin, Err(reason));
            return refused(AuthFailure::Signature, "the access key or its secret is wrong");
        };
        self.note_signature(id, &origin, Ok(()));
        self.note_key_use(id, &key.caller);
        Ok(Call { caller: Arc::clone(&key.caller), project: None, origin, signed: None })
    }

    /// Whose password it is. Verifying takes its time, so what it was verified against is given along.
    async fn log_in(&self, login: &Login, origin: &Origin) -> Result<(Verified, AccountId)> {
        let mut tx = self.store.read().await?;
        let (found, unknown) = match login {
            Login::Name { account_id, account_name, user, .. } => {
                let account = named_account(&mut tx, account_id.as_deref(), account_name.as_deref()).await?;
                match account {
                    Some(account) => {
                        let found = tx.principal_by_name(&account.id, PrincipalKind::User, user).await?;
                        (found, format!("{:?}", (account.id.as_str(), user)))
                    }
                    None => (None, format!("{:?}", (account_id, account_name, user))),
                }
            }
            Login::Id { user, .. } => (tx.user_of_any_account(user).await?, user.clone()),
        };
        let stored = match &found {
            Some(user) => tx.password_hash(&user.id).await?,
            None => None,
        };
        tx.end().await?;
        let (Login::Name { password, .. } | Login::Id { password, .. }) = login;
        let (who, known) = match &found {
            Some(user) => (user.id.as_str().to_owned(), Known::Yes),
            // However the account is spelled, as with those who exist.
            None => (unknown, Known::No),
        };
        let locked = || {
            self.note_failure(origin, AuthFailure::Locked);
            Err(Error::new(ErrorKind::Unauthenticated, LOCKED))
        };
        if self.login_guesses.is_locked(&who, &origin.source, self.now()) {
            return locked();
        }
        let matches = self.passwords.verify(stored.clone(), password, &origin.source).await?;
        // Many may have waited together: the queue answers no more guesses than come one by one.
        if self.login_guesses.is_locked(&who, &origin.source, self.now()) {
            return locked();
        }
        if let (Some(user), Some(hash), true) = (found, stored, matches) {
            self.login_guesses.succeeded(&who, &origin.source);
            return Ok((Verified { user: user.id, hash }, user.account));
        }
        self.login_guesses.failed(known, &who, &origin.source, self.now());
        self.note_failure(origin, AuthFailure::Password);
        Err(refused())
    }

    /// The call of somebody who shows a token.
    ///
    /// # Errors
    /// `Unauthenticated` if the token is unknown, ended or revoked; the message is the same but for ended ones.
    pub async fn call_by_token(&self, token: &str, origin: Origin) -> Result<Call> {
        let known = self.known_token(token).await.inspect_err(|error| {
            if error.kind() == ErrorKind::Unauthenticated {
                self.note_failure(&origin, AuthFailure::Token);
            }
        })?;
        let project = known.view.project.as_ref().map(|project| project.id.clone());
        Ok(Call { caller: Arc::clone(&known.view.caller), project, origin, signed: None })
    }

    async fn known_token(&self, token: &str) -> Result<Arc<KnownToken>> {
        let unknown = || Error::new(ErrorKind::Unauthenticated, "the token is not valid");
        if token.is_empty() || token.len() > MAX_TOKEN_LENGTH {
            return Err(unknown());
        }
        let hash = proof_hash(token);
        let known = match self.tokens.get(&self.revisions, &hash) {
            Some(copy) => Arc::clone(&copy.value),
            None => self.load_token(&hash).await?.ok_or_else(unknown)?,
        };
        if known.view.expires_at <= self.now() {
            let at = known.view.expires_at.rfc3339_micros();
            return Err(Error::new(ErrorKind::Unauthenticated, format!("the token expired at {at}")));
        }
        Ok(known)
    }

    async fn load_token(&self, hash: &str) -> Result<Option<Arc<KnownToken>>> {
        let mut tx = self.store.read().await?;
        let found = tx.session_by_proof(hash).await?.filter(|session| session.kind == SessionKind::Token);
        let Some(session) = found else {
            tx.end().await?;
            return Ok(None);
        };
        let revision = tx.revision(&session.account).await?;
        // As of before its end: whoever shows it afterwards is told that it expired, and when.
        let at = self.now().min(session.expires_at.plus_seconds(-1));
        let living = self.living(&mut tx, &session, at).await?;
        tx.end().await?;
        let Some(mut living) = living else { return Ok(None) };
        let (account, others) = (session.account.clone(), std::mem::take(&mut living.others));
        let value = Arc::new(KnownToken { view: TokenView::of(session, living) });
        self.tokens.put(hash, Copy { account, revision, others, value: Arc::clone(&value) });
        Ok(Some(value))
    }

    /// What a token of the caller's account stands for. Whoever calls with it may ask without a right.
    ///
    /// # Errors
    /// `NotFound` if it is unknown, ended or of another account.
    pub async fn show_token(&self, call: &Call, token: &str) -> Result<TokenView> {
        self.own_or_allowed(call, token, "bailiwick:token:show").await
    }

    /// A token of the caller's account, if they call with it or may perform `action`. Who may not learns nothing about it.
    pub(crate) async fn own_or_allowed(&self, call: &Call, token: &str, action: &str) -> Result<TokenView> {
        let allowed = authz::require(call, action);
        match self.token_of_account(call, token).await {
            Ok(view) if is_shown(call, &view) => Ok(view),
            found => allowed.and(found),
        }
    }

    async fn token_of_account(&self, call: &Call, token: &str) -> Result<TokenView> {
        let missing = || Error::new(ErrorKind::NotFound, "the subject token does not exist or has ended");
        let known = self
            .known_token(token)
            .await
            .map_err(|error| if error.kind() == ErrorKind::Unauthenticated { missing() } else { error })?;
        if known.view.caller.account != *call.account() {
            return Err(missing());
        }
        Ok(known.view.clone())
    }
}

/// Whether it is the token with which somebody calls.
pub(crate) fn is_shown(call: &Call, view: &TokenView) -> bool {
    call.caller.session().is_some_and(|session| session.id == view.id)
}

impl Service {
    /// The user of a login, if the password that was verified is still theirs: it may have been changed meanwhile, and
    /// who changed it was told that the old one is worth nothing any more.
    async fn still_valid(&self, tx: &mut ReadTx, account: &AccountId, verified: &Verified) -> Result<Caller> {
        if tx.password_hash(&verified.user).await?.as_deref() != Some(verified.hash.as_str()) {
            return Err(refused());
        }
        self.caller(tx, account, &verified.user).await?.ok_or_else(refused)
    }
}

/// A password that was right when it was looked at.
struct Verified {
    user: PrincipalId,
    hash: String,
}

fn refused() -> Error {
    Error::new(ErrorKind::Unauthenticated, "the user name or password is wrong")
}

/// The account that a login names; naming it twice and differently names none.
pub(crate) async fn named_account(
    tx: &mut ReadTx,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<Option<Account>> {
    match (id, name) {
        (Some(id), name) => {
            let found = tx.account(&domain::AccountId::stored(id)).await?;
            Ok(found.filter(|account| name.is_none_or(|name| account.name == name)))
        }
        (None, Some(name)) => tx.account_by_name(name).await,
        (None, None) => Ok(None),
    }
}

pub(crate) async fn scoped_project(
    tx: &mut ReadTx,
    caller: &Caller,
    scope: &Scope,
) -> Result<Option<Project>> {
    match scope {
        Scope::Account { named: None } => Ok(None),
        Scope::Account { named: Some(named) } => {
            if *named == caller.account_name || named == caller.account.as_str() {
                return Ok(None);
            }
            Err(Error::invalid("scope.account", "is not the account of the user"))
        }
        Scope::Project { named } => tx
            .project(&caller.account, named)
            .await?
            .map(Some)
            .ok_or_else(|| Error::invalid("scope.project", format!("project `{named}` does not exist"))),
    }
}
