//! The ClusterRoles that are ours, as plain data. They are part of the connector's manifest: an aggregated ClusterRole
//! can only be made by who may `escalate`, which a connector must not.
//!
//! What no read role may hold, because it reads credentials or executes although its verb is `get`: secrets,
//! `serviceaccounts/token`, `nodes/proxy`, `pods/exec`, `pods/attach`, `pods/portforward`, `pods/proxy`,
//! `services/proxy`. Resources are listed and never `*`, so that a new one of that sort does not slip in.

use std::collections::BTreeMap;

use domain::Role;

use crate::RBAC_GROUP;

const ADMINISTRATOR_VIEW: &str = "bailiwick:administrator-view";
const OPERATOR: &str = "bailiwick:operator";
const OPERATOR_CLUSTER_SCOPED: &str = "bailiwick:operator-cluster-scoped";

const AGGREGATE_TO_ADMIN: &str = "rbac.authorization.k8s.io/aggregate-to-admin";
const AGGREGATE_TO_OPERATOR: &str = "bailiwick.dev/aggregate-to-operator";

const READ: [&str; 3] = ["get", "list", "watch"];

/// A ClusterRole of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRoleSpec {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its rules; empty if it aggregates.
    pub rules: Vec<Rule>,
    /// The label selectors of its aggregation rule; empty if it has rules of its own, since an aggregate's own rules
    /// are overwritten.
    pub aggregate: Vec<BTreeMap<String, String>>,
}

/// One rule of a role: each verb, on each resource of each group, and on each URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// API groups; the core group is empty.
    pub api_groups: Vec<String>,
    /// Resources, subresources after a slash.
    pub resources: Vec<String>,
    /// Verbs.
    pub verbs: Vec<String>,
    /// The only names of those resources that are meant; empty means all.
    pub resource_names: Vec<String>,
    /// Paths that are no resources; one that ends with `*` stands for all that begin like it.
    pub non_resource_urls: Vec<String>,
}

/// Stands for rules that were too many to be read. No API server takes a rule without verbs, so it is not mistaken for
/// one.
#[must_use]
pub fn unread() -> Vec<Rule> {
    vec![Rule::default()]
}

/// Whether `rules` are [`unread`].
#[must_use]
pub fn are_unread(rules: &[Rule]) -> bool {
    matches!(rules, [only] if *only == Rule::default())
}

/// All ClusterRoles of ours.
#[must_use]
pub fn all() -> Vec<ClusterRoleSpec> {
    vec![administrator_view(), operator(), operator_cluster_scoped()]
}

/// The ClusterRoles of ours that must be in a cluster for `role` to mean something there.
#[must_use]
pub fn needed(role: &Role) -> &'static [&'static str] {
    match role {
        Role::AdministratorView => &[ADMINISTRATOR_VIEW],
        Role::Operator => &[OPERATOR, OPERATOR_CLUSTER_SCOPED],
        // These are Kubernetes' own, or the user's.
        Role::Administrator | Role::Developer | Role::Viewer | Role::Custom(_) => &[],
    }
}

fn administrator_view() -> ClusterRoleSpec {
    ClusterRoleSpec {
        name: ADMINISTRATOR_VIEW.to_owned(),
        labels: labels(&[]),
        rules: VIEWED.iter().map(|(group, resources)| read(group, resources)).collect(),
        aggregate: Vec::new(),
    }
}

/// Kubernetes' `admin` and what [`operator_cluster_scoped`] adds.
fn operator() -> ClusterRoleSpec {
    ClusterRoleSpec {
        name: OPERATOR.to_owned(),
        labels: labels(&[]),
        rules: Vec::new(),
        aggregate: [AGGREGATE_TO_ADMIN, AGGREGATE_TO_OPERATOR].map(selector).into(),
    }
}

fn operator_cluster_scoped() -> ClusterRoleSpec {
    ClusterRoleSpec {
        name: OPERATOR_CLUSTER_SCOPED.to_owned(),
        labels: labels(&[AGGREGATE_TO_OPERATOR]),
        rules: vec![
            read("", &["namespaces", "nodes", "persistentvolumes", "resourcequotas"]),
            read("storage.k8s.io", &["storageclasses"]),
        ],
        aggregate: Vec::new(),
    }
}

fn selector(label: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(label.to_owned(), "true".to_owned())])
}

fn labels(aggregate_to: &[&str]) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "bailiwick".to_owned())]);
    labels.extend(aggregate_to.iter().map(|label| ((*label).to_owned(), "true".to_owned())));
    labels
}

fn read(group: &str, resources: &[&str]) -> Rule {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Rule {
        api_groups: vec![group.to_owned()],
        resources: owned(resources),
        verbs: owned(&READ),
        resource_names: Vec::new(),
        non_resource_urls: Vec::new(),
    }
}

/// What administrator-view reads: the resources of Kubernetes' own groups, from 1.20 on. Some exist only in some
/// versions; a rule about a resource that does not exist is without effect.
const VIEWED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "componentstatuses",
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "namespaces",
            "namespaces/status",
            "nodes",
            "nodes/status",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "persistentvolumes",
            "persistentvolumes/status",
            "pods",
            "pods/log",
            "pods/status",
            "podtemplates",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
            "serviceaccounts",
            "services",
            "services/status",
        ],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicies/status",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
    ),
    ("apiextensions.k8s.io", &["customresourcedefinitions", "customresourcedefinitions/status"]),
    ("apiregistration.k8s.io", &["apiservices", "apiservices/status"]),
    (
        "apps",
        &[
            "controllerrevisions",
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
    ("batch", &["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    (
        "certificates.k8s.io",
        &["certificatesigningrequests", "certificatesigningrequests/status", "clustertrustbundles"],
    ),
    ("coordination.k8s.io", &["leases"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("events.k8s.io", &["events"]),
    ("extensions", &["ingresses", "ingresses/status"]),
    (
        "flowcontrol.apiserver.k8s.io",
        &[
            "flowschemas",
            "flowschemas/status",
            "prioritylevelconfigurations",
            "prioritylevelconfigurations/status",
        ],
    ),
    (
        "networking.k8s.io",
        &[
            "ingressclasses",
            "ingresses",
            "ingresses/status",
            "ipaddresses",
            "networkpolicies",
            "servicecidrs",
        ],
    ),
    ("node.k8s.io", &["runtimeclasses"]),
    ("policy", &["poddisruptionbudgets", "poddisruptionbudgets/status", "podsecuritypolicies"]),
    (RBAC_GROUP, &["clusterrolebindings", "clusterroles", "rolebindings", "roles"]),
    ("resource.k8s.io", &["deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
    (
        "storage.k8s.io",
        &[
            "csidrivers",
            "csinodes",
            "csistoragecapacities",
            "storageclasses",
            "volumeattachments",
            "volumeattachments/status",
            "volumeattributesclasses",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::ClusterRoleName;

    use super::*;

    const NEVER_READ: [(&str, &str); 9] = [
        ("", "secrets"),
        ("", "serviceaccounts/token"),
        ("", "nodes/proxy"),
        ("", "pods/exec"),
        ("", "pods/attach"),
        ("", "pods/portforward"),
        ("", "pods/proxy"),
        ("", "services/proxy"),
        ("", "pods/ephemeralcontainers"),
    ];

    /// Whether a rule matches, by the wildcards that Kubernetes knows.
    fn allows(rules: &[Rule], verb: &str, group: &str, resource: &str) -> bool {
        let subresource = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        rules.iter().any(|rule| {
            let has = |words: &[String], word: &str| words.iter().any(|w| w == word || w == "*");
            has(&rule.verbs, verb)
                && has(&rule.api_groups, group)
                && (has(&rule.resources, resource)
                    || subresource.as_ref().is_some_and(|s| has(&rule.resources, s)))
        })
    }

    #[test]
    fn no_role_of_ours_reads_secrets_or_executes() {
        for role in all() {
            for (group, resource) in NEVER_READ {
                for verb in ["get", "list", "watch", "create"] {
                    assert!(
                        !allows(&role.rules, verb, group, resource),
                        "{} may {verb} {resource}",
                        role.name
                    );
                }
            }
        }
    }

    #[test]
    fn every_rule_of_ours_only_reads_and_lists_what_it_reads() {
        for rule in all().iter().flat_map(|role| &role.rules) {
            assert_eq!(rule.verbs, READ);
            for word in rule.api_groups.iter().chain(&rule.resources) {
                assert!(!word.contains('*'), "{word}");
            }
            for (resource, sub) in rule.resources.iter().filter_map(|resource| resource.split_once('/')) {
                assert!(["log", "scale", "status"].contains(&sub), "{resource}/{sub} may do more than show");
            }
        }
    }

    #[test]
    fn the_check_for_forbidden_permissions_sees_through_wildcards() {
        for resource in ["*", "*/exec", "pods/exec"] {
            assert!(allows(&[read("", &[resource])], "get", "", "pods/exec"), "{resource}");
        }
    }

    #[test]
    fn an_aggregate_has_no_rules_of_its_own_and_finds_its_parts() {
        let roles = all();
        let operator = roles.iter().find(|role| role.name == OPERATOR).unwrap();
        assert!(operator.rules.is_empty());
        assert_eq!(operator.aggregate, [selector(AGGREGATE_TO_ADMIN), selector(AGGREGATE_TO_OPERATOR)]);
        let part = roles.iter().find(|role| role.name == OPERATOR_CLUSTER_SCOPED).unwrap();
        assert_eq!(part.labels.get(AGGREGATE_TO_OPERATOR).map(String::as_str), Some("true"));
        for resource in ["nodes", "persistentvolumes", "namespaces", "resourcequotas"] {
            assert!(allows(&part.rules, "watch", "", resource), "{resource}");
        }
        assert!(allows(&part.rules, "list", "storage.k8s.io", "storageclasses"));
    }

    #[test]
    fn no_role_of_ours_leaks_into_the_built_in_ones_by_its_labels() {
        for role in all() {
            assert!(
                role.labels.keys().all(|label| !label.starts_with("rbac.authorization.k8s.io/")),
                "{}",
                role.name
            );
        }
    }

    #[test]
    fn the_roles_needed_exist_and_all_that_exist_are_needed() {
        let defined: BTreeSet<String> = all().into_iter().map(|role| role.name).collect();
        let custom = Role::Custom(ClusterRoleName::parse("role", "x").unwrap());
        let roles = Role::PREDEFINED.into_iter().chain([custom]);
        let mut used = BTreeSet::new();
        for role in roles {
            used.extend(needed(&role).iter().map(|name| (*name).to_owned()));
            let ours = role.cluster_role().starts_with("bailiwick:");
            assert_eq!(needed(&role).contains(&role.cluster_role()), ours, "{role}");
        }
        assert_eq!(used, defined);
    }
}
