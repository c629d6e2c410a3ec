//! The webhook's certificate through its life: kept in a Secret that replicas share, shown by the listener, believed in by the
//! API server because its authority is written into the webhook configuration.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Clock, Secret};
use http::StatusCode;
use serde_json::{Value, json};

use super::certificate::Chain;
use super::listener::Shown;
use crate::cluster::{Cluster, Failure};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
/// The longest, in seconds, between two looks.
const LONGEST_PAUSE: u64 = 20;

/// What is needed to keep the certificate.
pub struct Rotation {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The API server.
    pub cluster: Arc<Cluster>,
    /// Where the listener finds the certificate.
    pub shown: Arc<Shown>,
    /// Our namespace.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// The name of the webhook configuration.
    pub configuration: String,
    /// For whom the certificate is.
    pub names: Vec<String>,
    /// How long a certificate lives, in seconds.
    pub life: i64,
}

impl Rotation {
    /// Looks again and again, for ever.
    pub async fn follow(&self) {
        let pause = u64::try_from(self.life / 12).unwrap_or(1).clamp(1, LONGEST_PAUSE);
        let mut told = None;
        loop {
            let failed = self.look().await.err();
            if failed != told {
                let why = failed.as_deref().unwrap_or("nothing any more");
                tracing::warn!(why, "certificate.not_kept");
            }
            // Soon again while something is missing: pods may be waiting for it.
            let pause = if failed.is_some() { pause.min(2) } else { pause };
            told = failed;
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }

    /// Brings Secret, configuration and listener to where they should be.
    async fn look(&self) -> Result<(), String> {
        let chain = self.chain().await?;
        // First who is believed, then what is shown: a certificate that the API server cannot check is never met.
        let told = self.tell(&chain.bundle).await;
        self.shown.replace(&chain)?;
        told
    }

    /// The chain of the Secret, renewed if it is time.
    async fn chain(&self) -> Result<Chain, String> {
        // It is there, empty at first, because it was applied: we have no right to make one.
        let own = format!("/api/v1/namespaces/{}/secrets/{}", self.namespace, self.secret);
        // Somebody else may write at the same time: then theirs is read.
        for _ in 0..3 {
            let written = match self.cluster.get(&own).await {
                Ok(secret) => {
                    let next = match stored(&secret) {
                        Some(chain) => match chain.renewed(&self.names, self.life, self.clock.now())? {
                            None => return Ok(chain),
                            Some(next) => next,
                        },
                        None => Chain::new(&self.names, self.life, self.clock.now())?,
                    };
                    tracing::info!(secret = self.secret, "certificate.renewed");
                    let version = secret.pointer("/metadata/resourceVersion");
                    let patch = json!({"metadata": {"resourceVersion": version}, "data": data(&next)});
                    self.cluster.merge(&own, &patch).await.map(|_| next)
                }
                Err(failure) => Err(failure),
            };
            match written {
                Ok(chain) => return Ok(chain),
                Err(failure) if failure.is(StatusCode::CONFLICT) => {}
                Err(failure) => return Err(format!("Secret {}: {failure}", self.secret)),
            }
        }
        Err(format!("Secret {}: others keep writing it", self.secret))
    }

    /// Writes who is believed into the configuration of the webhook, where something else is there.
    async fn tell(&self, bundle: &str) -> Result<(), String> {
        let failed = |failure: Failure| format!("webhook configuration {}: {failure}", self.configuration);
        let path = format!("{CONFIGURATIONS}/{}", self.configuration);
        let configuration = self.cluster.get(&path).await.map_err(failed)?;
        let bundle = STANDARD.encode(bundle);
        let webhooks =
            configuration.get("webhooks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let differs = |one: &&Value| {
            one.pointer("/clientConfig/caBundle").and_then(Value::as_str) != Some(bundle.as_str())
        };
        let changed: Vec<Value> = webhooks
            .iter()
            .filter(differs)
            .map(|one| json!({"name": one.get("name"), "clientConfig": {"caBundle": bundle}}))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.cluster.merge_by_name(&path, &json!({"webhooks": changed})).await.map_err(failed)?;
        tracing::info!(configuration = self.configuration, "certificate.authority_told");
        Ok(())
    }
}

/// What a Secret holds of a chain.
fn data(chain: &Chain) -> Value {
    let about = serde_json::to_string(&chain.about).unwrap_or_default();
    json!({
        "about": STANDARD.encode(about),
        "authorities": STANDARD.encode(&chain.bundle),
        "authority.key": STANDARD.encode(chain.authority_key.expose()),
        "certificate": STANDARD.encode(&chain.certificate),
        "certificate.key": STANDARD.encode(chain.key.expose()),
    })
}

/// The chain of a Secret, unless something of it is missing.
fn stored(secret: &Value) -> Option<Chain> {
    let text = |name: &str| {
        let bytes = STANDARD.decode(secret.get("data")?.get(name)?.as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    };
    let chain = Chain {
        about: serde_json::from_str(&text("about")?).ok()?,
        bundle: text("authorities")?,
        authority_key: Secret::new(text("authority.key")?),
        certificate: text("certificate")?,
        key: Secret::new(text("certificate.key")?),
    };
    // Whatever cannot be shown is no chain, and a new one comes in its place.
    Shown::default().replace(&chain).ok().map(|()| chain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::System;

    #[test]
    fn a_secret_gives_back_what_was_put_into_it_and_a_broken_one_nothing() {
        let names = ["hook.example".to_owned()];
        let chain = Chain::new(&names, 3600, System.now()).unwrap();
        let secret = json!({"data": data(&chain)});
        assert_eq!(stored(&secret).unwrap().bundle, chain.bundle);
        let other = Chain::new(&names, 3600, System.now()).unwrap();
        for name in ["about", "authorities", "authority.key", "certificate", "certificate.key"] {
            let mut broken = secret.clone();
            broken["data"].as_object_mut().unwrap().remove(name);
            assert!(stored(&broken).is_none(), "{name}");
        }
        let mut mixed = secret;
        mixed["data"]["certificate.key"] = data(&other)["certificate.key"].clone();
        assert!(stored(&mixed).is_none(), "a certificate of another key");
    }
}
