//! Pods that should have been told where their credentials are, and were not: always seen, as an event, a metric and a line.
//!
//! A webhook that was away while failing was allowed leaves such pods, and so does whoever switched it off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::{Clock, Timestamp};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::associations::Workload;
use super::{Webhook, injection};
use crate::cluster::{Cluster, Failure};

/// Pods of a page, and of one if that failed: a pod may have as much as an etcd takes, and an answer has its limit.
const PAGES: [usize; 3] = [250, 25, 4];
/// The most pages of a namespace that are looked at.
const MAX_PAGES: usize = 400;
/// An API server tells a pod's age in whole seconds, and its clock is another: so much older it may seem, in seconds.
const SLACK: i64 = 5;
/// API servers forget events after an hour: a miss that lasts is told again before, under another name.
const TOLD_FOR: i64 = 50 * 60;
const REASON: &str = "PodIdentityNotInjected";

/// A pod that was missed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Missed {
    namespace: String,
    name: String,
    uid: String,
    service_account: String,
}

/// What was seen in one search.
#[derive(Debug, Default)]
struct Seen {
    missed: BTreeSet<Missed>,
    /// Namespaces that could not be looked through.
    unseen: BTreeSet<String>,
}

/// Looks for pods that were missed, again and again, for ever.
pub async fn follow(webhook: Arc<Webhook>, cluster: Arc<Cluster>, clock: Arc<dyn Clock>, every: Duration) {
    // With the stretch of time in which it was told.
    let mut told: BTreeSet<(Missed, i64)> = BTreeSet::new();
    let mut before = Seen::default();
    loop {
        sleep(every).await;
        let mut seen = look(&webhook, &cluster).await;
        // What could not be looked at again is not mended by that.
        let still = before.missed.into_iter().filter(|one| seen.unseen.contains(&one.namespace));
        seen.missed.extend(still);
        let counts = &webhook.counts;
        counts.not_injected.store(seen.missed.len() as u64, Ordering::Relaxed);
        counts.namespaces_not_seen.store(seen.unseen.len() as u64, Ordering::Relaxed);
        let now = clock.now();
        let stretch = now.as_millis() / 1000 / TOLD_FOR;
        told.retain(|(one, at)| *at == stretch && seen.missed.contains(one));
        for one in &seen.missed {
            if told.contains(&(one.clone(), stretch)) {
                continue;
            }
            let Missed { namespace, name, service_account, .. } = one;
            tracing::warn!(namespace, pod = name, service_account, "pod.not_injected");
            match tell(&cluster, one, stretch, now).await {
                Ok(()) => drop(told.insert((one.clone(), stretch))),
                Err(failure) => tracing::warn!(why = %failure, "misses.not_told"),
            }
        }
        before = seen;
    }
}

async fn look(webhook: &Webhook, cluster: &Cluster) -> Seen {
    let mut seen = Seen::default();
    let Some(verification) = webhook.associations.verification() else { return seen };
    let terms = webhook.terms(verification);
    let workloads = webhook.associations.workloads();
    for namespace in workloads.chunk_by(|one, other| one.namespace == other.namespace) {
        let Some(name) = namespace.first().map(|one| one.namespace.as_str()) else { continue };
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !is_name || webhook.is_excluded(name) {
            continue;
        }
        // One namespace that cannot be read hides no other.
        if let Err(failure) = look_into(cluster, namespace, name, &terms, &mut seen.missed).await {
            tracing::warn!(namespace = name, why = %failure, "misses.not_seen");
            seen.unseen.insert(name.to_owned());
        }
    }
    seen
}

async fn look_into(
    cluster: &Cluster,
    workloads: &[Workload],
    name: &str,
    terms: &injection::Terms,
    missed: &mut BTreeSet<Missed>,
) -> Result<(), Failure> {
    let mut sizes = PAGES.into_iter();
    let mut size = sizes.next().unwrap_or(1);
    let mut after = String::new();
    for _ in 0..MAX_PAGES {
        let path = format!("/api/v1/namespaces/{name}/pods?limit={size}{after}");
        let page = match cluster.get(&path).await {
            Ok(page) => page,
            Err(failure @ Failure::Refused(..)) => return Err(failure),
            // Too much at once, perhaps: the same place again, with fewer.
            Err(failure) => match sizes.next() {
                Some(smaller) => {
                    size = smaller;
                    continue;
                }
                None => return Err(failure),
            },
        };
        let pods = page.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        missed.extend(pods.iter().filter_map(|pod| judge(pod, workloads, terms)));
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(next) if !next.is_empty() => after = format!("&continue={}", escaped(next)),
            Some(_) | None => return Ok(()),
        }
    }
    Err(Failure::Away(format!("there are more than {MAX_PAGES} pages of pods")))
}

/// Whether a pod was missed: alive, of an association that was there before it, and a patch of it would not be empty.
fn judge(pod: &Value, workloads: &[Workload], terms: &injection::Terms) -> Option<Missed> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let is_over = matches!(text("/status/phase"), "Succeeded" | "Failed");
    if is_over || !text("/metadata/deletionTimestamp").is_empty() || injection::is_left_alone(pod) {
        return None;
    }
    let service_account = injection::service_account(pod);
    let workload = workloads.iter().find(|one| one.service_account == service_account)?;
    let created = Timestamp::parse_rfc3339(text("/metadata/creationTimestamp"));
    let is_older = |since: Timestamp| created.is_some_and(|created| created.plus_seconds(SLACK) < since);
    if workload.since.is_some_and(is_older) || injection::patch(pod, terms).is_empty() {
        return None;
    }
    Some(Missed {
        namespace: workload.namespace.clone(),
        name: text("/metadata/name").to_owned(),
        uid: text("/metadata/uid").to_owned(),
        service_account: service_account.to_owned(),
    })
}

/// Makes the event. Its name is of the pod's uid and the stretch of time: one event, however many replicas see the miss.
async fn tell(cluster: &Cluster, missed: &Missed, stretch: i64, now: Timestamp) -> Result<(), Failure> {
    let Missed { namespace, name, uid, service_account } = missed;
    let at = now.rfc3339_seconds();
    let message = format!(
        "service account {service_account} has an association, but this pod was made without its environment: the \
         webhook was away or switched off. Make the pod anew, or annotate it with {}=off",
        injection::SWITCH
    );
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("bailiwick-{uid}-{stretch}"), "namespace": namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": uid},
        "reason": REASON, "type": "Warning", "message": message, "count": 1,
        "source": {"component": "bailiwick-webhook"}, "firstTimestamp": at, "lastTimestamp": at,
    });
    match cluster.create(&format!("/api/v1/namespaces/{namespace}/events"), &event).await {
        Err(failure) if !failure.is(StatusCode::CONFLICT) => Err(failure),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A continue token as part of a query.
fn escaped(token: &str) -> String {
    token
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(since: Option<Timestamp>) -> Workload {
        Workload { namespace: "shop".to_owned(), service_account: "till".to_owned(), since }
    }

    fn pod(changes: &[(&str, Value)]) -> Value {
        let mut pod = json!({
            "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-11-22T10:00:00Z", "annotations": {}},
            "spec": {"serviceAccountName": "till", "containers": [{"name": "a"}]},
            "status": {"phase": "Running"},
        });
        for (pointer, value) in changes {
            let (parent, last) = pointer.rsplit_once('/').unwrap();
            pod.pointer_mut(parent).unwrap()[last] = value.clone();
        }
        pod
    }

    #[test]
    fn a_pod_is_missed_if_it_lives_and_lacks_what_its_association_gives() {
        let terms = injection::tests::terms();
        let is_missed =
            |changes: &[(&str, Value)], since| judge(&pod(changes), &[workload(since)], &terms).is_some();
        assert!(is_missed(&[], None));
        assert!(!is_missed(&[("/status/phase", json!("Succeeded"))], None));
        assert!(!is_missed(&[("/metadata/deletionTimestamp", json!("2026-11-22T10:00:01Z"))], None));
        assert!(!is_missed(&[("/spec/serviceAccountName", json!("other"))], None));
        assert!(!is_missed(&[("/metadata/annotations", json!({"bailiwick.dev/pod-identity": "off"}))], None));
        let own = json!([{"name": "a", "env": [{"name": "FULL_URI", "value": "own"}]}]);
        assert!(!is_missed(&[("/spec/containers", own)], None));
        let at = |text| Timestamp::parse_rfc3339(text);
        assert!(is_missed(&[], at("2026-11-22T10:00:03Z")), "clocks differ a little");
        assert!(!is_missed(&[], at("2026-11-22T10:00:06Z")), "it is older than its association");
    }

    #[test]
    fn a_continue_token_is_one_value_of_a_query() {
        assert_eq!(escaped("a+b/c=&d"), "a%2Bb%2Fc%3D%26d");
    }
}
