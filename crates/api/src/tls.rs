//! The listener's certificate, which may be replaced while it serves: new connections get the new one, those that are
//! there go on.

use std::sync::{Arc, PoisonError, RwLock};

use domain::Timestamp;
use rustls::ServerConfig;

/// What TLS needs, shared by the listener and whoever replaces it.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Served>>);

struct Served {
    config: Arc<ServerConfig>,
    status: TlsStatus,
}

/// What may be known about the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsStatus {
    /// When it ends, if that could be read.
    pub end: Option<Timestamp>,
    /// Whether what should have taken its place could not be used.
    pub failing: bool,
}

impl Tls {
    /// Serves with this configuration, whose certificate ends at `end`.
    #[must_use]
    pub fn new(config: ServerConfig, end: Option<Timestamp>) -> Self {
        let status = TlsStatus { end, failing: false };
        Self(Arc::new(RwLock::new(Served { config: Arc::new(config), status })))
    }

    /// Serves new connections as `other` does.
    pub fn replace(&self, other: &Self) {
        let (config, status) = (other.config(), other.status());
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Served { config, status };
    }

    /// Notes that what should have taken its place cannot be used.
    pub fn note_failure(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).status.failing = true;
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> TlsStatus {
        self.0.read().unwrap_or_else(PoisonError::into_inner).status
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).config)
    }
}
