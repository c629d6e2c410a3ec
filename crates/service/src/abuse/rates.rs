//! How many requests one source, one principal, how many signed changes one account may make, and how often a cluster is
//! checked.

use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::buckets::Buckets;
use super::{network, network_of, number};
use crate::call::{Caller, Origin};
use crate::service::Service;

/// Sets of eight sources, and of eight principals, that are told apart.
const SETS: usize = 4_096;

/// Tokens of pods that prove nothing, from one address, which may be that of a whole cluster. See `pod_identity/direct.rs`.
const WRONG_POD_TOKENS: Rate = Rate { per_second: 100, burst: 1_000 };

/// Questions of one pod that has proved itself. At once somewhat more than it may have credentials, so that the quota is
/// what it is told of.
const PODS: Rate = Rate { per_second: 2, burst: 150 };

/// So many in a second for long, so many at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in a second; 0 for any number.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

/// The rates that are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// All requests from one address (of IPv6: from one network of 64 bits), whoever sends them.
    pub source: Rate,
    /// Requests of one user or agency, from wherever.
    pub principal: Rate,
    /// Changes of one account that a signature asked for. Each is remembered until its signature ends, so this bounds how
    /// many are.
    pub signed_changes: Rate,
    /// Checks of one cluster, whoever asks for them: each is some hundred requests to its API server.
    pub checks: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            source: Rate { per_second: 5_000, burst: 50_000 },
            principal: Rate { per_second: 5_000, burst: 50_000 },
            signed_changes: Rate { per_second: 1_000, burst: 100_000 },
            checks: Rate { per_second: 1, burst: 60 },
        }
    }
}

/// Who was held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttled {
    /// A source.
    Source,
    /// A principal.
    Principal,
    /// An account that changes too much.
    SignedChanges,
    /// Whoever has a cluster checked too often.
    Checks,
    /// A source of tokens that prove nothing.
    PodTokens,
    /// A pod that asks by itself.
    Pod,
}

impl Throttled {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Source, Self::Principal, Self::SignedChanges, Self::Checks, Self::PodTokens, Self::Pod];

    /// As it is written down.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Principal => "principal",
            Self::SignedChanges => "signed-changes",
            Self::Checks => "checks",
            Self::PodTokens => "pod-tokens",
            Self::Pod => "pod",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Source => "too many requests from your address; try again in a second",
            Self::Principal => "too many requests of this user or agency; try again in a second",
            Self::SignedChanges => "too many signed changes in this account; try again in a second",
            Self::Checks => "this cluster was checked too often; try again in a second",
            Self::PodTokens => "too many tokens from your address prove nothing; try again in a second",
            Self::Pod => {
                "this pod asks too often: keep the credentials while they are good; try again in a second"
            }
        }
    }
}

/// One kind of bucket, and how often it was empty.
struct Gauge {
    buckets: Option<Buckets>,
    refused: AtomicU64,
}

/// All buckets of a server.
pub(crate) struct Limiter {
    hasher: RandomState,
    began: Instant,
    gauges: [Gauge; Throttled::ALL.len()],
}

impl Limiter {
    pub(crate) fn new(rates: &Rates) -> Self {
        let gauges = Throttled::ALL.map(|what| {
            let rate = match what {
                Throttled::Source => rates.source,
                Throttled::Principal => rates.principal,
                Throttled::SignedChanges => rates.signed_changes,
                Throttled::Checks => rates.checks,
                Throttled::PodTokens => WRONG_POD_TOKENS,
                Throttled::Pod => PODS,
            };
            let buckets = (rate.per_second > 0).then(|| Buckets::new(SETS, rate.per_second, rate.burst));
            Gauge { buckets, refused: AtomicU64::new(0) }
        });
        Self { hasher: RandomState::new(), began: Instant::now(), gauges }
    }

    /// Takes one from the bucket of `key`.
    fn take(&self, what: Throttled, key: impl std::hash::Hash) -> Result<()> {
        self.take_at(what, key, self.micros())
    }

    fn take_at(&self, what: Throttled, key: impl std::hash::Hash, now: u64) -> Result<()> {
        let Some(gauge) = self.gauges.get(what as usize) else { return Ok(()) };
        let Some(buckets) = &gauge.buckets else { return Ok(()) };
        buckets.take(number(&self.hasher, key), now).map_err(|_| {
            gauge.refused.fetch_add(1, Ordering::Relaxed);
            Error::new(ErrorKind::Limited, what.message())
        })
    }

    /// Lets one more signed change of the account pass.
    pub(crate) fn signed_change(&self, account: &domain::AccountId) -> Result<()> {
        self.take(Throttled::SignedChanges, account.as_str())
    }

    /// Lets one more check of the cluster pass.
    pub(crate) fn check(&self, cluster: &domain::ClusterId) -> Result<()> {
        self.take(Throttled::Checks, cluster.as_str())
    }

    /// Whether one could be taken from the bucket of `key`.
    fn look(&self, what: Throttled, key: impl std::hash::Hash) -> Result<()> {
        let Some(Gauge { buckets: Some(buckets), refused }) = self.gauges.get(what as usize) else {
            return Ok(());
        };
        buckets.look(number(&self.hasher, key), self.micros()).map_err(|_| {
            refused.fetch_add(1, Ordering::Relaxed);
            Error::new(ErrorKind::Limited, what.message())
        })
    }

    /// Whether a token from a source is looked at: not while too many of the last ones proved nothing.
    pub(crate) fn look_at_token(&self, origin: &Origin) -> Result<()> {
        self.look(Throttled::PodTokens, network_of(&origin.source))
    }

    /// Whether a pod is looked at: not while it asked too often.
    pub(crate) fn look_at_pod(&self, cluster: &str, uid: &str) -> Result<()> {
        self.look(Throttled::Pod, (cluster, uid))
    }

    /// Counts a token from a source that proved nothing.
    pub(crate) fn wrong_pod_token(&self, origin: &Origin) {
        let gauge = self.gauges.get(Throttled::PodTokens as usize);
        if let Some(buckets) = gauge.and_then(|gauge| gauge.buckets.as_ref()) {
            // Those that came at once and were all looked at may be more than there is room for.
            let _ = buckets.take(number(&self.hasher, network_of(&origin.source)), self.micros());
        }
    }

    /// Lets one more question pass of a pod, or of a service account, with that uid.
    pub(crate) fn pod(&self, cluster: &domain::ClusterId, uid: &str) -> Result<()> {
        self.take(Throttled::Pod, (cluster.as_str(), uid))
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// How many were refused since the start.
    pub(crate) fn refused(&self) -> Vec<(Throttled, u64)> {
        let refused = self.gauges.iter().map(|gauge| gauge.refused.load(Ordering::Relaxed));
        Throttled::ALL.into_iter().zip(refused).collect()
    }
}

impl Service {
    /// Lets one more request from an address pass, before it is known who sent it.
    ///
    /// # Errors
    /// `Limited` if there were too many.
    pub fn admit_source(&self, source: IpAddr) -> Result<()> {
        self.limiter.take(Throttled::Source, network(source))
    }

    /// Lets one more request of somebody known pass.
    ///
    /// # Errors
    /// `Limited` if there were too many.
    pub fn admit_caller(&self, caller: &Caller) -> Result<()> {
        self.limiter.take(Throttled::Principal, (caller.account.as_str(), caller.principal.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_was_held_back_passes_again_after_a_while_and_others_never_waited() {
        let rates = Rates { source: Rate { per_second: 2, burst: 3 }, ..Rates::default() };
        let limiter = Limiter::new(&rates);
        let at =
            |source: &str, now| limiter.take_at(Throttled::Source, network(source.parse().unwrap()), now);
        let take = |source: &str| at(source, 0);
        assert_eq!((0..10).filter(|_| take("192.0.2.1").is_ok()).count(), 3);
        assert!(take("192.0.2.2").is_ok());
        assert!(take("2001:db8::1").is_ok() && take("2001:db8::2").is_ok() && take("2001:db8::3").is_ok());
        assert!(take("2001:db8::4").is_err(), "one network");
        assert!(at("192.0.2.1", 500_000).is_ok());
        assert!(at("192.0.2.1", 500_000).is_err());
        assert_eq!(limiter.refused()[0], (Throttled::Source, 9));
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        let rates = Rates { source: Rate { per_second: 0, burst: 0 }, ..Rates::default() };
        let limiter = Limiter::new(&rates);
        assert!((0..100_000).all(|_| limiter.take(Throttled::Source, 1).is_ok()));
    }
}
