//! `docs/actions.md` is made of the authorization tables. If it is out of date, the test writes it anew and fails, so
//! that whoever changed a table sees what the readers will see.

use std::fmt::Write;
use std::path::Path;

use api::actions::{Action, Actions, Bound};
use api::operation::Operation;

use crate::actions::{served, tables};

const INTRODUCTION: &str = "\
# Actions

Which action each operation asks for: the words that [policies](policies.md) allow and deny by. This file is made of the
tables beside the dialects (`crates/api/src/dialects/*`); `cargo test -p api` writes it anew when they change, and fails
once. The same rows are served: `GET /v5/authorization-schemas/services/{service_code}`, and the field
`x-bailiwick-action` of each operation in `/bailiwick/v1/openapi.json`.

An action under a vendor's name and the action of ours beside it are one right: whoever is denied either is denied both.
`resource` is the type that a policy may narrow the action to, with `*` if every request has one; an action without is
given only by statements on all resources. A key that is not listed counts as absent. Where `from` is not `documented`, the
vendor's documents are silent and the name follows its others.
";

/// A document with two tables for each dialect that is served, and one of what is not.
fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    let (tables, served) = (tables(), served());
    for (dialect, rows) in &served {
        let actions = &tables[dialect];
        write!(text, "\n## Operations: {dialect}\n\n").unwrap();
        text.push_str(
            "| operation | action | also | level | resource | keys | ours | from |\n|---|---|---|---|---|---|---|---|\n",
        );
        let mut lines: Vec<String> =
            rows.iter().filter_map(|row| Some(line(&spelling(row), bound(actions, row)?))).collect();
        lines.sort();
        text.push_str(&lines.concat());
        write!(text, "\n## Operations without an action: {dialect}\n\n| operation | why |\n|---|---|\n")
            .unwrap();
        for free in actions.free().iter().filter(|free| !free.later) {
            writeln!(text, "| `{}` | {} |", free.operation, free.why).unwrap();
        }
    }
    text.push_str(
        "\n## Condition keys\n\n| key | what it tells | values | in every action |\n|---|---|---|---|\n",
    );
    for key in tables.values().flat_map(Actions::keys) {
        let values = if key.multi { format!("{}, several", key.value_type) } else { key.value_type.clone() };
        let global = if key.global { "yes" } else { "no" };
        writeln!(text, "| `{}` | {} | {values} | {global} |", key.key, key.fact).unwrap();
    }
    text.push_str("\n## Not served by this version\n\nPolicies may name these actions already.\n\n");
    text.push_str(
        "| operation | action | also | level | resource | keys | ours | from |\n|---|---|---|---|---|---|---|---|\n",
    );
    for action in tables.values().flat_map(Actions::rows).filter(|action| action.later) {
        for operation in &action.operations {
            text.push_str(&line(operation, action));
        }
    }
    text
}

fn bound<'a>(actions: &'a Actions, row: &Operation) -> Option<&'a Action> {
    match actions.of(row) {
        Bound::To(action) => Some(action),
        Bound::Free(_) | Bound::Nothing => None,
    }
}

fn spelling(row: &Operation) -> String {
    format!("{} {}", row.method, row.path)
}

fn line(operation: &str, action: &Action) -> String {
    let resource = match (&action.resource, action.resource_required) {
        (None, _) => "-".to_owned(),
        (Some(kind), true) => format!("{kind} *"),
        (Some(kind), false) => kind.clone(),
    };
    format!(
        "| `{operation}` | `{}` | {} | {} | {resource} | {} | {} | {} |\n",
        action.action,
        quoted(&action.aliases),
        action.level.as_str(),
        quoted(&action.keys),
        quoted(action.native.as_slice()),
        action.source,
    )
}

fn quoted(names: &[String]) -> String {
    match names {
        [] => "-".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn the_document_of_actions_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/actions.md");
    let current = document();
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    if written != current {
        std::fs::write(&path, current).unwrap();
        panic!("docs/actions.md was out of date and has been written anew: read what changed and commit it");
    }
}
