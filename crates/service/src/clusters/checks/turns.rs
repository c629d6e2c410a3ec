//! Who may ask a cluster now. A check is some hundred requests to an API server that others need, and in some dialects whoever
//! belongs to the account may ask for one: so one at a time for each cluster, and so many in a while.
//!
//! Of one server. Answers are not shared between those who wait: each is told what the cluster said after they asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{ClusterId, Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Whoever waits longer for others is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The clusters that are being asked.
pub(crate) struct Turns {
    busy: Mutex<HashMap<ClusterId, Arc<Semaphore>>>,
    patience: Duration,
}

impl Default for Turns {
    fn default() -> Self {
        Self { busy: Mutex::default(), patience: PATIENCE }
    }
}

impl Turns {
    /// Waits until nobody else asks the cluster. What is returned is the turn.
    ///
    /// # Errors
    /// `Limited` if that takes too long.
    pub(crate) async fn take(&self, cluster: &ClusterId) -> Result<OwnedSemaphorePermit> {
        let turn = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(busy.entry(cluster.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        match timeout(self.patience, turn.acquire_owned()).await {
            Ok(turn) => turn.map_err(Error::internal),
            Err(_) => Err(Error::new(
                ErrorKind::Limited,
                "others are having this cluster checked; try again in a few seconds",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_cluster_is_asked_by_one_at_a_time_and_others_do_not_wait_for_it() {
        let turns = Turns::default();
        let (a, b) = (ClusterId::stored("a"), ClusterId::stored("b"));
        let held = turns.take(&a).await.unwrap();
        let mut next = pin!(turns.take(&a));
        assert!(poll!(&mut next).is_pending());
        assert!(turns.take(&b).await.is_ok());
        drop(held);
        let held = next.await.unwrap();
        let hasty = Turns { busy: Mutex::new(turns.busy.lock().unwrap().clone()), patience: Duration::ZERO };
        assert_eq!(hasty.take(&a).await.unwrap_err().kind(), ErrorKind::Limited);
        drop((held, hasty));
        assert!(turns.take(&b).await.is_ok());
        assert_eq!(turns.busy.lock().unwrap().len(), 1, "who is not asked is forgotten");
    }
}
