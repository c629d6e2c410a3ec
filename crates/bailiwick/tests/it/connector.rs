//! The connector's manifests: they hold the ClusterRoles that the program knows, and no right more than they say.

use std::collections::{BTreeMap, BTreeSet};

use rbac::cluster_roles::{self, ClusterRoleSpec, Rule};
use serde_json::Value;

use crate::repository::read;

/// What a stolen connector must not be able to do, whatever else it may.
const NEVER: [&str; 3] = ["escalate", "impersonate", "*"];

fn documents(manifest: &str) -> Vec<Value> {
    let text = read(&format!("deploy/connector/{manifest}.yaml"));
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).expect(manifest)).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn map(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn cluster_role(object: &Value) -> ClusterRoleSpec {
    let rule = |rule: &Value| Rule {
        api_groups: strings(&rule["apiGroups"]),
        resources: strings(&rule["resources"]),
        verbs: strings(&rule["verbs"]),
        resource_names: strings(&rule["resourceNames"]),
        non_resource_urls: strings(&rule["nonResourceURLs"]),
    };
    let selectors = object["aggregationRule"]["clusterRoleSelectors"].as_array();
    ClusterRoleSpec {
        name: object["metadata"]["name"].as_str().unwrap().to_owned(),
        labels: map(&object["metadata"]["labels"]),
        rules: object["rules"].as_array().into_iter().flatten().map(rule).collect(),
        aggregate: selectors.into_iter().flatten().map(|selector| map(&selector["matchLabels"])).collect(),
    }
}

/// The ClusterRoles of a manifest by their names.
fn cluster_roles_of(manifest: &str) -> BTreeMap<String, ClusterRoleSpec> {
    let roles = documents(manifest).into_iter().filter(|object| object["kind"] == "ClusterRole");
    roles.map(|object| cluster_role(&object)).map(|role| (role.name.clone(), role)).collect()
}

/// Each right of a role in a line: verb, group/resource, names.
fn rights(role: &ClusterRoleSpec) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rule in &role.rules {
        for (verb, group) in rule.verbs.iter().flat_map(|verb| rule.api_groups.iter().map(move |g| (verb, g)))
        {
            let names = rule.resource_names.join(" ");
            let line = |resource: &String| format!("{verb} {group}/{resource} {names}").trim_end().to_owned();
            found.extend(rule.resources.iter().map(line));
        }
    }
    found
}

#[test]
fn the_manifest_holds_the_cluster_roles_that_the_program_knows() {
    let mut found = cluster_roles_of("base");
    found.remove("bailiwick:connector").expect("the connector's own role");
    let known: BTreeMap<String, ClusterRoleSpec> =
        cluster_roles::all().into_iter().map(|role| (role.name.clone(), role)).collect();
    assert_eq!(found, known);
}

#[test]
fn the_base_connector_may_do_what_it_needs_and_nothing_more() {
    let roles = cluster_roles_of("base");
    let found = rights(&roles["bailiwick:connector"]);
    let rbac = "rbac.authorization.k8s.io";
    let mut expected = BTreeSet::from(["create authorization.k8s.io/subjectaccessreviews".to_owned()]);
    for verb in ["get", "list", "watch"] {
        expected.insert(format!("{verb} /namespaces"));
        let read = ["clusterrolebindings", "rolebindings", "clusterroles", "roles"];
        expected.extend(read.map(|resource| format!("{verb} {rbac}/{resource}")));
    }
    for verb in ["create", "update", "patch", "delete"] {
        let written = ["clusterrolebindings", "rolebindings"];
        expected.extend(written.map(|resource| format!("{verb} {rbac}/{resource}")));
    }
    let bound = "admin edit view bailiwick:operator bailiwick:administrator-view";
    expected.insert(format!("bind {rbac}/clusterroles {bound}"));
    assert_eq!(found, expected);
}

#[test]
fn every_predefined_role_is_bound_by_the_base_or_by_the_administrators_manifest() {
    let bound = |manifest: &str| -> BTreeSet<String> {
        let roles = cluster_roles_of(manifest);
        let rules = roles.values().flat_map(|role| &role.rules);
        let binds = rules.filter(|rule| rule.verbs.contains(&"bind".to_owned()));
        binds.flat_map(|rule| rule.resource_names.clone()).collect()
    };
    for role in domain::Role::PREDEFINED {
        let manifest = if role == domain::Role::Administrator { "administrator" } else { "base" };
        assert!(bound(manifest).contains(role.cluster_role()), "{role} in {manifest}");
    }
    assert_eq!(bound("administrator").len(), 1);
    assert!(!bound("base").contains("cluster-admin"));
}

#[test]
fn no_manifest_lets_the_connector_escalate_impersonate_or_bind_whatever_it_likes() {
    for manifest in ["base", "administrator", "certificates", "pod-identity"] {
        for role in cluster_roles_of(manifest).values() {
            for rule in &role.rules {
                let words: Vec<&String> =
                    rule.verbs.iter().chain(&rule.resources).chain(&rule.api_groups).collect();
                assert!(!words.iter().any(|word| NEVER.contains(&word.as_str())), "{manifest}: {rule:?}");
                assert!(!words.iter().any(|word| *word == "secrets"), "{manifest}: {rule:?}");
                let named =
                    ["bind", "approve", "sign"].iter().any(|verb| rule.verbs.contains(&(*verb).to_owned()));
                assert!(!named || !rule.resource_names.is_empty(), "{manifest}: {rule:?} needs names");
            }
        }
    }
}

#[test]
fn for_pod_identity_the_connector_reads_and_writes_nothing() {
    let role = &cluster_roles_of("pod-identity")["bailiwick:connector-pod-identity"];
    for rule in &role.rules {
        assert!(rule.verbs.iter().all(|verb| ["get", "list", "watch"].contains(&verb.as_str())), "{rule:?}");
        let read = ["serviceaccounts", "pods"];
        assert!(rule.resources.iter().all(|resource| read.contains(&resource.as_str())), "{rule:?}");
        let urls = ["/.well-known/openid-configuration", "/openid/v1/jwks"];
        assert!(rule.non_resource_urls.iter().all(|url| urls.contains(&url.as_str())), "{rule:?}");
    }
}

#[test]
fn every_binding_of_the_manifests_gives_a_role_of_its_manifest_to_the_connector_alone() {
    for manifest in ["base", "administrator", "certificates", "pod-identity"] {
        let bindings: Vec<Value> =
            documents(manifest).into_iter().filter(|object| object["kind"] == "ClusterRoleBinding").collect();
        assert_eq!(bindings.len(), 1, "{manifest}");
        let role = bindings[0]["roleRef"]["name"].as_str().unwrap();
        assert!(cluster_roles_of(manifest).contains_key(role), "{manifest}: {role}");
        let subject = serde_json::json!(
            [{"kind": "ServiceAccount", "name": "bailiwick-connector", "namespace": "bailiwick-system"}]
        );
        assert_eq!(bindings[0]["subjects"], subject, "{manifest}");
    }
}

#[test]
fn the_policy_that_confines_is_about_the_connector_and_says_that_it_is_untested() {
    let user = "system:serviceaccount:bailiwick-system:bailiwick-connector";
    let is_policy = |object: &&Value| object["kind"] == "ValidatingAdmissionPolicy";
    let all = documents("confine");
    let policies: Vec<&Value> = all.iter().filter(is_policy).collect();
    assert_eq!(policies.len(), 2);
    for policy in &policies {
        assert!(policy["spec"]["matchConditions"].to_string().contains(user));
        let bound = |object: &Value| object["spec"]["policyName"] == policy["metadata"]["name"];
        assert_eq!(all.iter().filter(|object| bound(object)).count(), 1);
    }
    assert!(read("deploy/connector/confine.yaml").contains("NOT TESTED"));
}

#[test]
fn the_policy_that_confines_knows_the_signing_requests_that_the_program_makes() {
    let policies = documents("confine");
    let policy =
        policies.iter().find(|object| object["metadata"]["name"] == "bailiwick-connector-certificates");
    let policy = policy.unwrap()["spec"].to_string();
    let serial = domain::certificate::serial(&domain::entropy::Fixed::new(1));
    assert_eq!(serial.as_str().len(), 16);
    let signs = read("crates/fleet/src/signing.rs");
    for word in ["digital signature", "client auth", "app.kubernetes.io/managed-by"] {
        assert!(signs.contains(word) && policy.contains(word), "{word}");
    }
    let rights = rights(&cluster_roles_of("certificates")["bailiwick:connector-certificates"]);
    let approves = "approve certificates.k8s.io/signers kubernetes.io/kube-apiserver-client";
    assert!(rights.contains(approves) && policy.contains("kubernetes.io/kube-apiserver-client"));
    assert!(policy.contains("^bailiwick-[0-9a-f]{16}$") && policy.contains("oldObject.spec.username"));
}
