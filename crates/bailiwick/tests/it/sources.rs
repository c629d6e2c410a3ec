//! What every Rust file keeps to: how it opens, how long it is, what it is called, and which words stay where.

use crate::repository::{File, assert_none, rust_sources};

/// The most lines of a file, test modules aside.
const MAX_LINES: usize = 600;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 10] =
    ["common", "helper", "helpers", "impl", "manager", "misc", "shared", "types", "util", "utils"];

/// Vendors' words that are long enough to be nothing else.
const LONG_WORDS: [&str; 3] = ["huawei", "alibaba", "aliyun"];

/// Vendors' words that are parts of other words, so that only whole ones count.
const SHORT_WORDS: [&str; 3] = ["cce", "ack", "hss"];

/// Where vendors' words may stand.
const DIALECTS: &str = "crates/api/src/dialects/";

/// What speaks to the server as the vendors' clients do.
const FROM_OUTSIDE: [&str; 2] = ["crates/api/tests/", "benches/"];

/// Texts elsewhere that must hold a vendor's word, and why.
const EXCEPTIONS: [(&str, &str, &str); 22] = [
    ("crates/api/src/dialects/mod.rs", "huawei::CHECKED_ROWS", "names the folder"),
    ("crates/api/src/dialects/mod.rs", "mod alibaba", "names the folder"),
    ("crates/api/src/dialects/mod.rs", "(\"alibaba\", alibaba::actions", "names the folder"),
    ("crates/api/src/dialects/mod.rs", "huawei::SHIPPED", "names the folder"),
    ("crates/api/src/dialects/mod.rs", "alibaba::SHIPPED", "names the folder"),
    ("crates/api/src/dialects/mod.rs", "(\"huawei\", huawei::actions", "names the folder"),
    ("crates/api/src/dialects/mod.rs", "mod huawei", "names the folder"),
    ("crates/api/src/dialects/mod.rs", "alibaba::Alibaba::new", "names the folder"),
    ("crates/api/src/dialects/settings.rs", "huawei", "names the folder"),
    ("crates/api/src/dialects/settings.rs", "alibaba", "names the folder and a section"),
    ("crates/api/src/dialects/settings.rs", "cce", "names a section"),
    ("crates/api/src/dialects/settings.rs", "hss", "names a section"),
    ("crates/api/src/dialects/settings.rs", "ack", "names a section"),
    ("crates/api/src/dialects/mod.rs", "huawei::Huawei::new", "names the folder"),
    ("crates/api/src/authn/access_key_tests.rs", "huaweicloud-usdk-python", "a recorded request"),
    ("crates/api/src/authn/access_key_tests.rs", "cce.example.com", "a recorded request"),
    ("crates/api/src/authn/access_key_tests.rs", "CCEViewPolicy", "a recorded request"),
    (
        "crates/api/src/authn/access_key_tests.rs",
        "CCEClusterAdminPolicy",
        "a recorded request, changed by an attacker",
    ),
    ("crates/api/src/authn/canonical.rs", "huaweicloud-usdk-python", "a recorded request"),
    ("crates/api/src/authn/canonical.rs", "cce.example.com", "a recorded request"),
    ("crates/bailiwick/src/serve/settings.rs", "[cce]\\npolicy_type = 'x'", "a section of the settings file"),
    (
        "crates/bailiwick/src/serve/settings.rs",
        "[cce]\\npolicy_types = 'x'",
        "a section of the settings file",
    ),
];

/// What only SQL looks like. Upper case, because that is how statements are written here.
const SQL: [&str; 8] = [
    "SELECT ",
    "INSERT INTO ",
    "UPDATE revision",
    " SET n = ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "PRAGMA ",
    "ON CONFLICT",
];

/// `path:line` of each line of `text` for which `is_breach` holds.
fn lines(path: &str, text: &str, is_breach: impl Fn(&str) -> bool) -> Vec<String> {
    let numbered = text.lines().enumerate().filter(|(_, line)| is_breach(line));
    numbered.map(|(at, line)| format!("{path}:{}: {}", at + 1, line.trim())).collect()
}

/// The words of a line: `CCEAdminPolicy` is `cce`, `admin`, `policy`.
fn words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in line.split(|c: char| !c.is_ascii_alphanumeric()) {
        let letters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (at, letter) in letters.iter().enumerate() {
            let after_lower = at > 0 && !letters[at - 1].is_ascii_uppercase();
            let before_lower = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
            if letter.is_ascii_uppercase() && (after_lower || before_lower) && !word.is_empty() {
                found.push(std::mem::take(&mut word));
            }
            word.push(letter.to_ascii_lowercase());
        }
        found.push(word);
    }
    found
}

fn has_vendor_word(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    LONG_WORDS.iter().any(|word| lower.contains(word))
        || words(line).iter().any(|word| SHORT_WORDS.contains(&word.as_str()))
}

fn without_exceptions(file: &File) -> String {
    let mut text = file.text.clone();
    for (_, phrase, _) in EXCEPTIONS.iter().filter(|(path, _, _)| *path == file.path) {
        text = text.replace(phrase, "");
    }
    text
}

#[test]
fn vendors_words_stay_in_the_folders_of_their_dialects() {
    let mut breaches = Vec::new();
    let outside = |file: &File| FROM_OUTSIDE.iter().any(|folder| file.path.starts_with(folder));
    let others = |file: &&File| !file.is_of_this_folder() && !outside(file);
    for file in rust_sources().iter().filter(others) {
        let folder = file.path.strip_prefix(DIALECTS).and_then(|rest| rest.split_once('/'));
        match folder {
            Some(("native", _)) | None => {
                breaches.extend(lines(&file.path, &without_exceptions(file), has_vendor_word));
            }
            Some(_) => {}
        }
    }
    assert_none("vendors' words outside their dialects' folders", &breaches);
}

#[test]
fn vendors_words_are_found_in_every_spelling_and_not_inside_other_words() {
    for line in
        ["CCEAdminPolicy", "a cce cluster", "HuaweiCloud", "crate::cce::x", "X-Aliyun-Y", "AckRole", "hss_v5"]
    {
        assert!(has_vendor_word(line), "{line}");
    }
    for line in ["success", "the accent", "backtrack", "accepts", "acknowledged"] {
        assert!(!has_vendor_word(line), "{line}");
    }
}

#[test]
fn every_exception_is_still_needed() {
    let files = rust_sources();
    let needed =
        |path: &str, phrase: &str| files.iter().any(|file| file.path == path && file.text.contains(phrase));
    let dead = EXCEPTIONS.iter().filter(|(path, phrase, _)| !needed(path, phrase));
    let breaches: Vec<String> = dead.map(|(path, phrase, _)| format!("{path}: {phrase}")).collect();
    assert_none("exceptions that nothing needs any more", &breaches);
}

#[test]
fn sql_is_written_in_one_crate() {
    let is_sql =
        |line: &str| SQL.iter().any(|word| line.contains(word)) && !line.trim_start().starts_with("//");
    // A test may look into the database to see what a use case left there, and the store is measured against a client
    // that has nothing but SQL; the program may not.
    let is_peer = |file: &File| file.path.starts_with("benches/");
    let elsewhere =
        |file: &&File| !file.path.starts_with("crates/store/") && !file.is_test() && !is_peer(file);
    let breaches: Vec<String> = rust_sources()
        .iter()
        .filter(elsewhere)
        .flat_map(|file| lines(&file.path, &file.text, is_sql))
        .collect();
    assert_none("SQL outside the store", &breaches);
    assert!(is_sql(r#"sqlx::query("SELECT id FROM grants")"#), "the search finds one");
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    let says = |text: &str| text.starts_with("//! ");
    let silent = rust_sources().into_iter().filter(|file| !says(&file.text));
    let breaches: Vec<String> = silent.map(|file| file.path).collect();
    assert_none("files that do not open with `//!`", &breaches);
    assert!(!says("use std::fmt;\n"), "the search finds one");
}

#[test]
fn no_file_is_longer_than_a_reader_holds() {
    let length = |file: &File| file.without_tests().lines().count();
    let long = rust_sources().into_iter().filter(|file| length(file) > MAX_LINES);
    let breaches: Vec<String> = long.map(|file| format!("{}: {} lines", file.path, length(&file))).collect();
    assert_none("files over 600 lines: two nouns in one file?", &breaches);
}

/// The modules that a file is and declares.
fn modules(file: &File) -> Vec<String> {
    let steps =
        file.path.trim_end_matches(".rs").split('/').skip_while(|step| *step != "src" && *step != "tests");
    let declared = file.text.lines().filter_map(|line| {
        let rest = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        rest.strip_prefix("mod ").map(|name| name.trim_end_matches([';', '{', ' ']))
    });
    steps.chain(declared).map(str::to_owned).collect()
}

#[test]
fn modules_are_named_for_a_noun() {
    let empty = |name: &String| EMPTY_NAMES.contains(&name.as_str());
    let mut breaches = Vec::new();
    for file in rust_sources() {
        breaches
            .extend(modules(&file).into_iter().filter(empty).map(|name| format!("{}: {name}", file.path)));
    }
    assert_none("module names that say nothing", &breaches);
    let sample = File { path: "crates/x/src/utils.rs".into(), text: "pub(crate) mod helpers;\n".into() };
    assert_eq!(modules(&sample).iter().filter(|name| empty(name)).count(), 2, "the search finds both");
}

#[test]
fn what_is_left_to_do_is_an_issue_and_not_a_comment() {
    let forgotten = |line: &str| {
        let marked = ["TODO", "FIXME", "XXX", "HACK"].iter().any(|mark| line.contains(mark));
        marked && !line.contains("https://")
    };
    let others = |file: &&File| !file.is_of_this_folder();
    let breaches: Vec<String> = rust_sources()
        .iter()
        .filter(others)
        .flat_map(|file| lines(&file.path, &file.text, forgotten))
        .collect();
    assert_none("notes without a link to their issue", &breaches);
    assert!(forgotten("// TODO: later") && !forgotten("// TODO(https://example.com/1): later"));
}

/// Use cases that need no right: they tell a caller only what its credential says anyway, or give no more than what they
/// have in hand. `authorize` asks as soon as it is about anybody else.
const UNASKED: [&str; 12] = [
    "authorize",
    // Asks for nothing: which rights count is how the server is set.
    "call_of_member",
    "change_own_password",
    // That there is a cluster and how it stands is for everybody of its account, where a vendor asks for no right.
    "cluster_of_members_account",
    "clusters_of_members_account",
    // Of a cluster of one's own account: a dialect asks for no right.
    "check_cluster_as_member",
    "issue_temporary_key",
    // Of oneself without a right.
    "list_permissions",
    // Of what was listed.
    "permissions_said",
    // Of a text that the caller has in hand; why it is refused is told to those only who might import it.
    "read_kubeconfig_of_member",
    "rescope_token",
    // Of clusters that were found by the two above.
    "standing_of_members_clusters",
];

/// Public functions of the door that act for somebody, with the first statements of their bodies.
fn use_cases(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("    pub async fn ").chain(text.match_indices("    pub fn ")) {
        let rest = text.split_at(at + mark.len()).1;
        let Some((signature, body)) = rest.split_once(" {\n") else { continue };
        if signature.contains("call: &Call") {
            let name = signature.split(['(', '<']).next().unwrap_or_default().to_owned();
            found.push((name, body.lines().take(3).collect::<Vec<_>>().join("\n")));
        }
    }
    found
}

/// Whether the beginning of a body asks for the right, or leaves it to another use case with the same call.
fn asks(body: &str) -> bool {
    let delegates = body.lines().next().is_some_and(|first| {
        first.contains("self.") && (first.contains("(call)") || first.contains("(call, "))
    });
    let first = ["authz::require(call, ", "let right = authz::require_somewhere(call, "];
    let asked = |line: &str| first.iter().any(|words| line.trim_start().starts_with(words));
    let require = body.lines().position(asked);
    let only_names_before =
        |count: usize| body.lines().take(count).all(|line| line.trim_start().starts_with("let action = "));
    require.is_some_and(only_names_before) || delegates
}

#[test]
fn every_use_case_asks_for_the_right_before_anything_else() {
    let mut count = 0;
    let mut breaches = Vec::new();
    for file in
        rust_sources().iter().filter(|file| file.path.starts_with("crates/service/src/") && !file.is_test())
    {
        for (name, body) in use_cases(file.without_tests()) {
            count += 1;
            if !asks(&body) && !UNASKED.contains(&name.as_str()) {
                breaches.push(format!("{}: {name}", file.path));
            }
        }
    }
    assert_none("use cases whose first statement is not `authz::require`", &breaches);
    assert!(count > 20, "only {count} use cases found: the search looks in the wrong place");
}

#[test]
fn a_use_case_that_forgets_to_ask_would_be_found() {
    let text = "    pub async fn peek(&self, call: &Call, id: &str) -> Result<()> {\n        let mut tx = self.store.read().await?;\n";
    let found = use_cases(text);
    assert_eq!(found.len(), 1);
    assert!(!asks(&found[0].1));
    assert!(asks("        let action = x(kind);\n        authz::require(call, &action)?;\n"));
    assert!(asks("        let list = self.list_grants(call).await?;\n"));
    assert!(asks("        let right = authz::require_somewhere(call, \"a\")?;\n"));
    assert!(!asks("        let x = compute();\n        authz::require(call, \"a\")?;\n"));
}
