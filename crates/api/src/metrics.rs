//! Metrics: one set of counters for each row of the operation table, found with the row, so that counting is an
//! atomic addition; and the text that Prometheus reads. Paths that lead nowhere share one row, and no label holds
//! anything that a caller wrote.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::{ConnectionState, Error, Result, State};
use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use service::measures::{Histogram, HistogramView, Measures};

use crate::App;
use crate::operation::Dialect;
use crate::reply::Reply;
use crate::tls::{Tls, TlsStatus};

/// What the text is.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The name of what led to no operation.
const NO_OPERATION: &str = "none";
/// Bounds in seconds for what should take milliseconds.
const DURATIONS: [f64; 8] = [0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0];

/// How a request ended, in few words.
const OUTCOMES: [&str; 6] = ["ok", "invalid", "unauthenticated", "forbidden", "limited", "failed"];

/// What is counted of one operation.
#[derive(Debug)]
pub struct Counts {
    outcomes: [AtomicU64; OUTCOMES.len()],
    durations: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self { outcomes: Default::default(), durations: Histogram::new(DURATIONS) }
    }
}

impl Counts {
    /// Counts a request, and says how it ended.
    pub(crate) fn add(&self, status: StatusCode, took: Duration) -> &'static str {
        let at = match status.as_u16() {
            401 => 2,
            403 => 3,
            429 => 4,
            400..=499 => 1,
            500.. => 5,
            _ => 0,
        };
        if let Some(counter) = self.outcomes.get(at) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.durations.observe(took);
        OUTCOMES.get(at).copied().unwrap_or_default()
    }
}

/// The answer to somebody who may read what is measured.
///
/// # Errors
/// `Internal` if the text cannot be made, which is a defect.
pub(crate) fn reply(app: &App, measures: Measures) -> Result<Reply> {
    let mut registry = Registry::with_prefix("bailiwick");
    let dialects = app.dialects.clone();
    let bootstrap_file_present = app.bootstrap_file_present();
    let tls = app.tls.as_ref().map(Tls::status);
    registry.register_collector(Box::new(Snapshot { dialects, measures, bootstrap_file_present, tls }));
    let mut body = String::new();
    text::encode(&mut body, &registry).map_err(Error::internal)?;
    Ok(Reply::bytes(StatusCode::OK, CONTENT_TYPE, body.into()))
}

struct Snapshot {
    dialects: Vec<Arc<dyn Dialect>>,
    measures: Measures,
    bootstrap_file_present: bool,
    tls: Option<TlsStatus>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.measures.fmt(f)
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encoder
            .encode_descriptor(
                "held",
                "1 while nothing is applied and nobody is let in, because the database may be an older copy",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&i64::from(self.measures.held))?;
        self.requests(&mut encoder)?;
        self.durations(&mut encoder)?;
        self.stored(&mut encoder)?;
        self.fleet(&mut encoder)?;
        self.audit(&mut encoder)?;
        self.expiry(&mut encoder)?;
        let mut metric = encoder.encode_descriptor(
            "bootstrap_file_present",
            "1 while bootstrap.env with what the first start generated lies in the data folder",
            None,
            MetricType::Gauge,
        )?;
        metric.encode_gauge(&i64::from(self.bootstrap_file_present))
    }
}

impl Snapshot {
    /// Every operation with its dialect, its name and what was counted.
    fn operations(&self) -> impl Iterator<Item = (&'static str, &'static str, &Counts)> {
        self.dialects.iter().flat_map(|dialect| {
            let (name, table) = (dialect.name(), dialect.table());
            let rows = table.counted().map(move |(row, counts)| (name, row.name, counts));
            rows.chain([(name, NO_OPERATION, table.of_nothing())])
        })
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests answered, by dialect, operation and outcome";
        let mut metric = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (dialect, operation, counts) in self.operations() {
            for (outcome, count) in OUTCOMES.iter().zip(&counts.outcomes) {
                let labels = [("dialect", dialect), ("operation", operation), ("outcome", outcome)];
                counter(&mut metric.encode_family(&labels)?, count.load(Ordering::Relaxed))?;
            }
        }
        Ok(())
    }

    fn durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "From a request's head to its answer, in seconds";
        let mut metric =
            encoder.encode_descriptor("request_duration_seconds", help, None, MetricType::Histogram)?;
        for (dialect, operation, counts) in self.operations() {
            let labels = [("dialect", dialect), ("operation", operation)];
            histogram(&mut metric.encode_family(&labels)?, &counts.durations.view())?;
        }
        Ok(())
    }

    fn stored(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let up = i64::from(self.measures.stored.is_some());
        encoder
            .encode_descriptor("database_up", "1 if the database answers", None, MetricType::Gauge)?
            .encode_gauge(&up)?;
        let Some(stored) = &self.measures.stored else { return Ok(()) };
        let clusters = ConnectionState::ALL.map(|state| (state.as_str(), number(&stored.clusters, &state)));
        gauges(encoder, "clusters", "Clusters by state", &clusters)?;
        let grants = State::ALL.map(|state| (state.as_str(), number(&stored.grants, &state)));
        gauges(encoder, "grant_states", "Pairs of grant and cluster by state", &grants)
    }

    fn fleet(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Reports of workers, by whether their cluster answered";
        let mut metric = encoder.encode_descriptor("reconcile_reports", help, None, MetricType::Counter)?;
        for (outcome, count) in
            [("reached", self.measures.passes_reached), ("unreached", self.measures.passes_unreached)]
        {
            counter(&mut metric.encode_family(&[("outcome", outcome)])?, count)?;
        }
        let help = "Tokens of pods for which credentials were asked, by what came of it";
        let mut metric = encoder.encode_descriptor("vended", help, None, MetricType::Counter)?;
        for (outcome, count) in &self.measures.vended {
            counter(&mut metric.encode_family(&[("outcome", *outcome)])?, *count)?;
        }
        let help = "From a change to its confirmation by a cluster, in seconds";
        let mut metric =
            encoder.encode_descriptor("reconcile_lag_seconds", help, None, MetricType::Histogram)?;
        histogram(&mut metric, &self.measures.lag)
    }

    fn expiry(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Clusters whose credential ends within so long, or expired; what ends within 1d ends within 14d, too";
        let mut metric =
            encoder.encode_descriptor("cluster_credentials_expiring", help, None, MetricType::Gauge)?;
        for (soon, count) in &self.measures.expiring {
            metric.encode_family(&[("within", soon.as_str())])?.encode_gauge(count)?;
        }
        let Some(tls) = &self.tls else { return Ok(()) };
        let help = "When the certificate that is served ends, in seconds since 1970";
        if let Some(end) = tls.end {
            encoder
                .encode_descriptor("tls_certificate_expiry_timestamp_seconds", help, None, MetricType::Gauge)?
                .encode_gauge(&(end.as_millis() / 1000))?;
        }
        let help = "1 while the files with certificate and key hold nothing that can be served";
        encoder
            .encode_descriptor("tls_reload_failing", help, None, MetricType::Gauge)?
            .encode_gauge(&i64::from(tls.failing))
    }

    fn audit(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Refusals that wait to be written into the audit";
        let waiting = i64::try_from(self.measures.audit.waiting).unwrap_or(i64::MAX);
        encoder
            .encode_descriptor("audit_queue_length", help, None, MetricType::Gauge)?
            .encode_gauge(&waiting)?;
        let help = "Refusals that are not in the audit because too many waited";
        let mut metric = encoder.encode_descriptor("audit_dropped", help, None, MetricType::Counter)?;
        counter(&mut metric, self.measures.audit.dropped)?;
        let help = "Requests that did not prove who sent them, by reason";
        let mut metric =
            encoder.encode_descriptor("authentication_failures", help, None, MetricType::Counter)?;
        for (reason, count) in &self.measures.failures {
            counter(&mut metric.encode_family(&[("reason", reason.as_str())])?, *count)?;
        }
        self.abuse(encoder)
    }

    fn abuse(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Locks of access keys and users after wrong signatures and passwords";
        let mut metric =
            encoder.encode_descriptor("authentication_locks", help, None, MetricType::Counter)?;
        for (what, count) in &self.measures.locks {
            counter(&mut metric.encode_family(&[("of", *what)])?, *count)?;
        }
        let help = "Requests that were refused because there were too many, by whose";
        let mut metric = encoder.encode_descriptor("throttled", help, None, MetricType::Counter)?;
        for (whose, count) in &self.measures.throttled {
            counter(&mut metric.encode_family(&[("by", whose.as_str())])?, *count)?;
        }
        Ok(())
    }
}

fn number<S: PartialEq>(counts: &[(S, i64)], state: &S) -> i64 {
    counts.iter().find(|(known, _)| known == state).map_or(0, |(_, count)| *count)
}

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    states: &[(&'static str, i64)],
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (state, count) in states {
        metric.encode_family(&[("state", *state)])?.encode_gauge(count)?;
    }
    Ok(())
}

fn counter(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn histogram(metric: &mut MetricEncoder<'_>, view: &HistogramView) -> fmt::Result {
    metric.encode_histogram::<NoLabelSet>(view.sum, view.count, &view.buckets, None)
}
