//! Who hands a token in: somebody with rights of their own, or the pod itself, which has none.

use domain::{Cluster, Error, Result};
use podidentity::Claims;
use store::{Ancestor, AuditEvent, Outcome, ReadTx, WriteTx};

use crate::call::{Call, Origin};
use crate::replay::is_repeated;
use crate::service::Service;

/// Who hands a token in.
#[derive(Clone)]
pub(super) enum Messenger {
    /// Somebody who may vend, an agent of the cluster as a rule.
    Caller(Call),
    /// The pod itself: the token is all that it shows.
    Pod(Origin),
}

impl Service {
    /// Begins to vend. A signed request that comes again is refused; a token may be shown as often as its pod likes.
    pub(super) async fn begin_for(&self, messenger: &Messenger, cluster: &Cluster) -> Result<WriteTx> {
        match messenger {
            Messenger::Caller(call) => self.begin_grants(call).await.map_err(repeated),
            Messenger::Pod(_) => self.store.write_grants(&cluster.account).await,
        }
    }

    /// What the audit says of it. A pod is no principal: it is called as its cluster calls it.
    pub(super) fn event_for(
        &self,
        messenger: &Messenger,
        claims: &Claims,
        (action, resource): (&str, &str),
    ) -> AuditEvent {
        let origin = match messenger {
            Messenger::Caller(call) => return self.event(call, action, resource),
            Messenger::Pod(origin) => origin,
        };
        AuditEvent {
            id: self.event_id(),
            at: self.now(),
            actor: None,
            actor_name: format!("system:serviceaccount:{}:{}", claims.namespace, claims.service_account.name),
            action: action.to_owned(),
            resource: resource.to_owned(),
            outcome: Outcome::Done,
            occurrences: 1,
            explanation: None,
            request_id: origin.request_id.to_string(),
            source: origin.source.to_string(),
        }
    }
}

impl Messenger {
    /// Who of those a session ends with hands the token in: nobody, if the pod itself does.
    pub(super) async fn ancestor(&self, tx: &mut ReadTx) -> Result<Option<Ancestor>> {
        match self {
            Messenger::Caller(call) => tx.principal_as_ancestor(call.account(), &call.caller.principal).await,
            Messenger::Pod(_) => Ok(None),
        }
    }
}

fn repeated(error: Error) -> Error {
    match is_repeated(&error) {
        // The credentials that the first one got are shown to nobody twice.
        true => error.because("repeated"),
        false => error,
    }
}
