//! Being told what changes: one question after the other to the server's feed, and the pulse of renewing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::desk::Desk;
use super::known::Keys;
use crate::server::Failure;

/// So long the server may wait for a change before it says that there is none.
const WAIT: Duration = Duration::from_secs(20);
/// The first pause after a question without answer, and what the pauses grow to: short enough that a change during a
/// failure is known five seconds after it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// What the pauses grow to while the server does not accept the agent: wrong keys are counted there, and locked.
const PAUSE_UNACCEPTED: Duration = Duration::from_secs(60);
/// A server that says at once that nothing changed is not asked at once again.
const PAUSE_UNCHANGED: Duration = Duration::from_secs(1);
/// How often it is looked what has to be renewed.
const PULSE: Duration = Duration::from_secs(1);

/// Follows the feed for ever.
pub async fn follow(desk: Arc<Desk>) {
    let mut failures: u32 = 0;
    let mut after = 0;
    loop {
        let begun = Instant::now();
        match desk.server.feed(after, WAIT).await {
            Ok(feed) => {
                if failures > 0 || after == 0 {
                    tracing::info!(revision = feed.revision, "agent.feed.told");
                }
                failures = 0;
                // A server that is not as far as it was stands on an older copy: everything has to be told again.
                let is_behind = feed.revision < after && !feed.complete;
                after = if is_behind { 0 } else { feed.revision };
                let change = desk.take(feed);
                if !change.associations && change.keys != Keys::Others && begun.elapsed() < PAUSE_UNCHANGED {
                    sleep(PAUSE_UNCHANGED).await;
                }
            }
            Err(failure) => {
                desk.metrics.feed_failures.add();
                if desk.apart(&failure) {
                    tell(&failure);
                }
                failures = failures.saturating_add(1);
                pause(&desk, &failure, failures).await;
            }
        }
    }
}

/// Renews what is due, once in a second, for ever.
pub async fn renew(desk: Arc<Desk>) {
    let mut pulse = interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.tick().await;
        desk.renew();
    }
}

fn tell(failure: &Failure) {
    match failure {
        Failure::Away(why) | Failure::Unwell(why, _) => {
            tracing::warn!(why, "agent.server.away: what is kept is handed out as long as it lasts");
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

/// Waits, longer each time; not longer than until there is another key, if that was the reason.
async fn pause(desk: &Desk, failure: &Failure, failures: u32) {
    let growth = 1_u32.checked_shl(failures.min(12)).unwrap_or(u32::MAX);
    let (most, asked, is_about_key) = match failure {
        Failure::Away(_) => (PAUSES.1, Duration::ZERO, false),
        Failure::Unwell(_, after) => (PAUSES.1, after.unwrap_or_default(), false),
        Failure::Unaccepted(_) | Failure::Refused(_) => (PAUSE_UNACCEPTED, Duration::ZERO, true),
    };
    let until = Instant::now() + desk.spread.of(PAUSES.0.saturating_mul(growth).min(most)).max(asked);
    while Instant::now() < until {
        if is_about_key && desk.server.has_another_key() {
            return;
        }
        sleep(PULSE.min(until.duration_since(Instant::now()))).await;
    }
}
