//! `bailiwick cluster check`: what the credential of a cluster's connection may really do there.

use clap::Args;
use serde_json::{Value, json};

use super::Session;
use crate::client::path::{self, with_query};
use crate::failure::Failure;
use crate::output::{self, Format, Style, View, computed, field};

const VIEW: View = View {
    id: "function",
    plural: "rows",
    columns: &[
        field("SET", "set"),
        field("FUNCTION", "function"),
        computed("RESOURCES", |row| shortened(&things(row))),
        computed("AUTHORIZED", |row| if is_true(row) { "yes".to_owned() } else { "no".to_owned() }),
        computed("MISSING", |row| shortened(&rights(row.get("missing")))),
    ],
    details: &[],
};
/// How much of a list is shown in a cell, in characters.
const CELL: usize = 60;

/// What `bailiwick cluster check` takes.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The cluster's id or name
    cluster: String,
    /// Print the RBAC that adds what is missing, for kubectl apply, and nothing else
    #[arg(long, conflicts_with = "since")]
    manifest: bool,
    /// Whom the cluster knows the credential's holder as, where neither it nor the credential says so
    #[arg(long, value_name = "NAME", requires = "manifest")]
    subject: Option<String>,
    /// Show what changed since then: a time as in RFC 3339, or `last` for the check before this one
    #[arg(long, value_name = "TIME|last")]
    since: Option<String>,
}

/// Asks the cluster, and prints what it said. Fails if not all that is needed is allowed.
///
/// # Errors
/// If the server refuses or does not answer, the cluster cannot be asked, or a row is not true.
pub fn run(args: &CheckArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let former = args.since.as_deref().map(|since| former(args, since, session)).transpose()?;
    let path = path::native(&["clusters", &args.cluster, "check"])?;
    let wants = args.manifest.then_some(true);
    let mut check =
        session.client.write("POST", &path, json!({"manifest": wants, "subject": args.subject}))?;
    if args.manifest {
        return print_manifest(&check, session);
    }
    if let (Some(former), Some(fields)) = (&former, check.as_object_mut()) {
        let changes = changes(former, &Value::Object(fields.clone()));
        fields.insert("since".to_owned(), former.get("checkedAt").cloned().unwrap_or_default());
        fields.insert("changes".to_owned(), changes);
    }
    print(&check, session)?;
    let rows = list(&check, "rows");
    let untrue = rows.iter().filter(|row| !is_true(row)).count();
    if untrue == 0 {
        return Ok(());
    }
    let failure = Failure::refused(format!("{untrue} of {} rows are not authorized", rows.len()));
    Err(failure.hint(format!("what adds it: bailiwick cluster check {} --manifest", args.cluster)))
}

/// What the cluster answered at that time.
fn former(args: &CheckArgs, since: &str, session: &Session<'_, '_>) -> Result<Value, Failure> {
    let until = (since != "last").then_some(since);
    let path = path::native(&["clusters", &args.cluster, "checks"])?;
    let answer = session.client.get(&with_query(&path, &[("until", until), ("limit", Some("1"))]))?;
    let none = || Failure::refused(format!("no check of `{}` from before that is kept", args.cluster));
    list(&answer, "items").into_iter().next().ok_or_else(none)
}

fn print_manifest(check: &Value, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match check.get("manifest").and_then(Value::as_str) {
        // Its own quoting makes it safe, and it must reach kubectl as it is.
        Some(manifest) => Ok(write!(session.world.out, "{manifest}")?),
        None => Ok(writeln!(session.world.err, "nothing is missing")?),
    }
}

fn print(check: &Value, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match session.style {
        Style::Full(Format::Table) => print_table(check, session),
        Style::Ids => Ok(output::many(session.world.out, session.style, &VIEW, list(check, "rows"))?),
        Style::Full(Format::Json | Format::Yaml) => {
            Ok(output::one(session.world.out, session.style, &VIEW, check)?)
        }
    }
}

fn print_table(check: &Value, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let identity = check.get("identity").and_then(Value::as_str);
    session.say(&format!("identity: {}", identity.unwrap_or("not known: see --subject")))?;
    output::many(session.world.out, session.style, &VIEW, list(check, "rows"))?;
    let surplus = list(check, "surplus");
    if !surplus.is_empty() {
        session.say("dangerous rights that it holds:")?;
    }
    for held in surplus {
        session.say(&format!("  {} ({})", text(&held, "what"), text(&held, "why")))?;
    }
    let Some(changes) = check.get("changes") else { return Ok(()) };
    session.say(&format!("changes since {}:", text(check, "since")))?;
    for row in list(changes, "rows") {
        let name = format!("  {} ({})", text(&row, "function"), shortened(&things(&row)));
        session.say(&format!("{name}: {}", in_words(&row)))?;
    }
    for (key, sign) in [("surplusGained", '+'), ("surplusLost", '-')] {
        for held in list(changes, key) {
            session.say(&format!("  {sign} {}", held.as_str().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn in_words(row: &Value) -> String {
    let parts = [("gained", "now allowed: "), ("lost", "no longer allowed: ")];
    let parts = parts.map(|(key, words)| match rights(row.get(key)).as_str() {
        "" => String::new(),
        rights => format!("{words}{rights}"),
    });
    let told: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    match (told.is_empty(), row.get("was").is_some_and(Value::is_null)) {
        (false, _) => told.join("; "),
        (true, true) => "a new row".to_owned(),
        (true, false) => "asked no longer".to_owned(),
    }
}

/// What is different between two checks.
fn changes(former: &Value, now: &Value) -> Value {
    let (before, after) = (list(former, "rows"), list(now, "rows"));
    let mut rows = Vec::new();
    for row in &after {
        let was = before.iter().find(|other| key(other) == key(row));
        let (gained, lost) = match was {
            Some(was) => (less(was, row, "missing"), less(row, was, "missing")),
            None => (Vec::new(), Vec::new()),
        };
        if was.is_none() || !gained.is_empty() || !lost.is_empty() {
            rows.push(changed(row, was.map(is_true), Some(is_true(row)), &gained, &lost));
        }
    }
    for row in before.iter().filter(|row| !after.iter().any(|other| key(other) == key(row))) {
        rows.push(changed(row, Some(is_true(row)), None, &[], &[]));
    }
    let what = |check: &Value| -> Vec<Value> {
        list(check, "surplus").iter().filter_map(|held| held.get("what").cloned()).collect()
    };
    let (held_before, held_now) = (what(former), what(now));
    let without = |all: &[Value], others: &[Value]| -> Vec<Value> {
        all.iter().filter(|one| !others.contains(one)).cloned().collect()
    };
    json!({
        "rows": rows,
        "surplusGained": without(&held_now, &held_before),
        "surplusLost": without(&held_before, &held_now),
    })
}

fn changed(row: &Value, was: Option<bool>, now: Option<bool>, gained: &[Value], lost: &[Value]) -> Value {
    let of = |key: &str| row.get(key).cloned().unwrap_or_default();
    json!({
        "set": of("set"), "function": of("function"), "apiGroups": of("apiGroups"), "resources": of("resources"),
        "was": was, "now": now, "gained": gained, "lost": lost,
    })
}

/// What makes a row the same row.
fn key(row: &Value) -> [Option<&Value>; 4] {
    ["set", "function", "apiGroups", "resources"].map(|key| row.get(key))
}

/// What is in one list and not in the other.
fn less(of: &Value, without: &Value, key: &str) -> Vec<Value> {
    let others = list(without, key);
    list(of, key).into_iter().filter(|one| !others.contains(one)).collect()
}

fn list(value: &Value, key: &str) -> Vec<Value> {
    value.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is_true(row: &Value) -> bool {
    row.get("authorized").and_then(Value::as_bool) == Some(true)
}

/// `pods, nodes` or `deployments (apps)`.
fn things(row: &Value) -> String {
    let words = |key: &str| -> Vec<String> {
        list(row, key).iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let groups: Vec<String> = words("apiGroups").into_iter().filter(|group| !group.is_empty()).collect();
    let resources = words("resources").join(", ");
    if groups.is_empty() { resources } else { format!("{resources} ({})", groups.join(", ")) }
}

/// `get pods, list nodes`.
fn rights(list: Option<&Value>) -> String {
    let right = |right: &Value| match text(right, "name") {
        "" => format!("{} {}", text(right, "verb"), text(right, "resource")),
        name => format!("{} {} {name}", text(right, "verb"), text(right, "resource")),
    };
    let all = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().map(right).collect::<Vec<_>>().join(", ")
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= CELL {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(CELL - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(function: &str, missing: &[&str]) -> Value {
        let missing: Vec<Value> =
            missing.iter().map(|verb| json!({"verb": verb, "resource": "pods"})).collect();
        json!({
            "set": "s", "function": function, "apiGroups": [""], "resources": ["pods"],
            "authorized": missing.is_empty(), "missing": missing,
        })
    }

    #[test]
    fn what_changed_is_what_is_not_the_same() {
        let former = json!({
            "rows": [row("same", &["get"]), row("changed", &["get", "list"]), row("gone", &[])],
            "surplus": [{"what": "create pods", "why": "w"}],
        });
        let now = json!({
            "rows": [row("same", &["get"]), row("changed", &["list", "watch"]), row("new", &[])],
            "surplus": [{"what": "get secrets", "why": "w"}],
        });
        let changes = changes(&former, &now);
        let found: Vec<String> = list(&changes, "rows")
            .iter()
            .map(|row| format!("{} {} {}: {}", text(row, "function"), row["was"], row["now"], in_words(row)))
            .collect();
        assert_eq!(
            found,
            [
                "changed false false: now allowed: get pods; no longer allowed: watch pods",
                "new null true: a new row",
                "gone true null: asked no longer",
            ]
        );
        assert_eq!(changes["surplusGained"], json!(["get secrets"]));
        assert_eq!(changes["surplusLost"], json!(["create pods"]));
    }

    #[test]
    fn long_cells_are_cut() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"ä".repeat(100)).chars().count(), CELL);
    }
}
