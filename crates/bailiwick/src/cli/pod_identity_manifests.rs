//! The manifests of `deploy/pod-identity`, filled for one cluster.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Session;
use super::pod_identity_direct::Asked;
use super::pod_identity_install::InstallArgs;
use crate::client::path;
use crate::failure::Failure;

const BASE: &str = include_str!("../../../../deploy/pod-identity/base.yaml");
const KEY: &str = include_str!("../../../../deploy/pod-identity/key.yaml");
const NODE: &str = include_str!("../../../../deploy/pod-identity/node.yaml");
const WEBHOOK: &str = include_str!("../../../../deploy/pod-identity/webhook.yaml");
const CONFIGURATION: &str = include_str!("../../../../deploy/pod-identity/configuration.yaml");

/// The keys of the agents, as the server gives them once.
pub(super) struct Keys {
    nodes: Key,
    keeper: Key,
}

struct Key {
    id: String,
    secret: Zeroizing<String>,
}

impl Keys {
    /// Has them made.
    pub(super) fn make(session: &Session<'_, '_>, cluster: &str) -> Result<Self, Failure> {
        let at = path::native(&["clusters", cluster, "pod-identity", "agent"])?;
        let made = session.client.write("POST", &at, json!({}))?;
        let key = |from: Option<&Value>| {
            let text = |name: &str| from.and_then(|key| key.get(name)?.as_str().map(str::to_owned));
            Some(Key { id: text("accessKeyId")?, secret: Zeroizing::new(text("secretAccessKey")?) })
        };
        match (key(Some(&made)), key(made.get("keeper"))) {
            (Some(nodes), Some(keeper)) => Ok(Self { nodes, keeper }),
            (None, _) | (_, None) => {
                Err(Failure::refused("the server gave no keys for the nodes and for the webhook"))
            }
        }
    }
}

/// The manifests, filled.
pub(super) struct Manifests {
    namespace: String,
    keys: String,
    /// The namespace, who the agents are, and what they may.
    pub(super) base: String,
    /// What runs.
    pub(super) programs: String,
    /// What the API server asks the webhook about.
    pub(super) configuration: String,
}

impl Manifests {
    /// Fills them.
    pub(super) fn new(
        args: &InstallArgs,
        cluster: &str,
        pod_ranges: &[String],
        session: &Session<'_, '_>,
    ) -> Result<Self, Failure> {
        let (server, authorities) = server(args, session)?;
        let ranges = format!("--allow-from={}", pod_ranges.join(","));
        let namespace = &args.target.namespace;
        // JSON texts are YAML as well, whatever they hold.
        let quoted = |text: &str| Value::from(text).to_string();
        let asked = args.asked();
        let fill = |manifest: &str| {
            asked
                .manifest(manifest)
                .replace("{DIRECT_URL}", &quoted(&format!("--direct-url={server}")))
                .replace("{NAMESPACE}", namespace)
                .replace("--allow-from={POD_RANGES}", &quoted(&ranges))
                .replace("{ADDRESS_IMAGE}", &quoted(&args.address_image))
                .replace("{IMAGE}", &quoted(&args.image))
                .replace("{CLUSTER}", &quoted(cluster))
                .replace("{SERVER}", &quoted(&server))
                .replace("{SERVER_CA}", &quoted(&authorities))
        };
        // Without authorities, as only a server on this very machine may be called, the agents are given no file of them.
        let without = |manifest: String| {
            if authorities.is_empty() {
                manifest.replace(
                    "            - name: BAILIWICK_SERVER_CA\n              value: /etc/bailiwick/ca.pem\n",
                    "",
                )
            } else {
                manifest
            }
        };
        Ok(Self {
            namespace: namespace.clone(),
            base: fill(BASE),
            programs: without(match asked {
                Asked::Node => format!("{}---\n{}", fill(NODE), fill(WEBHOOK)),
                Asked::Server => fill(WEBHOOK),
            }),
            keys: asked.manifest(KEY),
            configuration: fill(CONFIGURATION),
        })
    }

    /// The Secrets with the keys.
    pub(super) fn keys(&self, keys: &Keys) -> Zeroizing<String> {
        let encoded = |key: &Key| Zeroizing::new(STANDARD.encode(key.secret.as_bytes()));
        Zeroizing::new(
            self.keys
                .replace("{NAMESPACE}", &self.namespace)
                .replace("{ACCESS_KEY_ID}", &STANDARD.encode(&keys.nodes.id))
                .replace("{SECRET_ACCESS_KEY}", &encoded(&keys.nodes))
                .replace("{KEEPER_ACCESS_KEY_ID}", &STANDARD.encode(&keys.keeper.id))
                .replace("{KEEPER_SECRET_ACCESS_KEY}", &encoded(&keys.keeper)),
        )
    }
}

/// Where agents reach the server, and who vouches for it there (PEM).
fn server(args: &InstallArgs, session: &Session<'_, '_>) -> Result<(String, String), Failure> {
    let server = args.server_url.clone().unwrap_or_else(|| session.client.server().as_str().to_owned());
    let authorities = match &args.server_ca {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("--server-ca {}: {error}", file.display())))?,
        None => String::new(),
    };
    if server.starts_with("https://") && authorities.is_empty() {
        return Err(Failure::usage("--server-ca must name the authorities that vouch for the server")
            .hint("agents trust these alone, not those of their image"));
    }
    if !server.starts_with("https://") && !session.client.server().is_local() {
        return Err(Failure::usage("--server-url must be an https URL: agents send what proves pods"));
    }
    if !server.starts_with("https://") && args.asked() == Asked::Server && args.server_url.is_some() {
        return Err(Failure::usage("--server-url must be an https URL: pods send there what proves them"));
    }
    Ok((server, authorities))
}
