//! A signed request as the vendor's SDK for Python sends it.

use std::fmt::Write;
use std::net::SocketAddr;

use api::authn::mac;
use api::dialects::alibaba::acs3::SCHEME;

/// An access key. It lives for one run, on loopback.
pub struct Key {
    /// The public half.
    pub id: String,
    /// The secret half.
    pub secret: String,
}

/// A signed `DescribeUserPermission`, good for fifteen minutes.
pub fn describe(key: &Key, address: SocketAddr, user: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the program's own edge: a signature needs the time")]
    let date = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (host, path) = (address.to_string(), format!("/permissions/users/{user}"));
    let nothing = String::from_utf8_lossy(mac::EMPTY);
    let headers = [
        ("accept", "application/json"),
        ("host", &host),
        ("user-agent", "AlibabaCloud (Linux; x86_64) Python/3.11.7 Core/0.4.3 TeaDSL/2"),
        ("x-acs-action", "DescribeUserPermission"),
        ("x-acs-content-sha256", &nothing),
        ("x-acs-credentials-provider", "static_ak"),
        ("x-acs-date", &date),
        ("x-acs-signature-nonce", "a66cfc7253a69f984d9c835606c7beff"),
        ("x-acs-version", "2015-12-15"),
    ];
    let list = headers.map(|(name, _)| name).join(";");
    let mut sent = String::new();
    let mut canonical = format!("GET\n{path}\n\n");
    for (name, value) in headers {
        // Writing to a text cannot fail.
        let _ = writeln!(canonical, "{name}:{value}");
        let _ = write!(sent, "{name}: {value}\r\n");
    }
    let _ = write!(canonical, "\n{list}\n{nothing}");
    let digest = mac::hash(canonical.as_bytes());
    let signature = mac::sha256(key.secret.as_bytes(), &[SCHEME.as_bytes(), b"\n", &digest]);
    let signature = signature.map_or_else(String::new, hex::encode);
    let access = &key.id;
    format!(
        "GET {path} HTTP/1.1\r\nAccept-Encoding: identity\r\n{sent}\
         Authorization: {SCHEME} Credential={access},SignedHeaders={list},Signature={signature}\r\n\r\n"
    )
}
