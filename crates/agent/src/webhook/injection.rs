//! What is added to a pod so that it finds its credentials: decided here, as a JSON patch, and nowhere else.
//!
//! Pure. Whatever was set by hand stays as it is, and a pod that has everything gets an empty patch: so the same function
//! says whether a running pod was missed.

use serde_json::{Map, Value, json};

/// The name of the volume, and what other names begin with where that is taken.
pub const VOLUME: &str = "bailiwick-pod-identity";
/// The file in the volume.
pub const FILE: &str = "token";
/// The annotation or label that keeps a pod as it is, with the value [`OFF`].
pub const SWITCH: &str = "bailiwick.dev/pod-identity";
/// The value of [`SWITCH`] that says so.
pub const OFF: &str = "off";

/// The variable with the address of the pod's node, which is added where the URL asks for it.
pub const NODE_ADDRESS: &str = "BAILIWICK_NODE_ADDRESS";

/// Where the volume is mounted; the next one where something else of the container is in the way.
const PLACES: [&str; 3] =
    ["/var/run/secrets/bailiwick.dev/pod-identity", "/run/bailiwick-pod-identity", "/bailiwick-pod-identity"];
/// What the kubelet puts on pods that come from files of a node: they have no service account.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// As many names are tried for the volume.
const NAMES: usize = 10;

/// What pods are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The variable with the URL of the local endpoint.
    pub uri_variable: String,
    /// The variable with the path of the token.
    pub token_file_variable: String,
    /// The URL. With `$(BAILIWICK_NODE_ADDRESS)` in it, it is one on the pod's own node.
    pub uri: String,
    /// For whom the token is.
    pub audience: String,
    /// How long a token is good, in seconds; the kubelet makes a new one before.
    pub expiration_seconds: u64,
}

/// The service account of a pod, which is `default` if it names none.
#[must_use]
pub fn service_account(pod: &Value) -> &str {
    let named = |field: &str| pod.pointer(field).and_then(Value::as_str).filter(|name| !name.is_empty());
    named("/spec/serviceAccountName").or_else(|| named("/spec/serviceAccount")).unwrap_or("default")
}

/// Whether a pod says that it wants nothing, or cannot have it.
#[must_use]
pub fn is_left_alone(pod: &Value) -> bool {
    let annotations = pod.pointer("/metadata/annotations");
    let says = |map: Option<&Value>| map.and_then(|map| map.get(SWITCH)).is_some_and(|value| value == OFF);
    says(annotations)
        || says(pod.pointer("/metadata/labels"))
        || annotations.is_some_and(|map| map.get(MIRROR).is_some())
}

/// The operations (RFC 6902) that give a pod what it lacks; none if it lacks nothing.
#[must_use]
pub fn patch(pod: &Value, terms: &Terms) -> Vec<Value> {
    let Some(spec) = pod.get("spec").and_then(Value::as_object) else { return Vec::new() };
    let Some((volume, known)) = volume(spec, terms) else { return Vec::new() };
    let mut operations = Vec::new();
    for list in ["initContainers", "containers"] {
        let containers = spec.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (at, container) in containers.iter().enumerate() {
            let added = container.as_object().and_then(|one| into_container(one, &volume, terms));
            for (field, items) in added.into_iter().flatten() {
                append(&mut operations, &format!("/spec/{list}/{at}/{field}"), container.get(field), items);
            }
        }
    }
    if !known && !operations.is_empty() {
        let items = vec![projection(&volume, terms)];
        append(&mut operations, "/spec/volumes", spec.get("volumes"), items);
    }
    operations
}

/// What a container lacks: its variables, and where the token is mounted unless it already is.
///
/// `None` if it says one of the two itself, or has something in their place that is no list.
fn into_container(
    container: &Map<String, Value>,
    volume: &str,
    terms: &Terms,
) -> Option<Vec<(&'static str, Vec<Value>)>> {
    let variables = items(container.get("env"))?;
    let has = |name: &str| variables.iter().any(|one| one.get("name").is_some_and(|own| own == name));
    if has(&terms.uri_variable) || has(&terms.token_file_variable) {
        return None;
    }
    let mounts = items(container.get("volumeMounts"))?;
    let (path, is_mounted) = match mounted(mounts, volume) {
        Some(path) => (path, true),
        None => (free_place(mounts)?, false),
    };
    let file = format!("{}/{FILE}", path.trim_end_matches('/'));
    let mut added_variables = Vec::new();
    // Kubernetes puts a variable into those that come after it.
    if terms.uri.contains(&format!("$({NODE_ADDRESS})")) && !has(NODE_ADDRESS) {
        let from = json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "status.hostIP"}});
        added_variables.push(json!({"name": NODE_ADDRESS, "valueFrom": from}));
    }
    added_variables.push(json!({"name": terms.uri_variable, "value": terms.uri}));
    added_variables.push(json!({"name": terms.token_file_variable, "value": file}));
    let mut added = vec![("env", added_variables)];
    if !is_mounted {
        added.push(("volumeMounts", vec![json!({"name": volume, "mountPath": path, "readOnly": true})]));
    }
    Some(added)
}

/// The name of the volume with the token, and whether the pod has it; `None` if there can be none.
fn volume(spec: &Map<String, Value>, terms: &Terms) -> Option<(String, bool)> {
    let volumes = items(spec.get("volumes"))?;
    let name_of = |one: &Value| one.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let ours = |one: &&Value| name_of(one).starts_with(VOLUME) && has_token(one, terms);
    if let Some(found) = volumes.iter().find(ours) {
        return Some((name_of(found), true));
    }
    let names = (1..=NAMES).map(|n| if n == 1 { VOLUME.to_owned() } else { format!("{VOLUME}-{n}") });
    let mut free = names.filter(|name| volumes.iter().all(|one| name_of(one) != *name));
    free.next().map(|name| (name, false))
}

fn has_token(volume: &Value, terms: &Terms) -> bool {
    let sources = volume.pointer("/projected/sources").and_then(Value::as_array);
    let is_ours = |source: &Value| {
        let says = |field: &str, value: &str| {
            source
                .get("serviceAccountToken")
                .and_then(|token| token.get(field))
                .is_some_and(|own| own == value)
        };
        says("audience", &terms.audience) && says("path", FILE)
    };
    sources.is_some_and(|sources| sources.iter().any(is_ours))
}

fn projection(volume: &str, terms: &Terms) -> Value {
    let token = json!({
        "audience": terms.audience,
        "expirationSeconds": terms.expiration_seconds,
        "path": FILE,
    });
    json!({"name": volume, "projected": {"sources": [{"serviceAccountToken": token}]}})
}

/// Where a container has the whole volume.
fn mounted<'a>(mounts: &'a [Value], volume: &str) -> Option<&'a str> {
    let whole = |one: &&Value| {
        one.get("name").is_some_and(|own| own == volume)
            && one.get("subPath").is_none()
            && one.get("subPathExpr").is_none()
    };
    mounts.iter().find(whole)?.get("mountPath")?.as_str()
}

/// A place with which no mount of the container has to do: under another's mount it might not be possible to make it.
fn free_place(mounts: &[Value]) -> Option<&'static str> {
    let within = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_free = |place: &&str| {
        mounts.iter().filter_map(|one| one.get("mountPath")?.as_str()).all(|taken| {
            let taken = taken.trim_end_matches('/');
            !within(place, taken) && !within(taken, place)
        })
    };
    PLACES.into_iter().find(is_free)
}

/// The items of a list that may be absent; `None` if it is something else.
fn items(list: Option<&Value>) -> Option<&[Value]> {
    match list {
        None | Some(Value::Null) => Some(&[]),
        Some(list) => list.as_array().map(Vec::as_slice),
    }
}

/// Appends to a list, which is made if it is absent.
fn append(operations: &mut Vec<Value>, path: &str, list: Option<&Value>, items: Vec<Value>) {
    if list.is_some_and(Value::is_array) {
        let one = |item| json!({"op": "add", "path": format!("{path}/-"), "value": item});
        operations.extend(items.into_iter().map(one));
    } else {
        operations.push(json!({"op": "add", "path": path, "value": items}));
    }
}

#[cfg(test)]
#[path = "injection_tests.rs"]
pub(crate) mod tests;
