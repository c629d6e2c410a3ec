//! The server's side of the program: settings, files, wiring, and an orderly start and end.

mod audit;
pub mod backup;
pub mod check;
mod demo;
mod files;
mod first_start;
mod key_file;
mod log;
mod master_key;
mod notify;
pub mod offline;
mod open;
mod reload;
pub mod rotate;
mod seen;
mod settings;
mod sole;
mod tls;
mod traces;

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
use service::clusters::connection::AddressPolicy;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::environment::ServerEnvironment;
use notify::Stage;
use open::Opened;
use settings::Settings;

/// How often other servers' commits are looked for.
const POLL: Duration = Duration::from_millis(250);

/// After the last request, so long at most is spent on what is still to be written. A database that is away must not
/// keep the server from ending.
const LAST: Duration = Duration::from_secs(6);

/// And so long on closing connections.
const CLOSING: Duration = Duration::from_secs(2);

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

    /// Folder outside the data folder that remembers how far the database had come [default: `seen` beside the master key's
    /// file]
    #[arg(long, value_name = "DIR", env = "BAILIWICK_SEEN_DIR")]
    pub seen_dir: Option<PathBuf>,

    /// Days for which the audit is kept [default: 400]
    #[arg(long, value_name = "DAYS", env = "BAILIWICK_AUDIT_RETENTION_DAYS")]
    pub audit_retention_days: Option<u32>,

    /// How lines of the log look
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, env = "BAILIWICK_LOG_FORMAT")]
    pub log_format: log::LogFormat,

    /// Collector that spans are sent to, by OTLP over HTTP, for example http://127.0.0.1:4318 [default: none]
    #[arg(long, value_name = "URL", env = "BAILIWICK_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

impl ServeArgs {
    /// What a flag or its variable gave for the setting with that key of the file.
    fn given(&self, key: &str) -> Option<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let yes = |given: bool| given.then(|| "true".to_owned());
        match key {
            "listen" => self.listen.clone(),
            "metrics_listen" => self.metrics_listen.clone(),
            "data_dir" => path(&self.storage.data_dir),
            "database" => self.storage.database.clone(),
            "demo" => yes(self.demo),
            "tls.cert" => path(&self.tls_cert),
            "tls.key" => path(&self.tls_key),
            "insecure_plain_http" => yes(self.insecure_plain_http),
            "allow_loopback_clusters" => yes(self.allow_loopback_clusters),
            "seen_dir" => path(&self.seen_dir),
            "audit.retention_days" => self.audit_retention_days.map(|days| days.to_string()),
            _ => None,
        }
    }

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
            seen_dir: None,
            audit_retention_days: None,
            log_format: log::LogFormat::Text,
            otlp_endpoint: None,
        }
    }
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// If it cannot start, or stopped for another reason than being told to.
pub async fn run(args: ServeArgs) -> Result<()> {
    let environment = ServerEnvironment::read();
    let (traces, exporter) = args.otlp_endpoint.as_deref().map(traces::start).transpose()?.unzip();
    log::start(environment.log.as_deref(), args.log_format, traces);
    let settings = Settings::read(&args, &environment)?;
    let end = told_to_stop()?;
    let _claim = claim_data(&settings)?;
    let hang_up = reload::hang_up()?;
    let watch = match &settings.tls {
        Some((cert, key)) => Some(tls::Watch::open(cert, key)?),
        None => None,
    };
    let tls = watch.as_ref().map(tls::Watch::tls);
    let listener = Listener::bind(settings.listen, tls.clone()).await?.with_limits(settings.limits);
    let for_metrics = match settings.metrics_listen {
        Some(address) => Some(Listener::bind(address, None).await?.for_metrics()),
        None => None,
    };
    let opened = open::open(&settings, &environment).await?;
    let seen = seen::Place::find(&settings, &environment, &opened.installation.id)?;
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
    let workloads = Arc::new(fleet::Registry::new(policy.clone()));
    let service = make_service(&opened, &settings, &policy, &workloads)?;
    let advice = match (&first, settings.demo) {
        (Some(account), true) => demo::fill(&service, account, &settings.data_dir, &listener.url()).await?,
        (Some(_) | None, _) => String::new(),
    };
    let demo = if settings.demo { Demo::Yes } else { Demo::No };
    let entropy = Arc::clone(&opened.bootstrap.entropy);
    let bootstrap_file = settings.data_dir.join(first_start::FILE);
    let of_api =
        api::Settings { dialects: settings.dialects.clone(), demo, bootstrap_file: Some(bootstrap_file) };
    let app = Arc::new(App::new(Arc::clone(&service), entropy, of_api)?.with_tls(tls));
    if first.is_none() {
        remind(&app);
    }
    service.follow_revisions().await?;
    if known.is_none() {
        service.ask_clusters_first().await?;
    }
    let background = Background {
        poll: tokio::spawn(follow(Arc::clone(&service))),
        reload: tokio::spawn(reload::run(hang_up, Arc::clone(&service), watch)),
        seeing: seen.map(|place| seen::Keeper::start(place, Arc::clone(&service))),
        auditing: audit::Keeper::start(Arc::clone(&service)),
        fleet: fleet::start(Arc::clone(&service), of_fleet(policy, &settings)),
        workloads: tokio::spawn(fleet::watch_workloads(Arc::clone(&service), workloads)),
        metrics: for_metrics.map(|listener| {
            tracing::info!("metrics on {}/metrics", listener.url());
            tokio::spawn(listener.serve(Arc::clone(&app), std::future::pending()))
        }),
    };
    announce(&listener, &advice);
    let manager = environment.notify_socket.as_deref();
    notify::tell(manager, Stage::Ready);
    let end = async {
        end.await;
        notify::tell(manager, Stage::Stopping);
    };
    listener.serve(app, end).await;
    if tokio::time::timeout(LAST, background.finish()).await.is_err() {
        tracing::error!("the database does not answer: the server ends without its last words to it");
    }
    // Who still waits for a connection holds this up until they give up.
    if tokio::time::timeout(CLOSING, opened.bootstrap.store.close()).await.is_err() {
        tracing::warn!("the server ends without taking leave of its database, which loses nothing by it");
    }
    exporter.inspect(traces::Exporter::finish);
    Ok(())
}

/// Makes the data folder ours alone.
fn claim_data(settings: &Settings) -> Result<Option<std::fs::File>> {
    if settings.demo {
        demo::require_own_folder(&settings.data_dir)?;
    }
    files::private_folder(&settings.data_dir)?;
    let claim = sole::claim(&settings.location)?;
    if settings.demo {
        demo::clear(&settings.data_dir)?;
    }
    Ok(claim)
}

fn make_service(
    opened: &Opened,
    settings: &Settings,
    policy: &AddressPolicy,
    workloads: &Arc<fleet::Registry>,
) -> Result<Arc<Service>> {
    let service = Service::new(
        opened.bootstrap.store.clone(),
        Arc::clone(&opened.bootstrap.clock),
        Arc::clone(&opened.bootstrap.entropy),
        opened.bootstrap.master_key.clone(),
        opened.installation.id.clone(),
        service::Settings {
            addresses: policy.clone(),
            audit_retention_days: settings.audit_retention_days,
            quotas: settings.quotas,
            rates: settings.rates,
            vocabulary: Arc::new(api::vocabulary()?),
            grant_requires: settings.dialects.grant_requires(),
            cluster_requires: settings.dialects.cluster_requires(),
            checklist: Arc::new(api::checklist(settings.dialects.rows_file())?),
            role_growth: settings.role_growth,
            pod_identity: service::PodIdentity {
                // The other half is for everybody who does not wait.
                most_waiting: settings.limits.connections / 2,
                ..settings.dialects.pod_identity().clone()
            },
        },
    )?;
    let service = service.with_prober(Arc::new(fleet::Identifier::new(policy.clone())));
    let service = service.with_contact(Arc::new(fleet::Visitor::new(policy.clone())));
    let workloads: Arc<fleet::Registry> = Arc::clone(workloads);
    Ok(Arc::new(service.with_workloads(workloads)))
}

/// What goes on beside requests.
struct Background {
    poll: JoinHandle<()>,
    reload: JoinHandle<()>,
    seeing: Option<seen::Keeper>,
    auditing: audit::Keeper,
    fleet: fleet::FleetHandle,
    workloads: JoinHandle<()>,
    metrics: Option<JoinHandle<()>>,
}

impl Background {
    /// Ends it in the order in which one needs the other.
    async fn finish(self) {
        self.metrics.inspect(JoinHandle::abort);
        self.poll.abort();
        self.reload.abort();
        self.workloads.abort();
        self.fleet.stop().await;
        self.auditing.finish().await;
        if let Some(seeing) = self.seeing {
            seeing.finish().await;
        }
    }
}

fn of_fleet(policy: AddressPolicy, settings: &Settings) -> FleetSettings {
    let mut of_fleet = FleetSettings::new(policy);
    of_fleet.unexplained_removals = settings.unexplained_removals;
    of_fleet
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
    if let Some((host, port)) = settings.location.host_and_port()? {
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        sockets.extend(found.into_iter().flatten());
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
