//! Who may do what. Until identity policies exist the rule is short: the root user and the members of the built-in
//! group `administrators` may do everything in their account, and nobody else may do anything.

use domain::{Error, ErrorKind, Result};

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

/// The action that [`require`] refused, if it was that which refused.
#[must_use]
pub fn refused_action(error: &Error) -> Option<&str> {
    let quoted = error.message().split('`').nth(1)?;
    (error.kind() == ErrorKind::Forbidden && quoted.starts_with("bailiwick:")).then_some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refused_action_is_read_back_from_the_refusal() {
        assert_eq!(
            refused_action(&Error::forbidden("bailiwick:grant:create")),
            Some("bailiwick:grant:create")
        );
        assert_eq!(refused_action(&Error::new(ErrorKind::Forbidden, "not your account")), None);
    }
}
