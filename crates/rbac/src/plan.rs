//! What must change in a cluster: (desired, observed) → an ordered, printable list.
//!
//! Who only loses, loses first. Then all that adds comes before all else that removes, so at every instant between two
//! changes who keeps a role has it, and who changes roles has the new one before the old one ends. Foreign objects are
//! in no change, ever.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::owner::{carries, object_name};
use crate::share::{SubjectRef, held, share_out};
use crate::{Binding, Desired, MAX_SUBJECTS, ObjectName, ObservedBinding, Owner, Slot, Subject, labels};

/// One write to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Create or update it, by server-side apply.
    Apply(Binding),
    /// Take all subjects out of this very object: it cannot be deleted at once, and grants until it is gone.
    Empty {
        /// Which binding.
        object: ObjectName,
        /// The uid that was observed.
        uid: String,
        /// `ClusterRole` or `Role`: what it binds to stays as it is, nobody can change that.
        role_kind: String,
        /// The name of that role.
        role_name: String,
        /// Our labels; others' stay.
        labels: BTreeMap<String, String>,
    },
    /// Delete this very object.
    Delete {
        /// Which binding.
        object: ObjectName,
        /// The uid that was observed.
        uid: String,
        /// The version that was observed, so that only what was looked at is deleted; `None` after it was emptied.
        resource_version: Option<String>,
    },
}

impl Change {
    fn delete(binding: &ObservedBinding) -> Self {
        Self::Delete {
            object: binding.object.clone(),
            uid: binding.uid.clone(),
            resource_version: Some(binding.resource_version.clone()),
        }
    }

    /// What ends `binding`. Usually that is one request; what finalizers would keep is emptied first.
    fn end(owner_labels: &BTreeMap<String, String>, binding: &ObservedBinding) -> Vec<Self> {
        let object = || binding.object.clone();
        let (empty, delete) = match (binding.deleting, binding.finalizers) {
            (true, _) => (empty(owner_labels, binding), None),
            (false, true) => {
                let delete =
                    Self::Delete { object: object(), uid: binding.uid.clone(), resource_version: None };
                (empty(owner_labels, binding), Some(delete))
            }
            (false, false) => (None, Some(Self::delete(binding))),
        };
        empty.into_iter().chain(delete).collect()
    }

    /// Which binding it changes.
    #[must_use]
    pub fn object(&self) -> &ObjectName {
        match self {
            Self::Apply(binding) => &binding.object,
            Self::Empty { object, .. } | Self::Delete { object, .. } => object,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply(binding) => {
                let count = binding.subjects.len();
                let noun = if count == 1 { "subject" } else { "subjects" };
                write!(f, "apply {} ({count} {noun})", binding.object)
            }
            Self::Empty { object, .. } => write!(f, "empty {object}"),
            Self::Delete { object, .. } => write!(f, "delete {object}"),
        }
    }
}

/// What to do, in order: all of `revoke`, then all of `grow`, then all of `shrink`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Removed subjects and deletions that concern only who gains nothing by this plan: they need not wait, however long
    /// the rest is.
    pub revoke: Vec<Change>,
    /// Creates, added subjects, repairs.
    pub grow: Vec<Change>,
    /// All other removed subjects and deletions.
    pub shrink: Vec<Change>,
    /// Names of ours that foreign objects hold; other names are used instead.
    pub taken: Vec<Taken>,
}

/// A name of ours that somebody else's object holds. It stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// What the name was for.
    pub slot: Slot,
    /// The foreign object.
    pub object: ObjectName,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes().next().is_none()
    }

    /// All changes in order.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.revoke.iter().chain(&self.grow).chain(&self.shrink)
    }

    /// All that takes something away.
    pub fn removals(&self) -> impl Iterator<Item = &Change> {
        self.revoke.iter().chain(&self.shrink)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Taken { object, .. } in &self.taken {
            writeln!(f, "taken {object}")?;
        }
        self.changes().try_for_each(|change| writeln!(f, "{change}"))
    }
}

/// Takes all subjects out of a binding of `owner`'s; `None` if it has none.
#[must_use]
pub fn emptied(owner: &Owner, binding: &ObservedBinding) -> Option<Change> {
    empty(&labels(owner), binding)
}

fn empty(owner_labels: &BTreeMap<String, String>, binding: &ObservedBinding) -> Option<Change> {
    (!binding.subjects.is_empty()).then(|| Change::Empty {
        object: binding.object.clone(),
        uid: binding.uid.clone(),
        role_kind: binding.role_kind.clone(),
        role_name: binding.role_name.clone(),
        labels: owner_labels.clone(),
    })
}

/// What must change so that `observed` becomes `desired`. `observed` is every binding of the cluster, `recorded` the
/// names that were applied before and whose deletion was not seen yet.
///
/// Applying the plan and planning again gives an empty plan; so does starting over after an interruption.
#[must_use]
pub fn plan(
    owner: &Owner,
    desired: &Desired,
    observed: &[ObservedBinding],
    recorded: &BTreeSet<ObjectName>,
) -> Plan {
    plan_with_limit(owner, desired, observed, recorded, MAX_SUBJECTS)
}

/// [`plan`] with another limit of subjects per binding, so that tests need not be large to split bindings.
pub(crate) fn plan_with_limit(
    owner: &Owner,
    desired: &Desired,
    observed: &[ObservedBinding],
    recorded: &BTreeSet<ObjectName>,
    limit: usize,
) -> Plan {
    let mut planner = Planner::new(owner, observed, recorded);
    for (slot, subjects) in &desired.slots {
        planner.fill(slot, subjects, limit);
    }
    planner.finish()
}

/// What an observed binding is to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Ours, and no slot wants it so far.
    Unclaimed,
    /// Ours, and a slot's.
    Claimed,
    /// Ours, and its deletion has begun. Its name is in use, and its subjects are allowed, until it is gone.
    Ending,
    /// Somebody else's.
    Foreign,
}

/// One binding of a slot.
struct Shard<'a> {
    object: ObjectName,
    current: Option<&'a ObservedBinding>,
}

struct Planner<'a> {
    owner: &'a Owner,
    labels: BTreeMap<String, String>,
    present: HashMap<&'a ObjectName, (Standing, &'a ObservedBinding)>,
    replace: Vec<Change>,
    /// What removes, and from whom.
    shrink: Vec<(Vec<Change>, BTreeSet<SubjectRef<'a>>)>,
    /// Who gets something, and which bindings change for it.
    gaining: BTreeSet<SubjectRef<'a>>,
    growing: BTreeSet<ObjectName>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn new(owner: &'a Owner, observed: &'a [ObservedBinding], recorded: &BTreeSet<ObjectName>) -> Self {
        let labels = labels(owner);
        let standing = |binding: &ObservedBinding| {
            let ours = carries(&binding.labels, &labels) || recorded.contains(&binding.object);
            match (ours, binding.deleting) {
                (true, false) => Standing::Unclaimed,
                (true, true) => Standing::Ending,
                (false, _) => Standing::Foreign,
            }
        };
        let present =
            observed.iter().map(|binding| (&binding.object, (standing(binding), binding))).collect();
        Self {
            owner,
            labels,
            present,
            replace: Vec::new(),
            shrink: Vec::new(),
            gaining: BTreeSet::new(),
            growing: BTreeSet::new(),
            plan: Plan::default(),
        }
    }

    /// Plans the bindings of one slot: no more of them than its subjects need.
    fn fill(&mut self, slot: &Slot, subjects: &'a BTreeSet<Subject>, limit: usize) {
        let count = subjects.len().div_ceil(limit);
        let shards: Vec<Shard<'a>> = (0..count).map(|number| self.claim(slot, number)).collect();
        let holding: Vec<_> =
            shards.iter().map(|shard| shard.current.map(held).unwrap_or_default()).collect();
        let shares = share_out(subjects, &holding, limit);
        for ((shard, held), wanted) in shards.into_iter().zip(holding).zip(shares) {
            self.reconcile(slot, shard, &held, &wanted);
        }
    }

    /// Finds the first name of this shard that nobody else holds.
    fn claim(&mut self, slot: &Slot, number: usize) -> Shard<'a> {
        let mut attempt = 0;
        loop {
            let object = object_name(self.owner, slot, number, attempt);
            attempt += 1;
            let Some((standing, binding)) = self.present.get_mut(&object) else {
                return Shard { object, current: None };
            };
            match standing {
                // Its role is wrong, and finalizers keep it from being replaced: to the slot it is as if it were ending.
                Standing::Unclaimed if binding.finalizers && !binds(binding, slot) => {}
                Standing::Unclaimed => {
                    *standing = Standing::Claimed;
                    return Shard { object, current: Some(*binding) };
                }
                Standing::Claimed | Standing::Ending => {}
                Standing::Foreign => self.plan.taken.push(Taken { slot: slot.clone(), object }),
            }
        }
    }

    /// Plans one binding. `held` are its subjects of the kinds that we write.
    fn reconcile(
        &mut self,
        slot: &Slot,
        shard: Shard<'a>,
        held: &BTreeSet<SubjectRef<'a>>,
        wanted: &BTreeSet<SubjectRef<'a>>,
    ) {
        let apply = |subjects: Vec<SubjectRef<'_>>| {
            Change::Apply(Binding {
                object: shard.object.clone(),
                role: slot.role.clone(),
                subjects: subjects.into_iter().map(SubjectRef::to_subject).collect(),
                labels: self.labels.clone(),
            })
        };
        let last = || apply(wanted.iter().copied().collect());
        self.gaining.extend(wanted.difference(held));
        let Some(current) = shard.current else {
            self.plan.grow.push(last());
            return;
        };
        if !binds(current, slot) {
            self.gaining.extend(wanted);
            self.replace.extend([Change::delete(current), last()]);
            return;
        }
        let adds = !wanted.is_subset(held);
        // What is observed more often than it is held is of a kind that we never write, or there twice.
        let removes = !held.is_subset(wanted) || current.subjects.len() != held.len();
        if adds && removes {
            self.plan.grow.push(apply(held.union(wanted).copied().collect()));
            self.growing.insert(shard.object.clone());
        }
        if removes {
            self.shrink.push((vec![last()], held.difference(wanted).copied().collect()));
        } else if adds || !carries(&current.labels, &self.labels) {
            self.plan.grow.push(last());
        }
    }

    /// Adds the end of what is ours and no slot claimed.
    fn finish(mut self) -> Plan {
        let mut leftovers: Vec<_> = self
            .present
            .values()
            .filter(|(standing, _)| matches!(standing, Standing::Unclaimed | Standing::Ending))
            .map(|(_, binding)| *binding)
            .collect();
        leftovers.sort_by_key(|binding| &binding.object);
        let labels = &self.labels;
        self.shrink
            .extend(leftovers.into_iter().map(|binding| (Change::end(labels, binding), held(binding))));
        for (changes, losing) in self.shrink {
            let waits = !losing.is_disjoint(&self.gaining)
                || changes.iter().any(|change| self.growing.contains(change.object()));
            let part = if waits { &mut self.plan.shrink } else { &mut self.plan.revoke };
            part.extend(changes);
        }
        // Replacing takes a binding away for a moment, so it waits until everything else stands.
        self.plan.grow.append(&mut self.replace);
        self.plan.taken.sort();
        self.plan
    }
}

/// Whether `binding` refers to the slot's role.
fn binds(binding: &ObservedBinding, slot: &Slot) -> bool {
    binding.role_kind == "ClusterRole" && binding.role_name == slot.role.cluster_role()
}
