//! What the documents claim: links lead somewhere, command lines are understood, tests that prove something exist,
//! settings are all listed.

use std::collections::BTreeSet;
use std::process::Command;

use crate::repository::{File, assert_none, files, manifest, read, root, rust_sources};

/// The documents of the project.
fn documents() -> Vec<File> {
    let of_root = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];
    let mut found: Vec<File> =
        of_root.into_iter().map(|path| File { path: path.to_owned(), text: read(path) }).collect();
    found.extend(files("docs", "md"));
    found.extend(files("deploy", "md"));
    found
}

/// The targets of `[text](target)` that name files of this repository.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let local = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    local.map(|target| target.split('#').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_link_between_documents_leads_to_a_file() {
    let mut breaches = Vec::new();
    for document in documents() {
        let path = root().join(&document.path);
        let folder = path.parent().unwrap();
        let broken = links(&document.text).into_iter().filter(|target| !folder.join(target).exists());
        breaches.extend(broken.map(|target| format!("{}: {target}", document.path)));
    }
    assert_none("links to files that are not there", &breaches);
    assert_eq!(
        links("see [x](a/b.md#c), [y](https://e.example) and [z](#d)"),
        ["a/b.md"],
        "the search finds it"
    );
}

/// The lines of shell blocks that run `bailiwick`, with continuation lines joined.
fn command_lines(text: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    let blocks = blocks.map(|block| block.replace("\\\n", " "));
    let mut found = Vec::new();
    for block in blocks {
        let lines = block.lines().map(|line| line.trim_start().trim_start_matches("$ "));
        found.extend(lines.filter(|line| line.starts_with("bailiwick ")).map(str::to_owned));
    }
    found
}

/// The words of a command as a shell would split them, as far as the documents need it. Ends at a comment, a pipe or
/// a redirection.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | '>' | '<' | '#' | '&') if word.is_none() => return words,
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// With `--help` at the end nothing is done, but every word before it must be understood.
fn is_understood(line: &str) -> bool {
    let words = shell_words(line);
    let output =
        Command::new(env!("CARGO_BIN_EXE_bailiwick")).args(words.iter().skip(1)).arg("--help").output();
    output.unwrap().status.success()
}

#[test]
fn every_command_line_in_the_documents_is_understood() {
    let mut breaches = Vec::new();
    let mut count = 0;
    for document in documents() {
        for line in command_lines(&document.text) {
            count += 1;
            if !is_understood(&line) {
                breaches.push(format!("{}: {line}", document.path));
            }
        }
    }
    assert_none("command lines that the program does not understand", &breaches);
    assert!(count > 5, "only {count} command lines found: the search looks in the wrong place");
}

#[test]
fn a_command_line_that_is_not_understood_would_be_found() {
    assert_eq!(
        shell_words("bailiwick call GET '/a b' -i | jq ."),
        ["bailiwick", "call", "GET", "/a b", "-i"]
    );
    for line in ["bailiwick frobnicate", "bailiwick grant frob", "bailiwick grant list --frob"] {
        assert!(!is_understood(line), "{line}");
    }
    assert!(is_understood("bailiwick grant list"));
}

/// Names in backticks that look like tests.
fn named_tests(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| {
        word.matches('_').count() >= 2
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    quoted.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_test_that_the_threats_rely_on_exists() {
    let document = read("docs/threats.md");
    let rust: String = rust_sources().into_iter().map(|file| file.text).collect();
    let python: String = files("e2e", "py").into_iter().map(|file| file.text).collect();
    let exists =
        |name: &String| rust.contains(&format!("fn {name}(")) || python.contains(&format!("def {name}("));
    let named = named_tests(&document);
    let breaches: Vec<String> = named.iter().filter(|name| !exists(name)).cloned().collect();
    assert_none("docs/threats.md relies on tests that do not exist", &breaches);
    assert!(named.len() > 30, "only {} tests named: the search looks in the wrong place", named.len());
    assert!(!exists(&"a_test_that_nobody_wrote".to_owned()), "the search finds one");
}

/// Environment variables of ours that a text names in full.
fn variables(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let candidates = text.split(|c| !is_part(c)).filter(|word| word.starts_with("BAILIWICK_"));
    candidates.filter(|word| !word.ends_with('_')).map(str::to_owned).collect()
}

#[test]
fn every_setting_is_in_the_readme() {
    let readme = read("README.md");
    let listed = variables(&readme);
    let mut named = BTreeSet::new();
    for path in ["crates/bailiwick/src/environment.rs", "crates/bailiwick/src/serve/mod.rs"] {
        named.extend(variables(&read(path)));
    }
    let breaches: Vec<String> = named.difference(&listed).cloned().collect();
    assert_none("settings that the README does not list", &breaches);
    assert!(named.len() > 20, "only {} variables found: the search looks in the wrong place", named.len());
}

#[test]
fn the_licence_of_the_crates_is_the_one_of_the_repository() {
    let workspace = manifest("Cargo.toml");
    assert_eq!(workspace["workspace"]["package"]["license"].as_str(), Some("Apache-2.0"));
    let text = read("LICENSE");
    assert!(text.contains("Apache License") && text.contains("Version 2.0, January 2004"));
    assert!(text.contains("END OF TERMS AND CONDITIONS"), "the whole text");
}
