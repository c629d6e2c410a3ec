//! Whose turn it is to write. Accounts take turns, whoever waits longest within an account first, so that one account
//! that floods costs another one turn and not its place behind the whole queue.
//!
//! A turn is passed on with the database transaction that is open in it, if there is one ([`crate::group`]). It is
//! passed on whatever happens to its holder: also if their future is dropped, and also if it is dropped while the turn
//! was on its way to them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::AccountId;
use tokio::sync::oneshot;

use crate::group::Group;
use crate::transaction::ReadTx;

/// All lanes in which there is a writer. In one lane there is one writer at a time.
#[derive(Default)]
pub(crate) struct Lanes {
    lanes: Mutex<HashMap<AccountId, Lane>>,
}

/// Those who wait in one lane.
#[derive(Default)]
struct Lane {
    /// Accounts in the order of their next turns. Each is in `waiting`, too.
    accounts: VecDeque<AccountId>,
    waiting: HashMap<AccountId, VecDeque<oneshot::Sender<Turn>>>,
}

impl Lane {
    fn push(&mut self, account: &AccountId, writer: oneshot::Sender<Turn>) {
        if !self.waiting.contains_key(account) {
            self.accounts.push_back(account.clone());
        }
        self.waiting.entry(account.clone()).or_default().push_back(writer);
    }

    /// The next writer who still waits.
    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(account) = self.accounts.pop_front() {
            let Some(queue) = self.waiting.get_mut(&account) else { continue };
            let next = std::iter::from_fn(|| queue.pop_front()).find(|writer| !writer.is_closed());
            if queue.is_empty() {
                self.waiting.remove(&account);
            } else {
                self.accounts.push_back(account);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    fn is_wanted(&self) -> bool {
        self.waiting.values().flatten().any(|writer| !writer.is_closed())
    }
}

impl Lanes {
    /// Waits for a turn of `account` in `lane`.
    pub(crate) async fn turn(self: &Arc<Self>, lane: AccountId, account: &AccountId) -> Turn {
        loop {
            let waiting = match self.lock().entry(lane.clone()) {
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(Lane::default());
                    None
                }
                std::collections::hash_map::Entry::Occupied(mut lane) => {
                    let (sender, receiver) = oneshot::channel();
                    lane.get_mut().push(account, sender);
                    Some(receiver)
                }
            };
            let Some(waiting) = waiting else {
                return Turn { held: Some(Held { lanes: Arc::clone(self), lane }), group: None };
            };
            // Without an answer the lane ended: begin anew.
            if let Ok(turn) = waiting.await {
                return turn;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next writer of `lane`; if there is none and `group` needs nobody, the lane is free.
    fn next(&self, lane: &AccountId, group: Option<&Group>) -> Option<oneshot::Sender<Turn>> {
        let mut lanes = self.lock();
        let next = lanes.get_mut(lane).and_then(Lane::pop);
        if next.is_none() && group.is_none() {
            lanes.remove(lane);
        }
        next
    }
}

/// The right to write in a lane, with the transaction that is open in it.
pub(crate) struct Turn {
    held: Option<Held>,
    pub(crate) group: Option<Group>,
}

struct Held {
    lanes: Arc<Lanes>,
    lane: AccountId,
}

impl Turn {
    /// The transaction. A writer gets a turn only with one in it, and keeps both until it gives them away together.
    #[expect(clippy::expect_used, reason = "a turn that was entered has a transaction until it is consumed")]
    pub(crate) fn read(&self) -> &ReadTx {
        &self.group.as_ref().expect("a turn that was entered").read
    }

    #[expect(clippy::expect_used, reason = "a turn that was entered has a transaction until it is consumed")]
    pub(crate) fn read_mut(&mut self) -> &mut ReadTx {
        &mut self.group.as_mut().expect("a turn that was entered").read
    }

    /// Whether the account's row is locked by the transaction.
    pub(crate) fn is_locked(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.locked)
    }

    /// Notes that the account's row is locked by the transaction.
    pub(crate) fn locked(&mut self) {
        if let Some(group) = &mut self.group {
            group.locked = true;
        }
    }

    /// Whether somebody waits for it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.lanes.lock().get(&held.lane).is_some_and(Lane::is_wanted))
    }
}

impl Drop for Turn {
    /// Passes the turn on.
    fn drop(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        let mut group = self.group.take();
        // Who may not join finds the transaction ended.
        while group.as_ref().is_none_or(Group::may_grow) {
            let Some(next) = held.lanes.next(&held.lane, group.as_ref()) else { break };
            let Err(mut back) = next.send(Turn { held: Some(held), group }) else { return };
            // They gave up in this moment.
            group = back.group.take();
            let Some(again) = back.held.take() else { return };
            held = again;
        }
        if let Some(group) = group {
            crate::group::end_later(group, Turn { held: Some(held), group: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn account(id: &str) -> AccountId {
        AccountId::stored(id)
    }

    fn lane() -> AccountId {
        account("")
    }

    /// Queues writers up in this order and gives the order in which they get their turns.
    async fn order(writers: &'static [&'static str]) -> Vec<&'static str> {
        let lanes = Arc::new(Lanes::default());
        let first = lanes.turn(lane(), &account("first")).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for writer in writers {
            let (lanes, order) = (Arc::clone(&lanes), Arc::clone(&order));
            let name = account(writer.split('-').next().unwrap_or_default());
            tasks.push(tokio::spawn(async move {
                let turn = lanes.turn(lane(), &name).await;
                order.lock().unwrap().push(*writer);
                drop(turn);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert!(lanes.lock().is_empty(), "a lane without a writer is forgotten");
        Arc::try_unwrap(order).unwrap().into_inner().unwrap()
    }

    #[tokio::test]
    async fn accounts_take_turns_and_within_one_who_waits_longest_is_first() {
        let found = order(&["a-1", "a-2", "a-3", "a-4", "b-1", "b-2", "c-1"]).await;
        assert_eq!(found, ["a-1", "b-1", "c-1", "a-2", "b-2", "a-3", "a-4"]);
    }

    #[tokio::test]
    async fn who_gave_up_is_passed_over() {
        let lanes = Arc::new(Lanes::default());
        let first = lanes.turn(lane(), &account("a")).await;
        {
            let name = account("b");
            let mut gives_up = pin!(lanes.turn(lane(), &name));
            assert!(matches!(gives_up.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
            assert!(first.is_wanted());
        }
        assert!(!first.is_wanted());
        drop(first);
        assert!(lanes.lock().is_empty());
        drop(lanes.turn(lane(), &account("c")).await);
    }
}
