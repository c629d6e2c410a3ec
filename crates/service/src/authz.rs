//! Who may do what. Until identity policies exist the rule is short: the root user and the members of the built-in
//! group `administrators` may do everything in their account, and nobody else may do anything.

use domain::{Error, Result};

use crate::call::Call;

/// The built-in group whose members may do everything in their account.
pub const ADMINISTRATORS: &str = "administrators";

/// Lets the call pass if its caller may perform `action`.
///
/// # Errors
/// `Forbidden` naming the action.
pub fn require(call: &Call, action: &str) -> Result<()> {
    if call.caller.root || call.caller.administrator {
        return Ok(());
    }
    Err(Error::forbidden(action))
}
