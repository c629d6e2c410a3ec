//! No ladder: who may touch somebody's credentials, name, state or memberships could otherwise become them. Every rung
//! asks here, inside the transaction that makes the change.

use domain::{Error, ErrorKind, PrincipalId, Result};
use store::WriteTx;

use crate::authz::ADMINISTRATORS;
use crate::call::Call;
use crate::service::Service;

impl Service {
    /// Lets the change of `target` pass if the caller gains nothing by it: the root user may change everybody, and is
    /// changed by nobody else; administrators everybody but root; all others themselves. The right to perform the action
    /// is asked for elsewhere.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` if there is no such principal in the account.
    pub(crate) async fn may_change(&self, tx: &mut WriteTx, call: &Call, target: &PrincipalId) -> Result<()> {
        let caller = &call.caller;
        if caller.root || caller.principal == *target {
            return Ok(());
        }
        let found = tx.principal(call.account(), target.as_str()).await?;
        let found = found.ok_or_else(|| Error::not_found("principal", target.as_str()))?;
        if found.root {
            return Err(Error::new(ErrorKind::Forbidden, "only the root user may change the root user"));
        }
        if tx.is_root_or_member(&caller.principal, ADMINISTRATORS).await? {
            return Ok(());
        }
        let message =
            format!("you may not change {} `{}`: it has rights that you do not have", found.kind, found.id);
        Err(Error::new(ErrorKind::Forbidden, message))
    }
}
