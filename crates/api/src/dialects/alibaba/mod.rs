//! The dialect of Alibaba Cloud's SDKs: ACK's authorization tables, whose names policies may use. Its operations are not
//! served.

use domain::Result;

use crate::actions::Actions;
use crate::vocabulary::File;

/// The policies that are shipped with it: their list, and the files that it names.
pub(super) const SHIPPED: (&str, &[File]) = (
    include_str!("policies/index.json"),
    &[
        ("cs-full-access.json", include_str!("policies/cs-full-access.json")),
        ("cs-read-only-access.json", include_str!("policies/cs-read-only-access.json")),
        ("sts-assume-role-access.json", include_str!("policies/sts-assume-role-access.json")),
    ],
);

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
