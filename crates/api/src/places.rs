//! Places for connections: so many in all, and so many for one address, so that one peer cannot take all of them.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::listener::Limits;

/// All places.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    taken: Taken,
    per_source: usize,
}

type Taken = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One place, free again when it is dropped.
pub(crate) struct Place {
    source: IpAddr,
    taken: Taken,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(limits: Limits) -> Self {
        let free = limits.connections.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(free)),
            taken: Taken::default(),
            per_source: limits.connections_per_source,
        }
    }

    /// The next connection, once there is a place: until then connections wait in the system's queue. `None` if its
    /// source has too many; it is then closed.
    pub(crate) async fn accept(
        &self,
        socket: &TcpListener,
    ) -> io::Result<Option<(TcpStream, IpAddr, Place)>> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = socket.accept().await?;
        let source = peer.ip().to_canonical();
        Ok(self.take(source, permit).map(|place| (stream, source, place)))
    }

    fn take(&self, source: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(source).or_default();
        if *count >= self.per_source {
            return None;
        }
        *count += 1;
        Some(Place { source, taken: Arc::clone(&self.taken), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.source);
            }
        }
    }
}
