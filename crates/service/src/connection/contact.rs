//! What is done in a cluster while a caller waits, and not by its worker. Carried out by `fleet`, which service may not
//! know: hence a trait.

use std::collections::BTreeSet;

use domain::{Error, Namespace, Result};
use rbac::{ObjectName, Owner};

use super::Connection;
use super::prober::{Blind, Pending};

/// A certificate to be signed.
#[derive(Clone, Debug)]
pub struct SigningRequest {
    /// What the object in the cluster is called. It is deleted again, whatever comes of it.
    pub name: String,
    /// The request (PKCS #10) as PEM.
    pub csr_pem: String,
    /// For how many seconds it is to be good. API servers before 1.22 do not listen.
    pub seconds: i64,
}

/// Whose bindings in a cluster are ours.
#[derive(Clone, Debug)]
pub struct Ours {
    /// Who marks them.
    pub owner: Owner,
    /// The names that were written down before they were applied.
    pub recorded: BTreeSet<ObjectName>,
}

/// Speaks to API servers for somebody who waits.
pub trait Contact: Send + Sync {
    /// Has a client certificate signed by the cluster's own authority: as PEM, as it came.
    ///
    /// # Errors
    /// `Conflict` with a sentence for people if the cluster refuses, or does not sign in time.
    fn sign<'a>(
        &'a self,
        connection: &'a Connection,
        request: &'a SigningRequest,
    ) -> Pending<'a, Result<String>>;

    /// The first binding that is not ours and names one of `users`, in words: which binding, and whom.
    ///
    /// # Errors
    /// `Conflict` with a sentence for people if that cannot be told.
    fn foreign_users<'a>(
        &'a self,
        connection: &'a Connection,
        ours: &'a Ours,
        users: &'a [String],
    ) -> Pending<'a, Result<Option<String>>>;

    /// The cluster's namespaces, by name.
    ///
    /// # Errors
    /// `Conflict` with a sentence for people if the cluster refuses or does not answer.
    fn namespaces<'a>(&'a self, connection: &'a Connection) -> Pending<'a, Result<Vec<Namespace>>>;
}

fn nobody<'a, T: Send + 'a>() -> Pending<'a, Result<T>> {
    Box::pin(async { Err(Error::unavailable("this server does not reach clusters", "no contact")) })
}

impl Contact for Blind {
    fn sign<'a>(&'a self, _: &'a Connection, _: &'a SigningRequest) -> Pending<'a, Result<String>> {
        nobody()
    }

    fn foreign_users<'a>(
        &'a self,
        _: &'a Connection,
        _: &'a Ours,
        _: &'a [String],
    ) -> Pending<'a, Result<Option<String>>> {
        nobody()
    }

    fn namespaces<'a>(&'a self, _: &'a Connection) -> Pending<'a, Result<Vec<Namespace>>> {
        nobody()
    }
}
