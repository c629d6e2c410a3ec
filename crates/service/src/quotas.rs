//! How much one account may hold: what one tenant makes, every worker has to carry.

use domain::{Error, Result};

/// The most of each thing that one account, or one user, may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Grants of an account that are not revoked.
    pub grants: u32,
    /// Clusters of an account.
    pub clusters: u32,
    /// Users, groups and agencies of an account together.
    pub principals: u32,
    /// Access keys of a user.
    pub access_keys_per_user: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { grants: 10_000, clusters: 1_000, principals: 100_000, access_keys_per_user: 100 }
    }
}

/// Lets one more pass if there are fewer than `most`.
///
/// # Errors
/// `Conflict`, not `Limited`: trying again later does not help, and clients would.
pub(crate) fn room(what: &str, have: i64, most: u32) -> Result<()> {
    if have < i64::from(most) {
        return Ok(());
    }
    Err(Error::conflict(format!("{what} must be at most {most}: delete some, or have the quota raised")))
}
