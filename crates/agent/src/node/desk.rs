//! The desk where pods ask: who it is, what is there for them, and whether the server has to be asked.
//!
//! The order never changes: first the token proves whose it is, then the cache is looked into, then the server is asked. What
//! the server refuses is refused; what it does not answer is answered from what it vended before, as long as that lasts.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use domain::{Clock, Secret};
use http::StatusCode;
use podidentity::Claims;
use podidentity::feed::Feed;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::batches::Batches;
use super::cache::{Cache, Owner, Standing};
use super::flight::Flights;
use super::limits::{Gate, Rates};
use super::metrics::Metrics;
use super::refusal::Refusal;
use super::tokens::{Mark, Proof, Tokens, mark};
use crate::clock::Spread;
use crate::feed::{Follower, Keys, Known};
use crate::lru::Lru;
use crate::rate::Rate;
use crate::server::{Failure, Server};

/// So long a pod waits at most: its SDK gives up after five seconds.
pub(super) const PATIENCE: Duration = Duration::from_millis(4_500);
/// So long it waits for something newer, where there is something to give.
const PATIENCE_FOR_NEWER: Duration = Duration::from_secs(2);
/// What is told so many seconds after something was vended was asked for afterwards, and names its association if there is one.
const TOLD_WITHIN: i64 = 10;
/// How much there may be of everything.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Credentials that are kept.
    pub cached: usize,
    /// Questions to the server at a time.
    pub upstream: usize,
}

/// How the agent stands with its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It was never answered.
    New,
    /// It is told what changes.
    Told,
    /// It was told, and is not now.
    Apart,
    /// The server does not accept it, for that reason.
    Unaccepted(String),
}

/// What came of asking the server.
#[derive(Clone)]
pub(super) enum Outcome {
    Given(Bytes),
    Refused(Refusal),
    Away(String),
}

/// What is asked for: something for an owner, by a service account of that uid, or by a token nothing is known of.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    Of(Owner, String),
    By(Mark),
}

/// What a refusal is about: everybody of a service account, or one token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum About {
    ServiceAccount(String),
    Token(Mark),
}

/// Who asks, and by which token.
#[derive(Clone)]
pub(super) struct Asked {
    pub claims: Option<Arc<Claims>>,
    pub token: Secret,
    pub mark: Mark,
    /// Whether it is for somebody who waits, and not for the next one who may come.
    pub is_waited_for: bool,
}

/// The desk.
pub struct Desk {
    /// Whom to ask.
    pub server: Server,
    /// What is counted.
    pub metrics: Metrics,
    /// How things are spread in time.
    pub spread: Arc<Spread>,
    pub(super) clock: Arc<dyn Clock>,
    node: Option<String>,
    // Invariant, or threads wait for each other: whoever holds `known` takes neither `cache` nor `refused`, and nobody holds
    // those two together. What is remembered of tokens is locked within its own methods.
    pub(super) cache: Mutex<Cache>,
    pub(super) refused: Mutex<Lru<About, (Instant, Refusal)>>,
    known: RwLock<Known>,
    health: watch::Sender<Health>,
    tokens: Tokens,
    pub(super) flights: Flights<Wanted, Outcome>,
    pub(super) gate: Gate,
    pub(super) batches: Batches,
    unproved: Unproved,
    pub(super) renewals: Rate,
    pub(super) behind: Notify,
    pub(super) behind_rate: Rate,
}

/// How often the server is asked about tokens that nobody here can judge.
struct Unproved {
    of_source: Rates,
    /// While there are keys, and theirs is not among them.
    of_other_keys: Rate,
    /// While there are none: every pod may come at once, and is not proved to be one.
    without_keys: Rate,
}

impl Desk {
    /// A desk that knows nothing yet; `node` is the name of the node it stands on, if that matters.
    #[must_use]
    pub fn new(
        server: Server,
        clock: Arc<dyn Clock>,
        spread: Spread,
        node: Option<String>,
        settings: Settings,
    ) -> Arc<Self> {
        let spread = Arc::new(spread);
        Arc::new(Self {
            server,
            metrics: Metrics::default(),
            clock,
            node,
            known: RwLock::default(),
            health: watch::channel(Health::New).0,
            // Room for a pod's last token and the one before.
            tokens: Tokens::new(settings.cached.saturating_mul(2)),
            cache: Mutex::new(Cache::new(settings.cached)),
            refused: Mutex::new(Lru::new(settings.cached)),
            flights: Flights::default(),
            batches: Batches::default(),
            gate: Gate::new(settings.upstream, Arc::clone(&spread)),
            unproved: Unproved {
                of_source: Rates::new(20, 5),
                of_other_keys: Rate::new(40, 10),
                without_keys: Rate::new(200, 50),
            },
            renewals: Rate::new(10, 3),
            behind: Notify::new(),
            behind_rate: Rate::new(1, 1),
            spread,
        })
    }

    /// The body for the pod that shows this token from that address.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn answer(self: &Arc<Self>, token: &str, from: IpAddr) -> Result<Bytes, Refusal> {
        let deadline = Instant::now() + PATIENCE;
        self.wait_until_told(deadline).await?;
        let mark = mark(token);
        let asked =
            |claims| Asked { claims, token: Secret::new(token.to_owned()), mark, is_waited_for: true };
        match self.prove(token, &mark) {
            Proof::Of(claims) => {
                self.must_be_here(&claims)?;
                // Nearly always all there is to do.
                if let Some((Standing::Good, body)) = self.find(&claims, token) {
                    self.metrics.hits.add();
                    return Ok(body);
                }
                self.hand_out(&claims, asked(Some(Arc::clone(&claims))), deadline).await
            }
            // A server that does not know the keys itself is about to ask for them: until then all pods are its to judge.
            Proof::NoKeys(said) => {
                self.must_be_here(&said)?;
                let may_be_asked = || self.unproved.of_source.take(from) && self.unproved.without_keys.take();
                self.pass_on(asked(None), deadline, may_be_asked).await
            }
            Proof::UnknownKey(said) => {
                self.must_be_here(&said)?;
                let may_be_asked =
                    || self.unproved.of_source.take(from) && self.unproved.of_other_keys.take();
                self.pass_on(asked(None), deadline, may_be_asked).await
            }
            Proof::Nothing(why) => {
                self.metrics.unproved.add();
                Err(Refusal::unproved(&why))
            }
        }
    }

    /// How the agent stands with its server.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// How many associations are known, and how many credentials are kept.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        let associations = self.known().len();
        let cached = lock(&self.cache).len();
        (associations, cached)
    }

    /// Whether the server answered when it was last asked.
    #[must_use]
    pub fn is_server_there(&self) -> bool {
        self.gate.is_open()
    }

    async fn wait_until_told(&self, deadline: Instant) -> Result<(), Refusal> {
        let mut health = self.health.subscribe();
        let is_told = |health: &Health| match health {
            Health::Told | Health::Apart => true,
            Health::New | Health::Unaccepted(_) => false,
        };
        // Whoever was told once knows enough, whatever came later.
        if self.known().verification().is_some() {
            return Ok(());
        }
        let told = timeout_at(deadline, health.wait_for(is_told)).await;
        match told {
            Ok(_) => Ok(()),
            Err(_) => Err(self.nothing("the server has not told yet what this cluster's tokens look like")),
        }
    }

    pub(super) fn prove(&self, token: &str, mark: &Mark) -> Proof {
        self.tokens.prove(token, mark, &self.known(), self.clock.now())
    }

    /// A token that names another node was carried here.
    fn must_be_here(&self, claims: &Claims) -> Result<(), Refusal> {
        match (&self.node, &claims.node) {
            (Some(here), Some(there)) if here != there => {
                self.metrics.unproved.add();
                let message = "the token is one of a pod on another node";
                Err(Refusal::new(StatusCode::UNAUTHORIZED, "token-of-another-node", message))
            }
            (Some(_), _) | (None, _) => Ok(()),
        }
    }

    fn find(&self, claims: &Claims, token: &str) -> Option<(Standing, Bytes)> {
        let mut cache = lock(&self.cache);
        let vended = cache.find(claims, token, &self.known())?;
        match vended.standing(self.clock.now()) {
            Standing::Over => None,
            standing @ (Standing::Good | Standing::Short) => Some((standing, vended.body.clone())),
        }
    }

    /// Hands out what is there, or what the server gives; what is there but short only if the server gives nothing.
    async fn hand_out(
        self: &Arc<Self>,
        claims: &Arc<Claims>,
        asked: Asked,
        deadline: Instant,
    ) -> Result<Bytes, Refusal> {
        let wanted = Wanted::Of(Owner::of(claims), claims.service_account.uid.clone());
        let mut nothing = None;
        for _ in 0..2 {
            let there = self.find(claims, asked.token.expose());
            let has_something = match there {
                Some((Standing::Good, body)) => return Ok(body),
                Some((Standing::Short, body)) if !self.gate.is_open() => return Ok(self.while_away(body)),
                Some(_) => true,
                None => false,
            };
            self.must_not_be_refused(claims, &asked.mark)?;
            let begin = || match self.find(claims, asked.token.expose()) {
                Some((Standing::Good, _)) => None,
                Some(_) | None => Some(Arc::clone(self).fetch(asked.clone(), deadline)),
            };
            let Some(ticket) = self.flights.join(&wanted, begin) else { continue };
            let is_first = ticket.is_first;
            let newer = Instant::now() + PATIENCE_FOR_NEWER;
            let until = if has_something { newer.min(deadline) } else { deadline };
            match timeout_at(until, ticket.answer()).await {
                Ok(Some(Outcome::Given(body))) => return Ok(body),
                Ok(Some(Outcome::Refused(refusal))) if is_first => return Err(refusal),
                // That was said to another token of this pod, and may be about that one.
                Ok(Some(Outcome::Refused(refusal))) => {
                    nothing = Some(refusal);
                    continue;
                }
                Ok(Some(Outcome::Away(why))) => nothing = Some(self.nothing(&why)),
                Ok(None) | Err(_) => nothing = Some(self.nothing("the server did not answer in time")),
            }
            if let Some((_, body)) = self.find(claims, asked.token.expose()) {
                return Ok(self.while_away(body));
            }
            if is_first {
                break;
            }
        }
        Err(nothing.unwrap_or_else(|| self.nothing("what is asked for changes too often")))
    }

    /// Lets the server say what a token proves of which nobody here can tell, if it may be asked.
    async fn pass_on(
        self: &Arc<Self>,
        asked: Asked,
        deadline: Instant,
        may_be_asked: impl FnOnce() -> bool,
    ) -> Result<Bytes, Refusal> {
        if let Some(refusal) = self.refused_lately(&About::Token(asked.mark)) {
            return Err(refusal);
        }
        let wanted = Wanted::By(asked.mark);
        let begin = || may_be_asked().then(|| Arc::clone(self).fetch(asked, deadline));
        let Some(ticket) = self.flights.join(&wanted, begin) else {
            return Err(Refusal::busy("too many tokens of keys that are not known"));
        };
        match timeout_at(deadline, ticket.answer()).await {
            Ok(Some(Outcome::Given(body))) => Ok(body),
            Ok(Some(Outcome::Refused(refusal))) => Err(refusal),
            Ok(Some(Outcome::Away(why))) => Err(self.nothing(&why)),
            Ok(None) | Err(_) => Err(self.nothing("the server did not answer in time")),
        }
    }

    fn must_not_be_refused(&self, claims: &Claims, mark: &Mark) -> Result<(), Refusal> {
        let account = About::ServiceAccount(claims.service_account.uid.clone());
        let lately = self.refused_lately(&account).or_else(|| self.refused_lately(&About::Token(*mark)));
        lately.map_or(Ok(()), Err)
    }

    fn refused_lately(&self, about: &About) -> Option<Refusal> {
        let refused = lock(&self.refused);
        let (until, refusal) = refused.peek(about)?;
        (*until > Instant::now()).then(|| refusal.clone())
    }

    fn while_away(&self, body: Bytes) -> Bytes {
        self.metrics.while_away.add();
        body
    }

    fn nothing(&self, why: &str) -> Refusal {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 3")]
        let again = 1 + (self.spread.share() * 2.9) as u64;
        Refusal::away(why, again)
    }

    pub(super) fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower for Desk {
    fn server(&self) -> &Server {
        &self.server
    }

    fn spread(&self) -> &Spread {
        &self.spread
    }

    fn revision(&self) -> i64 {
        self.known().revision()
    }

    /// Drops what does not stand any more.
    fn take(&self, asked: i64, feed: Feed) {
        let now = self.clock.now();
        let told_by = if feed.complete { now } else { now.plus_seconds(-TOLD_WITHIN) };
        let change = self.known_mut().take(asked, feed, now);
        if let Some(change) = change {
            self.tokens.follow(change.keys);
            if change.associations || change.keys != Keys::Same {
                lock(&self.refused).clear();
            }
            if change.is_anew || change.keys == Keys::None {
                let dropped = lock(&self.cache).clear();
                self.metrics.dropped.add_many(dropped);
            } else {
                let mut cache = lock(&self.cache);
                let swept = if change.associations { cache.sweep(&self.known(), now) } else { 0 };
                self.metrics.dropped.add_many(swept + cache.drop_untold(told_by));
            }
        }
        self.gate.heard();
        self.health.send_replace(Health::Told);
    }

    fn apart(&self, why: &Failure) -> bool {
        self.metrics.feed_failures.add();
        let unaccepted = match why {
            Failure::Unaccepted(text) => Some(text.clone()),
            Failure::Refused(refusal) => Some(refusal.message.clone()),
            Failure::Away(_) | Failure::Unwell(..) => None,
        };
        self.health.send_if_modified(|health| {
            let new = match (unaccepted, &*health) {
                (Some(text), _) => Health::Unaccepted(text),
                (None, Health::New) => Health::New,
                (None, Health::Told | Health::Apart | Health::Unaccepted(_)) => Health::Apart,
            };
            let is_new = new != *health;
            *health = new;
            is_new
        })
    }

    async fn behind(&self) {
        self.behind.notified().await;
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
