//! `bailiwick cluster import-audit-log`: who was active in a cluster, from the log that its API server writes.
//!
//! The log is read here, line by line, and may be of any size; the server gets one time for each name. Which time the log
//! covers is said last: before, names may be missing, and nobody must be taken for idle.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use domain::Timestamp;
use domain::activity::Span;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Session;
use crate::client::path;
use crate::failure::Failure;
use crate::output::{self, Format, Style, View, field};

/// A longer line is no event: API servers write none of more than some megabytes.
const MOST_LINE: u64 = 32 << 20;
/// So much is held; a log with more names is sent more than once, and means the same.
const HELD_NAMES: usize = 100_000;
const HELD_BYTES: usize = 16 << 20;
/// So many names are sent at once, which fit in a request however long they are.
const SENT_NAMES: usize = 500;
/// A longer name is nobody's.
const MOST_NAME: usize = 512;
/// How far the cluster's clock may be ahead of this one.
const SKEW_SECONDS: i64 = 300;
/// So many bad lines are shown.
const SHOWN: usize = 5;

const VIEW: View = View {
    id: "cluster",
    plural: "imports",
    columns: &[],
    details: &[
        field("CLUSTER", "cluster"),
        field("EVENTS", "events"),
        field("FROM", "from"),
        field("TO", "to"),
        field("KNOWN NAMES", "known"),
        field("UNKNOWN NAMES", "unknown"),
        field("BAD LINES", "badLines"),
    ],
};

/// What `bailiwick cluster import-audit-log` takes.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The cluster's id or name
    cluster: String,
    /// The log: one event of audit.k8s.io/v1 a line; `-` for standard input
    file: PathBuf,
    /// Take the log for complete though lines of it cannot be read
    #[arg(long)]
    accept_bad_lines: bool,
}

/// What is read of an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    user: Option<User<'a>>,
    #[serde(borrow)]
    impersonated_user: Option<User<'a>>,
    #[serde(borrow)]
    stage_timestamp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request_received_timestamp: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow, default)]
    username: Cow<'a, str>,
}

/// What was read and not sent yet, and what is known of all that was read.
struct Tally {
    seen: HashMap<String, Timestamp>,
    bytes: usize,
    covered: Option<Span>,
    events: u64,
    lines: u64,
    bad: u64,
    complaints: Vec<String>,
    now: Timestamp,
}

/// How the server took it.
#[derive(Default)]
struct Taken {
    known: u64,
    unknown: u64,
}

/// Reads a log and sends what it says.
///
/// # Errors
/// If the log cannot be read or holds lines that are no events, or the server refuses or does not answer.
pub fn import(args: &ImportArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let path = path::native(&["clusters", &args.cluster, "activity"])?;
    let mut tally = Tally::new(session.world.clock.now());
    let mut taken = Taken::default();
    let mut send = |body: Value| -> Result<(), Failure> {
        let answer = session.client.write("POST", &path, body)?;
        let count = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or_default();
        taken.known += count("known");
        taken.unknown += count("unknown");
        Ok(())
    };
    if args.file == Path::new("-") {
        read(&mut tally, &mut BufReader::new(&mut *session.world.stdin), &mut send)?;
    } else {
        let file = File::open(&args.file).map_err(|error| unreadable(&args.file, &error))?;
        read(&mut tally, &mut BufReader::with_capacity(1 << 20, file), &mut send)?;
    }
    let is_whole = tally.bad == 0 || args.accept_bad_lines;
    let covered = tally.covered.filter(|_| is_whole);
    // Only now is nothing missing.
    tally.send_names(&mut send)?;
    send(times(covered))?;
    report(args, &tally, &taken, session)?;
    for complaint in &tally.complaints {
        writeln!(session.world.err, "warning: {}", output::escape(complaint))?;
    }
    verdict(&tally, is_whole)
}

fn verdict(tally: &Tally, is_whole: bool) -> Result<(), Failure> {
    if tally.events == 0 {
        return Err(Failure::refused("there is no audit event in it"));
    }
    if is_whole {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{} of {} lines could not be read: who was seen is known now, but not that others were idle",
        tally.bad, tally.lines
    ))
    .hint("if the lines mean nothing, import it again with --accept-bad-lines"))
}

fn report(
    args: &ImportArgs,
    tally: &Tally,
    taken: &Taken,
    session: &mut Session<'_, '_>,
) -> Result<(), Failure> {
    let at = |at: fn(Span) -> Timestamp| tally.covered.map(at).map(Timestamp::rfc3339_micros);
    let done = json!({
        "cluster": args.cluster, "events": tally.events, "from": at(|span| span.from), "to": at(|span| span.to),
        "known": taken.known, "unknown": taken.unknown, "badLines": tally.bad,
    });
    if session.style == Style::Full(Format::Table) && tally.events == 0 {
        return Ok(());
    }
    session.print(&VIEW, &done)
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("cannot read `{}`: {error}", file.display()))
}

/// Hands a part to the server.
type Send<'a> = dyn FnMut(Value) -> Result<(), Failure> + 'a;

/// What says which time is covered.
fn times(covered: Option<Span>) -> Value {
    json!({
        "from": covered.map(|span| span.from.rfc3339_micros()),
        "to": covered.map(|span| span.to.rfc3339_micros()),
    })
}

/// Reads to the end, and sends whenever enough is there.
fn read(tally: &mut Tally, log: &mut dyn BufRead, send: &mut Send<'_>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::refused(format!("cannot read the log: {error}"));
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = (&mut *log).take(MOST_LINE).read_until(b'\n', &mut line).map_err(failed)?;
        if count == 0 {
            return Ok(());
        }
        let is_ended = line.last() == Some(&b'\n');
        if !is_ended && u64::try_from(count).is_ok_and(|count| count == MOST_LINE) {
            skip_line(log).map_err(failed)?;
            tally.complain("is longer than 32 MiB");
            continue;
        }
        match tally.take(&line) {
            Ok(()) => {}
            // The API server is still writing it.
            Err(_) if !is_ended => return Ok(()),
            Err(why) => tally.complain(&why),
        }
        if tally.seen.len() >= HELD_NAMES || tally.bytes >= HELD_BYTES {
            tally.send_names(send)?;
        }
    }
}

fn skip_line(log: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let buffer = log.fill_buf()?;
        let (count, is_over) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        log.consume(count);
        if is_over {
            return Ok(());
        }
    }
}

impl Tally {
    fn new(now: Timestamp) -> Self {
        Self {
            seen: HashMap::new(),
            bytes: 0,
            covered: None,
            events: 0,
            lines: 0,
            bad: 0,
            complaints: Vec::new(),
            now,
        }
    }

    fn complain(&mut self, why: &str) {
        self.lines += 1;
        self.bad += 1;
        match self.complaints.len() {
            few if few < SHOWN => self.complaints.push(format!("line {} {why}", self.lines)),
            SHOWN => self.complaints.push("and more lines could not be read".to_owned()),
            _ => {}
        }
    }

    /// Takes a line; the error is why it is none of an audit log.
    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        if line.iter().all(u8::is_ascii_whitespace) {
            self.lines += 1;
            return Ok(());
        }
        let event: Event<'_> =
            serde_json::from_slice(line).map_err(|error| format!("is no event: {error}"))?;
        if event.kind != "Event" || event.api_version != "audit.k8s.io/v1" {
            return Err("is no event of audit.k8s.io/v1".to_owned());
        }
        let received = self.instant(event.request_received_timestamp.as_deref())?;
        let staged = self.instant(event.stage_timestamp.as_deref())?;
        let at = received.max(staged).ok_or("tells no time")?;
        // A watch that was asked for before the log began says nothing of the time before the log.
        let written = staged.unwrap_or(at);
        for user in [&event.user, &event.impersonated_user].into_iter().flatten() {
            self.note(&user.username, at);
        }
        let covered = self.covered.get_or_insert(Span { from: written, to: written });
        covered.from = covered.from.min(written);
        covered.to = covered.to.max(written);
        self.events += 1;
        self.lines += 1;
        Ok(())
    }

    fn instant(&self, text: Option<&str>) -> Result<Option<Timestamp>, String> {
        let Some(text) = text else { return Ok(None) };
        let at =
            Timestamp::parse_rfc3339(text).ok_or_else(|| format!("tells a time that is none: {text}"))?;
        if at.as_millis() < 0 {
            return Err(format!("is of before 1970: {text}"));
        }
        if at > self.now.plus_seconds(SKEW_SECONDS) {
            return Err(format!("is of the future: {text}"));
        }
        Ok(Some(at.min(self.now)))
    }

    /// Notes a name that may be somebody's: what is the cluster's own is not.
    fn note(&mut self, name: &str, at: Timestamp) {
        let is_nobody = name.is_empty()
            || name.len() > MOST_NAME
            || name.starts_with("system:")
            || name.chars().any(char::is_control);
        if is_nobody {
            return;
        }
        match self.seen.get_mut(name) {
            Some(seen) => *seen = at.max(*seen),
            None => {
                self.bytes += name.len() + 64;
                self.seen.insert(name.to_owned(), at);
            }
        }
    }

    /// Sends the names that are held, and holds them no longer.
    fn send_names(&mut self, send: &mut Send<'_>) -> Result<(), Failure> {
        self.bytes = 0;
        let mut seen: Vec<(String, Timestamp)> = self.seen.drain().collect();
        seen.sort();
        let user = |(name, at): &(String, Timestamp)| json!({"name": name, "lastSeen": at.rfc3339_micros()});
        for part in seen.chunks(SENT_NAMES) {
            send(json!({"users": part.iter().map(user).collect::<Vec<_>>()}))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-21T20:00:00Z").unwrap()
    }

    fn event(user: &str, received: &str, staged: &str) -> String {
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete",
            "user": {"username": user, "groups": ["g"]}, "requestReceivedTimestamp": received,
            "stageTimestamp": staged, "objectRef": {"resource": "pods"}
        })
        .to_string()
            + "\n"
    }

    fn taken(log: &str) -> (Tally, Vec<Value>) {
        let mut tally = Tally::new(now());
        let mut sent = Vec::new();
        let mut send = |body: Value| {
            sent.push(body);
            Ok(())
        };
        read(&mut tally, &mut log.as_bytes(), &mut send).unwrap();
        tally.send_names(&mut send).unwrap();
        sent.push(times(tally.covered));
        (tally, sent)
    }

    #[test]
    fn the_last_time_of_each_name_is_sent_and_what_is_the_clusters_own_is_not() {
        let mut log = event("ada", "2026-11-20T10:00:00.000001Z", "2026-11-20T10:00:00.5Z");
        log += &event("ada", "2026-11-20T09:00:00Z", "2026-11-20T11:00:00Z");
        log += &event("system:node:a", "2026-11-20T08:00:00Z", "2026-11-20T11:30:00Z");
        log += &event("", "2026-11-20T11:00:00Z", "2026-11-20T11:00:00Z");
        log += &json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "user": {"username": "eve"},
            "impersonatedUser": {"username": "b\"ob"}, "stageTimestamp": "2026-11-20T09:30:00Z"
        })
        .to_string();
        let (tally, sent) = taken(&log);
        assert_eq!((tally.events, tally.bad, sent.len()), (5, 0, 2));
        let names: Vec<&str> =
            sent[0]["users"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["ada", "b\"ob", "eve"]);
        assert_eq!(sent[0]["users"][0]["lastSeen"], "2026-11-20T11:00:00.000000Z");
        // The log begins where it was first written, not where a watch of before it began.
        assert_eq!(sent[1]["from"], "2026-11-20T09:30:00.000000Z");
        assert_eq!(sent[1]["to"], "2026-11-20T11:30:00.000000Z");
    }

    #[test]
    fn bad_lines_are_counted_and_the_one_that_is_still_written_is_none() {
        let good = event("ada", "2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z");
        let far = event("ada", "2026-11-20T10:00:00Z", "2026-11-22T10:00:00Z");
        let old = event("ada", "1969-01-01T00:00:00Z", "2026-11-20T10:00:00Z");
        let other = "{\"kind\":\"Event\",\"apiVersion\":\"v1\"}\n";
        let log = format!("{good}\n{far}{old}{other}\u{1b}[31m\n{{\"kind\":\"\n[]\n{good}{{\"kind\":\"Ev");
        let (tally, _) = taken(&log);
        assert_eq!((tally.events, tally.bad), (2, 6));
        assert_eq!(tally.complaints.len(), SHOWN + 1);
        assert!(tally.complaints[0].starts_with("line 3 is of the future"), "{:?}", tally.complaints);
    }

    #[test]
    fn more_names_than_fit_are_sent_in_parts_and_the_time_with_the_last_one() {
        let at = "2026-11-20T10:00:00Z";
        let log: String = (0..1200).map(|n| event(&format!("user-{n}"), at, at)).collect();
        let (_, sent) = taken(&log);
        let size = |part: &Value| part["users"].as_array().map(Vec::len);
        assert_eq!(sent.iter().map(size).collect::<Vec<_>>(), [Some(500), Some(500), Some(200), None]);
        assert!(sent.iter().rev().skip(1).all(|part| part.get("from").is_none()));
        assert!(sent[3]["from"].is_string() && sent[3]["to"].is_string());
        let names =
            |length: usize| -> String { (0..length).map(|n| event(&format!("{n:0>500}"), at, at)).collect() };
        // Of long names fewer are held, so that what is held stays bounded.
        let mut tally = Tally::new(now());
        let mut parts = 0;
        let mut send = |_: Value| {
            parts += 1;
            Ok(())
        };
        read(&mut tally, &mut names(HELD_BYTES / 500).as_bytes(), &mut send).unwrap();
        assert!(parts > 0 && tally.bytes < HELD_BYTES && tally.seen.len() < HELD_BYTES / 500);
    }

    #[test]
    fn a_clock_that_is_a_little_ahead_is_taken_for_now() {
        let (tally, sent) = taken(&event("ada", "2026-11-21T20:00:00Z", "2026-11-21T20:04:00Z"));
        assert_eq!(tally.bad, 0);
        assert_eq!(sent.last().unwrap()["to"], "2026-11-21T20:00:00.000000Z");
    }
}
