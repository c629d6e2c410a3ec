//! The repository's files, as the tests of this folder read them.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the repository.
pub(crate) struct File {
    /// Its path from the repository's root, with `/`.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

impl File {
    /// Whether all of it is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    /// Whether it is one of the files that name what is forbidden in order to look for it.
    pub(crate) fn is_of_this_folder(&self) -> bool {
        self.path.starts_with("crates/bailiwick/tests/it/")
    }

    /// The text without what follows `#[cfg(test)] mod … {`: test modules stand last.
    pub(crate) fn without_tests(&self) -> &str {
        without_tests(&self.text)
    }
}

pub(crate) fn without_tests(text: &str) -> &str {
    let begins = |at: &usize| {
        let rest = text.split_at(*at).1;
        let mut lines = rest.lines().skip(1).skip_while(|line| line.starts_with("#["));
        lines.next().is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    let end = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at).find(begins);
    end.map_or(text, |at| text.split_at(at).0)
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// One file, which must be there.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below `folder` whose names end with `.extension`, in order.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<File> {
    let mut found = Vec::new();
    collect(&root().join(folder), extension, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "{folder} holds no .{extension}: the test looks in the wrong place");
    found
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push(File { path: relative, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

/// Every Rust file of every member of the workspace.
pub(crate) fn rust_sources() -> Vec<File> {
    [files("benches", "rs"), files("crates", "rs")].into_iter().flatten().collect()
}

/// A manifest.
pub(crate) fn manifest(path: &str) -> toml::Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every member of the workspace: its name and its folder.
pub(crate) fn members() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| root().join("crates").join(name).join("Cargo.toml").is_file())
        .map(|name| (name.clone(), format!("crates/{name}")))
        .collect();
    found.push(("benches".to_owned(), "benches".to_owned()));
    found.sort();
    found
}

/// Fails with all breaches at once: who mends one should see the others too.
pub(crate) fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}\n", breaches.join("\n  "));
}

#[test]
fn a_test_module_at_the_end_is_cut_off_and_one_in_a_file_of_its_own_is_not() {
    let inline = "//! x\nfn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
    assert_eq!(without_tests(inline), "//! x\nfn a() {}\n");
    let elsewhere = "fn a() {}\n#[cfg(test)]\n#[path = \"x_tests.rs\"]\nmod tests;\n";
    assert_eq!(without_tests(elsewhere), elsewhere);
}
