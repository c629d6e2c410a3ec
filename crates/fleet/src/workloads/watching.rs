//! Watching the service accounts and pods of one cluster: names and uids alone, of the namespaces that have associations.
//!
//! The watches of both kinds stand and fall by themselves. Where a list or a watch is refused or fails, nothing is known, and
//! the cluster is asked each time; it is tried again after a while.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ClusterId;
use service::Service;
use service::pod_identity::workloads::WorkloadKind;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep};

use super::listing::Listing;
use super::page::{Object, Who, is_uid};
use super::rate::Rate;
use super::view::{FRESH, View};
use crate::backoff::Backoff;
use crate::client::{ApiClient, WatchLine, parse, segment};
use crate::failure::Failure;
use crate::identity::identify;
use crate::wire::{Event, Line};

/// How long one watch lasts. An API server says two seconds before its end how far it came, but older ones only if something
/// happened. What is quiet is listed again then, where that is little: else each pod would be asked for.
const WATCH_SECONDS: u64 = 25;

const WATCH: Duration = Duration::from_secs(WATCH_SECONDS);

const _: () = assert!(WATCH_SECONDS < FRESH.as_secs(), "what is quiet is listed before it counts no more");

/// More than that is not listed only because nothing was heard of it. Where there are many pods, something always happens.
const LITTLE: usize = 1_000;

/// The least time between two lists, and from the start of one watch to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// After how long everything is listed again: a restored etcd may have gone back in time, and a watch says nothing of it.
const LIST_EVERY: Duration = Duration::from_secs(600);
/// So many events may come at once, and so many each second on the average. Who says more is listened to later.
const EVENTS: (u32, u32) = (50_000, 5_000);
/// So many service accounts may go one by one. Where more do, a list says at once which are left.
const DELETIONS: (u32, u32) = (200, 10);

/// What is known of one cluster, by a connection of one version.
pub(super) struct Watch {
    cluster: ClusterId,
    accounts: Kept,
    pods: Kept,
    /// Who reads a page of a list, of whatever cluster, holds one.
    turns: Arc<Semaphore>,
}

/// What is known of one kind.
struct Kept {
    kind: WorkloadKind,
    view: Mutex<View>,
    /// Told when it has to be listed anew.
    list: Notify,
    /// How many there were in the last list.
    listed: AtomicUsize,
    /// How fast events may come, and how fast service accounts may go.
    rates: Mutex<(Rate, Rate)>,
}

impl Kept {
    fn new(kind: WorkloadKind) -> Self {
        let rate = |(most, per_second)| Rate::new(most, per_second, Instant::now());
        let rates = Mutex::new((rate(EVENTS), rate(DELETIONS)));
        Self { kind, view: Mutex::default(), list: Notify::new(), listed: AtomicUsize::new(0), rates }
    }

    /// Takes a token from one of the two buckets.
    fn slowly(&self, what: &'static str, which: fn(&mut (Rate, Rate)) -> &mut Rate) -> Result<(), Failure> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        match which(&mut rates).take(Instant::now()) {
            true => Ok(()),
            false => Err(Failure::Unreachable(format!("{what} faster than they are followed"))),
        }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pods that ran to their end are left out: they are not alive, and a watch says of one that it is gone as it ends.
    fn path(&self) -> &'static str {
        match self.kind {
            WorkloadKind::ServiceAccount => "/api/v1/serviceaccounts?",
            WorkloadKind::Pod => {
                "/api/v1/pods?fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed&"
            }
        }
    }

    fn is_alive(&self, object: &Object) -> bool {
        match self.kind {
            WorkloadKind::ServiceAccount => object.metadata.deletion_timestamp.is_none(),
            WorkloadKind::Pod => true,
        }
    }
}

impl Watch {
    pub(super) fn new(cluster: ClusterId, turns: Arc<Semaphore>) -> Self {
        let accounts = Kept::new(WorkloadKind::ServiceAccount);
        Self { cluster, accounts, pods: Kept::new(WorkloadKind::Pod), turns }
    }

    /// Keeps what is in these namespaces.
    pub(super) fn narrow(&self, namespaces: &BTreeSet<String>) {
        for kept in [&self.accounts, &self.pods] {
            if kept.view().narrow(namespaces) {
                kept.list.notify_one();
            }
        }
    }

    /// Whether it is known to be alive. If not, it may be nevertheless.
    pub(super) fn knows(&self, kind: WorkloadKind, namespace: &str, name: &str, uid: &str) -> bool {
        let kept = match kind {
            WorkloadKind::ServiceAccount => &self.accounts,
            WorkloadKind::Pod => &self.pods,
        };
        kept.view().knows(namespace, name, uid, Instant::now())
    }

    /// Watches for ever.
    pub(super) async fn run(self: Arc<Self>, service: Arc<Service>, client: Arc<ApiClient>) {
        let follow = |kept| Following { watch: &self, kept, service: &service, client: &client }.run();
        tokio::join!(follow(&self.accounts), follow(&self.pods));
    }
}

/// What following one kind needs.
struct Following<'a> {
    watch: &'a Watch,
    kept: &'a Kept,
    service: &'a Service,
    client: &'a ApiClient,
}

impl Following<'_> {
    async fn run(self) {
        let mut backoff = Backoff::new(self.watch.cluster.as_str());
        loop {
            let began = Instant::now();
            let ended = self.session(began + LIST_EVERY).await;
            if let Err(failure) = ended {
                tracing::info!(cluster = %self.watch.cluster, kind = ?self.kept.kind, %failure, "fleet.workloads.unwatched");
                if began.elapsed() > LIST_EVERY / 10 {
                    backoff.reset();
                }
                sleep(failure.retry_after().unwrap_or_default().max(backoff.next())).await;
            } else {
                backoff.reset();
            }
            sleep(PAUSE.saturating_sub(began.elapsed())).await;
        }
    }

    /// Lists once and watches from there, until it is time to list again.
    async fn session(&self, until: Instant) -> Result<(), Failure> {
        let mut version = self.list().await?;
        while Instant::now() < until {
            let began = Instant::now();
            let next = tokio::select! {
                next = self.watch_from(version) => next?,
                () = self.kept.list.notified() => None,
            };
            match next {
                Some(next) => version = next,
                None => return Ok(()),
            }
            if self.kept.view().is_stale_in(WATCH, Instant::now())
                && self.kept.listed.load(Ordering::Relaxed) <= LITTLE
            {
                return Ok(());
            }
            sleep(PAUSE.saturating_sub(began.elapsed())).await;
        }
        Ok(())
    }

    /// Lists everything. What sessions came from before, and is not there, is gone.
    async fn list(&self) -> Result<String, Failure> {
        let mut missing: HashSet<String> = match self.kept.kind {
            WorkloadKind::ServiceAccount => self.with_sessions().await?,
            WorkloadKind::Pod => HashSet::new(),
        };
        self.kept.view().begin();
        let listing = Listing { client: self.client, path: self.kept.path(), turns: &self.watch.turns };
        let mut listed = 0;
        let version = listing
            .read(|page| {
                listed += page.len();
                self.keep(page, &mut missing);
            })
            .await?;
        self.kept.listed.store(listed, Ordering::Relaxed);
        self.kept.view().hear(Instant::now());
        self.not_listed(missing).await?;
        Ok(version)
    }

    /// Keeps a page of a list.
    fn keep(&self, page: &[Object], missing: &mut HashSet<String>) {
        let mut view = self.kept.view();
        for object in page.iter().filter(|object| self.kept.is_alive(object)) {
            let Who { namespace, name, uid, .. } = &object.metadata;
            view.put(namespace, name, uid);
            missing.remove(uid);
        }
    }

    /// Watches until the watch ends. Returns from where it goes on, or `None` if it has to be listed anew.
    async fn watch_from(&self, from: String) -> Result<Option<String>, Failure> {
        let path = format!(
            "{}watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}",
            self.kept.path(),
            segment(&from)
        );
        let patience = Duration::from_secs(WATCH_SECONDS + 20);
        let mut lines = match self.client.watch_metadata(&path, patience).await {
            Err(failure) if failure.is(410) => return Ok(None),
            lines => lines?,
        };
        let mut version = from;
        while let Some(line) = lines.next().await? {
            match line {
                WatchLine::TooLong => return Ok(None),
                WatchLine::Whole(line) => match self.take(&line).await? {
                    Took::At(at) => version = at,
                    Took::Nothing => {}
                    Took::Expired => return Ok(None),
                },
            }
        }
        Ok(Some(version))
    }

    async fn take(&self, line: &[u8]) -> Result<Took, Failure> {
        if line.trim_ascii().is_empty() {
            return Ok(Took::Nothing);
        }
        self.kept.slowly("events come", |(events, _)| events)?;
        let Line { r#type, object } = parse(line)?;
        if r#type == "ERROR" {
            if object.code == 410 {
                return Ok(Took::Expired);
            }
            return Err(Failure::Unreachable(format!("a watch ended with status {}", object.code)));
        }
        self.kept.view().hear(Instant::now());
        let found: Object = parse::<Event<Object>>(line)?.object;
        let Who { namespace, name, uid, .. } = &found.metadata;
        match r#type.as_str() {
            "ADDED" | "MODIFIED" if !found.can_be() => {}
            "ADDED" | "MODIFIED" if self.kept.is_alive(&found) => self.kept.view().put(namespace, name, uid),
            "ADDED" | "MODIFIED" | "DELETED" => {
                self.kept.view().take(namespace, name, uid);
                self.ended(uid).await?;
            }
            _ => {}
        }
        Ok(found.version().map_or(Took::Nothing, |version| Took::At(version.to_owned())))
    }

    /// A service account was seen to be gone.
    async fn ended(&self, uid: &str) -> Result<(), Failure> {
        if self.kept.kind == WorkloadKind::ServiceAccount && is_uid(uid) {
            self.kept.slowly("service accounts go", |(_, deletions)| deletions)?;
            self.service.service_account_gone(&self.watch.cluster, uid).await.map_err(ours)?;
        }
        Ok(())
    }

    async fn with_sessions(&self) -> Result<HashSet<String>, Failure> {
        let found = self.service.service_accounts_with_sessions(&self.watch.cluster).await;
        Ok(found.map_err(ours)?.into_iter().collect())
    }

    /// What is not there is gone, if it is this cluster that does not have it: for a minute, an address may lead to another.
    /// What cannot be written down is found again by the next list.
    async fn not_listed(&self, uids: HashSet<String>) -> Result<(), Failure> {
        if uids.is_empty() {
            return Ok(());
        }
        let found = identify(self.client).await?;
        if !self.service.is_known_as(&self.watch.cluster, &found).await.map_err(ours)? {
            return Err(Failure::Unreadable("its list is not that of the registered cluster"));
        }
        for uid in uids {
            tracing::info!(cluster = %self.watch.cluster, uid, "fleet.workloads.service_account_gone");
            self.service.service_account_gone(&self.watch.cluster, &uid).await.map_err(ours)?;
        }
        Ok(())
    }
}

/// Our own failure ends a session of watching as the cluster's would.
fn ours(error: domain::Error) -> Failure {
    Failure::Unreachable(format!("not the cluster: {error:?}"))
}

/// What a line of a watch says about where it stands.
enum Took {
    At(String),
    Nothing,
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_and_deletions_that_come_too_fast_end_the_watch() {
        for (which, most) in [(0, EVENTS.0), (1, DELETIONS.0)] {
            let kept = Kept::new(WorkloadKind::ServiceAccount);
            let take = || match which {
                0 => kept.slowly("events come", |(events, _)| events),
                _ => kept.slowly("service accounts go", |(_, deletions)| deletions),
            };
            let taken = (0..10 * most).take_while(|_| take().is_ok()).count();
            assert!(taken >= most as usize && taken < 10 * most as usize, "{taken}");
        }
    }
}
