//! `/healthz` and `/readyz`, open to everybody and saying nothing about anything but this process; `/metrics` and the
//! details of `/readyz`, for this machine only or against a credential.

use std::net::IpAddr;

use domain::Result;
use http::StatusCode;
use serde_json::json;

use crate::head::Head;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;
use crate::{App, metrics};

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "GET",
            path: "/healthz",
            name: "health.live",
            summary: "Says that the process is alive.",
            body: BodyRule::None,
            handler: Handler::Open(|_, _| Box::pin(live())),
        },
        Operation {
            method: "GET",
            path: "/readyz",
            name: "health.ready",
            summary: "Says whether the database answers. Clusters never hold this up.",
            body: BodyRule::None,
            handler: Handler::Open(|app, input| Box::pin(ready(app, input))),
        },
        Operation {
            method: "GET",
            path: "/metrics",
            name: "metrics.show",
            summary: "Shows metrics as Prometheus reads them: to this machine, or against a credential.",
            body: BodyRule::None,
            handler: Handler::Open(|app, input| Box::pin(show_metrics(app, input))),
        },
    ]
}

async fn live() -> Result<Reply> {
    Reply::json(StatusCode::OK, &json!({"status": "ok"}))
}

async fn ready(app: &App, input: Input) -> Result<Reply> {
    app.service.follow_revisions().await?;
    if let Some(hold) = app.service.hold() {
        // To others only that it is not ready.
        let reason = is_from_this_machine(&input.head).then_some(hold.reason);
        let body = json!({"status": "held", "reason": reason, "since": hold.since.rfc3339_seconds()});
        return Reply::json(StatusCode::SERVICE_UNAVAILABLE, &body);
    }
    app.service.open_for_requests()?;
    if is_from_this_machine(&input.head) && app.bootstrap_file_present() {
        let warning = "bootstrap.env is still in the data folder: move it to a safe place";
        return Reply::json(StatusCode::OK, &json!({"status": "ok", "warnings": [warning]}));
    }
    Reply::json(StatusCode::OK, &json!({"status": "ok"}))
}

async fn show_metrics(app: &App, input: Input) -> Result<Reply> {
    if is_from_this_machine(&input.head) {
        return metrics::reply(app, app.service.measures().await);
    }
    app.service.open_for_requests()?;
    let call = super::authenticate(app, &input, BodyRule::None).await?;
    let measures = app.service.show_measures(&call).await.inspect_err(|_| {
        app.service.note_refusal(&call.caller, &input.head.origin, "bailiwick:metrics:show", "/metrics");
    })?;
    metrics::reply(app, measures)
}

/// What a proxy adds: whoever is behind one on this machine is somewhere else.
const ADDED_BY_PROXIES: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

fn is_from_this_machine(head: &Head) -> bool {
    let loopback = head.origin.source.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    loopback && !ADDED_BY_PROXIES.iter().any(|name| head.headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, HeaderValue, Method};
    use service::Origin;

    use super::*;

    #[test]
    fn a_peer_behind_a_proxy_on_this_machine_is_not_this_machine() {
        let head = |source: &str, header: Option<&'static str>| {
            let value = HeaderValue::from_static("x");
            Head {
                method: Method::GET,
                raw_path: "/metrics".into(),
                path: "/metrics".into(),
                query: Vec::new(),
                headers: header
                    .map(|name| (http::HeaderName::from_static(name), value))
                    .into_iter()
                    .collect::<HeaderMap>(),
                origin: Origin {
                    request_id: Arc::from(""),
                    source: Arc::from(source),
                    at: domain::Timestamp::from_millis(0),
                    dialect: "native",
                },
            }
        };
        assert!(is_from_this_machine(&head("127.0.0.1", None)));
        assert!(is_from_this_machine(&head("::1", None)));
        assert!(!is_from_this_machine(&head("192.0.2.1", None)));
        for name in ADDED_BY_PROXIES {
            assert!(!is_from_this_machine(&head("127.0.0.1", Some(name))), "{name}");
        }
    }
}
