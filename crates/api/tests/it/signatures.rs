//! Every signature that was recorded, verified from its bytes; and again with each signed element changed.

use api::authn::access_key::{self, Signed as Direct};
use api::authn::date;
use api::authn::failure::Failure;
use api::authn::{Shown, shown};
use api::dialects::alibaba::settings::UnprotectedBody;
use api::dialects::alibaba::signature::{self, Scheme, Signed};
use api::dialects::huawei::derived;
use api::head::{Head, Plus};
use api::operation::BodyRule;
use domain::Timestamp;

use crate::recorded::{Recorded, all};

/// What is recorded of one vendor, and how its dialect verifies it.
struct Vendor {
    folder: &'static str,
    plus: Plus,
    verify: fn(&Head, &[u8], Timestamp) -> Result<(), Failure>,
    date: fn(&Recorded) -> Option<Timestamp>,
}

const HUAWEI: Vendor = Vendor { folder: "huawei", plus: Plus::Plus, verify: huawei, date: huawei_date };
const ALIBABA: Vendor =
    Vendor { folder: "alibaba", plus: Plus::Space, verify: alibaba_without_body, date: alibaba_date };

fn secret(access: &str) -> Result<&'static str, Failure> {
    match access {
        "AKEXAMPLE" | "AKAUTO" => Ok("SKEXAMPLE"),
        "LTAI5tTestAccessKey00001" => Ok("TestAccessKeySecret0000000001"),
        "STS.TestTemp00001" => Ok("TestTempSecret00001"),
        other => Err(Failure::UnknownKey(other.to_owned())),
    }
}

fn not_served() -> Failure {
    Failure::Malformed("is of a scheme that is not served".to_owned())
}

fn huawei(head: &Head, body: &[u8], now: Timestamp) -> Result<(), Failure> {
    match shown(head) {
        Ok(Shown::Authorization { scheme: access_key::SCHEME, parameters }) => {
            let signed = Direct::read(head, parameters, now)?;
            signed.check(head, body, BodyRule::None, secret(signed.named().access)?)
        }
        Ok(Shown::Authorization { scheme: derived::SCHEME, parameters }) => {
            let signed = derived::Signed::read(head, parameters, now)?;
            signed.check(head, body, BodyRule::None, secret(signed.named().access)?)
        }
        _ => Err(not_served()),
    }
}

fn huawei_date(recorded: &Recorded) -> Option<Timestamp> {
    date::compact(recorded.header("x-sdk-date")?)
}

fn alibaba(head: &Head, body: &[u8], now: Timestamp, unprotected: UnprotectedBody) -> Result<(), Failure> {
    let signature::Shown::Signature(scheme) = signature::shown(head) else { return Err(not_served()) };
    let signed = Signed::read(head, scheme, body, now)?;
    signed.check(head, body, unprotected, secret(signed.named().access)?)
}

fn alibaba_without_body(head: &Head, body: &[u8], now: Timestamp) -> Result<(), Failure> {
    alibaba(head, body, now, UnprotectedBody::Refused)
}

fn alibaba_date(recorded: &Recorded) -> Option<Timestamp> {
    if let Some(text) = recorded.header("x-acs-date") {
        return date::extended(text);
    }
    if let Some(text) = recorded.header("date") {
        return date::http(text);
    }
    let pairs = recorded.pairs();
    let text = pairs.iter().find_map(|pair| pair.strip_prefix("Timestamp="))?;
    date::extended(&text.replace("%3A", ":"))
}

impl Vendor {
    /// Verifies at the time at which it was recorded, or at `now`.
    fn verify(&self, recorded: &Recorded, now: Timestamp) -> Result<(), Failure> {
        let Some(head) = recorded.read(self.plus) else { return Err(not_served()) };
        (self.verify)(&head, &recorded.body, now)
    }

    /// What is signed by a scheme that is served, with the time at which it was.
    fn signed(&self) -> Vec<(Recorded, Timestamp)> {
        let good = |recorded: Recorded| {
            let now = (self.date)(&recorded)?;
            self.verify(&recorded, now).is_ok().then_some((recorded, now))
        };
        all(self.folder).into_iter().filter_map(good).collect()
    }
}

#[test]
fn every_recorded_signature_verifies_and_nothing_else_does() {
    let mut failed = Vec::new();
    for vendor in [HUAWEI, ALIBABA] {
        for recorded in all(vendor.folder) {
            let now = (vendor.date)(&recorded).unwrap_or(Timestamp::from_millis(0));
            if let Err(failure) = vendor.verify(&recorded, now) {
                failed.push((recorded.name.clone(), failure));
            }
        }
    }
    let names = |wanted: fn(&Failure) -> bool| {
        let mut names: Vec<&str> =
            failed.iter().filter(|(_, failure)| wanted(failure)).map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(|failure| *failure == Failure::Mismatch), [""; 0]);
    assert_eq!(
        names(|failure| *failure == not_served()),
        [
            "a1-19-x-auth-token-header-via-invoker-still-ak-sk-signed",
            "a1-20-authorization-header-preset-sdk-does-not-sign",
            "a1-21-iam-token-by-password-iamcredentials-unsigned",
            "a1-22-iam-validate-token-w-iamcredentials-token",
            "a1-27-signingalgorithm-hmac-sm3",
            "a1-28-signingalgorithm-ecdsa-p256-sha256",
            "node-acs3-describe_user_permission_weird_uid",
            "node-cred-sts-AssumeRoleWithOIDC",
            "python-acs3-describe_user_permission_weird_uid",
            "python-acs3rsa-describe",
            "python-acs3sm3-describe",
            "python-bearer-describe",
            "python-cred-sts-AssumeRoleWithOIDC",
            "python-stssdk-anon-AssumeRoleWithOIDC",
            "v5-odd-path",
        ]
    );
    let unprotected = names(|failure| *failure == Failure::UnprotectedBody);
    assert_eq!(unprotected, ["node-roa1-update", "python-roa1-update", "python-roa1sts-update"]);
    assert_eq!(failed.len(), 15 + 3, "{failed:?}");
    assert_eq!(ALIBABA.signed().len() + HUAWEI.signed().len() + failed.len(), 74 + 38);
}

/// The reading before authentication refuses an encoded slash. The signatures of such requests are right.
#[test]
fn a_signature_over_a_path_that_is_refused_is_right_in_every_spelling() {
    let mut odd = 0;
    for (vendor, name) in [
        (HUAWEI, "v5-odd-path"),
        (ALIBABA, "python-acs3-describe_user_permission_weird_uid"),
        (ALIBABA, "node-acs3-describe_user_permission_weird_uid"),
    ] {
        let recorded = crate::recorded::one(vendor.folder, name);
        let now = (vendor.date)(&recorded).unwrap();
        let head = recorded.read_whatever_the_path();
        assert_eq!((vendor.verify)(&head, b"", now), Ok(()), "{name}");
        let target = recorded.target.replace("%C3%A9", "%C3%A8").replace("%E4%B8%AD", "%E4%B8%AE");
        let other = Recorded { target, ..recorded }.read_whatever_the_path();
        assert_eq!((vendor.verify)(&other, b"", now), Err(Failure::Mismatch), "{name}");
        odd += 1;
    }
    assert_eq!(odd, 3);
}

#[test]
fn a_body_that_no_signature_covers_counts_only_where_the_operator_allows_it() {
    for name in ["node-roa1-update", "python-roa1-update", "python-roa1sts-update"] {
        let recorded = crate::recorded::one("alibaba", name);
        let now = alibaba_date(&recorded).unwrap();
        let head = recorded.read(Plus::Space).unwrap();
        let check = |body: &[u8], unprotected| alibaba(&head, body, now, unprotected);
        assert_eq!(check(&recorded.body, UnprotectedBody::Refused), Err(Failure::UnprotectedBody));
        assert_eq!(check(&recorded.body, UnprotectedBody::Allowed), Ok(()));
        assert_eq!(check(b"[]", UnprotectedBody::Allowed), Ok(()), "which is why it is off by default");
    }
}

/// The names of the headers that the signature of a request covers.
fn signed_headers(recorded: &Recorded) -> Vec<String> {
    let authorization = recorded.header("authorization").unwrap_or_default();
    if let Some((_, rest)) = authorization.split_once("SignedHeaders=") {
        return rest.split(',').next().unwrap().split(';').map(str::to_owned).collect();
    }
    if !authorization.starts_with("acs ") {
        return Vec::new();
    }
    let fixed = ["accept", "content-md5", "content-type", "date"];
    let added_later = recorded.name.ends_with("CT_MISMATCH");
    let covered = |name: &&String| {
        name.starts_with("x-acs-")
            || (fixed.contains(&name.as_str()) && !(added_later && *name == "content-type"))
    };
    recorded.headers.iter().map(|(name, _)| name).filter(covered).cloned().collect()
}

/// The request with each one of its signed elements changed.
fn changes(recorded: &Recorded) -> Vec<(String, Recorded)> {
    let mut changed = Vec::new();
    let mut push = |what: String, with: Recorded| changed.push((what, with));
    let method = if recorded.method == "GET" { "POST" } else { "GET" };
    push("method".to_owned(), Recorded { method: method.to_owned(), ..recorded.clone() });
    let (path, query) = recorded.target.split_once('?').unwrap_or((&recorded.target, ""));
    let question = if query.is_empty() { "" } else { "?" };
    for other in [format!("{path}x{question}{query}"), format!("/x{path}{question}{query}")] {
        push("path".to_owned(), Recorded { target: other, ..recorded.clone() });
    }
    let pairs = recorded.pairs();
    for index in 0..pairs.len() {
        let with = |pair: Option<String>| {
            let mut pairs = pairs.clone();
            pairs.splice(index..=index, pair);
            recorded.with_pairs(&pairs)
        };
        let pair = &pairs[index];
        push(format!("query {pair} removed"), with(None));
        push(format!("query {pair} longer"), with(Some(format!("{pair}x"))));
        push(format!("query {pair} renamed"), with(Some(format!("x{pair}"))));
    }
    push("query with one more".to_owned(), recorded.with_pairs(&[pairs, vec!["zz=1".to_owned()]].concat()));
    for name in signed_headers(recorded) {
        let value = recorded.header(&name).unwrap();
        push(format!("header {name} longer"), recorded.with_header(&name, Some(&format!("{value}x"))));
        push(format!("header {name} removed"), recorded.with_header(&name, None));
    }
    if !query.contains("Signature=") {
        push("one more header".to_owned(), recorded.with_header("x-acs-zz", Some("1")));
    }
    for index in 0..recorded.body.len() {
        let mut with = recorded.clone();
        with.body[index] ^= 1;
        push(format!("byte {index} of the body"), with);
    }
    let longer = [recorded.body.as_slice(), b" "].concat();
    push("a longer body".to_owned(), Recorded { body: longer, ..recorded.clone() });
    if let Some(authorization) = recorded.header("authorization") {
        let with = |value: &str| recorded.with_header("authorization", Some(value));
        for (known, other) in [
            ("AKEXAMPLE", "LTAI5tTestAccessKey00001"),
            ("LTAI5tTestAccessKey00001", "AKEXAMPLE"),
            ("STS.TestTemp00001", "AKEXAMPLE"),
        ] {
            if authorization.contains(known) {
                push("key".to_owned(), with(&authorization.replace(known, other)));
            }
        }
        let mut characters: Vec<char> = authorization.chars().collect();
        let last = characters.iter().rposition(|character| *character != '=').unwrap();
        characters[last] = if characters[last] == 'a' { 'b' } else { 'a' };
        push("signature".to_owned(), with(&characters.into_iter().collect::<String>()));
        push("half a signature".to_owned(), with(authorization.split_at(authorization.len() - 20).0));
    }
    changed
}

#[test]
fn a_recorded_signature_holds_for_nothing_but_its_own_request() {
    let mut count = 0;
    for vendor in [HUAWEI, ALIBABA] {
        for (recorded, now) in vendor.signed() {
            for (what, changed) in changes(&recorded) {
                // What such a header means belongs to the other vendor's dialect, and is not looked at.
                if vendor.folder == "huawei" && what == "one more header" {
                    continue;
                }
                // A form that is not signed says so by a signed header, and counts only where no JSON is taken.
                let unsigned = recorded.header("x-sdk-content-sha256") == Some("UNSIGNED-PAYLOAD");
                if unsigned && what.contains("body") {
                    continue;
                }
                count += 1;
                let verified = vendor.verify(&changed, now);
                assert!(verified.is_err(), "{}: {what}", recorded.name);
            }
            assert_eq!(vendor.verify(&recorded, now.plus_seconds(15 * 60 + 1)), Err(Failure::Date));
            assert_eq!(vendor.verify(&recorded, now.plus_seconds(-15 * 60 - 1)), Err(Failure::Date));
            assert_eq!(vendor.verify(&recorded, now.plus_seconds(15 * 60)), Ok(()));
        }
    }
    assert!(count > 3000, "only {count} changes");
}

/// The same decoded text for two requests: the older scheme does not escape what it signs.
#[test]
fn the_older_scheme_refuses_what_could_stand_for_another_request() {
    let recorded = crate::recorded::one("alibaba", "oldpy-roa1-clean");
    let now = alibaba_date(&recorded).unwrap();
    assert_eq!(ALIBABA.verify(&recorded, now), Ok(()));
    let swallowed =
        "/users/217500000000000001/permissions?ClusterIds=c1%2Cc+2%26Force%3Dtrue&RegionId=cn-hangzhou";
    let swallowed = Recorded { target: swallowed.to_owned(), ..recorded.clone() };
    assert!(matches!(ALIBABA.verify(&swallowed, now), Err(Failure::Malformed(_))));
    let path = "/users/217500000000000001/permissions%3FClusterIds=c1,c%202?Force=true&RegionId=cn-hangzhou";
    let path = Recorded { target: path.to_owned(), ..recorded };
    assert_eq!(ALIBABA.verify(&path, now), Err(Failure::Mismatch));
}

/// Two headers of one name: which of them was signed would be for the reader to decide.
#[test]
fn a_signed_header_that_comes_twice_is_refused_though_lists_may_come_twice() {
    for name in ["python-acs3-describe_user_permission", "python-roa1-describe"] {
        let recorded = crate::recorded::one("alibaba", name);
        let now = alibaba_date(&recorded).unwrap();
        let mut twice = recorded.clone();
        twice.headers.push(("accept".to_owned(), "text/xml".to_owned()));
        assert!(twice.read(Plus::Space).is_some(), "`accept` is a list");
        assert_eq!(ALIBABA.verify(&recorded, now), Ok(()));
        assert_eq!(ALIBABA.verify(&twice, now), Err(Failure::Mismatch));
    }
}

/// A signature over parameters covers no path, so it must not count where the path says what to do.
#[test]
fn a_signature_over_parameters_counts_on_no_path_but_its_own() {
    let recorded = crate::recorded::one("alibaba", "python-stssdk-rpc1-GetCallerIdentity");
    let now = alibaba_date(&recorded).unwrap();
    let head = recorded.read(Plus::Space).unwrap();
    assert_eq!(signature::shown(&head), signature::Shown::Signature(Scheme::Rpc));
    let elsewhere = Recorded { target: recorded.target.replacen('/', "/clusters", 1), ..recorded.clone() };
    assert_eq!(signature::shown(&elsewhere.read(Plus::Space).unwrap()), signature::Shown::Nothing);
    let token = recorded.with_header("x-acs-security-token", Some("x"));
    assert!(matches!(ALIBABA.verify(&token, now), Err(Failure::Malformed(_))));
    let form = Recorded { body: b"RoleArn=x".to_vec(), ..recorded.clone() };
    let form = form.with_header("content-type", Some("application/x-www-form-urlencoded"));
    assert_eq!(ALIBABA.verify(&form, now), Err(Failure::Mismatch));
}
