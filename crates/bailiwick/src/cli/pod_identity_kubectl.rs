//! kubectl, with one of the operator's credentials, and what it is asked before anything is changed: whether the context
//! leads to the cluster that is meant, whose the things there are, and where the pods are.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use serde_json::Value;
use zeroize::Zeroizing;

use super::Session;
use super::pod_identity_install::Target;
use crate::failure::Failure;

/// What says for which cluster of the server a thing was installed.
const LABEL: &str = "bailiwick.dev/cluster";
/// More ranges than these are not told by nodes: somebody has to say them.
const MAX_RANGES: usize = 16;

/// kubectl with one of the operator's credentials.
pub(super) struct Kubectl {
    arguments: Vec<String>,
    context: String,
}

impl Kubectl {
    pub(super) fn new(target: &Target) -> Result<Self, Failure> {
        let context = target.context.clone().ok_or_else(|| {
            Failure::usage("--context must name the context that leads to the cluster")
                .hint("what is installed there is much: no context is guessed")
        })?;
        let mut arguments = vec![format!("--context={context}")];
        if let Some(file) = &target.kubeconfig {
            arguments.push(format!("--kubeconfig={}", file.display()));
        }
        Ok(Self { arguments, context })
    }

    pub(super) fn apply(&self, manifest: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
        let line = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=bailiwick-pod-identity",
            "--filename=-",
        ];
        let done = self.run(&line, manifest)?;
        tell(&done, session)
    }

    /// Something as it is; null if it is not there.
    pub(super) fn object(&self, line: &[&str]) -> Result<Value, Failure> {
        let mut whole = vec!["get", "--output=json", "--ignore-not-found"];
        whole.extend(line);
        Ok(serde_json::from_str(&self.run(&whole, "")?).unwrap_or(Value::Null))
    }

    /// Refuses a context that leads to another cluster than the server's, as far as the server knows its own.
    pub(super) fn require_cluster(&self, cluster: &Value) -> Result<(), Failure> {
        let found = self.object(&["namespace", "kube-system"])?;
        let found = found.pointer("/metadata/uid").and_then(Value::as_str);
        let known = cluster.pointer("/identity/uid").and_then(Value::as_str);
        match (known, found) {
            (Some(known), Some(found)) if known == found => Ok(()),
            (Some(_), _) => Err(Failure::refused(format!(
                "context `{}` does not lead to the cluster that the server knows by this name",
                self.context
            ))
            .hint("the uids of the namespaces kube-system differ; nothing was changed")),
            // Whose the things there are still keeps one cluster's agents from being taken for another's.
            (None, _) => Ok(()),
        }
    }

    /// Refuses if something of that name is there and was not installed for this cluster. Whether it is there.
    pub(super) fn require_ours(&self, kind: &str, name: &str, cluster: &str) -> Result<bool, Failure> {
        let found = self.object(&[kind, name])?;
        if found.is_null() {
            return Ok(false);
        }
        let labels = found.pointer("/metadata/labels");
        match labels.and_then(|labels| labels.get(LABEL)).and_then(Value::as_str) {
            Some(own) if own == cluster => Ok(true),
            Some(own) => {
                Err(Failure::refused(format!("{kind} `{name}` is there for cluster {own} of the server"))
                    .hint("nothing was changed"))
            }
            None => {
                Err(Failure::refused(format!("{kind} `{name}` is there and was not made by this command"))
                    .hint(format!("it has no label {LABEL}; nothing was changed")))
            }
        }
    }

    /// The ranges that nodes say their pods are in, widened so that further nodes fit in.
    pub(super) fn pod_ranges(&self) -> Result<Vec<String>, Failure> {
        let nodes = self.object(&["nodes"])?;
        let ranges = widened(&nodes);
        if ranges.is_empty() || ranges.len() > MAX_RANGES {
            return Err(Failure::usage("--pod-range must say where the cluster's pods are")
                .hint("its nodes do not say it: not every network plugin writes `podCIDRs`"));
        }
        Ok(ranges)
    }

    /// Runs it and answers what it prints. What it complains of goes where our complaints go.
    pub(super) fn run(&self, line: &[&str], stdin: &str) -> Result<Zeroizing<String>, Failure> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::refused("kubectl is not installed, or not in PATH")
                .hint("`--print` prints what would be applied"),
            _ => Failure::refused(format!("cannot run kubectl: {error}")),
        };
        let mut child = Command::new("kubectl")
            .args(&self.arguments)
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
            return Err(Failure::refused(format!("`kubectl {verb}` failed in context `{}`", self.context))
                .hint("your own credential has to be one that may do this, such as cluster-admin"));
        }
        Ok(Zeroizing::new(String::from_utf8_lossy(&done.stdout).into_owned()))
    }
}

/// Passes on what kubectl did.
pub(super) fn tell(changed: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    for line in changed.lines() {
        writeln!(session.world.err, "{}", crate::output::escape(line))?;
    }
    Ok(())
}

/// The ranges of a list of nodes: /16 (IPv6: /48) around each, as clusters usually give each node a piece of one.
fn widened(nodes: &Value) -> Vec<String> {
    let nodes = nodes.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut ranges = BTreeSet::new();
    for node in nodes {
        let all = node.pointer("/spec/podCIDRs").and_then(Value::as_array).map(Vec::as_slice);
        let one = node.pointer("/spec/podCIDR").map(std::slice::from_ref);
        let texts = all.or(one).unwrap_or_default().iter().filter_map(Value::as_str);
        ranges.extend(texts.filter_map(wide));
    }
    ranges.into_iter().collect()
}

fn wide(range: &str) -> Option<String> {
    let (address, bits) = range.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    match address.parse().ok()? {
        IpAddr::V4(address) if (1..=32).contains(&bits) => {
            let bits = bits.min(16);
            let first = std::net::Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - bits)));
            Some(format!("{first}/{bits}"))
        }
        IpAddr::V6(address) if (1..=128).contains(&bits) => {
            let bits = bits.min(48);
            let first = std::net::Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits)));
            Some(format!("{first}/{bits}"))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nodes_say_of_their_pods_is_widened_to_what_a_cluster_has() {
        let node = |ranges: &[&str]| json!({"spec": {"podCIDRs": ranges}});
        let nodes = json!({"items": [
            node(&["10.244.3.0/24", "fd00:10:244:3::/64"]), node(&["10.244.4.0/24"]),
            {"spec": {"podCIDR": "10.8.1.0/12"}}, {"spec": {}}, node(&["0.0.0.0/0", "nonsense"]),
        ]});
        assert_eq!(widened(&nodes), ["10.0.0.0/12", "10.244.0.0/16", "fd00:10:244::/48"]);
        assert!(widened(&json!({"items": [{"spec": {}}]})).is_empty());
    }
}
