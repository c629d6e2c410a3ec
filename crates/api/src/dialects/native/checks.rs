//! `/bailiwick/v1/clusters/{cluster}/check`: what the credential of a cluster's connection may really do there.

use domain::{Error, Result, Timestamp};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use service::Call;
use service::clusters::checks::{Check, CheckedRow, Found, MAX_LISTED, Missing, PastCheck};

use super::Items;
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// So many checks are listed where nobody says.
const USUAL_LIMIT: i64 = 10;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "POST",
            "/bailiwick/v1/clusters/{cluster}/check",
            "clusters.check",
            "Asks a cluster what the credential of its connection may do there.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(check(app, call, input))),
        ),
        row(
            "GET",
            "/bailiwick/v1/clusters/{cluster}/checks",
            "clusters.listChecks",
            "Lists what a cluster answered before, the latest first.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
    ]
}

/// What bodies and answers look like, for the OpenAPI document.
pub(super) fn schemas() -> Value {
    let (text, boolean) = (json!({"type": "string"}), json!({"type": "boolean"}));
    let texts = json!({"type": "array", "items": text});
    let object = |required: &[&str], properties: Value| -> Value {
        json!({"type": "object", "required": required, "properties": properties})
    };
    let list = |item: Value| json!({"type": "array", "items": item});
    let missing = object(
        &["verb", "group", "resource"],
        json!({"verb": text, "group": text, "resource": text, "name": text}),
    );
    let row = object(
        &["set", "function", "apiGroups", "resources", "authorized", "missing", "advice"],
        json!({
            "set": text, "function": text, "apiGroups": texts, "resources": texts, "authorized": boolean,
            "missing": list(missing), "advice": text
        }),
    );
    let (rows, surplus) = (list(row), list(object(&["what", "why"], json!({"what": text, "why": text}))));
    let identity = json!({"type": ["string", "null"]});
    let past = object(
        &["firstAt", "checkedAt", "identity", "rows", "surplus"],
        json!({"firstAt": text, "checkedAt": text, "identity": identity, "rows": rows, "surplus": surplus}),
    );
    json!({
        "NewCheck": object(&[], json!({"manifest": boolean, "subject": text})),
        "Check": object(
            &["clusterId", "authorized", "identity", "rows", "surplus", "checkedAt"],
            json!({
                "clusterId": text, "authorized": boolean, "identity": identity, "rows": rows, "surplus": surplus,
                "checkedAt": text, "manifest": text
            }),
        ),
        "Checks": object(&["items"], json!({"items": list(past)})),
    })
}

async fn check(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let subject = body.optional_text("subject")?;
    let wants_manifest = body.optional_boolean("manifest")? == Some(true);
    body.finish()?;
    let check = app.service.check_cluster(&call, input.parameters.get("cluster")).await?;
    let manifest = if wants_manifest { check.manifest(subject.as_deref())? } else { None };
    Reply::json(StatusCode::OK, &Wire::new(&check, manifest))
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let (mut until, mut limit) = (None, USUAL_LIMIT);
    for (key, value) in &input.head.query {
        match key.as_str() {
            "until" => {
                let at = Timestamp::parse_rfc3339(value);
                until = Some(at.ok_or_else(|| Error::invalid("until", "must be a time as in RFC 3339"))?);
            }
            "limit" => {
                let number = value.parse();
                limit = number.map_err(|_| Error::invalid("limit", format!("must be 1 to {MAX_LISTED}")))?;
            }
            key => return Err(Error::invalid(key, "is not a known query parameter")),
        }
    }
    let checks = app.service.list_checks(&call, input.parameters.get("cluster"), until, limit).await?;
    let items = checks.iter().map(WirePast::new).collect();
    Reply::json(StatusCode::OK, &Items::<WirePast> { items, next: None })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    cluster_id: String,
    authorized: bool,
    #[serde(flatten)]
    found: WireFound,
    checked_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WirePast {
    first_at: String,
    checked_at: String,
    #[serde(flatten)]
    found: WireFound,
}

#[derive(Serialize)]
struct WireFound {
    identity: Option<String>,
    rows: Vec<WireRow>,
    surplus: Vec<WireSurplus>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireRow {
    set: String,
    function: String,
    api_groups: Vec<String>,
    resources: Vec<String>,
    authorized: bool,
    missing: Vec<WireMissing>,
    advice: String,
}

#[derive(Serialize)]
struct WireMissing {
    verb: String,
    group: String,
    resource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct WireSurplus {
    what: String,
    why: String,
}

impl Wire {
    fn new(check: &Check, manifest: Option<String>) -> Self {
        Self {
            cluster_id: check.cluster.to_string(),
            authorized: check.authorized(),
            found: WireFound::new(&check.found),
            checked_at: check.checked_at.rfc3339_micros(),
            manifest,
        }
    }
}

impl WirePast {
    fn new(past: &PastCheck) -> Self {
        Self {
            first_at: past.first_at.rfc3339_micros(),
            checked_at: past.last_at.rfc3339_micros(),
            found: WireFound::new(&past.found),
        }
    }
}

impl WireFound {
    fn new(found: &Found) -> Self {
        let surplus = |held: &service::clusters::checks::Surplus| WireSurplus {
            what: held.what.clone(),
            why: held.why.clone(),
        };
        Self {
            identity: found.identity.clone(),
            rows: found.rows.iter().map(WireRow::new).collect(),
            surplus: found.surplus.iter().map(surplus).collect(),
        }
    }
}

impl WireRow {
    fn new(row: &CheckedRow) -> Self {
        let missing = |missing: &Missing| WireMissing {
            verb: missing.verb.clone(),
            group: missing.group.clone(),
            resource: missing.resource.clone(),
            name: missing.name.clone(),
        };
        Self {
            set: row.set.clone(),
            function: row.function.clone(),
            api_groups: row.api_groups.clone(),
            resources: row.resources.clone(),
            authorized: row.authorized,
            missing: row.missing.iter().map(missing).collect(),
            advice: row.advice.clone(),
        }
    }
}
