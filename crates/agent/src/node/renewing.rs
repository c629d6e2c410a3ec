//! Renewing what was vended, before anybody has to wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::desk::{Asked, Desk, PATIENCE, Wanted, lock};
use super::tokens::{Proof, mark};

/// How often it is looked what is due.
const PULSE: Duration = Duration::from_secs(1);

/// Renews what is due, once in a second, for ever.
pub async fn renew(desk: Arc<Desk>) {
    let mut pulse = interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.tick().await;
        desk.renew();
    }
}

impl Desk {
    /// Renews what is due, as many as the rate allows; drops what is over.
    pub fn renew(self: &Arc<Self>) {
        let now = self.clock.now();
        let due = {
            let mut cache = lock(&self.cache);
            cache.sweep(&self.known(), now);
            cache.due(now)
        };
        // What is due while the server is away waits: pods that need it sooner ask themselves.
        for (owner, token) in due {
            if !self.gate.is_open() || !self.renewals.take() {
                return;
            }
            let mark = mark(token.expose());
            let Proof::Of(claims) = self.prove(token.expose(), &mark) else {
                continue;
            };
            let wanted = Wanted::Of(owner, claims.service_account.uid.clone());
            let asked = Asked { claims: Some(claims), token, mark, is_waited_for: false };
            let deadline = Instant::now() + PATIENCE;
            self.flights.join(&wanted, || Some(Arc::clone(self).fetch(asked, deadline)));
            self.metrics.renewals.add();
        }
    }
}
