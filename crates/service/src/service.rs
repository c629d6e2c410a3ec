//! The plain struct of handles behind the door, and what every use case shares.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use domain::{Clock, Entropy, Error, ErrorKind, Id, InstallationId, Result, Timestamp};
use store::{AuditEvent, Outcome, Page, Store, WriteTx};
use tokio::sync::{OnceCell, watch};

use crate::abuse::{Guesses, Limiter, Rates};
use crate::audit::{Failures, Refusals};
use crate::authz::Vocabulary;
use crate::cache::{Copies, Revisions};
use crate::call::{Call, Caller, Proof};
use crate::clusters::checks::{Checklist, Turns};
use crate::clusters::connection::address::AddressPolicy;
use crate::clusters::connection::contact::Contact;
use crate::clusters::connection::prober::{Blind, Prober};
use crate::clusters::expiring::Credentials;
use crate::directory::access_keys::SigningKey;
use crate::directory::key_use::KeyUse;
use crate::directory::membership::ClusterRequires;
use crate::directory::password::Passwords;
use crate::fleet::leases::Leases;
use crate::fleet::shares::Shares;
use crate::grants::GrantList;
use crate::grants::accepted_roles::RoleGrowth;
use crate::grants::administration::GrantRequires;
use crate::grants::permissions::KnownHolder;
use crate::installation::gate::Gate;
use crate::installation::key_ring::MasterKeys;
use crate::installation::seal::MasterKey;
use crate::measures::Counters;
use crate::pod_identity::PodIdentity;
use crate::pod_identity::direct::ProvedBefore;
use crate::pod_identity::feed::Followers;
use crate::pod_identity::holding::Holding;
use crate::pod_identity::keys::KnownKeys;
use crate::pod_identity::minting::Mint;
use crate::pod_identity::standing::{Place, Prospect};
use crate::pod_identity::together::Crowds;
use crate::pod_identity::workloads::Workloads;
use crate::quotas::{Counted, Quotas};
use crate::replay;
use crate::sessions::tokens::KnownToken;

/// So many bytes may what is known about holders of permissions take, roughly.
const KEPT_HOLDERS: u64 = 128 << 20;

/// The same of what the pods of service accounts would get.
const KEPT_PROSPECTS: u64 = 64 << 20;

/// What can be set about the service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which addresses an API server may have.
    pub addresses: AddressPolicy,
    /// How many days the audit is kept.
    pub audit_retention_days: u32,
    /// How much one account may hold.
    pub quotas: Quotas,
    /// How many requests are answered.
    pub rates: Rates,
    /// The words that policies may use, and the policies that are shipped.
    pub vocabulary: Arc<Vocabulary>,
    /// What changing a grant takes beside a policy.
    pub grant_requires: GrantRequires,
    /// What changing a cluster takes, where a vendor's interface asks for no policy.
    pub cluster_requires: ClusterRequires,
    /// What clusters are asked about the credentials of their connections.
    pub checklist: Arc<Checklist>,
    /// What happens to a grant whose custom role grows.
    pub role_growth: RoleGrowth,
    /// How pods prove who they are, and what they are told.
    pub pod_identity: PodIdentity,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addresses: AddressPolicy::default(),
            audit_retention_days: 400,
            quotas: Quotas::default(),
            rates: Rates::default(),
            vocabulary: Arc::new(Vocabulary::own()),
            grant_requires: GrantRequires::default(),
            cluster_requires: ClusterRequires::default(),
            checklist: Arc::new(Checklist::default()),
            role_growth: RoleGrowth::default(),
            pod_identity: PodIdentity::default(),
        }
    }
}

/// The use cases. One value serves all requests.
pub struct Service {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) master_key: MasterKeys,
    pub(crate) stamp_key: OnceCell<MasterKey>,
    pub(crate) installation: InstallationId,
    pub(crate) settings: Settings,
    pub(crate) passwords: Passwords,
    pub(crate) leases: Leases,
    pub(crate) revisions: Revisions,
    pub(crate) signing_keys: Copies<Option<Arc<SigningKey>>>,
    pub(crate) tokens: Copies<Arc<KnownToken>>,
    pub(crate) grants: Copies<Arc<GrantList>>,
    pub(crate) holders: Copies<Arc<KnownHolder>>,
    pub(crate) key_use: KeyUse,
    pub(crate) refusals: Refusals,
    pub(crate) failures: Failures,
    pub(crate) key_guesses: Guesses,
    pub(crate) login_guesses: Guesses,
    pub(crate) limiter: Limiter,
    pub(crate) counters: Counters,
    pub(crate) counted_grants: Counted,
    pub(crate) counted_places: Counted,
    /// Who counts places, one at a time for each account.
    pub(crate) counting: Shares,
    pub(crate) shares: Shares,
    pub(crate) credentials: Credentials,
    pub(crate) turns: Turns,
    pub(crate) prober: Arc<dyn Prober>,
    pub(crate) contact: Arc<dyn Contact>,
    pub(crate) workloads: Arc<dyn Workloads>,
    pub(crate) known_keys: KnownKeys,
    pub(crate) holding: Holding,
    pub(crate) places: Copies<Place>,
    pub(crate) prospects: Copies<Prospect>,
    pub(crate) crowds: Crowds,
    pub(crate) mint: OnceLock<Mint>,
    /// How many rows of the audit this server wrote, to tell those of one millisecond apart.
    pub(crate) events: AtomicU32,
    pub(crate) proved_before: ProvedBefore,
    pub(crate) gate: Gate,
    pub(crate) followers: Followers,
    changes: watch::Sender<u64>,
}

impl Service {
    /// Opens the door over a database that belongs to `installation` and whose secrets `master_key` opens.
    ///
    /// # Errors
    /// `Internal` if the password hash cannot be computed.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        master_key: MasterKeys,
        installation: InstallationId,
        settings: Settings,
    ) -> Result<Self> {
        Ok(Self {
            store,
            clock,
            passwords: Passwords::new(&*entropy)?,
            leases: Leases::new(&*entropy),
            entropy,
            master_key,
            stamp_key: OnceCell::new(),
            installation,
            limiter: Limiter::new(&settings.rates),
            settings,
            revisions: Revisions::default(),
            signing_keys: Copies::of_directory(10_000),
            tokens: Copies::of_directory(10_000),
            grants: Copies::new(1_000),
            holders: Copies::weighed(2_000, KEPT_HOLDERS, |known| known.weight()),
            key_use: KeyUse::default(),
            refusals: Refusals::default(),
            failures: Failures::default(),
            key_guesses: Guesses::default(),
            login_guesses: Guesses::default(),
            counters: Counters::default(),
            counted_grants: Counted::default(),
            counted_places: Counted::default(),
            counting: Shares::of(1),
            shares: Shares::default(),
            credentials: Credentials::default(),
            turns: Turns::default(),
            prober: Arc::new(Blind),
            contact: Arc::new(Blind),
            workloads: Arc::new(Blind),
            known_keys: KnownKeys::default(),
            holding: Holding::default(),
            places: Copies::of_directory(1_000),
            prospects: Copies::weighed(20_000, KEPT_PROSPECTS, Prospect::weight).without_grants(),
            crowds: Crowds::default(),
            mint: OnceLock::new(),
            events: AtomicU32::new(0),
            proved_before: ProvedBefore::default(),
            gate: Gate::default(),
            followers: Followers::default(),
            changes: watch::Sender::new(0),
        })
    }

    /// The same with a way to look at clusters.
    #[must_use]
    pub fn with_prober(self, prober: Arc<dyn Prober>) -> Self {
        Self { prober, ..self }
    }

    /// The same with a way to speak to clusters for callers who wait.
    #[must_use]
    pub fn with_contact(self, contact: Arc<dyn Contact>) -> Self {
        Self { contact, ..self }
    }

    /// The same with a way to ask clusters about what tokens name.
    #[must_use]
    pub fn with_workloads(self, workloads: Arc<dyn Workloads>) -> Self {
        Self { workloads, ..self }
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The installation that this server is of.
    #[must_use]
    pub fn installation(&self) -> &InstallationId {
        &self.installation
    }

    /// Marked after every commit that may concern a cluster.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A new id unless one was chosen.
    pub(crate) fn chosen_or_new<K>(&self, chosen: Option<&str>) -> Result<Id<K>> {
        match chosen {
            Some(text) => Id::parse("id", text),
            None => Ok(Id::random_hex(&*self.entropy)),
        }
    }

    /// Begins a change on behalf of the caller, who must have kept their rights: between the request and its turn,
    /// which may be a queue away, they may have lost them.
    pub(crate) async fn begin(&self, call: &Call) -> Result<WriteTx> {
        self.begun(call, self.store.write(call.account()).await?).await
    }

    /// The same for a change of nothing but grants.
    pub(crate) async fn begin_grants(&self, call: &Call) -> Result<WriteTx> {
        self.begun(call, self.store.write_grants(call.account()).await?).await
    }

    async fn begun(&self, call: &Call, mut tx: WriteTx) -> Result<WriteTx> {
        self.may_still(&mut tx, call).await?;
        if call.signed.is_some() {
            self.limiter.signed_change(call.account())?;
            replay::remember(&mut tx, call).await?;
        }
        Ok(tx)
    }

    /// What was decided about a caller counts only while they have the same rights.
    pub(crate) async fn may_still(&self, tx: &mut WriteTx, call: &Call) -> Result<()> {
        let caller = &call.caller;
        if let Some(session) = caller.session() {
            // Its ancestors may belong to other accounts, whose revisions say nothing here.
            let living = tx.living_ancestors(session.id.as_str(), self.now()).await?;
            living.ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "the session is over"))?;
        }
        if tx.directory().is_none_or(|directory| directory > caller.revision) {
            let now = self.caller(tx, &caller.account, &caller.principal).await?;
            let now = now.map(|now| now.within(caller.rights.limits.clone()));
            if now.is_none_or(|now| now.root != caller.root || now.rights != caller.rights) {
                return Err(Error::new(
                    ErrorKind::Forbidden,
                    "your rights changed while the request was waiting: send it again",
                ));
            }
            still_has_its_key(tx, caller, self.now()).await?;
        }
        Ok(())
    }

    /// The same as [`Service::commit`] for a change that clusters must follow: their workers are poked.
    pub(crate) async fn commit_for_fleet(
        &self,
        tx: WriteTx,
        call: &Call,
        action: &str,
        resource: &str,
    ) -> Result<()> {
        self.commit(tx, call, action, resource).await?;
        self.poke();
        Ok(())
    }

    /// Writes the audit row and commits; afterwards copies of the account are stale.
    pub(crate) async fn commit(&self, tx: WriteTx, call: &Call, action: &str, resource: &str) -> Result<()> {
        self.commit_event(tx, &self.event(call, action, resource)).await
    }

    /// The same for what nobody asked for.
    pub(crate) async fn commit_event(&self, mut tx: WriteTx, event: &AuditEvent) -> Result<()> {
        tx.audit(event).await?;
        let (account, revision) = (tx.account().clone(), tx.revision());
        let (directory, ends_sessions) = (tx.changes_directory(), tx.ends_sessions());
        tx.commit().await?;
        if directory {
            self.revisions.directory_reached(&account, revision);
        }
        self.revisions.reached(&account, revision);
        if ends_sessions {
            // Certificates end with what they were asked for with, and their names are bound in clusters.
            self.poke();
        }
        Ok(())
    }

    /// The row of the audit for something that is done.
    pub(crate) fn event(&self, call: &Call, action: &str, resource: &str) -> AuditEvent {
        AuditEvent {
            id: self.event_id(),
            at: self.clock.now(),
            actor: Some(call.caller.principal.clone()),
            actor_name: call.caller.name.clone(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            outcome: Outcome::Done,
            occurrences: 1,
            explanation: None,
            request_id: call.origin.request_id.to_string(),
            source: call.origin.source.to_string(),
        }
    }

    /// Wakes the workers.
    pub(crate) fn poke(&self) {
        self.changes.send_modify(|n| *n += 1);
    }
}

/// Refuses a request whose access key was disabled or deleted after its signature was looked at.
async fn still_has_its_key(tx: &mut WriteTx, caller: &Caller, now: Timestamp) -> Result<()> {
    let Proof::AccessKey(id) = &caller.proof else { return Ok(()) };
    let key = tx.access_key(id.as_str()).await?;
    if key.is_some_and(|key| key.enabled && key.ends_at.is_none_or(|end| end > now)) {
        return Ok(());
    }
    let message = "the credential ended while the request was waiting";
    Err(Error::new(ErrorKind::Unauthenticated, message))
}

/// Which part of a list a caller wants.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// At most so many; 100 where nothing is said.
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
}

/// The longest page.
const MAX_PAGE: usize = 1000;

impl PageRequest {
    /// The store's page: one entry more than asked, to know whether there is a next page.
    pub(crate) fn to_page(&self) -> Result<Page> {
        let limit = self.checked_limit()?;
        let after = match &self.cursor {
            None => None,
            Some(cursor) => {
                let (millis, id) = cursor.split_once('.').ok_or_else(bad_cursor)?;
                let millis = millis.parse().map_err(|_| bad_cursor())?;
                Some((Timestamp::from_millis(millis), id.to_owned()))
            }
        };
        Ok(Page { after, limit: i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1) })
    }

    fn checked_limit(&self) -> Result<usize> {
        match self.limit.unwrap_or(100) {
            limit @ 1..=MAX_PAGE => Ok(limit),
            _ => Err(Error::invalid("limit", format!("must be 1 to {MAX_PAGE}"))),
        }
    }

    /// Cuts the extra entry off and makes the cursor. `key` gives an entry's creation time and id.
    pub(crate) fn paged<T>(
        &self,
        mut items: Vec<T>,
        key: impl Fn(&T) -> (Timestamp, String),
    ) -> Result<Paged<T>> {
        let limit = self.checked_limit()?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| {
            let (at, id) = key(last);
            format!("{}.{id}", at.as_millis())
        });
        Ok(Paged { items, next })
    }

    /// A page of a list that is wholly in memory, by (creation time, id). In whatever order it comes: a database may
    /// order ids by the rules of a language, where `a` comes before `B`.
    ///
    /// # Errors
    /// `Invalid` naming `limit` or `cursor`.
    pub fn slice<T: Clone>(&self, all: &[T], key: impl Fn(&T) -> (Timestamp, String)) -> Result<Paged<T>> {
        let page = self.to_page()?;
        let later = |entry: &&T| page.after.as_ref().is_none_or(|after| key(entry) > *after);
        let wanted = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut rest: Vec<&T> = all.iter().filter(later).collect();
        rest.sort_by_cached_key(|entry| key(entry));
        self.paged(rest.into_iter().take(wanted).cloned().collect(), key)
    }
}

fn bad_cursor() -> Error {
    Error::invalid("cursor", "must be the `next` of an earlier page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_any_size_together_are_the_list() {
        let all: Vec<(i64, String)> = (0..25).map(|n| (n / 3, format!("{n:02}"))).collect();
        let key = |entry: &(i64, String)| (Timestamp::from_millis(entry.0), entry.1.clone());
        for limit in [1, 2, 7, 24, 25, 26] {
            let mut request = PageRequest { limit: Some(limit), cursor: None };
            let mut seen = Vec::new();
            loop {
                let page = request.slice(&all, key).unwrap();
                assert!(page.items.len() <= limit);
                seen.extend(page.items);
                match page.next {
                    Some(next) => request.cursor = Some(next),
                    None => break,
                }
            }
            assert_eq!(seen, all, "limit {limit}");
        }
    }

    #[test]
    fn pages_skip_nothing_of_a_list_in_the_order_of_another_language() {
        let all = ["a", "B", "c", "D"];
        let key = |id: &&str| (Timestamp::from_millis(7), (*id).to_owned());
        let mut request = PageRequest { limit: Some(1), cursor: None };
        let mut seen = Vec::new();
        for _ in 0..all.len() {
            let page = request.slice(&all, key).unwrap();
            seen.extend(page.items);
            request.cursor = page.next;
        }
        assert_eq!((seen, request.cursor), (vec!["B", "D", "a", "c"], None));
    }

    #[test]
    fn a_limit_or_cursor_that_makes_no_sense_is_named() {
        for (limit, cursor, field) in [
            (Some(0), None, "limit"),
            (Some(1001), None, "limit"),
            (None, Some("x"), "cursor"),
            (None, Some("x.y"), "cursor"),
        ] {
            let request = PageRequest { limit, cursor: cursor.map(str::to_owned) };
            assert_eq!(request.to_page().unwrap_err().field(), Some(field));
        }
    }
}
