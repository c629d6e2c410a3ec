//! `ACS3-HMAC-SHA256` from the caller's side, written from its description, for requests that no SDK sends.

use domain::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::server::{Answer, Server};

/// An access key: its id and its secret half.
pub type Key = (String, String);

/// A request by path, query in canonical form, body, and headers beyond the usual.
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub body: &'a [u8],
    pub extra: &'a [(&'a str, &'a str)],
}

impl Server {
    /// The key of the root user.
    pub fn root_key(&self) -> Key {
        (self.root.access_key_id.to_string(), self.root.secret_access_key.expose().to_owned())
    }

    /// A new key of a user.
    pub async fn key_of(&self, user: &str) -> Key {
        let call =
            self.app.service.call_by_token(&self.root_token().await, crate::server::origin()).await.unwrap();
        let key = self.app.service.create_access_key(&call, user, "").await.unwrap();
        (key.key.id.to_string(), Secret::expose(&key.secret).to_owned())
    }

    /// The headers of a request that is signed with everything that it carries.
    pub fn acs3(&self, key: &Key, request: &Request<'_>) -> Vec<(String, String)> {
        let date = self.app.service.now().rfc3339_seconds();
        let hash = hex::encode(Sha256::digest(request.body));
        let mut headers: Vec<(String, String)> =
            [("x-acs-date", date.as_str()), ("x-acs-content-sha256", hash.as_str())]
                .iter()
                .chain(request.extra)
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
        let mut signed = headers.clone();
        signed.push(("host".to_owned(), "test".to_owned()));
        signed.sort();
        let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names = signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let Request { method, path, query, .. } = request;
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{hash}");
        let text = format!("ACS3-HMAC-SHA256\n{}", hex::encode(Sha256::digest(canonical)));
        let mut mac = Hmac::<Sha256>::new_from_slice(key.1.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let value =
            format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}", key.0);
        headers.push(("authorization".to_owned(), value));
        headers
    }

    /// Signs and sends.
    pub async fn send_acs3(&self, key: &Key, request: &Request<'_>) -> Answer {
        let headers = self.acs3(key, request);
        let question = if request.query.is_empty() { "" } else { "?" };
        let target = format!("{}{question}{}", request.path, request.query);
        self.send(request.method, &target, &crate::server::borrowed(&headers), request.body).await
    }

    /// Signs and sends, to a path that may hold a query, without a body.
    pub async fn call_acs3(&self, key: &Key, method: &str, target: &str, version: &str) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let extra = [("x-acs-version", version)];
        self.send_acs3(key, &Request { method, path, query, body: b"", extra: &extra }).await
    }
}
