//! Reads a kubeconfig into a [`Connection`], and refuses everything in it that would give its author power here.
//!
//! A kubeconfig can name programs to run, files to read, proxies to go through and identities to take on: all of it
//! on the machine of whoever loads it, which is this server. Only an address, a certificate authority and a token or
//! client certificate are taken over. What is refused is refused by the name of its key; nothing of the file's
//! content is ever repeated, because it is full of secrets.

mod pair;

use std::collections::BTreeMap;

use base64::Engine as _;
use domain::{Error, Result, Secret};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use super::{Connection, Credential, Server, Wiped};

/// The largest kubeconfig that is read, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

const MAX_TOKEN_BYTES: usize = 16 * 1024;
const EMBED: &str = "embed it with `kubectl config view --raw --flatten --minify`";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: Option<String>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: Option<String>,
    certificate_authority_data: Option<String>,
    certificate_authority: Option<IgnoredAny>,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    proxy_url: Option<IgnoredAny>,
    // Only which connections are compressed.
    #[serde(rename = "disable-compression")]
    _disable_compression: Option<IgnoredAny>,
    #[serde(rename = "extensions")]
    _extensions: Option<IgnoredAny>,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<Wiped>,
    client_certificate_data: Option<String>,
    client_key_data: Option<Wiped>,
    client_certificate: Option<IgnoredAny>,
    client_key: Option<IgnoredAny>,
    #[serde(rename = "tokenFile")]
    token_file: Option<IgnoredAny>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
    username: Option<IgnoredAny>,
    password: Option<IgnoredAny>,
    #[serde(rename = "as")]
    impersonate: Option<IgnoredAny>,
    as_uid: Option<IgnoredAny>,
    as_groups: Option<IgnoredAny>,
    as_user_extra: Option<IgnoredAny>,
    #[serde(rename = "extensions")]
    _extensions: Option<IgnoredAny>,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

/// Reads the kubeconfig in `text`, YAML or JSON, and takes the connection of its current context.
///
/// # Errors
/// `Invalid` naming `field` if the text is not a kubeconfig, if the current context cannot be told, or if it uses
/// something that is refused; the message names the key and what to do instead, and never repeats content.
pub fn parse(field: &str, text: &str) -> Result<Connection> {
    let refuse = |reason: String| Error::invalid(field, reason);
    if text.len() > MAX_BYTES {
        return Err(refuse(format!("must be a kubeconfig of at most {} KiB", MAX_BYTES / 1024)));
    }
    let config = read(text).map_err(refuse)?;
    let context = current_context(&config).map_err(refuse)?;
    let cluster = config.clusters.iter().filter(|c| c.name == context.cluster).map(|c| &c.cluster);
    let cluster = the_only(cluster, "clusters", "`cluster`").map_err(refuse)?;
    let user = config.users.iter().filter(|u| u.name == context.user).map(|u| &u.user);
    let user = the_only(user, "users", "`user`").map_err(refuse)?;
    connection(cluster, user).map_err(refuse)
}

fn read(text: &str) -> Result<Kubeconfig, String> {
    let options = serde_saphyr::options! {
        // A kubeconfig needs neither anchors nor merging, and both can make a small file large.
        budget: serde_saphyr::budget! {
            max_anchors: 0,
            max_aliases: 0,
            max_merge_keys: 0,
            max_documents: 1,
            max_depth: 32,
            max_nodes: 20_000,
            max_events: 50_000,
        },
        merge_keys: MergeKeyPolicy::Error,
        duplicate_keys: DuplicateKeyPolicy::Error,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        // The parser's own message quotes lines of the file.
        let place = error
            .location()
            .map(|at| format!(" (line {}, column {})", at.line(), at.column()))
            .unwrap_or_default();
        format!("must be a kubeconfig in YAML or JSON, without anchors, aliases and repeated keys{place}")
    })
}

fn current_context(config: &Kubeconfig) -> Result<&Context, String> {
    let name = config.current_context.as_deref().filter(|name| !name.is_empty()).ok_or(
        "must say which of its contexts is meant: `current-context` is missing; set it with \
         `kubectl config use-context`",
    )?;
    let contexts = config.contexts.iter().filter(|c| c.name == name).map(|c| &c.context);
    the_only(contexts, "contexts", "`current-context`")
}

/// The one entry that `reference` names: with none or several, whose credential is used would be a guess.
fn the_only<'a, T>(
    mut found: impl Iterator<Item = &'a T>,
    list: &str,
    reference: &str,
) -> Result<&'a T, String> {
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(format!("must hold, in `{list}`, the entry that {reference} names: there is none")),
        (Some(_), Some(_)) => Err(format!(
            "must hold, in `{list}`, only one entry with the name in {reference}: there are several"
        )),
    }
}

fn connection(cluster: &Cluster, user: &User) -> Result<Connection, String> {
    refuse_cluster_keys(cluster)?;
    refuse_user_keys(user)?;
    let url = cluster.server.as_deref().ok_or("must hold `cluster.server`")?;
    let server = Server::parse("cluster.server", url)
        .map_err(|error| format!("holds a `cluster.server` that is refused: it {}", error.message()))?;
    let authority = cluster.certificate_authority_data.as_deref().filter(|data| !data.is_empty()).ok_or(
        "must hold `cluster.certificate-authority-data`: the API server is verified against it and nothing else",
    )?;
    let tls_server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
    if !tls_server_name.as_deref().is_none_or(is_host) {
        return Err(
            "holds a `cluster.tls-server-name` that is refused: it must be a DNS name or an address".into()
        );
    }
    Ok(Connection {
        server: server.to_string(),
        ca_pem: Some(pem("cluster.certificate-authority-data", authority, is_certificate)?),
        credential: credential(user)?,
        tls_server_name,
    })
}

fn refuse_cluster_keys(cluster: &Cluster) -> Result<(), String> {
    refuse_present(&[
        ("cluster.certificate-authority", &cluster.certificate_authority, FILE),
        ("cluster.proxy-url", &cluster.proxy_url, "clusters are connected to directly; remove it"),
    ])?;
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Err(
            "must not hold `cluster.insecure-skip-tls-verify: true`: whoever sits in between would get the \
                    credential; use `cluster.certificate-authority-data`"
                .into(),
        );
    }
    refuse_unknown(
        "cluster",
        &cluster.unknown,
        "`server`, `certificate-authority-data`, `tls-server-name` and `extensions`",
    )
}

const FILE: &str = "it names a file on another machine";
const AS: &str = "the connection acts as itself and never as somebody else; remove it";
const PROGRAM: &str = "it runs a program; use the token of a service account, or a client certificate";
const PASSWORD: &str =
    "passwords are not accepted; use the token of a service account, or a client certificate";

fn refuse_user_keys(user: &User) -> Result<(), String> {
    refuse_present(&[
        ("user.exec", &user.exec, PROGRAM),
        ("user.auth-provider", &user.auth_provider, PROGRAM),
        ("user.client-certificate", &user.client_certificate, FILE),
        ("user.client-key", &user.client_key, FILE),
        ("user.tokenFile", &user.token_file, FILE),
        ("user.as", &user.impersonate, AS),
        ("user.as-uid", &user.as_uid, AS),
        ("user.as-groups", &user.as_groups, AS),
        ("user.as-user-extra", &user.as_user_extra, AS),
        ("user.username", &user.username, PASSWORD),
        ("user.password", &user.password, PASSWORD),
    ])?;
    refuse_unknown(
        "user",
        &user.unknown,
        "`token`, `client-certificate-data`, `client-key-data` and `extensions`",
    )
}

fn refuse_present(keys: &[(&str, &Option<IgnoredAny>, &str)]) -> Result<(), String> {
    match keys.iter().find(|(_, value, _)| value.is_some()) {
        None => Ok(()),
        Some((key, _, why)) if *why == FILE => Err(format!("must not hold `{key}`: {why}; {EMBED}")),
        Some((key, _, why)) => Err(format!("must not hold `{key}`: {why}")),
    }
}

fn refuse_unknown(part: &str, unknown: &BTreeMap<String, IgnoredAny>, known: &str) -> Result<(), String> {
    if unknown.is_empty() {
        return Ok(());
    }
    // The key is not repeated: a file that is slightly wrong may have a secret where a key should be.
    Err(format!("must not hold keys in `{part}` that are not understood: there may be {known}"))
}

fn present(secret: Option<&Wiped>) -> Option<&str> {
    secret.map(|wiped| wiped.0.as_str()).filter(|text| !text.is_empty())
}

fn credential(user: &User) -> Result<Credential, String> {
    let certificate = user.client_certificate_data.as_deref().filter(|data| !data.is_empty());
    match (present(user.token.as_ref()), certificate, present(user.client_key_data.as_ref())) {
        (Some(token), None, None) => {
            let token = token.trim_ascii();
            if token.is_empty()
                || token.len() > MAX_TOKEN_BYTES
                || !token.bytes().all(|b| b.is_ascii_graphic())
            {
                return Err(format!(
                    "holds a `user.token` that is refused: it must be 1 to {MAX_TOKEN_BYTES} printable ASCII \
                     characters without spaces"
                ));
            }
            Ok(Credential::Token(Secret::new(token.to_owned())))
        }
        (None, Some(certificate), Some(key)) => {
            let certificate_pem = pem("user.client-certificate-data", certificate, is_certificate)?;
            let key_pem = Secret::new(pem("user.client-key-data", key, is_private_key)?);
            pair::check(&certificate_pem, key_pem.expose())?;
            Ok(Credential::Certificate { certificate_pem, key_pem })
        }
        (Some(_), _, _) => Err(
            "must hold either `user.token` or `user.client-certificate-data`, not both: it would be a guess \
                 which one counts"
                .into(),
        ),
        (None, None, None) => {
            Err("must hold `user.token`, or `user.client-certificate-data` and `user.client-key-data`".into())
        }
        (None, _, _) => {
            Err("must hold `user.client-certificate-data` and `user.client-key-data` together".into())
        }
    }
}

/// Decodes a `*-data` value into PEM of the right kind.
fn pem(key: &str, data: &str, right: fn(&str) -> bool) -> Result<String, String> {
    let compact = zeroize::Zeroizing::new(data.split_ascii_whitespace().collect::<String>());
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(compact.as_bytes())
        .map_err(|_| format!("holds a `{key}` that is refused: it must be base64"))?;
    String::from_utf8(decoded).ok().filter(|text| right(text)).ok_or_else(|| {
        format!("holds a `{key}` that is refused: it must be PEM of the right kind, unencrypted")
    })
}

fn is_certificate(text: &str) -> bool {
    text.contains("-----BEGIN CERTIFICATE-----") && text.contains("-----END CERTIFICATE-----")
}

fn is_private_key(text: &str) -> bool {
    let kinds =
        ["-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----"];
    kinds.iter().any(|kind| text.contains(kind))
}

fn is_host(name: &str) -> bool {
    let bracketed = if name.contains(':') { format!("https://[{name}]") } else { format!("https://{name}") };
    !name.contains(['/', '[', ']']) && Server::parse("tls-server-name", &bracketed).is_ok()
}

#[cfg(test)]
mod tests;
