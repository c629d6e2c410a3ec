//! For tests: a cluster that holds bindings and refuses what an API server refuses.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ClusterId, ClusterRoleName, InstallationId, Namespace, Role};

use crate::plan::plan_with_limit;
use crate::{
    Change, Desired, ObjectName, ObservedBinding, ObservedSubject, Owner, Plan, RBAC_GROUP, Scope, Slot,
    Subject, SubjectKind, is_ours, labels,
};

/// A permission as a cluster sees it: scope, ClusterRole, subject.
pub(crate) type Held = (Scope, String, Subject);

/// The cluster, and what its worker remembers.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) owner: Owner,
    pub(crate) bindings: BTreeMap<ObjectName, ObservedBinding>,
    pub(crate) recorded: BTreeSet<ObjectName>,
    limit: usize,
    version: u64,
}

impl Model {
    pub(crate) fn new(limit: usize) -> Self {
        Self { owner: owner(), bindings: BTreeMap::new(), recorded: BTreeSet::new(), limit, version: 0 }
    }

    pub(crate) fn observed(&self) -> Vec<ObservedBinding> {
        self.bindings.values().cloned().collect()
    }

    pub(crate) fn plan(&self, desired: &Desired) -> Plan {
        plan_with_limit(&self.owner, desired, &self.observed(), &self.recorded, self.limit)
    }

    /// Plans, does all of it, and gives back what was done.
    pub(crate) fn settle(&mut self, desired: &Desired) -> Plan {
        let plan = self.plan(desired);
        plan.changes().for_each(|change| self.apply(change));
        plan
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Apply(binding) => {
                let old = self.bindings.get(&binding.object).cloned();
                let mut labels = old.as_ref().map(|old| old.labels.clone()).unwrap_or_default();
                labels.extend(binding.labels.clone());
                if let Some(old) = &old {
                    let same = (old.role_kind.as_str(), old.role_name.as_str());
                    assert_eq!(same, ("ClusterRole", binding.role.cluster_role()), "roleRef is immutable");
                }
                self.recorded.insert(binding.object.clone());
                let subjects = binding.subjects_as_observed().collect();
                self.put(binding.object.clone(), binding.role.cluster_role(), labels, subjects);
                if let (Some(old), Some(new)) = (old, self.bindings.get_mut(&binding.object)) {
                    (new.uid, new.deleting, new.finalizers) = (old.uid, old.deleting, old.finalizers);
                }
            }
            Change::Empty { object, uid, role_kind, role_name, labels } => {
                self.edit(object, |old| {
                    assert_eq!((&old.uid, &old.role_kind, &old.role_name), (uid, role_kind, role_name));
                    old.labels.extend(labels.clone());
                    old.subjects.clear();
                });
            }
            Change::Delete { object, uid, resource_version } => {
                let old = self.bindings.get(object).expect("only what exists is deleted");
                assert_eq!(&old.uid, uid, "{object}");
                assert!(!old.deleting, "{object} is deleted once");
                assert!(
                    resource_version.as_ref().is_none_or(|seen| *seen == old.resource_version),
                    "{object}"
                );
                if old.finalizers {
                    self.edit(object, |old| old.deleting = true);
                } else {
                    self.bindings.remove(object);
                    self.recorded.remove(object);
                }
            }
        }
    }

    /// Puts a fresh binding there, whatever was there before.
    pub(crate) fn put(
        &mut self,
        object: ObjectName,
        role_name: &str,
        labels: BTreeMap<String, String>,
        subjects: Vec<ObservedSubject>,
    ) {
        self.version += 1;
        let binding = ObservedBinding {
            object: object.clone(),
            uid: format!("uid-{}", self.version),
            resource_version: self.version.to_string(),
            role_kind: "ClusterRole".to_owned(),
            role_name: role_name.to_owned(),
            labels,
            subjects,
            deleting: false,
            finalizers: false,
        };
        self.bindings.insert(object, binding);
    }

    /// Changes a binding as somebody else would.
    pub(crate) fn edit(&mut self, object: &ObjectName, change: impl FnOnce(&mut ObservedBinding)) {
        self.version += 1;
        let binding = self.bindings.get_mut(object).expect("only what exists is edited");
        change(binding);
        binding.resource_version = self.version.to_string();
    }

    /// Our bindings that are not about to vanish.
    pub(crate) fn ours(&self) -> Vec<&ObservedBinding> {
        let ours = |b: &&ObservedBinding| is_ours(&self.owner, b, &self.recorded) && !b.deleting;
        self.bindings.values().filter(ours).collect()
    }

    /// Our bindings whose deletion waits for finalizers.
    pub(crate) fn ending(&self) -> Vec<&ObservedBinding> {
        let ending = |b: &&ObservedBinding| is_ours(&self.owner, b, &self.recorded) && b.deleting;
        self.bindings.values().filter(ending).collect()
    }

    /// What our bindings grant, sorted, once for each binding that grants it. Those that are ending grant, too.
    pub(crate) fn held(&self) -> Vec<Held> {
        let mut all: Vec<Held> = self.ours().into_iter().chain(self.ending()).flat_map(held_by).collect();
        all.sort();
        all
    }
}

/// What one binding grants to subjects of the kinds that we write.
pub(crate) fn held_by(binding: &ObservedBinding) -> Vec<Held> {
    let of_kind = |kind: &str| SubjectKind::ALL.into_iter().find(|k| k.as_str() == kind);
    binding
        .subjects
        .iter()
        .filter(|subject| subject.api_group == RBAC_GROUP)
        .filter_map(|subject| Some(Subject { kind: of_kind(&subject.kind)?, name: subject.name.clone() }))
        .map(|subject| (binding.object.scope.clone(), binding.role_name.clone(), subject))
        .collect()
}

/// What `desired` asks to be granted, sorted.
pub(crate) fn wanted(desired: &Desired) -> Vec<Held> {
    let mut all: Vec<Held> = desired
        .slots
        .iter()
        .flat_map(|(slot, subjects)| {
            let role = slot.role.cluster_role().to_owned();
            subjects.iter().map(move |subject| (slot.scope.clone(), role.clone(), subject.clone()))
        })
        .collect();
    all.sort();
    all
}

pub(crate) fn owner() -> Owner {
    Owner { installation: InstallationId::stored("inst"), cluster: ClusterId::stored("prod") }
}

/// Labels of another owner.
pub(crate) fn labels_of(installation: &str, cluster: &str) -> BTreeMap<String, String> {
    labels(&Owner { installation: InstallationId::stored(installation), cluster: ClusterId::stored(cluster) })
}

pub(crate) fn user(name: &str) -> Subject {
    Subject { kind: SubjectKind::User, name: name.to_owned() }
}

pub(crate) fn observed_user(name: &str) -> ObservedSubject {
    ObservedSubject {
        kind: "User".to_owned(),
        api_group: RBAC_GROUP.to_owned(),
        name: name.to_owned(),
        namespace: None,
    }
}

pub(crate) fn custom(name: &str) -> Role {
    Role::Custom(ClusterRoleName::parse("role", name).unwrap())
}

pub(crate) fn in_namespace(role: Role, namespace: &str) -> Slot {
    Slot { role, scope: Scope::Namespace(Namespace::stored(namespace)) }
}

pub(crate) fn everywhere(role: Role) -> Slot {
    Slot { role, scope: Scope::Cluster }
}

/// A desired state of these slots with these users.
pub(crate) fn desire(slots: &[(Slot, &[&str])]) -> Desired {
    let slots =
        slots.iter().map(|(slot, users)| (slot.clone(), users.iter().map(|name| user(name)).collect()));
    Desired { slots: slots.collect(), ..Desired::default() }
}
