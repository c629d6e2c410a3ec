//! The server's side of the program: settings, files, wiring, and an orderly start and end.

mod audit;
pub mod backup;
mod demo;
mod files;
mod first_start;
mod master_key;
pub mod offline;
mod open;
mod seen;
mod settings;
mod tls;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{App, Demo, Listener};
use clap::Args;
use clap::builder::BoolishValueParser;
use domain::{Error, Result};
use fleet::FleetSettings;
use service::Service;
use service::connection::AddressPolicy;
use store::Location;
use tokio::signal::unix::{SignalKind, signal};

use crate::environment::ServerEnvironment;
use settings::Settings;

/// How often other servers' commits are looked for.
const POLL: Duration = Duration::from_millis(250);

/// Where the server keeps its data. Also for commands that work on it without a running server.
#[derive(Args, Clone, Debug)]
pub struct StorageArgs {
    /// Folder for the embedded database and what the first start writes [default: ./bailiwick-data]
    #[arg(long, value_name = "DIR", env = "BAILIWICK_DATA_DIR")]
    pub data_dir: Option<PathBuf>,

    /// Database, `sqlite:…` or `postgres://…` [default: SQLite in the data folder]
    #[arg(long, value_name = "URL", env = "BAILIWICK_DATABASE", hide_env_values = true)]
    pub database: Option<String>,
}

/// The settings of `bailiwick serve`. A flag wins over its variable, a variable over the file.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE", env = "BAILIWICK_CONFIG")]
    pub config: Option<PathBuf>,

    /// Address to listen on [default: 127.0.0.1:8470]
    #[arg(long, value_name = "ADDR", env = "BAILIWICK_LISTEN")]
    pub listen: Option<String>,

    /// Further address for /metrics and /healthz alone, without TLS or credentials [default: none]
    #[arg(long, value_name = "ADDR", env = "BAILIWICK_METRICS_LISTEN")]
    pub metrics_listen: Option<String>,

    #[command(flatten)]
    pub storage: StorageArgs,

    /// Show a sample fleet: own throw-away database, random credentials, loopback only
    #[arg(long, env = "BAILIWICK_DEMO", value_parser = BoolishValueParser::new())]
    pub demo: bool,

    /// Certificate chain (PEM) for TLS
    #[arg(long, value_name = "FILE", env = "BAILIWICK_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// Private key (PEM) for TLS
    #[arg(long, value_name = "FILE", env = "BAILIWICK_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// Allow listening without TLS on an address that other machines can reach
    #[arg(long, env = "BAILIWICK_INSECURE_PLAIN_HTTP", value_parser = BoolishValueParser::new())]
    pub insecure_plain_http: bool,

    /// Allow clusters on loopback addresses although the server listens on more than loopback
    #[arg(long, env = "BAILIWICK_ALLOW_LOOPBACK_CLUSTERS", value_parser = BoolishValueParser::new())]
    pub allow_loopback_clusters: bool,

    /// Days for which the audit is kept [default: 400]
    #[arg(long, value_name = "DAYS", env = "BAILIWICK_AUDIT_RETENTION_DAYS")]
    pub audit_retention_days: Option<u32>,
}

impl ServeArgs {
    /// The arguments of a command that only needs the data.
    fn of_storage(storage: &StorageArgs) -> Self {
        Self {
            config: None,
            listen: None,
            metrics_listen: None,
            storage: storage.clone(),
            demo: false,
            tls_cert: None,
            tls_key: None,
            insecure_plain_http: false,
            allow_loopback_clusters: false,
            audit_retention_days: None,
        }
    }
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// If it cannot start, or stopped for another reason than being told to.
pub async fn run(args: ServeArgs) -> Result<()> {
    let environment = ServerEnvironment::read();
    log_to_stderr(&environment);
    let settings = Settings::read(&args, &environment)?;
    let end = told_to_stop()?;
    if settings.demo {
        demo::clear(&settings.data_dir)?;
    }
    let tls = match &settings.tls {
        Some((cert, key)) => Some(tls::read(cert, key)?),
        None => None,
    };
    let listener = Listener::bind(settings.listen, tls).await?.with_limits(settings.limits);
    let for_metrics = match settings.metrics_listen {
        Some(address) => Some(Listener::bind(address, None).await?.for_metrics()),
        None => None,
    };
    let opened = open::open(&settings, &environment).await?;
    let seen = seen::Place::find(&settings, &environment, &opened.installation.id);
    // Before anybody is let in, and before this start is part of the lineage.
    let known = seen.as_ref().and_then(seen::Place::read);
    if let Some(stamp) = &known {
        opened.bootstrap.check_stamp(stamp).await?;
    }
    let first = first_start::run(&opened.bootstrap, &environment.bootstrap, &settings.data_dir).await?;
    opened.bootstrap.begin_lineage().await?;
    let policy = AddressPolicy {
        allow_loopback: settings.allow_loopback,
        denied: own_sockets(&settings, [Some(&listener), for_metrics.as_ref()]).await?,
        allowed_networks: settings.allowed_networks.clone(),
    };
    let service = Arc::new(Service::new(
        opened.bootstrap.store.clone(),
        Arc::clone(&opened.bootstrap.clock),
        Arc::clone(&opened.bootstrap.entropy),
        opened.bootstrap.master_key.clone(),
        opened.installation.id.clone(),
        service::Settings {
            addresses: policy.clone(),
            audit_retention_days: settings.audit_retention_days,
            quotas: settings.quotas,
        },
    )?);
    let advice = match (&first, settings.demo) {
        (Some(account), true) => demo::fill(&service, account, &settings.data_dir, &listener.url()).await?,
        (Some(_) | None, _) => String::new(),
    };
    let demo = if settings.demo { Demo::Yes } else { Demo::No };
    let entropy = Arc::clone(&opened.bootstrap.entropy);
    let bootstrap_file = settings.data_dir.join(first_start::FILE);
    let of_api = api::Settings { dialects: settings.dialects, demo, bootstrap_file: Some(bootstrap_file) };
    let app = Arc::new(App::new(Arc::clone(&service), entropy, of_api)?);
    if first.is_none() {
        remind(&app);
    }
    service.follow_revisions().await?;
    if known.is_none() {
        service.ask_clusters_first().await?;
    }
    let poll = tokio::spawn(follow(Arc::clone(&service)));
    let seeing = seen.map(|place| seen::Keeper::start(place, Arc::clone(&service)));
    let auditing = audit::Keeper::start(Arc::clone(&service));
    let mut of_fleet = FleetSettings::new(policy);
    of_fleet.unexplained_removals = settings.unexplained_removals;
    let fleet = fleet::start(Arc::clone(&service), of_fleet);
    let metrics = for_metrics.map(|listener| {
        tracing::info!("metrics on {}/metrics", listener.url());
        tokio::spawn(listener.serve(Arc::clone(&app), std::future::pending()))
    });
    announce(&listener, &advice);
    listener.serve(app, end).await;
    metrics.inspect(tokio::task::JoinHandle::abort);
    poll.abort();
    fleet.stop().await;
    auditing.finish().await;
    if let Some(seeing) = seeing {
        seeing.finish().await;
    }
    opened.bootstrap.store.close().await;
    Ok(())
}

/// What the first start generated opens everything: it should not lie where it was written for ever.
fn remind(app: &App) {
    if let (Some(path), true, Demo::No) =
        (&app.settings.bootstrap_file, app.bootstrap_file_present(), app.settings.demo)
    {
        tracing::warn!("{} holds the first credentials: move it to a safe place", path.display());
    }
}

/// Says where the server listens, on standard output, for people and for scripts.
fn announce(listener: &Listener, advice: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reading our output is no reason not to serve.
    drop(write!(out, "listening on {}\n{advice}", listener.url()).and_then(|()| out.flush()));
}

async fn follow(service: Arc<Service>) {
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = service.follow_revisions().await {
            tracing::warn!(?error, "cannot read the revisions of the database");
        }
    }
}

/// Sockets that a cluster's address must not name: our own listeners and our database.
async fn own_sockets(
    settings: &Settings,
    listeners: [Option<&Listener>; 2],
) -> Result<Vec<std::net::SocketAddr>> {
    let mut sockets: Vec<_> = listeners.into_iter().flatten().map(Listener::address).collect();
    if let Location::Postgres(url) = &settings.location {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        for host in host.split(',').filter(|host| !host.is_empty()) {
            let with_port = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
                host.to_owned()
            } else {
                format!("{host}:5432")
            };
            let found = tokio::net::lookup_host(&with_port).await;
            sockets.extend(found.into_iter().flatten());
        }
    }
    Ok(sockets)
}

/// Resolves at SIGTERM or SIGINT.
fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
    })
}

fn log_to_stderr(environment: &ServerEnvironment) {
    let filter = environment.log.as_deref().unwrap_or("info");
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| "info".into());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process is a test's; the first one stays.
    drop(match environment.log_format.as_deref() {
        Some("json") => subscriber.json().try_init(),
        Some(_) | None => subscriber.with_ansi(false).try_init(),
    });
}

/// Reads the settings as `serve` would and says, in lines, what is in force.
///
/// # Errors
/// If the settings would keep the server from starting.
pub fn check_config(args: &ServeArgs) -> Result<String> {
    let settings = Settings::read(args, &ServerEnvironment::read())?;
    if let Some((cert, key)) = &settings.tls {
        tls::read(cert, key)?;
    }
    Ok(settings.describe().join("\n") + "\n")
}
