//! The command line as a whole: its tree, its examples, and commands against a server of a few lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use clap::{Command, FromArgMatches};
use domain::clock::Fixed;
use domain::{Secret, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::environment::Environment;

/// What a command left behind.
struct Ran {
    code: u8,
    out: String,
    err: String,
}

fn environment(server: &str) -> Environment {
    Environment {
        server: Some(server.to_owned()),
        access_key_id: Some("AKEXAMPLE".into()),
        secret_access_key: Some(Secret::new("SKEXAMPLE".into())),
        ..Environment::default()
    }
}

fn run_in(environment: &Environment, stdin: &str, line: &[&str]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let matches = command().try_get_matches_from([&["bailiwick"], line].concat());
    let outcome = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Err(error) => Err(Failure::usage(error.to_string())),
        Ok(cli) => {
            let clock = Fixed::new(Timestamp::from_millis(1_795_293_660_000));
            let mut world = World {
                environment,
                clock: &clock,
                pause: &|pause| clock.advance_seconds(i64::try_from(pause.as_millis()).unwrap()),
                stdin: &mut stdin.as_bytes(),
                stdin_is_terminal: false,
                out: &mut out,
                out_is_terminal: false,
                err: &mut err,
            };
            super::run(cli, &mut world)
        }
    };
    let code = outcome.map_or_else(
        |failure| {
            failure.report(&mut err);
            failure.code()
        },
        |()| 0,
    );
    Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// A server that gives these answers in turn, 41 minutes behind our clock, and returns the requests it saw.
fn server(answers: Vec<(u16, Value)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = std::thread::spawn(move || {
        let answer = |(status, body): (u16, Value)| {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let request = read_request(&mut reader);
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let length = body.len();
            write!(
                &stream,
                "HTTP/1.1 {status} X\r\ndate: Sat, 21 Nov 2026 20:00:00 GMT\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            request
        };
        answers.into_iter().map(answer).collect()
    });
    (address, seen)
}

fn read_request(reader: &mut BufReader<&std::net::TcpStream>) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut text).unwrap(), 0, "cut off: {text}");
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

/// Runs one command against a server that answers so, and gives what it saw.
fn against(answers: Vec<(u16, Value)>, stdin: &str, line: &[&str]) -> (Ran, Vec<String>) {
    let (address, seen) = server(answers);
    let ran = run_in(&environment(&address), stdin, line);
    (ran, seen.join().unwrap())
}

#[test]
fn the_tree_of_commands_is_sound() {
    command().debug_assert();
}

/// Every command without further verbs, with its words.
fn leaves<'c>(command: &'c Command, words: &str, found: &mut Vec<(String, &'c Command)>) {
    let words = format!("{words} {}", command.get_name());
    if command.get_subcommands().next().is_none() {
        found.push((words.trim().to_owned(), command));
    }
    command.get_subcommands().for_each(|child| leaves(child, &words, found));
}

/// The words of an example, up to where the shell takes over.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut in_quotes = false;
    for character in line.chars() {
        match character {
            '\'' => in_quotes = !in_quotes,
            '<' | '>' if !in_quotes => break,
            ' ' if !in_quotes => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_has_examples_and_they_parse() {
    let tree = command();
    let mut found = Vec::new();
    leaves(&tree, "", &mut found);
    found.push(("bailiwick".to_owned(), &tree));
    for (name, leaf) in found {
        let help = leaf.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  bailiwick ")).collect();
        assert!(!examples.is_empty(), "`{name}` has no example");
        for example in examples {
            let example = example.trim();
            assert!(example.starts_with(&name), "`{example}` is no example of `{name}`");
            if let Err(error) = command().try_get_matches_from(words(example)) {
                panic!("{example}\n{error}");
            }
        }
    }
}

#[test]
fn a_misspelt_noun_is_answered_with_the_right_one() {
    let error = command().try_get_matches_from(["bailiwick", "grnat", "list"]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("'grant'"), "{error}");
}

#[test]
fn a_scope_or_a_principal_may_not_be_left_out_or_mixed() {
    for line in [
        "--user a --role viewer --all-clusters",
        "--user a --role viewer --all-namespaces",
        "--role viewer --all-clusters --all-namespaces",
        "--user a --group b --role viewer --all-clusters --all-namespaces",
        "--user a --role viewer --cluster c --all-clusters --all-namespaces",
        "--user a --role viewer --all-clusters -n x --all-namespaces",
    ] {
        let line: Vec<&str> = ["grant", "create"].into_iter().chain(line.split(' ')).collect();
        assert_eq!(run_in(&Environment::default(), "", &line).code, 2, "{line:?}");
    }
}

#[test]
fn an_association_is_named_by_its_service_account_or_by_its_id() {
    let listed = json!({"items": [{"id": "a1"}]});
    let line = ["pod-identity", "delete", "--cluster", "prod", "-n", "shop", "--service-account", "cart"];
    let (ran, seen) = against(vec![(200, listed), (204, Value::Null)], "", &line);
    assert_eq!((ran.code, ran.out.as_str()), (0, "deleted a1\n"), "{}", ran.err);
    let below = "/bailiwick/v1/clusters/prod/pod-identity/associations";
    assert!(seen[0].starts_with(&format!("GET {below}?namespace=shop&serviceAccount=cart ")), "{}", seen[0]);
    assert!(seen[1].starts_with(&format!("DELETE {below}/a1 ")), "{}", seen[1]);
    let (ran, _) = against(vec![(200, json!({"items": []}))], "", &line);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("`shop/cart` has no association"), "{}", ran.err);
    for wrong in [
        &["-n", "shop"][..],
        &["--service-account", "cart"],
        &["-n", "s", "--service-account", "c", "a1"],
        &[],
    ] {
        let line = [&["pod-identity", "delete", "--cluster", "prod"], wrong].concat();
        assert_eq!(run_in(&Environment::default(), "", &line).code, 2, "{wrong:?}");
    }
}

#[test]
fn a_refusal_of_the_server_becomes_exit_code_1_and_its_message() {
    let body =
        json!({"error": {"code": "not_found", "message": "user `eve` does not exist", "requestId": "r-1"}});
    let (ran, seen) = against(vec![(404, body)], "", &["user", "show", "eve/x"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_eq!(ran.err, "error: user `eve` does not exist\n");
    assert!(seen[0].starts_with("GET /bailiwick/v1/users/eve%2Fx HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].contains(
        "authorization: SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=content-type;host;x-sdk-date, "
    ));
    assert!(seen[0].contains("x-sdk-date: 20261121T204100Z\r\n") && !seen[0].contains("SKEXAMPLE"));
}

#[test]
fn a_refused_signature_of_a_wrong_clock_is_said_to_be_that() {
    let body = json!({"error": {"code": "unauthenticated", "message": "the signature is not valid"}});
    let (ran, _) = against(vec![(401, body)], "", &["user", "list"]);
    assert!(ran.code == 1 && ran.err.contains("clock is 41 minutes away from the server's"), "{}", ran.err);
}

#[test]
fn an_answer_that_is_not_ours_is_said_to_be_that() {
    let (ran, _) = against(vec![(502, json!("<html>"))], "", &["user", "list"]);
    assert!(ran.code == 1 && ran.err.contains("answered 502 Bad Gateway"), "{}", ran.err);
    let (ran, _) = against(vec![(200, json!({"users": []}))], "", &["user", "list"]);
    assert!(ran.code == 1 && ran.err.contains("a list without `items`"), "{}", ran.err);
}

#[test]
fn a_server_that_is_not_there_is_named_with_where_the_address_came_from() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = run_in(&environment(&format!("http://{free}")), "", &["user", "list"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains(&format!("cannot connect to `http://{free}`: connection refused")),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("the address comes from BAILIWICK_SERVER; name another"), "{}", ran.err);
}

#[test]
fn without_a_key_nothing_is_sent() {
    let ran = run_in(&Environment::default(), "", &["user", "list"]);
    assert!(ran.code == 2 && ran.err.contains("BAILIWICK_ACCESS_KEY_ID"), "{}", ran.err);
}

#[test]
fn lists_follow_their_pages_to_the_end_or_to_the_limit() {
    let page = |names: &[&str], next: Value| {
        let items: Vec<Value> = names.iter().map(|name| json!({"id": name, "name": name})).collect();
        (200, json!({"items": items, "next": next}))
    };
    let pages = || vec![page(&["a", "b"], json!("c u")), page(&["c"], Value::Null)];
    let (ran, seen) = against(pages(), "", &["user", "list", "-q"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "a\nb\nc\n"));
    assert!(seen[1].starts_with("GET /bailiwick/v1/users?limit=1000&cursor=c%20u "), "{}", seen[1]);
    let (ran, seen) =
        against(vec![page(&["a"], json!("x"))], "", &["key", "list", "--limit", "1", "-o", "json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&ran.out).unwrap(),
        json!({"items": [{"id": "a", "name": "a"}]})
    );
    assert!(seen[0].starts_with("GET /bailiwick/v1/access-keys?limit=1 "), "{}", seen[0]);
}

#[test]
fn a_password_comes_from_standard_input_and_what_was_not_given_is_not_sent() {
    let made = (201, json!({"id": "u1", "name": "ada", "enabled": true}));
    let line = ["user", "create", "--password-stdin", "ada"];
    let (ran, seen) = against(vec![made], "p w\r\n", &line);
    assert!(ran.code == 0 && ran.out.contains("u1"), "{}{}", ran.out, ran.err);
    let body: Value = serde_json::from_str(seen[0].split("\r\n\r\n").last().unwrap()).unwrap();
    assert_eq!(body, json!({"name": "ada", "password": "p w"}));
    let (ran, _) = against(vec![], "\n", &line);
    assert_eq!(ran.code, 2);
}

#[test]
fn quiet_does_not_lose_a_secret_that_is_shown_once() {
    let ran = run_in(&environment("http://127.0.0.1:1"), "", &["key", "create", "ada", "-q"]);
    assert!(ran.code == 2 && ran.err.contains("shown only once"), "{}", ran.err);
}

#[test]
fn waiting_for_a_grant_ends_with_its_states_and_fails_with_a_cluster_that_refused() {
    let grant = |state: &str| {
        let states = json!([{"clusterId": "c1", "state": state, "reason": "", "observedGeneration": 1}]);
        json!({"id": "g1", "name": "n", "generation": 1, "principals": {"type": "user", "ids": ["u1"]}, "states": states})
    };
    let line = [
        "grant",
        "create",
        "--user",
        "ada",
        "--role",
        "viewer",
        "--cluster",
        "prod",
        "--all-namespaces",
        "--wait",
    ];
    let (ran, seen) = against(vec![(201, grant("pending")), (200, grant("effective"))], "", &line);
    assert!(ran.code == 0 && ran.out.contains("c1       effective"), "{}{}", ran.out, ran.err);
    assert!(seen[0].ends_with(
        r#"{"clusters":["prod"],"namespaces":["*"],"principals":{"ids":["ada"],"type":"user"},"role":"viewer"}"#
    ));
    assert!(seen[1].starts_with("GET /bailiwick/v1/grants/g1 "), "{}", seen[1]);
    let (ran, _) = against(vec![(201, grant("failed"))], "", &line);
    assert!(ran.code == 1 && ran.out.contains("failed") && ran.err.contains("failed in `c1`"), "{}", ran.err);
    let waiting = (0..5).map(|_| (200, grant("pending"))).collect();
    let (ran, _) = against(waiting, "", &[&line[..], &["--timeout", "1500"]].concat());
    assert!(ran.code == 1 && ran.err.contains("not in effect after 1500 s"), "{}", ran.err);
}

#[test]
fn call_sends_the_path_raw_and_prints_what_came() {
    let line = ["call", "post", "/a%2Fb//..?x=%7e", "--data", "-", "-H", "X-Project-Id=p", "--include"];
    let (ran, seen) = against(vec![(400, json!({"errorMessage": "no"}))], "{}", &line);
    assert_eq!(ran.code, 1);
    assert!(seen[0].starts_with("POST /a%2Fb//..?x=%7e HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(
        seen[0].contains("SignedHeaders=content-type;host;x-bailiwick-nonce;x-project-id;x-sdk-date,"),
        "{}",
        seen[0]
    );
    assert!(
        ran.out.starts_with("HTTP/1.1 400 ") && ran.out.ends_with(r#"{"errorMessage":"no"}"#),
        "{}",
        ran.out
    );
}

#[test]
fn a_credential_given_as_a_header_replaces_the_signature() {
    let (ran, seen) =
        against(vec![(204, Value::Null)], "", &["call", "DELETE", "/x", "-H", "X-Auth-Token=t"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert!(seen[0].contains("x-auth-token: t") && !seen[0].contains("authorization"), "{}", seen[0]);
    assert!(!seen[0].contains("content-length") && !seen[0].contains("transfer-encoding"), "{}", seen[0]);
}

#[test]
fn a_method_that_carries_a_body_says_that_it_is_empty() {
    let line = ["group", "add-member", "developers", "ada"];
    let (ran, seen) = against(vec![(204, Value::Null)], "", &line);
    assert_eq!((ran.code, ran.out.as_str()), (0, "added ada to developers\n"));
    assert!(seen[0].starts_with("PUT /bailiwick/v1/groups/developers/members/ada "), "{}", seen[0]);
    assert!(seen[0].contains("content-length: 0\r\n"), "{}", seen[0]);
}

#[test]
fn a_printed_call_is_signed_or_signs_and_never_holds_the_secret() {
    let environment = environment("https://a.example:8470");
    let line = ["call", "POST", "/x?b=1&a=2", "--data", r#"{"it's": "@é"}"#, "--print"];
    let curl = run_in(&environment, "", &[&line[..], &["curl"]].concat());
    assert!(curl.code == 0 && curl.out.contains(r#"--data-raw '{"it'\''s": "@é"}'"#), "{}", curl.out);
    assert!(curl.out.contains("Signature=") && curl.out.ends_with("'https://a.example:8470/x?b=1&a=2'\n"));
    let python = run_in(&environment, "", &[&line[..], &["python"]].concat());
    assert!(python.out.contains(r#"BODY = "{\"it's\": \"@é\"}".encode()"#), "{}", python.out);
    assert!(python.out.contains(r#"    "host": "a.example:8470","#), "{}", python.out);
    assert!(!curl.out.contains("SKEXAMPLE") && !python.out.contains("SKEXAMPLE"));
}

#[test]
fn an_export_is_one_event_a_line_and_follows_the_pages() {
    let first = json!({"items": [{"id": "1"}, {"id": "2"}], "next": "c"});
    let last = json!({"items": [{"id": "3"}]});
    let line = ["audit", "export", "--since", "2026-11-21T00:00:00Z"];
    let (ran, seen) = against(vec![(200, first), (200, last)], "", &line);
    assert_eq!((ran.code, ran.out.as_str()), (0, "{\"id\":\"1\"}\n{\"id\":\"2\"}\n{\"id\":\"3\"}\n"));
    assert!(seen[0].starts_with("GET /bailiwick/v1/audit-events?since="), "{}", seen[0]);
    assert!(seen[1].contains("cursor=c"), "{}", seen[1]);
}

#[test]
fn health_is_ok_or_a_failure_that_says_what_the_server_answered() {
    let (ran, seen) = against(vec![(200, json!({"status": "ok"}))], "", &["health"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok\n"));
    assert!(seen[0].starts_with("GET /readyz "), "{}", seen[0]);
    let (ran, _) = against(vec![(503, json!({"error": "x"}))], "", &["health"]);
    assert!(ran.code == 1 && ran.err.contains("is not ready: it answered 503"), "{}", ran.err);
    let nobody = run_in(&environment("http://127.0.0.1:1"), "", &["health"]);
    assert!(nobody.code == 1 && nobody.err.contains("connection refused"), "{}", nobody.err);
}

#[test]
fn completion_scripts_know_the_nouns() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run_in(&Environment::default(), "", &["completion", shell]);
        assert!(ran.code == 0 && ran.out.contains("enterprise-project"), "{shell}");
    }
    assert_eq!(run_in(&Environment::default(), "", &["completion", "powershell"]).code, 2);
}

#[test]
fn a_removal_that_does_not_end_names_what_is_left_and_how_to_give_it_up() {
    let binding = json!({"kind": "RoleBinding", "namespace": "shop", "name": "bailiwick:viewer:1"});
    let removal = |state: &str| json!({"id": "c1", "state": state, "reason": "it does not answer", "remaining": [binding]});
    let line = ["cluster", "remove", "one", "--timeout", "1"];
    let (late, seen) = against(vec![(200, removal("revoking")), (200, removal("revoking"))], "", &line);
    assert_eq!((late.code, late.out.as_str()), (1, ""));
    for said in ["RoleBinding shop/bailiwick:viewer:1", "it does not answer", "cluster remove c1 --abandon"] {
        assert!(late.err.contains(said), "{}", late.err);
    }
    assert!(seen[0].starts_with("DELETE /bailiwick/v1/clusters/one?mode=revoke "), "{}", seen[0]);
    assert!(seen[1].starts_with("GET /bailiwick/v1/clusters/c1/removal "), "{}", seen[1]);

    let gone = json!({"id": "c1", "state": "done", "reason": "", "remaining": []});
    let (done, _) = against(vec![(200, removal("revoking")), (200, gone)], "", &line);
    assert_eq!((done.code, done.out.as_str()), (0, "deleted one\n"));
    let (ran, seen) =
        against(vec![(200, removal("revoking"))], "", &["cluster", "remove", "one", "--no-wait"]);
    assert!(ran.code == 0 && ran.out.contains("shop/bailiwick:viewer:1"), "{}", ran.out);
    assert_eq!(seen.len(), 1);
    let certified = json!({"id": "c1", "state": "done", "reason": "", "remaining": [binding], "certificates": ["ada:0a1b"]});
    let (ran, _) = against(vec![(200, certified)], "", &["cluster", "remove", "one", "--abandon"]);
    assert!(ran.code == 0 && ran.out.contains("1 client certificates work there until that is deleted"));
    assert!(ran.out.contains("  ada:0a1b"), "{}", ran.out);
    let both = ["cluster", "remove", "one", "--abandon", "--keep-bindings"];
    assert_eq!(run_in(&Environment::default(), "", &both).code, 2);
}

#[test]
fn a_rotation_needs_a_connection_and_replaces_only_when_told_to() {
    let environment = environment("http://127.0.0.1:1");
    assert_eq!(run_in(&environment, "", &["cluster", "rotate", "one"]).code, 2);
    let same = json!({"outcome": "same", "cluster": {"id": "c1"}, "remaining": []});
    let line = ["cluster", "rotate", "one", "--kubeconfig", "-"];
    let (ran, seen) = against(vec![(200, same)], "K", &line);
    assert!(ran.code == 0 && ran.out.contains("grants stay in effect"), "{}", ran.out);
    assert!(seen[0].starts_with("PUT /bailiwick/v1/clusters/one/connection "), "{}", seen[0]);
    assert!(seen[0].ends_with(r#"{"kubeconfig":"K"}"#), "{}", seen[0]);
    let replaced = json!({"outcome": "replaced", "cluster": {"id": "c1"}, "command": "kubectl delete x",
        "remaining": [{"kind": "ClusterRoleBinding", "name": "b"}]});
    let (ran, seen) = against(vec![(200, replaced)], "K", &[&line[..], &["--replace"]].concat());
    for said in ["ClusterRoleBinding b", "deleted by: kubectl delete x", "bailiwick cluster resume one"] {
        assert!(ran.out.contains(said), "{}", ran.out);
    }
    assert!(seen[0].ends_with(r#"{"kubeconfig":"K","replace":true}"#), "{}", seen[0]);
}

#[test]
fn an_update_sends_what_was_given_and_nothing_else() {
    let shown = || json!({"id": "c1", "login": "users arrive as `x`"});
    let line = ["cluster", "update", "one", "--user-name-template", "{name}", "--no-bind-group-members"];
    let (ran, seen) = against(vec![(200, shown())], "", &line);
    assert!(ran.code == 0 && ran.out.contains("users arrive as `x`"), "{}", ran.out);
    assert!(
        seen[0].ends_with(r#"{"groupMembers":"as-presented","userNameTemplates":["{name}"]}"#),
        "{}",
        seen[0]
    );
    let (_, seen) = against(vec![(200, shown())], "", &["cluster", "update", "one", "--label", "a=b"]);
    assert!(seen[0].ends_with(r#"{"labels":{"a":"b"}}"#), "{}", seen[0]);
}

fn not_found() -> (u16, Value) {
    (404, json!({"error": {"code": "not_found", "message": "`x` does not exist"}}))
}

#[test]
fn a_history_is_that_of_a_grant_else_of_a_user_else_of_an_agency() {
    let place = json!({"cluster": "c1", "namespace": "shop"});
    let past = json!({"revision": 42, "at": "2026-11-21T20:00:00Z", "actorName": "root", "dialect": "native",
        "added": [], "removed": [{"place": place, "role": "viewer"}], "permissions": []});
    let page = || (200, json!({"items": [past]}));
    let (ran, seen) = against(vec![not_found(), page(), page()], "", &["grant", "history", "Ada L"]);
    assert!(ran.code == 0 && ran.out.contains("42") && ran.out.contains("viewer c1/shop"), "{}", ran.out);
    assert!(seen[0].starts_with("GET /bailiwick/v1/grants/Ada%20L/history?limit=1 "), "{}", seen[0]);
    assert!(
        seen[2].starts_with("GET /bailiwick/v1/users/Ada%20L/permissions/history?limit=1000 "),
        "{}",
        seen[2]
    );
    let restored = (200, json!({"permissions": [{"place": place, "role": "viewer"}]}));
    let answers = vec![not_found(), not_found(), page(), restored];
    let (ran, seen) = against(answers, "", &["grant", "restore", "backup", "41"]);
    assert!(ran.code == 0 && ran.out.contains("c1       shop"), "{}{}", ran.out, ran.err);
    assert!(
        seen[3].starts_with("POST /bailiwick/v1/agencies/backup/permissions/history/41/restore "),
        "{}",
        seen[3]
    );
    let (ran, _) = against(vec![not_found(), not_found(), not_found()], "", &["grant", "history", "x"]);
    assert!(ran.code == 1 && ran.err.contains("the id of no grant"), "{}", ran.err);
    // A refusal is no reason to look elsewhere.
    let refused = (403, json!({"error": {"code": "forbidden", "message": "no"}}));
    let (ran, _) = against(vec![refused], "", &["grant", "history", "x"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "error: no\n"));
}

#[test]
fn each_way_in_which_something_is_held_is_a_line() {
    let through = json!([
        {"grant": "g1", "grantName": "n", "kind": "group", "group": {"id": "q", "name": "ops"}, "actor": "u9"},
        {"grant": "g2", "grantName": "m", "kind": "direct"}
    ]);
    let row = json!({"place": {"cluster": null, "namespace": null}, "role": "viewer", "owner": false, "through": through});
    let held = || (200, json!({"holder": {"id": "u1"}, "complete": false, "items": [row]}));
    let (ran, seen) = against(vec![held()], "", &["user", "permissions", "ada"]);
    assert!(seen[0].starts_with("GET /bailiwick/v1/users/ada/permissions "), "{}", seen[0]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines.len() == 3 && lines[1].contains("group ops") && lines[2].contains("direct"), "{}", ran.out);
    assert!(lines[1].starts_with("*        *          viewer"), "{}", ran.out);
    assert!(ran.err.contains("there may be more"), "{}", ran.err);
    let (ran, _) = against(vec![held()], "", &["user", "permissions", "ada", "-q"]);
    assert_eq!(ran.out, "g1\ng2\n");
}

#[test]
fn an_absent_scope_is_no_scope_and_all_is_said_as_null() {
    let done = || (200, json!({"permissions": []}));
    let line = ["user", "add-permission", "ada", "--role", "viewer", "--all-clusters", "--all-namespaces"];
    let (ran, seen) = against(vec![done()], "", &line);
    assert_eq!((ran.code, ran.err.as_str()), (0, "no direct permissions\n"));
    assert!(
        seen[0].ends_with(
            r#"{"change":"add","permissions":[{"place":{"cluster":null,"namespace":null},"role":"viewer"}]}"#
        ),
        "{}",
        seen[0]
    );
    for scope in
        [&["--all-clusters"][..], &["--all-clusters", "-n", "shop"], &["--cluster", "c", "--all-clusters"]]
    {
        let line = [&["agency", "remove-permission", "a", "--role", "viewer"], scope].concat();
        assert_eq!(run_in(&Environment::default(), "", &line).code, 2, "{line:?}");
    }
    let line = ["agency", "clean", "a", "--cluster", "one", "--cluster", "two", "--force"];
    let (ran, seen) = against(vec![(204, Value::Null)], "", &line);
    assert_eq!((ran.code, ran.out.as_str()), (0, "a holds nothing any more there\n"));
    assert!(seen[0].starts_with("DELETE /bailiwick/v1/agencies/a/permissions?cluster=one%2Ctwo&force=true "));
}
