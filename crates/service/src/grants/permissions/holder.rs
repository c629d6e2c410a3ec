//! Whose permissions a request is about, where people name users and agencies by id or by name.

use domain::{PrincipalId, PrincipalKind, Result};

use super::change::Asked;
use crate::authz;
use crate::call::Call;
use crate::directory::which::Which;
use crate::service::Service;

/// What somebody is named for: whoever may not do it is not told whether there is such a user or agency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To see what they hold, or held before.
    See,
    /// To change what they hold.
    Change(Asked),
    /// To take everything away.
    Clean,
}

impl Purpose {
    fn action(self) -> &'static str {
        match self {
            Self::See => "bailiwick:grant:list",
            Self::Change(asked) => asked.action(),
            Self::Clean => "bailiwick:grant:delete",
        }
    }
}

impl Service {
    /// The id of a user or an agency that is named by id or name.
    ///
    /// # Errors
    /// `NotFound` if there is none of that kind in the account.
    pub async fn permission_holder(
        &self,
        call: &Call,
        purpose: Purpose,
        kind: PrincipalKind,
        named: &str,
    ) -> Result<PrincipalId> {
        let action = purpose.action();
        let right = authz::require_somewhere(call, action)?;
        right.unless_denied_outright()?;
        let mut tx = self.store.read().await?;
        let found = Which::IdOrName(named).find(&mut tx, call.account(), kind).await?;
        tx.end().await?;
        Ok(found.id)
    }
}
