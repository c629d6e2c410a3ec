//! Refusals of known callers that wait to be written. Bounded: when it is full the oldest go and are counted, because
//! no request may wait for the audit of a refusal.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use domain::{AccountId, PrincipalId, Timestamp};
use store::Explanation;

/// At most so many wait.
const CAPACITY: usize = 10_000;
/// At most so many are written at once.
const BATCH: usize = 500;

/// A refusal.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) at: Timestamp,
    pub(crate) account: AccountId,
    pub(crate) actor: PrincipalId,
    pub(crate) actor_name: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) explanation: Option<Explanation>,
    pub(crate) request_id: String,
    pub(crate) source: String,
}

impl Refusal {
    /// Whether it says the same about the same caller.
    fn repeats(&self, other: &Self) -> bool {
        self.account == other.account
            && self.actor == other.actor
            && self.action == other.action
            && self.resource == other.resource
            && self.explanation == other.explanation
            && self.source == other.source
    }
}

/// The queue.
#[derive(Default)]
pub(crate) struct Refusals {
    waiting: Mutex<VecDeque<(Refusal, i64)>>,
    dropped: AtomicU64,
}

impl Refusals {
    /// Adds one. A repetition of the newest only counts.
    pub(crate) fn push(&self, refusal: Refusal) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((newest, times)) = waiting.back_mut()
            && newest.repeats(&refusal)
        {
            *times += 1;
            return;
        }
        if waiting.len() >= CAPACITY {
            waiting.pop_front();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        waiting.push_back((refusal, 1));
    }

    /// Takes the oldest out.
    pub(crate) fn take(&self) -> Vec<(Refusal, i64)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let most = BATCH.min(waiting.len());
        waiting.drain(..most).collect()
    }

    /// Puts back what could not be written, as far as there is room.
    pub(crate) fn give_back(&self, batch: Vec<(Refusal, i64)>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in batch.into_iter().rev() {
            if waiting.len() >= CAPACITY {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                waiting.push_front(entry);
            }
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(resource: usize) -> Refusal {
        Refusal {
            at: Timestamp::from_millis(0),
            account: AccountId::stored("a"),
            actor: PrincipalId::stored("u"),
            actor_name: String::new(),
            action: "bailiwick:grant:list".to_owned(),
            resource: resource.to_string(),
            explanation: None,
            request_id: String::new(),
            source: String::new(),
        }
    }

    #[test]
    fn a_full_queue_of_refusals_drops_the_oldest_and_counts_them() {
        let queue = Refusals::default();
        (0..CAPACITY + 3).for_each(|n| queue.push(refusal(n)));
        assert_eq!((queue.waiting(), queue.dropped()), (CAPACITY, 3));
        let batch = queue.take();
        assert_eq!((batch.len(), batch[0].0.resource.as_str()), (BATCH, "3"));
        queue.give_back(batch);
        assert_eq!((queue.waiting(), queue.dropped()), (CAPACITY, 3));
        queue.push(refusal(0));
        assert_eq!(queue.take()[0].0.resource, "4", "what was given back is the oldest again");
    }

    #[test]
    fn a_refusal_that_repeats_itself_is_one_event() {
        let queue = Refusals::default();
        (0..1000).for_each(|_| queue.push(refusal(1)));
        let batch = queue.take();
        assert_eq!((batch.len(), batch[0].1), (1, 1000));
    }
}
