//! Pods that ask at the same time are asked for together: while some requests to the server are on their way, those who come
//! gather for the next one. Whoever comes alone goes at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use domain::Secret;
use podidentity::vending;
use tokio::sync::oneshot;

use super::desk::Desk;
use crate::server::Failure;

/// So many requests are on their way at a time: one that the server takes long for does not hold up the others.
const MOST_UNDER_WAY: usize = 4;

/// Those who gather, and what is on its way.
#[derive(Default)]
pub(super) struct Batches(Mutex<State>);

#[derive(Default)]
struct State {
    gathered: VecDeque<Waiting>,
    under_way: usize,
}

struct Waiting {
    token: Secret,
    reply: oneshot::Sender<Result<Bytes, Failure>>,
}

/// A way to the server that is taken, again and again while there is somebody to ask for.
struct Way<'a>(Option<&'a Batches>);

impl Drop for Way<'_> {
    // Only where it broke off. If no other way is taken, those who wait would wait for ever: they hear that it was lost.
    fn drop(&mut self) {
        let Some(batches) = self.0 else { return };
        let mut state = batches.lock();
        state.under_way -= 1;
        if state.under_way == 0 {
            state.gathered.clear();
        }
    }
}

impl Batches {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins those who gather. Returns whether there is a way that nobody takes, which is taken.
    fn join(&self, one: Waiting) -> bool {
        let mut state = self.lock();
        state.gathered.push_back(one);
        let is_free = state.under_way < MOST_UNDER_WAY;
        if is_free {
            state.under_way += 1;
        }
        is_free
    }
}

impl Way<'_> {
    /// Those who came first; nobody, if nobody gathered, and then the way is free again.
    fn next(&mut self) -> Vec<Waiting> {
        let Some(batches) = self.0 else { return Vec::new() };
        let mut state = batches.lock();
        let most = state.gathered.len().min(vending::MOST);
        let first: Vec<Waiting> = state.gathered.drain(..most).collect();
        if first.is_empty() {
            state.under_way -= 1;
            self.0 = None;
        }
        first
    }
}

impl Desk {
    /// Asks the server for the pod whose token that is, together with others.
    ///
    /// Only what was not asked for before: what the server answers nothing to must not spoil it for others again and again.
    pub(super) async fn ask(self: &Arc<Self>, token: &Secret) -> Result<Bytes, Failure> {
        let (reply, answer) = oneshot::channel();
        if self.batches.join(Waiting { token: token.clone(), reply }) {
            tokio::spawn(Arc::clone(self).carry());
        }
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    /// The same for it alone.
    pub(super) async fn ask_alone(&self, token: &Secret) -> Result<Bytes, Failure> {
        self.metrics.batches.add();
        let answers = self.server.vend(vec![token.expose()]).await?;
        answers.into_iter().next().unwrap_or_else(|| Err(lost()))
    }

    async fn carry(self: Arc<Self>) {
        let mut way = Way(Some(&self.batches));
        loop {
            let batch = way.next();
            if batch.is_empty() {
                return;
            }
            self.metrics.batches.add();
            let tokens = batch.iter().map(|one| one.token.expose()).collect();
            match self.server.vend(tokens).await {
                Ok(answers) => batch.into_iter().zip(answers).for_each(|(one, answer)| tell(one, answer)),
                Err(failure) => batch.into_iter().for_each(|one| tell(one, Err(failure.clone()))),
            }
        }
    }
}

/// Whoever gave up meanwhile does not hear it.
fn tell(one: Waiting, answer: Result<Bytes, Failure>) {
    drop(one.reply.send(answer));
}

fn lost() -> Failure {
    Failure::Away("the question was lost".to_owned())
}
