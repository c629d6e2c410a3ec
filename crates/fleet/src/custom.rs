//! Grants of custom roles: whether what the ClusterRole allows now is what was accepted. Where it is not, nothing of the
//! grant is bound. Pure.
//!
//! A role that is not there is not bound either, although an API server would take the binding: nothing is to spring
//! into force unseen when somebody makes the role.

use std::collections::{BTreeMap, HashMap};

use domain::{Grant, GrantId, Role, State};
use rbac::cluster_roles::{self, Rule};
use rbac::coverage::{self, Growth};
use service::accepted_roles::{self, Acceptance, AcceptedRole, RoleGrowth};
use service::fleet::FleetDesired;

use crate::failure::clean;
use crate::view::View;

/// The longest text about one growth, and the longest name of a role in it: what comes after them must stay readable.
const MAX_GROWTH: usize = 110;
const MAX_NAME: usize = 60;

/// Why nothing of a grant is bound in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Withheld {
    /// How the grant stands by that.
    pub(crate) state: State,
    /// Why, in a sentence.
    pub(crate) reason: String,
}

/// What became of the grants of custom roles.
#[derive(Default)]
pub(crate) struct Judged {
    /// Those of which nothing is bound.
    pub(crate) withheld: BTreeMap<GrantId, Withheld>,
    /// What is to be written down before it is bound.
    pub(crate) new: Vec<Acceptance>,
}

/// What a cluster holds under a ClusterRole's name.
enum Present<'a> {
    Missing,
    Unread,
    Rules { rules: &'a [Rule], digest: String },
}

/// The grants whose accepted rules have to be known, because the role's are not the same any more.
pub(crate) fn differing(fleet: &FleetDesired, view: &View) -> Vec<GrantId> {
    let mut present = Roles { view, known: HashMap::new() };
    let differs = |(grant, name): &(&Grant, &str)| {
        fleet.accepted.get(&grant.id).is_some_and(|accepted| match present.get(name) {
            Present::Missing | Present::Unread => false,
            Present::Rules { digest, .. } => accepted.cluster_role == *name && accepted.digest != *digest,
        })
    };
    custom_roles(fleet).filter(differs).map(|(grant, _)| grant.id.clone()).collect()
}

/// Judges each grant of a custom role.
pub(crate) fn judge(fleet: &FleetDesired, view: &View) -> Judged {
    let mut present = Roles { view, known: HashMap::new() };
    let mut judged = Judged::default();
    for (grant, name) in custom_roles(fleet) {
        match judge_one(grant, name, fleet, present.get(name)) {
            Verdict::Bound => {}
            Verdict::New(rules) => judged.new.push(Acceptance {
                grant: grant.id.clone(),
                generation: grant.generation,
                cluster_role: name.to_owned(),
                rules: rules.to_vec(),
            }),
            Verdict::Withheld(withheld) => {
                judged.withheld.insert(grant.id.clone(), withheld);
            }
        }
    }
    judged
}

enum Verdict<'a> {
    Bound,
    New(&'a [Rule]),
    Withheld(Withheld),
}

fn judge_one<'a>(grant: &Grant, name: &str, fleet: &FleetDesired, present: &Present<'a>) -> Verdict<'a> {
    let withheld = |state, reason: String| Verdict::Withheld(Withheld { state, reason: clean(&reason) });
    let (rules, digest) = match present {
        Present::Missing => {
            let reason =
                format!("ClusterRole {name} does not exist in this cluster; it is bound when it does");
            return withheld(State::Failed, reason);
        }
        Present::Unread => {
            let reason =
                format!("ClusterRole {name} is too large to be read, so what it allows is not known");
            return withheld(State::Failed, reason);
        }
        Present::Rules { rules, digest } => (*rules, digest),
    };
    let accepted = fleet.accepted.get(&grant.id).filter(|accepted| accepted.cluster_role == name);
    match (accepted, fleet.role_growth) {
        // An aggregated role is empty until the cluster has filled it: nobody accepts that it stays so.
        (None, _) if !coverage::allow_something(rules) => {
            withheld(State::Pending, format!("ClusterRole {name} allows nothing; it is bound when it does"))
        }
        (_, RoleGrowth::Follow) => Verdict::Bound,
        (None, RoleGrowth::Hold) => Verdict::New(rules),
        (Some(accepted), RoleGrowth::Hold) => match growth(rules, digest, accepted) {
            growth if growth.is_none() => Verdict::Bound,
            growth => withheld(State::Held, told(grant, name, &growth)),
        },
    }
}

/// What a role allows beyond what was accepted. If that is not known any more, it may be anything.
fn growth(rules: &[Rule], digest: &str, accepted: &AcceptedRole) -> Growth {
    if accepted.digest == digest {
        return Growth::default();
    }
    match &accepted.rules {
        Some(accepted) => coverage::uncovered(rules, accepted),
        None => Growth { first: Vec::new(), more: true },
    }
}

fn told(grant: &Grant, name: &str, growth: &Growth) -> String {
    let (name, growth) = (cut(name, MAX_NAME), cut(&growth.to_string(), MAX_GROWTH));
    format!(
        "role grew: ClusterRole {name} now also allows {growth}; `bailiwick grant confirm {}` accepts it",
        grant.id
    )
}

/// The beginning of a text that is too long.
fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some(_) => text.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// The grants of custom roles, each with its ClusterRole's name.
fn custom_roles(fleet: &FleetDesired) -> impl Iterator<Item = (&Grant, &str)> {
    fleet.grants.iter().filter_map(|grant| match &grant.spec.role {
        Role::Custom(name) => Some((grant, name.as_str())),
        Role::Administrator | Role::AdministratorView | Role::Operator | Role::Developer | Role::Viewer => {
            None
        }
    })
}

/// The ClusterRoles of a cluster, each looked at once however many grants name it.
struct Roles<'a> {
    view: &'a View,
    known: HashMap<String, Present<'a>>,
}

impl<'a> Roles<'a> {
    fn get(&mut self, name: &str) -> &Present<'a> {
        let view = self.view;
        self.known.entry(name.to_owned()).or_insert_with(|| look_up(name, view))
    }
}

fn look_up<'a>(name: &str, view: &'a View) -> Present<'a> {
    let Some(role) = view.cluster_role(name) else { return Present::Missing };
    match accepted_roles::digest(&role.rules) {
        Ok(digest) if !cluster_roles::are_unread(&role.rules) => {
            Present::Rules { rules: &role.rules, digest }
        }
        Ok(_) | Err(_) => Present::Unread,
    }
}

#[cfg(test)]
mod tests;
