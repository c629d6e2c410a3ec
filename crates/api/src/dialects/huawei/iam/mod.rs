//! IAM: v3 with its tokens, projects, users, groups and permanent keys, and the directory of v5.

mod agencies;
mod credentials;
mod everybody;
mod extended_users;
mod groups;
mod identity;
mod links;
mod part;
mod policies_v5;
mod projects;
mod rules;
mod schemas;
mod security_tokens;
mod tokens;
mod users;
mod v5;

use crate::operation::Operation;

/// The name that policies have for a user, group or agency.
fn urn(principal: &domain::Principal) -> String {
    format!("iam::{}:{}:{}", principal.account, principal.kind, principal.name)
}

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    [
        tokens::operations(),
        security_tokens::operations(),
        projects::operations(),
        users::operations(),
        extended_users::operations(),
        groups::operations(),
        credentials::operations(),
        agencies::operations(),
        v5::operations(),
        policies_v5::operations(),
        schemas::operations(),
    ]
    .concat()
}
