//! STS: agencies assumed, who one is, and what a refusal says.

mod assume;
mod decode;
mod identity;

use crate::operation::Operation;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    [assume::operations(), identity::operations(), decode::operations()].concat()
}
