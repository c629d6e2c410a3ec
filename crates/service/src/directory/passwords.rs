//! Users' passwords: set by whoever looks after them, changed by themselves, taken away.

use domain::{Error, ErrorKind, Principal, PrincipalKind, Result, Secret};

use crate::abuse::Known;
use crate::audit::AuthFailure;
use crate::authz;
use crate::call::Call;
use crate::directory::which::Which;
use crate::pod_identity::agents;
use crate::service::Service;

const SET: &str = "bailiwick:user:setPassword";
const WRONG: &str = "the old password is wrong";
const LOCKED: &str = "too many wrong passwords; try again in five minutes";

impl Service {
    /// Sets a user's password; tokens that the old one gave end.
    ///
    /// # Errors
    /// `NotFound` if there is no such user; `Invalid` naming `password`; `Forbidden` for whoever has less rights than
    /// the user.
    pub async fn set_password(
        &self,
        call: &Call,
        user: impl Into<Which<'_>> + Send,
        password: &Secret,
    ) -> Result<()> {
        authz::require(call, SET)?;
        self.write_password(call, user.into(), password, |_| Ok(())).await.map(drop)
    }

    /// Gives a password to a user who has none.
    ///
    /// # Errors
    /// As [`Service::set_password`]; `Conflict` if they have one.
    pub async fn create_password(
        &self,
        call: &Call,
        user: Which<'_>,
        password: &Secret,
    ) -> Result<Principal> {
        authz::require(call, SET)?;
        let has_none = |user: &Principal| match user.password_set_at {
            None => Ok(()),
            Some(_) => Err(Error::conflict(format!("user `{}` has a password", user.id))),
        };
        self.write_password(call, user, password, has_none).await
    }

    /// Replaces the password of a user who has one.
    ///
    /// # Errors
    /// As [`Service::set_password`]; `NotFound` if they have none.
    pub async fn replace_password(
        &self,
        call: &Call,
        user: Which<'_>,
        password: &Secret,
    ) -> Result<Principal> {
        authz::require(call, SET)?;
        let has_one = |user: &Principal| match user.password_set_at {
            Some(_) => Ok(()),
            None => Err(Error::not_found("password of user", user.id.as_str())),
        };
        self.write_password(call, user, password, has_one).await
    }

    async fn write_password(
        &self,
        call: &Call,
        user: Which<'_>,
        password: &Secret,
        check: fn(&Principal) -> Result<()>,
    ) -> Result<Principal> {
        crate::directory::password::check("password", password)?;
        // Hashing is dear, so whatever is refused should be before it; and may be otherwise after it.
        let mut tx = self.begin(call).await?;
        let found = user.find(&mut tx, call.account(), PrincipalKind::User).await?;
        self.may_change(&mut tx, call, &found.id).await?;
        check(&found)?;
        agents::refuse_password(&mut tx, &found.id).await?;
        drop(tx);
        let hash = self.passwords.hash(&*self.entropy, password, call.account()).await?;
        let mut tx = self.begin(call).await?;
        let mut found = user.find(&mut tx, call.account(), PrincipalKind::User).await?;
        self.may_change(&mut tx, call, &found.id).await?;
        check(&found)?;
        agents::refuse_password(&mut tx, &found.id).await?;
        tx.set_password_hash(&found.id, &hash, self.now()).await?;
        found.password_set_at = Some(self.now());
        self.commit(tx, call, SET, &format!("user/{}", found.id)).await?;
        Ok(found)
    }

    /// Takes a user's password away: from then on they can only sign.
    ///
    /// # Errors
    /// `NotFound` if there is no such user or they have no password; `Conflict` if it is the root user's last way in;
    /// `Forbidden` for whoever has less rights than the user.
    pub async fn delete_password(&self, call: &Call, user: impl Into<Which<'_>> + Send) -> Result<()> {
        authz::require(call, SET)?;
        let mut tx = self.begin(call).await?;
        let found = user.into().find(&mut tx, call.account(), PrincipalKind::User).await?;
        self.may_change(&mut tx, call, &found.id).await?;
        if found.password_set_at.is_none() {
            return Err(Error::not_found("password of user", found.id.as_str()));
        }
        if found.root && !tx.access_keys_of(&found.id).await?.iter().any(|key| key.enabled) {
            return Err(Error::conflict(
                "the root user has no enabled access key: without the password nobody could get in as root any more",
            ));
        }
        tx.clear_password(&found.id).await?;
        self.commit(tx, call, SET, &format!("user/{}", found.id)).await
    }

    /// Changes the caller's own password. Who knows the old one needs no right: they could log in with it anyway.
    ///
    /// # Errors
    /// `Unauthenticated` if the old one is not right; `Invalid` naming `password`; `Forbidden` if `user` is somebody
    /// else, or the caller an agency, which has none.
    pub async fn change_own_password(
        &self,
        call: &Call,
        user: Which<'_>,
        old: &Secret,
        new: &Secret,
    ) -> Result<()> {
        let caller = &call.caller;
        let own = match user {
            Which::Id(id) => id == caller.principal.as_str(),
            Which::IdOrName(text) => text == caller.principal.as_str() || text == caller.name,
        };
        if !own || caller.kind != PrincipalKind::User {
            return Err(Error::new(ErrorKind::Forbidden, "you may change your own password only"));
        }
        crate::directory::password::check("password", new)?;
        if old.expose() == new.expose() {
            return Err(Error::invalid("password", "must not be the old one"));
        }
        let (who, source) = (caller.principal.as_str(), &*call.origin.source);
        let refused = |reason, text: &str| {
            self.note_failure(&call.origin, reason);
            Error::new(ErrorKind::Unauthenticated, text)
        };
        let is_locked = || self.login_guesses.is_locked(who, source, self.now());
        if is_locked() {
            return Err(refused(AuthFailure::Locked, LOCKED));
        }
        let mut tx = self.store.read().await?;
        let stored = tx.password_hash(&caller.principal).await?;
        tx.end().await?;
        let matches = self.passwords.verify(stored.clone(), old, source).await?;
        // As of logins: many may have waited together.
        if is_locked() {
            return Err(refused(AuthFailure::Locked, LOCKED));
        }
        if !matches {
            self.login_guesses.failed(Known::Yes, who, source, self.now());
            return Err(refused(AuthFailure::Password, WRONG));
        }
        self.login_guesses.succeeded(who, source);
        let hash = self.passwords.hash(&*self.entropy, new, call.account()).await?;
        let mut tx = self.store.write(call.account()).await?;
        // Somebody may have set another one meanwhile, or disabled the user.
        if tx.password_hash(&caller.principal).await? != stored {
            return Err(refused(AuthFailure::Password, WRONG));
        }
        tx.set_password_hash(&caller.principal, &hash, self.now()).await?;
        self.commit(tx, call, "bailiwick:user:changePassword", &format!("user/{}", caller.principal)).await
    }
}
