//! The connector: the identity that a cluster has for Bailiwick, and its manifests.
//!
//! They are applied here, by kubectl and with the operator's own credential, which never leaves this machine; only the
//! connector's token is uploaded. kubectl, because operators' kubeconfigs often get their credentials from plugins.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{World, kubeconfig};
use crate::failure::Failure;

const NAMESPACE: &str = "bailiwick-system";
const SECRET: &str = "bailiwick-connector";
/// How often the token is looked for, with a quarter of a second between.
const ATTEMPTS: u32 = 120;
const BETWEEN: Duration = Duration::from_millis(250);

/// How much the connector may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Strength {
    /// Grant every role but administrator
    #[default]
    Base,
    /// Grant administrator too: as strong as cluster-admin
    Administrator,
}

/// A manifest of `deploy/connector`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Manifest {
    /// The identity, our ClusterRoles, and rights for every role but administrator
    Base,
    /// Adds granting administrator: as strong as cluster-admin
    Administrator,
    /// Adds having client certificates signed, for kubeconfigs: as strong as cluster-admin
    Certificates,
    /// Adds telling whether service accounts and pods are alive, for pod identity
    PodIdentity,
    /// Confines the connector to Bailiwick's own bindings; Kubernetes 1.30 and newer, untested there
    Confine,
}

impl Manifest {
    /// The manifest itself.
    pub fn text(self) -> &'static str {
        match self {
            Self::Base => include_str!("../../../../deploy/connector/base.yaml"),
            Self::Administrator => include_str!("../../../../deploy/connector/administrator.yaml"),
            Self::Certificates => include_str!("../../../../deploy/connector/certificates.yaml"),
            Self::PodIdentity => include_str!("../../../../deploy/connector/pod-identity.yaml"),
            Self::Confine => include_str!("../../../../deploy/connector/confine.yaml"),
        }
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "base",
            Self::Administrator => "administrator",
            Self::Certificates => "certificates",
            Self::PodIdentity => "pod-identity",
            Self::Confine => "confine",
        })
    }
}

/// Makes the connector in the cluster of `context` and answers a kubeconfig that holds its token and nothing else.
///
/// # Errors
/// If kubectl is missing or fails, or the cluster gives no token.
pub fn install(
    world: &mut World<'_>,
    context: &str,
    strength: Strength,
) -> Result<Zeroizing<String>, Failure> {
    // Before anything is changed: a context that cannot be uploaded should not leave a connector behind.
    let mut cluster = kubeconfig::cluster_of(&world.environment.kubeconfig_files(), context)?;
    let manifests: &[Manifest] = match strength {
        Strength::Base => &[Manifest::Base],
        Strength::Administrator => &[Manifest::Base, Manifest::Administrator],
    };
    for manifest in manifests {
        apply(world, context, *manifest)?;
    }
    let secret = token(world, context)?;
    // The operator's own kubeconfig knows best who vouches for the address that is in it.
    if !cluster.contains_key("certificate-authority-data")
        && let Some(authority) = secret.pointer("/data/ca.crt")
    {
        cluster.insert("certificate-authority-data".to_owned(), authority.clone());
    }
    let token = decoded(&secret)
        .ok_or_else(|| Failure::refused(format!("the token in Secret {NAMESPACE}/{SECRET} is unreadable")))?;
    Ok(Zeroizing::new(kubeconfig::with_token(cluster, &token)))
}

/// Applies a manifest, and tells what was changed as kubectl tells it.
fn apply(world: &mut World<'_>, context: &str, manifest: Manifest) -> Result<(), Failure> {
    let line = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=bailiwick-connector",
        "--filename=-",
    ];
    let done = kubectl(context, &line, manifest.text())?;
    for changed in done.lines() {
        writeln!(world.err, "{}", crate::output::escape(changed))?;
    }
    Ok(())
}

/// The Secret with the connector's token, which the cluster fills in a moment after it was made.
fn token(world: &mut World<'_>, context: &str) -> Result<Value, Failure> {
    let namespace = format!("--namespace={NAMESPACE}");
    for _ in 0..ATTEMPTS {
        let found = kubectl(context, &["get", "secret", SECRET, &namespace, "--output=json"], "")?;
        let secret: Value = serde_json::from_str(&found).unwrap_or(json!(null));
        if secret.pointer("/data/token").is_some() {
            return Ok(secret);
        }
        (world.pause)(BETWEEN);
    }
    Err(Failure::refused(format!("the cluster puts no token into Secret {NAMESPACE}/{SECRET}"))
        .hint("its controller manager has to run; the command may then be repeated"))
}

fn decoded(secret: &Value) -> Option<Zeroizing<String>> {
    let bytes = STANDARD.decode(secret.pointer("/data/token")?.as_str()?).ok()?;
    String::from_utf8(bytes).ok().map(Zeroizing::new)
}

/// Runs kubectl and answers what it prints. What it complains of goes where our complaints go: plugins talk to people
/// there.
fn kubectl(context: &str, line: &[&str], stdin: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: std::io::Error| {
        match error.kind() {
        std::io::ErrorKind::NotFound => Failure::refused("kubectl is not installed, or not in PATH")
            .hint("it makes the connector with your own credential; install it, or apply the manifest elsewhere")
            .hint("`bailiwick cluster manifest base` prints it; deploy/connector/README.md says how to go on"),
        _ => Failure::refused(format!("cannot run kubectl: {error}")),
    }
    };
    let mut child = Command::new("kubectl")
        .arg(format!("--context={context}"))
        .args(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take() {
        // If it does not read to its end, its exit code says why.
        drop(std::io::Write::write_all(&mut pipe, stdin.as_bytes()));
    }
    let done = child.wait_with_output().map_err(failed)?;
    if !done.status.success() {
        let verb = line.first().copied().unwrap_or_default();
        return Err(Failure::refused(format!("`kubectl {verb}` failed in context `{context}`"))
            .hint("your own credential has to be one that may make ClusterRoles, such as cluster-admin"));
    }
    Ok(Zeroizing::new(String::from_utf8_lossy(&done.stdout).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_named_as_its_file_and_as_its_argument() {
        for manifest in Manifest::value_variants() {
            let name = manifest.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(manifest.to_string(), name);
            let file = format!("{}/../../deploy/connector/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
            assert_eq!(std::fs::read_to_string(file).unwrap(), manifest.text());
        }
    }

    #[test]
    fn a_token_is_read_from_where_kubernetes_puts_it() {
        let secret = json!({"data": {"token": "dG9r", "ca.crt": "Q0E="}});
        assert_eq!(decoded(&secret).unwrap().as_str(), "tok");
        assert!(decoded(&json!({"data": {"token": "%"}})).is_none() && decoded(&json!(null)).is_none());
    }
}
