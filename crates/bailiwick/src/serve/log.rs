//! Where events and spans go: lines on standard error, as text or JSON, and spans to a collector if one is named.

use clap::ValueEnum;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::traces::{self, Traces};

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Begins to log what `filter` lets through.
pub fn start(filter: Option<&str>, format: LogFormat, traces: Option<Traces>) {
    let filter = EnvFilter::try_new(filter.unwrap_or("info")).unwrap_or_else(|_| "info".into());
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.with_ansi(false).boxed(),
    };
    let traces = traces.map(|traces| traces.with_filter(filter_fn(traces::is_traced)));
    // A second subscriber in one process is a test's; the first one stays.
    drop(tracing_subscriber::registry().with(traces).with(lines.with_filter(filter)).try_init());
}
