//! `/api/v3/access-policies`: grants in the vendor's words.
//!
//! Neither the path nor the body names a project: the account is that of the credential.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use domain::{AccountId, Error, Grant, Result};
use http::StatusCode;
use quick_cache::sync::Cache;
use serde::Serialize;
use service::{Call, GrantFilter, GrantList};

use super::policy_type::PolicyTypes;
use super::wire::{AccessPolicy, in_words, read};
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const COLLECTION: &str = "/api/v3/access-policies";
const ITEM: &str = "/api/v3/access-policies/{policy_id}";

/// The rows.
pub(in crate::dialects::huawei) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "POST",
            COLLECTION,
            "cce.createAccessPolicy",
            "Creates an access policy; its clusters follow by themselves.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            COLLECTION,
            "cce.listAccessPolicy",
            "Lists the account's access policies, or those that concern one cluster.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "cce.getAccessPolicy",
            "Shows an access policy.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(get(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "cce.updateAccessPolicy",
            "Replaces an access policy.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "cce.deleteAccessPolicy",
            "Deletes an access policy; the bindings that it made disappear.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
    ]
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let types = app.settings.dialects.huawei.policy_types;
    let spec = read(input.json()?, None, types)?;
    let grant = app.service.create_grant(&call, spec).await.map_err(|error| in_words(error, ""))?;
    answer(StatusCode::CREATED, &input, &AccessPolicy::new(&grant, types))
}

async fn get(app: &App, call: Call, input: Input) -> Result<Reply> {
    let id = input.parameters.get("policy_id");
    let grant = app.service.show_grant(&call, id).await.map_err(|error| in_words(error, id))?;
    answer(StatusCode::OK, &input, &AccessPolicy::new(&grant, app.settings.dialects.huawei.policy_types))
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let types = app.settings.dialects.huawei.policy_types;
    let id = input.parameters.get("policy_id");
    // A policy that does not exist is that, whatever the body says about it.
    app.service.show_grant(&call, id).await.map_err(|error| in_words(error, id))?;
    let spec = read(input.json()?, Some(id), types)?;
    let grant = app.service.update_grant(&call, id, spec).await.map_err(|error| in_words(error, id))?;
    answer(StatusCode::OK, &input, &AccessPolicy::new(&grant, types))
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    let id = input.parameters.get("policy_id");
    app.service.revoke_grant(&call, id).await.map_err(|error| in_words(error, id))?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let cluster = match input.head.query("cluster_id") {
        Some("") => {
            return Err(Error::invalid("cluster_id", "must not be empty; leave it out for all clusters"));
        }
        other => other.map(str::to_owned),
    };
    let grants = app.service.list_grants(&call).await?;
    let filter = GrantFilter { cluster, principal: None };
    let types = app.settings.dialects.huawei.policy_types;
    if wants_yaml(&input) {
        let wanted = grants.grants.iter().filter(|grant| filter.matches(grant));
        let policies = wanted.map(|grant| AccessPolicy::new(grant, types)).collect();
        return answer(
            StatusCode::OK,
            &input,
            &List { kind: "List", api_version: "v3", access_policy_list: policies },
        );
    }
    let rendered = rendered(call.account(), &grants, types)?;
    Ok(Reply::bytes(StatusCode::OK, "application/json", rendered.list(&filter)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'static str,
    api_version: &'static str,
    access_policy_list: Vec<AccessPolicy<'a>>,
}

/// The policies of one account as JSON. Writing them is the dearest part of a list, and they change rarely: the
/// fragments are kept as long as the grants they were made of.
struct Rendered {
    grants: Arc<GrantList>,
    types: PolicyTypes,
    fragments: Vec<Vec<u8>>,
    whole: Bytes,
}

static RENDERED: LazyLock<Cache<AccountId, Arc<Rendered>>> = LazyLock::new(|| Cache::new(200));

fn rendered(account: &AccountId, grants: &Arc<GrantList>, types: PolicyTypes) -> Result<Arc<Rendered>> {
    let fresh = |known: &Arc<Rendered>| Arc::ptr_eq(&known.grants, grants) && known.types == types;
    if let Some(known) = RENDERED.get(account).filter(fresh) {
        return Ok(known);
    }
    let write = |grant: &Grant| serde_json::to_vec(&AccessPolicy::new(grant, types)).map_err(Error::internal);
    let fragments = grants.grants.iter().map(write).collect::<Result<Vec<_>>>()?;
    let whole = join(fragments.iter());
    let made = Arc::new(Rendered { grants: Arc::clone(grants), types, fragments, whole });
    RENDERED.insert(account.clone(), Arc::clone(&made));
    Ok(made)
}

impl Rendered {
    fn list(&self, filter: &GrantFilter) -> Bytes {
        if filter.cluster.is_none() && filter.principal.is_none() {
            return self.whole.clone();
        }
        let pairs = self.grants.grants.iter().zip(&self.fragments);
        join(pairs.filter(|(grant, _)| filter.matches(grant)).map(|(_, fragment)| fragment))
    }
}

fn join<'a>(fragments: impl Iterator<Item = &'a Vec<u8>>) -> Bytes {
    let mut body = br#"{"kind":"List","apiVersion":"v3","accessPolicyList":["#.to_vec();
    for (index, fragment) in fragments.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(fragment);
    }
    body.extend_from_slice(b"]}");
    body.into()
}

/// JSON, or YAML for those who ask: the vendor's own example of this list is YAML.
fn answer(status: StatusCode, input: &Input, value: &impl Serialize) -> Result<Reply> {
    if wants_yaml(input) {
        let text = serde_saphyr::to_string(value).map_err(|error| Error::internal(error.to_string()))?;
        return Ok(Reply::bytes(status, "application/yaml", text.into()));
    }
    Reply::json(status, value)
}

fn wants_yaml(input: &Input) -> bool {
    let accepts = input.head.header("accept").unwrap_or_default();
    accepts
        .split(',')
        .any(|entry| entry.split(';').next().is_some_and(|kind| kind.trim() == "application/yaml"))
}
