//! One cluster's worker: observes, and whenever something may have changed, makes the cluster follow.
//!
//! A pass reads what should be in one snapshot, compares it with the view, and carries out the difference: first what
//! grows, then what shrinks, and never one made dependent on the other's success. Asking the cluster for the effect
//! goes on beside further passes, so that a revoke never waits for a review. Nothing is written before the first
//! complete list of everything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{ClusterId, ErrorKind};
use rbac::ObjectName;
use service::Service;
use service::clusters::connection::AddressPolicy;
use service::fleet::leases::Lease;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use crate::apply::Held;
use crate::backoff::Backoff;
use crate::client::ApiClient;
use crate::fence::Fence;
use crate::identity;
use crate::inquiry;
use crate::observe::{Health, Observer};
use crate::pass::{self, Facts};
use crate::report::Reporter;
use crate::review::{self, Answer};
use crate::right::Right;
use crate::states;
use crate::tracker::{Aim, Tracker};
use crate::view::Interest;

mod accepting;
mod passing;
mod removing;
mod stamping;

/// The least time between passes that only the cluster asks for: a restless one must not keep us busy.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// The same for what the service asks of a cluster that does not answer: there is nothing to do but to say so.
const UNREACHABLE_INTERVAL: Duration = Duration::from_secs(1);
/// How long reviews may take before states are reported without them: mostly they are faster, and one report is
/// cheaper than two.
const REPORT_DELAY: Duration = Duration::from_millis(25);

/// How soon every server has noticed that a hold has ended.
const NOTICED: Duration = Duration::from_millis(300);

/// How long a write that was not answered may still come to be.
const LATE: Duration = Duration::from_secs(10);

/// What all workers share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// The one door.
    pub(crate) service: Arc<Service>,
    /// What may be connected to.
    pub(crate) policy: Arc<AddressPolicy>,
    /// How long until everything is compared even if nothing seems to have changed.
    pub(crate) resync: Duration,
    /// So many removals of one plan need no recorded reason.
    pub(crate) unexplained_removals: usize,
}

/// Works for the cluster of `lease` until told to stop.
pub(crate) async fn run(shared: Shared, lease: Lease, mut stop: watch::Receiver<bool>) {
    let cluster = lease.cluster.clone();
    let mut backoff = Backoff::new(cluster.as_str());
    let connection = loop {
        match shared.service.fleet_connection(&cluster).await {
            Ok(Some(connection)) => break connection,
            // The supervisor starts another worker when there is one again.
            Ok(None) => return,
            Err(error) => tracing::error!(cluster = %cluster, error = ?error, "fleet.connection.unreadable"),
        }
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(backoff.next()) => {}
        }
    };
    let observer = Arc::new(Observer::new());
    let mut tasks = JoinSet::new();
    let client = match ApiClient::new(&connection, Arc::clone(&shared.policy)) {
        Ok(client) => {
            let fence = Fence::new(Arc::clone(&shared.service), lease.clone());
            let client = Arc::new(client.behind(fence));
            tasks.spawn(Arc::clone(&observer).run(Arc::clone(&client), backoff.clone()));
            let keeper = identity::Keeper {
                service: Arc::clone(&shared.service),
                cluster: cluster.clone(),
                version: lease.connection_version,
                again: shared.resync,
            };
            tasks.spawn(keeper.run(Arc::clone(&client), Arc::clone(&observer), backoff.clone()));
            Some(client)
        }
        Err(failure) => {
            observer.set_health(Health::Failing { reason: failure.sentence(&Right::base("connect")) });
            None
        }
    };
    drop(connection);
    Worker::new(shared, lease, client, observer, backoff).work(stop).await;
}

/// Whether the cluster was removed, has another connection, or is another server's now.
fn is_superseded(error: &domain::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
}

struct Worker {
    shared: Shared,
    cluster: ClusterId,
    lease: Lease,
    client: Option<Arc<ApiClient>>,
    observer: Arc<Observer>,
    tracker: Tracker,
    backoff: Backoff,
    facts: Option<Facts>,
    reviews: JoinSet<Vec<Answer>>,
    reporter: Reporter,
    /// When a pass is due though nothing asks for it.
    due: Instant,
    /// When what failed is to be tried again.
    retry_at: Option<Instant>,
    /// Before that, the API server does not want to hear from us.
    not_before: Option<Instant>,
    /// When states are to be reported though reviews are still under way.
    report_at: Option<Instant>,
    last_full: Instant,
    /// What may have been applied without an answer, and from when on a list without it says that it was not.
    unsure: HashMap<ObjectName, Instant>,
    /// Whether what was confirmed is to be asked again.
    in_doubt: bool,
    last_pass: Option<Instant>,
    /// What was refused and is not tried again before something changes.
    held: Held,
    /// The mark in the cluster.
    stamping: stamping::Stamping,
    /// How many removals wait; `None` before the first pass.
    waiting: Option<usize>,
}

/// What woke the worker.
enum Wake {
    Stop,
    Service,
    Cluster,
    Timer,
    Answers(Vec<Answer>),
}

impl Worker {
    fn new(
        shared: Shared,
        lease: Lease,
        client: Option<Arc<ApiClient>>,
        observer: Arc<Observer>,
        backoff: Backoff,
    ) -> Self {
        let now = Instant::now();
        Self {
            reporter: Reporter::new(Arc::clone(&shared.service), lease.clone()),
            cluster: lease.cluster.clone(),
            lease,
            shared,
            client,
            observer,
            tracker: Tracker::default(),
            backoff,
            facts: None,
            reviews: JoinSet::new(),
            due: now,
            retry_at: None,
            not_before: None,
            report_at: None,
            last_full: now,
            unsure: HashMap::new(),
            in_doubt: false,
            last_pass: None,
            held: Held::default(),
            stamping: stamping::Stamping::default(),
            waiting: None,
        }
    }

    async fn work(mut self, mut stop: watch::Receiver<bool>) {
        let mut service = self.shared.service.changes();
        let mut cluster = self.observer.changes();
        loop {
            let wake = self.wait(&mut stop, &mut service, &mut cluster).await;
            let now = Instant::now();
            match wake {
                Wake::Stop => return,
                Wake::Answers(answers) => {
                    self.digest(&answers).await;
                    continue;
                }
                Wake::Cluster
                    if self.last_pass.is_some_and(|last| now < last + MIN_INTERVAL) && !self.is_failing() =>
                {
                    self.due = self.due.min(now + MIN_INTERVAL);
                    continue;
                }
                Wake::Service if self.is_failing() => {
                    self.due = self.due.min(now + UNREACHABLE_INTERVAL);
                    continue;
                }
                Wake::Timer if now < self.due => {
                    self.ask();
                    self.renew_stamp().await;
                    if self.report_at.is_some_and(|at| at <= now) {
                        self.report_or_retry().await;
                    }
                    continue;
                }
                Wake::Cluster | Wake::Timer => {
                    self.held = Held::default();
                    self.tracker.reconsider();
                }
                // However often the service asks, what was refused gets its turn.
                Wake::Service if self.retry_at.is_some_and(|at| at <= now) => self.held = Held::default(),
                Wake::Service => {}
            }
            if let Some(until) = self.not_before.filter(|until| *until > now) {
                self.due = until;
                continue;
            }
            // Whatever came until now is seen by this pass.
            service.mark_unchanged();
            cluster.mark_unchanged();
            self.turn().await;
        }
    }

    async fn wait(
        &mut self,
        stop: &mut watch::Receiver<bool>,
        service: &mut watch::Receiver<u64>,
        cluster: &mut watch::Receiver<u64>,
    ) -> Wake {
        // While a batch of reviews is under way no other can begin.
        let question = if self.reviews.is_empty() { self.tracker.next_due() } else { None };
        let timer =
            [self.report_at, question, self.stamping.due].into_iter().flatten().fold(self.due, Instant::min);
        tokio::select! {
            biased;
            _ = stop.changed() => Wake::Stop,
            Some(answers) = self.reviews.join_next() => Wake::Answers(answers.unwrap_or_default()),
            changed = service.changed() => if changed.is_ok() { Wake::Service } else { Wake::Stop },
            changed = cluster.changed() => if changed.is_ok() { Wake::Cluster } else { Wake::Stop },
            () = sleep_until(timer) => Wake::Timer,
        }
    }

    fn is_failing(&self) -> bool {
        matches!(self.observer.health(), Health::Failing { .. })
    }

    /// Does what the health of the observation allows.
    async fn turn(&mut self) {
        let now = Instant::now();
        self.due = now + self.shared.resync;
        if now >= self.last_full + self.shared.resync {
            self.last_full = now;
            self.reporter.forget();
            self.in_doubt = true;
        }
        let result = match (self.observer.health(), self.client.clone()) {
            (Health::Starting, _) => Ok(()),
            (Health::Watching { version }, Some(client)) if self.observer.view().is_complete() => {
                let span = tracing::info_span!("pass", outcome = tracing::field::Empty);
                let passed = self.pass(&client, version).instrument(span.clone()).await;
                span.record("outcome", if passed.is_ok() { "ok" } else { "failed" });
                passed
            }
            (Health::Watching { .. }, _) => Ok(()),
            (Health::Failing { reason }, _) => self.tell_unreachable(&reason).await,
        };
        match result {
            Ok(()) => {}
            // The cluster was removed or detached, or is another server's now: the supervisor ends this worker.
            Err(error) if is_superseded(&error) => {
                tracing::info!(cluster = %self.cluster, reason = %error, "fleet.worker.superseded");
            }
            Err(error) => {
                tracing::error!(cluster = %self.cluster, error = ?error, "fleet.pass.failed");
                self.due = Instant::now() + self.backoff.next();
            }
        }
    }

    /// Starts the next batch of reviews, unless one is under way.
    fn ask(&mut self) {
        if !self.reviews.is_empty() {
            return;
        }
        let now = Instant::now();
        if let (Some(facts), Some(client)) = (&self.facts, &self.client) {
            let questions = inquiry::questions(facts, &self.observer.view(), &mut self.tracker, now);
            if !questions.is_empty() {
                self.reviews.spawn(review::ask(Arc::clone(client), questions));
                return;
            }
        }
        self.tracker.postpone(now);
    }

    /// Takes in what the cluster said, and asks on.
    async fn digest(&mut self, answers: &[Answer]) {
        if let Some(facts) = &self.facts {
            inquiry::digest(facts, &self.observer.view(), &mut self.tracker, answers, Instant::now());
        }
        self.ask();
        self.mind_others();
        self.report_or_retry().await;
    }

    /// What others do to their bindings matters only while something is not as it should be: one of them may be why.
    fn mind_others(&self) {
        let fine = self.held.is_empty() && !self.tracker.has_open_questions();
        self.observer.view().set_interest(if fine { Interest::Ours } else { Interest::All });
    }

    async fn report_or_retry(&mut self) {
        if let Err(error) = self.report().await {
            if is_superseded(&error) {
                return;
            }
            tracing::error!(cluster = %self.cluster, error = ?error, "fleet.report.failed");
            self.due = self.due.min(Instant::now() + self.backoff.next());
        }
    }

    /// Tells the service where everything stands, as far as it is news.
    async fn report(&mut self) -> domain::Result<()> {
        self.report_at = None;
        let updates = self.facts.as_ref().map(|facts| facts.updates(&self.tracker)).unwrap_or_default();
        self.reporter.tell(updates).await
    }

    /// Tells the service that the cluster does not answer. What was confirmed stays so.
    async fn tell_unreachable(&mut self, reason: &str) -> domain::Result<()> {
        let fleet = self.shared.service.fleet_desired(&self.cluster).await?;
        self.reporter.unreachable(reason);
        self.shared.service.fleet_asked(&self.cluster);
        let granted = fleet.grants.iter().map(|grant| (grant, Aim::Granted));
        let updates = granted
            .chain(fleet.revoked.iter().map(|grant| (grant, Aim::Revoked)))
            .filter_map(|(grant, aim)| {
                let (state, reason) = states::unreachable(self.tracker.current(grant, aim), reason)?;
                Some(pass::state_update(grant, state, reason))
            })
            .collect();
        self.reporter.tell(updates).await
    }
}
