//! Pages of the newer lists: `limit` and `marker` in the query, `page_info` in the answer.

use domain::{Error, Result};
use serde::Serialize;
use service::PageRequest;

use crate::operation::Input;

/// The longest page, and the one where nothing is said.
const MAX_LIMIT: usize = 200;

/// The page that a query asks for. A marker is the cursor of a page, in an alphabet that needs no encoding.
pub(super) fn page(input: &Input) -> Result<PageRequest> {
    let limit = match input.head.query("limit") {
        None => MAX_LIMIT,
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
            limit.ok_or_else(|| Error::invalid("limit", format!("must be a number from 1 to {MAX_LIMIT}")))?
        }
    };
    let cursor = input.head.query("marker").filter(|marker| !marker.is_empty());
    let cursor = cursor.map(|marker| marker.replacen('_', ".", 1));
    Ok(PageRequest { limit: Some(limit), cursor })
}

/// The failure with the name that the query has for its field.
pub(super) fn named(error: Error) -> Error {
    match error.field() {
        Some("cursor") => Error::invalid("marker", "must be the `next_marker` of an earlier page"),
        _ => error,
    }
}

/// What an answer says about its page.
#[derive(Serialize)]
pub(super) struct PageInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    current_count: usize,
}

impl PageInfo {
    pub(super) fn new(next: Option<&str>, current_count: usize) -> Self {
        Self { next_marker: next.map(|cursor| cursor.replacen('.', "_", 1)), current_count }
    }
}
