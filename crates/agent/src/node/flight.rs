//! One question for everybody who wants the same.
//!
//! Each question is a task of its own and belongs to none of those who wait for it: whoever gives up takes nothing from the
//! others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The questions that are on their way.
pub struct Flights<K, T>(Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>);

/// A place among those who wait for one.
pub struct Ticket<T> {
    landed: watch::Receiver<Option<T>>,
    /// Whether it began for whoever holds this.
    pub is_first: bool,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash + Send + 'static, T: Clone + Send + Sync + 'static> Flights<K, T> {
    /// Joins the question on its way for `key`, or begins the one that `begin` makes. `None` if it makes none: between a
    /// look for the answer and this, the answer may have come.
    pub fn join<F>(&self, key: &K, begin: impl FnOnce() -> Option<F>) -> Option<Ticket<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut going = lock(&self.0);
        if let Some(landed) = going.get(key) {
            return Some(Ticket { landed: landed.clone(), is_first: false });
        }
        let question = begin()?;
        let (tell, landed) = watch::channel(None);
        going.insert(key.clone(), landed.clone());
        let place = Place { going: Arc::clone(&self.0), key: key.clone() };
        tokio::spawn(async move {
            let answer = question.await;
            // Whoever comes from here on finds the answer, or asks again.
            drop(place);
            tell.send_replace(Some(answer));
        });
        Some(Ticket { landed, is_first: true })
    }

    /// How many are on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Whether none is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one is on its way for `key`.
    #[must_use]
    pub fn has(&self, key: &K) -> bool {
        lock(&self.0).contains_key(key)
    }
}

impl<T: Clone> Ticket<T> {
    /// The answer. `None` if the question came to no end, which is a defect.
    pub async fn answer(mut self) -> Option<T> {
        let landed = self.landed.wait_for(Option::is_some).await.ok()?;
        landed.clone()
    }
}

/// Frees the key, whatever the end of the question is.
struct Place<K: Eq + Hash, T> {
    going: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Place<K, T> {
    fn drop(&mut self) {
        lock(&self.going).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_gives_up_takes_nothing_from_those_who_wait() {
        let flights: Flights<&str, u32> = Flights::default();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let first = flights.join(&"pod", || {
            Some(async move {
                gone.await.ok();
                7
            })
        });
        let second = flights.join(&"pod", || None::<std::future::Ready<u32>>).unwrap();
        assert!(!second.is_first);
        let first = tokio::spawn(first.unwrap().answer());
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        assert_eq!(second.answer().await, Some(7));
        assert!(flights.is_empty());
    }

    #[tokio::test]
    async fn a_question_that_fails_badly_is_asked_again_by_the_next() {
        let flights: Flights<&str, u32> = Flights::default();
        let broken = flights.join(&"pod", || Some(async { panic!("a defect") })).unwrap();
        assert_eq!(broken.answer().await, None);
        let next = flights.join(&"pod", || Some(async { 7 })).unwrap();
        assert!(next.is_first);
        assert_eq!(next.answer().await, Some(7));
    }
}
