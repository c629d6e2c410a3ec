//! The corpus of kubeconfigs: each is accepted or refused as `docs/kubeconfigs.md` says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use service::clusters::connection::AddressPolicy;
use service::clusters::connection::kubeconfig::parse;

// Self-signed, made by openssl for this test alone: a certificate of a P-256 key, one of the same key whose time was over in
// 2020, one of an RSA key, and the keys; a key of nobody; and a pair whose curve the TLS library does not know.
const EC: &str = include_str!("pairs/ec.pem");
const EC_KEY: &str = include_str!("pairs/ec-key.pem");
const EXPIRED: &str = include_str!("pairs/expired.pem");
const OTHER_KEY: &str = include_str!("pairs/other-key.pem");
const RSA: &str = include_str!("pairs/rsa.pem");
const RSA_KEY: &str = include_str!("pairs/rsa-key.pem");
const P521: &str = include_str!("pairs/p521.pem");
const P521_KEY: &str = include_str!("pairs/p521-key.pem");

/// What no refusal may repeat.
const SECRET: &str = "hunter2";

fn pem(kind: &str, body: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(body))
}

fn certificate() -> String {
    STANDARD.encode(pem("CERTIFICATE", SECRET.as_bytes()))
}

fn token() -> String {
    format!("token: {SECRET}")
}

fn pair(certificate: &str, key: &str) -> String {
    let (certificate, key) = (STANDARD.encode(certificate), STANDARD.encode(key));
    format!(
        "client-certificate-data: {certificate}
client-key-data: {key}"
    )
}

fn at(server: &str) -> String {
    format!("server: {server}\ncertificate-authority-data: {}", certificate())
}

fn plain() -> String {
    at("https://k8s.example:6443")
}

/// A kubeconfig whose current `cluster` and `user` hold these lines.
fn kubeconfig(cluster: &str, user: &str) -> String {
    let indented = |lines: &str| lines.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context:\n    cluster: k\n    user: u\n\
         clusters:\n- name: k\n  cluster:\n{}users:\n- name: u\n  user:\n{}",
        indented(cluster),
        indented(user)
    )
}

fn good() -> String {
    kubeconfig(&plain(), &token())
}

fn json() -> String {
    format!(
        r#"{{"current-context":"c","contexts":[{{"name":"c","context":{{"cluster":"k","user":"u"}}}}],"clusters":[{{"name":"k",
        "cluster":{{"server":"https://k8s.example","certificate-authority-data":"{}"}}}}],"users":[{{"name":"u","user":
        {{"token":"{SECRET}"}}}}]}}"#,
        certificate()
    )
}

fn cluster_and(lines: &str) -> String {
    kubeconfig(&format!("{}\n{lines}", plain()), &token())
}

fn user(lines: &str) -> String {
    kubeconfig(&plain(), lines)
}

fn token_and(lines: &str) -> String {
    user(&format!("{}\n{lines}", token()))
}

fn of_server(server: &str) -> String {
    kubeconfig(&at(server), &token())
}

fn accepted() -> Vec<(&'static str, String)> {
    let other = "- name: other\n  context: {cluster: elsewhere, user: nobody}\nclusters:\n";
    let two = good().replace("clusters:\n", other);
    let chain = STANDARD.encode([pem("CERTIFICATE", b"a"), pem("CERTIFICATE", b"b")].concat());
    vec![
        ("a token", good()),
        ("a client certificate and its key", user(&pair(EC, EC_KEY))),
        ("a client certificate and its RSA key", user(&pair(RSA, RSA_KEY))),
        ("a client certificate with its chain", user(&pair(&format!("{EC}{RSA}"), EC_KEY))),
        ("the same as JSON", json()),
        (
            "another context that runs a program",
            format!("{two}- name: nobody\n  user: {{exec: {{command: {SECRET}}}}}\n"),
        ),
        ("two contexts, one of them current", two),
        (
            "unknown keys at the top and in contexts",
            format!("{}more: 1\n", good()).replace("    user: u\n", "    user: u\n    x: 1\n"),
        ),
        (
            "`preferences` and `extensions`",
            format!("{}preferences: {{colors: true}}\n", cluster_and("extensions: []")),
        ),
        ("`disable-compression`", cluster_and("disable-compression: true")),
        ("`insecure-skip-tls-verify: false`", cluster_and("insecure-skip-tls-verify: false")),
        ("an IPv6 address", of_server("https://[2a00::1]:6443")),
        ("a path behind the port", of_server("https://k8s.example:6443/k8s/clusters/c-1")),
        ("`tls-server-name`", cluster_and("tls-server-name: kubernetes.default")),
        ("an expired client certificate", user(&pair(EXPIRED, EC_KEY))),
        (
            "a chain of authorities",
            kubeconfig(
                &format!("server: https://k8s.example\ncertificate-authority-data: {chain}"),
                &token(),
            ),
        ),
        ("a comment with letters beyond ASCII", format!("{}# für später ☸\n", good())),
    ]
}

fn refused_as_a_whole() -> Vec<(&'static str, String)> {
    let doubled = format!("{}\n    {}", token(), token());
    vec![
        ("nothing", String::new()),
        ("a word", SECRET.to_owned()),
        ("a list", format!("- {SECRET}\n")),
        ("YAML that breaks off", format!("{}x: [{SECRET}\n", good())),
        ("an anchor", good().replace(&token(), &format!("token: &a {SECRET}"))),
        ("an anchor bomb", format!("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n{}", good())),
        ("a merge key", good().replace(&token(), &format!("<<: {{{}}}", token()))),
        ("a key twice", good().replace(&token(), &doubled)),
        ("two documents", format!("{}---\n{}", good(), good())),
        ("nesting without end", format!("{}x: {}{}\n", good(), "[".repeat(5000), "]".repeat(5000))),
        ("more than 256 KiB", format!("{}# {}\n", good(), SECRET.repeat(40_000))),
        ("no current context", good().replace("current-context: c\n", "")),
        (
            "a current context that is not there",
            good().replace("current-context: c", &format!("current-context: {SECRET}")),
        ),
        (
            "two contexts of the same name",
            good().replace("clusters:\n", "- name: c\n  context: {cluster: k, user: x}\nclusters:\n"),
        ),
        ("no clusters", good().replace("- name: k\n", "- name: x\n")),
        ("no users", good().replace("- name: u\n", "- name: x\n")),
    ]
}

fn refused_for_the_cluster() -> Vec<(&'static str, String)> {
    let authority = |data: &str| {
        kubeconfig(&format!("server: https://k8s.example\ncertificate-authority-data: {data}"), &token())
    };
    vec![
        (
            "a cluster without a server",
            kubeconfig(&format!("certificate-authority-data: {}", certificate()), &token()),
        ),
        ("an http server", of_server("http://k8s.example:6443")),
        ("a server with a user in it", of_server(&format!("https://a:{SECRET}@k8s.example"))),
        ("a server with a query", of_server(&format!("https://k8s.example?{SECRET}"))),
        ("a server written as one number", of_server("https://2130706433")),
        ("the metadata address of a cloud", of_server("https://169.254.169.254")),
        ("the metadata address as IPv6", of_server("https://[::ffff:100.100.100.200]")),
        ("a loopback address", of_server("https://127.0.0.1:6443")),
        ("a multicast address", of_server("https://224.0.0.1")),
        ("no authority", kubeconfig("server: https://k8s.example", &token())),
        ("an authority in a file", cluster_and(&format!("certificate-authority: /{SECRET}.pem"))),
        ("an authority that is not base64", authority(&format!("\"{SECRET}!\""))),
        (
            "an authority that is not UTF-8",
            authority(&STANDARD.encode(b"\xff\xfe-----BEGIN CERTIFICATE-----")),
        ),
        ("`insecure-skip-tls-verify: true`", cluster_and("insecure-skip-tls-verify: true")),
        ("a proxy", cluster_and(&format!("proxy-url: http://{SECRET}"))),
        ("an unknown key in the cluster", cluster_and(&format!("{SECRET}: 1"))),
        ("a server name with a slash", cluster_and(&format!("tls-server-name: {SECRET}/"))),
    ]
}

fn refused_for_the_user() -> Vec<(&'static str, String)> {
    let locked = pem("ENCRYPTED PRIVATE KEY", SECRET.as_bytes());
    let (no_certificate, no_key) =
        (pem("CERTIFICATE", SECRET.as_bytes()), pem("EC PRIVATE KEY", SECRET.as_bytes()));
    vec![
        ("no credential", user("{}")),
        ("a token and a certificate", token_and(&pair(EC, EC_KEY))),
        ("a certificate without a key", user(&format!("client-certificate-data: {}", certificate()))),
        ("a key without a certificate", user(&format!("client-key-data: {}", STANDARD.encode(EC_KEY)))),
        ("a key of another certificate", user(&pair(EC, OTHER_KEY))),
        ("a chain whose first certificate is another's", user(&pair(&format!("{RSA}{EC}"), EC_KEY))),
        ("a certificate that is none", user(&pair(&no_certificate, EC_KEY))),
        ("a key that is none", user(&pair(EC, &no_key))),
        ("a key of a kind that is not supported", user(&pair(P521, P521_KEY))),
        ("a key that is encrypted", user(&pair(EC, &locked))),
        (
            "a certificate and a key in files",
            user(&format!("client-certificate: /{SECRET}\nclient-key: /{SECRET}")),
        ),
        ("a token in a file", user(&format!("tokenFile: /{SECRET}"))),
        ("a token with a line break", user(&format!("token: \"{SECRET}\\nX: y\""))),
        ("a program", user(&format!("exec: {{command: {SECRET}}}"))),
        ("an auth provider", token_and(&format!("auth-provider: {{name: {SECRET}}}"))),
        ("a password", user(&format!("username: a\npassword: {SECRET}"))),
        ("another identity", token_and(&format!("as: {SECRET}"))),
        ("groups of another identity", token_and(&format!("as-groups: [{SECRET}]"))),
        ("an unknown key in the user", token_and(&format!("{SECRET}: 1"))),
    ]
}

/// The rows of the document: what a kubeconfig is, to what its refusal says; nothing for one that is accepted.
fn documented() -> BTreeMap<String, Option<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kubeconfigs.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            [what, "accepted", ""] => ((*what).to_owned(), None),
            [what, "refused", says] if !says.is_empty() => ((*what).to_owned(), Some((*says).to_owned())),
            other => panic!("not a row: {other:?}"),
        }
    };
    rows.map(row).collect()
}

/// What becomes of a kubeconfig: the text of its refusal, if it is one.
fn refusal(text: &str) -> Option<String> {
    let error = match parse("kubeconfig", text) {
        Ok(connection) => {
            let refused = AddressPolicy::default().check_literal(&connection.server).err()?;
            return Some(refused.to_string());
        }
        Err(error) => error,
    };
    let printed = format!("{error} {error:?}");
    assert!(!printed.contains(SECRET), "{printed}");
    Some(error.to_string())
}

#[test]
fn every_kubeconfig_of_the_corpus_is_accepted_or_refused_as_the_document_says() {
    let documented = documented();
    let corpus: Vec<(&str, String)> =
        [accepted(), refused_as_a_whole(), refused_for_the_cluster(), refused_for_the_user()].concat();
    let made: BTreeSet<&str> = corpus.iter().map(|(what, _)| *what).collect();
    let said: BTreeSet<&str> = documented.keys().map(String::as_str).collect();
    assert_eq!(made, said, "the corpus and the document name the same");
    assert!(corpus.len() >= 60 && corpus.len() == made.len());
    let mut wrong = Vec::new();
    for (what, text) in &corpus {
        match (refusal(text), &documented[*what]) {
            (None, None) => {}
            (Some(refusal), Some(says)) if refusal.contains(says.as_str()) => {}
            (refusal, expected) => wrong.push(format!("{what}: {refusal:?}, documented {expected:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
