//! The clusters' service: who may do what in which cluster, and the clusters themselves as far as they are known.

mod cleaning;
mod clusters;
mod kubeconfigs;
mod namespaces;
mod permissions;
mod query;
mod rows;
pub mod settings;

use domain::{Error, ErrorKind};

use super::fault;
use crate::operation::Operation;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    [
        permissions::operations(),
        cleaning::operations(),
        clusters::operations(),
        namespaces::operations(),
        kubeconfigs::operations(),
    ]
    .concat()
}

/// A failure about a cluster, with the vendor's code for one that is not there.
fn unknown_cluster(error: Error) -> Error {
    match error.kind() == ErrorKind::NotFound {
        true => error.at_field(fault::CLUSTER_NOT_FOUND),
        false => error,
    }
}

/// A failure about somebody's permissions with fields and codes as this vendor's clients know them.
fn in_words(error: Error) -> Error {
    let field = error.field().unwrap_or_default().to_owned();
    if error.kind() == ErrorKind::NotFound {
        return match field.as_str() {
            "holder" => error.at_field(fault::USER_NOT_FOUND),
            _ => unknown_cluster(error),
        };
    }
    match field.as_str() {
        "" => error,
        "holder" => error.at_field("uid"),
        "permissions" => error.at_field("body"),
        other => match other.strip_prefix("permissions") {
            Some(entry) => error.at_field(entry),
            None => error,
        },
    }
}
