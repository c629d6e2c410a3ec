//! Who calls, and from where.

use std::sync::Arc;

use domain::{AccountId, PrincipalId, PrincipalKind, ProjectId, Timestamp};

use crate::authz::Rights;

use crate::replay::SignedRequest;

/// Somebody who proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub account: AccountId,
    /// The tenant's name.
    pub account_name: String,
    /// As whom they call: a user, or the agency that somebody assumed.
    pub principal: PrincipalId,
    /// User or agency; groups do not call.
    pub kind: PrincipalKind,
    /// The principal's name.
    pub name: String,
    /// Whether it is the account's root user.
    pub root: bool,
    /// Whether the user is in the built-in group `administrators`.
    pub administrator: bool,
    /// The account's projects, to tell at once whether a header names one of them.
    pub projects: Vec<ProjectId>,
    /// What policies allow them. The root user needs none.
    pub rights: Arc<Rights>,
    /// The account's revision at which all this was read.
    pub revision: i64,
}

/// Where a request came from, for the audit and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The id of the request, also given to the caller.
    pub request_id: Arc<str>,
    /// The address it came from, without port.
    pub source: Arc<str>,
    /// When it arrived.
    pub at: Timestamp,
}

/// One authenticated request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls.
    pub caller: Arc<Caller>,
    /// The project the credential is scoped to, if it is.
    pub project: Option<ProjectId>,
    /// Where it came from.
    pub origin: Origin,
    /// How it is recognised when it comes again; `None` if it was not signed, or only reads.
    pub signed: Option<SignedRequest>,
}

impl Call {
    /// The tenant of the caller.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.caller.account
    }
}
