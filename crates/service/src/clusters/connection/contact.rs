//! What is done in a cluster while a caller waits, and not by its worker. Carried out by `fleet`, which service may not
//! know: hence a trait.

use std::collections::BTreeSet;

use domain::{Error, Namespace, Result};
use rbac::probe::Probe;
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

/// What a cluster says about the credential of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// What was asked, in its order: whether it is allowed.
    pub allowed: Vec<bool>,
    /// Whose the credential is, as the API server calls them, if that can be told.
    pub identity: Option<String>,
}

/// Why a cluster could not be asked, precisely. That tells about our network: it is for those who may say where a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unasked(pub String);

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

    /// Whether the API server lets the connection's own credential do each of `questions`. All of them are answered, or
    /// it is an error: what could not be asked is not the same as what is not allowed.
    ///
    /// # Errors
    /// [`Unasked`].
    fn review<'a>(
        &'a self,
        connection: &'a Connection,
        questions: &'a [Probe],
    ) -> Pending<'a, Result<Reviewed, Unasked>>;
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

    fn review<'a>(&'a self, _: &'a Connection, _: &'a [Probe]) -> Pending<'a, Result<Reviewed, Unasked>> {
        Box::pin(async { Err(Unasked("this server does not reach clusters".to_owned())) })
    }
}
