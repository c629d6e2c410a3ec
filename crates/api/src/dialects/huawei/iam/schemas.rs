//! `/v5/authorization-schemas`: which actions policies may name, made of the tables that the operations are bound to.
//! Only what this version serves is listed, our own operations under the service code `bailiwick`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::Call;

use crate::App;
use crate::actions::{Action, Actions, Bound};
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The most service codes that a page has, as the vendor's lists do.
const MAX_LIMIT: usize = 200;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            "GET",
            "/v5/authorization-schemas/registered-services",
            "iam.listRegisteredServicesForAuthSchemaV5",
            "Lists the services whose actions policies may name.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        Operation::new(
            "GET",
            "/v5/authorization-schemas/services/{service_code}",
            "iam.getAuthorizationSchemaV5",
            "Shows the actions, resources and condition keys of a service.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.list_schemas(&call)?;
    let limit = match input.head.query("limit") {
        None => MAX_LIMIT,
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
            limit.ok_or_else(|| Error::invalid("limit", "must be a number from 1 to 200"))?
        }
    };
    let codes: BTreeSet<&str> = served(app).iter().map(|served| served.action.service()).collect();
    let after = input.head.query("marker").unwrap_or_default();
    let mut service_codes: Vec<&str> = codes.into_iter().filter(|code| *code > after).collect();
    let more = service_codes.len() > limit;
    service_codes.truncate(limit);
    let page_info = PageInfo {
        next_marker: service_codes.last().filter(|_| more).copied(),
        current_count: service_codes.len(),
    };
    Reply::json(StatusCode::OK, &Services { service_codes, page_info })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.show_schema(&call)?;
    let code = input.parameters.get("service_code");
    let mut found = served(app);
    found.retain(|served| served.action.service() == code);
    if found.is_empty() {
        return Err(Error::not_found("service", code));
    }
    Reply::json(StatusCode::OK, &schema(&found))
}

/// An operation with the action that it asks for.
struct Served<'a> {
    operation: &'a Operation,
    action: &'a Action,
    tables: &'a Actions,
}

/// What can be called here and asks for an action, of those vendors whose words this dialect speaks, and ours.
fn served(app: &App) -> Vec<Served<'_>> {
    let mut found = Vec::new();
    for (name, tables) in app.actions() {
        for dialect in app.dialects().iter().filter(|dialect| dialect.name() == *name) {
            for operation in dialect.table().rows() {
                match tables.of(operation) {
                    Bound::To(action) => found.push(Served { operation, action, tables }),
                    Bound::Free(_) | Bound::Nothing => {}
                }
            }
        }
    }
    found
}

fn schema<'a>(found: &[Served<'a>]) -> Schema<'a> {
    let mut actions: BTreeMap<&str, WireAction<'a>> = BTreeMap::new();
    let mut resources = BTreeMap::new();
    let mut conditions: BTreeMap<&str, Condition<'a>> = BTreeMap::new();
    for served in found {
        let action = served.action;
        actions.entry(&action.action).or_insert_with(|| wire(served));
        if let Some((kind, template)) = action.resource.as_deref().zip(action.resource_template.as_deref()) {
            resources.insert(kind, urn(kind, template));
        }
        for name in &action.keys {
            let known = |key: &&crate::actions::Key| name.trim_end_matches("<tag-key>") == key.key;
            if let Some(key) = served.tables.keys().iter().find(known) {
                conditions.insert(
                    name,
                    Condition { key: name, value_type: &key.value_type, multi_valued: key.multi },
                );
            }
        }
    }
    let resources =
        resources.into_iter().map(|(type_name, urn_template)| Resource { type_name, urn_template });
    Schema {
        version: "1",
        actions: actions.into_values().collect(),
        resources: resources.collect(),
        conditions: conditions.into_values().collect(),
        operations: found.iter().map(operation).collect(),
    }
}

fn wire<'a>(served: &Served<'a>) -> WireAction<'a> {
    let action = served.action;
    let (of_action, of_resource): (&[String], &[String]) =
        if action.keys_without_resource || action.resource.is_none() {
            (&action.keys, &[])
        } else {
            (&[], &action.keys)
        };
    let resource = action.resource.as_deref().zip(action.resource_template.as_deref());
    let resources = resource.into_iter().map(|(kind, template)| ActionResource {
        urn_template: urn(kind, template),
        required: action.resource_required,
        condition_keys: of_resource,
    });
    WireAction {
        name: &action.action,
        access_level: action.level.as_str(),
        permission_only: false,
        description: Description { en_us: served.operation.summary },
        aliases: &action.aliases,
        resources: resources.collect(),
        condition_keys: of_action,
    }
}

fn operation<'a>(served: &Served<'a>) -> WireOperation<'a> {
    let name = served.operation.name;
    let id = name.split_once('.').map_or(name, |(_, id)| id);
    let mut letters = id.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    WireOperation {
        operation_id: first.into_iter().chain(letters).collect(),
        operation_action: &served.action.action,
        dependent_actions: &served.action.dependencies,
    }
}

/// A template as the vendor writes it: `<region>`, `<account-id>`, `<cluster-id>`. Where a resource has several names, the
/// first.
fn urn(kind: &str, template: &str) -> String {
    let first = template.split_whitespace().next().unwrap_or_default();
    first
        .replace("{region}", "<region>")
        .replace("{account}", "<account-id>")
        .replace("{id}", &format!("<{kind}-id>"))
        .replace("{name}", &format!("<{kind}-name>"))
}

#[derive(Serialize)]
struct Services<'a> {
    service_codes: Vec<&'a str>,
    page_info: PageInfo<'a>,
}

#[derive(Serialize)]
struct PageInfo<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<&'a str>,
    current_count: usize,
}

#[derive(Serialize)]
struct Schema<'a> {
    version: &'static str,
    actions: Vec<WireAction<'a>>,
    resources: Vec<Resource<'a>>,
    conditions: Vec<Condition<'a>>,
    operations: Vec<WireOperation<'a>>,
}

#[derive(Serialize)]
struct WireAction<'a> {
    name: &'a str,
    access_level: &'static str,
    permission_only: bool,
    description: Description<'a>,
    aliases: &'a [String],
    resources: Vec<ActionResource<'a>>,
    condition_keys: &'a [String],
}

#[derive(Serialize)]
struct Description<'a> {
    #[serde(rename = "en_US")]
    en_us: &'a str,
}

#[derive(Serialize)]
struct ActionResource<'a> {
    urn_template: String,
    required: bool,
    condition_keys: &'a [String],
}

#[derive(Serialize)]
struct Resource<'a> {
    type_name: &'a str,
    urn_template: String,
}

#[derive(Serialize)]
struct Condition<'a> {
    key: &'a str,
    value_type: &'a str,
    multi_valued: bool,
}

#[derive(Serialize)]
struct WireOperation<'a> {
    operation_id: String,
    operation_action: &'a str,
    dependent_actions: &'a [String],
}
