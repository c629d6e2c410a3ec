//! `bailiwick-agent node`: the local endpoint where pods fetch credentials.
//!
//! [`desk`] decides, [`fetching`] asks the server, and [`renewing`] before anybody waits. Everything that is decided by is a
//! file of its own: what a token proves ([`tokens`]), what the server told ([`crate::feed`]), what was vended ([`cache`]), one
//! question for many ([`flight`]), many questions in one request ([`batches`]), how much is asked ([`limits`]), who may ask
//! ([`callers`]). [`endpoint`] and [`listener`] are HTTP.

pub mod batches;
pub mod cache;
pub mod callers;
pub mod desk;
pub mod endpoint;
pub mod fetching;
pub mod flight;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod refusal;
pub mod renewing;
pub mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;

use domain::Clock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::{Spread, System};
use crate::feed;
use crate::server::Server;
use callers::{Callers, Range};
use desk::{Desk, Settings};
use endpoint::{Credentials, Site};
use listener::{Limits, Listener};

/// How it is started.
#[derive(clap::Args)]
#[command(after_help = "\
Pods of this node ask `POST http://ADDRESS/v1/credentials` with the token of their service account, and nothing else, in the \
header `Authorization`. The token is verified here; what the server vends for it is kept and renewed, and handed out as long \
as it lasts while the server is away.

On a node:
  ip addr add 169.254.170.23/32 dev lo
  bailiwick-agent node --server https://bailiwick.example.com:8470 --server-ca ca.pem --cluster ID \\
      --listen 169.254.170.23:80 --allow-from 10.244.3.0/24 --node \"$NODE_NAME\"

Without pods, to try it: `kubectl create token SERVICE_ACCOUNT --audience AUDIENCE` makes a token.")]
pub struct Arguments {
    #[command(flatten)]
    server: crate::server::Arguments,
    /// Where pods ask.
    #[arg(long, env = "BAILIWICK_AGENT_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8471")]
    listen: SocketAddr,
    /// The path at which pods ask.
    #[arg(long, env = "BAILIWICK_PATH", value_name = "PATH", default_value = "/v1/credentials")]
    path: String,
    /// Range of this node's pods. Whoever has neither such an address nor one of the node itself is refused; without it, all
    /// but the node itself.
    #[arg(long, env = "BAILIWICK_ALLOW_FROM", value_name = "RANGE", value_delimiter = ',')]
    allow_from: Vec<Range>,
    /// Name of this node: tokens that name another one are refused.
    #[arg(long, env = "BAILIWICK_NODE", value_name = "NAME")]
    node: Option<String>,
    /// Where everything is answered by 404. At 169.254.169.254:80 it lets SDKs look further whose default chain asks for a
    /// machine's metadata before pod identity.
    #[arg(long, env = "BAILIWICK_METADATA_LISTEN", value_name = "ADDRESS")]
    metadata_listen: Option<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are.
    #[arg(long, env = "BAILIWICK_STATUS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8472")]
    status_listen: SocketAddr,
    /// How many pods' credentials are kept.
    #[arg(long, env = "BAILIWICK_CACHE_SIZE", value_name = "COUNT", default_value_t = 2_000,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cache_size: u32,
    /// How many questions for credentials the server is asked at a time.
    #[arg(long, env = "BAILIWICK_UPSTREAM", value_name = "COUNT", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    upstream: u32,
}

/// Runs until told to stop.
///
/// # Errors
/// A sentence if it cannot begin.
pub async fn run(arguments: Arguments) -> Result<(), String> {
    if !arguments.path.starts_with('/') {
        return Err("--path must begin with `/`".to_owned());
    }
    let mut ends = (stopped_by(SignalKind::terminate())?, stopped_by(SignalKind::interrupt())?);
    let clock: Arc<dyn Clock> = Arc::new(System);
    let server = Server::open(arguments.server, Arc::clone(&clock))?;
    let settings = Settings { cached: arguments.cache_size as usize, upstream: arguments.upstream as usize };
    let desk = Desk::new(server, clock, Spread::of_this_process(), arguments.node, settings);
    let callers = Arc::new(Callers::new(arguments.allow_from));
    let bind = |address| Listener::bind(address, Arc::clone(&callers), Limits::default());

    let pods = bind(arguments.listen).await?;
    let status = bind(arguments.status_listen).await?;
    let metadata = match arguments.metadata_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    tracing::info!(address = %pods.address(), status = %status.address(), "agent.listening");

    let (stop, end) = watch::channel(false);
    let mut sites = JoinSet::new();
    let site = Credentials::new(Arc::clone(&desk), Arc::clone(&callers), arguments.path);
    sites.spawn(pods.serve(Site::Credentials(Box::new(site)), end.clone()));
    sites.spawn(status.serve(Site::Status(Arc::clone(&desk)), end.clone()));
    if let Some(metadata) = metadata {
        sites.spawn(metadata.serve(Site::NoMetadata(Arc::clone(&desk), callers), end));
    }
    let mut work = JoinSet::new();
    let follower = Arc::clone(&desk);
    work.spawn(async move { feed::follow(&*follower).await });
    work.spawn(renewing::renew(desk));

    tokio::select! {
        _ = ends.0.recv() => {}
        _ = ends.1.recv() => {}
        // They end only by a defect, and without them everything here would grow old unseen.
        _ = work.join_next() => return Err("following the server came to an end".to_owned()),
    }
    tracing::info!("agent.stopping");
    stop.send_replace(true);
    while sites.join_next().await.is_some() {}
    Ok(())
}

fn stopped_by(kind: SignalKind) -> Result<tokio::signal::unix::Signal, String> {
    signal(kind).map_err(|error| format!("cannot listen for signals: {error}"))
}
