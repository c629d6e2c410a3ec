//! IAM v5: the directory. Its paths hold ids, its lists have pages, its bodies name things in full.

mod access_keys;
mod agencies;
mod groups;
mod login_profiles;
mod page;
mod users;

use domain::Error;
use http::StatusCode;
use serde::Serialize;

use crate::operation::Operation;
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    [
        users::operations(),
        access_keys::operations(),
        login_profiles::operations(),
        groups::operations(),
        agencies::operations(),
    ]
    .concat()
}

/// An answer that says nothing but that it was done. The clients read an object, which has no fields.
fn nothing() -> domain::Result<Reply> {
    #[derive(Serialize)]
    struct Nothing {}
    Reply::json(StatusCode::OK, &Nothing {})
}

/// The failure with its field as it is spelled in a body: pairs of our names and the vendor's.
fn spelled(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(Error) -> Error {
    move |error| {
        let known = error.field().and_then(|field| pairs.iter().find(|(ours, _)| *ours == field));
        match known {
            Some((_, theirs)) => error.at_field(theirs),
            None => error,
        }
    }
}
