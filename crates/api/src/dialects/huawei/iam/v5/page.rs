//! Pages: `limit` and `marker` in the query, `page_info` in the answer.

use domain::{Error, Result};
use serde::Serialize;
use service::{PageRequest, Paged};

use super::super::everybody::asked;
use crate::head::Head;

const MAX_LIMIT: usize = 200;

/// The page that a query asks for. A marker is letters, digits, `+ / = - _`; ours are our cursors in that alphabet.
pub(super) fn page(head: &Head) -> Result<PageRequest> {
    let limit = match asked(head, "limit") {
        None => 100,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| Error::invalid("limit", format!("must be a number from 1 to {MAX_LIMIT}")))?,
    };
    let cursor = match asked(head, "marker") {
        None => None,
        Some(marker) => {
            let (at, id) = marker.split_once('_').ok_or_else(bad_marker)?;
            at.parse::<i64>().map_err(|_| bad_marker())?;
            Some(format!("{at}.{id}"))
        }
    };
    Ok(PageRequest { limit: Some(limit), cursor })
}

fn bad_marker() -> Error {
    Error::invalid("marker", "must be the `next_marker` of an earlier page")
}

/// What an answer says about its page.
#[derive(Serialize)]
pub(super) struct PageInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    current_count: usize,
}

impl PageInfo {
    pub(super) fn of<T>(page: &Paged<T>) -> Self {
        let next_marker = page.next.as_ref().map(|cursor| cursor.replacen('.', "_", 1));
        Self { next_marker, current_count: page.items.len() }
    }
}
