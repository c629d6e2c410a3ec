//! `bailiwick pod-identity install` and `uninstall`: what runs inside a cluster, applied there by the operator's own hands.
//!
//! kubectl does it, with the operator's own credential, which never leaves this machine: the server's connection to the
//! cluster neither is used nor gets a right by it. The agent's key goes to kubectl by its standard input.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Session;
use crate::client::path;
use crate::failure::Failure;

const BASE: &str = include_str!("../../../../deploy/pod-identity/base.yaml");
const KEY: &str = include_str!("../../../../deploy/pod-identity/key.yaml");
const NODE: &str = include_str!("../../../../deploy/pod-identity/node.yaml");
const WEBHOOK: &str = include_str!("../../../../deploy/pod-identity/webhook.yaml");
const CONFIGURATION: &str = include_str!("../../../../deploy/pod-identity/configuration.yaml");

/// Where addresses of pods usually are.
const POD_RANGES: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];
const BETWEEN: Duration = Duration::from_millis(500);
const CLUSTER_ROLE: &str = "bailiwick:pod-identity-webhook";
const CONFIGURATION_NAME: &str = "bailiwick-pod-identity";

/// Shown below the help of `install`.
pub const INSTALL_EXAMPLES: &str = "Examples:\n  \
    bailiwick pod-identity install --cluster prod --context prod --image registry.example/bailiwick-agent:0.1.0\n  \
    bailiwick pod-identity install --cluster prod --image registry.example/bailiwick-agent:0.1.0 --print > agent.yaml";
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
    context: Option<String>,
    /// Your kubeconfig, if not the usual one
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace of the agents, which is theirs alone
    #[arg(long, value_name = "NAME", default_value = "bailiwick-pod-identity", value_parser = namespace)]
    namespace: String,
}

/// What `install` takes.
#[derive(Args, Debug)]
pub struct InstallArgs {
    #[command(flatten)]
    target: Target,
    /// Image that holds bailiwick-agent
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// URL at which the cluster reaches the server [default: the one that this command calls]
    #[arg(long, value_name = "URL")]
    server_url: Option<String>,
    /// Certificate authorities (PEM) that vouch for the server there
    #[arg(long, value_name = "FILE")]
    server_ca: Option<PathBuf>,
    /// Range of the cluster's pods, who alone may ask; may be repeated [default: the private ranges]
    #[arg(long = "pod-range", value_name = "RANGE")]
    pod_ranges: Vec<String>,
    /// Print the manifests and apply nothing. The agent's key is left out
    #[arg(long)]
    print: bool,
    /// Make a key for the agent and print it too; others that it has end in an hour
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
    let cluster = cluster_id(session, &args.target.cluster)?;
    let manifests = Manifests::new(args, &cluster, session)?;
    if args.print {
        return print(args, &cluster, &manifests, session);
    }
    let kubectl = Kubectl::new(&args.target)?;
    kubectl.apply(&manifests.base, session)?;
    let half = |failure: Failure| {
        failure
            .hint(format!(
                "namespace `{}` and what is in it stands, and changes no pod",
                args.target.namespace
            ))
            .hint("repeat the command to go on, or take it away with `bailiwick pod-identity uninstall`")
    };
    apply_rest(&manifests, &cluster, &kubectl, session).map_err(half)?;
    wait(args, &kubectl, session)?;
    session.say(&format!("pod identity is installed in cluster {cluster}"))
}

/// What comes after the namespace. The configuration is last: before it, no pod is touched.
fn apply_rest(
    manifests: &Manifests,
    cluster: &str,
    kubectl: &Kubectl,
    session: &mut Session<'_, '_>,
) -> Result<(), Failure> {
    let key = new_key(session, cluster)?;
    kubectl.apply(&manifests.key(&key), session)?;
    // Clusters before 1.21 know disruption budgets by an older name, those since 1.25 by the newer alone.
    let versions = kubectl.run(&["api-versions"], "")?;
    let is_new = versions.lines().any(|line| line == "policy/v1");
    let older = manifests.programs.replace("apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n");
    kubectl.apply(if is_new { &manifests.programs } else { &older }, session)?;
    kubectl.apply(&manifests.configuration, session)
}

/// Takes everything of it out of a cluster, and ends the agent's key.
///
/// # Errors
/// If the cluster or the server refuses; what stands by then is said.
pub fn uninstall(args: &UninstallArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let kubectl = Kubectl::new(&args.target)?;
    let found = session.client.find(&path::native(&["clusters", &args.target.cluster])?)?;
    let again = |failure: Failure| failure.hint("what stands is taken away when the command is repeated");
    // First what would refuse pods once nobody answers.
    let mut gone = Zeroizing::new(String::new());
    for (kind, name) in [
        ("mutatingwebhookconfiguration", CONFIGURATION_NAME),
        ("clusterrolebinding", CLUSTER_ROLE),
        ("clusterrole", CLUSTER_ROLE),
        ("namespace", args.target.namespace.as_str()),
    ] {
        let line = ["delete", kind, name, "--ignore-not-found", "--wait=true", "--timeout=120s"];
        gone.push_str(&kubectl.run(&line, "").map_err(again)?);
    }
    tell(&gone, session)?;
    // Who removed the cluster from the server has ended the key with it.
    if let Some(id) = found.as_ref().and_then(|cluster| cluster.get("id")).and_then(Value::as_str) {
        let agent = path::native(&["clusters", id, "pod-identity", "agent"])?;
        session.client.delete(&agent).map_err(again)?;
    }
    writeln!(
        session.world.err,
        "pods that run keep their environment and their token until they are made anew; what was vended to them ends by \
         itself; labels and annotations of others' namespaces and pods stay"
    )?;
    session.say("pod identity is uninstalled")
}

fn cluster_id(session: &Session<'_, '_>, name: &str) -> Result<String, Failure> {
    let cluster = session.client.get(&path::native(&["clusters", name])?)?;
    let id = cluster.get("id").and_then(Value::as_str);
    id.map(str::to_owned).ok_or_else(|| Failure::refused("the server does not say which cluster that is"))
}

/// A key for the agent, as the server gives it once.
struct Key {
    id: String,
    secret: Zeroizing<String>,
}

fn new_key(session: &Session<'_, '_>, cluster: &str) -> Result<Key, Failure> {
    let made = session.client.write(
        "POST",
        &path::native(&["clusters", cluster, "pod-identity", "agent"])?,
        json!({}),
    )?;
    let text = |name: &str| made.get(name).and_then(Value::as_str).map(str::to_owned);
    match (text("accessKeyId"), text("secretAccessKey")) {
        (Some(id), Some(secret)) => Ok(Key { id, secret: Zeroizing::new(secret) }),
        (None, _) | (_, None) => Err(Failure::refused("the server gave no key for the agent")),
    }
}

/// The manifests, filled.
struct Manifests {
    namespace: String,
    base: String,
    programs: String,
    configuration: String,
}

impl Manifests {
    fn new(args: &InstallArgs, cluster: &str, session: &Session<'_, '_>) -> Result<Self, Failure> {
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
        let ranges =
            if args.pod_ranges.is_empty() { POD_RANGES.join(",") } else { args.pod_ranges.join(",") };
        let namespace = &args.target.namespace;
        // JSON texts are YAML as well, whatever they hold.
        let quoted = |text: &str| Value::from(text).to_string();
        let fill = |manifest: &str| {
            manifest
                .replace("{NAMESPACE}", namespace)
                .replace("--allow-from={POD_RANGES}", &quoted(&format!("--allow-from={ranges}")))
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
            programs: without(format!("{}---\n{}", fill(NODE), fill(WEBHOOK))),
            configuration: fill(CONFIGURATION),
        })
    }

    fn key(&self, key: &Key) -> Zeroizing<String> {
        let encoded = Zeroizing::new(STANDARD.encode(key.secret.as_bytes()));
        Zeroizing::new(
            KEY.replace("{NAMESPACE}", &self.namespace)
                .replace("{ACCESS_KEY_ID}", &STANDARD.encode(&key.id))
                .replace("{SECRET_ACCESS_KEY}", &encoded),
        )
    }
}

fn print(
    args: &InstallArgs,
    cluster: &str,
    manifests: &Manifests,
    session: &mut Session<'_, '_>,
) -> Result<(), Failure> {
    let key = if args.with_key {
        manifests.key(&new_key(session, cluster)?)
    } else {
        writeln!(
            session.world.err,
            "the agent's key is left out: fill it in where it says so, or print it with --with-key"
        )?;
        Zeroizing::new(
            KEY.replace("{NAMESPACE}", &manifests.namespace)
                .replace("\ndata:", "\nstringData:")
                .replace("{ACCESS_KEY_ID}", "\"\" # accessKeyId of the agent's key")
                .replace("{SECRET_ACCESS_KEY}", "\"\" # secretAccessKey of the agent's key"),
        )
    };
    let all = [&manifests.base, key.as_str(), &manifests.programs, &manifests.configuration];
    for (at, manifest) in all.into_iter().enumerate() {
        let between = if at == 0 { "" } else { "---\n" };
        write!(session.world.out, "{between}{manifest}")?;
    }
    Ok(())
}

/// Waits until the webhook answers: it has then written into its configuration who vouches for it, and a replica is ready.
fn wait(args: &InstallArgs, kubectl: &Kubectl, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    if args.timeout == 0 {
        return Ok(());
    }
    let namespace = format!("--namespace={}", args.target.namespace);
    let attempts = args.timeout.saturating_mul(2);
    for _ in 0..attempts {
        let object = |line: &[&str]| -> Result<Value, Failure> {
            Ok(serde_json::from_str(&kubectl.run(line, "")?).unwrap_or(Value::Null))
        };
        let deployment = object(&["get", "deployment", "bailiwick-webhook", &namespace, "--output=json"])?;
        let configuration =
            object(&["get", "mutatingwebhookconfiguration", CONFIGURATION_NAME, "--output=json"])?;
        let is_ready = deployment.pointer("/status/readyReplicas").and_then(Value::as_u64).unwrap_or(0) > 0;
        let webhooks = configuration.get("webhooks").and_then(Value::as_array);
        let is_told = |one: &Value| {
            one.pointer("/clientConfig/caBundle").and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        };
        if is_ready && webhooks.is_some_and(|all| all.iter().all(is_told)) {
            return Ok(());
        }
        (session.world.pause)(BETWEEN);
    }
    Err(Failure::refused(format!("the webhook does not answer after {} seconds", args.timeout))
        .hint(
            "everything is applied; pods are made as before, except in namespaces that require the injection",
        )
        .hint(format!("`kubectl {namespace} get pods` and their logs say why; `--timeout` waits longer"))
        .hint("`bailiwick pod-identity uninstall` takes it away"))
}

/// kubectl with one of the operator's credentials.
struct Kubectl {
    arguments: Vec<String>,
    context: String,
}

impl Kubectl {
    fn new(target: &Target) -> Result<Self, Failure> {
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

    fn apply(&self, manifest: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
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

    /// Runs it and answers what it prints. What it complains of goes where our complaints go.
    fn run(&self, line: &[&str], stdin: &str) -> Result<Zeroizing<String>, Failure> {
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

fn tell(changed: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    for line in changed.lines() {
        writeln!(session.world.err, "{}", crate::output::escape(line))?;
    }
    Ok(())
}
