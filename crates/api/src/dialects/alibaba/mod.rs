//! The dialect of Alibaba Cloud's SDKs: ACK's authorization tables, whose names policies may use. Its operations are not
//! served.

use domain::Result;

use crate::actions::Actions;

/// The authorization tables.
///
/// # Errors
/// `Internal` if they are broken.
pub fn actions() -> Result<Actions> {
    Actions::read(
        include_str!("policies/actions.json"),
        include_str!("policies/keys.json"),
        include_str!("policies/free.json"),
    )
}
