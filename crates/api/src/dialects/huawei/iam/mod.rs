//! IAM v3: tokens, projects and domains, as far as the SDKs need them to get going.

mod identity;
mod projects;
mod schemas;
mod security_tokens;
mod tokens;

use crate::operation::Operation;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    [tokens::operations(), security_tokens::operations(), projects::operations(), schemas::operations()]
        .concat()
}
