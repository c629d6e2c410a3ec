//! The agents' keys, made anew now and then: asked for by one replica with the keeper's key, written into the two Secrets that
//! the nodes and the webhook read.
//!
//! Who asks is who first writes so into the keeper's Secret. What the server gave is kept here until it is written: it is
//! asked for once. The server keeps the former keys for an hour, and lets a former key ask again as long as its successor
//! was not used; who asked and vanished is followed by somebody else well before that: so no crash loses the keys.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Clock, Secret, Timestamp};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Webhook;
use crate::clock::Spread;
use crate::cluster::{Cluster, Failure};
use crate::feed::Follower;
use crate::server;

const BEGUN: &str = "bailiwick.dev/renewal-begun";
const RENEWED: &str = "bailiwick.dev/renewed-at";
/// Who began and did not end within so many seconds has vanished. Far less than the hour for which the former key lives.
const VANISHED: i64 = 600;
/// As long a server that is away or busy is asked again and again. Well within the time after which somebody else does.
const ASKING: Duration = Duration::from_secs(300);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(60);
/// Between two attempts to write what was given, and the first between two questions.
const SOON: Duration = Duration::from_secs(2);

/// What the server gives: a key of the nodes, and one of the keeper.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(flatten)]
    nodes: Key,
    keeper: Key,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    access_key_id: String,
    #[serde(deserialize_with = "secret")]
    secret_access_key: Secret,
}

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

impl Key {
    fn data(&self) -> Value {
        json!({
            "accessKeyId": STANDARD.encode(&self.access_key_id),
            "secretAccessKey": STANDARD.encode(self.secret_access_key.expose()),
        })
    }

    fn is_in(&self, secret: &Value) -> bool {
        secret.pointer("/data/accessKeyId").and_then(Value::as_str)
            == Some(STANDARD.encode(&self.access_key_id).as_str())
    }
}

/// What was given and is not wholly written.
struct Given {
    keys: Answer,
    /// What we wrote into the keeper's Secret when we began.
    claim: String,
    nodes: Value,
    keeper: Value,
}

/// What is needed to renew the keys.
pub struct Renewal {
    /// Who knows the server.
    pub webhook: Arc<Webhook>,
    /// The API server.
    pub cluster: Arc<Cluster>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Path of the Secret of the nodes' key; `None` if there are no agents on nodes: then nobody keeps that key.
    pub nodes: Option<String>,
    /// Path of the Secret of the keeper's key.
    pub keeper: String,
    /// How old a key becomes, in seconds.
    pub every: i64,
}

impl Renewal {
    /// Renews whenever it is time, for ever.
    pub async fn follow(&self) {
        let pause = PAUSE.min(Duration::from_secs(u64::try_from(self.every / 4).unwrap_or(1).max(1)));
        let spread = Spread::of_this_process();
        let mut given = None;
        loop {
            match self.look(&mut given, &spread).await {
                Ok(true) => tracing::info!("key.renewed"),
                Ok(false) => {}
                Err(why) => tracing::warn!(why, is_kept = given.is_some(), "key.not_renewed"),
            }
            sleep(if given.is_some() { SOON } else { pause }).await;
        }
    }

    /// Whether keys were renewed. What is given and could not be written stays in `given`.
    async fn look(&self, given: &mut Option<Given>, spread: &Spread) -> Result<bool, String> {
        if given.is_none() {
            *given = self.ask(spread).await?;
        }
        let Some(held) = given else { return Ok(false) };
        match self.write(held).await {
            Ok(()) => {
                *given = None;
                Ok(true)
            }
            Err(failure) if failure.is(StatusCode::CONFLICT) => match self.read_again(held).await {
                Ok(Claim::Ours) => Ok(false),
                Ok(Claim::Done) => {
                    *given = None;
                    Ok(true)
                }
                Ok(Claim::Lost) => {
                    *given = None;
                    Err("somebody else renewed the keys meanwhile: theirs stay".to_owned())
                }
                Err(failure) => Err(text(&failure)),
            },
            Err(failure) => Err(text(&failure)),
        }
    }

    /// Asks for new keys, if it is time and nobody else does.
    async fn ask(&self, spread: &Spread) -> Result<Option<Given>, String> {
        let secret = self.cluster.get(&self.keeper).await.map_err(|failure| text(&failure))?;
        let now = self.clock.now();
        if !is_due(&secret, self.every, now) {
            return Ok(None);
        }
        let nodes = self.nodes_version().await.map_err(|failure| text(&failure))?;
        let claim = now.rfc3339_seconds();
        let begun = json!({"metadata": {"resourceVersion": version(&secret), "annotations": {BEGUN: claim}}});
        let claimed = match self.cluster.merge(&self.keeper, &begun).await {
            Ok(claimed) => claimed,
            Err(failure) if failure.is(StatusCode::CONFLICT) => return Ok(None),
            Err(failure) => return Err(text(&failure)),
        };
        let answer = self.patiently(spread).await?;
        // What is in there is a secret: no reader's words about it are told.
        let keys = serde_json::from_slice(&answer).map_err(|_| "the server gave no keys".to_owned())?;
        Ok(Some(Given { keys, claim, nodes, keeper: version(&claimed) }))
    }

    /// As which version the nodes' Secret is written; nothing if there is none.
    async fn nodes_version(&self) -> Result<Value, Failure> {
        match &self.nodes {
            Some(path) => Ok(version(&self.cluster.get(path).await?)),
            None => Ok(Value::Null),
        }
    }

    /// The server's answer, also if it is away or busy for a while.
    async fn patiently(&self, spread: &Spread) -> Result<bytes::Bytes, String> {
        let (began, mut pause) = (Instant::now(), SOON);
        loop {
            let (why, after) = match self.webhook.associations.server().renew().await {
                Ok(answer) => return Ok(answer),
                Err(server::Failure::Away(why)) => (why, None),
                Err(server::Failure::Unwell(why, after)) => (why, after),
                Err(failure @ (server::Failure::Unaccepted(_) | server::Failure::Refused(_))) => {
                    return Err(failure.to_string());
                }
            };
            if began.elapsed() > ASKING {
                return Err(why);
            }
            tracing::info!(why, "key.asked_again");
            sleep(spread.of(pause).max(after.unwrap_or_default())).await;
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// Writes what was given. The keeper's key first: whoever goes on after a crash can then renew by it, also if a node used
    /// its new one. That all is done comes last.
    async fn write(&self, given: &mut Given) -> Result<(), Failure> {
        let data = |version: &Value, key: &Key| json!({"metadata": {"resourceVersion": version}, "data": key.data()});
        let keeper = data(&given.keeper, &given.keys.keeper);
        given.keeper = version(&self.cluster.merge(&self.keeper, &keeper).await?);
        if let Some(path) = &self.nodes {
            let nodes = data(&given.nodes, &given.keys.nodes);
            given.nodes = version(&self.cluster.merge(path, &nodes).await?);
        }
        let annotations = json!({RENEWED: self.clock.now().rfc3339_seconds(), BEGUN: null});
        let done = json!({"metadata": {"resourceVersion": given.keeper, "annotations": annotations}});
        self.cluster.merge(&self.keeper, &done).await.map(drop)
    }

    /// Whose turn it is after somebody changed one of the Secrets, or an answer of the API server was lost.
    async fn read_again(&self, given: &mut Given) -> Result<Claim, Failure> {
        let keeper = self.cluster.get(&self.keeper).await?;
        if annotation(&keeper, BEGUN).and_then(Value::as_str) != Some(given.claim.as_str()) {
            return Ok(if given.keys.keeper.is_in(&keeper) { Claim::Done } else { Claim::Lost });
        }
        given.nodes = self.nodes_version().await?;
        given.keeper = version(&keeper);
        Ok(Claim::Ours)
    }
}

/// Whether what was given still has to be written.
enum Claim {
    Ours,
    Done,
    Lost,
}

fn text(failure: &Failure) -> String {
    format!("the Secrets of the keys: {failure}")
}

fn version(secret: &Value) -> Value {
    secret.pointer("/metadata/resourceVersion").cloned().unwrap_or_default()
}

fn annotation<'a>(secret: &'a Value, name: &str) -> Option<&'a Value> {
    secret.pointer("/metadata/annotations").and_then(|all| all.get(name))
}

/// Whether the key is old enough, and nobody is about to renew it.
fn is_due(secret: &Value, every: i64, now: Timestamp) -> bool {
    let time = |value: Option<&Value>| Timestamp::parse_rfc3339(value?.as_str()?);
    let made =
        time(annotation(secret, RENEWED)).or_else(|| time(secret.pointer("/metadata/creationTimestamp")));
    let is_old = made.is_none_or(|made| made.plus_seconds(every) <= now);
    is_old && time(annotation(secret, BEGUN)).is_none_or(|begun| begun.plus_seconds(VANISHED) <= now)
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

    #[test]
    fn the_server_gives_a_key_of_the_nodes_and_one_of_the_keeper() {
        let answer = r#"{"principal": "p", "cluster": "c", "accessKeyId": "A", "secretAccessKey": "s",
            "keeper": {"principal": "k", "accessKeyId": "B", "secretAccessKey": "t"}}"#;
        let answer: Answer = serde_json::from_str(answer).unwrap();
        let written = json!({"data": answer.keeper.data()});
        assert_eq!(written["data"], json!({"accessKeyId": "Qg==", "secretAccessKey": "dA=="}));
        assert!(answer.keeper.is_in(&written) && !answer.nodes.is_in(&written));
    }
}
