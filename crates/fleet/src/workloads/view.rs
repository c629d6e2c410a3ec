//! What a watch knows of one kind of workload in one cluster: uids by name, in the namespaces that matter, and how fresh that
//! is. It only ever says yes: what it does not know, the cluster is asked.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// What was heard longer ago is not fresh: a watch that hangs says nothing, as one that has nothing to say.
const FRESH: Duration = Duration::from_secs(30);

/// The most objects that are kept of one kind. What comes then is asked for.
const MOST: usize = 200_000;

/// Uids by namespace and name.
#[derive(Debug, Default)]
pub(super) struct View {
    known: HashMap<(String, String), String>,
    namespaces: BTreeSet<String>,
    heard: Option<Instant>,
}

impl View {
    /// Keeps what is in these namespaces from now on. Returns whether there are new ones, of which nothing is known.
    pub(super) fn narrow(&mut self, namespaces: &BTreeSet<String>) -> bool {
        let grows = !namespaces.is_subset(&self.namespaces);
        self.namespaces.clone_from(namespaces);
        self.known.retain(|(namespace, _), _| namespaces.contains(namespace));
        grows
    }

    /// Begins anew with a list.
    pub(super) fn begin(&mut self) {
        self.known.clear();
        self.heard = None;
    }

    /// Something was heard: an object, a bookmark, the end of a list.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// It is alive under that uid.
    pub(super) fn put(&mut self, namespace: &str, name: &str, uid: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let has_room = self.known.len() < MOST || self.known.contains_key(&key);
        if self.namespaces.contains(namespace) && has_room {
            self.known.insert(key, uid.to_owned());
        }
    }

    /// It is not alive any more, unless another one has its name.
    pub(super) fn take(&mut self, namespace: &str, name: &str, uid: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        if self.known.get(&key).is_some_and(|known| known == uid) {
            self.known.remove(&key);
        }
    }

    /// Whether what is in that namespace is kept.
    pub(super) fn keeps(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace)
    }

    /// Whether it is known to be alive.
    pub(super) fn knows(&self, namespace: &str, name: &str, uid: &str, now: Instant) -> bool {
        let fresh = self.heard.is_some_and(|heard| now.saturating_duration_since(heard) <= FRESH);
        let key = (namespace.to_owned(), name.to_owned());
        fresh && self.known.get(&key).is_some_and(|known| known == uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> (View, Instant) {
        let (mut view, now) = (View::default(), Instant::now());
        assert!(view.narrow(&BTreeSet::from(["a".to_owned()])));
        view.put("a", "n", "u1");
        view.hear(now);
        (view, now)
    }

    #[tokio::test]
    async fn only_what_was_heard_of_within_30_seconds_is_known() {
        let (view, now) = view();
        assert!(view.knows("a", "n", "u1", now + Duration::from_secs(30)));
        assert!(!view.knows("a", "n", "u1", now + Duration::from_secs(31)));
        assert!(!view.knows("a", "n", "u2", now) && !view.knows("a", "m", "u1", now));
    }

    #[tokio::test]
    async fn the_deletion_of_a_former_one_does_not_take_its_successor_away() {
        let (mut view, now) = view();
        view.put("a", "n", "u2");
        view.take("a", "n", "u1");
        assert!(view.knows("a", "n", "u2", now) && !view.knows("a", "n", "u1", now));
        view.take("a", "n", "u2");
        assert!(!view.knows("a", "n", "u2", now));
    }

    #[tokio::test]
    async fn nothing_is_kept_of_namespaces_that_do_not_matter() {
        let (mut view, now) = view();
        view.put("b", "n", "u3");
        assert!(!view.knows("b", "n", "u3", now));
        assert!(view.narrow(&BTreeSet::from(["b".to_owned()])), "nothing is known of it");
        assert!(!view.knows("a", "n", "u1", now));
        assert!(!view.narrow(&BTreeSet::new()));
    }
}
