//! Asking an API server before anything is decided about it. Carried out by `fleet`, which service may not know: hence a
//! trait.

use std::future::Future;
use std::pin::Pin;

use domain::{ClusterIdentity, Error, Result};

use super::Connection;

/// An answer that takes its time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Looks at what is behind a connection.
pub trait Prober: Send + Sync {
    /// Which cluster it is, over verified TLS. What may not be read is left out.
    ///
    /// # Errors
    /// `Conflict` with a sentence for people if the API server does not answer or refuses the credential.
    fn identify<'a>(&'a self, connection: &'a Connection) -> Pending<'a, Result<ClusterIdentity>>;
}

/// Looks at nothing: for servers that have no fleet.
pub(crate) struct Blind;

impl Prober for Blind {
    fn identify<'a>(&'a self, _: &'a Connection) -> Pending<'a, Result<ClusterIdentity>> {
        let error = || Error::unavailable("this server does not reach clusters", "no prober");
        Box::pin(async move { Err(error()) })
    }
}
