//! `bailiwick-agent webhook`: tells new pods where their credentials are.
//!
//! An API server asks before it stores a pod. The answer is decided by `injection`, from what `associations` knows; the rest
//! keeps the webhook itself alive: its certificate, the agent's key, and an eye on pods that were missed.

pub mod asked;
pub mod associations;
pub mod certificate;
pub mod injection;
pub mod listener;
pub mod misses;
pub mod observed;
pub mod places;
pub mod renewal;
pub mod review;
pub mod rotation;
pub mod serving;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::Clock;
use podidentity::feed::Verification;

use self::asked::Asked;
use self::associations::Associations;
use self::injection::Terms;
use self::listener::{Listener, Shown};
use self::observed::Counts;
use self::renewal::Renewal;
use self::rotation::Rotation;
use crate::clock::System;
use crate::cluster::Cluster;
use crate::feed;
use crate::server::Server;

/// Where no pod is changed, whatever is asked: a cluster's own parts must come up without us.
const SYSTEM: &str = "kube-system";

/// How it is started.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which server to ask, and as whom.
    #[command(flatten)]
    server: crate::server::Arguments,
    /// The API server of the cluster that this runs in.
    #[command(flatten)]
    cluster: crate::cluster::Arguments,
    /// Address that the API server calls.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Address of /healthz, /readyz and /metrics, by plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8081")]
    observe: SocketAddr,
    /// Whom pods are told to ask.
    #[command(flatten)]
    asked: asked::Arguments,
    /// How long the tokens of pods are good, in seconds; the kubelet makes new ones before.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(600..=4_294_967_296))]
    token_seconds: u64,
    /// The namespace that this runs in.
    #[arg(long, env = "BAILIWICK_NAMESPACE", value_name = "NAME", default_value = "bailiwick-pod-identity")]
    namespace: String,
    /// Name or address that the API server calls; may be repeated [default: bailiwick-webhook.NAMESPACE.svc]
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// The webhook configuration that is told whom to believe.
    #[arg(long, value_name = "NAME", default_value = "bailiwick-pod-identity")]
    configuration: String,
    /// The Secret that keeps the certificate.
    #[arg(long, value_name = "NAME", default_value = "bailiwick-webhook-certificate")]
    certificate_secret: String,
    /// How long a certificate lives, in seconds; it is renewed after two thirds.
    #[arg(long, value_name = "SECONDS", default_value_t = 90 * 86_400, value_parser = clap::value_parser!(i64).range(6..))]
    certificate_seconds: i64,
    /// The Secret with the nodes' key, where pods ask the agents of their nodes.
    #[arg(long, value_name = "NAME", default_value = "bailiwick-agent-key")]
    key_secret: String,
    /// The Secret with the keeper's key, which is this program's own.
    #[arg(long, value_name = "NAME", default_value = "bailiwick-keeper-key")]
    keeper_secret: String,
    /// How often the keys are made anew, in seconds; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(i64).range(0..))]
    renew_key_seconds: i64,
    /// How often it is looked for pods that were missed, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    look_seconds: u64,
    /// How long, in seconds, the server's last word counts while it is away: a service account of which it said nothing has
    /// no association. After that it is not known.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    believe_seconds: u64,
}

/// What answers reviews.
pub struct Webhook {
    associations: Associations,
    counts: Counts,
    shown: Arc<Shown>,
    is_leaving: AtomicBool,
    namespace: String,
    asked: Asked,
    token_seconds: u64,
}

impl Webhook {
    /// What pods are told.
    fn terms(&self, verification: Verification) -> Terms {
        self.asked.compare(&verification);
        Terms {
            uri_variable: verification.uri_variable,
            token_file_variable: verification.token_file_variable,
            uri: self.asked.uri().to_owned(),
            audience: verification.audience,
            expiration_seconds: self.token_seconds,
        }
    }

    /// Whether pods of a namespace are never changed.
    fn is_excluded(&self, namespace: &str) -> bool {
        namespace == SYSTEM || namespace == self.namespace
    }

    /// Whether it can answer, and will for a while.
    fn is_ready(&self) -> bool {
        !self.is_leaving.load(Ordering::Relaxed) && self.associations.is_ready() && self.shown.is_there()
    }

    /// Says from now on that it is not ready.
    fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }
}

/// Runs until told to stop.
///
/// # Errors
/// A sentence if it cannot begin.
pub async fn run(arguments: Arguments) -> Result<(), String> {
    let clock: Arc<dyn Clock> = Arc::new(System);
    let server = Server::open(arguments.server, Arc::clone(&clock))?;
    let cluster = Arc::new(Cluster::open(arguments.cluster)?);
    let namespace = arguments.namespace;
    let asked = arguments.asked.read(server.cluster())?;
    let mut names = arguments.names;
    if names.is_empty() {
        names.push(format!("bailiwick-webhook.{namespace}.svc"));
    }
    let shown = Arc::new(Shown::default());
    let webhook = Arc::new(Webhook {
        associations: Associations::new(
            server,
            Arc::clone(&clock),
            Duration::from_secs(arguments.believe_seconds),
        ),
        counts: Counts::default(),
        shown: Arc::clone(&shown),
        is_leaving: AtomicBool::new(false),
        namespace: namespace.clone(),
        asked,
        token_seconds: arguments.token_seconds,
    });
    let listener = Listener::open(arguments.listen, Arc::clone(&shown)).await?;
    let observed = tokio::net::TcpListener::bind(arguments.observe).await;
    let observed = observed.map_err(|error| format!("cannot listen on {}: {error}", arguments.observe))?;

    let secret = |name: &str| format!("/api/v1/namespaces/{namespace}/secrets/{name}");
    let renewal = Renewal {
        webhook: Arc::clone(&webhook),
        cluster: Arc::clone(&cluster),
        clock: Arc::clone(&clock),
        nodes: webhook.asked.is_node().then(|| secret(&arguments.key_secret)),
        keeper: secret(&arguments.keeper_secret),
        every: arguments.renew_key_seconds,
    };
    let rotation = Rotation {
        clock: Arc::clone(&clock),
        cluster: Arc::clone(&cluster),
        shown,
        namespace,
        secret: arguments.certificate_secret,
        configuration: arguments.configuration,
        names,
        life: arguments.certificate_seconds,
    };
    let followed = Arc::clone(&webhook);
    tokio::spawn(async move { feed::follow(&followed.associations).await });
    tokio::spawn(async move { rotation.follow().await });
    let every = Duration::from_secs(arguments.look_seconds);
    tokio::spawn(misses::follow(Arc::clone(&webhook), cluster, clock, every));
    if arguments.renew_key_seconds > 0 {
        tokio::spawn(async move { renewal.follow().await });
    }
    tracing::info!(listen = %arguments.listen, observe = %arguments.observe, "webhook.started");
    serving::serve(webhook, listener, observed).await
}
