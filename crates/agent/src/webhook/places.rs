//! How much room callers take of the webhook: connections, and bodies that are read. Nobody holds what others need.
//!
//! A small body needs nothing but its connection. What is larger waits for room, first among the others of its source, then
//! among all, and what is largest has a queue of its own. All of it within the time that a request has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections in all, and of one source. API servers use a few dozen each, however many pods are made.
const CONNECTIONS: usize = 512;
const OF_A_SOURCE: usize = 128;
/// Up to so many bytes a body needs no room: as many pods are made with less as with more.
pub const SMALL: usize = 16 << 10;
/// From so many bytes on, one body is read at a time.
const LARGE: usize = 1 << 20;
/// All bodies between the two, in KiB, and those of one source: what is read takes several times its text.
const MEDIUM_ROOM: usize = 6 << 10;
const MEDIUM_OF_A_SOURCE: usize = 2 << 10;

/// All sources.
pub struct Places {
    connections: usize,
    of_a_source: usize,
    sources: Mutex<HashMap<IpAddr, Source>>,
    medium: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

struct Source {
    connections: usize,
    medium: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A connection's place; given back with it.
pub struct Place {
    places: Arc<Places>,
    peer: IpAddr,
    medium: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// Room for a body; given back with it.
pub struct Room(#[expect(dead_code, reason = "held, not read")] Vec<OwnedSemaphorePermit>);

impl Default for Places {
    fn default() -> Self {
        Self::new(CONNECTIONS, OF_A_SOURCE)
    }
}

impl Places {
    /// So many connections in all, and of one source.
    #[must_use]
    pub fn new(connections: usize, of_a_source: usize) -> Self {
        Self {
            connections,
            of_a_source,
            sources: Mutex::default(),
            medium: Arc::new(Semaphore::new(MEDIUM_ROOM)),
            large: Arc::new(Semaphore::new(1)),
        }
    }

    /// A place for a connection; `None` if there are too many, in all or from there.
    #[must_use]
    pub fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut sources = self.lock();
        let all: usize = sources.values().map(|source| source.connections).sum();
        if all >= self.connections {
            return None;
        }
        let source = sources.entry(peer).or_insert_with(|| Source {
            connections: 0,
            medium: Arc::new(Semaphore::new(MEDIUM_OF_A_SOURCE)),
            large: Arc::new(Semaphore::new(1)),
        });
        if source.connections >= self.of_a_source {
            return None;
        }
        source.connections += 1;
        let (medium, large) = (Arc::clone(&source.medium), Arc::clone(&source.large));
        Some(Place { places: Arc::clone(self), peer, medium, large })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for room for a body of so many bytes; `None` if there will be none.
    pub async fn room(&self, bytes: usize) -> Option<Room> {
        if bytes <= SMALL {
            return Some(Room(Vec::new()));
        }
        let (own, all, wanted) = if bytes <= LARGE {
            (&self.medium, &self.places.medium, u32::try_from(bytes / 1024 + 1).ok()?)
        } else {
            (&self.large, &self.places.large, 1)
        };
        // Who waits among their own holds nothing of what others need.
        let own = Arc::clone(own).acquire_many_owned(wanted).await.ok()?;
        let all = Arc::clone(all).acquire_many_owned(wanted).await.ok()?;
        Some(Room(vec![own, all]))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.places.lock();
        if let Some(source) = sources.get_mut(&self.peer) {
            source.connections = source.connections.saturating_sub(1);
            if source.connections == 0 {
                sources.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn peer(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    async fn gets(place: &Place, bytes: usize) -> Option<Room> {
        timeout(Duration::from_secs(1), place.room(bytes)).await.ok().flatten()
    }

    #[test]
    fn a_source_has_so_many_connections_and_gets_them_back() {
        let places = Arc::new(Places::new(3, 2));
        let (first, _second) = (places.take(peer(1)).unwrap(), places.take(peer(1)).unwrap());
        assert!(places.take(peer(1)).is_none());
        let _other = places.take(peer(2)).unwrap();
        assert!(places.take(peer(3)).is_none(), "there are three in all");
        drop(first);
        assert!(places.take(peer(1)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_nothing_of_large_bodies_takes_no_room_from_others() {
        let places = Arc::new(Places::default());
        let thieves: Vec<Place> = (1..=3).map(|n| places.take(peer(n)).unwrap()).collect();
        let mut held = Vec::new();
        for thief in &thieves {
            held.extend(gets(thief, 3 << 20).await);
            held.extend(gets(thief, 3 << 20).await);
            held.extend(gets(thief, 1 << 20).await);
            held.extend(gets(thief, 1 << 20).await);
        }
        assert!(held.len() >= 4);
        let api_server = places.take(peer(9)).unwrap();
        assert!(gets(&api_server, SMALL).await.is_some());
        assert!(gets(&api_server, 100 << 10).await.is_some(), "a source has a third of the room at most");
    }
}
