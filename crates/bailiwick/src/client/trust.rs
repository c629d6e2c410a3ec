//! Which certificate authorities vouch for the server: those of a file, or the system's.

use std::path::Path;

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::failure::Failure;

/// Where systems keep the authorities they trust: Debian and Alpine, Fedora, SUSE, the BSDs and macOS.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The authorities of `file` alone.
///
/// # Errors
/// If it cannot be read or holds no certificate.
pub fn from_file(file: &Path) -> Result<RootCerts, Failure> {
    let pem = std::fs::read(file).map_err(|error| {
        Failure::refused(format!("cannot read the certificate authorities of `{}`: {error}", file.display()))
    })?;
    let certificates = certificates(&pem);
    if certificates.is_empty() {
        return Err(Failure::refused(format!(
            "`{}` must hold certificates in PEM: it holds none that can be read",
            file.display()
        )));
    }
    Ok(certificates.into())
}

/// The system's authorities. None at all is no failure here: then no server is trusted, and the call says so.
#[must_use]
pub fn from_system() -> RootCerts {
    SYSTEM_BUNDLES
        .iter()
        .filter_map(|bundle| std::fs::read(bundle).ok())
        .map(|pem| certificates(&pem))
        .find(|certificates| !certificates.is_empty())
        .unwrap_or_default()
        .into()
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            // Keys and what we cannot read vouch for nobody.
            Ok(_) | Err(_) => None,
        })
        .collect()
}
