//! The dialects, in the order in which they are asked whether a request is theirs. The last one claims what is left.

pub mod alibaba;
pub mod huawei;
pub mod native;
mod settings;

use std::sync::Arc;

use domain::Result;

use crate::actions::Actions;
use crate::operation::{Claim, Dialect};
use crate::vocabulary::File;

pub(crate) use huawei::CHECKED_ROWS;
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

/// The authorization tables of every dialect, by its name.
///
/// # Errors
/// `Internal` if one of them is broken.
pub fn actions() -> Result<Vec<(&'static str, Actions)>> {
    Ok(vec![
        ("huawei", huawei::actions()?),
        ("alibaba", alibaba::actions()?),
        (native::NAME, native::actions()?),
    ])
}

/// The policies that are shipped: for each vendor their list, and the files that it names.
pub(crate) fn shipped() -> Vec<(&'static str, &'static [File])> {
    vec![huawei::SHIPPED, alibaba::SHIPPED]
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
    if path.starts_with("/bailiwick/") || ["/healthz", "/readyz", "/metrics"].contains(&path) {
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
