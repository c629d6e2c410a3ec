//! IAM v3: tokens, projects and domains, as far as the SDKs need them to get going.

mod projects;
mod schemas;
mod tokens;

use crate::operation::Operation;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    [tokens::operations(), projects::operations(), schemas::operations()].concat()
}
