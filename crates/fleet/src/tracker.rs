//! What a worker remembers about each grant between passes: whether the cluster was asked, and what it said.
//!
//! Pure: the time is a parameter. Nothing here needs to survive a restart; a new worker asks again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::{Grant, GrantId};
use rbac::Slot;
use tokio::time::Instant;

/// After how long a cluster is asked again that did not say what it should. Then only at the next full compare.
const AGAIN: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(30)];

/// What the cluster says about a grant, or about its revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not asked since something changed.
    Unasked,
    /// A review is on its way.
    Asking,
    /// Allowed where granted, denied where revoked.
    Confirmed,
    /// The other way round; why, in a sentence.
    Contradicted(String),
    /// It cannot be asked; why, in a sentence.
    Unaskable(String),
}

/// Whether a grant is to be there or to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// To be there.
    Granted,
    /// To be gone.
    Revoked,
}

/// What is remembered about one grant.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    generation: i64,
    /// To be there or to be gone.
    pub(crate) aim: Aim,
    /// What the cluster says.
    pub(crate) verdict: Verdict,
    /// Where it is to be asked.
    pub(crate) slots: Vec<Slot>,
    /// Whether this worker saw it change. What it did not see change may have been confirmed before it started.
    pub(crate) changed: bool,
    /// Grows with each reason to ask anew, so that a late answer to an old question is recognised.
    pub(crate) round: u64,
    tries: usize,
    again: Option<Instant>,
}

/// The memory of one worker.
#[derive(Default)]
pub(crate) struct Tracker {
    grants: HashMap<GrantId, Tracked>,
    round: u64,
}

impl Tracker {
    /// What is remembered about `grant`.
    pub(crate) fn get(&self, grant: &GrantId) -> Option<&Tracked> {
        self.grants.get(grant)
    }

    /// What is remembered about this very generation of `grant` with this aim.
    pub(crate) fn current(&self, grant: &Grant, aim: Aim) -> Option<&Tracked> {
        self.get(&grant.id).filter(|tracked| tracked.generation == grant.generation && tracked.aim == aim)
    }

    /// Forgets all grants but these.
    pub(crate) fn retain(&mut self, present: &HashSet<&GrantId>) {
        self.grants.retain(|id, _| present.contains(id));
    }

    /// A pass found `grant` with this aim in these slots. What is new or changed is to be asked about.
    pub(crate) fn see(&mut self, grant: &Grant, aim: Aim, slots: &[Slot]) {
        if self.current(grant, aim).is_some() {
            return;
        }
        let known = self.grants.get(&grant.id);
        self.round += 1;
        let tracked = Tracked {
            generation: grant.generation,
            aim,
            verdict: Verdict::Unasked,
            slots: slots.to_vec(),
            changed: known.is_some(),
            round: self.round,
            tries: 0,
            again: None,
        };
        self.grants.insert(grant.id.clone(), tracked);
    }

    /// A pass changed what the cluster holds for `grant` in `slots`. What was not confirmed elsewhere stays open.
    pub(crate) fn changed(&mut self, grant: &GrantId, mut slots: Vec<Slot>) {
        self.round += 1;
        if let Some(tracked) = self.grants.get_mut(grant) {
            let open = std::mem::take(&mut tracked.slots);
            if tracked.verdict != Verdict::Confirmed {
                let new: HashSet<Slot> = slots.iter().cloned().collect();
                slots.extend(open.into_iter().filter(|slot| !new.contains(slot)));
            }
            tracked.verdict = Verdict::Unasked;
            tracked.slots = slots;
            tracked.changed = true;
            tracked.round = self.round;
            tracked.tries = 0;
            tracked.again = None;
        }
    }

    /// Something in the cluster changed, or it is time for a full compare: contradictions may have ended.
    pub(crate) fn reconsider(&mut self) {
        for tracked in self.grants.values_mut() {
            if matches!(tracked.verdict, Verdict::Contradicted(_) | Verdict::Unaskable(_)) {
                tracked.again = None;
                tracked.tries = 0;
                tracked.verdict = Verdict::Unasked;
            }
        }
    }

    /// What was confirmed about these grants may not be so any more. It stands until it is answered otherwise.
    pub(crate) fn doubt<'a>(&mut self, grants: impl Iterator<Item = &'a GrantId>, now: Instant) {
        for grant in grants {
            if let Some(tracked) = self.grants.get_mut(grant).filter(|t| t.verdict == Verdict::Confirmed) {
                tracked.again = Some(now);
                tracked.tries = 0;
            }
        }
    }

    /// Whether `grant` is to be asked about now.
    pub(crate) fn is_due(&self, grant: &GrantId, now: Instant) -> bool {
        self.grants.get(grant).is_some_and(|tracked| match tracked.verdict {
            Verdict::Unasked => tracked.again.is_none_or(|again| again <= now),
            Verdict::Contradicted(_) | Verdict::Confirmed => tracked.again.is_some_and(|again| again <= now),
            Verdict::Asking | Verdict::Unaskable(_) => false,
        })
    }

    /// When the next grant that waits is to be asked about.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.grants.values().filter_map(|tracked| tracked.again).min()
    }

    /// Whether the cluster says something else than it should, or cannot be asked.
    pub(crate) fn has_open_questions(&self) -> bool {
        let open =
            |tracked: &Tracked| matches!(tracked.verdict, Verdict::Contradicted(_) | Verdict::Unaskable(_));
        self.grants.values().any(open)
    }

    /// Gives up on what is due now and cannot be asked: the next pass decides anew.
    pub(crate) fn postpone(&mut self, now: Instant) {
        for tracked in
            self.grants.values_mut().filter(|tracked| tracked.again.is_some_and(|again| again <= now))
        {
            tracked.again = None;
        }
    }

    /// A review is on its way.
    pub(crate) fn asking(&mut self, grant: &GrantId) {
        if let Some(tracked) = self.grants.get_mut(grant) {
            // What was answered stands until it is answered otherwise.
            if tracked.verdict == Verdict::Unasked {
                tracked.verdict = Verdict::Asking;
            }
            tracked.again = None;
        }
    }

    /// What came of it; ignored if something changed since the question of that `round`.
    pub(crate) fn answered(&mut self, grant: &GrantId, round: u64, verdict: Verdict, now: Instant) {
        let Some(tracked) = self.grants.get_mut(grant).filter(|tracked| tracked.round == round) else {
            return;
        };
        tracked.again = match verdict {
            Verdict::Confirmed | Verdict::Unaskable(_) | Verdict::Asking => None,
            Verdict::Contradicted(_) | Verdict::Unasked => AGAIN.get(tracked.tries).map(|delay| now + *delay),
        };
        // A question without an answer is asked again as long as it takes.
        if verdict == Verdict::Unasked && tracked.again.is_none() {
            tracked.again = AGAIN.last().map(|delay| now + *delay);
        }
        tracked.tries += 1;
        // No answer takes nothing back that was confirmed before.
        if !(verdict == Verdict::Unasked && tracked.verdict == Verdict::Confirmed) {
            tracked.verdict = verdict;
        }
    }
}

/// Shares a budget of questions out over grants that could ask `counts` each: at least one each while it lasts, and
/// within a grant evenly spread. Returns, for each grant, which of its places to ask about.
pub(crate) fn share_out(counts: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let grants = counts.iter().filter(|count| **count > 0).count();
    let fair = budget.checked_div(grants).unwrap_or(0).max(1);
    let mut left = budget;
    counts
        .iter()
        .map(|count| {
            let take = fair.min(*count).min(left);
            left -= take;
            (0..take).map(|n| n * count / take).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use domain::{
        AccountId, ClusterScope, GrantSpec, NamespaceScope, PrincipalKind, Principals, Role, Timestamp,
    };
    use rbac::Scope;

    use super::*;

    fn grant(generation: i64) -> Grant {
        Grant {
            id: GrantId::stored("g"),
            account: AccountId::stored("a"),
            spec: GrantSpec {
                name: "g".into(),
                role: Role::Viewer,
                principals: Principals { kind: PrincipalKind::User, ids: Vec::new() },
                clusters: ClusterScope::All,
                namespaces: NamespaceScope::All,
            },
            generation,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            of_owner: false,
            revoked_at: None,
        }
    }

    fn slots() -> Vec<Slot> {
        vec![Slot { role: Role::Viewer, scope: Scope::Cluster }]
    }

    #[tokio::test]
    async fn a_late_answer_to_a_question_about_what_has_changed_since_is_ignored() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        tracker.see(&grant(1), Aim::Granted, &slots());
        let id = GrantId::stored("g");
        let old = tracker.get(&id).unwrap().round;
        tracker.asking(&id);
        tracker.changed(&id, slots());
        tracker.answered(&id, old, Verdict::Confirmed, now);
        assert_eq!(tracker.get(&id).unwrap().verdict, Verdict::Unasked);
        let round = tracker.get(&id).unwrap().round;
        tracker.answered(&id, round, Verdict::Confirmed, now);
        assert_eq!(tracker.get(&id).unwrap().verdict, Verdict::Confirmed);
    }

    #[tokio::test]
    async fn a_contradiction_is_asked_again_a_few_times_and_then_only_when_something_changes() {
        let (mut tracker, mut now) = (Tracker::default(), Instant::now());
        let id = GrantId::stored("g");
        tracker.see(&grant(1), Aim::Granted, &slots());
        for _ in 0..=AGAIN.len() {
            assert!(tracker.is_due(&id, now));
            let round = tracker.get(&id).unwrap().round;
            tracker.asking(&id);
            assert!(!tracker.is_due(&id, now));
            tracker.answered(&id, round, Verdict::Contradicted("no".into()), now);
            now += Duration::from_secs(60);
        }
        assert!(!tracker.is_due(&id, now + Duration::from_secs(3600)));
        tracker.reconsider();
        assert!(tracker.is_due(&id, now));
    }

    #[tokio::test]
    async fn a_new_generation_and_a_revoke_are_asked_about_anew() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        let id = GrantId::stored("g");
        for (generation, aim, changed) in
            [(1, Aim::Granted, false), (2, Aim::Granted, true), (3, Aim::Revoked, true)]
        {
            tracker.see(&grant(generation), aim, &slots());
            assert!(tracker.is_due(&id, now));
            assert_eq!(tracker.get(&id).unwrap().changed, changed);
            let round = tracker.get(&id).unwrap().round;
            tracker.answered(&id, round, Verdict::Confirmed, now);
            tracker.see(&grant(generation), aim, &slots());
            assert!(!tracker.is_due(&id, now));
        }
    }

    #[tokio::test]
    async fn what_was_confirmed_is_asked_again_when_in_doubt_and_stands_until_it_is_denied() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        let id = GrantId::stored("g");
        tracker.see(&grant(1), Aim::Granted, &slots());
        let round = tracker.get(&id).unwrap().round;
        tracker.answered(&id, round, Verdict::Confirmed, now);
        for (answer, expected) in [
            (Verdict::Unasked, Verdict::Confirmed),
            (Verdict::Confirmed, Verdict::Confirmed),
            (Verdict::Contradicted("no".into()), Verdict::Contradicted("no".into())),
        ] {
            tracker.doubt([&id].into_iter(), now);
            assert!(tracker.is_due(&id, now));
            tracker.asking(&id);
            assert!(!tracker.is_due(&id, now));
            assert_eq!(tracker.get(&id).unwrap().verdict, Verdict::Confirmed);
            tracker.answered(&id, round, answer, now);
            assert_eq!(tracker.get(&id).unwrap().verdict, expected);
        }
    }

    #[tokio::test]
    async fn what_was_contradicted_in_one_place_stays_open_when_another_changes() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        let id = GrantId::stored("g");
        let other = vec![Slot { role: Role::Operator, scope: Scope::Cluster }];
        tracker.see(&grant(1), Aim::Granted, &slots());
        let round = tracker.get(&id).unwrap().round;
        tracker.answered(&id, round, Verdict::Contradicted("no".into()), now);
        tracker.changed(&id, other.clone());
        assert_eq!(tracker.get(&id).unwrap().slots, [other.clone(), slots()].concat());
        let round = tracker.get(&id).unwrap().round;
        tracker.answered(&id, round, Verdict::Confirmed, now);
        tracker.changed(&id, other.clone());
        assert_eq!(tracker.get(&id).unwrap().slots, other);
    }

    #[test]
    fn questions_are_shared_out_evenly_and_never_exceed_the_budget() {
        assert_eq!(share_out(&[1, 500], 50), [vec![0], (0..25).map(|n| n * 20).collect()]);
        assert_eq!(share_out(&[3], 50), [vec![0, 1, 2]]);
        assert_eq!(share_out(&[], 50), Vec::<Vec<usize>>::new());
        assert_eq!(share_out(&[0, 2], 50), [vec![], vec![0, 1]]);
        let many = share_out(&[4; 200], 50);
        assert_eq!(many.iter().map(Vec::len).sum::<usize>(), 50);
        assert!(many.iter().take(50).all(|one| one.len() == 1));
    }
}
