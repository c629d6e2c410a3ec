//! Grants of custom roles: whether what the ClusterRole allows now is what was accepted. Where it is not, nothing of the
//! grant is bound. Pure.
//!
//! A role that is not there is not bound either, although an API server would take the binding: nothing is to spring
//! into force unseen when somebody makes the role.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{Grant, GrantId, Role, State};
use rbac::cluster_roles::{self, Rule};
use rbac::coverage::{self, Effort, Growth};
use service::fleet::FleetDesired;
use service::grants::accepted_roles::{Acceptance, AcceptedRole, RoleGrowth, Written};

use crate::failure::clean;
use crate::view::View;

/// The longest text about one growth, and the longest name of a role in it: what comes after them must stay readable.
const MAX_GROWTH: usize = 110;
const MAX_NAME: usize = 60;
/// The most words, roughly, that a pass reads of custom roles: far more than an API server stores of an honest one.
const MAX_WORDS: usize = 1_000_000;

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
    Rules { rules: &'a [Rule], allow_something: bool, written: Written },
}

/// The digests whose rules have to be known, because a role's are not the same any more. Many grants of one role were
/// mostly made of the same one.
pub(crate) fn differing(fleet: &FleetDesired, view: &View) -> BTreeSet<String> {
    let mut present = Roles::new(view);
    let differs = |(grant, name): (&Grant, &str)| {
        let accepted = fleet.accepted.get(&grant.id)?;
        match present.get(name) {
            Present::Missing | Present::Unread => None,
            Present::Rules { written, .. } => {
                let differs = accepted.cluster_role == name && accepted.digest != written.digest();
                differs.then(|| accepted.digest.clone())
            }
        }
    };
    custom_roles(fleet).filter_map(differs).collect()
}

/// Judges each grant of a custom role. Nothing that depends on how large a role is happens once for each grant.
pub(crate) fn judge(fleet: &FleetDesired, view: &View) -> Judged {
    let mut present = Roles::new(view);
    let mut growths = Growths { effort: Effort::of_a_pass(), known: HashMap::new() };
    let mut judged = Judged::default();
    for (grant, name) in custom_roles(fleet) {
        match judge_one(grant, name, fleet, present.get(name), &mut growths) {
            Verdict::Bound => {}
            Verdict::New(rules) => judged.new.push(Acceptance {
                grant: grant.id.clone(),
                generation: grant.generation,
                cluster_role: name.to_owned(),
                rules: rules.clone(),
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
    New(&'a Written),
    Withheld(Withheld),
}

fn judge_one<'a>(
    grant: &Grant,
    name: &str,
    fleet: &FleetDesired,
    present: &'a Present<'_>,
    growths: &mut Growths,
) -> Verdict<'a> {
    let withheld = |state, reason: String| Verdict::Withheld(Withheld { state, reason: clean(&reason) });
    let (rules, allow_something, written) = match present {
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
        Present::Rules { rules, allow_something, written } => (*rules, *allow_something, written),
    };
    let accepted = fleet.accepted.get(&grant.id).filter(|accepted| accepted.cluster_role == name);
    match (accepted, fleet.role_growth) {
        // An aggregated role is empty until the cluster has filled it: nobody accepts that it stays so.
        (None, _) if !allow_something => {
            withheld(State::Pending, format!("ClusterRole {name} allows nothing; it is bound when it does"))
        }
        (_, RoleGrowth::Follow) => Verdict::Bound,
        (None, RoleGrowth::Hold) => Verdict::New(written),
        (Some(accepted), RoleGrowth::Hold) if accepted.digest == written.digest() => Verdict::Bound,
        (Some(accepted), RoleGrowth::Hold) => match growths.of(name, rules, accepted) {
            None => Verdict::Bound,
            Some(growth) => withheld(State::Held, told(grant, name, growth)),
        },
    }
}

/// What roles allow beyond what was accepted of them, told: each found once, and not more of it than can be found in a pass.
struct Growths {
    effort: Effort,
    known: HashMap<String, HashMap<String, Option<String>>>,
}

impl Growths {
    fn of(&mut self, name: &str, rules: &[Rule], accepted: &AcceptedRole) -> Option<&str> {
        let of_role = self.known.entry(name.to_owned()).or_default();
        let told = match of_role.entry(accepted.digest.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let growth = growth(rules, accepted, &mut self.effort);
                new.insert((!growth.is_none()).then(|| cut(&growth.to_string(), MAX_GROWTH)))
            }
        };
        told.as_deref()
    }
}

/// What a role allows beyond what was accepted. If that is not known any more, it may be anything.
fn growth(rules: &[Rule], accepted: &AcceptedRole, effort: &mut Effort) -> Growth {
    match &accepted.rules {
        Some(accepted) => coverage::uncovered(rules, accepted, effort),
        None => Growth { first: Vec::new(), more: true },
    }
}

fn told(grant: &Grant, name: &str, growth: &str) -> String {
    let name = cut(name, MAX_NAME);
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
    words: usize,
}

impl<'a> Roles<'a> {
    fn new(view: &'a View) -> Self {
        Self { view, known: HashMap::new(), words: MAX_WORDS }
    }

    fn get(&mut self, name: &str) -> &Present<'a> {
        let (view, words) = (self.view, &mut self.words);
        self.known.entry(name.to_owned()).or_insert_with(|| look_up(name, view, words))
    }
}

fn look_up<'a>(name: &str, view: &'a View, words: &mut usize) -> Present<'a> {
    let Some(role) = view.cluster_role(name) else { return Present::Missing };
    let Some(left) = words.checked_sub(coverage::weight(&role.rules)) else { return Present::Unread };
    *words = left;
    match Written::new(&role.rules) {
        Ok(written) if !cluster_roles::are_unread(&role.rules) => {
            let allow_something = coverage::allow_something(&role.rules);
            Present::Rules { rules: &role.rules, allow_something, written }
        }
        Ok(_) | Err(_) => Present::Unread,
    }
}

#[cfg(test)]
mod tests;
