//! The agent's own key, made anew now and then: asked for by one replica, written into the Secret that all of them and the
//! nodes read.
//!
//! Who asks is who first writes so into the Secret. The server keeps the former key for a while, and who asked and vanished is
//! followed by somebody else well before that is over: so no crash loses the key.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Clock, Secret, Timestamp};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Webhook;
use crate::clock::System;
use crate::cluster::{Cluster, Failure};
use crate::server;

const BEGUN: &str = "bailiwick.dev/renewal-begun";
const RENEWED: &str = "bailiwick.dev/renewed-at";
/// Who began and did not end within so many seconds has vanished. Far less than the hour for which the former key lives.
const VANISHED: i64 = 600;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(60);
/// How often it is tried to write a key that was just given, a second apart.
const ATTEMPTS: u32 = 60;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    access_key_id: String,
    secret_access_key: String,
}

/// Renews the key in the Secret at `path` whenever it is older than `every` seconds, for ever.
pub async fn follow(webhook: Arc<Webhook>, cluster: Arc<Cluster>, path: String, every: i64) {
    let pause = PAUSE.min(Duration::from_secs(u64::try_from(every / 4).unwrap_or(1).max(1)));
    loop {
        match renew(webhook.associations.server(), &cluster, &path, every).await {
            Ok(true) => tracing::info!("key.renewed"),
            Ok(false) => {}
            Err(why) => tracing::warn!(why, "key.not_renewed"),
        }
        sleep(pause).await;
    }
}

async fn renew(server: &server::Server, cluster: &Cluster, path: &str, every: i64) -> Result<bool, String> {
    let text = |failure: Failure| format!("the Secret of the key: {failure}");
    let secret = cluster.get(path).await.map_err(text)?;
    let now = System.now();
    if !is_due(&secret, every, now) {
        return Ok(false);
    }
    let version = |secret: &Value| secret.pointer("/metadata/resourceVersion").cloned();
    let claim = json!({"metadata": {
        "resourceVersion": version(&secret), "annotations": {BEGUN: now.rfc3339_seconds()},
    }});
    let claimed = match cluster.merge(path, &claim).await {
        Ok(claimed) => claimed,
        Err(failure) if failure.is(StatusCode::CONFLICT) => return Ok(false),
        Err(failure) => return Err(text(failure)),
    };
    let given = server.renew().await.map_err(|failure| failure.to_string())?;
    // What is in there is a secret: no reader's words about it are told.
    let key: Key = serde_json::from_slice(&given).map_err(|_| "the server gave no key".to_owned())?;
    let secret = Secret::new(key.secret_access_key);
    let write = json!({
        "metadata": {
            "resourceVersion": version(&claimed),
            "annotations": {RENEWED: now.rfc3339_seconds(), BEGUN: null},
        },
        "data": {
            "accessKeyId": STANDARD.encode(key.access_key_id),
            "secretAccessKey": STANDARD.encode(secret.expose()),
        },
    });
    for _ in 0..ATTEMPTS {
        match cluster.merge(path, &write).await {
            Ok(_) => return Ok(true),
            Err(Failure::Away(_)) => sleep(Duration::from_secs(1)).await,
            Err(failure) if failure.is(StatusCode::CONFLICT) => {
                return Err("somebody else wrote another key meanwhile: theirs stays".to_owned());
            }
            Err(failure) => return Err(text(failure)),
        }
    }
    Err("a new key was given and could not be written: it is asked for again".to_owned())
}

/// Whether the key is old enough, and nobody is about to renew it.
fn is_due(secret: &Value, every: i64, now: Timestamp) -> bool {
    let annotation = |name: &str| secret.pointer("/metadata/annotations").and_then(|all| all.get(name));
    let time = |value: Option<&Value>| Timestamp::parse_rfc3339(value?.as_str()?);
    let made = time(annotation(RENEWED)).or_else(|| time(secret.pointer("/metadata/creationTimestamp")));
    let is_old = made.is_none_or(|made| made.plus_seconds(every) <= now);
    is_old && time(annotation(BEGUN)).is_none_or(|begun| begun.plus_seconds(VANISHED) <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_renewed_when_it_is_old_and_nobody_is_at_it() {
        let now = Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap();
        let due = |made: &str, annotations: Value| {
            let secret = json!({"metadata": {"creationTimestamp": made, "annotations": annotations}});
            is_due(&secret, 3600, now)
        };
        assert!(due("2026-11-22T11:00:00Z", json!({})) && !due("2026-11-22T11:00:01Z", json!({})));
        assert!(!due("2026-01-01T00:00:00Z", json!({RENEWED: "2026-11-22T11:30:00Z"})));
        assert!(!due("2026-01-01T00:00:00Z", json!({BEGUN: "2026-11-22T11:55:00Z"})), "somebody is at it");
        assert!(due("2026-01-01T00:00:00Z", json!({BEGUN: "2026-11-22T11:50:00Z"})), "somebody has vanished");
    }
}
