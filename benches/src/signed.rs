//! Requests signed with an access key, and the twenty policies that are listed.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use api::authn::access_key::SCHEME;
use api::authn::canonical::{Request, body_hash, string_to_sign};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::load;
use crate::process::Account;

/// Makes each signature unlike any other: the server takes two equal changes for one.
static NONCE: AtomicU64 = AtomicU64::new(0);

/// A signed GET, good for fifteen minutes.
pub fn get(account: &Account, address: SocketAddr, path: &str) -> String {
    request(account, address, "GET", path, "")
}

/// A signed request, good for fifteen minutes.
pub fn request(account: &Account, address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the program's own edge: a signature needs the time")]
    let date = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let host = address.to_string();
    let nonce = NONCE.fetch_add(1, Ordering::Relaxed).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("host", host.as_str()),
        ("x-nonce", nonce.as_str()),
        ("x-sdk-date", date.as_str()),
    ];
    let hash = body_hash(body.as_bytes());
    let canonical = Request { method, raw_path: path, query: &[], headers: &headers, payload_hash: &hash };
    let signature = Hmac::<Sha256>::new_from_slice(account.secret_access_key.as_bytes()).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(string_to_sign(SCHEME, &date, &canonical).as_bytes());
            hex::encode(mac.finalize().into_bytes())
        },
    );
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nX-Nonce: {nonce}\r\n\
         X-Sdk-Date: {date}\r\n\
         User-Agent: bench\r\nAccept: */*\r\nAuthorization: {SCHEME} Access={}, \
         SignedHeaders=content-type;host;x-nonce;x-sdk-date, Signature={signature}\r\nContent-Length: {}\r\n\r\n{body}",
        account.access_key_id,
        body.len()
    )
}

/// A signed POST of a policy for one user in two namespaces of all clusters.
pub fn policy(account: &Account, address: SocketAddr, name: &str) -> String {
    let body = serde_json::json!({
        "name": name, "clusters": ["*"],
        "accessScope": {"namespaces": [name, "shared"]},
        "policyType": "CCEViewPolicy", "principal": {"type": "user", "ids": [account.user_id]}
    });
    request(account, address, "POST", "/api/v3/access-policies", &body.to_string())
}

/// Makes twenty policies and gives the list's bytes.
pub async fn with_twenty_policies(address: SocketAddr, account: &Account) -> io::Result<Vec<u8>> {
    for n in 0..20 {
        let create = policy(account, address, &format!("team-{n}"));
        if !load::one(address, &create).await?.starts_with(br#"{"kind":"AccessPolicy""#) {
            return Err(io::Error::other("a policy was refused"));
        }
    }
    load::one(address, &get(account, address, "/api/v3/access-policies")).await
}
