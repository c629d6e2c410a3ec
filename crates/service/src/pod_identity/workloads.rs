//! What clusters say about their service accounts and pods. Carried out by `fleet`, which service may not know: hence a
//! trait.

use domain::{Error, Result};
use podidentity::KeySet;

use crate::clusters::connection::Connection;
use crate::clusters::connection::prober::{Blind, Pending};

/// How a cluster signs the tokens of its service accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// As whom it issues them.
    pub issuer: String,
    /// Its keys, from the connection itself and never from an address of the cluster's choice.
    pub keys: KeySet,
}

/// Something that a token names: it is alive if there is one with that uid, and it is not being deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Workload {
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
    /// A pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
}

/// Asks clusters about what tokens name, over their connections.
pub trait Workloads: Send + Sync {
    /// How the cluster signs, asked now.
    ///
    /// # Errors
    /// `Conflict` with a sentence for people if the cluster refuses, `Unavailable` if it does not answer.
    fn signing<'a>(&'a self, connection: &'a Connection) -> Pending<'a, Result<Signing>>;

    /// Whether that is alive, asked now: not from memory.
    ///
    /// # Errors
    /// As [`Workloads::signing`]: what could not be asked is not the same as what is gone.
    fn is_alive<'a>(
        &'a self,
        connection: &'a Connection,
        workload: &'a Workload,
    ) -> Pending<'a, Result<bool>>;
}

fn nobody<'a, T: Send + 'a>() -> Pending<'a, Result<T>> {
    Box::pin(async { Err(Error::unavailable("this server does not reach clusters", "no workloads")) })
}

impl Workloads for Blind {
    fn signing<'a>(&'a self, _: &'a Connection) -> Pending<'a, Result<Signing>> {
        nobody()
    }

    fn is_alive<'a>(&'a self, _: &'a Connection, _: &'a Workload) -> Pending<'a, Result<bool>> {
        nobody()
    }
}
