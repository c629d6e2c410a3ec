//! The desk where pods ask: who it is, what is there for them, and whether the server has to be asked.
//!
//! The order never changes: first the token proves whose it is, then the cache is looked into, then the server is asked. What
//! the server refuses is refused; what it does not answer is answered from what it vended before, as long as that lasts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use domain::{Clock, Secret};
use http::StatusCode;
use podidentity::Claims;
use podidentity::feed::Feed;
use podidentity::vending::Answer;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::cache::{Cache, Owner, Standing, Vended};
use super::flight::Flights;
use super::known::{Change, Keys, Known, Subject};
use super::limits::{Came, Gate, Pass, Rate};
use super::lru::Lru;
use super::metrics::{Metrics, Upstream};
use super::refusal::Refusal;
use super::tokens::{Mark, Proof, Tokens, mark};
use crate::clock::Spread;
use crate::server::{Failure, Server};

/// So long a pod waits at most: its SDK gives up after five seconds.
const PATIENCE: Duration = Duration::from_millis(4_500);
/// So long it waits for something newer, where there is something to give.
const PATIENCE_FOR_NEWER: Duration = Duration::from_secs(2);
/// The pause before the second question for the same; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// So long at most a refusal is repeated without asking again.
const REFUSED_FOR: Duration = Duration::from_secs(2);

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
enum Outcome {
    Given(Bytes),
    Refused(Refusal),
    Away(String),
}

/// What is asked for: something for an owner, by a service account of that uid, or by a token nothing is known of.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Wanted {
    Of(Owner, String),
    By(Mark),
}

/// What a refusal is about: everybody of a service account, or one token.
#[derive(Clone, PartialEq, Eq, Hash)]
enum About {
    ServiceAccount(String),
    Token(Mark),
}

/// Who asks, and by which token.
#[derive(Clone)]
struct Asked {
    claims: Option<Arc<Claims>>,
    token: Secret,
    mark: Mark,
}

/// The desk.
pub struct Desk {
    /// Whom to ask.
    pub server: Server,
    /// What is counted.
    pub metrics: Metrics,
    /// How things are spread in time.
    pub spread: Arc<Spread>,
    clock: Arc<dyn Clock>,
    node: Option<String>,
    known: RwLock<Known>,
    health: watch::Sender<Health>,
    tokens: Tokens,
    cache: Mutex<Cache>,
    refused: Mutex<Lru<About, (Instant, Refusal)>>,
    flights: Flights<Wanted, Outcome>,
    gate: Gate,
    unproved: Rate,
    renewals: Rate,
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
            gate: Gate::new(settings.upstream, Arc::clone(&spread)),
            unproved: Rate::new(20, 5),
            renewals: Rate::new(10, 3),
            spread,
        })
    }

    /// The body for the pod that shows this token.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn answer(self: &Arc<Self>, token: &str) -> Result<Bytes, Refusal> {
        let deadline = Instant::now() + PATIENCE;
        self.wait_until_told(deadline).await?;
        let mark = mark(token);
        let asked = |claims| Asked { claims, token: Secret::new(token.to_owned()), mark };
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
            Proof::Unknown => self.pass_on(asked(None), deadline).await,
            Proof::Nothing(why) => {
                self.metrics.unproved.add();
                Err(Refusal::unproved(&why))
            }
        }
    }

    /// Takes in what the server told, and drops what does not stand any more.
    pub fn take(&self, feed: Feed) -> Change {
        let change = self.known_mut().take(feed);
        self.tokens.follow(change.keys);
        if change.associations || change.keys == Keys::Others {
            lock(&self.refused).clear();
        }
        if change.associations {
            let dropped = lock(&self.cache).sweep(&self.known(), self.clock.now());
            self.metrics.dropped.add_many(dropped);
        }
        // Who tells something can be asked.
        self.gate.open();
        self.health.send_replace(Health::Told);
        change
    }

    /// Notes that the server tells nothing. Answers whether that is new.
    pub fn apart(&self, why: &Failure) -> bool {
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

    /// How the agent stands with its server.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// How far it was told.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.known().revision()
    }

    /// How many associations are known, and how many credentials are kept.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.known().associations(), lock(&self.cache).len())
    }

    /// Whether the server answered when it was last asked.
    #[must_use]
    pub fn is_server_there(&self) -> bool {
        self.gate.is_open()
    }

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
            let asked = Asked { claims: Some(claims), token, mark };
            let deadline = Instant::now() + PATIENCE;
            self.flights.join(&wanted, || Some(Arc::clone(self).fetch(asked, deadline)));
            self.metrics.renewals.add();
        }
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

    fn prove(&self, token: &str, mark: &Mark) -> Proof {
        self.tokens.prove(token, mark, self.known().verification(), self.clock.now())
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
        let mut why = String::new();
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
                Ok(Some(Outcome::Refused(_))) => continue,
                Ok(Some(Outcome::Away(reason))) => why = reason,
                Ok(None) | Err(_) => why = "the server did not answer in time".to_owned(),
            }
            if let Some((_, body)) = self.find(claims, asked.token.expose()) {
                return Ok(self.while_away(body));
            }
            if is_first {
                break;
            }
        }
        Err(self.nothing(&why))
    }

    /// Lets the server say what a token proves that nobody here can read, now and then.
    async fn pass_on(self: &Arc<Self>, asked: Asked, deadline: Instant) -> Result<Bytes, Refusal> {
        if let Some(refusal) = self.refused_lately(&About::Token(asked.mark)) {
            return Err(refusal);
        }
        let wanted = Wanted::By(asked.mark);
        let begin = || self.unproved.take().then(|| Arc::clone(self).fetch(asked, deadline));
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

    /// Asks the server, again if it does not answer and there is time.
    async fn fetch(self: Arc<Self>, asked: Asked, deadline: Instant) -> Outcome {
        let mut pause = PAUSE;
        let mut why = "the server is away".to_owned();
        loop {
            let Some(pass) = self.gate.enter(deadline).await else { return Outcome::Away(why) };
            let came = self.server.vend(asked.token.expose()).await;
            let after = match self.come(came, pass, &asked) {
                Ok(outcome) => return outcome,
                Err((reason, after)) => {
                    why = reason;
                    after.unwrap_or_default()
                }
            };
            let wait = self.spread.of(pause).max(after);
            if Instant::now() + wait >= deadline {
                return Outcome::Away(why);
            }
            sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
    }

    /// What an answer of the server comes to; or why it is none, and when to ask again.
    fn come(
        &self,
        came: Result<Bytes, Failure>,
        pass: Pass<'_>,
        asked: &Asked,
    ) -> Result<Outcome, (String, Option<Duration>)> {
        match came {
            Ok(body) => {
                self.metrics.upstream(Upstream::Given);
                pass.report(Came::Answer);
                self.keep(body, asked).map_err(|why| (why.to_owned(), None))
            }
            Err(Failure::Refused(refusal)) => {
                self.metrics.upstream(Upstream::Refused);
                pass.report(Came::Answer);
                Ok(Outcome::Refused(self.refuse(refusal.into(), asked)))
            }
            Err(Failure::Away(why)) => {
                self.metrics.upstream(Upstream::Away);
                pass.report(Came::Nothing);
                Err((why, None))
            }
            Err(Failure::Unwell(why, after)) => {
                self.metrics.upstream(Upstream::Unwell);
                pass.report(Came::Unwell(after));
                Err((why, after))
            }
            Err(Failure::Unaccepted(why)) => {
                self.metrics.upstream(Upstream::Unaccepted);
                pass.report(Came::Unwell(None));
                Err((format!("the server does not accept this agent: {why}"), None))
            }
        }
    }

    /// Keeps what was vended, if it is known by what and to whom. Fails if a change that is known already came after it.
    fn keep(&self, body: Bytes, asked: &Asked) -> Result<Outcome, &'static str> {
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| "the server's answer is not understood")?;
        let until = answer.expires_at().ok_or("the server's answer says no end that is understood")?;
        let proof = || self.prove(asked.token.expose(), &asked.mark);
        let claims = match asked.claims.clone() {
            Some(claims) => claims,
            // The server may have fetched the key meanwhile, and told of it.
            None => match proof() {
                Proof::Of(claims) => claims,
                Proof::Unknown | Proof::Nothing(_) => return Ok(Outcome::Given(body)),
            },
        };
        let namespace = claims.namespace.clone();
        let subject = Subject { namespace, service_account: claims.service_account.name.clone() };
        let mut cache = lock(&self.cache);
        let known = self.known();
        if known.is_outdated(&subject, &answer) {
            return Err("the association was changed meanwhile");
        }
        // What is not known to stand is given and not kept: it may have ended while the answer was on its way.
        if known.stands(&subject, &answer.pod_identity_association_id, answer.epoch) {
            let since = self.clock.now();
            let vended = Vended {
                body: body.clone(),
                subject,
                association: answer.pod_identity_association_id,
                epoch: answer.epoch,
                since,
                until,
                renewed_from: Vended::renewed_from(since, until, self.spread.share()),
                is_wanted: false,
                token: (asked.token.clone(), claims.expires_at),
            };
            cache.put(Owner::of(&claims), vended);
        }
        Ok(Outcome::Given(body))
    }

    /// What the server refuses is not there any more, and not asked for again at once.
    fn refuse(&self, refusal: Refusal, asked: &Asked) -> Refusal {
        if let Some(claims) = &asked.claims {
            lock(&self.cache).drop_for(&Owner::of(claims));
        }
        let about = match &asked.claims {
            Some(claims) if refusal.status == StatusCode::FORBIDDEN => {
                About::ServiceAccount(claims.service_account.uid.clone())
            }
            Some(_) | None => About::Token(asked.mark),
        };
        let until = Instant::now() + self.spread.of(REFUSED_FOR);
        lock(&self.refused).put(about, (until, refusal.clone()));
        refusal
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

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
