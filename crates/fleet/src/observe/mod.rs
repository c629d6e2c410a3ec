//! Keeps a [`View`] of one cluster: lists each kind once, then watches it from there, for as long as the cluster
//! answers.
//!
//! All bindings are watched, without a selector: one of ours that somebody relabelled would otherwise keep granting
//! unseen. The four watches stand and fall together, so that "watching" means that the view is current; after a
//! failure they resume from where they were, and only what the API server no longer remembers is listed again.

mod listing;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::client::{ApiClient, Lines, MAX_ANSWER, WatchLine, parse};
use crate::failure::{Failure, clean};
use crate::right::Right;
use crate::view::{Effect, Kind, Object, TooMuch, View};
use crate::wire::{Event, Line, Version};
use listing::{binding, cluster_role, namespace};

#[cfg(test)]
pub(crate) use listing::list_for_tests;

/// How long we ask the API server to keep a watch open.
const WATCH_SECONDS: u64 = 240;
/// A session that lasted this long was a good one: the next failure is the first again.
const STABLE: Duration = Duration::from_secs(20);
/// The least time from the start of one watch to the next, against servers that end them at once.
const MIN_WATCH: Duration = Duration::from_secs(1);

/// After how long a kind is listed again although its watch goes on: a restored etcd may have gone back in time.
const LIST_EVERY: Duration = Duration::from_secs(1800);
/// When to list again after an object in a watch was too large to be read, at first and at most.
const RELIST: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(240)];

/// How the observation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Not there yet.
    Starting,
    /// All kinds are listed and watched.
    Watching {
        /// The API server's version, if it tells.
        version: Option<String>,
    },
    /// The API server does not answer or refuses; it is tried again.
    Failing {
        /// Why, in a sentence for people.
        reason: String,
    },
}

/// What is known about one cluster, shared between who watches and who works.
pub(crate) struct Observer {
    view: Mutex<View>,
    health: Mutex<Health>,
    /// From when on somebody wants lists to be.
    wanted: Mutex<Option<Instant>>,
    changed: watch::Sender<u64>,
}

/// A failure with what was being done.
struct Trouble {
    failure: Failure,
    action: String,
}

impl Trouble {
    fn with(verb: &'static str, kind: Kind) -> impl FnOnce(Failure) -> Self {
        move |failure| Self { failure, action: format!("{verb} {}", kind.resource()) }
    }
}

impl Observer {
    /// Knows nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            view: Mutex::new(View::default()),
            health: Mutex::new(Health::Starting),
            wanted: Mutex::new(None),
            changed: watch::Sender::new(0),
        }
    }

    /// The view. Never held across an `await`.
    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants each kind to be listed anew at `at` or later; not at once, but before long.
    pub(crate) fn want_list_since(&self, at: Instant) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Whether a kind is to be listed although a watch could go on from where it was.
    fn is_stale(&self, kind: Kind, now: Instant) -> bool {
        let wanted = *self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        self.view().listed_at(kind).is_some_and(|listed| {
            now >= listed + LIST_EVERY || wanted.is_some_and(|at| at <= now && listed < at)
        })
    }

    /// How the observation stands.
    pub(crate) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Marked whenever the view changed in a way that matters, or the health did.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Sets the health and tells about it.
    pub(crate) fn set_health(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
        self.mark();
    }

    /// Observes for ever.
    pub(crate) async fn run(self: Arc<Self>, client: Arc<ApiClient>, mut backoff: Backoff) {
        let mut cursors = [const { None }; 4];
        loop {
            let started = Instant::now();
            let trouble = self.session(&client, &mut cursors).await;
            let reason = trouble.failure.sentence(&Right::base(&trouble.action));
            tracing::warn!(failure = %trouble.failure, action = trouble.action, "fleet.observe.failed");
            self.set_health(Health::Failing { reason });
            if trouble.failure == TOO_MUCH {
                // What did not fit is in no view, and no watch would tell it again.
                cursors = [const { None }; 4];
            }
            if started.elapsed() > STABLE {
                backoff.reset();
            }
            sleep(trouble.failure.retry_after().unwrap_or_default().max(backoff.next())).await;
        }
    }

    /// Observes until something fails. `cursors` are the versions up to which each kind is known.
    async fn session(&self, client: &ApiClient, cursors: &mut [Option<String>; 4]) -> Trouble {
        let version = match client.get::<Version>("/version", MAX_ANSWER).await {
            Ok(version) => Some(clean(&version.git_version)),
            // Who may not ask for the version may still be the connector.
            Err(Failure::Refused(_)) => None,
            Err(failure) => return Trouble { failure, action: "read the version".to_owned() },
        };
        let context = Following {
            observer: self,
            client,
            version,
            paging: tokio::sync::Mutex::new(()),
            watching: AtomicUsize::new(0),
        };
        let [first, second, third, fourth] = cursors;
        let [a, b, c, d] = Kind::ALL;
        let ended = tokio::try_join!(
            context.follow(a, first),
            context.follow(b, second),
            context.follow(c, third),
            context.follow(d, fourth)
        );
        match ended {
            Err(trouble) => trouble,
            Ok((never, _, _, _)) => match never {},
        }
    }

    fn mark(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn took(&self, effect: Result<Effect, TooMuch>) -> Result<(), Failure> {
        match effect {
            Ok(Effect::Nothing) => Ok(()),
            Ok(Effect::Changed) => {
                self.mark();
                Ok(())
            }
            Err(TooMuch) => Err(TOO_MUCH),
        }
    }
}

const TOO_MUCH: Failure =
    Failure::Unreadable("the cluster holds more bindings and roles than can be kept in memory");

/// What following one kind needs.
struct Following<'a> {
    observer: &'a Observer,
    client: &'a ApiClient,
    version: Option<String>,
    /// One page at a time per cluster, so that a hostile one cannot make us hold four.
    paging: tokio::sync::Mutex<()>,
    /// How many kinds are being watched.
    watching: AtomicUsize,
}

/// What comes after a watch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Another one, from where it ended.
    Watch,
    /// A list.
    List,
}

/// What a line of a watch says about where it stands.
enum Position {
    At(String),
    Expired,
}

impl Following<'_> {
    /// Lists a kind unless it is known up to `cursor`, and watches it until something fails.
    async fn follow(
        &self,
        kind: Kind,
        cursor: &mut Option<String>,
    ) -> Result<std::convert::Infallible, Trouble> {
        let trouble = |verb: &'static str| Trouble::with(verb, kind);
        let mut announced = false;
        let mut relist = RELIST[0];
        loop {
            if self.observer.is_stale(kind, Instant::now()) {
                *cursor = None;
            }
            let version = match cursor.clone() {
                Some(version) => version,
                None => self.list(kind).await.map_err(trouble("list"))?,
            };
            *cursor = Some(version.clone());
            let began = Instant::now();
            match self
                .client
                .watch(&watch_path(kind, &version), Duration::from_secs(WATCH_SECONDS + 20))
                .await
            {
                Err(failure) if failure.is(410) => *cursor = None,
                Err(failure) => return Err(trouble("watch")(failure)),
                Ok(mut lines) => {
                    if !std::mem::replace(&mut announced, true) {
                        self.announce();
                    }
                    if self.read(kind, &mut lines, cursor, relist).await.map_err(trouble("watch"))?
                        == Next::List
                    {
                        *cursor = None;
                        relist = (relist * 2).min(RELIST[1]);
                    }
                }
            }
            sleep(MIN_WATCH.saturating_sub(began.elapsed())).await;
        }
    }

    /// Reads a watch until it ends, or until it is time to list because something in it could not be read.
    async fn read(
        &self,
        kind: Kind,
        lines: &mut Lines,
        cursor: &mut Option<String>,
        relist: Duration,
    ) -> Result<Next, Failure> {
        let mut relist_at = None;
        loop {
            let line = match relist_at {
                None => lines.next().await?,
                Some(at) => match timeout_at(at, lines.next()).await {
                    Ok(line) => line?,
                    Err(_) => return Ok(Next::List),
                },
            };
            match line {
                None if relist_at.is_some() => return Ok(Next::List),
                None => return Ok(Next::Watch),
                // Whatever it is, the others matter. A list tells at least what it is.
                Some(WatchLine::TooLong) => {
                    tracing::warn!(kind = kind.resource(), "fleet.observe.object_too_large");
                    relist_at.get_or_insert(Instant::now() + relist);
                }
                Some(WatchLine::Whole(line)) => match self.take(kind, &line)? {
                    Some(Position::At(version)) => *cursor = Some(version),
                    Some(Position::Expired) => {
                        *cursor = None;
                        return Ok(Next::Watch);
                    }
                    None => {}
                },
            }
        }
    }

    /// One more kind is being watched; with the last one, the view is current.
    fn announce(&self) {
        if self.watching.fetch_add(1, Ordering::SeqCst) + 1 == Kind::ALL.len() {
            self.observer.set_health(Health::Watching { version: self.version.clone() });
        }
    }

    /// Takes one line of a watch into the view.
    fn take(&self, kind: Kind, line: &[u8]) -> Result<Option<Position>, Failure> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let Line { r#type, object } = parse(line)?;
        let version = object.metadata.resource_version;
        match r#type.as_str() {
            "ADDED" | "MODIFIED" => {
                let effect = self.observer.view().observe(read(kind, line)?);
                self.observer.took(effect)?;
            }
            "DELETED" => {
                let effect = self.observer.view().observe_deleted(&read(kind, line)?);
                self.observer.took(Ok(effect))?;
            }
            "BOOKMARK" => self.observer.view().saw(kind, &version),
            "ERROR" if object.code == 410 => return Ok(Some(Position::Expired)),
            "ERROR" => {
                let detail = format!("a watch ended with status {}: {}", object.code, clean(&object.message));
                return Err(Failure::Unreachable(detail));
            }
            _ => return Ok(None),
        }
        Ok((!version.is_empty()).then_some(Position::At(version)))
    }
}

fn watch_path(kind: Kind, version: &str) -> String {
    format!(
        "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}",
        kind.path(),
        crate::client::segment(version)
    )
}

fn read(kind: Kind, line: &[u8]) -> Result<Object, Failure> {
    match kind {
        Kind::ClusterRoleBindings | Kind::RoleBindings => Ok(binding(parse::<Event<_>>(line)?.object)),
        Kind::Namespaces => Ok(namespace(parse::<Event<_>>(line)?.object)),
        Kind::ClusterRoles => Ok(cluster_role(parse::<Event<_>>(line)?.object)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kind_is_listed_again_when_somebody_wants_to_be_sure_and_now_and_then() {
        let (observer, now) = (Observer::new(), Instant::now());
        let stale = |after: Duration| observer.is_stale(Kind::RoleBindings, now + after);
        assert!(!stale(LIST_EVERY), "what was never listed is listed anyway");
        observer.view().set_listed_at(Kind::RoleBindings, now);
        assert!(!stale(Duration::from_secs(60)) && stale(LIST_EVERY));
        observer.want_list_since(now + Duration::from_secs(10));
        assert!(!stale(Duration::from_secs(9)), "not before it would help");
        assert!(stale(Duration::from_secs(10)));
        observer.view().set_listed_at(Kind::RoleBindings, now + Duration::from_secs(10));
        assert!(!stale(Duration::from_secs(60)));
    }
}
