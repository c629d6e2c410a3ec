//! Certificates of the webhook: an authority of its own, and what it signs for the listener. Made here, renewed in time.
//!
//! Everything is one [`Chain`], which replicas share as a Secret. What is due is decided from it and an instant alone.

use der::{ECDSA, P256, SEQUENCE, bits, common_name, element, pem};
use domain::{Secret, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

/// So far the clock of an API server may be behind ours, in seconds.
const SKEW: i64 = 300;
/// As many lives of what it signs is the life of an authority.
const AUTHORITY_LIVES: i64 = 4;
/// The longest, in seconds, that a new authority is only believed in before it signs.
const LONGEST_SETTLING: i64 = 60;

const OCTETS: u8 = 0x04;
const INTEGER: u8 = 0x02;
const YES: &[u8] = &[0x01, 0x01, 0xff];
const BASIC_CONSTRAINTS: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x25];
const SERVER_AUTH: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const ALTERNATIVE_NAMES: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];
/// Digital signature.
const SIGNS: &[u8] = &[0x03, 0x02, 0x07, 0x80];
/// Signature of certificates.
const SIGNS_CERTIFICATES: &[u8] = &[0x03, 0x02, 0x02, 0x04];

/// From when to when something is good, as milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    from: i64,
    to: i64,
}

impl Span {
    fn of(now: Timestamp, seconds: i64) -> Self {
        Self { from: now.as_millis(), to: now.plus_seconds(seconds).as_millis() }
    }

    /// Whether two thirds of it are over, or it has not begun.
    fn is_due(self, now: Timestamp) -> bool {
        let now = now.as_millis();
        now < self.from || now >= self.from + (self.to - self.from) / 3 * 2
    }
}

/// What is known about a chain beside the certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Name of the authority that signs from now on.
    authority: String,
    authority_span: Span,
    /// Name of the authority that signed the certificate.
    signed_by: String,
    span: Span,
    /// For whom the certificate is.
    names: Vec<String>,
}

/// An authority and a certificate of it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// What is known about it.
    pub about: About,
    /// Who is believed: the authority, and the one before it. PEM.
    pub bundle: String,
    /// The key of the authority. PEM.
    pub authority_key: Secret,
    /// The certificate of the listener. PEM.
    pub certificate: String,
    /// Its key. PEM.
    pub key: Secret,
}

impl Chain {
    /// A new one, for these names and addresses.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn new(names: &[String], life: i64, now: Timestamp) -> Result<Self, String> {
        let authority = Authority::new(life, now)?;
        let (certificate, key) = authority.sign(names, now, life)?;
        let name = authority.name.clone();
        Ok(Self {
            about: About {
                authority: name.clone(),
                authority_span: Span::of(now, life.saturating_mul(AUTHORITY_LIVES)),
                signed_by: name,
                span: Span::of(now, life),
                names: names.to_vec(),
            },
            bundle: authority.certificate,
            authority_key: authority.key,
            certificate,
            key,
        })
    }

    /// What has to come in its place now, if anything has.
    ///
    /// A new authority is believed in for a while before it signs, so that no API server meets what it does not know.
    ///
    /// # Errors
    /// If there is no randomness, or the authority's key is none.
    pub fn renewed(&self, names: &[String], life: i64, now: Timestamp) -> Result<Option<Self>, String> {
        let about = &self.about;
        let mut next = self.clone();
        if about.authority_span.is_due(now) {
            if about.authority_span.to <= now.as_millis() {
                return Self::new(names, life, now).map(Some);
            }
            let authority = Authority::new(life, now)?;
            let current = certificates(&self.bundle).next().unwrap_or_default();
            next.bundle = format!("{}{current}", authority.certificate);
            next.authority_key = authority.key;
            next.about.authority = authority.name;
            next.about.authority_span = Span::of(now, life.saturating_mul(AUTHORITY_LIVES));
            return Ok(Some(next));
        }
        let settled = about.authority_span.from + settling(life) * 1000 <= now.as_millis();
        let by_older = about.signed_by != about.authority;
        let is_almost_over = about.span.to <= now.as_millis() + settling(life) * 1000;
        if by_older && !settled && !is_almost_over {
            // Signed now, it could be met by an API server that has not heard of its authority.
            return Ok(None);
        }
        if (by_older && settled) || about.span.is_due(now) || about.names != names {
            let authority = Authority::stored(&about.authority, self.authority_key.clone());
            let (certificate, key) = authority.sign(names, now, life)?;
            next.certificate = certificate;
            next.key = key;
            next.about.signed_by.clone_from(&about.authority);
            next.about.span = Span::of(now, life);
            next.about.names = names.to_vec();
            return Ok(Some(next));
        }
        Ok(None)
    }
}

/// How long, in seconds, a new authority is only believed in.
fn settling(life: i64) -> i64 {
    (life / 6).clamp(1, LONGEST_SETTLING)
}

/// The certificates of a PEM text, one by one.
fn certificates(bundle: &str) -> impl Iterator<Item = &str> {
    bundle.split_inclusive("-----END CERTIFICATE-----\n")
}

struct Authority {
    name: String,
    certificate: String,
    key: Secret,
}

impl Authority {
    fn new(life: i64, now: Timestamp) -> Result<Self, String> {
        // Two authorities never have one name: who checks finds the right one by it.
        let name = format!("bailiwick webhook {}", hexadecimal(&random::<8>()?));
        let (key, public_key) = new_key()?;
        let extensions = [
            extension(BASIC_CONSTRAINTS, &element(SEQUENCE, &[YES])),
            extension(KEY_USAGE, SIGNS_CERTIFICATES),
        ];
        let span = (now.plus_seconds(-SKEW), now.plus_seconds(life.saturating_mul(AUTHORITY_LIVES)));
        let body = body(&name, &name, span, &public_key, &extensions)?;
        let certificate = signed(&body, &key)?;
        Ok(Self { name, certificate, key: pem_of_key(&key) })
    }

    fn stored(name: &str, key: Secret) -> Self {
        Self { name: name.to_owned(), certificate: String::new(), key }
    }

    fn sign(&self, names: &[String], now: Timestamp, life: i64) -> Result<(String, Secret), String> {
        let (key, public_key) = new_key()?;
        let mut alternatives = Vec::new();
        for name in names {
            alternatives.extend(match name.parse::<std::net::IpAddr>() {
                Ok(std::net::IpAddr::V4(address)) => element(0x87, &[&address.octets()]),
                Ok(std::net::IpAddr::V6(address)) => element(0x87, &[&address.octets()]),
                Err(_) => element(0x82, &[name.as_bytes()]),
            });
        }
        let extensions = [
            extension(KEY_USAGE, SIGNS),
            extension(EXTENDED_KEY_USAGE, &element(SEQUENCE, &[SERVER_AUTH])),
            extension(ALTERNATIVE_NAMES, &element(SEQUENCE, &[&alternatives])),
        ];
        let span = (now.plus_seconds(-SKEW), now.plus_seconds(life));
        let body = body(&self.name, "bailiwick webhook", span, &public_key, &extensions)?;
        let own = rustls::pki_types::PrivatePkcs8KeyDer::from_pem_slice(self.key.expose().as_bytes())
            .map_err(|_| "the key of the authority is none".to_owned())?;
        Ok((signed(&body, own.secret_pkcs8_der())?, pem_of_key(&key)))
    }
}

/// What is signed of a certificate.
fn body(
    issuer: &str,
    subject: &str,
    (from, to): (Timestamp, Timestamp),
    public_key: &[u8],
    extensions: &[Vec<u8>],
) -> Result<Vec<u8>, String> {
    let mut serial = random::<16>()?;
    // Positive, and without a zero in front.
    serial[0] = (serial[0] & 0x3f) | 0x40;
    let extensions = element(0xa3, &[&element(SEQUENCE, &[&extensions.concat()])]);
    Ok(element(
        SEQUENCE,
        &[
            // Version 3.
            &[0xa0, 0x03, 0x02, 0x01, 0x02],
            &element(INTEGER, &[&serial]),
            ECDSA,
            &common_name(issuer),
            &element(SEQUENCE, &[&instant(from), &instant(to)]),
            &common_name(subject),
            &element(SEQUENCE, &[public_key]),
            &extensions,
        ],
    ))
}

/// An instant, in the form that its year asks for.
fn instant(at: Timestamp) -> Vec<u8> {
    let year = at.format("%Y");
    if year.as_str() < "2050" {
        element(0x17, &[at.format("%y%m%d%H%M%SZ").as_bytes()])
    } else {
        element(0x18, &[at.format("%Y%m%d%H%M%SZ").as_bytes()])
    }
}

/// A critical extension; that of the names is the only one of which nobody has to know that.
fn extension(kind: &[u8], value: &[u8]) -> Vec<u8> {
    let value = element(OCTETS, &[value]);
    if kind == ALTERNATIVE_NAMES || kind == EXTENDED_KEY_USAGE {
        return element(SEQUENCE, &[kind, &value]);
    }
    element(SEQUENCE, &[kind, YES, &value])
}

fn signed(body: &[u8], key: &[u8]) -> Result<String, String> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key, &random)
        .map_err(|_| "the key of the authority is none".to_owned())?;
    let signature = key.sign(&random, body).map_err(|_| "nothing could be signed".to_owned())?;
    let certificate = element(SEQUENCE, &[body, ECDSA, &bits(signature.as_ref())]);
    Ok(pem("CERTIFICATE", &certificate).to_string())
}

/// A new key (PKCS #8), and its public half as certificates hold it.
fn new_key() -> Result<(zeroize::Zeroizing<Vec<u8>>, Vec<u8>), String> {
    let failed = || "no key could be made".to_owned();
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| failed())?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).map_err(|_| failed())?;
    let public_key = [P256, &bits(pair.public_key().as_ref())].concat();
    Ok((zeroize::Zeroizing::new(document.as_ref().to_vec()), public_key))
}

fn pem_of_key(key: &[u8]) -> Secret {
    Secret::new(std::mem::take(&mut *pem("PRIVATE KEY", key)))
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "there is no randomness".to_owned())?;
    Ok(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
