//! What it costs to check a signature, scheme by scheme, beside the least that it could: the same hashes over as many
//! bytes, and nothing read, found or compared. Requests are recorded ones of the vendors' SDKs. Time is the thread's on a
//! processor, so that others on the machine disturb it less.

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use api::authn::access_key::{self, Signed as Direct};
use api::authn::{Shown, date, mac, shown};
use api::dialects::alibaba::settings::UnprotectedBody;
use api::dialects::alibaba::signature::{self, Signed};
use api::dialects::huawei::derived;
use api::head::{Head, Plus};
use api::operation::BodyRule;
use domain::Timestamp;
use service::Origin;

use crate::figures::Figures;
use crate::process;

/// Rounds, the two sides by turns.
const ROUNDS: usize = 21;
/// Checks in a round.
const CHECKS: u32 = 30_000;

struct Case {
    scheme: &'static str,
    recorded: &'static [u8],
    plus: Plus,
    secret: &'static str,
    check: fn(&Head, &[u8], Timestamp, &str) -> bool,
    /// HMACs beyond the last one, which derive its key.
    further_macs: u32,
}

const FIRST: &str = "SKEXAMPLE";
const SECOND: &str = "TestAccessKeySecret0000000001";

const CASES: [Case; 5] = [
    Case {
        scheme: "SDK-HMAC-SHA256, a GET",
        recorded: include_bytes!("../../crates/api/tests/recorded/huawei/v1-get-query.http"),
        plus: Plus::Plus,
        secret: FIRST,
        check: first,
        further_macs: 0,
    },
    Case {
        scheme: "SDK-HMAC-SHA256, a POST",
        recorded: include_bytes!("../../crates/api/tests/recorded/huawei/v2-post-json.http"),
        plus: Plus::Plus,
        secret: FIRST,
        check: first,
        further_macs: 0,
    },
    Case {
        scheme: "V11-HMAC-SHA256, a GET",
        recorded: include_bytes!("../../crates/api/tests/recorded/huawei/v4-v11-derived.http"),
        plus: Plus::Plus,
        secret: FIRST,
        check: first,
        further_macs: 2,
    },
    Case {
        scheme: "ACS3-HMAC-SHA256, a GET",
        recorded: include_bytes!(
            "../../crates/api/tests/recorded/alibaba/python-acs3-describe_user_permission.http"
        ),
        plus: Plus::Space,
        secret: SECOND,
        check: second,
        further_macs: 0,
    },
    Case {
        scheme: "acs (HMAC-SHA1), a POST",
        recorded: include_bytes!("../../crates/api/tests/recorded/alibaba/oldpy-roa1-grant.http"),
        plus: Plus::Space,
        secret: SECOND,
        check: second,
        further_macs: 0,
    },
];

fn first(head: &Head, body: &[u8], now: Timestamp, secret: &str) -> bool {
    match shown(head) {
        Ok(Shown::Authorization { scheme: access_key::SCHEME, parameters }) => {
            let signed = Direct::read(head, parameters, now);
            signed.is_ok_and(|signed| signed.check(head, body, BodyRule::None, secret).is_ok())
        }
        Ok(Shown::Authorization { parameters, .. }) => {
            let signed = derived::Signed::read(head, parameters, now);
            signed.is_ok_and(|signed| signed.check(head, body, BodyRule::None, secret).is_ok())
        }
        Ok(Shown::Nothing | Shown::Token(_)) | Err(_) => false,
    }
}

fn second(head: &Head, body: &[u8], now: Timestamp, secret: &str) -> bool {
    let signature::Shown::Signature(scheme) = signature::shown(head) else { return false };
    let signed = Signed::read(head, scheme, body, now);
    signed.is_ok_and(|signed| signed.check(head, body, UnprotectedBody::Refused, secret).is_ok())
}

/// Prints what a check costs by each scheme.
pub fn compare() -> io::Result<()> {
    for case in &CASES {
        let (head, body) = read(case)?;
        let now = signed_at(&head)?;
        let right = (case.check)(&head, body, now, case.secret);
        if !right || (case.check)(&head, body, now, "another secret") {
            return Err(io::Error::other(format!("{}: the answer is wrong", case.scheme)));
        }
        let canonical = vec![b'x'; canonical_length(&head)];
        let (mut ours, mut bare) = (Figures::default(), Figures::default());
        for _ in 0..ROUNDS {
            ours.push(nanoseconds(|| (case.check)(black_box(&head), body, now, case.secret)));
            bare.push(nanoseconds(|| least(case, black_box(&canonical), body)));
        }
        println!("{}: {}", case.scheme, ours.show("ns"));
        println!("  the hashes alone: {}", bare.show("ns"));
        println!("  ratio: {}", ours.over(&bare).show("×"));
    }
    Ok(())
}

fn nanoseconds(mut work: impl FnMut() -> bool) -> f64 {
    let began = on_processor();
    for _ in 0..CHECKS {
        black_box(work());
    }
    (on_processor() - began) / f64::from(CHECKS)
}

/// How many nanoseconds this thread has been on a processor.
fn on_processor() -> f64 {
    process::on_processor(process::THREAD).unwrap_or(f64::NAN)
}

/// The hashes of the scheme over as many bytes.
fn least(case: &Case, canonical: &[u8], body: &[u8]) -> bool {
    let secret = case.secret.as_bytes();
    if case.scheme.starts_with("acs") {
        return mac::sha1(secret, canonical).is_some();
    }
    if !body.is_empty() {
        black_box(mac::hash(body));
    }
    let digest = mac::hash(canonical);
    for _ in 0..case.further_macs {
        black_box(mac::sha256(secret, &[b"20260101/cn-north-4/cce"]));
    }
    mac::sha256(secret, &[case.scheme.as_bytes(), &digest]).is_some()
}

fn read(case: &Case) -> io::Result<(Head, &'static [u8])> {
    let bad = || io::Error::other("a recorded request is not one");
    let end = case.recorded.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(bad)?;
    let (head, body) = case.recorded.split_at(end);
    let mut lines = std::str::from_utf8(head).map_err(io::Error::other)?.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = http::Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        request = request.header(name, value.trim());
    }
    let parts = request.body(()).map_err(io::Error::other)?.into_parts().0;
    let origin = Origin {
        request_id: Arc::from("r"),
        source: Arc::from("s"),
        at: Timestamp::from_millis(0),
        dialect: "",
    };
    let head = Head::read(parts, origin, case.plus).map_err(io::Error::other)?;
    Ok((head, body.get(4..).unwrap_or_default()))
}

fn signed_at(head: &Head) -> io::Result<Timestamp> {
    let read = head.header("x-sdk-date").and_then(date::compact);
    let read = read.or_else(|| head.header("x-acs-date").and_then(date::extended));
    let read = read.or_else(|| head.header("date").and_then(date::http));
    read.ok_or_else(|| io::Error::other("a recorded request has no date"))
}

/// About as many bytes as the canonical request has: all headers stand for those that are signed.
fn canonical_length(head: &Head) -> usize {
    let authorization = head.header("authorization").unwrap_or_default();
    let list = authorization.split_once("SignedHeaders=").and_then(|(_, rest)| rest.split(',').next());
    let signed = |name: &str| match list {
        Some(list) => list.split(';').any(|known| known == name),
        None => name.starts_with("x-acs-"),
    };
    let headers = head.headers.iter().filter(|(name, _)| signed(name.as_str()));
    let headers: usize = headers.map(|(name, value)| name.as_str().len() + value.len() + 2).sum();
    let query: usize = head.query.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    head.method.as_str().len() + head.raw_path.len() + query + headers + list.map_or(64, str::len) + 64 + 6
}
