//! Tests of the patch: tables of what people write, and random pods.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

pub(crate) fn terms() -> Terms {
    Terms {
        uri_variable: "FULL_URI".to_owned(),
        token_file_variable: "TOKEN_FILE".to_owned(),
        uri: "http://169.254.170.24/v1/credentials".to_owned(),
        audience: "pods".to_owned(),
        expiration_seconds: 86_400,
    }
}

/// The part of RFC 6902 that is used: `add` to a member, and to the end of a list.
fn applied(pod: &Value, operations: &[Value]) -> Value {
    let mut pod = pod.clone();
    for operation in operations {
        assert_eq!(operation["op"], "add");
        let (parent, last) = operation["path"].as_str().unwrap().rsplit_once('/').unwrap();
        let value = operation["value"].clone();
        match pod.pointer_mut(parent).unwrap() {
            Value::Array(list) => {
                assert_eq!(last, "-");
                list.push(value);
            }
            Value::Object(members) => {
                let before = members.insert(last.to_owned(), value);
                assert!(before.is_none_or(|before| before.is_null()), "{last} was replaced");
            }
            other => panic!("nothing can be added to {other}"),
        }
    }
    pod
}

fn injected(pod: &Value) -> Value {
    applied(pod, &patch(pod, &terms()))
}

#[test]
fn every_container_gets_the_variables_and_the_token() {
    let pod = json!({"spec": {
        "containers": [{"name": "a"}, {"name": "b", "env": [{"name": "X", "value": "1"}], "volumeMounts": []}],
        "initContainers": [{"name": "i", "env": null}],
    }});
    let after = injected(&pod);
    let path = "/var/run/secrets/bailiwick.dev/pod-identity";
    for container in ["/spec/containers/0", "/spec/containers/1", "/spec/initContainers/0"] {
        let container = after.pointer(container).unwrap();
        let env = container["env"].as_array().unwrap();
        let ours = &env[env.len() - 2..];
        assert_eq!(ours[0], json!({"name": "FULL_URI", "value": "http://169.254.170.24/v1/credentials"}));
        assert_eq!(ours[1], json!({"name": "TOKEN_FILE", "value": format!("{path}/token")}));
        let mount = json!({"name": VOLUME, "mountPath": path, "readOnly": true});
        assert_eq!(container["volumeMounts"], json!([mount]));
    }
    let token = json!({"audience": "pods", "expirationSeconds": 86_400, "path": "token"});
    let volume = json!({"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}});
    assert_eq!(after["spec"]["volumes"], json!([volume]));
    assert_eq!(after["spec"]["containers"][1]["env"][0], json!({"name": "X", "value": "1"}));
}

#[test]
fn a_pod_that_has_everything_gets_nothing_more() {
    let pod = json!({"spec": {"containers": [{"name": "a"}]}});
    let mut once = injected(&pod);
    // As the API server stores it.
    once["spec"]["volumes"][0]["projected"]["defaultMode"] = json!(420);
    assert!(patch(&once, &terms()).is_empty());
    // Another webhook adds a container afterwards: it joins the same volume.
    once["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "sidecar"}));
    let again = injected(&once);
    assert_eq!(again["spec"]["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(again["spec"]["containers"][1]["env"].as_array().unwrap().len(), 2);
}

#[test]
fn what_a_container_says_itself_stays() {
    for name in ["FULL_URI", "TOKEN_FILE"] {
        let own = json!({"name": "a", "env": [{"name": name, "value": "mine"}]});
        let alone = json!({"spec": {"containers": [own]}});
        assert!(patch(&alone, &terms()).is_empty(), "not even a volume");
        let both = injected(&json!({"spec": {"containers": [own, {"name": "b"}]}}));
        assert_eq!(both["spec"]["containers"][0], own);
        assert_eq!(both["spec"]["containers"][1]["env"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn a_volume_of_the_name_that_is_something_else_is_left_and_another_name_used() {
    let theirs = json!({"name": VOLUME, "emptyDir": {}});
    let mount = json!({"name": VOLUME, "mountPath": "/data"});
    let pod = json!({"spec": {"containers": [{"name": "a", "volumeMounts": [mount]}], "volumes": [theirs]}});
    let after = injected(&pod);
    assert_eq!(after["spec"]["volumes"][0], theirs);
    assert_eq!(after["spec"]["volumes"][1]["name"], "bailiwick-pod-identity-2");
    assert_eq!(after["spec"]["containers"][0]["volumeMounts"][0], mount);
    assert_eq!(after["spec"]["containers"][0]["volumeMounts"][1]["name"], "bailiwick-pod-identity-2");
}

#[test]
fn a_mount_in_the_way_is_avoided_and_a_mount_of_the_token_is_used() {
    let usual = PLACES[0];
    for (taken, place) in [
        ("/var/run/secrets/kubernetes.io/serviceaccount", usual),
        (usual, PLACES[1]),
        ("/var/run/secrets/bailiwick.dev/pod-identity/", PLACES[1]),
        ("/var/run", PLACES[1]),
        ("/var/run/secrets/bailiwick.dev/pod-identity/x", PLACES[1]),
        ("/var/run/secrets/bailiwick.dev/pod-identity-x", usual),
        ("/var/runner", usual),
    ] {
        let mount = json!({"name": "theirs", "mountPath": taken});
        let after = injected(&json!({"spec": {"containers": [{"volumeMounts": [mount]}]}}));
        let container = &after["spec"]["containers"][0];
        assert_eq!(container["volumeMounts"][1]["mountPath"], place, "{taken}");
        assert_eq!(container["env"][1]["value"], format!("{place}/token"), "{taken}");
    }
    let token = json!({"audience": "pods", "path": "token"});
    let pod = json!({"spec": {
        "containers": [{"volumeMounts": [{"name": VOLUME, "mountPath": "/mine/"}]}],
        "volumes": [{"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}}],
    }});
    let after = injected(&pod);
    assert_eq!(after["spec"]["volumes"], pod["spec"]["volumes"]);
    let container = &after["spec"]["containers"][0];
    assert_eq!(container["volumeMounts"].as_array().unwrap().len(), 1);
    assert_eq!(container["env"][1]["value"], "/mine/token");
}

#[test]
fn a_url_on_the_pods_node_comes_after_the_address_of_the_node() {
    let terms = Terms { uri: "http://$(BAILIWICK_NODE_ADDRESS):8471/v1/credentials".to_owned(), ..terms() };
    let names = |pod: &Value| -> Vec<String> {
        let after = applied(pod, &patch(pod, &terms));
        assert!(patch(&after, &terms).is_empty());
        let env = after["spec"]["containers"][0]["env"].as_array().unwrap();
        env.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let expected = ["BAILIWICK_NODE_ADDRESS", "FULL_URI", "TOKEN_FILE"];
    assert_eq!(names(&json!({"spec": {"containers": [{}]}})), expected);
    let own = json!([{"name": "BAILIWICK_NODE_ADDRESS", "value": "10.0.0.1"}]);
    assert_eq!(names(&json!({"spec": {"containers": [{"env": own}]}})), expected);
}

#[test]
fn a_pod_is_of_the_service_account_that_it_names_by_either_name() {
    for (spec, name) in [
        (json!({}), "default"),
        (json!({"serviceAccountName": ""}), "default"),
        (json!({"serviceAccountName": "a", "serviceAccount": "b"}), "a"),
        (json!({"serviceAccount": "b"}), "b"),
        (json!(null), "default"),
    ] {
        assert_eq!(service_account(&json!({"spec": spec})), name);
    }
}

#[test]
fn a_pod_that_says_off_is_left_alone() {
    for place in ["annotations", "labels"] {
        assert!(is_left_alone(&json!({"metadata": {place: {SWITCH: "off"}}})));
        assert!(!is_left_alone(&json!({"metadata": {place: {SWITCH: "on"}}})));
    }
    assert!(is_left_alone(&json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}})));
    assert!(!is_left_alone(&json!({})));
}

fn variable() -> impl Strategy<Value = Value> {
    prop_oneof![Just("X"), Just("FULL_URI"), Just("TOKEN_FILE")]
        .prop_map(|n| json!({"name": n, "value": "own"}))
}

fn mount() -> impl Strategy<Value = Value> {
    let name = prop_oneof![Just(VOLUME), Just("data")];
    let path = prop_oneof![Just("/data"), Just("/var/run"), Just("/run"), Just("/"), Just(PLACES[0])];
    (name, path).prop_map(|(name, path)| json!({"name": name, "mountPath": path}))
}

fn absent_or(list: impl Strategy<Value = Vec<Value>>) -> impl Strategy<Value = Option<Value>> {
    proptest::option::of(prop_oneof![list.prop_map(Value::from), Just(Value::Null)])
}

fn container() -> impl Strategy<Value = Value> {
    let env = absent_or(proptest::collection::vec(variable(), 0..3));
    let mounts = absent_or(proptest::collection::vec(mount(), 0..3));
    (env, mounts).prop_map(|(env, mounts)| {
        let mut one = json!({"name": "c"});
        one.as_object_mut().unwrap().extend(env.map(|env| ("env".to_owned(), env)));
        one.as_object_mut().unwrap().extend(mounts.map(|mounts| ("volumeMounts".to_owned(), mounts)));
        one
    })
}

fn pod() -> impl Strategy<Value = Value> {
    let volume = prop_oneof![
        Just(json!({"name": VOLUME, "emptyDir": {}})),
        Just(json!({"name": "data", "emptyDir": {}})),
        Just(projection("bailiwick-pod-identity-2", &terms())),
    ];
    let containers = || proptest::collection::vec(container(), 0..3);
    (containers(), absent_or(containers()), absent_or(proptest::collection::vec(volume, 0..3))).prop_map(
        |(containers, init, volumes)| {
            let mut spec = json!({"containers": containers});
            let members = spec.as_object_mut().unwrap();
            members.extend(init.map(|init| ("initContainers".to_owned(), init)));
            members.extend(volumes.map(|volumes| ("volumes".to_owned(), volumes)));
            json!({"spec": spec})
        },
    )
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![Just("FULL_URI"), Just(VOLUME), Just("/"), Just("")].prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("spec"),
        Just("containers"),
        Just("initContainers"),
        Just("volumes"),
        Just("env"),
        Just("volumeMounts"),
        Just("name"),
        Just("mountPath"),
        Just("projected"),
        Just("sources"),
    ];
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(key.clone(), inner, 0..5).prop_map(|members| {
                Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

/// Whether everything of `before` is in `after`, lists being longer at their end at most.
fn keeps(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Null, _) => true,
        (Value::Object(before), Value::Object(after)) => {
            before.iter().all(|(key, value)| after.get(key).is_some_and(|now| keeps(value, now)))
        }
        (Value::Array(before), Value::Array(after)) => {
            before.len() <= after.len() && before.iter().zip(after).all(|(one, other)| keeps(one, other))
        }
        (before, after) => before == after,
    }
}

proptest! {
    #[test]
    fn random_pods_get_what_they_lack_once_and_lose_nothing(pod in pod()) {
        let after = injected(&pod);
        prop_assert!(keeps(&pod, &after), "{pod} became {after}");
        prop_assert!(patch(&after, &terms()).is_empty(), "{after} is changed again");
        for list in ["containers", "initContainers"] {
            let none = Vec::new();
            let before = pod["spec"][list].as_array().unwrap_or(&none);
            for (at, before) in before.iter().enumerate() {
                let now = &after["spec"][list][at];
                let names = |one: &Value| -> Vec<String> {
                    let env = one["env"].as_array().cloned().unwrap_or_default();
                    env.iter().filter_map(|v| v["name"].as_str().map(str::to_owned)).collect()
                };
                let own = names(before).iter().any(|name| name == "FULL_URI" || name == "TOKEN_FILE");
                if own {
                    prop_assert_eq!(before, now);
                    continue;
                }
                let mounts = now["volumeMounts"].as_array().cloned().unwrap_or_default();
                let file = now["env"].as_array().and_then(|env| env.iter().find(|v| v["name"] == "TOKEN_FILE"));
                let Some(file) = file else {
                    // Only where a mount is in the way of everything.
                    prop_assert!(mounts.iter().any(|one| one["mountPath"] == "/") || mounts.len() > 1);
                    continue;
                };
                let dir = file["value"].as_str().unwrap().strip_suffix("/token").unwrap();
                let is_there = |one: &&Value| one["mountPath"].as_str().unwrap().trim_end_matches('/') == dir;
                let mount = mounts.iter().find(is_there).unwrap();
                let volumes = after["spec"]["volumes"].as_array().unwrap();
                prop_assert!(volumes.iter().any(|one| one["name"] == mount["name"] && has_token(one, &terms())));
            }
        }
    }

    #[test]
    fn anything_in_the_place_of_a_pod_is_no_panic(pod in anything()) {
        let after = injected(&pod);
        prop_assert!(keeps(&pod, &after));
    }
}
