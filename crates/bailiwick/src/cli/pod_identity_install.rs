//! `bailiwick pod-identity install` and `uninstall`: what runs inside a cluster, applied there by the operator's own hands.
//!
//! kubectl does it, with the operator's own credential, which never leaves this machine: the server's connection to the
//! cluster neither is used nor gets a right by it. The agent's key goes to kubectl by its standard input.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use zeroize::Zeroizing;

use super::Session;
use super::pod_identity_direct::{Asked, require_no_nodes, require_server};
use super::pod_identity_kubectl::{Kubectl, tell};
use super::pod_identity_manifests::{Keys, Manifests};
use crate::client::path;
use crate::failure::Failure;

const BETWEEN: Duration = Duration::from_millis(500);
const CLUSTER_ROLE: &str = "bailiwick:pod-identity-webhook";
const CONFIGURATION_NAME: &str = "bailiwick-pod-identity";

/// Shown below the help of `install`.
pub const INSTALL_EXAMPLES: &str = "Examples:\n  \
    bailiwick pod-identity install --cluster prod --context prod --image registry.example/bailiwick-agent:0.1.0\n  \
    bailiwick pod-identity install --cluster prod --image registry.example/bailiwick-agent:0.1.0 --print > agent.yaml\n  \
    bailiwick pod-identity install --cluster prod --context prod --image registry.example/bailiwick-agent:0.1.0 --direct";
/// Shown below the help of `uninstall`.
pub const UNINSTALL_EXAMPLES: &str =
    "Example:\n  bailiwick pod-identity uninstall --cluster prod --context prod";

/// Where it is, and by which of your credentials.
#[derive(Args, Debug)]
pub struct Target {
    /// The cluster's id or name
    #[arg(long, value_name = "CLUSTER")]
    cluster: String,
    /// Context of your kubeconfig that leads to the cluster
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// Your kubeconfig, if not the usual one
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Namespace of the agents, which is theirs alone
    #[arg(long, value_name = "NAME", default_value = "bailiwick-pod-identity", value_parser = namespace)]
    pub(super) namespace: String,
}

/// What `install` takes.
#[derive(Args, Debug)]
pub struct InstallArgs {
    #[command(flatten)]
    pub(super) target: Target,
    /// Image that holds bailiwick-agent
    #[arg(long, value_name = "IMAGE")]
    pub(super) image: String,
    /// Image that holds `ip`, which puts the address of the endpoint on every node
    #[arg(long, value_name = "IMAGE", default_value = "busybox:1.36.1")]
    pub(super) address_image: String,
    /// URL at which the cluster reaches the server [default: the one that this command calls]
    #[arg(long, value_name = "URL")]
    pub(super) server_url: Option<String>,
    /// Certificate authorities (PEM) that vouch for the server there
    #[arg(long, value_name = "FILE")]
    pub(super) server_ca: Option<PathBuf>,
    /// Pods ask the server itself, whose setting `pod_identity.direct` lets them, and nothing runs on nodes
    #[arg(long, conflicts_with_all = ["pod_ranges", "address_image"])]
    direct: bool,
    /// Range of the cluster's pods, who alone may ask; may be repeated [default: around what the nodes say]
    #[arg(long = "pod-range", value_name = "RANGE")]
    pod_ranges: Vec<String>,
    /// Print the manifests and apply nothing. The agents' keys are left out
    #[arg(long)]
    print: bool,
    /// Make keys for the agents and print them too; those that they have end in an hour
    #[arg(long, requires = "print")]
    with_key: bool,
    /// How long to wait until the webhook answers, in seconds; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u32,
}

/// What `uninstall` takes.
#[derive(Args, Debug)]
pub struct UninstallArgs {
    #[command(flatten)]
    target: Target,
}

impl InstallArgs {
    pub(super) fn asked(&self) -> Asked {
        match self.direct {
            true => Asked::Server,
            false => Asked::Node,
        }
    }
}

fn namespace(text: &str) -> Result<String, String> {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name =
        !text.is_empty() && text.len() <= 63 && text.chars().all(is_letter) && !text.starts_with('-');
    if !is_name || text.ends_with('-') {
        return Err("must be the name of a namespace".to_owned());
    }
    if text.starts_with("kube-") || text == "default" {
        return Err("must be a namespace of its own: `uninstall` deletes it".to_owned());
    }
    Ok(text.to_owned())
}

/// Puts the agents into a cluster, or brings them up to date.
///
/// # Errors
/// If the server or the cluster refuses; what stands by then is said.
pub fn install(args: &InstallArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let known = session.client.get(&path::native(&["clusters", &args.target.cluster])?)?;
    let cluster = id(&known)?;
    if args.print {
        return print(args, &cluster, session);
    }
    let kubectl = Kubectl::new(&args.target)?;
    kubectl.require_cluster(&known)?;
    for (kind, name) in things(&args.target) {
        kubectl.require_ours(kind, name, &cluster)?;
    }
    let ranges = match args.asked() {
        Asked::Node => pod_ranges(args, &kubectl, session)?,
        Asked::Server => {
            require_no_nodes(&kubectl, &args.target)?;
            require_server(&cluster, session)?;
            Vec::new()
        }
    };
    let manifests = Manifests::new(args, &cluster, &ranges, session)?;
    kubectl.apply(&manifests.base, session)?;
    let half = |failure: Failure| {
        failure
            .hint(format!(
                "namespace `{}` and what is in it stands; what pods are told is as before",
                args.target.namespace
            ))
            .hint("repeat the command to go on, or take it away with `bailiwick pod-identity uninstall`")
    };
    apply_programs(&manifests, &cluster, &kubectl, session).map_err(half)?;
    wait(args, "is not ready", session, || is_rolled_out(args, &kubectl)).map_err(half)?;
    // Last, when somebody answers: before it, no pod is touched.
    kubectl.apply(&manifests.configuration, session).map_err(half)?;
    wait(args, "has not said who vouches for it", session, || is_vouched_for(&kubectl)).map_err(
        |failure| failure.hint("everything is applied; repeat the command, or take it away by `uninstall`"),
    )?;
    session.say(&format!("pod identity is installed in cluster {cluster}"))
}

/// What there is of it in a cluster, in the order in which it goes: first what would refuse pods once nobody answers.
fn things(target: &Target) -> [(&'static str, &str); 4] {
    [
        ("mutatingwebhookconfiguration", CONFIGURATION_NAME),
        ("clusterrolebinding", CLUSTER_ROLE),
        ("clusterrole", CLUSTER_ROLE),
        ("namespace", target.namespace.as_str()),
    ]
}

fn pod_ranges(
    args: &InstallArgs,
    kubectl: &Kubectl,
    session: &mut Session<'_, '_>,
) -> Result<Vec<String>, Failure> {
    if !args.pod_ranges.is_empty() {
        return Ok(args.pod_ranges.clone());
    }
    let ranges = kubectl.pod_ranges()?;
    let told = ranges.join(", ");
    writeln!(session.world.err, "pods are in {told}, as the nodes say; --pod-range says otherwise")?;
    Ok(ranges)
}

/// What runs. New keys are made only now that the cluster has taken namespace and rights.
fn apply_programs(
    manifests: &Manifests,
    cluster: &str,
    kubectl: &Kubectl,
    session: &mut Session<'_, '_>,
) -> Result<(), Failure> {
    // Clusters before 1.21 know disruption budgets by an older name, those since 1.25 by the newer alone.
    let versions = kubectl.run(&["api-versions"], "")?;
    let is_new = versions.lines().any(|line| line == "policy/v1");
    let older = manifests.programs.replace("apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n");
    let keys = Keys::make(session, cluster)?;
    kubectl.apply(&manifests.keys(&keys), session).map_err(|failure| {
        failure.hint("the agents' former keys end in an hour: the new ones did not come into the cluster")
    })?;
    kubectl.apply(if is_new { &manifests.programs } else { &older }, session)
}

/// Takes everything of it out of a cluster, and ends the agent's key.
///
/// # Errors
/// If the cluster or the server refuses; what stands by then is said.
pub fn uninstall(args: &UninstallArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let kubectl = Kubectl::new(&args.target)?;
    let known = session.client.find(&path::native(&["clusters", &args.target.cluster])?)?;
    // Who removed the cluster from the server says its id, which is on everything that was installed for it.
    let cluster = match &known {
        Some(known) => id(known)?,
        None => args.target.cluster.clone(),
    };
    kubectl.require_cluster(known.as_ref().unwrap_or(&Value::Null))?;
    let mut there = Vec::new();
    for (kind, name) in things(&args.target) {
        if kubectl.require_ours(kind, name, &cluster)? {
            there.push((kind, name));
        }
    }
    let again = |failure: Failure| failure.hint("what stands is taken away when the command is repeated");
    let mut gone = Zeroizing::new(String::new());
    for (kind, name) in there {
        let line = ["delete", kind, name, "--ignore-not-found", "--wait=true", "--timeout=120s"];
        gone.push_str(&kubectl.run(&line, "").map_err(again)?);
    }
    tell(&gone, session)?;
    // With the cluster its agents' keys have ended.
    if known.is_some() {
        let agent = path::native(&["clusters", &cluster, "pod-identity", "agent"])?;
        session.client.delete(&agent).map_err(again)?;
    }
    writeln!(
        session.world.err,
        "pods that run keep their environment and their token until they are made anew; what was vended to them ends by \
         itself; labels and annotations of others' namespaces and pods stay"
    )?;
    session.say("pod identity is uninstalled")
}

fn id(cluster: &Value) -> Result<String, Failure> {
    let id = cluster.get("id").and_then(Value::as_str);
    id.map(str::to_owned).ok_or_else(|| Failure::refused("the server does not say which cluster that is"))
}

fn print(args: &InstallArgs, cluster: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let ranges = match (args.asked(), args.pod_ranges.is_empty(), &args.target.context) {
        (Asked::Server, _, _) => {
            require_server(cluster, session)?;
            Vec::new()
        }
        (Asked::Node, false, _) => args.pod_ranges.clone(),
        (Asked::Node, true, Some(_)) => pod_ranges(args, &Kubectl::new(&args.target)?, session)?,
        (Asked::Node, true, None) => {
            return Err(Failure::usage("--pod-range must say where the cluster's pods are")
                .hint("or --context leads to the cluster, whose nodes may say it"));
        }
    };
    let manifests = Manifests::new(args, cluster, &ranges, session)?;
    let mut all = vec![Zeroizing::new(manifests.base.clone())];
    if args.with_key {
        all.push(manifests.keys(&Keys::make(session, cluster)?));
    } else {
        let secrets = match args.asked() {
            Asked::Node => {
                "Secrets bailiwick-agent-key and bailiwick-keeper-key are left out, and stay as they are"
            }
            Asked::Server => "Secret bailiwick-keeper-key is left out, and stays as it is",
        };
        writeln!(
            session.world.err,
            "the {secrets} where this is applied again; --with-key makes new keys and prints them"
        )?;
    }
    all.extend([manifests.programs, manifests.configuration].map(Zeroizing::new));
    let whole = all.iter().map(|manifest| manifest.as_str()).collect::<Vec<_>>();
    write!(session.world.out, "{}", Zeroizing::new(whole.join("---\n")).as_str())?;
    Ok(())
}

/// Waits until something is so, as long as was said; not at all if that is 0.
fn wait(
    args: &InstallArgs,
    lacks: &str,
    session: &mut Session<'_, '_>,
    is_so: impl Fn() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    if args.timeout == 0 {
        return Ok(());
    }
    for _ in 0..args.timeout.saturating_mul(2) {
        if is_so()? {
            return Ok(());
        }
        (session.world.pause)(BETWEEN);
    }
    let namespace = &args.target.namespace;
    Err(Failure::refused(format!("the webhook {lacks} after {} seconds", args.timeout)).hint(format!(
        "`kubectl --namespace={namespace} get pods` and their logs say why; `--timeout` waits longer"
    )))
}

/// Whether all replicas of what was applied, and no older ones, answer.
fn is_rolled_out(args: &InstallArgs, kubectl: &Kubectl) -> Result<bool, Failure> {
    let namespace = format!("--namespace={}", args.target.namespace);
    let deployment = kubectl.object(&["deployment", "bailiwick-webhook", &namespace])?;
    let number = |at: &str| deployment.pointer(at).and_then(Value::as_u64).unwrap_or(0);
    let wanted = number("/spec/replicas").max(1);
    Ok(number("/status/observedGeneration") >= number("/metadata/generation").max(1)
        && number("/status/updatedReplicas") >= wanted
        && number("/status/readyReplicas") >= wanted
        && number("/status/replicas") == number("/status/updatedReplicas"))
}

/// Whether the webhook has written into its configuration who vouches for it.
fn is_vouched_for(kubectl: &Kubectl) -> Result<bool, Failure> {
    let configuration = kubectl.object(&["mutatingwebhookconfiguration", CONFIGURATION_NAME])?;
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    let is_told = |one: &Value| {
        one.pointer("/clientConfig/caBundle").and_then(Value::as_str).is_some_and(|text| !text.is_empty())
    };
    Ok(webhooks.is_some_and(|all| all.iter().all(is_told)))
}
