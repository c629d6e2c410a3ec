//! `bailiwick check-config`: what it says about settings, files and a database, and that it changes none of them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

struct Case {
    what: &'static str,
    file: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    code: i32,
    says: &'static [&'static str],
}

const GOOD: Case = Case { what: "", file: "", arguments: &[], environment: &[], code: 0, says: &[] };

/// Texts may name the test's folder as `{}`.
const CASES: [Case; 17] = [
    Case {
        what: "nothing is set",
        says: &[
            "listen 127.0.0.1:8470 default",
            "ok only this machine reaches the server",
            "ok the first start makes a master key",
            "cce.policy_types current: CCEAdminPolicy is operator, CCEClusterAdminPolicy is administrator default",
            "ack.max_rows 5000: permissions of one user in an answer or a request default",
        ],
        ..GOOD
    },
    Case {
        what: "a flag wins over a variable, a variable over the file",
        file: "listen = '127.0.0.1:1'\ndata_dir = '/nowhere'\naudit.retention_days = 7\ngrants.custom_role_growth = 'follow'\n[cce]\npolicy_types = '2025-08'\n\
               [ack]\nmax_removed_per_replace = 9",
        arguments: &["--listen", "127.0.0.1:3"],
        environment: &[("BAILIWICK_LISTEN", "127.0.0.1:2"), ("BAILIWICK_METRICS_LISTEN", "127.0.0.1:9")],
        says: &[
            "listen 127.0.0.1:3 --listen",
            "metrics_listen 127.0.0.1:9 BAILIWICK_METRICS_LISTEN",
            "audit.retention_days 7 file",
            "grants.custom_role_growth follow file",
            "CCEClusterAdminPolicy is operator file",
            "ack.max_removed_per_replace 9: replacing that would take away more is refused file",
        ],
        ..GOOD
    },
    Case {
        what: "an unknown key",
        file: "\nlisen = 'x'",
        code: 1,
        says: &["config.toml line 2", "lisen"],
        ..GOOD
    },
    Case { what: "a flag that is none", arguments: &["--lisen", "x"], code: 2, says: &["--lisen"], ..GOOD },
    Case {
        what: "a file that is not there",
        arguments: &["--config", "{}/none.toml"],
        code: 1,
        says: &["none.toml"],
        ..GOOD
    },
    Case {
        what: "an open address without TLS",
        arguments: &["--listen", "0.0.0.0:8470"],
        code: 1,
        says: &["--insecure-plain-http"],
        ..GOOD
    },
    Case {
        what: "the same by intention",
        arguments: &["--listen", "0.0.0.0:8470", "--insecure-plain-http"],
        says: &[
            "warning other machines reach the server without TLS",
            "insecure_plain_http yes --insecure-plain-http",
        ],
        ..GOOD
    },
    Case {
        what: "a certificate that is not there",
        arguments: &["--tls-cert", "{}/none.crt", "--tls-key", "{}/none.key"],
        code: 1,
        says: &["problem", "none.crt"],
        ..GOOD
    },
    Case {
        what: "a readable master key",
        arguments: &[],
        environment: &[("BAILIWICK_MASTER_KEY_FILE", "{}/open.key")],
        code: 1,
        says: &["problem", "chmod 600", "BAILIWICK_MASTER_KEY_FILE"],
        ..GOOD
    },
    Case {
        what: "a master key in the environment",
        environment: &[("BAILIWICK_MASTER_KEY", KEY)],
        says: &["master_key BAILIWICK_MASTER_KEY", "ok master key ", " is given"],
        ..GOOD
    },
    Case {
        what: "no place for a master key",
        environment: &[("HOME", ""), ("XDG_CONFIG_HOME", "")],
        code: 1,
        says: &["BAILIWICK_MASTER_KEY_FILE"],
        ..GOOD
    },
    Case {
        what: "a database that nobody answers at",
        arguments: &["--database", "postgres://u:hunter2@127.0.0.1:1/b"],
        code: 1,
        says: &["problem the database does not answer"],
        ..GOOD
    },
    Case {
        what: "a database elsewhere without TLS",
        arguments: &["--database", "postgres://u:hunter2@db.invalid/b"],
        code: 1,
        says: &["sslmode=verify-full"],
        ..GOOD
    },
    Case {
        what: "a parameter of the database that nobody knows",
        arguments: &["--database", "postgres://u@127.0.0.1:1/b?sslpassword=hunter2"],
        code: 1,
        says: &["a parameter that is not known"],
        ..GOOD
    },
    Case {
        what: "a folder of what was seen, where the database is copied back",
        file: "data_dir = '/nowhere/data'",
        arguments: &["--seen-dir", "/nowhere/data/seen"],
        code: 1,
        says: &["seen_dir /nowhere/data/seen --seen-dir", "problem", "must not be in the data folder"],
        ..GOOD
    },
    Case {
        what: "a folder of what was seen",
        environment: &[("BAILIWICK_SEEN_DIR", "{}/seen")],
        says: &["/seen BAILIWICK_SEEN_DIR", "/seen is to remember how far the database had come"],
        ..GOOD
    },
    Case {
        what: "a filter of logs that is none",
        environment: &[("BAILIWICK_LOG", "info,=,[")],
        says: &["warning BAILIWICK_LOG is not understood"],
        ..GOOD
    },
];

fn check(folder: &Path, case: &Case) -> (i32, String) {
    let here = |text: &str| text.replace("{}", folder.to_str().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.env_clear().env("HOME", folder).current_dir(folder).arg("check-config");
    if !case.file.is_empty() {
        fs::write(folder.join("config.toml"), case.file).unwrap();
        command.args(["--config", "config.toml"]);
    }
    command.args(case.arguments.iter().map(|text| here(text)));
    command.envs(case.environment.iter().map(|(name, value)| (name, here(value))));
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    // Columns are as wide as they have to be.
    let words: Vec<&str> = std::str::from_utf8(&said).unwrap().split_whitespace().collect();
    (output.status.code().unwrap(), words.join(" "))
}

#[test]
fn everything_that_would_keep_a_server_from_starting_is_said_before_it_starts() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("open.key"), KEY).unwrap();
        fs::set_permissions(folder.path().join("open.key"), Permissions::from_mode(0o644)).unwrap();
        let (code, said) = check(folder.path(), &case);
        assert_eq!(code, case.code, "{}: {said}", case.what);
        for text in case.says {
            assert!(said.contains(text), "{}: `{text}` in {said}", case.what);
        }
        assert!(!said.contains("hunter2") && !said.contains(KEY), "{}: {said}", case.what);
        assert!(!folder.path().join("bailiwick-data").exists(), "{}: it makes nothing", case.what);
        assert!(!folder.path().join(".config").exists(), "{}: it makes nothing", case.what);
    }
}
