//! Which crate may know which: the arrows of ARCHITECTURE.md, and who may hold a heavy dependency.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository::{assert_none, manifest, members, read};

/// The arrows. A crate that is not here may not exist; a dependency that is not here may not be.
const ARROWS: [(&str, &[&str]); 13] = [
    ("domain", &[]),
    ("policy", &["domain"]),
    ("rbac", &["domain"]),
    ("store", &["domain"]),
    ("podidentity", &["domain"]),
    ("signing", &["domain"]),
    ("der", &[]),
    ("service", &["der", "domain", "podidentity", "policy", "rbac", "store"]),
    ("api", &["domain", "podidentity", "service"]),
    ("fleet", &["domain", "podidentity", "rbac", "service"]),
    // In clusters: no database, and no cloud.
    ("agent", &["der", "domain", "podidentity", "signing"]),
    ("bailiwick", &["api", "domain", "fleet", "rbac", "service", "signing", "store"]),
    // Measures from outside, but for what costs too little to be seen there.
    ("benches", &["agent", "api", "domain", "podidentity", "service", "store"]),
];

/// Arrows of tests alone: they need a database to open the door over, and `store` has throw-away ones.
const ARROWS_OF_TESTS: [(&str, &str); 2] = [("api", "store"), ("fleet", "store")];

/// Dependencies that only some crates may have, and why.
const RESTRICTED: [(&str, &[&str], &str); 10] = [
    ("sqlx", &["benches", "store"], "SQL is written in one place, and measured against a bare client"),
    ("axum", &["agent", "benches"], "the agent's few routes, and what our own dispatch is measured against"),
    ("hyper", &["agent", "api"], "each program has one listener with its limits"),
    (
        "hyper-rustls",
        &["agent", "fleet"],
        "clusters are reached through the guarded connector; the agent reaches its own only",
    ),
    ("tower", &["fleet"], "only the guarded connector needs it"),
    ("kube", &["fleet"], "clusters are touched in one place"),
    ("k8s-openapi", &["fleet"], "clusters are touched in one place"),
    ("ureq", &["bailiwick"], "only the command line calls servers, and what sends traces"),
    ("clap", &["agent", "bailiwick"], "only programs have arguments"),
    ("getrandom", &["bailiwick"], "randomness is a parameter everywhere else"),
];

/// Crates that decide and do nothing else.
const PURE: [&str; 6] = ["der", "domain", "podidentity", "policy", "rbac", "signing"];

/// What a crate that only decides has no use for: tasks, sockets, files, logs, chance.
const IMPURE: [&str; 12] = [
    "tokio",
    "futures",
    "hyper",
    "hyper-util",
    "http",
    "http-body-util",
    "rustls",
    "sqlx",
    "tempfile",
    "tracing",
    "ureq",
    "getrandom",
];

/// What a crate depends on, and in which table of its manifest.
fn dependencies(manifest: &toml::Table) -> Vec<(String, String, toml::Value)> {
    let mut found = Vec::new();
    for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let entries = manifest.get(table).and_then(toml::Value::as_table).cloned().unwrap_or_default();
        found.extend(entries.into_iter().map(|(name, value)| (table.to_owned(), name, value)));
    }
    found
}

fn all() -> BTreeMap<String, toml::Table> {
    members().into_iter().map(|(name, folder)| (name, manifest(&format!("{folder}/Cargo.toml")))).collect()
}

fn names(manifest: &toml::Table) -> BTreeSet<String> {
    dependencies(manifest).into_iter().map(|(_, name, _)| name).collect()
}

/// What the tests of a crate need and the crate itself does not.
fn names_for_tests(manifest: &toml::Table) -> BTreeSet<String> {
    let all = dependencies(manifest);
    let of = |dev: bool| all.iter().filter(move |(table, _, _)| (table == "dev-dependencies") == dev);
    let own: BTreeSet<&str> = of(false).map(|(_, name, _)| name.as_str()).collect();
    of(true).map(|(_, name, _)| name.clone()).filter(|name| !own.contains(name.as_str())).collect()
}

/// Arrows of `name` to `found` that are not drawn; those to `for_tests` may be among the arrows of tests.
fn missing_arrows(
    name: &str,
    found: &BTreeSet<String>,
    for_tests: &BTreeSet<String>,
    members: &BTreeSet<String>,
) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name} is not drawn in the architecture")];
    };
    let of_tests = |to: &str| for_tests.contains(to) && ARROWS_OF_TESTS.contains(&(name, to));
    let drawn = |to: &str| allowed.contains(&to) || of_tests(to);
    let arrows = found.intersection(members).filter(|to| !drawn(to));
    arrows.map(|to| format!("{name} → {to}")).collect()
}

fn held_wrongly(name: &str, found: &BTreeSet<String>) -> Vec<String> {
    let wrong = RESTRICTED.iter().filter(|(what, who, _)| found.contains(*what) && !who.contains(&name));
    wrong
        .map(|(what, who, why)| format!("{name} has {what}, which is for {}: {why}", who.join(", ")))
        .collect()
}

#[test]
fn crates_know_each_other_only_along_the_arrows() {
    let manifests = all();
    let members = manifests.keys().cloned().collect();
    let missing = |(name, manifest): (&String, &toml::Table)| {
        missing_arrows(name, &names(manifest), &names_for_tests(manifest), &members)
    };
    let breaches: Vec<String> = manifests.iter().flat_map(missing).collect();
    assert_none("arrows that are not in the architecture", &breaches);
}

#[test]
fn an_arrow_around_the_door_would_be_found() {
    let members = BTreeSet::from(["api", "domain", "store"].map(str::to_owned));
    let found = BTreeSet::from(["domain", "store", "serde"].map(str::to_owned));
    let (none, store) = (BTreeSet::new(), BTreeSet::from(["store".to_owned()]));
    assert_eq!(missing_arrows("api", &found, &none, &members), ["api → store"]);
    assert!(missing_arrows("api", &found, &store, &members).is_empty(), "for its tests alone it may");
    assert_eq!(missing_arrows("newcomer", &found, &none, &members).len(), 1);
}

#[test]
fn heavy_dependencies_stay_where_they_belong() {
    let breaches: Vec<String> =
        all().iter().flat_map(|(name, manifest)| held_wrongly(name, &names(manifest))).collect();
    assert_none("dependencies in the wrong crate", &breaches);
    assert_eq!(held_wrongly("api", &BTreeSet::from(["sqlx".to_owned()])).len(), 1, "the search finds one");
}

#[test]
fn crates_that_decide_do_no_io() {
    let manifests = all();
    let mut breaches = Vec::new();
    for name in PURE {
        let impure = names(&manifests[name]).into_iter().filter(|found| IMPURE.contains(&found.as_str()));
        breaches.extend(impure.map(|found| format!("{name} has {found}")));
    }
    assert_none("crates that decide must not be able to do", &breaches);
}

#[test]
fn versions_stand_in_the_workspace_and_nowhere_else() {
    let mut breaches = Vec::new();
    for (name, manifest) in all() {
        for (table, dependency, value) in dependencies(&manifest) {
            let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            if !inherited {
                breaches
                    .push(format!("{name}, {table}: {dependency} must be `{dependency}.workspace = true`"));
            }
        }
    }
    assert_none("versions outside the workspace's table", &breaches);
}

#[test]
fn every_crate_is_under_the_workspaces_lints() {
    let follows = |manifest: &toml::Table| {
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        lints.and_then(toml::Value::as_bool) == Some(true)
    };
    let breaches: Vec<String> =
        all().iter().filter(|(_, manifest)| !follows(manifest)).map(|(name, _)| name.clone()).collect();
    assert_none("crates without `[lints] workspace = true`", &breaches);
    assert!(!follows(&"[package]\nname = 'x'".parse().unwrap()), "the search finds one");
}

#[test]
fn every_dependency_of_the_workspace_is_used_and_has_its_reason_written_down() {
    let workspace = manifest("Cargo.toml");
    let table = workspace["workspace"]["dependencies"].as_table().unwrap();
    let used: BTreeSet<String> = all().values().flat_map(names).collect();
    let reasons = read("docs/adr/0003-dependencies.md");
    let mut breaches = Vec::new();
    for (name, _) in table.iter().filter(|(_, value)| value.get("path").is_none()) {
        if !used.contains(name) {
            breaches.push(format!("{name} is in the workspace's table and no crate uses it"));
        }
        if !reasons.contains(&format!("| `{name}` |")) {
            breaches.push(format!("{name} has no row in docs/adr/0003-dependencies.md"));
        }
    }
    assert_none("dependencies without use or reason", &breaches);
}
