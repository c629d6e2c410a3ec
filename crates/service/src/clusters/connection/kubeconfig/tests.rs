//! Every refusal of a kubeconfig, as a table.

use super::*;

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn certificate() -> String {
    base64("-----BEGIN CERTIFICATE-----\nMIIhunter2\n-----END CERTIFICATE-----\n")
}

fn key() -> String {
    base64("-----BEGIN EC PRIVATE KEY-----\nMIIhunter2\n-----END EC PRIVATE KEY-----\n")
}

/// A certificate and its key.
fn pair() -> (String, String) {
    (
        base64(include_str!("../../../../tests/it/pairs/ec.pem")),
        base64(include_str!("../../../../tests/it/pairs/ec-key.pem")),
    )
}

/// A kubeconfig whose `cluster` and `user` hold these lines.
fn kubeconfig(cluster: &str, user: &str) -> String {
    let indented = |lines: &str| lines.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "apiVersion: v1\nkind: Config\npreferences: {{colors: true}}\ncurrent-context: c\n\
         contexts:\n- name: c\n  context:\n    cluster: k\n    user: u\n    namespace: team-a\n\
         - name: other\n  context:\n    cluster: elsewhere\n    user: nobody\n\
         clusters:\n- name: k\n  cluster:\n{}users:\n- name: u\n  user:\n{}\
         - name: nobody\n  user:\n    exec:\n      command: rm\n",
        indented(cluster),
        indented(user)
    )
}

fn good_cluster() -> String {
    format!("server: https://k8s.example:6443\ncertificate-authority-data: {}", certificate())
}

fn message(text: &str) -> String {
    let error = parse("kubeconfig", text).map(|_| ()).expect_err(text);
    assert_eq!(error.field(), Some("kubeconfig"), "{text}");
    let printed = format!("{error} {error:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
    error.to_string()
}

#[test]
fn a_token_or_a_client_certificate_is_taken_over_and_nothing_else() {
    let connection = parse("kubeconfig", &kubeconfig(&good_cluster(), "token: hunter2")).unwrap();
    assert_eq!(connection.server, "https://k8s.example:6443");
    assert!(connection.ca_pem.unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(matches!(connection.credential, Credential::Token(t) if t.expose() == "hunter2"));

    let (own, its_key) = pair();
    let user = format!("client-certificate-data: {own}\nclient-key-data: {its_key}");
    let cluster = format!("{}\ntls-server-name: kubernetes.default", good_cluster());
    let connection = parse("kubeconfig", &kubeconfig(&cluster, &user)).unwrap();
    assert_eq!(connection.tls_server_name.as_deref(), Some("kubernetes.default"));
    let Credential::Certificate { key_pem, .. } = connection.credential else { panic!("a certificate") };
    assert!(key_pem.expose().starts_with("-----BEGIN EC PRIVATE KEY-----"));
}

#[test]
fn json_is_read_like_yaml_and_empty_values_have_no_power() {
    let text = format!(
        r#"{{"kind":"Config","current-context":"c","contexts":[{{"name":"c","context":{{"cluster":"k","user":"u"}}}}],
        "clusters":[{{"name":"k","cluster":{{"server":"https://10.0.0.1","certificate-authority-data":"{}",
        "insecure-skip-tls-verify":false}}}}],"users":[{{"name":"u","user":{{"token":"t","exec":null}}}}]}}"#,
        certificate()
    );
    assert_eq!(parse("kubeconfig", &text).unwrap().server, "https://10.0.0.1:443");
}

#[test]
fn what_gives_power_over_this_server_is_refused_by_the_name_of_its_key() {
    let user = |lines: &str| kubeconfig(&good_cluster(), lines);
    let token_and = |lines: &str| user(&format!("token: hunter2\n{lines}"));
    let cluster_and = |lines: &str| kubeconfig(&format!("{}\n{lines}", good_cluster()), "token: hunter2");
    for (text, named) in [
        (user("exec:\n  command: hunter2"), "`user.exec`"),
        (token_and("exec: {command: hunter2}"), "`user.exec`"),
        (token_and("auth-provider: {name: hunter2}"), "`user.auth-provider`"),
        (user("client-certificate: /hunter2.pem\nclient-key: /k"), "`user.client-certificate`"),
        (token_and("client-key: /hunter2.pem"), "`user.client-key`"),
        (token_and("tokenFile: /etc/hunter2"), "`user.tokenFile`"),
        (token_and("as: hunter2"), "`user.as`"),
        (token_and("as-uid: hunter2"), "`user.as-uid`"),
        (token_and("as-groups: [hunter2]"), "`user.as-groups`"),
        (token_and("as-user-extra: {a: [hunter2]}"), "`user.as-user-extra`"),
        (user("username: admin\npassword: hunter2"), "`user.username`"),
        (user("password: hunter2"), "`user.password`"),
        (token_and("hunter2: 1"), "keys in `user`"),
        (cluster_and("certificate-authority: /hunter2.pem"), "`cluster.certificate-authority`"),
        (cluster_and("proxy-url: http://hunter2"), "`cluster.proxy-url`"),
        (cluster_and("insecure-skip-tls-verify: true"), "`cluster.insecure-skip-tls-verify: true`"),
        (cluster_and("hunter2: 1"), "keys in `cluster`"),
        (cluster_and("tls-server-name: hunter2/"), "`cluster.tls-server-name`"),
    ] {
        assert!(message(&text).contains(named), "{named}: {}", message(&text));
    }
    assert!(
        message(&token_and("tokenFile: /etc/hunter2"))
            .contains("kubectl config view --raw --flatten --minify")
    );
}

#[test]
fn credentials_must_be_one_and_whole() {
    let user = |lines: &str| message(&kubeconfig(&good_cluster(), lines));
    let both = format!("token: hunter2\nclient-certificate-data: {0}\nclient-key-data: {0}", certificate());
    assert!(user(&both).contains("not both"));
    assert!(user("{}").contains("must hold `user.token`"));
    assert!(user("token: ''").contains("must hold `user.token`"));
    assert!(user("token: hunter2 hunter2").contains("`user.token`"));
    assert!(user("token: \"hunter2\\nX: y\"").contains("`user.token`"));
    assert!(user(&format!("client-certificate-data: {}", certificate())).contains("together"));
    assert!(user(&format!("client-key-data: {}", key())).contains("together"));
    let pair = |c: &str, k: &str| user(&format!("client-certificate-data: {c}\nclient-key-data: {k}"));
    assert!(pair("hunter2!", &key()).contains("must be base64"));
    assert!(pair(&base64("hunter2"), &key()).contains("must be PEM"));
    assert!(pair(&certificate(), &certificate()).contains("`user.client-key-data`"));
    assert!(pair(&certificate(), &base64("-----BEGIN ENCRYPTED PRIVATE KEY-----")).contains("unencrypted"));
}

#[test]
fn the_server_must_be_plain_https_and_verified() {
    let cluster = |lines: &str| message(&kubeconfig(lines, "token: hunter2"));
    let authority = certificate();
    for url in [
        "http://k8s.example",
        "https://hunter2@k8s.example",
        "https://k8s.example?hunter2",
        "https://k8s.example#hunter2",
        "k8s.example:6443",
        "file:///hunter2",
    ] {
        let text = cluster(&format!("server: {url}\ncertificate-authority-data: {authority}"));
        assert!(text.contains("`cluster.server`") && text.contains("https://host:port"), "{url}: {text}");
    }
    assert!(cluster(&format!("certificate-authority-data: {authority}")).contains("`cluster.server`"));
    assert!(cluster("server: https://k8s.example").contains("`cluster.certificate-authority-data`"));
    assert!(cluster("server: https://k8s.example\ncertificate-authority-data: hunter2").contains("must be"));
}

#[test]
fn the_context_must_be_said_and_unambiguous() {
    let good = kubeconfig(&good_cluster(), "token: hunter2");
    for (from, to, named) in [
        ("current-context: c", "x: y", "`current-context` is missing"),
        ("current-context: c", "current-context: ''", "`current-context` is missing"),
        (
            "current-context: c",
            "current-context: hunter2",
            "in `contexts`, the entry that `current-context` names",
        ),
        ("current-context: c", "current-context: other", "in `clusters`, the entry that `cluster` names"),
        ("- name: other", "- name: c", "in `contexts`, only one entry"),
        ("- name: nobody", "- name: u", "in `users`, only one entry"),
        ("    user: u\n", "    user: hunter2\n", "in `users`, the entry that `user` names"),
        ("    user: u\n", "    user: nobody\n", "`user.exec`"),
    ] {
        let text = message(&good.replace(from, to));
        assert!(text.contains(named), "{named}: {text}");
    }
}

#[test]
fn broken_bloated_and_tricky_yaml_is_refused_with_a_place_and_without_content() {
    let good = kubeconfig(&good_cluster(), "token: hunter2");
    let place = message(&format!("{good}hunter2: [hunter2\n"));
    assert!(place.contains("(line ") && place.contains(", column "), "{place}");
    let anchored = good.replace("token: hunter2", "token: &hunter2 hunter2");
    let bomb = format!("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n{good}");
    let merged = good.replace("token: hunter2", "<<: {token: hunter2}");
    let repeated = good.replace("token: hunter2", "token: hunter2\n    token: hunter2");
    let two = format!("{good}---\n{good}");
    let typed = good.replace("current-context: c", "current-context: [hunter2]");
    let deep = format!("{good}x: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    for text in
        [anchored, bomb, merged, repeated, two, typed, deep, "hunter2".into(), String::new(), "- a".into()]
    {
        assert!(message(&text).starts_with("`kubeconfig` must"), "{}", message(&text));
    }
    let large = format!("{good}# {}\n", "hunter2".repeat(MAX_BYTES));
    assert!(message(&large).contains("at most 256 KiB"));
}
