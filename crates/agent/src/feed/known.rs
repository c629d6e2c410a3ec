//! What the server told of this cluster: how tokens are verified, and which associations there are. Pure.

use std::collections::HashMap;

use domain::Timestamp;
use podidentity::KeySet;
use podidentity::feed::{Feed, Known as Association, State, Verification};

use crate::lru::Lru;

/// So long keys count that a server named and the one that answers now does not know: it will have asked the cluster by then.
const KEYS_KEPT_SECONDS: i64 = 24 * 3600;
/// So many ids of associations that ended are remembered; answers that are on their way longer than that many ends are none.
const ENDED: usize = 10_000;

/// Everything that was told, put together.
#[derive(Default)]
pub struct Known {
    told: Option<Told>,
    era: u64,
    turn: u64,
}

struct Told {
    revision: i64,
    history: String,
    /// With the keys that were told last, also while the server knows none.
    verification: Verification,
    /// Since when the server knows no keys.
    unknown_since: Option<Timestamp>,
    subjects: HashMap<Subject, Association>,
    ids: HashMap<String, Subject>,
    ended: Lru<String, ()>,
}

/// A service account by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
}

/// By what tokens are verified.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// Who issues them.
    pub issuer: &'a str,
    /// The cluster's keys; there is one at least.
    pub keys: &'a KeySet,
}

/// What of an answer is new, for those who keep what followed from what was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// How tokens are verified.
    pub keys: Keys,
    /// Whether associations came, changed or ended.
    pub associations: bool,
    /// Whether the server's database is another one, or an older copy: nothing counts that was known before.
    pub is_anew: bool,
}

/// What happened to the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Nothing; or the server does not know them now, and those that were told count on.
    Same,
    /// There are others: what the old ones proved has to be proved again.
    Others,
    /// None count any more.
    None,
}

/// How something that was vended stands to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It follows from what is there.
    Stands,
    /// It follows from something that was not told yet, or that ended too long ago to be remembered.
    Untold,
    /// Another association is there for that service account.
    Other,
    /// It was made before a change that is known.
    Outdated,
}

impl Known {
    /// How far it was told, which is what the next question is after; 0 where everything has to be told.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.told.as_ref().map_or(0, |told| told.revision)
    }

    /// How often the server's database was another one: what was asked for in an older era counts for nothing.
    #[must_use]
    pub fn era(&self) -> u64 {
        self.era
    }

    /// How often associations or keys changed.
    #[must_use]
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// What pods are told, and the keys that were told last. `None` before the first answer.
    #[must_use]
    pub fn verification(&self) -> Option<&Verification> {
        self.told.as_ref().map(|told| &told.verification)
    }

    /// By what tokens are verified now. `None` while nobody can say.
    #[must_use]
    pub fn signing(&self, now: Timestamp) -> Option<Signing<'_>> {
        let told = self.told.as_ref()?;
        if told.unknown_since.is_some_and(|since| since.plus_seconds(KEYS_KEPT_SECONDS) <= now) {
            return None;
        }
        let issuer = told.verification.issuer.as_deref()?;
        let keys = &told.verification.keys;
        (!keys.is_empty()).then_some(Signing { issuer, keys })
    }

    /// Every association that is there, in no order.
    pub fn associations(&self) -> impl Iterator<Item = &Association> {
        self.told.iter().flat_map(|told| told.subjects.values())
    }

    /// How many associations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.told.as_ref().map_or(0, |told| told.subjects.len())
    }

    /// Whether there is no association.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The association of a service account.
    #[must_use]
    pub fn association(&self, subject: &Subject) -> Option<&Association> {
        self.told.as_ref()?.subjects.get(subject)
    }

    /// How what was vended by that association, after so many changes of it, stands to what is known.
    #[must_use]
    pub fn judge(&self, subject: &Subject, id: &str, epoch: i64) -> Verdict {
        let Some(told) = &self.told else { return Verdict::Untold };
        if told.ended.peek(id).is_some() {
            return Verdict::Outdated;
        }
        match told.subjects.get(subject) {
            None => Verdict::Untold,
            Some(known) if known.id != id => Verdict::Other,
            Some(known) if epoch < known.epoch => Verdict::Outdated,
            Some(_) => Verdict::Stands,
        }
    }

    /// Takes in the answer to what came after `asked`. `None` if another answer has overtaken it: it says nothing new.
    pub fn take(&mut self, asked: i64, feed: Feed, now: Timestamp) -> Option<Change> {
        let Some(told) = &mut self.told else {
            self.told = Some(Told::first(feed, now));
            self.turn += 1;
            return Some(Change { keys: Keys::Others, associations: true, is_anew: false });
        };
        let is_same_history = told.history == feed.history;
        let is_further = feed.revision > told.revision || (feed.complete && feed.revision == told.revision);
        let is_next = asked == told.revision || (is_same_history && asked <= told.revision && is_further);
        if !is_next {
            return None;
        }
        let is_anew = !is_same_history || feed.revision < told.revision;
        if is_anew {
            told.drop_all();
            self.era += 1;
        }
        let keys = told.verify_by(feed.verification.clone(), now);
        let is_learned = (!is_anew || feed.complete) && told.learn_all(&feed);
        let associations = is_anew || is_learned;
        // What an older copy tells of changes means nothing without all the rest.
        told.revision = if is_anew && !feed.complete { 0 } else { feed.revision };
        told.history = feed.history;
        if associations || keys != Keys::Same {
            self.turn += 1;
        }
        Some(Change { keys, associations, is_anew })
    }
}

impl Told {
    fn first(feed: Feed, now: Timestamp) -> Self {
        let unknown_since = (feed.verification.state == State::Unknown).then_some(now);
        let mut told = Self {
            revision: feed.revision,
            history: feed.history.clone(),
            verification: feed.verification.clone(),
            unknown_since,
            subjects: HashMap::new(),
            ids: HashMap::new(),
            ended: Lru::new(ENDED),
        };
        told.learn_all(&feed);
        told
    }

    fn drop_all(&mut self) {
        self.subjects.clear();
        self.ids.clear();
        self.ended.clear();
    }

    fn verify_by(&mut self, new: Verification, now: Timestamp) -> Keys {
        let old = &self.verification;
        match new.state {
            State::Known => {
                let is_same =
                    old.issuer == new.issuer && old.audience == new.audience && old.keys == new.keys;
                self.unknown_since = None;
                self.verification = new;
                if is_same { Keys::Same } else { Keys::Others }
            }
            State::Unknown => {
                let keys = if old.audience == new.audience { Keys::Same } else { Keys::Others };
                self.unknown_since = self.unknown_since.or(Some(now));
                let (issuer, kept) =
                    (self.verification.issuer.take(), std::mem::take(&mut self.verification.keys));
                self.verification = Verification { issuer, keys: kept, ..new };
                keys
            }
            State::None => {
                self.unknown_since = None;
                self.verification = Verification { issuer: None, keys: KeySet::default(), ..new };
                Keys::None
            }
        }
    }

    /// Answers whether there was anything to learn.
    fn learn_all(&mut self, feed: &Feed) -> bool {
        let Feed { complete, associations, ended, .. } = feed;
        if *complete {
            for (id, _) in std::mem::take(&mut self.ids) {
                self.ended.put(id, ());
            }
            self.subjects.clear();
        }
        ended.iter().for_each(|id| self.forget(id));
        associations.iter().for_each(|association| self.learn(association));
        *complete || !associations.is_empty() || !ended.is_empty()
    }

    fn forget(&mut self, id: &str) {
        self.ended.put(id.to_owned(), ());
        let Some(subject) = self.ids.remove(id) else { return };
        // A later association may stand there already.
        if self.subjects.get(&subject).is_some_and(|known| known.id == id) {
            self.subjects.remove(&subject);
        }
    }

    fn learn(&mut self, association: &Association) {
        let Association { id, namespace, service_account, .. } = association.clone();
        let subject = Subject { namespace, service_account };
        self.ended.remove(&id);
        self.ids.insert(id.clone(), subject.clone());
        if let Some(old) = self.subjects.insert(subject, association.clone())
            && old.id != id
        {
            self.ids.remove(&old.id);
            self.ended.put(old.id, ());
        }
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
