//! Spans of requests and of workers' passes for a collector, by OTLP over HTTP in its JSON form.
//!
//! By hand, because it is one document of a few fields: the crates that do it bring protobuf, a runtime of their own and
//! three dozen packages. Only what is listed here leaves the process: no id of a tenant, no path, no query, no text of a
//! caller. Whatever cannot be sent in time is dropped; nothing waits for the collector.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use domain::{Clock, Error, Result};
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::client::trust;
use crate::system::{OsEntropy, SystemClock};

/// The spans that are sent.
const NAMES: [&str; 2] = ["request", "pass"];
/// The fields of theirs that are, beside the request's id, which is the id of its trace.
const FIELDS: [&str; 4] = ["dialect", "operation", "status", "outcome"];
/// So many wait at most.
const WAITING: usize = 4_096;
/// So many are sent in one document.
const BATCH: usize = 512;
/// After so long what waits is sent.
const PAUSE: Duration = Duration::from_secs(1);
/// The collector must have answered by then.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Whether a span is sent.
pub fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && NAMES.contains(&metadata.name())
}

/// The layer that sees spans begin and end.
pub struct Traces {
    out: SyncSender<Message>,
}

/// Sends what is left at the end.
pub struct Exporter {
    out: SyncSender<Message>,
}

enum Message {
    Span(Value),
    /// Answered when everything before was sent.
    Flush(SyncSender<()>),
}

/// Begins to send to the collector at `endpoint`, the URL that `/v1/traces` is added to.
///
/// # Errors
/// `Invalid` if it is no URL that can be sent to.
pub fn start(endpoint: &str) -> Result<(Traces, Exporter)> {
    let url = address(endpoint)?;
    let (out, queue) = mpsc::sync_channel(WAITING);
    let sender = Sender { agent: agent(url.starts_with("https://")), url, failing: false };
    std::thread::Builder::new()
        .name("traces".to_owned())
        .spawn(move || sender.run(&queue))
        .map_err(Error::internal)?;
    Ok((Traces { out: out.clone() }, Exporter { out }))
}

/// The URL that spans are posted to.
///
/// # Errors
/// `Invalid` if it is none that can be sent to.
pub fn address(endpoint: &str) -> Result<String> {
    let bad = |what: &str| Error::invalid("otlp_endpoint", what);
    let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| bad("must be a URL like http://127.0.0.1:4318"))?;
    if rest.is_empty() || rest.contains(['@', '?', '#']) || rest.chars().any(char::is_whitespace) {
        return Err(bad("must be a URL like http://127.0.0.1:4318, without credentials or parameters"));
    }
    Ok(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
}

fn agent(encrypted: bool) -> ureq::Agent {
    let mut config = ureq::Agent::config_builder()
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(TIME_LIMIT));
    if encrypted {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ureq::tls::TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
        config = config.tls_config(tls.root_certs(trust::from_system()).build());
    }
    config.build().new_agent()
}

impl Exporter {
    /// Sends what waits, for some seconds at most.
    pub fn finish(&self) {
        let (done, waited) = mpsc::sync_channel(1);
        if self.out.try_send(Message::Flush(done)).is_ok() {
            let _ = waited.recv_timeout(TIME_LIMIT);
        }
    }
}

struct Sender {
    agent: ureq::Agent,
    url: String,
    failing: bool,
}

impl Sender {
    fn run(mut self, queue: &Receiver<Message>) {
        let mut spans = Vec::new();
        let mut until = Instant::now() + PAUSE;
        loop {
            match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Span(span)) => spans.push(span),
                Ok(Message::Flush(done)) => {
                    self.send(&mut spans);
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.send(&mut spans);
                    until = Instant::now() + PAUSE;
                }
                Err(RecvTimeoutError::Disconnected) => return self.send(&mut spans),
            }
            if spans.len() >= BATCH {
                self.send(&mut spans);
            }
        }
    }

    fn send(&mut self, spans: &mut Vec<Value>) {
        if spans.is_empty() {
            return;
        }
        let document = document(std::mem::take(spans)).to_string();
        let answer = self.agent.post(&self.url).header("content-type", "application/json").send(document);
        match answer {
            Ok(_) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!(%error, "traces are dropped: the collector does not take them");
            }
            Err(_) => {}
        }
    }
}

fn document(spans: Vec<Value>) -> Value {
    let service = json!({"key": "service.name", "value": {"stringValue": "bailiwick"}});
    let scope = json!({"name": "bailiwick", "version": env!("CARGO_PKG_VERSION")});
    json!({"resourceSpans": [{
        "resource": {"attributes": [service]},
        "scopeSpans": [{"scope": scope, "spans": spans}],
    }]})
}

/// A span that has begun.
struct Open {
    at_millis: i64,
    began: Instant,
    fields: Fields,
}

#[derive(Default)]
struct Fields {
    trace: Option<String>,
    listed: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "request_id" {
            self.trace = Some(format!("{value:?}"));
        } else if FIELDS.contains(&field.name()) {
            self.listed.push((field.name(), format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if FIELDS.contains(&field.name()) {
            self.listed.push((field.name(), value.to_owned()));
        }
    }
}

impl Open {
    fn closed(self, name: &'static str) -> Value {
        let find = |name: &str| self.fields.listed.iter().rfind(|(key, _)| *key == name);
        let random = |bytes: [u8; 16]| hex::encode(bytes);
        let trace = self.fields.trace.unwrap_or_else(|| random(domain::entropy::bytes(&OsEntropy)));
        let span: [u8; 8] = domain::entropy::bytes(&OsEntropy);
        let begin = i128::from(self.at_millis) * 1_000_000;
        let end = begin + i128::try_from(self.began.elapsed().as_nanos()).unwrap_or(0);
        let title = find("operation").map_or(name, |(_, operation)| operation.as_str());
        let failed = find("outcome").is_some_and(|(_, outcome)| outcome == "failed");
        let attributes: Vec<Value> = FIELDS
            .iter()
            .filter_map(|key| find(key))
            .map(|(key, value)| json!({"key": format!("bailiwick.{key}"), "value": {"stringValue": value}}))
            .collect();
        json!({
            "traceId": trace,
            "spanId": hex::encode(span),
            "name": title,
            "kind": if name == "request" { 2 } else { 1 },
            "startTimeUnixNano": begin.to_string(),
            "endTimeUnixNano": end.to_string(),
            "attributes": attributes,
            "status": {"code": if failed { 2 } else { 0 }},
        })
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Traces {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            let open = Open { at_millis: SystemClock.now().as_millis(), began: Instant::now(), fields };
            span.extensions_mut().insert(open);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        if let Some(open) = span.extensions_mut().remove::<Open>() {
            // Full: the collector is too slow, and requests do not wait for it.
            drop(self.out.try_send(Message::Span(open.closed(span.metadata().name()))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_holds_no_credentials_and_no_parameters() {
        for bad in ["", "127.0.0.1:4318", "http://", "http://u:hunter2@x", "http://x/?k=hunter2", "ftp://x"] {
            let error = address(bad).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
