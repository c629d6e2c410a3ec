//! What the server told of this cluster: how tokens are verified, and which associations there are. Pure.

use std::collections::HashMap;

use podidentity::feed::{Feed, Known as Association, Verification};
use podidentity::vending::Answer;

/// Everything that was told, put together.
#[derive(Default)]
pub struct Known {
    told: Option<Told>,
}

struct Told {
    revision: i64,
    verification: Verification,
    subjects: HashMap<Subject, (String, i64)>,
    ids: HashMap<String, Subject>,
}

/// A service account by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
}

/// What of it is new, for those who keep what followed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// How tokens are verified.
    pub keys: Keys,
    /// Whether associations came, changed or ended.
    pub associations: bool,
}

/// What happened to the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Nothing.
    Same,
    /// There are others: what the old ones proved has to be proved again.
    Others,
    /// There are none for now: nothing can be proved, and what was proved stays so.
    Unknown,
}

impl Known {
    /// How far it was told; 0 before the first answer.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.told.as_ref().map_or(0, |told| told.revision)
    }

    /// How tokens are verified. `None` before the first answer.
    #[must_use]
    pub fn verification(&self) -> Option<&Verification> {
        self.told.as_ref().map(|told| &told.verification)
    }

    /// How many associations there are.
    #[must_use]
    pub fn associations(&self) -> usize {
        self.told.as_ref().map_or(0, |told| told.subjects.len())
    }

    /// Id and epoch of the association of a service account.
    #[must_use]
    pub fn association(&self, subject: &Subject) -> Option<(&str, i64)> {
        let (id, epoch) = self.told.as_ref()?.subjects.get(subject)?;
        Some((id, *epoch))
    }

    /// Whether what was vended for that service account follows from what is there now.
    #[must_use]
    pub fn stands(&self, subject: &Subject, id: &str, epoch: i64) -> bool {
        self.association(subject).is_some_and(|(known, least)| known == id && epoch >= least)
    }

    /// Whether an answer was made before a change that is already known.
    #[must_use]
    pub fn is_outdated(&self, subject: &Subject, answer: &Answer) -> bool {
        self.association(subject)
            .is_some_and(|(id, least)| id == answer.pod_identity_association_id && answer.epoch < least)
    }

    /// Takes an answer in.
    pub fn take(&mut self, feed: Feed) -> Change {
        let keys = self.change_of_keys(&feed.verification);
        let associations = feed.complete || !feed.associations.is_empty() || !feed.ended.is_empty();
        let told = self.told.get_or_insert_with(|| Told {
            revision: 0,
            verification: feed.verification.clone(),
            subjects: HashMap::new(),
            ids: HashMap::new(),
        });
        told.revision = feed.revision;
        told.verification = feed.verification;
        if feed.complete {
            told.subjects.clear();
            told.ids.clear();
        }
        feed.ended.iter().for_each(|id| told.forget(id));
        feed.associations.into_iter().for_each(|association| told.learn(association));
        Change { keys, associations }
    }

    fn change_of_keys(&self, new: &Verification) -> Keys {
        let is_known = new.issuer.is_some() && !new.keys.is_empty();
        match self.verification() {
            _ if !is_known => Keys::Unknown,
            Some(old) if old.issuer == new.issuer && old.audience == new.audience && old.keys == new.keys => {
                Keys::Same
            }
            Some(_) | None => Keys::Others,
        }
    }
}

impl Told {
    fn forget(&mut self, id: &str) {
        let Some(subject) = self.ids.remove(id) else { return };
        // A later association may stand there already.
        if self.subjects.get(&subject).is_some_and(|(known, _)| known == id) {
            self.subjects.remove(&subject);
        }
    }

    fn learn(&mut self, association: Association) {
        let Association { id, namespace, service_account, epoch, .. } = association;
        let subject = Subject { namespace, service_account };
        self.ids.insert(id.clone(), subject.clone());
        if let Some((old, _)) = self.subjects.insert(subject, (id.clone(), epoch))
            && old != id
        {
            self.ids.remove(&old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verification() -> Verification {
        Verification {
            state: podidentity::feed::State::Unknown,
            audience: "pods".into(),
            issuer: None,
            keys: Default::default(),
            uri_variable: "URI".into(),
            token_file_variable: "FILE".into(),
        }
    }

    fn association(id: &str, service_account: &str, epoch: i64) -> Association {
        let service_account = service_account.into();
        Association {
            id: id.into(),
            namespace: "shop".into(),
            service_account,
            epoch,
            created_at: "2026-01-01T00:00:00Z".into(),
        }
    }

    fn feed(revision: i64, associations: Vec<Association>, ended: &[&str]) -> Feed {
        let ended = ended.iter().map(|id| (*id).to_owned()).collect();
        let (history, verification) = ("h".into(), verification());
        Feed { revision, history, complete: false, verification, associations, ended }
    }

    fn complete(revision: i64, associations: Vec<Association>) -> Feed {
        Feed { complete: true, ..feed(revision, associations, &[]) }
    }

    fn subject(service_account: &str) -> Subject {
        Subject { namespace: "shop".into(), service_account: service_account.into() }
    }

    #[test]
    fn what_changed_or_ended_does_not_stand_any_more() {
        let mut known = Known::default();
        assert!(!known.stands(&subject("cart"), "a", 0));
        known.take(complete(1, vec![association("a", "cart", 0), association("b", "till", 3)]));
        assert!(known.stands(&subject("cart"), "a", 0));
        assert!(known.stands(&subject("till"), "b", 4), "what is newer than what was told stands");
        assert!(!known.stands(&subject("till"), "b", 2));
        assert!(!known.stands(&subject("till"), "a", 3));
        known.take(feed(2, vec![association("a", "cart", 1)], &["b"]));
        assert!(!known.stands(&subject("cart"), "a", 0));
        assert!(known.stands(&subject("cart"), "a", 1));
        assert!(!known.stands(&subject("till"), "b", 3));
        assert_eq!((known.revision(), known.associations()), (2, 1));
    }

    #[test]
    fn a_complete_answer_replaces_what_was_known() {
        let mut known = Known::default();
        known.take(complete(1, vec![association("a", "cart", 0)]));
        known.take(complete(9, vec![association("b", "till", 0)]));
        assert!(!known.stands(&subject("cart"), "a", 0));
        assert!(known.stands(&subject("till"), "b", 0));
    }

    #[test]
    fn an_association_that_was_made_anew_is_not_ended_with_the_old_one() {
        let mut known = Known::default();
        known.take(complete(1, vec![association("a", "cart", 5)]));
        known.take(feed(2, vec![association("b", "cart", 0)], &["a"]));
        assert!(known.stands(&subject("cart"), "b", 0));
        known.take(feed(3, vec![], &["a"]));
        assert!(known.stands(&subject("cart"), "b", 0));
    }

    #[test]
    fn an_empty_answer_changes_nothing() {
        let mut known = Known::default();
        known.take(complete(1, vec![association("a", "cart", 0)]));
        let change = known.take(feed(1, vec![], &[]));
        assert!(!change.associations);
        assert!(known.stands(&subject("cart"), "a", 0));
    }
}
