//! The `links` of the older shapes. Ours are paths: the server does not know under which name it is reached.

use serde::Serialize;

/// Where a list, or a thing that was asked for, is found. Nothing is paged here, so there is neither a page before nor one
/// after.
#[derive(Serialize)]
pub(super) struct Links {
    #[serde(rename = "self")]
    this: String,
    previous: Option<String>,
    next: Option<String>,
}

impl Links {
    pub(super) fn to(path: impl Into<String>) -> Self {
        Self { this: path.into(), previous: None, next: None }
    }
}
