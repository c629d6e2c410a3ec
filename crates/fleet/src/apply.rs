//! Carries out planned changes, at most eight requests at a time, and says of each object what came of it.
//!
//! Changes to different objects go side by side; changes to one object keep their order. A failure that every
//! further request would meet as well (no answer, credential refused, too busy) ends the batch. Growing and shrinking
//! are separate batches: a grow that fails must never keep a revoke from happening.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{FutureExt, StreamExt, stream};
use rbac::{Binding, Change, ObjectName, ObservedBinding, Owner, Scope};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::{ApiClient, segment};
use crate::failure::Failure;
use crate::observe::Observer;
use crate::view::kind_of;
use crate::wire::{self, BindingObject};

const SIDE_BY_SIDE: usize = 8;

/// What came of the changes to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is as planned.
    Done,
    /// Its namespace does not exist any more, or is about to end: nothing is granted there.
    NamespaceGone,
    /// It was changed by others in the meantime, or left to the next plan.
    Moved,
    /// It could not be done.
    Failed(Failure),
    /// It was not tried, because something before it failed in a way that all would.
    Skipped(Failure),
}

/// Carries out `changes` against one cluster.
pub(crate) struct Applier<'a> {
    /// The way there.
    pub(crate) client: &'a ApiClient,
    /// Whose objects are changed.
    pub(crate) owner: &'a Owner,
    /// What is told about what was written, so that the next plan does not wait for the watch.
    pub(crate) observer: &'a Observer,
    /// What is not tried again yet.
    pub(crate) held: &'a Held,
    /// Whether something more urgent may have come.
    pub(crate) news: News,
}

/// Whether what should be has changed since it was read. A long plan that adds is then given up for a new one: somebody
/// may have lost a right, and that must not wait until everybody else has got theirs.
pub(crate) struct News {
    changes: watch::Receiver<u64>,
    not_before: Instant,
}

impl News {
    /// However often things change, a plan is carried out for so long: each one gets something done.
    const PATIENCE: Duration = Duration::from_millis(250);

    /// What comes from now on is news. To be made before what should be is read.
    pub(crate) fn since_now(changes: watch::Receiver<u64>) -> Self {
        Self { changes, not_before: Instant::now() + Self::PATIENCE }
    }

    fn is_there(&self) -> bool {
        Instant::now() >= self.not_before && self.changes.has_changed().unwrap_or(true)
    }
}

/// Refusals of the last pass. What was refused is tried again when something changed in the cluster or when it is
/// time, not with every grant that somebody makes: otherwise many hopeless changes would delay one that matters.
#[derive(Default)]
pub(crate) struct Held {
    changes: HashMap<ObjectName, (Vec<Change>, Outcome)>,
    /// The ClusterRoles of ours that could not be written.
    pub(crate) roles: BTreeMap<String, Failure>,
}

impl Held {
    /// Whether nothing was refused.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.roles.is_empty()
    }

    /// Holds what was refused among `outcomes` of `changes`.
    pub(crate) fn hold(&mut self, changes: &[Change], outcomes: &BTreeMap<ObjectName, Outcome>) {
        for change in changes {
            match outcomes.get(change.object()) {
                Some(outcome @ Outcome::Failed(failure)) if !failure.stops_everything() => {
                    let held = self.changes.entry(change.object().clone());
                    held.or_insert_with(|| (Vec::new(), outcome.clone())).0.push(change.clone());
                }
                Some(_) | None => {}
            }
        }
    }

    fn outcome(&self, object: &ObjectName, changes: &[&Change]) -> Option<Outcome> {
        let (held, outcome) = self.changes.get(object)?;
        held.iter().eq(changes.iter().copied()).then(|| outcome.clone())
    }
}

impl Applier<'_> {
    /// Carries out what adds. What replaces an object takes it away for a moment, so that waits until all else is
    /// done.
    pub(crate) async fn grow(&self, changes: &[Change]) -> BTreeMap<ObjectName, Outcome> {
        let first_replaced = changes.iter().position(|change| matches!(change, Change::Delete { .. }));
        let (plain, replacing) = changes.split_at(first_replaced.unwrap_or(changes.len()));
        let mut outcomes = self.carry_out(plain, Pace::UntilNews).await;
        outcomes.extend(self.carry_out(replacing, Pace::UntilNews).await);
        outcomes
    }

    /// Carries out what removes, whatever comes meanwhile.
    pub(crate) async fn shrink(&self, changes: &[Change]) -> BTreeMap<ObjectName, Outcome> {
        self.carry_out(changes, Pace::ToTheEnd).await
    }

    async fn carry_out(&self, changes: &[Change], pace: Pace) -> BTreeMap<ObjectName, Outcome> {
        let mut by_object: BTreeMap<&ObjectName, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            by_object.entry(change.object()).or_default().push(change);
        }
        let stop = Stop::default();
        let objects: Vec<_> = by_object
            .into_iter()
            .map(|(object, changes)| self.object(object, changes, pace, &stop).boxed())
            .collect();
        stream::iter(objects).buffer_unordered(SIDE_BY_SIDE).collect().await
    }

    async fn object(
        &self,
        object: &ObjectName,
        changes: Vec<&Change>,
        pace: Pace,
        stop: &Stop,
    ) -> (ObjectName, Outcome) {
        if pace == Pace::UntilNews && self.news.is_there() {
            return (object.clone(), Outcome::Moved);
        }
        if let Some(outcome) = self.held.outcome(object, &changes) {
            return (object.clone(), outcome);
        }
        (object.clone(), self.in_order(&changes, stop).await)
    }

    async fn in_order(&self, changes: &[&Change], stop: &Stop) -> Outcome {
        for (at, change) in changes.iter().enumerate() {
            if let Some(failure) = stop.reason() {
                return Outcome::Skipped(failure);
            }
            let outcome = self.one(change).await;
            match &outcome {
                Outcome::Done => {}
                Outcome::Failed(failure) => {
                    tracing::warn!(change = %change, failure = %failure, "fleet.change.failed");
                    stop.after(failure);
                    let rest = changes.len() - at > 1 && !failure.stops_everything();
                    // What may not be emptied may still be deleted.
                    if !(rest && matches!(change, Change::Empty { .. })) {
                        return outcome;
                    }
                }
                Outcome::NamespaceGone | Outcome::Moved | Outcome::Skipped(_) => return outcome,
            }
        }
        Outcome::Done
    }

    async fn one(&self, change: &Change) -> Outcome {
        let result = match change {
            Change::Apply(binding) => self.apply(binding).await,
            Change::Empty { object, uid, role_kind, role_name, labels } => {
                let body = wire::empty_binding(object, uid, (role_kind, role_name), labels);
                self.store(object, &body, 0).await
            }
            Change::Delete { object, uid, resource_version } => {
                self.delete(object, uid, resource_version.as_deref()).await
            }
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(failure) => classify(change, failure),
        }
    }

    async fn apply(&self, binding: &Binding) -> Result<(), Failure> {
        self.observer.view().expect(&binding.object, Some(binding));
        self.store(&binding.object, &wire::binding(binding), binding.subjects.len()).await
    }

    async fn store(
        &self,
        object: &ObjectName,
        body: &serde_json::Value,
        subjects: usize,
    ) -> Result<(), Failure> {
        let stored: BindingObject = self.client.apply(&path(object), body).await?;
        // A view that grew too large is noticed by who watches.
        let _ = self.observer.view().learn(stored.into());
        tracing::info!(object = %object, subjects, "fleet.binding.applied");
        Ok(())
    }

    async fn delete(&self, object: &ObjectName, uid: &str, version: Option<&str>) -> Result<(), Failure> {
        self.observer.view().expect(object, None);
        let remaining = match self.end(object, uid, version).await {
            // Somebody changes it faster than we look: whom it names goes first, in whatever version it is by now.
            Err(failure) if failure.is(409) && version.is_some() => {
                self.empty(object, uid).await?;
                self.end(object, uid, None).await?
            }
            ended => ended?,
        };
        match remaining {
            None => {
                self.observer.view().learn_deleted(object, uid);
                tracing::info!(object = %object, "fleet.binding.deleted");
                Ok(())
            }
            Some(binding) => {
                let _ = self.observer.view().learn(binding);
                tracing::warn!(object = %object, "fleet.binding.kept_by_finalizers");
                self.empty(object, uid).await
            }
        }
    }

    /// Deletes; with finalizers the object itself is answered, and stays until they are done.
    async fn end(
        &self,
        object: &ObjectName,
        uid: &str,
        version: Option<&str>,
    ) -> Result<Option<ObservedBinding>, Failure> {
        let deleted: Result<BindingObject, Failure> =
            self.client.delete(&path(object), &wire::deletion(uid, version)).await;
        match deleted {
            Ok(answer) if answer.kind == "Status" => Ok(None),
            Ok(answer) => Ok(Some(answer.into())),
            Err(failure) if failure.is(404) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Takes everybody out of an object as it is in the view.
    async fn empty(&self, object: &ObjectName, uid: &str) -> Result<(), Failure> {
        let known = self.observer.view().binding(object).filter(|binding| binding.uid == uid).cloned();
        match known.and_then(|binding| rbac::emptied(self.owner, &binding)) {
            Some(Change::Empty { object, uid, role_kind, role_name, labels }) => {
                let body = wire::empty_binding(&object, &uid, (&role_kind, &role_name), &labels);
                self.store(&object, &body, 0).await
            }
            Some(Change::Apply(_) | Change::Delete { .. }) | None => Ok(()),
        }
    }
}

/// Whether a batch is carried out whatever comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    UntilNews,
    ToTheEnd,
}

/// Why the rest of a batch is not tried.
#[derive(Default)]
struct Stop {
    stopped: AtomicBool,
    reason: std::sync::Mutex<Option<Failure>>,
}

impl Stop {
    fn after(&self, failure: &Failure) {
        if failure.stops_everything() && !self.stopped.swap(true, Ordering::SeqCst) {
            *self.reason.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(failure.clone());
        }
    }

    fn reason(&self) -> Option<Failure> {
        self.reason.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// What a failed change means for its object.
fn classify(change: &Change, failure: Failure) -> Outcome {
    let gone = matches!(&failure, Failure::Refused(refusal) if refusal.namespace_gone);
    match change.object().scope {
        Scope::Namespace(_) if gone => Outcome::NamespaceGone,
        Scope::Cluster | Scope::Namespace(_) if failure.is(409) => Outcome::Moved,
        Scope::Cluster | Scope::Namespace(_) => Outcome::Failed(failure),
    }
}

fn path(object: &ObjectName) -> String {
    let name = segment(&object.name);
    let kind = kind_of(object).resource();
    match &object.scope {
        Scope::Cluster => format!("/apis/rbac.authorization.k8s.io/v1/{kind}/{name}"),
        Scope::Namespace(namespace) => {
            let namespace = segment(namespace.as_str());
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{kind}/{name}")
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{Namespace, Role};

    use super::*;
    use crate::failure::Refusal;

    fn object(scope: Scope) -> ObjectName {
        ObjectName { scope, name: "bailiwick:viewer:x/../y".into() }
    }

    fn apply(scope: Scope) -> Change {
        Change::Apply(Binding {
            object: object(scope),
            role: Role::Viewer,
            subjects: Default::default(),
            labels: Default::default(),
        })
    }

    fn refused(status: u16, namespace_gone: bool) -> Failure {
        Failure::Refused(Refusal { status, namespace_gone, ..Refusal::default() })
    }

    #[test]
    fn a_namespace_that_ends_is_not_an_error_and_a_race_is_left_to_the_next_plan() {
        let in_a = || Scope::Namespace(Namespace::stored("a"));
        let delete =
            Change::Delete { object: object(in_a()), uid: "u".into(), resource_version: Some("1".into()) };
        assert_eq!(classify(&apply(in_a()), refused(404, true)), Outcome::NamespaceGone);
        assert_eq!(classify(&apply(in_a()), refused(404, false)), Outcome::Failed(refused(404, false)));
        assert_eq!(classify(&apply(in_a()), refused(403, true)), Outcome::NamespaceGone);
        assert_eq!(classify(&apply(in_a()), refused(403, false)), Outcome::Failed(refused(403, false)));
        assert_eq!(
            classify(&apply(Scope::Cluster), refused(404, false)),
            Outcome::Failed(refused(404, false))
        );
        assert_eq!(classify(&delete, refused(409, false)), Outcome::Moved);
        assert_eq!(classify(&delete, refused(403, false)), Outcome::Failed(refused(403, false)));
    }

    #[test]
    fn names_cannot_leave_their_place_in_a_path() {
        assert_eq!(
            path(&object(Scope::Namespace(Namespace::stored("..")))),
            "/apis/rbac.authorization.k8s.io/v1/namespaces/%2E%2E/rolebindings/bailiwick:viewer:x%2F..%2Fy"
        );
    }
}
