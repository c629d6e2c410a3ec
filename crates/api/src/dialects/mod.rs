//! The dialects, in the order in which they are asked whether a request is theirs. The last one claims what is left.

pub mod alibaba;
pub mod huawei;
pub mod native;
mod settings;

use std::sync::Arc;

use domain::Result;

use crate::operation::{Claim, Dialect};

pub use settings::{SECTIONS, Settings};

/// All dialects.
///
/// # Errors
/// `Internal` if two operations of one dialect share method and path.
pub fn all() -> Result<Vec<Arc<dyn Dialect>>> {
    Ok(vec![
        Arc::new(huawei::Huawei::new()?),
        Arc::new(alibaba::Alibaba::new()?),
        Arc::new(native::Native::new()?),
    ])
}

/// The dialect in which a request is answered.
#[derive(Clone, Copy)]
pub struct Claimed<'a> {
    /// The dialect.
    pub dialect: &'a dyn Dialect,
    /// Whether headers speak for another dialect too. Such a request has two readings.
    pub contested: bool,
}

/// Whose a request is: ours by the paths that are nobody else's, then by headers, then by path.
#[must_use]
pub fn of<'a>(
    dialects: &'a [Arc<dyn Dialect>],
    headers: &http::HeaderMap,
    uri: &http::Uri,
) -> Option<Claimed<'a>> {
    let path = uri.path();
    if path.starts_with("/bailiwick/") || path == "/healthz" || path == "/readyz" {
        return dialects.last().map(|own| Claimed { dialect: &**own, contested: false });
    }
    let mut by_path = None;
    let mut by_headers: Option<Claimed<'a>> = None;
    for dialect in dialects {
        match (dialect.claims(headers, uri), &mut by_headers) {
            (Claim::Headers, Some(claimed)) => claimed.contested = true,
            (Claim::Headers, none) => *none = Some(Claimed { dialect: &**dialect, contested: false }),
            (Claim::Path, _) => {
                by_path = by_path.or(Some(Claimed { dialect: &**dialect, contested: false }));
            }
            (Claim::No, _) => {}
        }
    }
    by_headers.or(by_path)
}
