//! Who may do what.
//!
//! The root user of an account may do everything. Everybody else may do what the policies that they hold allow, and
//! nothing that one of them denies. The members of the built-in group `administrators` hold a policy that allows
//! everything.
//!
//! A use case about nothing in particular asks [`require`]. One that is about a thing asks [`require_somewhere`] first,
//! before anything is read, and the [`Right`] it gets once the thing is known.

pub mod authorization;
pub mod authorization_message;
pub(crate) mod ladder;
pub(crate) mod reach;
pub(crate) mod schemas;

pub mod actions;
mod fact;
pub(crate) mod inquiry;
mod question;
mod rights;
mod thing;
pub(crate) mod trust;
mod vocabulary;

use domain::{Cluster, ClusterId, ClusterScope, Denial, Error, Missing, Result};
use policy::{Decision, Effect};

pub use fact::Fact;
pub use rights::{Held, Rights};
pub(crate) use thing::ASSOCIATION;
pub use thing::Thing;
pub use vocabulary::{GRAMMARS, NamedAction, NamedKey, Shipped, Vocabulary};

use crate::call::Call;
use actions::Action;

/// The built-in group whose members may do everything in their account.
pub const ADMINISTRATORS: &str = "administrators";

/// Lets the call pass if its caller may perform `action`, which is about nothing in particular.
///
/// # Errors
/// `Forbidden` naming the action.
pub fn require(call: &Call, action: &str) -> Result<()> {
    if call.caller.root {
        return Ok(());
    }
    require_on(call, known(action)?, &Thing::none())
}

/// Lets the call pass if its caller may perform `action` on something, somewhere in the account; on what, the right that
/// is returned tells.
///
/// # Errors
/// `Forbidden` naming the action, if nothing that the caller holds allows it on anything.
pub fn require_somewhere<'a>(call: &'a Call, action: &str) -> Result<Right<'a>> {
    let right = Right { call, action: known(action)? };
    let by_membership = call.caller.rights.is_by_membership(action);
    if call.caller.root || by_membership || question::is_named_by_an_allow(call, right.action) {
        return Ok(right);
    }
    Err(denied(call, right.action, &Thing::none()))
}

/// Whether the caller may perform `action` on the thing, for what is shown to more people than them.
///
/// # Errors
/// `Internal` for an action that there is not.
pub(crate) fn is_allowed(call: &Call, action: &str, thing: &Thing<'_>) -> Result<bool> {
    let right = Right { call, action: known(action)? };
    Ok(right.holds_for(thing))
}

/// Lets the call pass unless a policy denies `action` on the thing outright. For what another action entails: it need not
/// be allowed by name, but whoever is denied it is denied it whatever it is called.
///
/// # Errors
/// `Forbidden` naming the action.
pub(crate) fn require_not_denied(call: &Call, action: &str, thing: &Thing<'_>) -> Result<()> {
    let action = known(action)?;
    match question::effect(call, action, thing) {
        Effect::ExplicitDeny if !call.caller.root => Err(denied(call, action, thing)),
        Effect::ExplicitDeny | Effect::DefaultDeny | Effect::Allow => Ok(()),
    }
}

/// Lets the call pass for what belonging to the account is enough for, unless a policy denies it outright. Belonging is not
/// enough in a session that is limited: its limits have to allow the action, and so does a policy.
///
/// # Errors
/// `Forbidden` naming the action.
pub(crate) fn require_of_member(call: &Call, action: &str, thing: &Thing<'_>) -> Result<()> {
    let action = known(action)?;
    let caller = &call.caller;
    match question::effect(call, action, thing) {
        Effect::Allow => Ok(()),
        Effect::ExplicitDeny | Effect::DefaultDeny if caller.root => Ok(()),
        Effect::DefaultDeny if !caller.rights.is_limited() => Ok(()),
        Effect::ExplicitDeny | Effect::DefaultDeny => Err(denied(call, action, thing)),
    }
}

/// A right that may not hold for everything. It is to be asked.
#[must_use = "a right that is not asked about a thing says nothing"]
#[derive(Clone, Copy)]
pub struct Right<'a> {
    call: &'a Call,
    action: &'static Action,
}

impl Right<'_> {
    /// Which action it is about.
    #[must_use]
    pub fn action(&self) -> &'static str {
        self.action.name
    }

    /// Lets the call pass if the right holds for the thing.
    ///
    /// # Errors
    /// `Forbidden` naming action and thing.
    pub fn on(&self, thing: &Thing<'_>) -> Result<()> {
        if self.call.caller.root {
            return Ok(());
        }
        require_on(self.call, self.action, thing)
    }

    /// Whether the right holds for the thing, for lists that show what their reader may see.
    #[must_use]
    pub fn holds_for(&self, thing: &Thing<'_>) -> bool {
        self.call.caller.root || holds(self.call, self.action, thing)
    }

    /// Whether the right holds for all clusters, those of the future included.
    #[must_use]
    pub fn holds_for_every_cluster(&self) -> bool {
        self.holds_for(&Thing::every_cluster())
    }

    /// Lets the call pass if the right holds for each cluster of `scope`. `known` are the account's clusters; one that
    /// is not among them is decided by its id alone.
    ///
    /// # Errors
    /// `Forbidden` naming the action and the first cluster for which it does not hold.
    pub fn on_clusters(&self, scope: &ClusterScope, known: &[Cluster]) -> Result<()> {
        if self.call.caller.root {
            return Ok(());
        }
        match scope {
            ClusterScope::All => self.on(&Thing::every_cluster()),
            // A list that became empty is decided like a thing that is nowhere.
            ClusterScope::Listed(ids) if ids.is_empty() => self.on(&Thing::none()),
            ClusterScope::Listed(ids) => ids.iter().try_for_each(|id| self.on(&cluster_of(id, known))),
        }
    }

    /// As [`Right::on_clusters`], for lists: without putting reasons into words.
    #[must_use]
    pub fn holds_for_clusters(&self, scope: &ClusterScope, known: &[Cluster]) -> bool {
        match scope {
            ClusterScope::All => self.holds_for_every_cluster(),
            ClusterScope::Listed(ids) if ids.is_empty() => self.holds_for(&Thing::none()),
            ClusterScope::Listed(ids) => ids.iter().all(|id| self.holds_for(&cluster_of(id, known))),
        }
    }

    /// Refuses a list that shows nothing, if a deny and not the lack of things is the reason.
    ///
    /// # Errors
    /// `Forbidden` naming the action.
    pub fn unless_denied_outright(&self) -> Result<()> {
        let nothing = Thing::none();
        match question::effect(self.call, self.action, &nothing) {
            Effect::ExplicitDeny if !self.call.caller.root => Err(denied(self.call, self.action, &nothing)),
            Effect::ExplicitDeny | Effect::DefaultDeny | Effect::Allow => Ok(()),
        }
    }
}

/// One of the known clusters; any other is decided by its id alone.
pub(crate) fn cluster_of<'a>(id: &'a ClusterId, known: &'a [Cluster]) -> Thing<'a> {
    let found = known.iter().find(|cluster| cluster.id == *id);
    found.map_or_else(|| Thing::unknown_cluster(id), Thing::cluster)
}

fn require_on(call: &Call, action: &'static Action, thing: &Thing<'_>) -> Result<()> {
    if holds(call, action, thing) { Ok(()) } else { Err(denied(call, action, thing)) }
}

/// Whether policies allow the action on the thing, or say nothing of what belonging to the account is enough for.
fn holds(call: &Call, action: &Action, thing: &Thing<'_>) -> bool {
    match question::effect(call, action, thing) {
        Effect::Allow => true,
        Effect::DefaultDeny => call.caller.rights.is_by_membership(action.name),
        Effect::ExplicitDeny => false,
    }
}

/// Which action it is. An unknown one is a defect of ours, and nobody gets by with it.
fn known(action: &str) -> Result<&'static Action> {
    actions::find(action).ok_or_else(|| Error::internal(format!("`{action}` is not in the table of actions")))
}

fn denied(call: &Call, action: &Action, thing: &Thing<'_>) -> Error {
    let decision = question::decide(call, action, thing);
    let missing = match decision.effect {
        Effect::ExplicitDeny => Missing::Nothing,
        Effect::DefaultDeny | Effect::Allow => Missing::Policy,
    };
    Error::denied(Denial {
        action: action.name.to_owned(),
        resource: thing.label(),
        reasons: reasons(call, &decision),
        missing,
    })
}

/// The decision in words, with where each policy is attached.
#[must_use]
pub fn reasons(call: &Call, decision: &Decision) -> String {
    let mut text = decision.to_string();
    let named = decision.statements.iter().chain(decision.nearest.iter().map(|miss| &miss.statement));
    let mut places: Vec<String> = Vec::new();
    for statement in named {
        for held in &call.caller.rights.held {
            if held.document.name() == statement.document {
                let place = held.describe();
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
    }
    if !places.is_empty() {
        text.push_str(" (");
        text.push_str(&places.join("; "));
        text.push(')');
    }
    text
}
