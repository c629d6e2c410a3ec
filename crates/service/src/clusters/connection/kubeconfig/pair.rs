//! Whether a client certificate and a private key belong together, by the library that will prove it to the API server.
//! What does not would be told only when the cluster is connected to, as a failure of the cluster.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

const CERTIFICATE: &str = "holds a `user.client-certificate-data` that is refused: it must be X.509 certificates of \
                           version 3, the client's own first";
const KEY: &str = "holds a `user.client-key-data` that is refused: it must be a private key of a kind that is supported: \
                   RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519";
const MISMATCH: &str = "must hold the key that belongs to the certificate: `user.client-key-data` is the key of another \
                        certificate than `user.client-certificate-data`";

/// Refuses what could not be used.
pub(super) fn check(certificate_pem: &str, key_pem: &str) -> Result<(), String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect();
    let chain = chain.map_err(|_| CERTIFICATE)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| KEY)?;
    let key = ring::sign::any_supported_type(&key).map_err(|_| KEY)?;
    match CertifiedKey::new(chain, key).keys_match() {
        Ok(()) => Ok(()),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(MISMATCH.to_owned()),
        Err(_) => Err(CERTIFICATE.to_owned()),
    }
}
