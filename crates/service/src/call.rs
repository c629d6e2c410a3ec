//! Who calls, and from where.

use std::sync::Arc;

use domain::{AccessKeyId, AccountId, PrincipalId, PrincipalKind, ProjectId, SessionId, Timestamp};
use policy::Document;
use serde::{Deserialize, Serialize};
use store::SessionKind;

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
    /// With what they proved it.
    pub proof: Proof,
}

/// With what somebody proved who they are: what a session that they begin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// With nothing: the server acts on their behalf.
    Server,
    /// With an access key that lasts.
    AccessKey(AccessKeyId),
    /// With a token or a temporary key.
    Session(Arc<SessionFacts>),
}

/// What is known about the session with which somebody calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// Its id.
    pub id: SessionId,
    /// Token or temporary key.
    pub kind: SessionKind,
    /// What whoever began it calls it; empty if nothing.
    pub name: String,
    /// How it was come by, the last way last.
    pub methods: Vec<String>,
    /// Who assumed the agency.
    pub assumer: Option<PrincipalId>,
    /// Texts of policies that limit it: of each set at least one must allow, and each of them may deny.
    pub limits: Vec<Vec<String>>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Who is behind it, as was said when the first agency on the way was assumed; empty if nothing was said.
    pub source_identity: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A tag of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Whether sessions that are begun with this one have it too.
    pub transitive: bool,
}

impl Caller {
    /// The session with which they call, if it is one.
    #[must_use]
    pub fn session(&self) -> Option<&SessionFacts> {
        match &self.proof {
            Proof::Session(facts) => Some(facts),
            Proof::Server | Proof::AccessKey(_) => None,
        }
    }

    /// Whether a user or an agency that is named by id or name is they: no id is the name of another one of its kind.
    #[must_use]
    pub fn is_named(&self, kind: PrincipalKind, id_or_name: &str) -> bool {
        self.kind == kind && (self.principal.as_str() == id_or_name || self.name == id_or_name)
    }

    /// Whether they are an administrator whose session leaves them all that administrators may do.
    #[must_use]
    pub(crate) fn is_unlimited_administrator(&self) -> bool {
        self.administrator && self.rights.limits.is_empty()
    }
}

impl Caller {
    /// The same caller in a session that limits: the root user is decided by policies like everybody there, and holds one
    /// that allows everything.
    pub(crate) fn within(self, limits: Vec<Vec<Arc<Document>>>) -> Self {
        if limits.is_empty() {
            return self;
        }
        let rights =
            if self.root { Rights::everything(&self.rights.vocabulary) } else { (*self.rights).clone() };
        Self { root: false, rights: Arc::new(rights.within(limits)), ..self }
    }
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
    /// In which dialect it was said; empty if nobody said it.
    pub dialect: &'static str,
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
