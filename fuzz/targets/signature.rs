//! Any bytes as a request, verified by every scheme.
//!
//! - nothing panics;
//! - no signature verifies with a secret that did not make it;
//! - a signature that was made for one request verifies for another only if both are read the same.
//!
//! The input is a request as it is sent; the target of the other request stands before it, ended by a NUL.

#![no_main]

use std::sync::Arc;

use api::authn::access_key::{self, Signed as Direct};
use api::authn::canonical::{Request, body_hash, string_to_sign};
use api::authn::{Shown, date, mac, shown};
use api::dialects::alibaba::settings::UnprotectedBody;
use api::dialects::alibaba::signature::{self, Scheme, Signed};
use api::dialects::huawei::derived;
use api::head::{Head, Plus};
use api::operation::BodyRule;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::Timestamp;
use libfuzzer_sys::fuzz_target;
use service::Origin;

const SECRET: &str = "the right one";
const WRONG: &str = "another one";

/// A request in parts.
struct Parts<'a> {
    method: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
}

impl Parts<'_> {
    /// The request as the server reads it, with `authorization` in the place of its own.
    fn read(&self, target: &str, plus: Plus, authorization: Option<&str>) -> Option<Head> {
        let mut request = http::Request::builder().method(self.method).uri(target);
        for (name, value) in &self.headers {
            let replaced = authorization.filter(|_| name.eq_ignore_ascii_case("authorization"));
            request = request.header(*name, replaced.unwrap_or(value));
        }
        let at = Timestamp::from_millis(0);
        let origin = Origin { request_id: Arc::from("r"), source: Arc::from("s"), at };
        Head::read(request.body(()).ok()?.into_parts().0, origin, plus).ok()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The time at which the request says it was signed, so that time is in nobody's way.
    fn now(&self, target: &str) -> Timestamp {
        let in_query = || {
            let (_, rest) = target.split_once("Timestamp=")?;
            date::extended(&rest.split('&').next()?.replace("%3A", ":"))
        };
        let read = self.header("x-sdk-date").and_then(date::compact);
        let read = read.or_else(|| self.header("x-acs-date").and_then(date::extended));
        let read = read.or_else(|| self.header("date").and_then(date::http)).or_else(in_query);
        read.unwrap_or(Timestamp::from_millis(0))
    }
}

/// What a request says, in the reading of the server.
fn reading(head: &Head) -> (String, String, Vec<(String, String)>) {
    let mut query = head.query.clone();
    query.sort();
    (head.method.to_string(), head.path.clone(), query)
}

fn first_vendor(parts: &Parts<'_>, target: &str, other: &str) {
    let Some(head) = parts.read(target, Plus::Plus, None) else { return };
    let (now, body) = (parts.now(target), parts.body);
    let Ok(Shown::Authorization { scheme, parameters }) = shown(&head) else { return };
    if scheme == derived::SCHEME {
        if let Ok(signed) = derived::Signed::read(&head, parameters, now) {
            assert!(signed.check(&head, body, BodyRule::None, WRONG).is_err());
        }
        return;
    }
    let Ok(signed) = Direct::read(&head, parameters, now) else { return };
    for rule in [BodyRule::None, BodyRule::Json] {
        assert!(signed.check(&head, body, rule, WRONG).is_err());
    }
    let Some((_, names)) = parameters.split_once("SignedHeaders=") else { return };
    let names = names.split(',').next().unwrap_or_default();
    let headers: Vec<(&str, &str)> =
        names.split(';').map(|name| (name, parts.header(name).unwrap_or_default())).collect();
    let hash = body_hash(body);
    let request = Request {
        method: head.method.as_str(),
        raw_path: &head.raw_path,
        query: &head.query,
        headers: &headers,
        payload_hash: &hash,
    };
    let text = string_to_sign(access_key::SCHEME, parts.header("x-sdk-date").unwrap_or_default(), &request);
    let made = mac::sha256(SECRET.as_bytes(), &[text.as_bytes()]).map(|made| mac::hex(&made));
    let signature = String::from_utf8_lossy(&made.unwrap_or([0; 64])).into_owned();
    let authorization = format!(
        "{} Access={}, SignedHeaders={names}, Signature={signature}",
        access_key::SCHEME,
        signed.access
    );
    let Some(other) = parts.read(other, Plus::Plus, Some(&authorization)) else { return };
    let Ok(Shown::Authorization { parameters, .. }) = shown(&other) else { return };
    let Ok(signed) = Direct::read(&other, parameters, now) else { return };
    if signed.check(&other, body, BodyRule::None, SECRET).is_ok() {
        assert_eq!(reading(&head), reading(&other));
    }
}

fn second_vendor(parts: &Parts<'_>, target: &str, other: &str) {
    let Some(head) = parts.read(target, Plus::Space, None) else { return };
    let (now, body) = (parts.now(target), parts.body);
    let signature::Shown::Signature(scheme) = signature::shown(&head) else { return };
    let Ok(signed) = Signed::read(&head, scheme, body, now) else { return };
    for unprotected in [UnprotectedBody::Refused, UnprotectedBody::Allowed] {
        assert!(signed.check(&head, body, unprotected, WRONG).is_err());
    }
    let Some(text) = signed.string_to_sign(&head, body) else { return };
    let own = parts.header("authorization").unwrap_or_default();
    let authorization = match scheme {
        Scheme::Acs3(_) => {
            let Some(made) = mac::sha256(SECRET.as_bytes(), &[text.as_bytes()]) else { return };
            let made = String::from_utf8_lossy(&mac::hex(&made)).into_owned();
            let Some((before, _)) = own.split_once("Signature=") else { return };
            format!("{before}Signature={made}")
        }
        Scheme::Roa(_) => {
            let Some(made) = mac::sha1(SECRET.as_bytes(), text.as_bytes()) else { return };
            format!("acs {}:{}", signed.named().access, BASE64_STANDARD.encode(made))
        }
        Scheme::Rpc => return,
    };
    let Some(other) = parts.read(other, Plus::Space, Some(&authorization)) else { return };
    let signature::Shown::Signature(scheme) = signature::shown(&other) else { return };
    let Ok(signed) = Signed::read(&other, scheme, body, now) else { return };
    if signed.check(&other, body, UnprotectedBody::Allowed, SECRET).is_ok() {
        assert_eq!(reading(&head), reading(&other));
    }
}

fuzz_target!(|data: &[u8]| {
    let end = data.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(data.len());
    let (head, body) = data.split_at(end);
    let Ok(head) = std::str::from_utf8(head) else { return };
    let (other, head) = head.split_once('\0').unwrap_or(("", head));
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
    let parts = Parts { method, headers, body: body.get(4..).unwrap_or_default() };
    let other = if other.is_empty() { target } else { other };
    first_vendor(&parts, target, other);
    second_vendor(&parts, target, other);
});
