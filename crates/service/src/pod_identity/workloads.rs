//! What clusters say about their service accounts and pods. Carried out by `fleet`, which service may not know: hence a
//! trait.

use domain::{ClusterId, Error, Result};
use podidentity::KeySet;

use crate::clusters::connection::Connection;
use crate::clusters::connection::prober::{Blind, Pending};

/// A cluster with the way to it.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Changes whenever the connection does.
    pub version: i64,
    /// The way.
    pub connection: Connection,
}

/// How a cluster signs the tokens of its service accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// As whom it issues them.
    pub issuer: String,
    /// Its keys, from the connection itself and never from an address of the cluster's choice.
    pub keys: KeySet,
}

/// What a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkloadKind {
    /// A service account. One that is being deleted is not alive: nothing new is begun as it.
    ServiceAccount,
    /// A pod. One that is being deleted is alive until it is gone, because it may have to tidy up; one that ran to its end is
    /// not.
    Pod,
}

/// Something that a token names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// What it is.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Asks clusters about what tokens name, over their connections.
pub trait Workloads: Send + Sync {
    /// How the cluster signs, asked now.
    ///
    /// # Errors
    /// `Conflict` with a sentence for people if the cluster refuses, `Unavailable` if it does not answer.
    fn signing<'a>(&'a self, reached: &'a Reached) -> Pending<'a, Result<Signing>>;

    /// Whether that is alive with exactly this uid. It may be known from a watch that is fresh; else it is asked now.
    ///
    /// # Errors
    /// As [`Workloads::signing`]: what could not be asked is not the same as what is gone.
    fn is_alive<'a>(
        &'a self,
        reached: &'a Reached,
        workload: &'a Workload,
        uid: &'a str,
    ) -> Pending<'a, Result<bool>>;

    /// The uid of what is alive under that name, asked now.
    ///
    /// # Errors
    /// As [`Workloads::signing`].
    fn uid<'a>(&'a self, reached: &'a Reached, workload: &'a Workload)
    -> Pending<'a, Result<Option<String>>>;
}

fn nobody<'a, T: Send + 'a>() -> Pending<'a, Result<T>> {
    Box::pin(async { Err(Error::unavailable("this server does not reach clusters", "no workloads")) })
}

impl Workloads for Blind {
    fn signing<'a>(&'a self, _: &'a Reached) -> Pending<'a, Result<Signing>> {
        nobody()
    }

    fn is_alive<'a>(&'a self, _: &'a Reached, _: &'a Workload, _: &'a str) -> Pending<'a, Result<bool>> {
        nobody()
    }

    fn uid<'a>(&'a self, _: &'a Reached, _: &'a Workload) -> Pending<'a, Result<Option<String>>> {
        nobody()
    }
}
