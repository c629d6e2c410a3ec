//! The few fields of Kubernetes objects that we read and write, as JSON.
//!
//! Reading a whole object only to drop most of it costs memory that whoever runs the cluster decides about, so
//! everything that is not named here is skipped while it is parsed.

use std::collections::BTreeMap;

use domain::Namespace;
use rbac::cluster_roles::{ClusterRoleSpec, Rule};
use rbac::probe::Probe;
use rbac::{Binding, ObjectName, ObservedBinding, ObservedSubject, RBAC_GROUP, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::trim::trim;

const RBAC_VERSION: &str = "rbac.authorization.k8s.io/v1";

/// A page of a list.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(crate) struct List<T> {
    #[serde(default)]
    pub(crate) metadata: ListMetadata,
    #[serde(default = "Vec::new", deserialize_with = "null_as_default")]
    pub(crate) items: Vec<T>,
}

/// What a list says about itself.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListMetadata {
    #[serde(default)]
    pub(crate) resource_version: String,
    #[serde(default)]
    pub(crate) r#continue: String,
}

/// One line of a watch, read for its object.
#[derive(Deserialize)]
pub(crate) struct Event<T> {
    pub(crate) object: T,
}

/// One line of a watch, read for what it is about.
#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) r#type: String,
    #[serde(default)]
    pub(crate) object: Anything,
}

/// What bookmarks and failures have in common with objects.
#[derive(Default, Deserialize)]
pub(crate) struct Anything {
    #[serde(default)]
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) message: String,
}

/// An object's metadata.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) namespace: String,
    #[serde(default)]
    pub(crate) uid: String,
    #[serde(default)]
    pub(crate) resource_version: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) deletion_timestamp: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) finalizers: Vec<String>,
}

/// A failure as an API server tells it.
#[derive(Default, Deserialize)]
pub(crate) struct Status {
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) details: StatusDetails,
}

/// More about a failure.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusDetails {
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) causes: Vec<Cause>,
    #[serde(default)]
    pub(crate) retry_after_seconds: u64,
}

/// One cause of a failure.
#[derive(Default, Deserialize)]
pub(crate) struct Cause {
    #[serde(default)]
    pub(crate) reason: String,
}

/// `GET /version`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    pub(crate) git_version: String,
}

/// A namespace.
#[derive(Deserialize)]
pub(crate) struct NamespaceObject {
    #[serde(default)]
    pub(crate) metadata: Metadata,
}

/// A ClusterRoleBinding or RoleBinding.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BindingObject {
    /// Only the answer to a deletion is not surely a binding.
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    role_ref: RoleRef,
    #[serde(default, deserialize_with = "null_as_default")]
    subjects: Vec<SubjectObject>,
}

/// Our mark in a cluster, read for what it says.
#[derive(Deserialize)]
pub(crate) struct StampObject {
    #[serde(default)]
    metadata: Annotated,
}

#[derive(Default, Deserialize)]
struct Annotated {
    #[serde(default, deserialize_with = "null_as_default")]
    annotations: BTreeMap<String, String>,
}

impl StampObject {
    /// What it says, sealed.
    pub(crate) fn stamp(mut self) -> Option<String> {
        self.metadata.annotations.remove(rbac::stamp::ANNOTATION)
    }
}

#[derive(Default, Deserialize)]
struct RoleRef {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubjectObject {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_group: String,
    #[serde(default)]
    name: String,
    namespace: Option<String>,
}

impl BindingObject {
    /// The first of `users` whom it names, however many it names. Some older bindings leave the group of a user out.
    pub(crate) fn named<'a>(&self, users: &'a [String]) -> Option<&'a String> {
        let names = |user: &&String| {
            self.subjects.iter().any(|subject| {
                subject.kind == "User"
                    && subject.name == **user
                    && [RBAC_GROUP, ""].contains(&subject.api_group.as_str())
            })
        };
        users.iter().find(names)
    }
}

impl From<BindingObject> for ObservedBinding {
    fn from(binding: BindingObject) -> Self {
        let metadata = binding.metadata;
        let scope = match metadata.namespace.as_str() {
            "" => Scope::Cluster,
            namespace => Scope::Namespace(Namespace::stored(namespace)),
        };
        let mut observed = Self {
            object: ObjectName { scope, name: metadata.name },
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            role_kind: binding.role_ref.kind,
            role_name: binding.role_ref.name,
            labels: metadata.labels,
            subjects: binding.subjects.into_iter().map(ObservedSubject::from).collect(),
            deleting: metadata.deletion_timestamp.is_some(),
            finalizers: !metadata.finalizers.is_empty(),
        };
        trim(&mut observed);
        observed
    }
}

impl From<SubjectObject> for ObservedSubject {
    fn from(subject: SubjectObject) -> Self {
        Self {
            kind: subject.kind,
            api_group: subject.api_group,
            name: subject.name,
            namespace: subject.namespace,
        }
    }
}

/// A ClusterRole.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterRoleObject {
    #[serde(default)]
    pub(crate) metadata: Metadata,
    #[serde(default, deserialize_with = "null_as_default")]
    rules: Vec<RuleObject>,
    #[serde(default, deserialize_with = "null_as_default")]
    aggregation_rule: AggregationRule,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleObject {
    #[serde(default, deserialize_with = "null_as_default")]
    api_groups: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    resources: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    verbs: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    resource_names: Vec<String>,
    #[serde(default, rename = "nonResourceURLs", deserialize_with = "null_as_default")]
    non_resource_urls: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AggregationRule {
    #[serde(default, deserialize_with = "null_as_default")]
    cluster_role_selectors: Vec<Selector>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    #[serde(default, deserialize_with = "null_as_default")]
    match_labels: BTreeMap<String, String>,
}

impl From<ClusterRoleObject> for ClusterRoleSpec {
    fn from(role: ClusterRoleObject) -> Self {
        let rule = |rule: RuleObject| Rule {
            api_groups: rule.api_groups,
            resources: rule.resources,
            verbs: rule.verbs,
            resource_names: rule.resource_names,
            non_resource_urls: rule.non_resource_urls,
        };
        let selectors = role.aggregation_rule.cluster_role_selectors;
        Self {
            name: role.metadata.name,
            labels: role.metadata.labels,
            rules: role.rules.into_iter().map(rule).collect(),
            aggregate: selectors.into_iter().map(|selector| selector.match_labels).collect(),
        }
    }
}

/// A request for a signature, read for what came of it.
#[derive(Deserialize)]
pub(crate) struct SigningObject {
    #[serde(default)]
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) status: SigningStatus,
}

/// What came of a request for a signature.
#[derive(Default, Deserialize)]
pub(crate) struct SigningStatus {
    /// The certificate, PEM in base64.
    #[serde(default)]
    pub(crate) certificate: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) conditions: Vec<SigningCondition>,
}

/// A word about a request for a signature.
#[derive(Deserialize)]
pub(crate) struct SigningCondition {
    #[serde(default)]
    pub(crate) r#type: String,
    #[serde(default)]
    pub(crate) message: String,
}

/// The answer to an access review.
#[derive(Deserialize)]
pub(crate) struct Review {
    pub(crate) status: ReviewStatus,
}

/// What an access review found.
#[derive(Deserialize)]
pub(crate) struct ReviewStatus {
    #[serde(default)]
    pub(crate) allowed: bool,
}

fn metadata(object: &ObjectName, labels: &BTreeMap<String, String>) -> Value {
    let mut metadata = json!({"name": object.name, "labels": labels});
    if let (Scope::Namespace(namespace), Some(fields)) = (&object.scope, metadata.as_object_mut()) {
        fields.insert("namespace".to_owned(), namespace.as_str().into());
    }
    metadata
}

/// A binding without subjects as server-side apply wants it. With the uid it changes that very object and makes none.
pub(crate) fn empty_binding(
    object: &ObjectName,
    uid: &str,
    role: (&str, &str),
    labels: &BTreeMap<String, String>,
) -> Value {
    let mut metadata = metadata(object, labels);
    if let Some(fields) = metadata.as_object_mut() {
        fields.insert("uid".to_owned(), uid.into());
    }
    json!({
        "apiVersion": RBAC_VERSION,
        "kind": object.kind(),
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": role.0, "name": role.1},
        "subjects": [],
    })
}

/// A binding as server-side apply wants it.
pub(crate) fn binding(binding: &Binding) -> Value {
    let metadata = metadata(&binding.object, &binding.labels);
    let subject = |subject: &rbac::Subject| json!({"apiGroup": RBAC_GROUP, "kind": subject.kind.as_str(), "name": subject.name});
    json!({
        "apiVersion": RBAC_VERSION,
        "kind": binding.object.kind(),
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": binding.role.cluster_role()},
        "subjects": binding.subjects.iter().map(subject).collect::<Vec<_>>(),
    })
}

/// Our mark in a cluster as server-side apply wants it.
pub(crate) fn stamp(object: &ObjectName, labels: &BTreeMap<String, String>, sealed: &str) -> Value {
    let mut metadata = metadata(object, labels);
    if let Some(fields) = metadata.as_object_mut() {
        fields.insert("annotations".to_owned(), json!({rbac::stamp::ANNOTATION: sealed}));
    }
    json!({
        "apiVersion": RBAC_VERSION,
        "kind": object.kind(),
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": rbac::stamp::CLUSTER_ROLE},
        "subjects": [],
    })
}

/// A ClusterRole as server-side apply wants it.
pub(crate) fn cluster_role(role: &ClusterRoleSpec) -> Value {
    let rule = |rule: &Rule| {
        let mut value =
            json!({"apiGroups": rule.api_groups, "resources": rule.resources, "verbs": rule.verbs});
        if let (false, Some(fields)) = (rule.non_resource_urls.is_empty(), value.as_object_mut()) {
            fields.insert("nonResourceURLs".to_owned(), json!(rule.non_resource_urls));
        }
        if let (false, Some(fields)) = (rule.resource_names.is_empty(), value.as_object_mut()) {
            fields.insert("resourceNames".to_owned(), json!(rule.resource_names));
        }
        value
    };
    let mut value = json!({
        "apiVersion": RBAC_VERSION,
        "kind": "ClusterRole",
        "metadata": {"name": role.name, "labels": role.labels},
    });
    if let Some(fields) = value.as_object_mut() {
        if role.aggregate.is_empty() {
            fields.insert("rules".to_owned(), role.rules.iter().map(rule).collect());
        } else {
            // The rules of an aggregate belong to the controller that fills them.
            let selectors: Vec<Value> =
                role.aggregate.iter().map(|labels| json!({"matchLabels": labels})).collect();
            fields.insert("aggregationRule".to_owned(), json!({"clusterRoleSelectors": selectors}));
        }
    }
    value
}

/// The options of a deletion that may only hit the very object that was looked at, in that version if one is given.
pub(crate) fn deletion(uid: &str, resource_version: Option<&str>) -> Value {
    let mut preconditions = json!({"uid": uid});
    if let (Some(version), Some(fields)) = (resource_version, preconditions.as_object_mut()) {
        fields.insert("resourceVersion".to_owned(), version.into());
    }
    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions})
}

/// The question whether `user`, being in `groups`, may do what `probe` says.
pub(crate) fn review(user: &str, groups: &[String], probe: &Probe) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": resource_attributes(probe)},
    })
}

/// A permission as reviews ask for it.
pub(crate) fn resource_attributes(probe: &Probe) -> Value {
    let (resource, subresource) = probe.resource.split_once('/').unwrap_or((&probe.resource, ""));
    json!({
        "verb": probe.verb,
        "group": probe.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": probe.namespace.as_deref().unwrap_or_default(),
        "name": probe.name.as_deref().unwrap_or_default(),
    })
}

/// API servers written in Go say `null` for an empty list.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_read_without_what_we_do_not_need_and_with_nulls_for_lists() {
        let text = r#"{"kind":"RoleBinding","metadata":{"name":"b","namespace":"a","uid":"u","resourceVersion":"7",
            "managedFields":[{"x":1}],"labels":null,"finalizers":["x/y"],"deletionTimestamp":"2026-01-01T00:00:00Z"},
            "roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},"subjects":null}"#;
        let read: ObservedBinding = serde_json::from_str::<BindingObject>(text).unwrap().into();
        assert_eq!(read.object.to_string(), "RoleBinding a/b");
        assert!(read.deleting && read.finalizers && read.subjects.is_empty() && read.labels.is_empty());
        assert_eq!((read.role_kind.as_str(), read.role_name.as_str()), ("ClusterRole", "view"));
    }

    #[test]
    fn a_rule_about_urls_is_read_with_its_urls() {
        let text = r#"{"metadata":{"name":"r"},"rules":[{"verbs":["get"],"nonResourceURLs":["/metrics","/logs/*"]}]}"#;
        let read: ClusterRoleSpec = serde_json::from_str::<ClusterRoleObject>(text).unwrap().into();
        assert_eq!(read.rules[0].non_resource_urls, ["/metrics", "/logs/*"]);
        assert!(read.rules[0].resources.is_empty());
    }

    #[test]
    fn every_cluster_role_of_ours_reads_back_as_it_was_written() {
        for role in rbac::cluster_roles::all() {
            let written: ClusterRoleObject = serde_json::from_value(cluster_role(&role)).unwrap();
            assert_eq!(ClusterRoleSpec::from(written), role);
        }
    }
}
