//! A new key and the request for a certificate of it: a name and nothing else.
//!
//! The key is made and used here alone. It is written nowhere but into the kubeconfig of who asked for it.

use der::{ECDSA, P256, SEQUENCE, bits, common_name, element, pem};
use domain::{Error, Result, Secret};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

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
    let name = common_name(user);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_never_the_same_and_never_printed() {
        let (one, other) = (new("ann:1").unwrap(), new("ann:1").unwrap());
        assert_ne!(one.key_pem.expose(), other.key_pem.expose());
        let body = one.key_pem.expose().lines().nth(1).unwrap().to_owned();
        assert!(!format!("{one:?}").contains(&body));
        assert!(!one.csr_pem.contains(&body));
    }
}
