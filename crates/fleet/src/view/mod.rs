//! What a cluster holds, as far as decisions need it: all bindings, the namespaces, the ClusterRoles.
//!
//! Pure: [`crate::observe`] feeds it. It is ahead of the watch where we know better (the answer to an apply is the
//! object as it is now) and never falls back behind that when the watch catches up. It says of each event whether
//! anything changed that a decision could depend on, so that the echo of our own writes wakes nobody.

mod object;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::Namespace;
use rbac::cluster_roles::ClusterRoleSpec;
use rbac::{Binding, ObjectName, ObservedBinding, Owner, is_ours};
use tokio::time::Instant;

pub(crate) use object::{Kind, Object, kind_of};

/// The most that is kept of one cluster, in bytes by rough count. Ten thousand bindings are about 5 MiB.
pub(crate) const MAX_WEIGHT: usize = 96 << 20;
/// Above this, only names are kept of what others bind.
pub(crate) const CROWDED: usize = MAX_WEIGHT / 2;

/// A cluster holds more than we are willing to keep in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

/// Whether an event changed anything that a decision could depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing that matters, or what we just wrote.
    Nothing,
    /// Something.
    Changed,
}

/// The state of one cluster.
#[derive(Default)]
pub(crate) struct View {
    bindings: Vec<ObservedBinding>,
    positions: HashMap<ObjectName, usize>,
    namespaces: BTreeMap<Namespace, bool>,
    cluster_roles: HashMap<String, ClusterRoleSpec>,
    changed_roles: BTreeSet<String>,
    listed: BTreeMap<Kind, Instant>,
    latest: BTreeMap<Kind, u64>,
    complete: BTreeSet<Kind>,
    expected: HashMap<ObjectName, Option<Binding>>,
    ours: Option<(Owner, BTreeSet<ObjectName>)>,
    interest: Interest,
    weight: usize,
}

/// Which changes matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Interest {
    /// All: something is not as it should be, and any binding of others may be the reason.
    #[default]
    All,
    /// Those that concern bindings of ours; others' bindings come and go.
    Ours,
}

impl View {
    /// Whether each kind was listed completely at least once.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.len() == Kind::ALL.len()
    }

    /// Every binding of the cluster, ours and others'.
    pub(crate) fn bindings(&self) -> &[ObservedBinding] {
        &self.bindings
    }

    /// One binding.
    pub(crate) fn binding(&self, name: &ObjectName) -> Option<&ObservedBinding> {
        self.positions.get(name).and_then(|at| self.bindings.get(*at))
    }

    /// The namespaces in which something can be created.
    pub(crate) fn namespaces(&self) -> BTreeSet<Namespace> {
        self.namespaces.iter().filter(|(_, ending)| !**ending).map(|(name, _)| name.clone()).collect()
    }

    /// One ClusterRole.
    pub(crate) fn cluster_role(&self, name: &str) -> Option<&ClusterRoleSpec> {
        self.cluster_roles.get(name)
    }

    /// When the list began that a kind was taken over from.
    pub(crate) fn listed_at(&self, kind: Kind) -> Option<Instant> {
        self.listed.get(&kind).copied()
    }

    /// Says when the last list of a kind began.
    pub(crate) fn set_listed_at(&mut self, kind: Kind, at: Instant) {
        self.listed.insert(kind, at);
    }

    /// The names of the ClusterRoles that came, changed or went since this was asked.
    pub(crate) fn take_changed_roles(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed_roles)
    }

    /// Takes over a complete list of one kind, which stood at `version`. If it is too much, the kind is not complete.
    pub(crate) fn replace(
        &mut self,
        kind: Kind,
        objects: Vec<Object>,
        version: &str,
    ) -> Result<Effect, TooMuch> {
        let former = match kind {
            Kind::ClusterRoles => std::mem::take(&mut self.cluster_roles),
            Kind::Namespaces | Kind::ClusterRoleBindings | Kind::RoleBindings => HashMap::new(),
        };
        self.clear(kind);
        self.complete.remove(&kind);
        self.latest.insert(kind, number(version).unwrap_or(0));
        for object in objects {
            self.put(object)?;
        }
        self.complete.insert(kind);
        if kind == Kind::ClusterRoles {
            // All that are there now have just been noted as new.
            self.changed_roles.retain(|name| former.get(name) != self.cluster_roles.get(name));
            self.changed_roles
                .extend(former.into_keys().filter(|name| !self.cluster_roles.contains_key(name)));
        }
        Ok(Effect::Changed)
    }

    /// Takes over what a watch says about one object that was added or changed.
    pub(crate) fn observe(&mut self, object: Object) -> Result<Effect, TooMuch> {
        self.saw(object.kind(), object.version());
        if let Object::Binding(binding) = &object {
            if self.binding(&binding.object).is_some_and(|known| is_older(binding, known)) {
                return Ok(Effect::Nothing);
            }
            let echo =
                matches!(self.expected.get(&binding.object), Some(Some(wanted)) if is_as(binding, wanted));
            if echo {
                self.put(object)?;
                return Ok(Effect::Nothing);
            }
        }
        self.put(object)
    }

    /// Takes over what a watch says about one object that was deleted.
    pub(crate) fn observe_deleted(&mut self, object: &Object) -> Effect {
        self.saw(object.kind(), object.version());
        match object {
            Object::Binding(binding) => {
                // What was made anew under the name since then is another object.
                if self.binding(&binding.object).is_some_and(|known| is_older(binding, known)) {
                    return Effect::Nothing;
                }
                let echo = self.expected.get(&binding.object) == Some(&None);
                match self.remove(&binding.object) {
                    Some(removed) => changed_if(!echo && self.matters(&removed)),
                    None => Effect::Nothing,
                }
            }
            Object::Namespace { name, .. } => changed_if(self.namespaces.remove(name).is_some()),
            Object::ClusterRole { role, .. } => {
                self.changed_roles.insert(role.name.clone());
                changed_if(self.cluster_roles.remove(&role.name).is_some())
            }
        }
    }

    /// A bookmark: everything up to `version` was seen.
    pub(crate) fn saw(&mut self, kind: Kind, version: &str) {
        if let Some(version) = number(version) {
            let latest = self.latest.entry(kind).or_default();
            *latest = (*latest).max(version);
        }
    }

    /// Says which bindings are ours: `owner`'s, and those of the names in `recorded`.
    pub(crate) fn know_ours(&mut self, owner: &Owner, recorded: &BTreeSet<ObjectName>) {
        if !self.ours.as_ref().is_some_and(|(known, names)| known == owner && names == recorded) {
            self.ours = Some((owner.clone(), recorded.clone()));
        }
    }

    /// Says which changes matter from now on.
    pub(crate) fn set_interest(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// Whether it matters that `binding` came, changed or went.
    fn matters(&self, binding: &ObservedBinding) -> bool {
        match (self.interest, &self.ours) {
            (Interest::All, _) | (Interest::Ours, None) => true,
            (Interest::Ours, Some((owner, recorded))) => is_ours(owner, binding, recorded),
        }
    }

    /// Says what is about to be written, or `None` for a deletion, so that its echo is known as such.
    pub(crate) fn expect(&mut self, object: &ObjectName, binding: Option<&Binding>) {
        self.expected.insert(object.clone(), binding.cloned());
    }

    /// Forgets what was expected: the writes are through.
    pub(crate) fn expect_nothing(&mut self) {
        self.expected.clear();
    }

    /// Takes over an object that the API server answered with when it was applied.
    ///
    /// If the watch is past that version, it has told about the object already, and perhaps about its deletion.
    pub(crate) fn learn(&mut self, binding: ObservedBinding) -> Result<Effect, TooMuch> {
        let seen = self.latest.get(&kind_of(&binding.object)).copied().unwrap_or(0);
        if number(&binding.resource_version).is_some_and(|version| version <= seen) {
            return Ok(Effect::Nothing);
        }
        self.put(Object::Binding(binding))
    }

    /// Takes over that an object is gone, as the API server answered to its deletion.
    pub(crate) fn learn_deleted(&mut self, object: &ObjectName, uid: &str) {
        if self.binding(object).is_some_and(|binding| binding.uid == uid) {
            self.remove(object);
        }
    }

    fn put(&mut self, mut object: Object) -> Result<Effect, TooMuch> {
        if self.weight > CROWDED {
            object.lighten();
        }
        self.weight += object.weight();
        let effect = match object {
            Object::Binding(binding) => self.put_binding(binding),
            Object::Namespace { name, ending, .. } => {
                let weight =
                    Object::Namespace { name: name.clone(), ending, version: String::new() }.weight();
                let known = self.namespaces.insert(name, ending);
                self.weight -= known.map_or(0, |_| weight).min(self.weight);
                changed_if(known != Some(ending))
            }
            Object::ClusterRole { role, .. } => self.put_cluster_role(role),
        };
        if self.weight > MAX_WEIGHT { Err(TooMuch) } else { Ok(effect) }
    }

    fn put_binding(&mut self, binding: ObservedBinding) -> Effect {
        let matters = self.matters(&binding);
        let Some(known) = self.positions.get(&binding.object).and_then(|at| self.bindings.get_mut(*at))
        else {
            self.positions.insert(binding.object.clone(), self.bindings.len());
            self.bindings.push(binding);
            return changed_if(matters);
        };
        let known = std::mem::replace(known, binding);
        let now = self.binding(&known.object).cloned();
        let versionless = |b: ObservedBinding| ObservedBinding { resource_version: String::new(), ..b };
        let matters = matters || self.matters(&known);
        let changed = matters && now.map(versionless) != Some(versionless(known.clone()));
        self.weight -= Object::Binding(known).weight().min(self.weight);
        changed_if(changed)
    }

    fn put_cluster_role(&mut self, role: ClusterRoleSpec) -> Effect {
        let name = role.name.clone();
        let known = self.cluster_roles.insert(name.clone(), role);
        let changed = known.as_ref() != self.cluster_roles.get(&name);
        if changed {
            self.changed_roles.insert(name);
        }
        if let Some(role) = known {
            self.weight -= Object::ClusterRole { role, version: String::new() }.weight().min(self.weight);
        }
        changed_if(changed)
    }

    fn remove(&mut self, object: &ObjectName) -> Option<ObservedBinding> {
        let at = self.positions.remove(object)?;
        let removed = self.bindings.swap_remove(at);
        if let Some(moved) = self.bindings.get(at) {
            self.positions.insert(moved.object.clone(), at);
        }
        self.weight -= Object::Binding(removed.clone()).weight().min(self.weight);
        Some(removed)
    }

    fn clear(&mut self, kind: Kind) {
        match kind {
            Kind::Namespaces => self.namespaces.clear(),
            Kind::ClusterRoles => self.cluster_roles.clear(),
            Kind::ClusterRoleBindings | Kind::RoleBindings => {
                self.bindings.retain(|binding| kind_of(&binding.object) != kind);
                let names =
                    self.bindings.iter().enumerate().map(|(at, binding)| (binding.object.clone(), at));
                self.positions = names.collect();
            }
        }
        self.weight = self.count();
    }

    fn count(&self) -> usize {
        let bindings = self.bindings.iter().cloned().map(Object::Binding);
        let roles = self.cluster_roles.values().cloned();
        let roles = roles.map(|role| Object::ClusterRole { role, version: String::new() });
        bindings.chain(roles).map(|object| object.weight()).sum::<usize>() + self.namespaces.len() * 300
    }
}

fn changed_if(changed: bool) -> Effect {
    if changed { Effect::Changed } else { Effect::Nothing }
}

/// Versions are numbers in every API server there is. One that is not is treated as news.
fn number(version: &str) -> Option<u64> {
    version.parse().ok()
}

fn is_older(event: &ObservedBinding, known: &ObservedBinding) -> bool {
    match (number(&event.resource_version), number(&known.resource_version)) {
        (Some(event), Some(known)) => event < known,
        (None, _) | (_, None) => false,
    }
}

fn is_as(observed: &ObservedBinding, wanted: &Binding) -> bool {
    let mut subjects = observed.subjects.clone();
    subjects.sort();
    let mut wanted_subjects: Vec<_> = wanted.subjects_as_observed().collect();
    wanted_subjects.sort();
    !observed.deleting
        && observed.role_name == wanted.role.cluster_role()
        && subjects == wanted_subjects
        && wanted.labels.iter().all(|(key, value)| observed.labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests;
