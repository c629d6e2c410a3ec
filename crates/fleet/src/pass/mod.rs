//! The decisions of one pass over one cluster: what to do, and what came of it. Pure; [`crate::worker`] does it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::{ClusterId, ClusterScope, Grant, GrantId, State};
use rbac::cluster_roles::{self, ClusterRoleSpec};
use rbac::{Binding, Change, Desired, ObjectName, Owner, Placement, Plan, Slot, Subject, Taken, is_ours};
use service::fleet::{FleetDesired, StateUpdate};

use crate::apply::Outcome;
use crate::custom::{self, Judged, Withheld};
use crate::excess::Excess;
use crate::explain;
use crate::failure::Failure;
use crate::remarks;
use crate::right::Right;
use crate::roles;
use crate::states::{self, Leftover, Trouble};
use crate::tracker::{Aim, Tracker};
use crate::view::View;

/// What is to be done.
pub(crate) struct Look {
    /// What the cluster should hold.
    pub(crate) desired: Desired,
    /// Where the grants that are to be gone had been.
    pub(crate) former: BTreeMap<GrantId, Placement>,
    /// The changes.
    pub(crate) plan: Plan,
    /// The ClusterRoles of ours that must be written first.
    pub(crate) lacking: Vec<ClusterRoleSpec>,
    /// Bindings that are ours by their labels alone.
    pub(crate) labelled: Vec<ObjectName>,
    /// What is not applied because there would be too many bindings.
    pub(crate) excess: Excess,
    /// Who gets something new where.
    pub(crate) added: HashMap<Slot, BTreeSet<Subject>>,
    /// What became of grants of custom roles.
    pub(crate) judged: Judged,
    /// Who has nothing by grants of which nothing is bound, and where it would be.
    withheld: BTreeMap<Slot, BTreeSet<Subject>>,
}

impl Look {
    /// Leaves out those who lose something because a grant is withheld: nobody ended it, and yet it is no mistake.
    pub(crate) fn drop_withheld(&self, lost: &mut BTreeMap<ObjectName, BTreeSet<Subject>>, view: &View) {
        for (slot, subjects) in &self.withheld {
            for (object, lost) in lost.iter_mut().filter(|(object, _)| object.scope == slot.scope) {
                let role = view.binding(object).map(|binding| binding.role_name.as_str());
                if role == Some(slot.role.cluster_role()) {
                    lost.retain(|subject| !subjects.contains(subject));
                }
            }
        }
        lost.retain(|_, lost| !lost.is_empty());
    }
}

/// Compares what should be with what is.
pub(crate) fn look(owner: &Owner, fleet: &FleetDesired, view: &View) -> Look {
    let namespaces = view.namespaces();
    let judged = custom::judge(fleet, view);
    let (bound, withheld) = apart(&fleet.grants, &judged);
    let mut desired = rbac::desired(&owner.cluster, &bound, &fleet.names, &namespaces);
    desired.placements.extend(withheld.iter().map(|grant| (grant.id.clone(), Placement::default())));
    let mut plan = rbac::plan(owner, &desired, view.bindings(), &fleet.recorded);
    let excess = Excess::cut(&mut plan, owner, fleet, view);
    let former: Vec<Grant> = fleet.revoked.iter().map(|grant| as_it_was(grant, &owner.cluster)).collect();
    Look {
        former: rbac::desired(&owner.cluster, &former, &fleet.names, &namespaces).placements,
        lacking: roles::lacking(&desired, view),
        labelled: labelled(owner, fleet, view),
        excess,
        added: plan.grow.iter().filter_map(|change| added(change, view)).collect(),
        withheld: rbac::desired(&owner.cluster, &withheld, &fleet.names, &namespaces).slots,
        judged,
        desired,
        plan,
    }
}

/// The grants that are bound, and those that are withheld.
fn apart<'a>(grants: &'a [Grant], judged: &Judged) -> (Cow<'a, [Grant]>, Vec<Grant>) {
    if judged.withheld.is_empty() {
        return (Cow::Borrowed(grants), Vec::new());
    }
    let (withheld, bound) = grants.iter().cloned().partition(|grant| judged.withheld.contains_key(&grant.id));
    (Cow::Owned(bound), withheld)
}

fn labelled(owner: &Owner, fleet: &FleetDesired, view: &View) -> Vec<ObjectName> {
    let labels = rbac::labels(owner);
    let ours = |binding: &&rbac::ObservedBinding| {
        labels.iter().all(|(key, value)| binding.labels.get(key) == Some(value))
            && !fleet.recorded.contains(&binding.object)
    };
    view.bindings().iter().filter(ours).map(|binding| binding.object.clone()).collect()
}

/// A revoked grant as if it still held in `cluster`, to know where it had been.
fn as_it_was(grant: &Grant, cluster: &ClusterId) -> Grant {
    let mut grant = grant.clone();
    grant.revoked_at = None;
    grant.spec.clusters = ClusterScope::Listed(vec![cluster.clone()]);
    grant
}

/// Whom a change adds to what its binding holds now.
fn added(change: &Change, view: &View) -> Option<(Slot, BTreeSet<Subject>)> {
    let Change::Apply(binding) = change else { return None };
    let known = view.binding(&binding.object).filter(|known| known.role_name == binding.role.cluster_role());
    let held: HashSet<&str> =
        known.iter().flat_map(|known| known.subjects.iter().map(|subject| subject.name.as_str())).collect();
    let is_new = |subject: &&Subject| {
        !held.contains(subject.name.as_str()) || !known.is_some_and(|known| explain::names(known, subject))
    };
    Some((slot_of(binding), binding.subjects.iter().filter(is_new).cloned().collect()))
}

fn slot_of(binding: &Binding) -> Slot {
    Slot { role: binding.role.clone(), scope: binding.object.scope.clone() }
}

/// What came of it.
pub(crate) struct Facts {
    /// What the service wants.
    pub(crate) fleet: FleetDesired,
    /// Whose objects are ours.
    pub(crate) owner: Owner,
    /// What the cluster should hold.
    pub(crate) desired: Desired,
    /// Where the grants that are to be gone had been.
    pub(crate) former: BTreeMap<GrantId, Placement>,
    /// What stands in the way of slots.
    pub(crate) troubles: BTreeMap<Slot, Trouble>,
    /// Who is still named by us and should not be.
    pub(crate) leftovers: Vec<Leftover>,
    /// Names of ours that others hold.
    pub(crate) taken: Vec<Taken>,
    /// Grants of which nothing is bound.
    pub(crate) withheld: BTreeMap<GrantId, Withheld>,
}

impl Facts {
    /// What came of what was to be done.
    pub(crate) fn new(
        fleet: FleetDesired,
        owner: Owner,
        look: Look,
        troubles: BTreeMap<Slot, Trouble>,
        leftovers: Vec<Leftover>,
    ) -> Self {
        let Look { desired, former, plan, judged, .. } = look;
        let (taken, withheld) = (plan.taken, judged.withheld);
        Self { fleet, owner, desired, former, troubles, leftovers, taken, withheld }
    }

    /// Each grant and each revoke, with where it is or was.
    pub(crate) fn grants(&self) -> impl Iterator<Item = (&Grant, Aim, &Placement)> {
        let granted = self.fleet.grants.iter().map(|grant| (grant, Aim::Granted, &self.desired.placements));
        let revoked = self.fleet.revoked.iter().map(|grant| (grant, Aim::Revoked, &self.former));
        granted
            .chain(revoked)
            .filter_map(|(grant, aim, placements)| Some((grant, aim, placements.get(&grant.id)?)))
    }

    /// What people should see of it.
    pub(crate) fn updates(&self, tracker: &Tracker) -> Vec<StateUpdate> {
        let update = |(grant, aim, placement): (&Grant, Aim, &Placement)| {
            let tracked = tracker.get(&grant.id)?;
            let (state, reason) = match aim {
                Aim::Granted => match self.withheld.get(&grant.id) {
                    Some(withheld) => {
                        let own = self.leftover(grant);
                        let left = own.or_else(|| self.leftover_of_earlier(grant, aim, placement));
                        states::withheld(withheld, left, tracked)
                    }
                    None => states::granted(
                        grant,
                        placement,
                        &self.troubles,
                        self.leftover_of_earlier(grant, aim, placement),
                        tracked,
                        &remarks::of_grant(self, grant, placement),
                    ),
                },
                Aim::Revoked => {
                    let own = self.leftover(grant);
                    let left = own.or_else(|| self.leftover_of_earlier(grant, aim, placement));
                    states::revoked(left, tracked, remarks::of_revoke(self, grant, placement))
                }
            }?;
            Some(state_update(grant, state, reason))
        };
        self.grants().filter_map(update).collect()
    }

    /// A subject of `grant` that we still name in its role, although nothing wants that.
    pub(crate) fn leftover(&self, grant: &Grant) -> Option<&Leftover> {
        let subjects: HashSet<Subject> = self.fleet.names.subjects(&grant.spec.principals).collect();
        let of_grant = |left: &&Leftover| {
            left.role == grant.spec.role.cluster_role() && subjects.contains(&left.subject)
        };
        self.leftovers.iter().find(of_grant)
    }

    /// What could not be removed and may be of an earlier form of `grant`, in which it named others or had another
    /// role, other namespaces or other names: nothing remembers these forms. What a revoked grant accounts for is told there.
    fn leftover_of_earlier(&self, grant: &Grant, aim: Aim, placement: &Placement) -> Option<&Leftover> {
        let is_in_its_place = |left: &Leftover| {
            left.role == grant.spec.role.cluster_role()
                && placement.slots.iter().any(|slot| slot.scope == left.scope)
        };
        let may_be = |left: &Leftover| match aim {
            // Names change without the grant, by a template or by who is in a group.
            Aim::Granted => grant.generation > 1 || (!self.fleet.names.is_by_id() && is_in_its_place(left)),
            // Its revoke counts as a generation, too.
            Aim::Revoked => {
                grant.generation > 2 || grant.spec.principals.ids.is_empty() || is_in_its_place(left)
            }
        };
        let is_accounted_for =
            |left: &Leftover| self.fleet.revoked.iter().any(|grant| self.is_of(left, grant));
        self.leftovers
            .iter()
            .filter(|left| may_be(left) && left.severity() > 0 && !is_accounted_for(left))
            .max_by_key(|left| left.severity())
    }

    /// Whether `left` is what `grant` says.
    fn is_of(&self, left: &Leftover, grant: &Grant) -> bool {
        left.role == grant.spec.role.cluster_role()
            && self.fleet.names.subjects(&grant.spec.principals).any(|subject| subject == left.subject)
    }
}

/// An update about the generation of `grant` that was looked at.
pub(crate) fn state_update(grant: &Grant, state: State, reason: String) -> StateUpdate {
    StateUpdate { grant: grant.id.clone(), generation: grant.generation, state, reason }
}

/// What stands in the way of slots, after `outcomes` of growing and of writing ClusterRoles.
pub(crate) fn troubles(
    look: &Look,
    outcomes: &BTreeMap<ObjectName, Outcome>,
    role_failures: &BTreeMap<String, Failure>,
) -> BTreeMap<Slot, Trouble> {
    let of_roles = look.desired.slots.keys().filter_map(|slot| {
        let name =
            cluster_roles::needed(&slot.role).iter().find(|name| role_failures.contains_key(**name))?;
        let failure = role_failures.get(*name)?;
        Some((slot.clone(), trouble(failure, &Right::base(format!("write the ClusterRole {name}")))))
    });
    let of_changes = look.plan.grow.iter().filter_map(|change| {
        let Change::Apply(binding) = change else { return None };
        let action = format!("bind {} by a {}", binding.role.cluster_role(), binding.object.kind());
        let right = Right::binding(action, binding.role.cluster_role());
        Some((slot_of(binding), outcome_trouble(outcomes.get(&binding.object)?, &right)?))
    });
    let of_excess = look.excess.slots.iter().map(|slot| (slot.clone(), look.excess.trouble()));
    of_roles.chain(of_changes).chain(of_excess).collect()
}

/// Who is named by bindings of ours beyond what is desired, and what became of removing them.
pub(crate) fn leftovers(
    owner: &Owner,
    desired: &Desired,
    view: &View,
    recorded: &BTreeSet<ObjectName>,
    outcomes: &BTreeMap<ObjectName, Outcome>,
) -> Vec<Leftover> {
    let wanted: HashSet<(&str, &rbac::Scope, &str)> = desired
        .slots
        .iter()
        .flat_map(|(slot, subjects)| {
            subjects.iter().map(|subject| (slot.role.cluster_role(), &slot.scope, subject.name.as_str()))
        })
        .collect();
    let mut found = Vec::new();
    for binding in view.bindings().iter().filter(|binding| is_ours(owner, binding, recorded)) {
        let action = match binding.deleting {
            false => format!("remove somebody from {}", binding.object),
            true => format!("take everybody out of {}, which a finalizer keeps from ending,", binding.object),
        };
        let right = Right::binding(action, &binding.role_name);
        let outcome = outcomes.get(&binding.object);
        for observed in &binding.subjects {
            if wanted.contains(&(binding.role_name.as_str(), &binding.object.scope, observed.name.as_str())) {
                continue;
            }
            let kinds = rbac::SubjectKind::ALL.into_iter();
            let Some(kind) = kinds.into_iter().find(|kind| kind.as_str() == observed.kind) else { continue };
            found.push(Leftover {
                subject: Subject { kind, name: observed.name.clone() },
                role: binding.role_name.clone(),
                scope: binding.object.scope.clone(),
                trouble: outcome.and_then(|outcome| outcome_trouble(outcome, &right)),
            });
        }
    }
    found
}

fn outcome_trouble(outcome: &Outcome, right: &Right) -> Option<Trouble> {
    match outcome {
        Outcome::Done => None,
        Outcome::NamespaceGone => Some(Trouble::NamespaceGone),
        Outcome::Moved => Some(Trouble::Waiting),
        Outcome::Failed(failure) | Outcome::Skipped(failure) => Some(trouble(failure, right)),
    }
}

fn trouble(failure: &Failure, right: &Right) -> Trouble {
    let sentence = failure.sentence(right);
    if failure.stops_everything() { Trouble::NoAnswer(sentence) } else { Trouble::Refused(sentence) }
}

#[cfg(test)]
mod tests;
