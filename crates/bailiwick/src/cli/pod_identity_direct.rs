//! `bailiwick pod-identity install --direct`: pods ask the server themselves, so nothing of the nodes' agents is applied, and
//! nobody keeps the key that vends.

use serde_json::Value;

use super::Session;
use super::pod_identity_install::Target;
use super::pod_identity_kubectl::Kubectl;
use crate::client::path::{self, with_query};
use crate::failure::Failure;

/// The agents of the nodes.
pub(super) const NODES: &str = "bailiwick-node";
/// The Secret of their key.
const KEY: &str = "bailiwick-agent-key";

/// What stands in the manifests because of the nodes, and what stands there without them.
const INSTEAD: [(&str, &str); 4] = [
    (
        "    # The node agent listens on an address of the node, which takes the node's network.\n    \
         pod-security.kubernetes.io/enforce: privileged\n",
        "    pod-security.kubernetes.io/enforce: restricted\n",
    ),
    ("bailiwick-webhook-certificate, bailiwick-agent-key,", "bailiwick-webhook-certificate,"),
    ("            # The same address on every node, and each pod reaches that of its own.\n", ""),
    ("--credentials-uri=http://169.254.170.25:8471/v1/credentials", "{DIRECT_URL}"),
];

/// Whom pods are told to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The agent of their node.
    Node,
    /// The server.
    Server,
}

impl Asked {
    /// A manifest as it is with, or without, agents on nodes.
    pub(super) fn manifest(self, manifest: &str) -> String {
        match self {
            Self::Node => manifest.to_owned(),
            Self::Server => without_nodes(manifest),
        }
    }
}

fn without_nodes(manifest: &str) -> String {
    let is_theirs =
        |document: &&str| [NODES, KEY].iter().any(|name| document.contains(&format!("\n  name: {name}\n")));
    let rest: Vec<&str> = manifest.split("---\n").filter(|document| !is_theirs(document)).collect();
    INSTEAD.iter().fold(rest.join("---\n"), |text, (with, without)| text.replace(with, without))
}

/// Refuses where the server is known not to let pods ask; says what is up to the pods.
pub(super) fn require_server(cluster: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let feed = path::native(&["clusters", cluster, "pod-identity", "feed"])?;
    let told = session.client.get(&with_query(&feed, &[("wait", Some("0"))]));
    match told.as_ref().ok().and_then(|feed| feed.pointer("/verification/direct")) {
        Some(Value::Bool(true)) => {}
        Some(_) => {
            return Err(Failure::refused("the server does not let pods ask by themselves")
                .hint("its setting `pod_identity.direct` must be `true`; nothing was changed"));
        }
        // Who may not follow what agents are told cannot see it, nor with an older server. Pods will.
        None => writeln!(
            session.world.err,
            "whether the server lets pods ask by themselves (`pod_identity.direct`) is not known here"
        )?,
    }
    writeln!(
        session.world.err,
        "pods must reach the server, and believe its certificate by authorities of their own images: those of --server-ca \
         are the webhook's alone"
    )?;
    Ok(())
}

/// Refuses where agents are on the nodes: pods that run ask them, and their key would end within an hour.
pub(super) fn require_no_nodes(kubectl: &Kubectl, target: &Target) -> Result<(), Failure> {
    let namespace = format!("--namespace={}", target.namespace);
    if kubectl.object(&["daemonset", NODES, &namespace])?.is_null() {
        return Ok(());
    }
    Err(Failure::refused("there are agents on the nodes, which pods that run were told to ask").hint(
        "`bailiwick pod-identity uninstall` takes them away first; pods are to be made anew then; nothing was changed",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = include_str!("../../../../deploy/pod-identity/base.yaml");
    const KEYS: &str = include_str!("../../../../deploy/pod-identity/key.yaml");
    const WEBHOOK: &str = include_str!("../../../../deploy/pod-identity/webhook.yaml");

    #[test]
    fn nothing_of_the_nodes_is_left_where_there_are_none() {
        for (with, _) in INSTEAD {
            assert_eq!([BASE, WEBHOOK].iter().filter(|text| text.contains(with)).count(), 1, "{with}");
        }
        for manifest in [BASE, KEYS, WEBHOOK] {
            assert_eq!(Asked::Node.manifest(manifest), manifest);
            let without = Asked::Server.manifest(manifest);
            for word in [NODES, KEY, "privileged", "169.254", "{ACCESS_KEY_ID}", "{SECRET_ACCESS_KEY}"] {
                assert!(!without.contains(word), "{word}: {without}");
            }
        }
        let documents = |text: &str| text.split("---\n").count();
        assert_eq!(documents(&Asked::Server.manifest(BASE)), documents(BASE) - 1);
        let keys = Asked::Server.manifest(KEYS);
        assert!(keys.contains("{KEEPER_SECRET_ACCESS_KEY}") && documents(&keys) == 1);
        assert!(Asked::Server.manifest(WEBHOOK).contains("            - {DIRECT_URL}\n"));
    }
}
