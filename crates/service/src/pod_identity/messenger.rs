//! Who hands a token in: somebody with rights of their own, or the pod itself, which has none.

use domain::Result;
use podidentity::Claims;
use store::{Ancestor, ReadTx};

use crate::call::{Call, Origin};
use crate::replay::SignedRequest;

/// Who hands a token in.
#[derive(Clone)]
pub(super) enum Messenger {
    /// Somebody who may vend, an agent of the cluster as a rule; and which of the tokens in their request it is.
    Caller(Call, usize),
    /// The pod itself: the token is all that it shows, and it may show that as often as it likes.
    Pod(Origin),
}

impl Messenger {
    /// The request that does it.
    pub(super) fn origin(&self) -> &Origin {
        match self {
            Self::Caller(call, _) => &call.origin,
            Self::Pod(origin) => origin,
        }
    }

    /// The request's signature, if it has one, and which of its tokens that is.
    pub(super) fn signed(&self) -> Option<(&SignedRequest, usize)> {
        match self {
            Self::Caller(call, nth) => Some((call.signed.as_ref()?, *nth)),
            Self::Pod(_) => None,
        }
    }

    /// Their id; empty for a pod, which is no principal.
    pub(super) fn principal(&self) -> &str {
        match self {
            Self::Caller(call, _) => call.caller.principal.as_str(),
            Self::Pod(_) => "",
        }
    }

    /// What the audit calls them. A pod is called as its cluster calls it.
    pub(super) fn actor_name(&self, claims: &Claims) -> String {
        match self {
            Self::Caller(call, _) => call.caller.name.clone(),
            Self::Pod(_) => {
                format!("system:serviceaccount:{}:{}", claims.namespace, claims.service_account.name)
            }
        }
    }

    /// Who of those a session ends with hands the token in: nobody, if the pod itself does.
    pub(super) async fn ancestor(&self, tx: &mut ReadTx) -> Result<Option<Ancestor>> {
        match self {
            Self::Caller(call, _) => tx.principal_as_ancestor(call.account(), &call.caller.principal).await,
            Self::Pod(_) => Ok(None),
        }
    }
}
