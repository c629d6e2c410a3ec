//! `bailiwick cluster rotate`, `resume` and `remove`: another connection for a cluster, and the cluster's end.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::connector::{self, Strength};
use super::{Session, World, kubeconfig, stdin};
use crate::client::path::{self, with_query};
use crate::failure::Failure;
use crate::output::{self, Format, Style};

const CLUSTERS: &str = "clusters";
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How many bindings are listed for people.
const SHOWN: usize = 20;

/// How a cluster is reached.
#[derive(Args, Debug)]
pub struct ConnectionArgs {
    /// Kubeconfig to upload as it is; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    kubeconfig: Option<PathBuf>,
    /// Context of KUBECONFIG or ~/.kube/config: the connector is made there
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// What the connector may do: base (grant every role but administrator), or administrator (that too, which
    /// makes it as strong as cluster-admin)
    #[arg(long, value_name = "STRENGTH", value_enum, default_value = "base", hide_possible_values = true)]
    #[arg(hide_default_value = true, requires = "context", conflicts_with = "own_credential")]
    connector: Strength,
    /// Make no connector: upload the context's own credential, with the files that it names
    #[arg(long, requires = "context")]
    own_credential: bool,
}

impl ConnectionArgs {
    /// What is uploaded to reach the cluster; `None` if nothing was named.
    ///
    /// # Errors
    /// If it cannot be read, or no connector can be made.
    pub fn read(&self, world: &mut World<'_>) -> Result<Option<Zeroizing<String>>, Failure> {
        let text = match (&self.kubeconfig, &self.context) {
            (Some(file), _) => Zeroizing::new(stdin::file(world, file)?),
            (None, Some(context)) if self.own_credential => {
                Zeroizing::new(kubeconfig::flattened(&world.environment.kubeconfig_files(), context)?)
            }
            (None, Some(context)) => connector::install(world, context, self.connector)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(text))
    }
}

/// What `bailiwick cluster rotate` takes.
#[derive(Args, Debug)]
pub struct RotateArgs {
    /// The cluster's id or name
    cluster: String,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Take it even if it leads to another cluster, or that cannot be told; grants are suspended then
    #[arg(long)]
    replace: bool,
}

/// What `bailiwick cluster remove` takes.
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// The cluster's id or name; the id, if its removal is under way
    cluster: String,
    /// Do not wait until nothing of ours is left there
    #[arg(long)]
    no_wait: bool,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, conflicts_with = "no_wait")]
    timeout: u32,
    /// The cluster is gone or out of reach: give it up at once, and say what stays there
    #[arg(long, conflicts_with = "keep_bindings")]
    abandon: bool,
    /// Leave what we made in the cluster, on purpose
    #[arg(long)]
    keep_bindings: bool,
}

/// Replaces a connection.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn rotate(args: RotateArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let Some(kubeconfig) = args.connection.read(session.world)? else {
        return Err(Failure::usage("name the new connection with --kubeconfig FILE or --context CONTEXT"));
    };
    let body = json!({"kubeconfig": kubeconfig.as_str(), "replace": args.replace.then_some(true)});
    let path = path::native(&[CLUSTERS, &args.cluster, "connection"])?;
    let done = session.client.write("PUT", &path, body)?;
    if session.style != Style::Full(Format::Table) {
        return print(session, &done);
    }
    let name = &args.cluster;
    match done.get("outcome").and_then(Value::as_str) {
        Some("same") => {
            session.say(&format!("{name} has a new connection to the same cluster; grants stay in effect"))
        }
        Some("first") => session.say(&format!(
            "{name} has a new connection; it was never reached before, so there was nothing to compare with"
        )),
        Some(_) | None => {
            session.say(&format!("{name} leads to another cluster now; its grants are suspended"))?;
            name_remains(session, &done, "in the former cluster")?;
            session.say(&format!("when it is the right one: bailiwick cluster resume {name}"))
        }
    }
}

/// Ends a suspension.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn resume(cluster: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    session.client.act("POST", &path::native(&[CLUSTERS, cluster, "resume"])?)?;
    session.say(&format!("the grants of {cluster} take effect again"))
}

/// Removes a cluster.
///
/// # Errors
/// If the server refuses or does not answer, or something of ours is left after the time.
pub fn remove(args: RemoveArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let mode = match (args.abandon, args.keep_bindings) {
        (true, _) => "abandon",
        (false, true) => "keep",
        (false, false) => "revoke",
    };
    let path = path::native(&[CLUSTERS, &args.cluster])?;
    let mut removal = session.client.json("DELETE", &with_query(&path, &[("mode", Some(mode))]), None)?;
    if !args.no_wait {
        removal = until_done(session, removal, args.timeout)?;
    }
    let done = is_done(&removal);
    if session.style != Style::Full(Format::Table) {
        print(session, &removal)?;
    } else if done {
        session.say(&format!("deleted {}", args.cluster))?;
        name_remains(session, &removal, "there")?;
    } else if args.no_wait {
        session.say(&format!("{} is being removed", args.cluster))?;
        name_remains(session, &removal, "there for now")?;
    }
    if done || args.no_wait {
        return Ok(());
    }
    Err(unfinished(&removal, args.timeout))
}

fn until_done(session: &mut Session<'_, '_>, removal: Value, timeout: u32) -> Result<Value, Failure> {
    let id = text(&removal, "id").to_owned();
    let path = path::native(&[CLUSTERS, &id, "removal"])?;
    let clock = session.world.clock;
    let deadline = clock.now().plus_seconds(i64::from(timeout));
    let (mut removal, mut pause) = (removal, FIRST_PAUSE);
    while !is_done(&removal) && clock.now() < deadline {
        (session.world.pause)(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
        removal = session.client.get(&path)?;
    }
    Ok(removal)
}

fn unfinished(removal: &Value, timeout: u32) -> Failure {
    let id = text(removal, "id");
    let reason = match text(removal, "reason") {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    let (shown, more) = bindings(removal);
    Failure::refused(format!(
        "after {timeout} s there is still something of ours there{reason}: {}{more}",
        shown.join(", ")
    ))
    .hint(format!("it is tried on; look with: bailiwick call GET /bailiwick/v1/clusters/{id}/removal"))
    .hint(format!("to give it up: bailiwick cluster remove {id} --abandon"))
}

/// Says what stays behind, and what deletes it.
fn name_remains(session: &mut Session<'_, '_>, answer: &Value, place: &str) -> Result<(), Failure> {
    let (shown, more) = bindings(answer);
    if shown.is_empty() {
        return Ok(());
    }
    session.say(&format!("what stays {place}:"))?;
    for binding in shown {
        session.say(&format!("  {binding}"))?;
    }
    if !more.is_empty() {
        session.say(&format!(" {more}"))?;
    }
    let certificates =
        answer.get("certificates").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !certificates.is_empty() {
        session
            .say(&format!("{} client certificates work there until that is deleted:", certificates.len()))?;
        for name in certificates.iter().take(SHOWN).filter_map(Value::as_str) {
            session.say(&format!("  {}", output::escape(name)))?;
        }
    }
    session.say(&format!("deleted by: {}", text(answer, "command")))
}

/// The first bindings that are left, and how many more there are.
fn bindings(answer: &Value) -> (Vec<String>, String) {
    let all = answer.get("remaining").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let name = |binding: &Value| match text(binding, "namespace") {
        "" => format!("{} {}", text(binding, "kind"), text(binding, "name")),
        namespace => format!("{} {namespace}/{}", text(binding, "kind"), text(binding, "name")),
    };
    let more = all.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (all.iter().take(SHOWN).map(name).collect(), more)
}

fn is_done(removal: &Value) -> bool {
    text(removal, "state") == "done"
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn print(session: &mut Session<'_, '_>, answer: &Value) -> Result<(), Failure> {
    let id = answer.get("cluster").unwrap_or(answer);
    match session.style {
        Style::Ids => Ok(writeln!(session.world.out, "{}", output::escape(text(id, "id")))?),
        Style::Full(_) => Ok(output::one(session.world.out, session.style, &super::cluster::VIEW, answer)?),
    }
}
