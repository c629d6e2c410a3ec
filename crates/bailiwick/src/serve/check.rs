//! What a careful operator wants to know before a start: which settings are in force and where each comes from, and
//! whether what they name is there and fits together. Looks, and changes nothing.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use domain::{Clock, Result, Timestamp};
use service::clusters::expiring::Soon;
use store::{Location, Peek, Schema, Store};

use super::settings::Settings;
use super::{ServeArgs, first_start, master_key, seen, tls, traces};
use crate::environment::{self, ServerEnvironment};
use crate::system::SystemClock;

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// What is in force: a setting, its value, and where that comes from.
    pub settings: Vec<(String, String, String)>,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

/// Something that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// In a sentence.
    pub text: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// The server starts, and somebody should do something.
    Warning,
    /// The server would not start.
    Problem,
}

impl Report {
    /// Whether the server would start.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Verdict::Problem)
    }
}

/// Looks.
///
/// # Errors
/// `Invalid` naming the setting that a start would refuse.
pub async fn run(args: &ServeArgs) -> Result<Report> {
    let environment = ServerEnvironment::read();
    let settings = Settings::read(args, &environment)?;
    let mut check = Check { settings: &settings, findings: Vec::new() };
    check.certificate(SystemClock.now());
    check.listener();
    let fresh = check.data_folder();
    let database = check.database(fresh).await;
    check.master_key(&environment, database.as_ref());
    check.seen(&environment);
    check.log(args, &environment);
    let findings = check.findings;
    Ok(Report { settings: sources(args, &settings, &environment), findings })
}

struct Check<'a> {
    settings: &'a Settings,
    findings: Vec<Finding>,
}

/// Whether the data folder exists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folder {
    Missing,
    There,
}

impl Check<'_> {
    fn say(&mut self, verdict: Verdict, text: impl Into<String>) {
        self.findings.push(Finding { verdict, text: text.into() });
    }

    fn certificate(&mut self, now: Timestamp) {
        let Some((cert, key)) = &self.settings.tls else { return };
        match tls::read(cert, key).map(|tls| tls.status().end) {
            Err(error) => self.say(Verdict::Problem, error.to_string()),
            Ok(None) => self.say(Verdict::Fine, "certificate and key go together"),
            Ok(Some(end)) => {
                let (verdict, verb) = match Soon::of(end, now) {
                    None => (Verdict::Fine, "ends"),
                    Some(Soon::TwoWeeks | Soon::Week | Soon::Day) => (Verdict::Warning, "ends"),
                    Some(Soon::Expired) => (Verdict::Warning, "ended"),
                };
                self.say(
                    verdict,
                    format!("certificate and key go together; the certificate {verb} on {end}"),
                );
            }
        }
    }

    fn listener(&mut self) {
        let loopback = self.settings.listen.ip().is_loopback();
        match (loopback, self.settings.tls.is_some()) {
            (true, _) => self.say(Verdict::Fine, "only this machine reaches the server"),
            (false, true) => self.say(Verdict::Fine, "other machines reach the server over TLS"),
            (false, false) => self.say(
                Verdict::Warning,
                "other machines reach the server without TLS: a proxy in front has to do it, and no way around it may exist",
            ),
        }
        if let Some(metrics) = self.settings.metrics_listen.filter(|at| !at.ip().is_loopback()) {
            self.say(Verdict::Warning, format!("{metrics} shows metrics to whoever reaches it"));
        }
    }

    fn data_folder(&mut self) -> Folder {
        let folder = &self.settings.data_dir;
        let Ok(found) = std::fs::metadata(folder) else {
            self.say(Verdict::Fine, format!("the first start makes {}", folder.display()));
            return Folder::Missing;
        };
        if !found.is_dir() {
            self.say(Verdict::Problem, format!("{} is not a folder", folder.display()));
        } else if found.mode() & 0o077 != 0 {
            let text = format!("{} is open to others; a start closes it", folder.display());
            self.say(Verdict::Warning, text);
        } else {
            self.say(Verdict::Fine, format!("{} is closed to others", folder.display()));
        }
        if let Err(error) = super::demo::refuse(folder)
            && !self.settings.demo
        {
            self.say(Verdict::Problem, error.to_string());
        }
        if folder.join(first_start::FILE).exists() && !self.settings.demo {
            let file = folder.join(first_start::FILE);
            self.say(
                Verdict::Warning,
                format!("{} holds the first credentials: move it to a safe place", file.display()),
            );
        }
        Folder::There
    }

    async fn database(&mut self, folder: Folder) -> Option<Peek> {
        if let Location::File(path) = &self.settings.location
            && (folder == Folder::Missing || !path.exists())
        {
            self.say(Verdict::Fine, format!("the first start makes the database {}", path.display()));
            return None;
        }
        match Store::peek(&self.settings.location).await {
            Err(error) => {
                let cause = error.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
                self.say(Verdict::Problem, format!("{error}{cause}"));
                None
            }
            Ok(peek) => {
                self.schema(&peek);
                Some(peek)
            }
        }
    }

    fn schema(&mut self, peek: &Peek) {
        match peek.schema {
            Schema::None => self.say(Verdict::Fine, "the database answers and is empty"),
            Schema::Older => {
                self.say(Verdict::Fine, "the database answers; a start brings its schema up to date, and older programs then refuse it");
            }
            Schema::Current => {
                self.say(Verdict::Fine, "the database answers, and its schema is this program's")
            }
            Schema::Newer => self.say(
                Verdict::Problem,
                "the database has a schema that this program does not know: start the newer program",
            ),
        }
        if let Some(found) = peek.installation.as_ref().filter(|found| found.demo != self.settings.demo) {
            let what = if found.demo { "holds a demo" } else { "is not a demo's" };
            self.say(Verdict::Problem, format!("the database {what}: choose another"));
        }
    }

    fn master_key(&mut self, environment: &ServerEnvironment, peek: Option<&Peek>) {
        if self.settings.demo {
            return;
        }
        let held = match master_key::look(self.settings, environment) {
            Ok(held) => held,
            Err(error) => return self.say(Verdict::Problem, error.to_string()),
        };
        let installation = peek.and_then(|peek| peek.installation.as_ref());
        let Some(installation) = installation else {
            return match held.as_slice() {
                [] if self.settings.master_key.can_be_made() => {
                    self.say(Verdict::Fine, "the first start makes a master key");
                }
                [] => self.say(Verdict::Problem, "the first start needs a master key, and none is given"),
                ids => self.say(Verdict::Fine, format!("master key {} is given", ids.join(", "))),
            };
        };
        let needed = &installation.master_key_id;
        if held.contains(needed) {
            self.say(Verdict::Fine, format!("the database needs master key {needed}, and it is given"));
        } else {
            let given = if held.is_empty() { "none".to_owned() } else { held.join(", ") };
            let text = format!("the database needs master key {needed}; given is {given}: bring it back");
            self.say(Verdict::Problem, text);
        }
        if let Some(next) = peek.and_then(|peek| peek.master_key.as_ref()?.next.as_ref()) {
            let text =
                format!("master key {next} is about to take over: finish with `bailiwick master-key rotate`");
            self.say(Verdict::Warning, text);
        }
    }

    fn seen(&mut self, environment: &ServerEnvironment) {
        match (seen::look(self.settings, environment), self.settings.seen_dir.is_some()) {
            (Ok(Some(folder)), _) => self.say(
                Verdict::Fine,
                format!("{} is to remember how far the database had come", folder.display()),
            ),
            (Ok(None), _) if self.settings.demo => {}
            (Err(error), true) => self.say(Verdict::Problem, error.to_string()),
            (Ok(None), _) => self.say(
                Verdict::Warning,
                "an older copy of the database would not be noticed at the start: name a folder by --seen-dir",
            ),
            (Err(error), false) => self.say(
                Verdict::Warning,
                format!("an older copy of the database would not be noticed at the start: {error}"),
            ),
        }
    }

    fn log(&mut self, args: &ServeArgs, environment: &ServerEnvironment) {
        if let Some(endpoint) = &args.otlp_endpoint {
            match traces::address(endpoint) {
                Ok(url) => self.say(Verdict::Fine, format!("spans are sent to {url}")),
                Err(error) => self.say(Verdict::Problem, error.to_string()),
            }
        }
        if let Some(filter) = &environment.log
            && tracing_subscriber::EnvFilter::try_new(filter).is_err()
        {
            self.say(Verdict::Warning, "BAILIWICK_LOG is not understood: `info` is logged");
        }
    }
}

/// Each setting with its value and where that comes from: a flag, a variable, the file, or nowhere.
fn sources(
    args: &ServeArgs,
    settings: &Settings,
    environment: &ServerEnvironment,
) -> Vec<(String, String, String)> {
    let table = args.config.as_deref().and_then(read).unwrap_or_default();
    let split = |line: String| line.split_once(" = ").map(|(key, value)| (key.to_owned(), value.to_owned()));
    let rows = settings.describe().into_iter().filter_map(split);
    rows.map(|(key, value)| {
        let source = match key.as_str() {
            "master_key" => settings.master_key.origin(environment, &table),
            _ => source(&key, args, &table),
        };
        (key, value, source)
    })
    .collect()
}

fn source(key: &str, args: &ServeArgs, table: &toml::Table) -> String {
    let name = key.replace('.', "_");
    let variable = format!("BAILIWICK_{}", name.to_uppercase());
    let (given, told) = (args.given(key), environment::text(&variable));
    // Of the sections that the program leaves to the dialects, no flag is known.
    if told.is_some() && (given.is_none() || given == told || told.as_deref() == Some("1")) {
        return variable;
    }
    if given.is_some() {
        return format!("--{}", name.replace('_', "-"));
    }
    let (section, last) = key.split_once('.').map_or((None, key), |(section, last)| (Some(section), last));
    let table = match section {
        Some(section) => table.get(section).and_then(toml::Value::as_table),
        None => Some(table),
    };
    if table.is_some_and(|table| table.contains_key(last)) { "file".to_owned() } else { "default".to_owned() }
}

fn read(path: &Path) -> Option<toml::Table> {
    std::fs::read_to_string(path).ok()?.parse().ok()
}
