//! Tests of reviews: whatever comes, an API server understands the answer.

use proptest::prelude::*;

use super::*;

fn review(changes: &[(&str, Value)]) -> Vec<u8> {
    let mut review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "namespace": "shop",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "object": {"metadata": {"namespace": "elsewhere"}},
        },
    });
    for (pointer, value) in changes {
        *review.pointer_mut(pointer).unwrap() = value.clone();
    }
    serde_json::to_vec(&review).unwrap()
}

#[test]
fn a_new_pod_is_where_the_request_says_and_not_where_the_pod_says() {
    let Asked::NewPod { uid, namespace, .. } = read(&review(&[])) else { panic!("it is a new pod") };
    assert_eq!((uid.as_str(), namespace.as_str()), ("u-1", "shop"));
}

#[test]
fn only_making_pods_is_our_business() {
    for change in [("/request/operation", json!("UPDATE")), ("/request/kind/kind", json!("Binding"))] {
        assert_eq!(read(&review(&[change])), Asked::Other { uid: "u-1".to_owned() });
    }
}

#[test]
fn what_is_not_understood_keeps_its_uid() {
    for change in [
        ("/apiVersion", json!("admission.k8s.io/v1beta1")),
        ("/kind", json!("Review")),
        ("/request/object", json!([])),
        ("/request/namespace", json!(7)),
    ] {
        let Asked::Unclear { uid, .. } = read(&review(std::slice::from_ref(&change))) else {
            panic!("{change:?}")
        };
        assert_eq!(uid, "u-1");
    }
    for body in ["", "[]", "null", "{", "\"x\"", "{\"request\": {\"uid\": 7}}"] {
        assert!(matches!(read(body.as_bytes()), Asked::Unclear { uid, .. } if uid.is_empty()), "{body}");
    }
}

#[test]
fn an_answer_has_a_patch_only_if_something_is_patched() {
    let response = |verdict| answer("u-1", &verdict)["response"].take();
    assert_eq!(response(Verdict::AsItIs), json!({"uid": "u-1", "allowed": true}));
    assert_eq!(response(Verdict::Patched(Vec::new())), json!({"uid": "u-1", "allowed": true}));
    let operations = vec![json!({"op": "add", "path": "/spec/volumes", "value": []})];
    let patched = response(Verdict::Patched(operations.clone()));
    let patch = STANDARD.decode(patched["patch"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&patch).unwrap(), Value::from(operations));
    assert_eq!(patched["patchType"], "JSONPatch");
    assert_eq!(response(Verdict::NotNow("x".to_owned()))["allowed"], false);
    assert_eq!(response(Verdict::Warned("x".to_owned()))["warnings"], json!(["bailiwick pod identity: x"]));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let read = read(&body);
        let is_pod = matches!(read, Asked::NewPod { .. });
        prop_assert!(!is_pod);
    }
}

#[test]
fn the_uid_of_a_review_that_is_too_large_stands_at_its_beginning() {
    let text =
        br#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"a-1","kind":{"gr"#;
    assert_eq!(uid_at_the_beginning(text).as_deref(), Some("a-1"));
    for (at, _) in text.iter().enumerate().take(83) {
        assert!(uid_at_the_beginning(&text[..at]).is_none(), "{at}");
    }
    assert!(uid_at_the_beginning(br#"{"request":{"uid":"a\"b","kind""#).is_none());
}
