//! Having a certificate signed by a cluster: request, approval, signature, and nothing left behind.
//!
//! The whole takes some hundred milliseconds where a controller signs. Where none does, it is given up: a caller waits.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use service::clusters::connection::contact::SigningRequest;
use tokio::time::{sleep, timeout};

use crate::client::{ApiClient, MAX_ANSWER, SIGNING_REQUESTS, segment};
use crate::failure::{Failure, clean};
use crate::right::Right;
use crate::wire::{Anything, SigningObject};

/// How long a cluster may take to sign.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is asked to forget the request afterwards.
const CLEANING: Duration = Duration::from_secs(5);
/// How often it is asked whether it has signed.
const PAUSE: Duration = Duration::from_millis(50);
/// Signs what its API server takes as a user's certificate.
const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// The shortest and the longest time that API servers take.
const SECONDS: (i64, i64) = (600, i32::MAX as i64);

/// Why there is no certificate, in a sentence for people.
pub(crate) type Told = String;

/// Has it signed. The request is deleted again, whatever came of it.
pub(crate) async fn sign(client: &ApiClient, request: &SigningRequest) -> Result<String, Told> {
    sign_within(PATIENCE, client, request).await
}

/// The same with that much patience.
pub(crate) async fn sign_within(
    patience: Duration,
    client: &ApiClient,
    request: &SigningRequest,
) -> Result<String, Told> {
    let signed = timeout(patience, signed(client, request)).await;
    let signed = signed.unwrap_or_else(|_| {
        Err(format!(
            "the cluster did not sign the certificate within {patience:?}: does a controller sign there?"
        ))
    });
    let (path, options) = (path(&request.name), json!({}));
    match timeout(CLEANING, client.delete::<Anything>(&path, &options)).await {
        Ok(Ok(_)) => {}
        Ok(Err(failure)) if failure.is(404) || failure.is(403) => {}
        Ok(Err(failure)) => tracing::warn!(name = request.name, %failure, "fleet.signing.left"),
        Err(_) => tracing::warn!(name = request.name, "fleet.signing.left"),
    }
    signed
}

async fn signed(client: &ApiClient, request: &SigningRequest) -> Result<String, Told> {
    let told = |action: &'static str| {
        move |failure: Failure| {
            tracing::info!(%failure, "fleet.signing.failed");
            failure.sentence(&Right::certificates(action))
        }
    };
    let created = client.create::<SigningObject>(SIGNING_REQUESTS, &object(request, None)).await;
    let created = created.map_err(told("request a client certificate"))?;
    // Nobody else's request of that name is approved, nor one that was changed since.
    let approval = object(request, Some(&created.metadata.resource_version));
    let approved =
        client.replace::<SigningObject>(&format!("{}/approval", path(&request.name)), &approval).await;
    let mut found = approved.map_err(told("approve a client certificate"))?;
    loop {
        if let Some(text) = found.status.certificate.filter(|text| !text.is_empty()) {
            let pem = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            return pem.ok_or_else(|| "what the cluster signed is not text".to_owned());
        }
        let bad = |kind: &str| ["Failed", "Denied"].contains(&kind);
        if let Some(condition) = found.status.conditions.iter().find(|condition| bad(&condition.r#type)) {
            return Err(clean(&format!(
                "the cluster refuses to sign the certificate: {}",
                condition.message
            )));
        }
        sleep(PAUSE).await;
        let asked = client.get::<SigningObject>(&path(&request.name), MAX_ANSWER).await;
        found = asked.map_err(told("read its request for a client certificate"))?;
    }
}

fn path(name: &str) -> String {
    format!("{SIGNING_REQUESTS}/{}", segment(name))
}

/// The request, approved if a version of it is given.
fn object(request: &SigningRequest, approve: Option<&str>) -> Value {
    let mut object = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {
            "name": request.name,
            "labels": {"app.kubernetes.io/managed-by": "bailiwick"},
        },
        "spec": {
            "request": STANDARD.encode(&request.csr_pem),
            "signerName": SIGNER,
            "usages": ["digital signature", "client auth"],
            "expirationSeconds": request.seconds.clamp(SECONDS.0, SECONDS.1),
        },
    });
    if let (Some(version), Some(fields)) = (approve, object.as_object_mut()) {
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), version.into());
        }
        let condition = json!({
            "type": "Approved",
            "status": "True",
            "reason": "BailiwickIssues",
            "message": "requested and approved by Bailiwick for one of its users",
        });
        fields.insert("status".to_owned(), json!({"conditions": [condition]}));
    }
    object
}
