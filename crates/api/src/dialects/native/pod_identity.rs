//! `/bailiwick/v1/clusters/{cluster}/pod-identity`: associations, the agent's key, and what agents follow.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Error, Result, Timestamp};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use service::clusters::certificates::WhichCluster;
use service::pod_identity::agents::{AgentKey, AgentKeys, Others};
use service::pod_identity::associations::{AssociationFilter, AssociationView, NewAssociation, VendedBefore};
use service::pod_identity::feed::{After, LONGEST_WAIT};
use service::{Call, Which};

use super::{items, page};
use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const COLLECTION: &str = "/bailiwick/v1/clusters/{cluster}/pod-identity/associations";
const ITEM: &str = "/bailiwick/v1/clusters/{cluster}/pod-identity/associations/{association}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    let mut rows = vec![
        row(
            "POST",
            COLLECTION,
            "associations.create",
            "Lets the pods of a service account act as an agency.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            COLLECTION,
            "associations.list",
            "Lists the pod identity associations of a cluster.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "associations.show",
            "Shows a pod identity association.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PATCH",
            ITEM,
            "associations.update",
            "Gives a pod identity association another agency; what was vended before goes on to its end, or ends now if it is to.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "associations.delete",
            "Deletes a pod identity association, and ends at once what was vended by it.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
    ];
    rows.extend(agent_rows());
    rows
}

fn agent_rows() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            "/bailiwick/v1/clusters/{cluster}/pod-identity/feed",
            "podIdentity.follow",
            "Tells an agent what changed, and waits until something does.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(follow(app, call, input))),
        ),
        row(
            "POST",
            "/bailiwick/v1/clusters/{cluster}/pod-identity/agent",
            "podIdentity.issueAgentKey",
            "Makes keys for the agents of a cluster; others that they have end in an hour, or now if they are to.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(issue(app, call, input))),
        ),
        row(
            "POST",
            "/bailiwick/v1/clusters/{cluster}/pod-identity/agent/renew",
            "podIdentity.renewAgentKey",
            "Makes new keys for the keeper that asks for them with its own, and for its nodes; the ones before end in an hour.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(renew(app, call, input))),
        ),
        row(
            "DELETE",
            "/bailiwick/v1/clusters/{cluster}/pod-identity/agent",
            "podIdentity.endAgent",
            "Deletes the agents of a cluster with all their keys.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(end(app, call, input))),
        ),
    ]
}

/// What bodies and answers look like, for the OpenAPI document.
pub(super) fn schemas() -> Value {
    let mut all = schemas_of_associations();
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), schemas_of_vending()) {
        all.extend(more);
    }
    all
}

fn schemas_of_vending() -> Value {
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    let or_null = json!({"type": ["string", "null"]});
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    json!({
        "PodToken": {"type": "object", "required": ["token"], "properties": {"token": text}},
        "VendedCredentials": object(json!({
            "assumedAgency": object(json!({"urn": text, "id": text})),
            "audience": text,
            "credentials": object(json!({
                "accessKeyId": text, "secretAccessKey": text, "securityToken": text, "expiration": text
            })),
            "podIdentityAssociationId": text,
            "subject": object(json!({"namespace": text, "serviceAccount": text})),
            "epoch": number
        })),
        "TriedWorkload": {
            "type": "object", "required": ["namespace", "serviceAccount"],
            "properties": {"namespace": text, "serviceAccount": text, "pod": text}
        },
        "PodTrial": object(json!({
            "audience": text, "agency": or_null, "allowed": {"type": "boolean"}, "reason": or_null,
            "message": or_null
        })),
    })
}

fn schemas_of_associations() -> Value {
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    let texts = json!({"type": "array", "items": text});
    let tags = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let object = |required: &[&str], properties: Value| -> Value {
        json!({"type": "object", "required": required, "properties": properties})
    };
    let known = object(
        &["id", "namespace", "serviceAccount", "epoch", "createdAt"],
        json!({"id": text, "namespace": text, "serviceAccount": text, "epoch": number, "createdAt": text}),
    );
    let verification = object(
        &["state", "audience", "issuer", "keys", "uriVariable", "tokenFileVariable", "direct"],
        json!({
            "state": {"enum": ["known", "unknown", "none"]},
            "audience": text, "issuer": {"type": ["string", "null"]}, "keys": {"type": "object"},
            "uriVariable": text, "tokenFileVariable": text, "direct": {"type": "boolean"}
        }),
    );
    json!({
        "NewAssociation": object(
            &["namespace", "serviceAccount", "agency"],
            json!({"namespace": text, "serviceAccount": text, "agency": text, "tags": tags}),
        ),
        "AssociationUpdate": object(&["agency"], json!({"agency": text, "endVended": {"type": "boolean"}})),
        "Association": object(
            &["id", "clusterId", "namespace", "serviceAccount", "agency", "tags", "epoch"],
            json!({
                "id": text, "clusterId": text, "namespace": text, "serviceAccount": text,
                "agency": object(&["id", "name"], json!({"id": text, "name": text})),
                "tags": tags, "epoch": number, "createdAt": text, "updatedAt": text
            }),
        ),
        "PodIdentityFeed": object(
            &["revision", "history", "complete", "verification", "associations", "ended"],
            json!({
                "revision": number, "history": text, "complete": {"type": "boolean"}, "verification": verification,
                "associations": {"type": "array", "items": known}, "ended": texts
            }),
        ),
        "AgentKeyIssue": object(&[], json!({"endOthers": {"type": "boolean"}})),
        "AgentKey": object(
            &["accessKeyId", "secretAccessKey", "principal", "cluster", "keeper"],
            json!({
                "accessKeyId": text, "secretAccessKey": text, "principal": text, "cluster": text,
                "keeper": object(
                    &["accessKeyId", "secretAccessKey", "principal"],
                    json!({"accessKeyId": text, "secretAccessKey": text, "principal": text}),
                )
            }),
        ),
    })
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let (namespace, service_account) = (body.text("namespace")?, body.text("serviceAccount")?);
    let (agency, tags) = (body.text("agency")?, body.text_map("tags")?);
    body.finish()?;
    let new = NewAssociation {
        namespace: &namespace,
        service_account: &service_account,
        agency: Which::from(&agency),
        tags: tags.into_iter().collect(),
    };
    let made = app.service.create_association(&call, cluster(&input), new).await?;
    Reply::json(StatusCode::CREATED, &Wire::new(made))
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let page = page(&input, &["namespace", "serviceAccount", "agency"])?;
    let filter = AssociationFilter {
        namespace: input.head.query("namespace"),
        service_account: input.head.query("serviceAccount"),
        agency: input.head.query("agency"),
    };
    items(app.service.page_associations(&call, cluster(&input), filter, &page).await?, Wire::new)
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let found = app.service.show_association(&call, cluster(&input), id(&input)).await?;
    Reply::json(StatusCode::OK, &Wire::new(found))
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let agency = body.text("agency")?;
    let before = match body.optional_boolean("endVended")? {
        Some(true) => VendedBefore::Ends,
        Some(false) | None => VendedBefore::GoesOn,
    };
    finish_update(body)?;
    let which = Which::from(&agency);
    let changed = app.service.update_association(&call, cluster(&input), id(&input), which, before).await?;
    Reply::json(StatusCode::OK, &Wire::new(changed))
}

/// Who sends anything else believes that it will be changed, too.
fn finish_update(body: Object) -> Result<()> {
    body.finish().map_err(|error| {
        let field = error.field().unwrap_or_default().to_owned();
        Error::invalid(&field, "must be left out: only `agency` can be changed")
    })
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_association(&call, cluster(&input), id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn follow(app: &App, call: Call, input: Input) -> Result<Reply> {
    let (mut after, mut wait) = (After::from(0), Duration::ZERO);
    for (key, value) in &input.head.query {
        match key.as_str() {
            "after" => {
                let number = value.parse::<i64>().ok().filter(|number| *number >= 0);
                after.revision = number
                    .ok_or_else(|| Error::invalid("after", "must be the `revision` of an earlier answer"))?;
            }
            "history" => after.history = Some(value),
            "wait" => {
                let longest = LONGEST_WAIT.as_secs();
                let seconds = value.parse().ok().filter(|seconds| *seconds <= longest);
                let seconds =
                    seconds.ok_or_else(|| Error::invalid("wait", format!("must be 0 to {longest}")))?;
                wait = Duration::from_secs(seconds);
            }
            key => return Err(Error::invalid(key, "is not a known query parameter")),
        }
    }
    let feed = app.service.follow_pod_identity(&call, input.parameters.get("cluster"), after, wait).await?;
    Reply::json(StatusCode::OK, &feed)
}

async fn issue(app: &App, call: Call, input: Input) -> Result<Reply> {
    // Older clients send none.
    let others = if input.body.is_empty() {
        Others::EndInAnHour
    } else {
        let mut body = input.json()?;
        let end = body.optional_boolean("endOthers")?;
        body.finish()?;
        if end == Some(true) { Others::EndNow } else { Others::EndInAnHour }
    };
    let made = app.service.issue_agent_keys(&call, input.parameters.get("cluster"), others).await?;
    Reply::json(StatusCode::CREATED, &WireKeys::new(&made))
}

async fn renew(app: &App, call: Call, input: Input) -> Result<Reply> {
    let made = app.service.renew_agent_keys(&call, input.parameters.get("cluster")).await?;
    Reply::json(StatusCode::CREATED, &WireKeys::new(&made))
}

async fn end(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.end_agent(&call, input.parameters.get("cluster")).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn cluster(input: &Input) -> WhichCluster<'_> {
    WhichCluster::IdOrName(input.parameters.get("cluster"))
}

fn id(input: &Input) -> &str {
    input.parameters.get("association")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    id: String,
    cluster_id: String,
    namespace: String,
    service_account: String,
    agency: WireAgency,
    tags: BTreeMap<String, String>,
    epoch: i64,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize)]
struct WireAgency {
    id: String,
    name: String,
}

impl Wire {
    fn new(view: AssociationView) -> Self {
        let AssociationView { association, agency_name } = view;
        Self {
            id: association.id.to_string(),
            cluster_id: association.cluster.to_string(),
            namespace: association.namespace.to_string(),
            service_account: association.service_account.to_string(),
            agency: WireAgency { id: association.agency.to_string(), name: agency_name },
            tags: association.tags,
            epoch: association.epoch,
            created_at: Timestamp::rfc3339_micros(association.created_at),
            updated_at: association.modified_at.rfc3339_micros(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireKeys<'a> {
    #[serde(flatten)]
    node: WireKey<'a>,
    cluster: &'a str,
    keeper: WireKey<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireKey<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    principal: &'a str,
}

impl<'a> WireKeys<'a> {
    fn new(made: &'a AgentKeys) -> Self {
        let key = |key: &'a AgentKey| WireKey {
            access_key_id: key.key.id.as_str(),
            secret_access_key: key.secret.expose(),
            principal: key.agent.as_str(),
        };
        Self { node: key(&made.node), cluster: made.cluster.as_str(), keeper: key(&made.keeper) }
    }
}
