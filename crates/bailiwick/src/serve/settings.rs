//! The server's settings: flags over environment over file over defaults, checked together.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use api::dialects;
use domain::{Error, Result};
use serde::Deserialize;
use store::Location;

use super::ServeArgs;
use crate::environment::ServerEnvironment;

/// Everything that is in force.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to listen for metrics alone.
    pub metrics_listen: Option<SocketAddr>,
    /// How many connections there may be.
    pub limits: api::Limits,
    /// How many requests are answered.
    pub rates: service::Rates,
    /// Where data is kept.
    pub data_dir: PathBuf,
    /// Which database.
    pub location: Location,
    /// Whether to show a sample fleet.
    pub demo: bool,
    /// Whether others may reach it without TLS.
    pub plain_http: bool,
    /// Certificate chain and key for TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether clusters may live on loopback.
    pub allow_loopback: bool,
    /// Networks in which API servers must be.
    pub allowed_networks: Vec<(IpAddr, u8)>,
    /// Where the master key comes from.
    pub master_key: MasterKeySource,
    /// Where it is kept how far the database had come; beside the master key if nothing is said.
    pub seen_dir: Option<PathBuf>,
    /// How much one account may hold.
    pub quotas: service::Quotas,
    /// So many bindings may go at once in a cluster though no recorded revoke explains it.
    pub unexplained_removals: usize,
    /// What happens to a grant whose custom role grows.
    pub role_growth: service::RoleGrowth,
    /// How many days the audit is kept.
    pub audit_retention_days: u32,
    /// What the dialects let one set.
    pub dialects: dialects::Settings,
}

/// Where the master key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKeySource {
    /// The environment variable itself.
    Environment,
    /// What a command prints.
    Command(Vec<String>),
    /// A file; made at the first start if it is not there.
    File(PathBuf),
    /// None was named and there is no home directory to keep one in.
    Nowhere,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<String>,
    metrics_listen: Option<String>,
    data_dir: Option<PathBuf>,
    database: Option<String>,
    insecure_plain_http: bool,
    allow_loopback_clusters: bool,
    master_key_file: Option<PathBuf>,
    master_key_command: Option<Vec<String>>,
    seen_dir: Option<PathBuf>,
    tls: TlsFile,
    clusters: ClustersFile,
    grants: GrantsFile,
    audit: AuditFile,
    limits: LimitsFile,
    quotas: QuotasFile,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TlsFile {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ClustersFile {
    allowed_networks: Vec<String>,
    unexplained_removals: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct GrantsFile {
    custom_role_growth: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct LimitsFile {
    connections: Option<usize>,
    connections_per_source: Option<usize>,
    requests_per_source: Option<RateFile>,
    requests_per_principal: Option<RateFile>,
}

/// So many in a second, and so many at once.
#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct RateFile {
    per_second: u32,
    burst: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct QuotasFile {
    grants: Option<u32>,
    clusters: Option<u32>,
    principals: Option<u32>,
    access_keys_per_user: Option<u32>,
    sessions_per_principal: Option<u32>,
    sessions_per_pod: Option<u32>,
    pod_sessions_per_cluster: Option<u32>,
    associations_per_cluster: Option<u32>,
    bindings_per_cluster: Option<u32>,
    certificates_per_principal: Option<u32>,
    policies: Option<u32>,
    policies_per_principal: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AuditFile {
    retention_days: Option<u32>,
}

impl Settings {
    /// Reads flags, environment and file.
    ///
    /// # Errors
    /// `Invalid` naming the setting.
    pub fn read(args: &ServeArgs, environment: &ServerEnvironment) -> Result<Self> {
        let (file, dialects) = read_file(args.config.as_deref(), environment)?;
        let listen = args.listen.clone().or(file.listen).unwrap_or_else(|| "127.0.0.1:8470".to_owned());
        let listen = socket("listen", &listen)?;
        let metrics_listen = args.metrics_listen.clone().or(file.metrics_listen);
        let loopback = listen.ip().is_loopback();
        let default_dir = if args.demo { "./bailiwick-demo" } else { "./bailiwick-data" };
        let data_dir = args.storage.data_dir.clone().or(file.data_dir).unwrap_or_else(|| default_dir.into());
        let database = args.storage.database.clone().or(file.database);
        let tls = match (args.tls_cert.clone().or(file.tls.cert), args.tls_key.clone().or(file.tls.key)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(Error::invalid("tls", "needs both a certificate and its key"));
            }
        };
        let settings = Self {
            location: location(database.as_deref(), &data_dir)?,
            allow_loopback: loopback || args.allow_loopback_clusters || file.allow_loopback_clusters,
            allowed_networks: networks(&file.clusters.allowed_networks)?,
            master_key: master_key_source(environment, file.master_key_command, file.master_key_file),
            seen_dir: args.seen_dir.clone().or(file.seen_dir),
            audit_retention_days: retention(args.audit_retention_days.or(file.audit.retention_days))?,
            metrics_listen: metrics_listen.map(|text| socket("metrics_listen", &text)).transpose()?,
            limits: limits(&file.limits)?,
            rates: rates(&file.limits)?,
            quotas: quotas(&file.quotas),
            unexplained_removals: file.clusters.unexplained_removals.unwrap_or(5),
            role_growth: role_growth(file.grants.custom_role_growth.as_deref())?,
            demo: args.demo,
            plain_http: args.insecure_plain_http || file.insecure_plain_http,
            listen,
            data_dir,
            tls,
            dialects,
        };
        settings.check(database.is_some())?;
        Ok(settings)
    }

    fn check(&self, database_named: bool) -> Result<()> {
        self.location.check_transport("database")?;
        let loopback = self.listen.ip().is_loopback();
        if self.demo && !loopback {
            return Err(Error::invalid(
                "listen",
                "must be a loopback address with --demo: a demo is for one machine",
            ));
        }
        if self.demo && database_named {
            return Err(Error::invalid(
                "database",
                "must be left out with --demo: a demo uses a database of its own",
            ));
        }
        if !loopback && self.tls.is_none() && !self.plain_http {
            let message = "reaches other machines without TLS: give --tls-cert and --tls-key, \
                           or --insecure-plain-http if a proxy in front does TLS";
            return Err(Error::invalid("listen", message));
        }
        Ok(())
    }

    /// What is in force, one `key = value` a line, the key as in the file. No secret is among them.
    pub fn describe(&self) -> Vec<String> {
        let networks: Vec<String> =
            self.allowed_networks.iter().map(|(address, bits)| format!("{address}/{bits}")).collect();
        let (limits, rates, quotas) = (self.limits, self.rates, self.quotas);
        let or = |text: Option<String>, otherwise: &str| text.unwrap_or_else(|| otherwise.to_owned());
        let path = |path: &PathBuf| path.display().to_string();
        let mut lines = vec![
            format!("listen = {}", self.listen),
            format!("tls.cert = {}", or(self.tls.as_ref().map(|(cert, _)| path(cert)), "none")),
            format!("tls.key = {}", or(self.tls.as_ref().map(|(_, key)| path(key)), "none")),
            format!("insecure_plain_http = {}", if self.plain_http { "yes" } else { "no" }),
            format!("metrics_listen = {}", or(self.metrics_listen.map(|at| at.to_string()), "none")),
            format!("data_dir = {}", path(&self.data_dir)),
            format!("database = {:?}", self.location),
            format!("demo = {}", if self.demo { "yes" } else { "no" }),
            format!("master_key = {}", self.master_key.describe()),
            format!("seen_dir = {}", or(self.seen_dir.as_ref().map(path), "beside the master key's file")),
            format!("allow_loopback_clusters = {}", if self.allow_loopback { "yes" } else { "no" }),
            format!(
                "clusters.allowed_networks = {}",
                if networks.is_empty() {
                    "anywhere that is not refused".to_owned()
                } else {
                    networks.join(", ")
                }
            ),
            format!("limits.connections = {}", limits.connections),
            format!("limits.connections_per_source = {}", limits.connections_per_source),
            format!("limits.requests_per_source = {}", in_words(rates.source)),
            format!("limits.requests_per_principal = {}", in_words(rates.principal)),
            format!("quotas.grants = {} for each account", quotas.grants),
            format!("quotas.clusters = {} for each account", quotas.clusters),
            format!("quotas.bindings_per_cluster = {} for each account", quotas.bindings_per_cluster),
            format!("quotas.associations_per_cluster = {}", quotas.associations_per_cluster),
            format!(
                "quotas.certificates_per_principal = {} in one cluster",
                quotas.certificates_per_principal
            ),
            format!("quotas.policies = {} for each account", quotas.policies),
            format!(
                "quotas.policies_per_principal = {} for each user, group and agency",
                quotas.policies_per_principal
            ),
            format!("quotas.principals = {} for each account", quotas.principals),
            format!("quotas.access_keys_per_user = {}", quotas.access_keys_per_user),
            format!("quotas.sessions_per_principal = {}", quotas.sessions_per_principal),
            format!("quotas.sessions_per_pod = {}", quotas.sessions_per_pod),
            format!("quotas.pod_sessions_per_cluster = {}", quotas.pod_sessions_per_cluster),
            format!("clusters.unexplained_removals = {}", self.unexplained_removals),
            format!("grants.custom_role_growth = {}", growth_in_words(self.role_growth)),
            format!("audit.retention_days = {}", self.audit_retention_days),
        ];
        lines.extend(self.dialects.describe());
        lines
    }
}

impl MasterKeySource {
    /// Whether a first start may make a key there.
    pub fn can_be_made(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Which setting says so, where `table` is the settings file.
    pub fn origin(&self, environment: &ServerEnvironment, table: &toml::Table) -> String {
        let text = match self {
            Self::Environment => "BAILIWICK_MASTER_KEY",
            Self::Command(_) => "file",
            Self::File(path) if environment.master_key_file.as_ref() == Some(path) => {
                "BAILIWICK_MASTER_KEY_FILE"
            }
            Self::File(_) if table.contains_key("master_key_file") => "file",
            Self::File(_) | Self::Nowhere => "default",
        };
        text.to_owned()
    }

    fn describe(&self) -> String {
        match self {
            Self::Environment => "BAILIWICK_MASTER_KEY".to_owned(),
            Self::Command(words) => format!("the command {}", words.first().map_or("", String::as_str)),
            Self::File(path) => format!("the file {}", path.display()),
            Self::Nowhere => "nowhere: set BAILIWICK_MASTER_KEY_FILE".to_owned(),
        }
    }
}

/// Splits the file between the server's own settings and the dialects'.
fn read_file(path: Option<&Path>, environment: &ServerEnvironment) -> Result<(File, dialects::Settings)> {
    let text = match path {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| in_file(path, "", &error.to_string()))?,
    };
    let path = path.unwrap_or(Path::new(""));
    let bad = |error: toml::de::Error| in_file(path, &text, error.message());
    let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
        let place =
            line.map_or_else(|| path.display().to_string(), |line| format!("{} line {line}", path.display()));
        Error::invalid("config", format!("{place}: {}", error.message()))
    })?;
    let mut sections = toml::Table::new();
    for name in dialects::SECTIONS {
        sections.extend(table.remove_entry(name));
        let section = sections.entry(name).or_insert_with(|| toml::Table::new().into());
        if let Some(section) = section.as_table_mut() {
            section.extend(environment.section(name));
        }
    }
    let dialects = dialects::Settings::read(sections).map_err(|error| {
        if error.field() == Some("config") { in_file(path, &text, error.message()) } else { error }
    })?;
    Ok((table.try_into().map_err(bad)?, dialects))
}

/// A setting of the file that is refused, with the line of the first key that the message quotes.
fn in_file(path: &Path, text: &str, message: &str) -> Error {
    let key = message.split('`').nth(1).unwrap_or_default();
    let is_of_key = |line: &str| {
        let line = line.trim_start().trim_start_matches('[');
        let name = line.split(['=', ']', '.']).map(str::trim).any(|part| part == key);
        !key.is_empty() && !line.starts_with('#') && name
    };
    let place = match text.lines().position(is_of_key) {
        Some(at) => format!("{} line {}", path.display(), at + 1),
        None => path.display().to_string(),
    };
    Error::invalid("config", format!("{place}: {message}"))
}

fn socket(field: &str, text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| Error::invalid(field, "must be ADDRESS:PORT, for example 127.0.0.1:8470"))
}

fn limits(file: &LimitsFile) -> Result<api::Limits> {
    let default = api::Limits::default();
    let limits = api::Limits {
        connections: file.connections.unwrap_or(default.connections),
        connections_per_source: file.connections_per_source.unwrap_or(default.connections_per_source),
    };
    if limits.connections == 0 || limits.connections_per_source == 0 {
        return Err(Error::invalid("limits", "must be at least 1"));
    }
    Ok(limits)
}

fn rates(file: &LimitsFile) -> Result<service::Rates> {
    let default = service::Rates::default();
    let rate = |key: &str, given: Option<RateFile>, default: service::Rate| match given {
        None => Ok(default),
        Some(RateFile { per_second, burst }) if per_second <= 1_000_000 => {
            // What ten seconds of rest add up to.
            let burst = burst.unwrap_or(per_second.saturating_mul(10)).max(1);
            Ok(service::Rate { per_second, burst })
        }
        Some(_) => Err(Error::invalid(key, "must allow at most 1000000 a second, or 0 for any number")),
    };
    Ok(service::Rates {
        source: rate("limits.requests_per_source", file.requests_per_source, default.source)?,
        principal: rate("limits.requests_per_principal", file.requests_per_principal, default.principal)?,
        ..default
    })
}

fn in_words(rate: service::Rate) -> String {
    match rate.per_second {
        0 => "any number".to_owned(),
        per_second => format!("{per_second} a second, {} at once", rate.burst),
    }
}

fn quotas(file: &QuotasFile) -> service::Quotas {
    let default = service::Quotas::default();
    service::Quotas {
        grants: file.grants.unwrap_or(default.grants),
        clusters: file.clusters.unwrap_or(default.clusters),
        principals: file.principals.unwrap_or(default.principals),
        access_keys_per_user: file.access_keys_per_user.unwrap_or(default.access_keys_per_user),
        sessions_per_principal: file.sessions_per_principal.unwrap_or(default.sessions_per_principal),
        sessions_per_pod: file.sessions_per_pod.unwrap_or(default.sessions_per_pod),
        pod_sessions_per_cluster: file.pod_sessions_per_cluster.unwrap_or(default.pod_sessions_per_cluster),
        certificates_per_principal: file
            .certificates_per_principal
            .unwrap_or(default.certificates_per_principal),
        associations_per_cluster: file.associations_per_cluster.unwrap_or(default.associations_per_cluster),
        bindings_per_cluster: file.bindings_per_cluster.unwrap_or(default.bindings_per_cluster),
        policies: file.policies.unwrap_or(default.policies),
        policies_per_principal: file.policies_per_principal.unwrap_or(default.policies_per_principal),
    }
}

fn retention(days: Option<u32>) -> Result<u32> {
    match days {
        None => Ok(service::Settings::default().audit_retention_days),
        Some(0) => Err(Error::invalid("audit.retention_days", "must be at least 1")),
        Some(days) => Ok(days),
    }
}

fn role_growth(text: Option<&str>) -> Result<service::RoleGrowth> {
    match text {
        None | Some("hold") => Ok(service::RoleGrowth::Hold),
        Some("follow") => Ok(service::RoleGrowth::Follow),
        Some(_) => Err(Error::invalid("grants.custom_role_growth", "must be `hold` or `follow`")),
    }
}

fn growth_in_words(growth: service::RoleGrowth) -> &'static str {
    match growth {
        service::RoleGrowth::Hold => "hold",
        service::RoleGrowth::Follow => "follow",
    }
}

fn location(database: Option<&str>, data_dir: &Path) -> Result<Location> {
    match database {
        Some(url) => Location::parse("database", url),
        None => Ok(Location::File(data_dir.join("bailiwick.db"))),
    }
}

fn master_key_source(
    environment: &ServerEnvironment,
    command: Option<Vec<String>>,
    file: Option<PathBuf>,
) -> MasterKeySource {
    if environment.master_key.is_some() {
        return MasterKeySource::Environment;
    }
    if let Some(path) = &environment.master_key_file {
        return MasterKeySource::File(path.clone());
    }
    match (command, file, &environment.default_master_key_file) {
        (Some(words), _, _) => MasterKeySource::Command(words),
        (None, Some(path), _) => MasterKeySource::File(path),
        (None, None, Some(path)) => MasterKeySource::File(path.clone()),
        (None, None, None) => MasterKeySource::Nowhere,
    }
}

fn networks(texts: &[String]) -> Result<Vec<(IpAddr, u8)>> {
    let read = |text: &String| {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some((address, bits))
    };
    let bad = |text| {
        Error::invalid("clusters.allowed_networks", format!("must be networks like 10.0.0.0/8, not `{text}`"))
    };
    texts.iter().map(|text| read(text).ok_or_else(|| bad(text))).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn read(flags: &[&str], file: &str) -> Result<Settings> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let line = ["serve", "--config", &path].into_iter().chain(flags.iter().copied());
        Settings::read(&Line::parse_from(line).args, &ServerEnvironment::default())
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let settings = read(&["--listen", "127.0.0.1:1"], "listen = '127.0.0.1:2'\ndata_dir = '/d'").unwrap();
        assert_eq!(settings.listen.port(), 1);
        assert_eq!(settings.data_dir, Path::new("/d"));
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_it_is_asked_for() {
        assert_eq!(read(&["--listen", "0.0.0.0:1"], "").unwrap_err().field(), Some("listen"));
        assert!(read(&["--listen", "0.0.0.0:1", "--insecure-plain-http"], "").is_ok());
        assert!(!read(&["--listen", "0.0.0.0:1", "--insecure-plain-http"], "").unwrap().allow_loopback);
    }

    #[test]
    fn a_demo_is_for_one_machine_and_one_database_of_its_own() {
        for flags in [
            &["--demo", "--listen", "0.0.0.0:1", "--insecure-plain-http"][..],
            &["--demo", "--database", "postgres://db/real"][..],
            &["--demo", "--database", "sqlite:/real.db"][..],
        ] {
            assert!(read(flags, "").is_err(), "{flags:?}");
        }
    }

    #[test]
    fn rates_are_set_for_sources_and_principals_and_nothing_is_no_limit() {
        let file = "[limits]\nrequests_per_source = { per_second = 0 }\n\
                    requests_per_principal = { per_second = 7, burst = 9 }\n";
        let lines = read(&[], file).unwrap().describe();
        for line in [
            "limits.requests_per_source = any number",
            "limits.requests_per_principal = 7 a second, 9 at once",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}");
        }
        let without_burst = read(&[], "[limits.requests_per_source]\nper_second = 20\n").unwrap();
        assert_eq!(without_burst.rates.source, service::Rate { per_second: 20, burst: 200 });
        let too_many = read(&[], "[limits.requests_per_source]\nper_second = 2000000\n").unwrap_err();
        assert_eq!(too_many.field(), Some("limits.requests_per_source"));
    }

    #[test]
    fn a_refused_line_of_the_file_is_numbered() {
        for (file, line) in [
            ("# lisen\nlisten = '127.0.0.1:1'\n\nlisen = 'x'\n", 4),
            ("listen = '127.0.0.1:1'\nlisten = '127.0.0.1:2'\n", 2),
            ("data_dir = '/d'\n[limits]\nconnections = 3\nconections = 4\n", 4),
            ("[quotas]\n[quotes]\n", 2),
            ("a = ", 1),
        ] {
            let error = read(&[], file).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}: ")), "{file}: {error}");
        }
    }

    #[test]
    fn unknown_settings_and_unknown_values_are_named() {
        for (file, text) in [
            ("lisen = 'x'", "lisen"),
            ("[cce]\npolicy_type = 'x'", "policy_type"),
            ("[cce]\npolicy_types = 'x'", "policy_types"),
            ("[clusters]\nallowed_networks = ['10.0.0.0/33']", "10.0.0.0/33"),
            ("listen = 'localhost'", "listen"),
            ("grants.custom_role_growth = 'grow'", "grants.custom_role_growth"),
            ("audit.retention_days = 0", "audit.retention_days"),
            ("limits.connections = 0", "limits"),
            ("metrics_listen = 'x'", "metrics_listen"),
            ("tls.cert = 'a'", "tls"),
        ] {
            let error = read(&[], file).unwrap_err().to_string();
            assert!(error.contains(text), "{file}: {error}");
        }
    }
}
