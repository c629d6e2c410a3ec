//! What a cluster signed is looked at before anybody has it: a cluster's operator decides what comes back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::{COMMON_NAME, SEQUENCE, SET, UTF8_STRING, pem};
use domain::Timestamp;

use crate::clusters::connection::expiry::{element, time};

/// The longest answer that is looked at: a certificate with those that vouch for it.
const MAX_TEXT: usize = 64 << 10;
/// The most certificates in it.
const MAX_CHAIN: usize = 10;
/// So far a cluster's clock may be ahead of ours, in seconds.
const SKEW: i64 = 5 * 60;

/// A certificate that is what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// It, and those that vouch for it, as PEM that was written anew.
    pub(super) pem: String,
    /// When it says that it ends.
    pub(super) not_after: Timestamp,
}

/// Takes what a cluster signed if it is a certificate of the key, names `user` and nothing else, and is good now.
///
/// # Errors
/// What is wrong, to follow "the cluster signed".
pub(super) fn check(
    answer: &str,
    public_key: &[u8],
    user: &str,
    now: Timestamp,
) -> Result<Signed, &'static str> {
    let chain = certificates(answer).ok_or("something that is not a certificate")?;
    let first = chain.first().ok_or("something that is not a certificate")?;
    let found = read(first).ok_or("a certificate that cannot be read")?;
    if found.public_key != public_key {
        return Err("a certificate of another key");
    }
    if common_name(found.subject) != Some(user.as_bytes()) {
        return Err("a certificate that names somebody else, or more than was asked for");
    }
    if found.not_before > now.plus_seconds(SKEW) {
        return Err("a certificate that is not good yet");
    }
    if found.not_after <= now {
        return Err("a certificate that is over already");
    }
    let pem = chain.iter().map(|der| pem("CERTIFICATE", der).to_string()).collect();
    Ok(Signed { pem, not_after: found.not_after })
}

/// The certificates of a PEM text, as DER.
fn certificates(text: &str) -> Option<Vec<Vec<u8>>> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let parts = text.split("-----BEGIN CERTIFICATE-----").skip(1).take(MAX_CHAIN);
    let decode = |part: &str| {
        let (body, _) = part.split_once("-----END CERTIFICATE-----")?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        STANDARD.decode(body).ok()
    };
    parts.map(decode).collect()
}

/// What is looked at of a certificate.
struct Certificate<'a> {
    not_before: Timestamp,
    not_after: Timestamp,
    subject: &'a [u8],
    public_key: &'a [u8],
}

fn read(der: &[u8]) -> Option<Certificate<'_>> {
    const VERSION: u8 = 0xa0;
    let sequence = |der| element(der).filter(|(tag, _, _)| *tag == SEQUENCE);
    let (_, whole, _) = sequence(der).filter(|(_, _, rest)| rest.is_empty())?;
    let (_, mut fields, _) = sequence(whole)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, fields) = sequence(fields)?;
    let (_, subject, fields) = sequence(fields)?;
    let (_, public_key, _) = sequence(fields)?;
    let (from_tag, from, validity) = element(validity)?;
    let (to_tag, to, _) = element(validity)?;
    Some(Certificate {
        not_before: time(from_tag, std::str::from_utf8(from).ok()?)?,
        not_after: time(to_tag, std::str::from_utf8(to).ok()?)?,
        subject,
        public_key,
    })
}

/// The one name in a subject that holds nothing else: no organization, which would be a group, and no second name.
fn common_name(subject: &[u8]) -> Option<&[u8]> {
    const PRINTABLE_STRING: u8 = 0x13;
    let only = |der, tag| element(der).filter(|(found, _, rest)| *found == tag && rest.is_empty());
    let (_, set, _) = only(subject, SET)?;
    let (_, attribute, _) = only(set, SEQUENCE)?;
    let value = attribute.strip_prefix(COMMON_NAME)?;
    let (tag, name, rest) = element(value)?;
    ([UTF8_STRING, PRINTABLE_STRING].contains(&tag) && rest.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use der::element as der;

    use super::super::request::{Requested, new};
    use super::*;

    const ORGANIZATION: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x0a];

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-22T00:00:00Z").unwrap()
    }

    fn attribute(kind: &[u8], tag: u8, value: &str) -> Vec<u8> {
        der(SEQUENCE, &[kind, &der(tag, &[value.as_bytes()])])
    }

    /// A certificate as clusters sign them; nobody looks at the signature.
    fn certificate(public_key: &[u8], subject: &[u8], from: &str, to: &str) -> Vec<u8> {
        let validity = der(SEQUENCE, &[&der(0x17, &[from.as_bytes()]), &der(0x17, &[to.as_bytes()])]);
        let head: &[u8] = &[0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x07, 0x30, 0x00, 0x30, 0x00];
        let key = der(SEQUENCE, &[public_key]);
        let body = der(SEQUENCE, &[head, &validity, &der(SEQUENCE, &[subject]), &key]);
        der(SEQUENCE, &[&body, &[0x30, 0x00, 0x03, 0x01, 0x00]])
    }

    fn usual(public_key: &[u8], subject: &[u8]) -> String {
        pem("CERTIFICATE", &certificate(public_key, subject, "261121235500Z", "271122000000Z")).to_string()
    }

    fn ann() -> (Requested, Vec<u8>) {
        let subject = der(SET, &[&attribute(COMMON_NAME, UTF8_STRING, "ann:1")]);
        (new("ann:1").unwrap(), subject)
    }

    #[test]
    fn what_was_asked_for_is_taken_with_those_that_vouch_for_it_and_nothing_around_it() {
        let (asked, subject) = ann();
        let printable = der(SET, &[&attribute(COMMON_NAME, 0x13, "ann:1")]);
        for subject in [subject, printable] {
            let leaf = usual(&asked.public_key, &subject);
            let answer = format!("exec: evil\n{leaf}\n# more\n{}", usual(b"x", &subject));
            let signed = check(&answer, &asked.public_key, "ann:1", now()).unwrap();
            assert_eq!(signed.not_after, Timestamp::parse_rfc3339("2027-11-22T00:00:00Z").unwrap());
            assert_eq!(signed.pem, format!("{leaf}{}", usual(b"x", &subject)));
        }
    }

    #[test]
    fn whatever_else_a_cluster_signs_is_refused() {
        let (asked, subject) = ann();
        let (key, other) = (&asked.public_key, &new("ann:1").unwrap().public_key);
        let group = der(SET, &[&attribute(ORGANIZATION, UTF8_STRING, "system:masters")]);
        let bob = der(SET, &[&attribute(COMMON_NAME, UTF8_STRING, "bob")]);
        let twice = der(
            SET,
            &[&attribute(COMMON_NAME, UTF8_STRING, "ann:1"), &attribute(ORGANIZATION, UTF8_STRING, "ops")],
        );
        let more = |first: &[u8], second: &[u8]| [first, second].concat();
        let at = |from, to| pem("CERTIFICATE", &certificate(key, &subject, from, to)).to_string();
        for (answer, what) in [
            (usual(other, &subject), "another key"),
            (usual(key, &bob), "somebody else"),
            (usual(key, &more(&group, &subject)), "more than was asked"),
            (usual(key, &more(&subject, &group)), "more than was asked"),
            (usual(key, &more(&subject, &bob)), "more than was asked"),
            (usual(key, &twice), "more than was asked"),
            (usual(key, &[]), "somebody else"),
            (at("261122000501Z", "271122000000Z"), "not good yet"),
            (at("261121235500Z", "261122000000Z"), "over already"),
            (at("261121235500Z", "2711220000Z"), "cannot be read"),
            (String::new(), "not a certificate"),
            ("-----BEGIN CERTIFICATE-----".to_owned(), "not a certificate"),
            (format!("{}{}", usual(key, &subject), "x".repeat(MAX_TEXT)), "not a certificate"),
        ] {
            let refused = check(&answer, key, "ann:1", now()).unwrap_err();
            assert!(refused.contains(what), "{refused}, not {what}");
        }
    }

    #[test]
    fn whatever_is_cut_off_or_changed_is_no_panic() {
        let (asked, subject) = ann();
        let whole = certificate(&asked.public_key, &subject, "261121235500Z", "271122000000Z");
        assert!(read(&whole).is_some());
        for length in 0..whole.len() {
            assert!(read(whole.get(..length).unwrap()).is_none(), "{length}");
        }
        for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            let _ = check(&pem("CERTIFICATE", &changed), &asked.public_key, "ann:1", now());
        }
    }
}
