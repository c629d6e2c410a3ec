//! What is counted, and the text that Prometheus reads. No label holds anything that a caller wrote.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::desk::{Desk, Health};
use crate::feed::Follower;

/// What the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A number that only grows.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub fn add_many(&self, many: usize) {
        self.0.fetch_add(u64::try_from(many).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What came of asking the server for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Credentials.
    Given,
    /// A refusal of the pod.
    Refused,
    /// No answer.
    Away,
    /// That it cannot answer now.
    Unwell,
    /// A refusal of the agent.
    Unaccepted,
}

const UPSTREAM: [(Upstream, &str); 5] = [
    (Upstream::Given, "given"),
    (Upstream::Refused, "refused"),
    (Upstream::Away, "away"),
    (Upstream::Unwell, "unwell"),
    (Upstream::Unaccepted, "unaccepted"),
];

/// How requests of pods ended, by status.
const STATUSES: [u16; 6] = [200, 401, 403, 429, 503, 400];

/// Everything that is counted.
#[derive(Default)]
pub struct Metrics {
    /// Requests answered from what was kept.
    pub hits: Count,
    /// Requests answered from what was kept because the server did not answer.
    pub while_away: Count,
    /// Tokens that proved nothing.
    pub unproved: Count,
    /// Credentials dropped because their association changed or ended.
    pub dropped: Count,
    /// Credentials asked for before anybody had to wait for them.
    pub renewals: Count,
    /// Requests from elsewhere than this node.
    pub foreign: Count,
    /// Requests to the server for credentials, each with the questions of one pod or several.
    pub batches: Count,
    /// Questions for the feed that got no answer.
    pub feed_failures: Count,
    upstream: [Count; UPSTREAM.len()],
    requests: [Count; STATUSES.len()],
}

impl Metrics {
    /// Counts a question to the server.
    pub fn upstream(&self, came: Upstream) {
        let counts = UPSTREAM.iter().zip(&self.upstream);
        counts.filter(|((known, _), _)| *known == came).for_each(|(_, count)| count.add());
    }

    /// How many questions to the server ended so.
    #[must_use]
    pub fn asked(&self, came: Upstream) -> u64 {
        let counts = UPSTREAM.iter().zip(&self.upstream);
        counts.filter(|((known, _), _)| *known == came).map(|(_, count)| count.get()).sum()
    }

    /// Counts a request of a pod; whatever has no status of its own was a wrong request.
    pub fn request(&self, status: u16) {
        let at = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        if let Some(count) = self.requests.get(at) {
            count.add();
        }
    }
}

/// The text.
///
/// # Errors
/// If it cannot be made, which is a defect.
pub fn text(desk: &Arc<Desk>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("bailiwick_agent");
    registry.register_collector(Box::new(Snapshot(Arc::clone(desk))));
    let mut body = String::new();
    text::encode(&mut body, &registry)?;
    Ok(body)
}

struct Snapshot(Arc<Desk>);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &self.0.metrics;
        for (name, help, count) in [
            ("cache_hits", "Requests answered from what was kept", &metrics.hits),
            (
                "served_while_away",
                "Requests answered from what was kept because the server did not answer",
                &metrics.while_away,
            ),
            ("unproved_tokens", "Tokens that proved nothing", &metrics.unproved),
            ("dropped", "Credentials dropped because their association changed or ended", &metrics.dropped),
            ("renewals", "Credentials asked for before anybody had to wait for them", &metrics.renewals),
            (
                "foreign_callers",
                "Requests from elsewhere than this node, which are refused",
                &metrics.foreign,
            ),
            (
                "upstream_requests",
                "Requests to the server for credentials, each for one pod or several",
                &metrics.batches,
            ),
            (
                "feed_failures",
                "Questions what changed that the server did not answer",
                &metrics.feed_failures,
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count.get()).encode(metric)?;
        }
        self.requests(&mut encoder)?;
        self.standing(&mut encoder)
    }
}

impl Snapshot {
    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &self.0.metrics;
        let help = "Requests of pods; 400 stands for every wrong one";
        let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (status, count) in STATUSES.iter().zip(&metrics.requests) {
            let labels = [("status", status.to_string())];
            ConstCounter::new(count.get()).encode(family.encode_family(&labels)?)?;
        }
        let help = "Questions to the server for credentials";
        let mut family = encoder.encode_descriptor("upstream", help, None, MetricType::Counter)?;
        for ((_, name), count) in UPSTREAM.iter().zip(&metrics.upstream) {
            ConstCounter::new(count.get()).encode(family.encode_family(&[("outcome", *name)])?)?;
        }
        Ok(())
    }

    fn standing(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let desk = &self.0;
        let (associations, cached) = desk.sizes();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let health = desk.health();
        let is_unaccepted = match health {
            Health::Unaccepted(_) => 1,
            Health::New | Health::Told | Health::Apart => 0,
        };
        for (name, help, value) in [
            ("cached", "Credentials that are kept", count(cached)),
            ("associations", "Associations that are known", count(associations)),
            ("feed_revision", "How far the server told what changed", desk.revision()),
            ("feed_up", "1 while the server tells what changes", i64::from(health == Health::Told)),
            ("server_up", "1 while the server answers for credentials", i64::from(desk.is_server_there())),
            (
                "key_refused",
                "1 while the server does not accept this agent: its key, its rights or its cluster",
                is_unaccepted,
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}
