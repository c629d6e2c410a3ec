//! The listener's certificate: read at the start, and again when its files change.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::Tls;
use domain::{Error, Result, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use service::clusters::connection::expiry;
use service::clusters::expiring::Soon;

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
    let end = chain.first().and_then(|leaf| expiry::of_certificate(leaf));
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|_| bad("tls_key", key, "is not a PEM private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .map_err(|_| bad("tls_cert", cert, "does not go with the key"))?;
    Ok(Tls::new(config, end))
}

/// Looks at the files again and again, and serves what is in them when it changed. Both files are read together; a pair
/// that cannot be used changes nothing.
pub struct Watch {
    cert: PathBuf,
    key: PathBuf,
    tls: Tls,
    /// What was read last.
    read: Option<Seen>,
    /// What cannot be used, once it was seen twice: in between, only one of the files may have been replaced yet.
    broken: Option<Seen>,
    warned: Option<Soon>,
}

/// By what a replaced file is known: inode, size and time of change of both.
type Seen = [(u64, u64, i64, i64); 2];

impl Watch {
    /// Reads the files and watches them from then on.
    ///
    /// # Errors
    /// As [`read`].
    pub fn open(cert: &Path, key: &Path) -> Result<Self> {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        let found = seen(&cert, &key);
        let tls = read(&cert, &key)?;
        Ok(Self { cert, key, tls, read: found, broken: None, warned: None })
    }

    /// What is served.
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Reads the files if they changed, or the operator wants it.
    pub fn look(&mut self, asked: Asked, now: Timestamp) {
        let found = seen(&self.cert, &self.key);
        if asked == Asked::ByOperator || found != self.read {
            match read(&self.cert, &self.key) {
                Ok(new) => self.take(&new, found),
                Err(error) => self.refuse(&error, found, asked),
            }
        }
        self.warn(now);
    }

    fn take(&mut self, new: &Tls, found: Option<Seen>) {
        self.tls.replace(new);
        (self.read, self.broken, self.warned) = (found, None, None);
        let end = new.status().end.map_or_else(|| "an unknown end".to_owned(), |end| end.to_string());
        tracing::info!("serving the certificate in {} from now on; it ends on {end}", self.cert.display());
    }

    fn refuse(&mut self, error: &Error, found: Option<Seen>, asked: Asked) {
        if asked == Asked::ByOperator || self.broken == Some(found.unwrap_or_default()) {
            tracing::error!(?error, "cannot serve the new certificate, the former one stays: {error}");
            self.tls.note_failure();
            self.read = found;
        }
        self.broken = Some(found.unwrap_or_default());
    }

    /// Says once that there are two weeks left, seven days, one day, none.
    fn warn(&mut self, now: Timestamp) {
        let Some(end) = self.tls.status().end else { return };
        let soon = Soon::of(end, now);
        if soon > self.warned {
            tracing::warn!(%end, "the certificate that is served ends on {end}: put another in {}", self.cert.display());
            self.warned = soon;
        }
    }
}

/// Who wants the files to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The clock.
    ByTime,
    /// The operator, by SIGHUP.
    ByOperator,
}

/// `None` while one of them is not there.
fn seen(cert: &Path, key: &Path) -> Option<Seen> {
    let of = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    };
    Some([of(cert)?, of(key)?])
}
