//! From what a pass found to the states that people see. Pure.

use std::collections::BTreeMap;

use domain::{Grant, Namespace, State};
use rbac::{Placement, Scope, Slot, Subject};

use crate::custom::Withheld;
use crate::failure::clean;
use crate::remarks::Remarks;
use crate::tracker::{Tracked, Verdict};

/// What stands in the way of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The cluster refused; why, in a sentence.
    Refused(String),
    /// The cluster did not answer.
    NoAnswer(String),
    /// The namespace is gone: as if it had never been there.
    NamespaceGone,
    /// Others changed the same object at the same moment; the next pass will know.
    Waiting,
}

/// Somebody whom a binding of ours still names although nothing wants that any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// Who.
    pub(crate) subject: Subject,
    /// The ClusterRole that is bound.
    pub(crate) role: String,
    /// Where.
    pub(crate) scope: Scope,
    /// Why it is still there: what became of its removal.
    pub(crate) trouble: Option<Trouble>,
}

impl Leftover {
    /// How much it says about what cannot be removed: nothing while all goes well.
    pub(crate) fn severity(&self) -> u8 {
        match &self.trouble {
            None | Some(Trouble::NamespaceGone) => 0,
            Some(Trouble::Waiting) => 1,
            Some(Trouble::NoAnswer(_)) => 2,
            Some(Trouble::Refused(_)) => 3,
        }
    }

    /// The reason with whom it is about.
    fn told(&self, reason: &str) -> String {
        clean(&format!(
            "{} still has {}, which nothing grants any more: {reason}",
            self.subject.name, self.role
        ))
    }
}

/// A state and its reason.
pub(crate) type Standing = (State, String);

/// Where an active grant stands; `None` if nothing is known that was not known before.
pub(crate) fn granted(
    grant: &Grant,
    placement: &Placement,
    troubles: &BTreeMap<Slot, Trouble>,
    leftover: Option<&Leftover>,
    tracked: &Tracked,
    remarks: &Remarks,
) -> Option<Standing> {
    let remains = leftover.and_then(|leftover| Some((leftover, leftover.trouble.as_ref()?)));
    match remains {
        Some((leftover, Trouble::Refused(reason))) => return Some((State::Failed, leftover.told(reason))),
        Some((leftover, Trouble::NoAnswer(reason))) => return no_answer(tracked, &leftover.told(reason)),
        Some((_, Trouble::Waiting)) => return None,
        Some((_, Trouble::NamespaceGone)) | None => {}
    }
    if grant.spec.principals.ids.is_empty() {
        return Some((State::Applied, "it names nobody, so it allows nothing".to_owned()));
    }
    if remarks.nobody {
        return Some((State::Failed, clean(&remarks.text)));
    }
    let found = |slot: &Slot| troubles.get(slot);
    let gone = placement.slots.iter().filter(|slot| found(slot) == Some(&Trouble::NamespaceGone));
    let missing: Vec<&Namespace> =
        placement.missing.iter().chain(gone.clone().filter_map(namespace)).collect();
    let about_missing = join(&remarks.text, &missing_text(&missing));
    if placement.slots.len() == gone.count() {
        return Some(match missing.is_empty() {
            true => (State::Applied, "it lists no namespaces, so it allows nothing".to_owned()),
            false => (State::Pending, about_missing),
        });
    }
    for trouble in placement.slots.iter().filter_map(found) {
        match trouble {
            Trouble::Refused(reason) => return Some((State::Failed, join(reason, &about_missing))),
            Trouble::NoAnswer(reason) => return no_answer(tracked, reason),
            Trouble::Waiting => return None,
            Trouble::NamespaceGone => {}
        }
    }
    match &tracked.verdict {
        Verdict::Confirmed => Some((State::Effective, about_missing)),
        Verdict::Contradicted(reason) | Verdict::Unaskable(reason) => {
            Some((State::Applied, join(reason, &about_missing)))
        }
        Verdict::Unasked | Verdict::Asking => tracked.changed.then_some((State::Applied, about_missing)),
    }
}

/// Where a grant stands of which nothing is bound, because of what its role is; `None` if nothing is known that was not
/// known before.
pub(crate) fn withheld(
    withheld: &Withheld,
    leftover: Option<&Leftover>,
    tracked: &Tracked,
) -> Option<Standing> {
    let remains = leftover.and_then(|leftover| Some((leftover, leftover.trouble.as_ref()?)));
    match remains {
        Some((leftover, Trouble::Refused(reason))) => {
            Some((State::Failed, join(&leftover.told(reason), &withheld.reason)))
        }
        Some((leftover, Trouble::NoAnswer(reason))) => no_answer(tracked, &leftover.told(reason)),
        Some((_, Trouble::Waiting)) => None,
        Some((_, Trouble::NamespaceGone)) | None => Some((withheld.state, withheld.reason.clone())),
    }
}

/// Where a revoke stands; `None` if nothing is known that was not known before. `shared` says who else keeps what was
/// revoked under the same name.
pub(crate) fn revoked(
    leftover: Option<&Leftover>,
    tracked: &Tracked,
    shared: Option<String>,
) -> Option<Standing> {
    if let Some(leftover) = leftover {
        return match &leftover.trouble {
            Some(Trouble::Refused(reason)) => Some((State::Failed, leftover.told(reason))),
            Some(Trouble::NoAnswer(reason)) => Some((State::Unreachable, leftover.told(reason))),
            Some(Trouble::NamespaceGone | Trouble::Waiting) | None => None,
        };
    }
    if let (Verdict::Confirmed | Verdict::Unaskable(_), Some(shared)) = (&tracked.verdict, shared) {
        return Some((State::RevokedResidual, clean(&shared)));
    }
    match &tracked.verdict {
        Verdict::Confirmed => Some((State::Revoked, String::new())),
        Verdict::Contradicted(reason) => Some((State::RevokedResidual, clean(reason))),
        Verdict::Unaskable(reason) => Some((State::Revoked, clean(reason))),
        Verdict::Unasked | Verdict::Asking => None,
    }
}

/// Where a grant or a revoke stands while its cluster does not answer: what was confirmed stays so.
pub(crate) fn unreachable(tracked: Option<&Tracked>, reason: &str) -> Option<Standing> {
    match tracked {
        Some(tracked) => no_answer(tracked, reason),
        None => Some((State::Unreachable, reason.to_owned())),
    }
}

fn no_answer(tracked: &Tracked, reason: &str) -> Option<Standing> {
    match tracked.verdict {
        Verdict::Confirmed => None,
        Verdict::Unasked | Verdict::Asking | Verdict::Contradicted(_) | Verdict::Unaskable(_) => {
            Some((State::Unreachable, reason.to_owned()))
        }
    }
}

fn namespace(slot: &Slot) -> Option<&Namespace> {
    match &slot.scope {
        Scope::Cluster => None,
        Scope::Namespace(namespace) => Some(namespace),
    }
}

/// Names as many of the namespaces as fit.
fn missing_text(missing: &[&Namespace]) -> String {
    const SHOWN: usize = 10;
    if missing.is_empty() {
        return String::new();
    }
    let shown: Vec<&str> = missing.iter().take(SHOWN).map(|namespace| namespace.as_str()).collect();
    let more = match missing.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!(" and {more} more"),
        Some(_) | None => String::new(),
    };
    clean(&format!("namespaces that do not exist yet: {}{more}", shown.join(", ")))
}

fn join(reason: &str, other: &str) -> String {
    match (reason, other) {
        ("", other) => clean(other),
        (reason, "") => clean(reason),
        (reason, other) => clean(&format!("{reason}; {other}")),
    }
}

#[cfg(test)]
mod tests;
