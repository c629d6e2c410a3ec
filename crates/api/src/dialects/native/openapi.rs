//! `/bailiwick/v1/openapi.json`, made of the same rows that dispatch uses, so that it cannot name an operation that
//! is not there or forget one that is.

use std::collections::BTreeMap;

use domain::Result;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{NAME, rows};
use crate::App;
use crate::actions::{Actions, Bound};
use crate::operation::{BodyRule, Handler, Operation};
use crate::reply::Reply;

/// The field in which an operation names its action.
const ACTION: &str = "x-bailiwick-action";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "GET",
        path: "/bailiwick/v1/openapi.json",
        name: "openapi.show",
        summary: "Shows this document.",
        body: BodyRule::None,
        handler: Handler::Open(|app, _| Box::pin(show(app))),
    }]
}

async fn show(app: &App) -> Result<Reply> {
    let own = app.actions().iter().find(|(name, _)| *name == NAME);
    Reply::json(StatusCode::OK, &document(own.map(|(_, actions)| actions)))
}

/// The document. Each operation names the action that policies allow or deny it by.
fn document(actions: Option<&Actions>) -> Value {
    let mut paths: BTreeMap<&'static str, Map<String, Value>> = BTreeMap::new();
    for row in rows() {
        paths.entry(row.path).or_default().insert(row.method.to_lowercase(), operation(&row, actions));
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Bailiwick", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "SDK-HMAC-SHA256 with an access key"
                }
            },
            "schemas": schemas()
        }
    })
}

fn operation(row: &Operation, actions: Option<&Actions>) -> Value {
    let mut value = Map::new();
    value.insert("operationId".to_owned(), json!(row.name));
    value.insert("summary".to_owned(), json!(row.summary));
    value.insert("parameters".to_owned(), Value::Array(parameters(row)));
    if row.body == BodyRule::Json {
        let content = json!({"application/json": {"schema": {"$ref": request_schema(row)}}});
        value.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    value.insert("responses".to_owned(), responses(row));
    if matches!(row.handler, Handler::Authenticated(_)) {
        value.insert("security".to_owned(), json!([{"bearer": []}, {"signature": []}]));
    }
    if let Some(Bound::To(action)) = actions.map(|actions| actions.of(row)) {
        value.insert(ACTION.to_owned(), json!(action.action));
    }
    Value::Object(value)
}

fn parameters(row: &Operation) -> Vec<Value> {
    let mut found = Vec::new();
    for segment in row.path.split('/') {
        if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            found.push(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
        }
    }
    let filters: &[&str] = match row.name {
        "grants.list" => &["cluster", "principal", "limit", "cursor"],
        "associations.list" => &["namespace", "serviceAccount", "agency", "limit", "cursor"],
        "podIdentity.follow" => &["after", "history", "wait"],
        "agencies.delete" => &["force"],
        "accessKeys.list" => &["user", "limit", "cursor"],
        "clusters.delete" => &["mode"],
        "clusters.listChecks" => &["until", "limit"],
        "userPermissions.clean" | "agencyPermissions.clean" => &["cluster", "force"],
        // All rows at once: a page of them could be taken for all there are.
        "userPermissions.list" | "agencyPermissions.list" => &[],
        "kubeconfigs.list" => &["cluster", "holder", "limit", "cursor"],
        "policies.list" => &["origin", "attached", "limit", "cursor"],
        name if name.starts_with("policies.attach") || name.starts_with("policies.detach") => {
            &["project", "enterpriseProject"]
        }
        name if name.ends_with(".list") || name.ends_with(".history") => &["limit", "cursor"],
        _ => &[],
    };
    found.extend(
        filters.iter().map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}})),
    );
    found
}

/// Posts and changes that answer with 200 and a body: they make nothing that has a place of its own.
const WITH_ANSWER: [&str; 15] = [
    "activity.import",
    "agencyPermissions.change",
    "agencyPermissions.replace",
    "agencyPermissions.restore",
    "authorize.ask",
    "clusters.check",
    "clusters.resume",
    "clusters.rotate",
    "grants.update",
    "podIdentity.test",
    "podIdentity.vend",
    "podIdentity.vendToPod",
    "userPermissions.change",
    "userPermissions.replace",
    "userPermissions.restore",
];

fn responses(row: &Operation) -> Value {
    let error = json!({
        "description": "refused; `error` says why",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    });
    let (status, content) = match row.method {
        "DELETE" if row.name != "clusters.delete" => ("204", None),
        _ if WITH_ANSWER.contains(&row.name) => ("200", response_schema(row)),
        "PUT" => ("204", None),
        "POST" => ("201", response_schema(row)),
        _ => ("200", response_schema(row)),
    };
    let done = match content {
        None => json!({"description": "done"}),
        Some(schema) => json!({"description": "done", "content": {"application/json": {"schema": schema}}}),
    };
    json!({status: done, "default": error})
}

/// `grants.create` → `Grant`; lists hold items of it.
fn noun(row: &Operation) -> Option<&'static str> {
    match row.name.split('.').next().unwrap_or_default() {
        "grants" => Some("Grant"),
        "clusters" => Some("Cluster"),
        "users" | "groups" | "agencies" => Some("Principal"),
        "accessKeys" => Some("AccessKey"),
        "projects" | "enterpriseProjects" => Some("Project"),
        "policies" | "userPolicies" | "groupPolicies" | "agencyPolicies" => Some("Policy"),
        "policyVersions" => Some("PolicyVersion"),
        "policyAttachments" => Some("PolicyHolder"),
        "authorize" => Some("Verdict"),
        "revocations" => Some("Revocation"),
        "kubeconfigs" => Some("Kubeconfig"),
        "associations" => Some("Association"),
        "podIdentity" => Some("AgentKey"),
        _ => None,
    }
}

fn response_schema(row: &Operation) -> Option<Value> {
    let noun = match row.name {
        "clusters.rotate" => "Rotation",
        "podIdentity.follow" => "PodIdentityFeed",
        "podIdentity.vend" | "podIdentity.vendToPod" => "VendedCredentials",
        "podIdentity.test" => "PodTrial",
        "clusters.check" => "Check",
        "clusters.listChecks" => "Checks",
        "clusters.delete" | "clusters.showRemoval" => "Removal",
        "activity.import" => "ImportedActivity",
        "userPermissions.list" | "agencyPermissions.list" => return Some(reference("HeldPermissions")),
        "userPermissions.history" | "agencyPermissions.history" => "PastPermissions",
        name if name.contains("Permissions.") => "Permissions",
        _ => noun(row)?,
    };
    let item = reference(noun);
    if row.name.ends_with(".list") || noun == "PastPermissions" {
        let properties = json!({"items": {"type": "array", "items": item}, "next": {"type": "string"}});
        return Some(json!({"type": "object", "required": ["items"], "properties": properties}));
    }
    Some(item)
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn request_schema(row: &Operation) -> String {
    let name = match row.name {
        "users.setPassword" => "Password",
        "accessKeys.create" => "NewAccessKey",
        "accessKeys.update" => "AccessKeyUpdate",
        "clusters.update" => "ClusterUpdate",
        "clusters.check" => "NewCheck",
        "associations.update" => "AssociationUpdate",
        "podIdentity.issueAgentKey" => "AgentKeyIssue",
        "podIdentity.vend" => "PodToken",
        "podIdentity.test" => "TriedWorkload",
        "clusters.rotate" => "NewConnection",
        "policies.update" => "PolicyUpdate",
        "authorize.ask" => "Inquiry",
        "activity.import" => "Activity",
        "userPermissions.replace" | "agencyPermissions.replace" => "Permissions",
        "userPermissions.change" | "agencyPermissions.change" => "PermissionChange",
        _ => return format!("#/components/schemas/New{}", noun(row).unwrap_or("Project")),
    };
    format!("#/components/schemas/{name}")
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

fn schemas() -> Value {
    let mut all = schemas_of_things();
    let more = [
        schemas_of_revocations(),
        schemas_of_policies(),
        schemas_of_permissions(),
        schemas_of_kubeconfigs(),
        super::checks::schemas(),
        super::pod_identity::schemas(),
    ];
    for more in more {
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
    }
    all
}

fn schemas_of_revocations() -> Value {
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    let revoked = json!({"kind": text, "id": text, "name": text, "disabled": {"type": "boolean"}});
    let ended = ["accessKeys", "tokens", "temporaryKeys", "certificates"];
    let session = object(
        &["id", "kind", "account", "principal"],
        json!({"id": text, "kind": {"enum": ["token", "temporary-key"]}, "account": text, "principal": text}),
    );
    json!({
        "NewRevocation": object(&[], json!({
            "principal": text, "kind": {"enum": ["user", "agency"]}, "keepEnabled": {"type": "boolean"},
            "accessKey": text, "token": text, "tokenId": text
        })),
        "Revocation": object(&["revoked", "at", "ended", "accessKeys", "sessions"], json!({
            "revoked": object(&["kind", "id"], revoked),
            "at": text,
            "ended": object(&ended, json!({
                "accessKeys": number, "tokens": number, "temporaryKeys": number, "certificates": number
            })),
            "accessKeys": {"type": "array", "items": text},
            "sessions": {"type": "array", "items": session}
        }))
    })
}

/// What somebody holds, and who was active.
fn schemas_of_permissions() -> Value {
    let (text, integer, boolean) =
        (json!({"type": "string"}), json!({"type": "integer"}), json!({"type": "boolean"}));
    let named = object(&["id", "name"], json!({"id": text, "name": text}));
    let or_null = json!({"type": ["string", "null"]});
    let place = object(&["cluster", "namespace"], json!({"cluster": or_null, "namespace": or_null}));
    let permission = object(&["place", "role"], json!({"place": place, "role": text}));
    let permissions = json!({"type": "array", "items": permission});
    let through = object(
        &["grant", "grantName", "kind"],
        json!({
            "grant": text, "grantName": text, "kind": {"enum": ["direct", "shared", "group", "owner"]}, "group": named,
            "actor": text, "actorName": text, "at": text, "dialect": text
        }),
    );
    let row = object(
        &["place", "role", "owner", "through"],
        json!({"place": place, "role": text, "owner": boolean, "through": {"type": "array", "items": through}}),
    );
    let holder = object(
        &["type", "id", "name"],
        json!({"type": {"enum": ["user", "agency"]}, "id": text, "name": text}),
    );
    let user = object(&["name", "lastSeen"], json!({"name": text, "lastSeen": text}));
    json!({
        "HeldPermissions": object(&["holder", "complete", "items"], json!({
            "holder": holder, "complete": boolean, "items": {"type": "array", "items": row}
        })),
        "Permissions": object(&["permissions"], json!({"permissions": permissions})),
        "PermissionChange": object(&["change", "permissions"], json!({
            "change": {"enum": ["add", "remove"]}, "permissions": permissions
        })),
        "PastPermissions": object(&["revision", "at", "added", "removed", "permissions"], json!({
            "revision": integer, "at": text, "actor": text, "actorName": text, "dialect": text,
            "added": permissions, "removed": permissions, "permissions": permissions
        })),
        "Activity": object(&[], json!({
            "from": text, "to": text, "users": {"type": "array", "items": user}
        })),
        "ImportedActivity": object(&["known", "unknown"], json!({"known": integer, "unknown": integer}))
    })
}

fn schemas_of_kubeconfigs() -> Value {
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    let holder = object(
        &["type", "id", "name"],
        json!({"type": {"enum": ["user", "agency"]}, "id": text, "name": text}),
    );
    let always =
        ["id", "cluster", "clusterName", "holder", "userName", "state", "issuedAt", "issuedBy", "expiresAt"];
    json!({
        "NewKubeconfig": object(&[], json!({
            "holder": text, "minutes": number, "seconds": number, "adopt": {"type": "boolean"}
        })),
        "Kubeconfig": object(&always, json!({
            "id": text, "cluster": text, "clusterName": text, "holder": holder, "userName": text,
            "state": {"enum": ["signing", "live", "expired", "revoked"]}, "issuedAt": text, "issuedBy": text,
            "expiresAt": text, "notAfter": text, "revokedAt": text, "kubeconfig": text
        }))
    })
}

/// What is known of policies and of what they decide.
fn schemas_of_policies() -> Value {
    let (text, integer, boolean) =
        (json!({"type": "string"}), json!({"type": "integer"}), json!({"type": "boolean"}));
    let document = json!({"type": ["object", "string"]});
    let kind = json!({"enum": ["user", "group", "agency"]});
    let who = object(&["type", "id"], json!({"type": kind, "id": text}));
    let scope = object(
        &["type"],
        json!({
            "type": {"enum": ["account", "project", "enterprise-project"]}, "id": text
        }),
    );
    let statement = object(
        &["policy", "attachedTo", "scope"],
        json!({
            "policyId": text, "policy": text, "statement": integer, "sid": text, "why": text,
            "attachedTo": object(&["type", "name"], json!({"type": kind, "name": text})), "scope": scope
        }),
    );
    let statements = json!({"type": "array", "items": statement});
    json!({
        "NewPolicy": object(&["name", "document"], json!({
            "id": text, "name": text, "description": text, "document": document
        })),
        "PolicyUpdate": object(&[], json!({"name": text, "description": text, "document": document})),
        "Policy": object(&["id", "name", "origin", "defaultVersion", "attachments"], json!({
            "id": text, "name": text, "description": text, "origin": {"enum": ["shipped", "own"]},
            "defaultVersion": integer, "attachments": integer, "createdAt": text, "updatedAt": text,
            "document": document, "scope": scope, "since": text
        })),
        "NewPolicyVersion": object(&["document"], json!({"document": document, "default": boolean})),
        "PolicyVersion": object(&["version", "default", "document"], json!({
            "version": integer, "default": boolean, "createdAt": text, "document": document
        })),
        "PolicyHolder": object(&["type", "id", "name", "scope", "since"], json!({
            "type": kind, "id": text, "name": text, "scope": scope, "since": text
        })),
        "Inquiry": object(&["action"], json!({
            "principal": who, "action": text, "resource": text, "cluster": text, "conditions": {"type": "object"}
        })),
        "Verdict": object(&["allowed", "effect", "principal", "action", "statements", "nearest", "reasons"], json!({
            "allowed": boolean, "effect": {"enum": ["allow", "explicit-deny", "default-deny"]},
            "principal": object(&["type", "id", "name"], json!({"type": kind, "id": text, "name": text})),
            "action": text, "resource": text, "statements": statements, "nearest": statements, "reasons": text
        }))
    })
}

fn schemas_of_things() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let principals =
        object(&["type", "ids"], json!({"type": {"enum": ["user", "group", "agency"]}, "ids": texts}));
    let external = json!({"type": "array", "items": object(&["issuer", "subject"], json!({"issuer": text, "subject": text}))});
    let labels = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let members = json!({"enum": ["as-presented", "bind"]});
    let cluster = json!({"$ref": "#/components/schemas/Cluster"});
    let binding = object(&["kind", "name"], json!({"kind": text, "namespace": text, "name": text}));
    let remaining = json!({"type": "array", "items": binding});
    json!({
        "Error": object(&["error"], json!({"error": object(
            &["code", "message", "requestId"],
            json!({
                "code": text, "field": text, "message": text, "action": text, "resource": text, "explanation": text,
                "requestId": text
            }),
        )})),
        "NewGrant": object(
            &["role", "principals", "clusters", "namespaces"],
            json!({"name": text, "role": text, "principals": principals, "clusters": texts, "namespaces": texts}),
        ),
        "Grant": object(
            &["id", "name", "role", "principals", "clusters", "namespaces", "generation", "states"],
            json!({
                "id": text, "name": text, "role": text, "principals": principals, "clusters": texts,
                "namespaces": texts, "generation": {"type": "integer"}, "createdAt": text, "updatedAt": text,
                "revokedAt": text,
                "states": {"type": "array", "items": object(
                    &["clusterId", "state", "reason", "since", "observedGeneration"],
                    json!({"clusterId": text, "state": text, "reason": text, "since": text,
                           "observedGeneration": {"type": "integer"}}),
                )}
            }),
        ),
        "NewCluster": object(&["name"], json!({
            "id": text, "name": text, "kubeconfig": text, "project": text, "enterpriseProject": text,
            "provider": text, "region": text, "owner": text, "labels": labels,
            "userNameTemplates": texts, "groupNameTemplates": texts, "groupMembers": members
        })),
        "ClusterUpdate": object(&[], json!({
            "owner": text, "labels": labels,
            "userNameTemplates": texts, "groupNameTemplates": texts, "groupMembers": members
        })),
        "NewConnection": object(&["kubeconfig"], json!({"kubeconfig": text, "replace": {"type": "boolean"}})),
        "Rotation": object(&["outcome", "cluster", "remaining"], json!({
            "outcome": {"enum": ["same", "first", "replaced"]}, "cluster": cluster, "remaining": remaining,
            "command": text
        })),
        "Removal": object(&["id", "state", "reason", "remaining"], json!({
            "id": text, "state": {"enum": ["revoking", "done"]}, "reason": text, "remaining": remaining,
            "certificates": {"type": "array", "items": text}, "command": text
        })),
        "Cluster": object(&["id", "name", "state"], json!({
            "id": text, "name": text, "state": text, "reason": text, "version": text, "server": text,
            "project": text, "enterpriseProject": text, "provider": text, "region": text, "owner": text,
            "labels": labels, "userNameTemplates": texts, "groupNameTemplates": texts, "groupMembers": members,
            "login": text, "identifiedAt": text, "suspendedAt": text, "createdAt": text, "updatedAt": text,
            "identity": {"type": "object", "properties": {"uid": text}}
        })),
        "NewPrincipal": object(&["name"], json!({
            "id": text, "name": text, "password": text, "externalIds": external
        })),
        "Principal": object(&["id", "name"], json!({
            "id": text, "name": text, "enabled": {"type": "boolean"}, "root": {"type": "boolean"},
            "externalIds": external, "createdAt": text,
            "members": {"type": "array", "items": object(&["id", "name"], json!({"id": text, "name": text}))}
        })),
        "Password": object(&["password"], json!({"password": text})),
        "NewAccessKey": object(&["user"], json!({"user": text, "description": text})),
        "AccessKeyUpdate": object(&["enabled"], json!({"enabled": {"type": "boolean"}})),
        "AccessKey": object(&["accessKeyId", "user", "enabled"], json!({
            "accessKeyId": text, "secretAccessKey": text, "user": text, "enabled": {"type": "boolean"},
            "description": text, "createdAt": text, "lastUsedAt": text, "endsAt": text
        })),
        "NewProject": object(&["name"], json!({"id": text, "name": text})),
        "Project": object(&["id", "name"], json!({"id": text, "name": text, "createdAt": text}))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_every_operation_and_every_schema_that_it_uses() {
        let actions = crate::dialects::native::actions().unwrap();
        let document = document(Some(&actions));
        for row in rows() {
            let found = &document["paths"][row.path][row.method.to_lowercase()]["operationId"];
            assert_eq!(*found, row.name);
            let named = &document["paths"][row.path][row.method.to_lowercase()][ACTION];
            assert_eq!(named.is_string(), matches!(actions.of(&row), Bound::To(_)), "{}", row.name);
        }
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}
