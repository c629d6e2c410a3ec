//! Any bytes as an admission review, with every pod associated.
//!
//! - nothing panics;
//! - every answer is a review that repeats the uid of its question;
//! - a patch only adds, and a pod that was patched gets no second patch.

#![no_main]

use agent::webhook::injection::{self, Terms};
use agent::webhook::review::{self, Asked, Verdict};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Applies what the webhook writes: `add` to a member, and to the end of a list.
fn apply(pod: &mut Value, operation: &Value) {
    assert_eq!(operation["op"], "add");
    let (parent, last) = operation["path"].as_str().expect("a path").rsplit_once('/').expect("a parent");
    match pod.pointer_mut(parent).expect("the parent is there") {
        Value::Array(list) => list.push(operation["value"].clone()),
        Value::Object(members) => {
            let before = members.insert(last.to_owned(), operation["value"].clone());
            assert!(before.is_none_or(|before| before.is_null()));
        }
        other => panic!("nothing can be added to {other}"),
    }
}

fuzz_target!(|data: &[u8]| {
    let terms = Terms {
        uri_variable: "U".to_owned(),
        token_file_variable: "T".to_owned(),
        uri: "http://$(BAILIWICK_NODE_ADDRESS):8471/".to_owned(),
        audience: "a".to_owned(),
        expiration_seconds: 600,
    };
    let (uid, verdict) = match review::read(data) {
        Asked::Other { uid } => (uid, Verdict::AsItIs),
        Asked::Unclear { uid, why } => (uid, Verdict::Warned(why.to_owned())),
        Asked::NewPod { uid, mut pod, .. } => {
            injection::service_account(&pod);
            let operations = injection::patch(&pod, &terms);
            for operation in &operations {
                apply(&mut pod, operation);
            }
            assert!(injection::patch(&pod, &terms).is_empty());
            injection::is_left_alone(&pod);
            (uid, Verdict::Patched(operations))
        }
    };
    let answer = review::answer(&uid, &verdict);
    assert_eq!(answer["response"]["uid"], uid.as_str());
    assert_eq!(answer["response"]["allowed"], true);
});
