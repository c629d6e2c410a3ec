//! A new key and the request for a certificate of it: a name and nothing else.
//!
//! The key is made and used here alone. It is written nowhere but into the kubeconfig of who asked for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Error, Result, Secret};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use zeroize::Zeroizing;

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const UTF8_STRING: u8 = 0x0c;
/// `2.5.4.3`, which is called common name.
pub(super) const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
/// Public keys on the curve P-256.
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07,
];
/// ECDSA with SHA-256.
const ECDSA: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// A key and the request for its certificate.
#[derive(Debug)]
pub(super) struct Requested {
    /// The request (PKCS #10) as PEM.
    pub(super) csr_pem: String,
    /// The private key (PKCS #8) as PEM.
    pub(super) key_pem: Secret,
    /// The public key, as certificates hold it: the content of their `SubjectPublicKeyInfo`.
    pub(super) public_key: Vec<u8>,
}

/// A new key with a request for a certificate that names `user`, and no groups.
///
/// # Errors
/// `Internal` if no key can be made.
pub(super) fn new(user: &str) -> Result<Requested> {
    // Keys come from the generator that TLS has too: the library takes no other.
    let random = SystemRandom::new();
    let failed = |_| Error::internal("no key could be made");
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).map_err(failed)?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random)
        .map_err(|_| Error::internal("a key that was just made is not one"))?;
    let public_key = [P256, &bits(key.public_key().as_ref())].concat();
    let name = element(
        SEQUENCE,
        &[&element(SET, &[&element(SEQUENCE, &[COMMON_NAME, &element(UTF8_STRING, &[user.as_bytes()])])])],
    );
    // Version 0, and no attributes.
    let info =
        element(SEQUENCE, &[&[0x02, 0x01, 0x00], &name, &element(SEQUENCE, &[&public_key]), &[0xa0, 0x00]]);
    let signature = key.sign(&random, &info).map_err(failed)?;
    let request = element(SEQUENCE, &[&info, ECDSA, &bits(signature.as_ref())]);
    Ok(Requested {
        csr_pem: pem("CERTIFICATE REQUEST", &request).to_string(),
        key_pem: Secret::new(std::mem::take(&mut *pem("PRIVATE KEY", document.as_ref()))),
        public_key,
    })
}

/// A bit string of whole bytes.
fn bits(bytes: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], bytes])
}

/// An element of DER.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let digits: Vec<u8> = length.iter().copied().skip_while(|digit| *digit == 0).collect();
    let mut der = vec![tag];
    match (digits.as_slice(), u8::try_from(digits.len())) {
        ([], _) => der.push(0),
        ([short @ ..0x80], _) => der.push(*short),
        (long, count) => {
            der.push(0x80 | count.unwrap_or(8));
            der.extend(long);
        }
    }
    der.extend(content);
    der
}

/// The PEM of something in DER, wiped when dropped.
pub(super) fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // As large as it gets: a text that moves leaves a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 64));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for (at, letter) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_der_wants_them() {
        for (length, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (256, &[4, 0x82, 1, 0]),
            (70_000, &[4, 0x83, 1, 0x11, 0x70]),
        ] {
            let der = element(4, &[&vec![7; length]]);
            assert_eq!(&der[..head.len()], head, "{length}");
            assert_eq!(der.len(), head.len() + length, "{length}");
        }
    }

    #[test]
    fn keys_are_never_the_same_and_never_printed() {
        let (one, other) = (new("ann:1").unwrap(), new("ann:1").unwrap());
        assert_ne!(one.key_pem.expose(), other.key_pem.expose());
        let body = one.key_pem.expose().lines().nth(1).unwrap().to_owned();
        assert!(!format!("{one:?}").contains(&body));
        assert!(!one.csr_pem.contains(&body));
    }
}
