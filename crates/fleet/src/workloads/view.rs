//! What a watch knows of one kind of workload in one cluster: uids by name, in the namespaces that matter, and how fresh that
//! is. It only ever says yes: what it does not know, the cluster is asked.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// What was heard longer ago is not fresh: a watch that hangs says nothing, as one that has nothing to say.
pub(super) const FRESH: Duration = Duration::from_secs(30);

/// The most that is kept of one kind, in bytes. What comes then is asked for. It is enough for about two hundred thousand.
const MOST: usize = 40 << 20;
/// What an object takes beside its texts.
const EACH: usize = 100;

/// Uids by namespace and name.
#[derive(Debug, Default)]
pub(super) struct View {
    known: HashMap<(String, String), String>,
    namespaces: BTreeSet<String>,
    heard: Option<Instant>,
    weight: usize,
}

fn weight(namespace: &str, name: &str, uid: &str) -> usize {
    EACH + namespace.len() + name.len() + uid.len()
}

impl View {
    /// Keeps what is in these namespaces from now on. Returns whether there are new ones, of which nothing is known.
    pub(super) fn narrow(&mut self, namespaces: &BTreeSet<String>) -> bool {
        let grows = !namespaces.is_subset(&self.namespaces);
        self.namespaces.clone_from(namespaces);
        self.known.retain(|(namespace, _), _| namespaces.contains(namespace));
        self.weight = self.known.iter().map(|((namespace, name), uid)| weight(namespace, name, uid)).sum();
        grows
    }

    /// Begins anew with a list.
    pub(super) fn begin(&mut self) {
        self.known.clear();
        self.weight = 0;
        self.heard = None;
    }

    /// Something was heard: an object, a bookmark, the end of a list.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// Whether it is not fresh any more after that time, if nothing is heard meanwhile.
    pub(super) fn is_stale_in(&self, time: Duration, now: Instant) -> bool {
        self.heard.is_none_or(|heard| now.saturating_duration_since(heard) + time > FRESH)
    }

    /// It is alive under that uid.
    pub(super) fn put(&mut self, namespace: &str, name: &str, uid: &str) {
        let more = weight(namespace, name, uid);
        if !self.namespaces.contains(namespace) || self.weight + more > MOST {
            return;
        }
        let key = (namespace.to_owned(), name.to_owned());
        let before = self.known.insert(key, uid.to_owned());
        let less = before.map_or(0, |before| weight(namespace, name, &before));
        self.weight = (self.weight + more).saturating_sub(less);
    }

    /// It is not alive any more, unless another one has its name.
    pub(super) fn take(&mut self, namespace: &str, name: &str, uid: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        if self.known.get(&key).is_some_and(|known| known == uid) {
            self.known.remove(&key);
            self.weight = self.weight.saturating_sub(weight(namespace, name, uid));
        }
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
        let stale = |heard_ago, time| {
            view.is_stale_in(Duration::from_secs(time), now + Duration::from_secs(heard_ago))
        };
        assert!(!stale(5, 25) && stale(6, 25) && stale(31, 0) && View::default().is_stale_in(FRESH, now));
    }

    #[tokio::test]
    async fn a_cluster_with_more_than_is_kept_is_asked_for_the_rest() {
        let (mut view, now) = view();
        let before = view.weight;
        let name = "n".repeat(253);
        for number in 0..(MOST / 300) {
            view.put("a", &name, &number.to_string());
            view.put("a", &format!("{number:0>253}"), "u");
        }
        assert!(view.weight <= MOST && view.knows("a", "n", "u1", now));
        assert!(!view.knows("a", &format!("{:0>253}", MOST / 300 - 1), "u", now));
        view.begin();
        view.put("a", "n", "u1");
        assert_eq!(view.weight, before, "what is replaced weighs nothing");
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
