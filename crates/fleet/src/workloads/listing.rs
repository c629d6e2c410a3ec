//! Listing service accounts or pods, page by page, bounded in time and in how much is read at once.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::page::{Object, PAGE, Page};
use crate::client::{ApiClient, MAX_LIST, segment};
use crate::failure::Failure;

/// How long all pages of a list may take, our own turns at them not counted.
const LIST_TIMEOUT: Duration = Duration::from_secs(120);
/// So many pages are read at once, of all clusters together.
pub(super) const TURNS: usize = 4;

/// How a list is read.
pub(super) struct Listing<'a> {
    /// From whom.
    pub(super) client: &'a ApiClient,
    /// Up to what is added to it, with its `?` or `&`.
    pub(super) path: &'a str,
    /// Who reads a page, of whatever cluster, holds one.
    pub(super) turns: &'a Semaphore,
}

impl Listing<'_> {
    /// Reads the whole list, gives each page to `take`, and returns the version at which it stood.
    pub(super) async fn read(&self, mut take: impl FnMut(&[Object])) -> Result<String, Failure> {
        let (mut next, mut limit, mut spent) = (String::new(), PAGE, Duration::ZERO);
        loop {
            if spent > LIST_TIMEOUT {
                return Err(Failure::Unreachable("listing took too long".to_owned()));
            }
            let asked = format!("{}limit={limit}&continue={}", self.path, segment(&next));
            let _turn = self.turns.acquire().await.map_err(|_| Failure::Unreachable("closed".to_owned()))?;
            let began = Instant::now();
            let page = self.client.get_metadata::<Page>(&asked, MAX_LIST).await;
            spent += began.elapsed();
            let page = match page {
                Err(failure) if failure == Failure::TOO_LARGE && limit > 1 => {
                    limit /= 2;
                    continue;
                }
                page => page?.checked()?,
            };
            take(&page.items);
            if page.next.is_empty() {
                return Ok(page.version);
            }
            next = page.next;
        }
    }
}

/// How many pods an API server lists.
#[cfg(test)]
pub(crate) async fn count_for_tests(client: &ApiClient) -> Result<usize, Failure> {
    let (turns, mut count) = (Semaphore::new(1), 0);
    let listing = Listing { client, path: "/api/v1/pods?", turns: &turns };
    listing.read(|page| count += page.len()).await?;
    Ok(count)
}
