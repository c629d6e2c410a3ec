//! The script that makes our connector in a cluster: what the vendor's page calls installing the agent.

use domain::{Cluster, Result};

use super::quote;

/// What is applied: the same manifest that `bailiwick cluster manifest base` prints.
const MANIFEST: &str = include_str!("../../../../../../deploy/connector/base.yaml");

/// Ends the manifest in the script. No line of the manifest is this.
const END: &str = "END_OF_MANIFEST";

/// What the script does once the manifest is applied. Nothing secret is an argument of a program: `printf` is the
/// shell's own.
const AFTER: &str = r#"secret() { kubectl --namespace=bailiwick-system get secret bailiwick-connector --output="jsonpath={.data.$1}"; }
tries=0
until token="$(secret token)" && [ -n "$token" ]; do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then
    printf '%s\n' 'the cluster gives no token to the connector: its controller manager has to run' >&2
    exit 1
  fi
  sleep 1
done
authority="$(secret 'ca\.crt')"
token="$(printf '%s' "$token" | base64 -d)"
if [ -z "$server" ]; then
  server="$(kubectl config view --minify --output='jsonpath={.clusters[0].cluster.server}')"
fi
umask 077
cat >bailiwick-connector.kubeconfig <<END_OF_KUBECONFIG
apiVersion: v1
kind: Config
current-context: connector
contexts: [{name: connector, context: {cluster: cluster, user: connector}}]
clusters: [{name: cluster, cluster: {server: "$server", certificate-authority-data: "$authority"}}]
users: [{name: connector, user: {token: "$token"}}]
END_OF_KUBECONFIG
printf '%s\n' "the connector of cluster $name is made; its kubeconfig is in bailiwick-connector.kubeconfig, for:"
printf '%s\n' "bailiwick cluster rotate $id --kubeconfig bailiwick-connector.kubeconfig"
"#;

/// The script for a cluster, for a POSIX shell.
///
/// # Errors
/// `Invalid` if something about the cluster cannot be written into a script.
pub(super) fn install(cluster: &Cluster) -> Result<String> {
    let id = quote::word("cluster_id", cluster.id.as_str())?;
    let name = quote::word("cluster_name", &cluster.name)?;
    let server = quote::word("server", cluster.server.as_deref().unwrap_or_default())?;
    Ok(format!(
        "#!/bin/sh\n\
         # Makes the identity that Bailiwick has in a cluster, with your own kubectl and your own rights there, and\n\
         # writes a kubeconfig for it. Nothing else runs in the cluster: there is no agent and no proxy.\n\
         set -eu\n\
         id={id}\nname={name}\nserver={server}\n\
         kubectl apply --server-side --force-conflicts --field-manager=bailiwick-connector --filename=- <<'{END}'\n\
         {MANIFEST}\n{END}\n{AFTER}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_manifest_ends_it() {
        assert!(!MANIFEST.lines().any(|line| line == END));
        assert!(MANIFEST.contains("bailiwick-connector"));
    }
}
