//! How much the server is asked: so many at a time, and while it does not answer one at a time, further and further apart.
//!
//! Thousands of pods may want credentials in the moment in which a server comes back. They wait here, not there.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::cache::Owner;
use crate::clock::Spread;
use crate::lru::Lru;

/// The first pause after a failure, and what the pauses grow to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// It counts as away when it could answer so many askers in a row with nothing but that it cannot. One alone may be the
/// reason itself.
const UNWELL: usize = 3;
/// Of so many sources it is known how much they asked.
const SOURCES: usize = 4_096;

/// The way to the server.
pub struct Gate {
    places: Arc<Semaphore>,
    spread: Arc<Spread>,
    standing: Mutex<Standing>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Standing {
    failures: u32,
    /// Whom it could not answer since it answered anybody.
    unanswered: HashSet<Owner>,
    /// Shut: from when on one may look whether it is back. `None` while it is open.
    shut_until: Option<Instant>,
    is_looked: bool,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// An answer, whatever it says.
    Answer,
    /// That it cannot answer now; perhaps with when to come again.
    Unwell(Option<Duration>),
    /// Nothing.
    Nothing,
}

/// Leave to ask once.
pub struct Pass<'a> {
    gate: &'a Gate,
    is_look: bool,
    _place: OwnedSemaphorePermit,
}

impl Gate {
    /// A gate that lets so many ask at a time.
    #[must_use]
    pub fn new(places: usize, spread: Arc<Spread>) -> Self {
        let (changed, _) = watch::channel(());
        Self { places: Arc::new(Semaphore::new(places)), spread, standing: Mutex::default(), changed }
    }

    /// Whether the server answered when it was last asked.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.standing().shut_until.is_none()
    }

    /// Waits for leave to ask. `None` if there was none until `deadline`.
    pub async fn enter(&self, deadline: Instant) -> Option<Pass<'_>> {
        let place = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()?;
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            let next = match self.look() {
                Look::Open => return Some(Pass { gate: self, is_look: false, _place: place }),
                Look::Mine => return Some(Pass { gate: self, is_look: true, _place: place }),
                Look::Later(at) => at.min(deadline),
                Look::Theirs => deadline,
            };
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep_until(next) => {}
            }
            if Instant::now() >= deadline {
                return None;
            }
        }
    }

    /// Opens: the server was seen to answer something else.
    pub fn open(&self) {
        let mut standing = self.standing();
        standing.failures = 0;
        standing.unanswered.clear();
        if standing.shut_until.take().is_some() {
            drop(standing);
            self.changed.send_replace(());
        }
    }

    fn look(&self) -> Look {
        let mut standing = self.standing();
        match standing.shut_until {
            None => Look::Open,
            Some(_) if standing.is_looked => Look::Theirs,
            Some(at) if at > Instant::now() => Look::Later(at),
            Some(_) => {
                standing.is_looked = true;
                Look::Mine
            }
        }
    }

    fn shut(&self, is_look: bool, came: Came, asker: Owner) {
        let mut standing = self.standing();
        // Those that were on their way when it was shut tell nothing new.
        if standing.shut_until.is_some() && !is_look {
            return;
        }
        standing.failures = standing.failures.saturating_add(1);
        let (is_away, asked) = match came {
            Came::Answer => return,
            Came::Nothing => (true, Duration::ZERO),
            Came::Unwell(after) => {
                standing.unanswered.insert(asker);
                (is_look || standing.unanswered.len() >= UNWELL, after.unwrap_or_default())
            }
        };
        if is_away {
            let growth = 1_u32.checked_shl(standing.failures.min(8)).unwrap_or(u32::MAX);
            let pause = self.spread.of(PAUSES.0.saturating_mul(growth).min(PAUSES.1));
            standing.shut_until = Some(Instant::now() + pause.max(asked));
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Look {
    Open,
    Mine,
    Theirs,
    Later(Instant),
}

impl Pass<'_> {
    /// Tells what came of it for `asker`.
    pub fn report(self, came: Came, asker: Owner) {
        match came {
            Came::Answer => self.gate.open(),
            Came::Unwell(_) | Came::Nothing => self.gate.shut(self.is_look, came, asker),
        }
    }
}

impl Drop for Pass<'_> {
    // Also where nobody waited for what came of it: the next one may look.
    fn drop(&mut self) {
        if self.is_look {
            self.gate.standing().is_looked = false;
            self.gate.changed.send_replace(());
        }
    }
}

/// So many in a row, and so many in a second.
pub struct Rate {
    burst: f64,
    per_second: f64,
    level: Mutex<Option<(Instant, f64)>>,
}

impl Rate {
    /// A full bucket.
    #[must_use]
    pub fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: burst.into(), per_second: per_second.into(), level: Mutex::new(None) }
    }

    /// Whether there is one left, which is taken.
    pub fn take(&self) -> bool {
        let now = Instant::now();
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, left) = level.unwrap_or((now, self.burst));
        let left = (left + now.duration_since(at).as_secs_f64() * self.per_second).min(self.burst);
        let is_there = left >= 1.0;
        *level = Some((now, if is_there { left - 1.0 } else { left }));
        is_there
    }
}

/// A rate for each source.
pub struct Rates {
    burst: u32,
    per_second: u32,
    sources: Mutex<Lru<IpAddr, Rate>>,
}

impl Rates {
    /// Full buckets.
    #[must_use]
    pub fn new(burst: u32, per_second: u32) -> Self {
        Self { burst, per_second, sources: Mutex::new(Lru::new(SOURCES)) }
    }

    /// Whether there is one left for that source, which is taken.
    pub fn take(&self, source: IpAddr) -> bool {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = sources.get(&source) {
            return rate.take();
        }
        let rate = Rate::new(self.burst, self.per_second);
        let is_there = rate.take();
        sources.put(source, rate);
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(places: usize) -> Arc<Gate> {
        Arc::new(Gate::new(places, Arc::new(Spread::new(Box::new(domain::entropy::Fixed::new(1))))))
    }

    fn pod(number: usize) -> Owner {
        Owner::Pod(number.to_string())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(4)
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_server_is_away_one_looks_for_it_and_the_others_wait() {
        let gate = gate(64);
        gate.enter(soon()).await.unwrap().report(Came::Nothing, pod(1));
        assert!(!gate.is_open());
        let look = gate.enter(soon()).await.unwrap();
        assert!(
            gate.enter(Instant::now() + Duration::from_secs(1)).await.is_none(),
            "somebody looks already"
        );
        let waits = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(soon()).await.is_some() }
        });
        tokio::task::yield_now().await;
        look.report(Came::Answer, pod(1));
        assert!(waits.await.unwrap());
        assert!(gate.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn looks_come_further_and_further_apart() {
        let gate = gate(64);
        let begun = Instant::now();
        let mut looks = 0;
        while begun.elapsed() < Duration::from_secs(60) {
            if let Some(pass) = gate.enter(soon()).await {
                pass.report(Came::Nothing, pod(1));
                looks += 1;
            }
        }
        assert!((30..70).contains(&looks), "{looks} in a minute");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gave_up_looking_leaves_it_to_the_next() {
        let gate = gate(64);
        gate.enter(soon()).await.unwrap().report(Came::Nothing, pod(1));
        drop(gate.enter(soon()).await.unwrap());
        assert!(gate.enter(soon()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_when_to_come_again_is_left_alone_until_then() {
        let gate = gate(64);
        let unwell = Came::Unwell(Some(Duration::from_secs(3)));
        for _ in 0..20 {
            gate.enter(soon()).await.unwrap().report(unwell, pod(0));
            assert!(gate.is_open(), "that it cannot answer one pod is about that pod");
        }
        for number in 1..UNWELL {
            assert!(gate.is_open());
            gate.enter(soon()).await.unwrap().report(unwell, pod(number));
        }
        assert!(!gate.is_open());
        let begun = Instant::now();
        assert!(gate.enter(soon()).await.is_some());
        assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_ask_at_a_time() {
        let gate = gate(2);
        let held = (gate.enter(soon()).await.unwrap(), gate.enter(soon()).await.unwrap());
        assert!(gate.enter(soon()).await.is_none());
        drop(held.0);
        assert!(gate.enter(soon()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_a_burst_and_what_comes_back_in_time() {
        let rate = Rate::new(2, 3);
        assert_eq!([rate.take(), rate.take(), rate.take()], [true, true, false]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([rate.take(), rate.take(), rate.take()], [true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_source_has_a_rate_of_its_own() {
        let rates = Rates::new(2, 1);
        let [one, other] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        assert_eq!([one, one, one, other].map(|source| rates.take(source)), [true, true, false, true]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([one, one].map(|source| rates.take(source)), [true, false]);
    }
}
