//! Access policies on the wire: reading a request's body, writing an answer's.

use domain::{
    ClusterId, ClusterScope, Error, ErrorKind, Grant, GrantSpec, Namespace, NamespaceScope, PrincipalId,
};
use domain::{PrincipalKind, Principals, Result};
use serde::Serialize;

use super::policy_type::PolicyTypes;
use crate::json::Object;

/// An access policy as answered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessPolicy<'a> {
    kind: &'static str,
    api_version: &'static str,
    name: &'a str,
    policy_id: &'a str,
    clusters: Vec<&'a str>,
    access_scope: AccessScope<'a>,
    policy_type: String,
    principal: Principal<'a>,
    create_time: String,
    update_time: String,
}

#[derive(Serialize)]
struct AccessScope<'a> {
    namespaces: Vec<&'a str>,
}

#[derive(Serialize)]
struct Principal<'a> {
    r#type: &'static str,
    ids: Vec<&'a str>,
}

impl<'a> AccessPolicy<'a> {
    pub(super) fn new(grant: &'a Grant, types: PolicyTypes) -> Self {
        let spec = &grant.spec;
        Self {
            kind: "AccessPolicy",
            api_version: "v3",
            name: &spec.name,
            policy_id: grant.id.as_str(),
            clusters: match &spec.clusters {
                ClusterScope::All => vec!["*"],
                ClusterScope::Listed(ids) => ids.iter().map(ClusterId::as_str).collect(),
            },
            access_scope: AccessScope {
                namespaces: match &spec.namespaces {
                    NamespaceScope::All => vec!["*"],
                    NamespaceScope::Listed(names) => names.iter().map(Namespace::as_str).collect(),
                },
            },
            policy_type: types.name(&spec.role),
            principal: Principal {
                r#type: spec.principals.kind.as_str(),
                ids: spec.principals.ids.iter().map(PrincipalId::as_str).collect(),
            },
            create_time: grant.created_at.rfc3339_seconds(),
            update_time: grant.updated_at.rfc3339_seconds(),
        }
    }
}

/// Reads a policy. Keys that the vendor only sends in answers are ignored, so that what was read can be written
/// back; `policyId` may be there only if it says what the path says.
pub(super) fn read(mut body: Object, path_id: Option<&str>, types: PolicyTypes) -> Result<GrantSpec> {
    expect(&mut body, "kind", "AccessPolicy")?;
    expect(&mut body, "apiVersion", "v3")?;
    check_policy_id(&mut body, path_id)?;
    let name = body.text("name")?;
    let clusters = body.texts("clusters")?;
    let namespaces = body.object("accessScope")?.texts("namespaces")?;
    let policy_type = policy_type(&mut body)?;
    let mut principal = body.object("principal")?;
    let kind = PrincipalKind::parse("principal.type", &principal.text("type")?)?;
    let ids = principal.texts("ids")?;
    Ok(GrantSpec {
        name,
        role: types.role("policyType", &policy_type)?,
        principals: Principals { kind, ids: read_ids("principal.ids", &ids)? },
        clusters: match star("clusters", &clusters)? {
            Star::All => ClusterScope::All,
            Star::Listed => ClusterScope::Listed(read_ids("clusters", &clusters)?),
        },
        namespaces: match star("accessScope.namespaces", &namespaces)? {
            Star::All => NamespaceScope::All,
            Star::Listed => {
                let read = |name: &String| Namespace::parse("accessScope.namespaces", name);
                NamespaceScope::Listed(namespaces.iter().map(read).collect::<Result<_>>()?)
            }
        },
    })
}

/// The service's words as this API has them.
pub(super) fn in_words(error: Error, id: &str) -> Error {
    if error.kind() == ErrorKind::NotFound {
        return Error::not_found("access policy", id);
    }
    let here = match error.field() {
        Some("principals") => "principal.ids",
        Some("namespaces") => "accessScope.namespaces",
        Some("role") => "policyType",
        Some(_) | None => return error,
    };
    error.at_field(here)
}

/// A key with one possible value, which is meant where the key is absent.
fn expect(body: &mut Object, key: &str, value: &str) -> Result<()> {
    match body.optional_text(key)? {
        Some(text) if text != value => Err(Error::invalid(key, format!("must be `{value}`"))),
        Some(_) | None => Ok(()),
    }
}

fn check_policy_id(body: &mut Object, path_id: Option<&str>) -> Result<()> {
    match (body.optional_text("policyId")?, path_id) {
        (None, _) => Ok(()),
        (Some(text), Some(id)) if text == id => Ok(()),
        (Some(_), Some(_)) => {
            Err(Error::invalid("policyId", "must be the one of the path; it cannot be changed"))
        }
        (Some(_), None) => Err(Error::invalid("policyId", "must be left out; it is generated")),
    }
}

/// `policyType`, or `policy` as the example of the documents has it; both only if they agree.
fn policy_type(body: &mut Object) -> Result<String> {
    match (body.optional_text("policyType")?, body.optional_text("policy")?) {
        (Some(by_type), Some(by_alias)) if by_type != by_alias => {
            Err(Error::invalid("policyType", "must not differ from its alias `policy`"))
        }
        (Some(text), _) | (None, Some(text)) => Ok(text),
        (None, None) => Err(body.missing("policyType")),
    }
}

/// Whether a list is `["*"]`.
enum Star {
    All,
    Listed,
}

fn star(field: &str, list: &[String]) -> Result<Star> {
    match list {
        [only] if only == "*" => Ok(Star::All),
        [] => Err(Error::invalid(field, "must not be empty; use [\"*\"] for all")),
        _ if list.iter().any(|entry| entry == "*") => {
            Err(Error::invalid(field, "must hold `*` alone or no `*` at all"))
        }
        _ => Ok(Star::Listed),
    }
}

fn read_ids<K>(field: &str, ids: &[String]) -> Result<Vec<domain::Id<K>>> {
    ids.iter().map(|id| domain::Id::parse(field, id)).collect()
}
