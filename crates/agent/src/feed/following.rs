//! Asking the server what changed, one question after the other, for ever.
//!
//! Invariant: a change is known five seconds after it, also where the server's machine vanished without a word and another
//! one answers in its place. So a question is not held for longer than `WAIT`, and its answer is not waited for much longer.

use std::time::Duration;

use podidentity::feed::Feed;
use tokio::time::{Instant, sleep};

use crate::clock::Spread;
use crate::rate::Rate;
use crate::server::{Failure, Server};

/// So long the server may wait for a change before it says that there is none.
const WAIT: Duration = Duration::from_secs(3);
/// The first pause after a question without answer, and what the pauses grow to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// What the pauses grow to while the server does not accept the agent: wrong keys are counted there, and locked.
const PAUSE_UNACCEPTED: Duration = Duration::from_secs(60);
/// So many questions in a row follow the answer before without a pause, and so many in a second. Changes come one by one and
/// are told at once; a stream of them, or of two servers that do not know the same, is asked for more rarely.
const QUESTIONS: (u32, u32) = (20, 2);
/// The pause where more answers came.
const PAUSE_AT_ONCE: Duration = Duration::from_secs(1);
/// How often it is looked whether there is another key.
const LOOK: Duration = Duration::from_secs(1);

/// Who is told what changes.
pub trait Follower: Sync {
    /// Whom to ask.
    fn server(&self) -> &Server;

    /// How the pauses are spread.
    fn spread(&self) -> &Spread;

    /// How far it was told; 0 for everything.
    fn revision(&self) -> i64;

    /// Takes in the answer to what came after `asked`.
    fn take(&self, asked: i64, feed: Feed);

    /// Notes that no answer came. Answers whether that is new, and so is to be logged.
    fn apart(&self, why: &Failure) -> bool;

    /// Comes to an end when everything has to be asked for, because the server knows what it did not tell.
    fn behind(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// How soon the next question may follow.
struct Pace {
    failures: u32,
    questions: Rate,
}

/// Follows the server for ever.
pub async fn follow(follower: &impl Follower) {
    let mut pace = Pace::new();
    let mut is_behind = false;
    loop {
        let after = if is_behind { 0 } else { follower.revision() };
        let asked = follower.server().feed(after, WAIT);
        // Who asks for everything already is not interrupted for it.
        let told = match after {
            0 => asked.await,
            _ => tokio::select! {
                told = asked => told,
                () = follower.behind() => {
                    is_behind = true;
                    continue;
                }
            },
        };
        match told {
            Ok(feed) => {
                if pace.failures > 0 || after == 0 {
                    tracing::info!(revision = feed.revision, "agent.feed.told");
                }
                is_behind = false;
                follower.take(after, feed);
                sleep(pace.answered(follower.spread())).await;
            }
            Err(failure) => {
                if follower.apart(&failure) {
                    tell(&failure);
                }
                let most = pace.failed(&failure, follower.spread());
                pause(follower.server(), &failure, most).await;
            }
        }
    }
}

impl Pace {
    fn new() -> Self {
        Self { failures: 0, questions: Rate::new(QUESTIONS.0, QUESTIONS.1) }
    }

    fn answered(&mut self, spread: &Spread) -> Duration {
        self.failures = 0;
        if self.questions.take() { Duration::ZERO } else { spread.of(PAUSE_AT_ONCE) }
    }

    fn failed(&mut self, failure: &Failure, spread: &Spread) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let (most, asked) = match failure {
            Failure::Away(_) => (PAUSES.1, Duration::ZERO),
            Failure::Unwell(_, after) => (PAUSES.1, after.unwrap_or_default()),
            Failure::Unaccepted(_) | Failure::Refused(_) => (PAUSE_UNACCEPTED, Duration::ZERO),
        };
        spread.of(grown(PAUSES.0, self.failures).min(most)).max(asked)
    }
}

fn grown(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times.min(12)).unwrap_or(u32::MAX))
}

fn tell(failure: &Failure) {
    match failure {
        Failure::Away(why) | Failure::Unwell(why, _) => {
            tracing::warn!(why, "agent.server.away: what is kept counts as long as it lasts");
        }
        Failure::Unaccepted(_) | Failure::Refused(_) => {
            tracing::error!(
                why = %failure,
                "agent.key.refused: the server does not accept this agent; make a new key for this cluster and put it \
                 into --key-dir (`bailiwick pod-identity install` does both), or correct --cluster"
            );
        }
    }
}

/// Waits; not longer than until there is another key, if the key was the reason.
async fn pause(server: &Server, failure: &Failure, most: Duration) {
    let is_about_key = match failure {
        Failure::Away(_) | Failure::Unwell(..) => false,
        Failure::Unaccepted(_) | Failure::Refused(_) => true,
    };
    let until = Instant::now() + most;
    while Instant::now() < until {
        if is_about_key && server.has_another_key() {
            return;
        }
        sleep(LOOK.min(until.duration_since(Instant::now()))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_that_keep_coming_at_once_are_not_asked_for_at_once_without_end() {
        let spread = Spread::of_this_process();
        let mut pace = Pace::new();
        let begun = Instant::now();
        for _ in 0..QUESTIONS.0 {
            assert_eq!(pace.answered(&spread), Duration::ZERO, "a few are changes");
        }
        let mut questions = 0;
        while begun.elapsed() < Duration::from_secs(60) {
            sleep(pace.answered(&spread)).await;
            questions += 1;
        }
        // Pauses of half a second to a second, and without one as many as there may be in a minute.
        assert!((60..=120 + 120 + 1).contains(&questions), "{questions} in a minute");
    }
}
