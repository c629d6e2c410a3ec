//! The listener's certificate.

use std::path::Path;
use std::sync::Arc;

use api::Tls;
use domain::{Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Reads certificate chain and key.
///
/// # Errors
/// `Invalid` naming the file and what is wrong with it; its content is not repeated.
pub fn read(cert: &Path, key: &Path) -> Result<Tls> {
    let bad =
        |field: &str, path: &Path, what: &str| Error::invalid(field, format!("{}: {what}", path.display()));
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|_| bad("tls_cert", cert, "is not a PEM certificate chain"))?;
    if chain.is_empty() {
        return Err(bad("tls_cert", cert, "holds no certificate"));
    }
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|_| bad("tls_key", key, "is not a PEM private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .map_err(|_| bad("tls_cert", cert, "does not go with the key"))?;
    Ok(Tls::new(config))
}
