//! The authorization tables: each operation is in them, they name nothing that is not there, and they say what the
//! vendors' documents say.

use std::collections::{BTreeMap, BTreeSet};

use api::actions::{Action, Actions, Bound, Level, spelled};
use api::dialects;
use api::operation::{Handler, Operation};
use service::authz::{Fact, actions as own};

/// The rows of each dialect that is served.
pub fn served() -> BTreeMap<&'static str, Vec<Operation>> {
    let of = |dialect: &std::sync::Arc<dyn api::operation::Dialect>| {
        (dialect.name(), dialect.table().rows().to_vec())
    };
    dialects::all().unwrap().iter().map(of).collect()
}

/// The tables of each dialect.
pub fn tables() -> BTreeMap<&'static str, Actions> {
    dialects::actions().unwrap().into_iter().collect()
}

fn spellings(rows: &[Operation]) -> BTreeSet<String> {
    rows.iter().map(|row| spelled(&format!("{} {}", row.method, row.path))).collect()
}

#[test]
fn every_operation_asks_for_an_action_or_says_why_not() {
    let tables = tables();
    for (dialect, rows) in served() {
        for row in rows {
            match (tables[dialect].of(&row), row.handler) {
                (Bound::To(_) | Bound::Free(_), Handler::Authenticated(_))
                | (Bound::Free(_), Handler::Open(_)) => {}
                // They ask by themselves: one whoever is not on this machine, one for a key of somebody else.
                (Bound::To(_), Handler::Open(_)) => {
                    assert!(["metrics.show", "iam.createTemporaryAccessKey"].contains(&row.name));
                }
                (Bound::Nothing, _) => panic!(
                    "{} {} is in neither actions.json nor free.json of `{dialect}`",
                    row.method, row.path
                ),
            }
        }
    }
}

#[test]
fn every_action_has_an_operation_unless_it_is_marked_as_of_a_later_version() {
    let (tables, served) = (tables(), served());
    let asked_natively: BTreeSet<&str> = tables
        .values()
        .flat_map(Actions::rows)
        .filter(|row| !row.later)
        .filter_map(|row| row.native.as_deref())
        .collect();
    for (dialect, actions) in &tables {
        let there = served.get(dialect).map(|rows| spellings(rows)).unwrap_or_default();
        for row in actions.rows() {
            let missing: Vec<&String> =
                row.operations.iter().filter(|operation| !there.contains(&spelled(operation))).collect();
            let none = missing.len() == row.operations.len() && !asked_natively.contains(row.action.as_str());
            assert_eq!(none, row.later, "`later` of {}; operations not served: {missing:?}", row.action);
            assert!(row.later || missing.is_empty(), "{}: not served: {missing:?}", row.action);
        }
        for free in actions.free() {
            let missing = !there.contains(&spelled(&free.operation));
            assert_eq!(missing, free.later, "`later` of {}", free.operation);
        }
    }
}

#[test]
fn rows_name_only_what_there_is() {
    let tables = tables();
    let names = |actions: &Actions| -> BTreeSet<String> {
        actions.rows().iter().map(|row| row.action.clone()).collect()
    };
    let native = names(&tables["native"]);
    for actions in tables.values() {
        let own = names(actions);
        let keys: BTreeSet<&str> = actions.keys().iter().map(|key| key.key.as_str()).collect();
        for row in actions.rows() {
            let name = &row.action;
            assert!(row.native.as_ref().is_none_or(|action| native.contains(action)), "{name}: native");
            assert!(row.dependencies.iter().all(|action| own.contains(action)), "{name}: dependencies");
            assert_eq!(row.resource.is_some(), row.resource_template.is_some(), "{name}: template");
            assert!(row.resource.is_some() || !row.resource_required, "{name}: resource");
            let is_known = |key: &String| keys.contains(key.trim_end_matches("<tag-key>"));
            assert!(row.keys.iter().all(is_known), "{name}: keys");
            assert!(!row.aliases.contains(name), "{name}: aliases");
        }
    }
}

#[test]
fn what_a_policy_may_narrow_an_action_by_is_what_the_right_behind_it_knows() {
    let tables = tables();
    for row in tables.values().flat_map(Actions::rows).filter(|row| !row.later) {
        let Some(native) = row.native.as_deref().and_then(own::find) else { continue };
        // Attaching is about two things, and policies may name either.
        let of_holders = ["bailiwick:policy:attach", "bailiwick:policy:detach"].contains(&native.name);
        let holders = ["user", "group", "agency"].map(Some);
        let is_known = row.resource.is_none()
            || row.resource.as_deref() == native.resource
            || (of_holders && holders.contains(&row.resource.as_deref()));
        assert!(is_known, "{}: resource", row.action);
        for key in &row.keys {
            let named = |known: &&api::actions::Key| key.trim_end_matches("<tag-key>") == known.key;
            let fact = tables.values().flat_map(Actions::keys).find(named).map(|key| Fact::parse(&key.fact));
            let fact = fact.unwrap_or_else(|| panic!("{}: {key}", row.action)).unwrap();
            assert!(native.facts.contains(&fact), "{}: {key}", row.action);
        }
    }
}

#[test]
fn templates_have_the_five_parts_that_policies_match_and_no_unknown_word() {
    for (dialect, actions) in tables() {
        for row in actions.rows() {
            let Some(template) = &row.resource_template else { continue };
            assert!(template.split(':').count() >= 5, "{dialect}: {}: {template}", row.action);
            let known = ["{region}", "{account}", "{id}", "{name}"];
            let rest = known.iter().fold(template.clone(), |text, word| text.replace(word, ""));
            assert!(!rest.contains(['{', '}']), "{template}");
            assert!(template.contains("{account}"), "{template} crosses accounts");
        }
    }
}

#[test]
fn keys_that_every_action_has_are_named_by_none() {
    for actions in tables().values() {
        let global: BTreeSet<&str> =
            actions.keys().iter().filter(|key| key.global).map(|key| key.key.as_str()).collect();
        let names: BTreeSet<&str> = actions.keys().iter().map(|key| key.key.as_str()).collect();
        assert_eq!(names.len(), actions.keys().len(), "a key is listed once");
        for row in actions.rows() {
            assert!(!row.keys.iter().any(|key| global.contains(key.as_str())), "{}", row.action);
        }
    }
}

/// What a vendor documents about an operation.
struct Documented {
    operation: &'static str,
    action: &'static str,
    level: Level,
    resource: Option<&'static str>,
    keys: &'static [&'static str],
    also: &'static [&'static str],
}

const ENTERPRISE: &str = "g:EnterpriseProjectId";
const OF_CLUSTER: &str = "cce:ClusterId";
const TAG: &str = "g:ResourceTag/<tag-key>";
const POLICIES: &str = "/api/v3/access-policies";

/// The vendors' authorization tables, read from their pages and written down again: what `actions.json` must say.
const DOCUMENTED: [Documented; 15] = [
    Documented {
        operation: "GET /api/v3/projects/{p}/clusters/{c}/pod-identity-associations",
        action: "cce:podIdentityAssociation:list",
        level: Level::List,
        resource: Some("podidentityassociation"),
        keys: &[ENTERPRISE, OF_CLUSTER],
        also: &[],
    },
    Documented {
        operation: "POST /api/v3/projects/{p}/clusters/{c}/pod-identity-associations",
        action: "cce:podIdentityAssociation:create",
        level: Level::Write,
        resource: Some("podidentityassociation"),
        keys: &[ENTERPRISE, "g:TagKeys", "g:RequestTag/<tag-key>", OF_CLUSTER],
        also: &[],
    },
    Documented {
        operation: "GET /api/v3/projects/{p}/clusters/{c}/pod-identity-associations/{a}",
        action: "cce:podIdentityAssociation:get",
        level: Level::Read,
        resource: Some("podidentityassociation"),
        keys: &[TAG, ENTERPRISE, OF_CLUSTER],
        also: &[],
    },
    Documented {
        operation: "DELETE /api/v3/projects/{p}/clusters/{c}/pod-identity-associations/{a}",
        action: "cce:podIdentityAssociation:delete",
        level: Level::Write,
        resource: Some("podidentityassociation"),
        keys: &[ENTERPRISE, TAG, OF_CLUSTER],
        also: &[],
    },
    Documented {
        operation: "POST /api/v3/projects/{p}/clusters/{c}/assume-agency-for-pod-identity",
        action: "cce::assumeAgencyForPodIdentity",
        level: Level::Write,
        resource: None,
        keys: &[],
        also: &[],
    },
    no_resource("GET /api/v3/access-policies", "cce:accessPolicy:list", Level::Read),
    no_resource("POST /api/v3/access-policies", "cce:accessPolicy:post", Level::Write),
    no_resource("PUT /api/v3/access-policies/{p}", "cce:accessPolicy:put", Level::Write),
    no_resource("DELETE /api/v3/access-policies/{p}", "cce:accessPolicy:delete", Level::Write),
    Documented {
        operation: "POST /api/v3/projects/{p}/clusters/{c}/clustercert",
        action: "cce:cluster:generateClientCredential",
        level: Level::Read,
        resource: Some("cluster"),
        keys: &[ENTERPRISE, TAG],
        also: &["cce:cluster:get"],
    },
    Documented {
        operation: "POST /api/v3/projects/{p}/clusters/{c}/clustercertrevoke",
        action: "cce:cluster:revokeClientCredential",
        level: Level::Write,
        resource: Some("cluster"),
        keys: &[ENTERPRISE, TAG],
        also: &[],
    },
    Documented {
        operation: "GET /api/v3/projects/{p}/clusters/{c}",
        action: "cce:cluster:getCluster",
        level: Level::Read,
        resource: Some("cluster"),
        keys: &[TAG, ENTERPRISE],
        also: &["cce:cluster:get"],
    },
    Documented {
        operation: "GET /permissions/users/{u}",
        action: "cs:GetUserPermissions",
        level: Level::Read,
        resource: None,
        keys: &[],
        // Other pages of the vendor call it so.
        also: &["cs:DescribeUserPermission"],
    },
    no_resource("POST /permissions/users/{u}/update", "cs:UpdateUserPermissions", Level::Write),
    no_resource("DELETE /users/{u}/permissions", "cs:CleanUserPermissions", Level::Write),
];

/// A row with dashes in every other column.
const fn no_resource(operation: &'static str, action: &'static str, level: Level) -> Documented {
    Documented { operation, action, level, resource: None, keys: &[], also: &[] }
}

fn sorted<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    texts.into_iter().collect()
}

fn row_of<'a>(tables: &'a BTreeMap<&str, Actions>, operation: &str) -> Option<&'a Action> {
    let names = |row: &&Action| row.operations.iter().any(|named| spelled(named) == spelled(operation));
    tables.values().flat_map(Actions::rows).find(names)
}

#[test]
fn the_tables_say_what_the_vendors_document() {
    let tables = tables();
    for expected in &DOCUMENTED {
        let row = row_of(&tables, expected.operation).unwrap_or_else(|| panic!("{}", expected.operation));
        assert_eq!(row.action, expected.action);
        let name = expected.action;
        assert_eq!(row.level, expected.level, "{name}");
        assert_eq!(row.resource.as_deref(), expected.resource, "{name}");
        assert_eq!(row.resource_required, expected.resource.is_some(), "{name}: they mark it as required");
        assert_eq!(
            sorted(row.keys.iter().map(String::as_str)),
            sorted(expected.keys.iter().copied()),
            "{name}"
        );
        assert_eq!(
            sorted(row.aliases.iter().map(String::as_str)),
            sorted(expected.also.iter().copied()),
            "{name}"
        );
        assert!(row.dependencies.is_empty(), "{name}: they name none");
        assert!(row.source.starts_with("documented"), "{name}");
    }
    let others = ["GET", "POST", "PUT", "DELETE"].map(|method| format!("{method} {POLICIES}/{{p}}"));
    for operation in others {
        let Some(row) = row_of(&tables, &operation) else { continue };
        assert!(row.keys.is_empty() && row.resource.is_none(), "{operation}: a cluster's id is no key here");
    }
}

#[test]
fn where_the_vendor_asks_no_action_none_is_made_up() {
    let tables = tables();
    let operation = "GET /v5/{p}/container/kubernetes/multi-cloud/clusters/{c}/permissions";
    assert!(row_of(&tables, operation).is_none());
    let free = tables["huawei"].free().iter().find(|free| spelled(&free.operation) == spelled(operation));
    assert!(free.is_some());
}
