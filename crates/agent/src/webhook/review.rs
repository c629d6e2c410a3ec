//! An admission review: what it asks, and the answer to it. Pure.
//!
//! Whatever comes is answered by a review that an API server understands. What is not understood is let through with a
//! warning: a webhook that guards nothing has no reason to stand in the way.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The only version of reviews that is spoken.
const VERSION: &str = "admission.k8s.io/v1";

/// What a review asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// About a new pod.
    NewPod {
        /// The id of the question.
        uid: String,
        /// Where the pod will be.
        namespace: String,
        /// The pod.
        pod: Value,
    },
    /// About something that has no need of us.
    Other {
        /// The id of the question.
        uid: String,
    },
    /// Nothing that is understood.
    Unclear {
        /// The id of the question, as far as there was one.
        uid: String,
        /// What is not understood.
        why: &'static str,
    },
}

/// What is said about a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may be made as it is.
    AsItIs,
    /// It may be made as it is, though something is wrong.
    Warned(String),
    /// It may be made with these changes, if there are any.
    Patched(Vec<Value>),
    /// It may not be made now.
    NotNow(String),
}

/// Reads a review.
#[must_use]
pub fn read(body: &[u8]) -> Asked {
    let unclear = |uid: &str, why| Asked::Unclear { uid: uid.to_owned(), why };
    let Ok(mut review) = serde_json::from_slice::<Value>(body) else {
        return unclear("", "the body is not JSON");
    };
    let text = |pointer: &str| review.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let uid = text("/request/uid");
    if text("/kind") != "AdmissionReview" || text("/apiVersion") != VERSION {
        return unclear(&uid, "only AdmissionReview of admission.k8s.io/v1 is understood");
    }
    if uid.is_empty() {
        return unclear(&uid, "the review has no request with a uid");
    }
    let kind = (text("/request/kind/group"), text("/request/kind/version"), text("/request/kind/kind"));
    let is_pod = (kind.0.as_str(), kind.1.as_str(), kind.2.as_str()) == ("", "v1", "Pod");
    let is_new = text("/request/operation") == "CREATE" && text("/request/subResource").is_empty();
    if !is_pod || !is_new {
        return Asked::Other { uid };
    }
    let namespace = text("/request/namespace");
    match review.pointer_mut("/request/object").map(Value::take) {
        Some(pod) if pod.is_object() && !namespace.is_empty() => Asked::NewPod { uid, namespace, pod },
        _ => unclear(&uid, "the review holds no pod, or does not say where it will be"),
    }
}

/// The uid of a question of which only the beginning is here, as API servers write it.
#[must_use]
pub fn uid_at_the_beginning(text: &[u8]) -> Option<String> {
    const BEFORE: &[u8] = b"\"request\":{\"uid\":\"";
    let at = text.windows(BEFORE.len()).position(|window| window == BEFORE)?;
    let rest = text.get(at + BEFORE.len()..)?;
    let uid = rest.split(|byte| *byte == b'"').next().filter(|uid| uid.len() < rest.len())?;
    let is_uid = |uid: &&str| !uid.is_empty() && uid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    std::str::from_utf8(uid).ok().filter(is_uid).map(str::to_owned)
}

/// The answer, as it is sent.
#[must_use]
pub fn answer(uid: &str, verdict: &Verdict) -> Value {
    let is_allowed = !matches!(verdict, Verdict::NotNow(_));
    let mut response =
        Map::from_iter([("uid".to_owned(), json!(uid)), ("allowed".to_owned(), json!(is_allowed))]);
    let mut say = |name: &str, value| drop(response.insert(name.to_owned(), value));
    match verdict {
        Verdict::AsItIs => {}
        Verdict::Warned(why) => say("warnings", json!([format!("bailiwick pod identity: {why}")])),
        Verdict::Patched(operations) if operations.is_empty() => {}
        Verdict::Patched(operations) => {
            say("patchType", json!("JSONPatch"));
            say("patch", json!(STANDARD.encode(Value::from(operations.clone()).to_string())));
        }
        Verdict::NotNow(why) => {
            say("status", json!({"code": 503, "message": format!("bailiwick pod identity: {why}")}));
        }
    }
    json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response})
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
