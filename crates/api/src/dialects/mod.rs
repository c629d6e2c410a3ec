//! The dialects, in the order in which they are asked whether a request is theirs. The last one claims what is left.

pub mod alibaba;
pub mod huawei;
pub mod native;

use std::sync::Arc;

use domain::Result;

use crate::actions::Actions;
use crate::operation::Dialect;
use crate::vocabulary::File;

pub use huawei::settings::{SECTIONS, Settings};

/// All dialects.
///
/// # Errors
/// `Internal` if two operations of one dialect share method and path.
pub fn all() -> Result<Vec<Arc<dyn Dialect>>> {
    Ok(vec![Arc::new(huawei::Huawei::new()?), Arc::new(native::Native::new()?)])
}

/// The authorization tables of every dialect, by its name, of those included that are not served.
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
