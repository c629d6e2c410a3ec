//! The examples of `docs/policies.md`, and the policies that the dialects ship (`policies/` in their folders): each is
//! in order, and those that are shipped give what their rows in `index.json` say over the actions in `actions.json`.
//! Nothing here knows which dialects there are.

#![allow(
    clippy::allow_attributes,
    reason = "clippy sees tests by their attribute and not the functions that they share"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says where"
)]

use std::fs;
use std::path::{Path, PathBuf};

use policy::{Context, Document, Effect, Grammar, Request, Resource, effect};
use serde_json::Value;

/// The folders of the dialects that ship policies.
fn folders() -> Vec<PathBuf> {
    let dialects = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/src/dialects");
    let entries = fs::read_dir(dialects).unwrap().map(|entry| entry.unwrap().path().join("policies"));
    let mut found: Vec<PathBuf> = entries.filter(|folder| folder.is_dir()).collect();
    found.sort();
    assert!(!found.is_empty(), "no dialect ships policies: the test looks in the wrong place");
    found
}

fn rows(folder: &Path, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}/{file}: {error}", folder.display()))
}

fn text<'v>(row: &'v Value, key: &str) -> &'v str {
    row[key].as_str().unwrap_or_else(|| panic!("{row} has no text `{key}`"))
}

fn texts<'v>(row: &'v Value, key: &str) -> Vec<&'v str> {
    let list = row[key].as_array().unwrap_or_else(|| panic!("{row} has no list `{key}`"));
    list.iter().map(|entry| entry.as_str().unwrap()).collect()
}

fn document(folder: &Path, row: &Value) -> Document {
    let name = text(row, "name");
    let content = fs::read_to_string(folder.join(text(row, "file"))).unwrap();
    Document::parse(name, &content, &Grammar::ATTACHED).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// An operation by all names of its action, on every resource and with every value of its keys.
fn everywhere(action: &Value) -> Request {
    let resource = match action["resource"].as_str() {
        None => Resource::none(),
        Some(kind) => Resource::new(["s", "region", "account", kind, ""]).every(),
    };
    let mut context = Context::new();
    for key in texts(action, "keys") {
        context.every(key.trim_end_matches("<tag-key>"));
    }
    let request = Request::new(text(action, "action"), resource, context);
    texts(action, "aliases").into_iter().fold(request, Request::also_called)
}

/// Whether a policy should allow an action, by their rows.
fn should_allow(policy: &Value, action: &Value) -> bool {
    let (service, name) = (text(policy, "service"), text(action, "action"));
    let is_its_own = service == "*" || name.split(':').next() == Some(service);
    let gives = match (text(policy, "access"), text(action, "level")) {
        ("full", "list" | "read" | "write" | "permission_management" | "tagging") => true,
        ("read", "list" | "read") => true,
        ("read", "write" | "permission_management" | "tagging") => false,
        other => panic!("{other:?} for {name}"),
    };
    let left_out = |without: &str| match without.strip_suffix(":*") {
        Some(service) => name.split(':').next() == Some(service),
        None => without == name,
    };
    is_its_own && gives && !texts(policy, "without").into_iter().any(left_out)
}

#[test]
fn every_policy_that_is_shipped_is_in_order_and_listed_once() {
    for folder in folders() {
        let index = rows(&folder, "index.json");
        let mut listed: Vec<&str> = index.iter().map(|row| text(row, "file")).collect();
        let mut names: Vec<&str> = index.iter().map(|row| text(row, "name")).collect();
        for row in &index {
            assert!(document(&folder, row).problems().is_empty());
        }
        let tables = ["actions.json", "free.json", "index.json", "keys.json"].map(str::to_owned);
        let there =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut there: Vec<String> = there.filter(|name| !tables.contains(name)).collect();
        there.sort();
        listed.sort_unstable();
        assert_eq!(there, listed, "{}", folder.display());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), index.len(), "names are given once");
    }
}

#[test]
fn full_access_is_full_and_read_access_changes_nothing() {
    for folder in folders() {
        let actions = rows(&folder, "actions.json");
        assert!(actions.len() > 10, "{}", folder.display());
        for row in rows(&folder, "index.json") {
            let policy = document(&folder, &row);
            for action in &actions {
                let allowed = effect(&[&policy], &everywhere(action)) == Effect::Allow;
                assert_eq!(allowed, should_allow(&row, action), "{}: {action}", policy.name());
            }
        }
    }
}

#[test]
fn no_action_is_listed_twice() {
    for folder in folders() {
        let actions = rows(&folder, "actions.json");
        let mut names: Vec<String> = actions.iter().map(|row| text(row, "action").to_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), actions.len(), "{}", folder.display());
    }
}

/// The documents among the blocks of a text.
fn examples(text: &str) -> Vec<&str> {
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("json\n"));
    blocks.filter(|block| block.contains("\"Version\"")).collect()
}

#[test]
fn every_example_in_the_documentation_is_in_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies.md");
    let documentation = fs::read_to_string(path).unwrap();
    let examples = examples(&documentation);
    for example in &examples {
        let trust = example.contains("\"Principal\"");
        let grammars: &[Grammar] = if trust { &Grammar::TRUST } else { &Grammar::ATTACHED };
        if let Err(error) = Document::parse("example", example, grammars) {
            panic!("{example}: {error}");
        }
    }
    assert!(examples.len() >= 5, "only {} examples found", examples.len());
}
