//! No ladder. Who may set somebody's password, make a key for them, change whom an agency trusts, put people into groups
//! or attach policies could otherwise become whom they like. So every such change asks here as well, inside the
//! transaction that makes it: nobody gives, or takes the place of, more than they have.

use domain::{Denial, Error, ErrorKind, Missing, PolicyId, Principal, PrincipalId, PrincipalKind, Result};
use store::WriteTx;

use crate::authz::{Held, Rights};
use crate::call::Call;
use crate::service::Service;

/// What would end if a change were made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending<'a> {
    /// That somebody holds this policy, or what it says.
    Policy(&'a PolicyId),
    /// That somebody is in this group, or the group.
    Group(&'a PrincipalId),
}

impl Service {
    /// Lets the change of a principal's credentials, state, name, members or trust pass, if the caller may already do all
    /// that the principal may, and all that agencies may that it could assume because they trust it. Everybody may change
    /// themselves, as far as the action is allowed to them.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` if there is no such principal in the account.
    pub(crate) async fn may_change(&self, tx: &mut WriteTx, call: &Call, target: &PrincipalId) -> Result<()> {
        let caller = &call.caller;
        // Who acts within limits would come out of them by a key or a password of their own.
        let is_oneself = caller.principal == *target && caller.kind == PrincipalKind::User;
        if caller.root || (is_oneself && caller.rights.limits.is_empty()) {
            return Ok(());
        }
        let found = tx.principal(call.account(), target.as_str()).await?;
        let found = found.ok_or_else(|| Error::not_found("principal", target.as_str()))?;
        if found.root {
            return Err(Error::new(ErrorKind::Forbidden, "only the root user may change the root user"));
        }
        let theirs = self.rights_of(tx, &found).await?;
        self.may_do_as(tx, call, &found, &theirs).await?;
        match found.kind {
            // A group is trusted by nobody: only its members are, and they stay who they are.
            PrincipalKind::Group => Ok(()),
            PrincipalKind::User | PrincipalKind::Agency => self.may_become(tx, call, found, theirs).await,
        }
    }

    /// Lets pass who may do already all that `target` may, through policies and in clusters.
    pub(crate) async fn may_do_as(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        target: &Principal,
        theirs: &Rights,
    ) -> Result<()> {
        if let Some(statement) = call.caller.rights.first_missing(theirs) {
            return Err(above(target, &format!("{statement} allows what the caller may not do")));
        }
        self.may_act_where(tx, call, target).await
    }

    /// Clusters in which the target has rights must be administered by the caller.
    async fn may_act_where(&self, tx: &mut WriteTx, call: &Call, target: &Principal) -> Result<()> {
        let caller = &call.caller;
        if caller.is_unlimited_administrator() {
            return Ok(());
        }
        let theirs = tx.granted_clusters(call.account(), &target.id).await?;
        if !caller.rights.limits.is_empty() {
            // What its owner administers a limited session does not, or not all of it.
            return match theirs.all || !theirs.clusters.is_empty() {
                true => Err(above(target, "it has grants in clusters, and the caller's session is limited")),
                false => Ok(()),
            };
        }
        let own = tx.administered(call.account(), &caller.principal).await?;
        if own.all || (!theirs.all && theirs.clusters.is_subset(&own.clusters)) {
            return Ok(());
        }
        Err(above(target, "it has grants in clusters that the caller does not administer"))
    }

    pub(crate) async fn rights_of(&self, tx: &mut WriteTx, target: &Principal) -> Result<Rights> {
        let vocabulary = &self.settings.vocabulary;
        match target.kind {
            PrincipalKind::Group => Rights::read_group(tx, vocabulary, (&target.id, &target.name)).await,
            PrincipalKind::User | PrincipalKind::Agency => Rights::read(tx, vocabulary, &target.id).await,
        }
    }

    /// Lets a policy be given to somebody, if the caller may already do all that it allows.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(crate) fn may_give(&self, call: &Call, given: &Held) -> Result<()> {
        if call.caller.root {
            return Ok(());
        }
        let proposed = Rights::of(given.clone(), &self.settings.vocabulary);
        match call.caller.rights.first_missing(&proposed) {
            None => Ok(()),
            Some(statement) => Err(refused(
                &format!("policy/{}", given.document.name()),
                &format!("{statement} allows what the caller may not do"),
                "nobody gives rights that they do not have",
            )),
        }
    }

    /// Lets a membership of a group end, or the group: what it denied would be denied no more.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` if there is no such group in the account.
    pub(crate) async fn may_end_group(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        group: &PrincipalId,
    ) -> Result<()> {
        let found = tx.principal(call.account(), group.as_str()).await?;
        let found = found.ok_or_else(|| Error::not_found("group", group.as_str()))?;
        let rights = self.rights_of(tx, &found).await?;
        self.may_end(call, &rights.held, Ending::Group(group))
    }

    /// Lets something end that may deny. Only administrators may, and none for themselves: else a deny would bind nobody
    /// who may detach it.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(crate) fn may_end(&self, call: &Call, held: &[Held], ending: Ending<'_>) -> Result<()> {
        let caller = &call.caller;
        if caller.root || !held.iter().any(|held| held.document.denies_anything()) {
            return Ok(());
        }
        let binds_the_caller = match ending {
            Ending::Policy(id) => caller.rights.held.iter().any(|held| held.policy.as_ref() == Some(id)),
            Ending::Group(id) => caller.rights.groups.iter().any(|(group, _)| group == id),
        };
        if caller.is_unlimited_administrator() && !binds_the_caller {
            return Ok(());
        }
        Err(refused(
            &match ending {
                Ending::Policy(id) => format!("policy/{id}"),
                Ending::Group(id) => format!("group/{id}"),
            },
            "it denies something, and who ends a deny must be an administrator whom it does not bind",
            "it denies something: only an administrator whom it does not bind may end it",
        ))
    }
}

pub(crate) fn above(target: &Principal, reasons: &str) -> Error {
    refused(
        &format!("{}/{}", target.kind, target.id),
        reasons,
        "it has rights that you do not have, and whoever changes it could use them",
    )
}

pub(crate) fn refused(resource: &str, reasons: &str, hint: &str) -> Error {
    let denial = Denial {
        action: "bailiwick:rights:exceed".to_owned(),
        resource: resource.to_owned(),
        reasons: reasons.to_owned(),
        missing: Missing::Policy,
    };
    Error::denied(denial).with_hint(hint)
}
