//! A listener for a few addresses of one machine: HTTP/1.1, so many connections, and nobody holds one without asking.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::callers::{Caller, Callers};
use super::endpoint::Site;

/// A request's head must have arrived by then; the next one on a connection too.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(5);
/// Far more than a token and what SDKs send beside it.
const MAX_HEAD: usize = 16 << 10;
/// Requests in flight may finish until then when the agent ends.
const GRACE: Duration = Duration::from_secs(10);

/// How many connections there may be at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all. Further ones wait until one ends.
    pub connections: usize,
    /// From one address of the node itself, which are many callers. Further ones are closed, as all those below.
    pub of_node: usize,
    /// From one pod.
    pub of_pod: usize,
    /// From one address elsewhere.
    pub of_stranger: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 2_000, of_node: 1_000, of_pod: 32, of_stranger: 8 }
    }
}

/// A bound socket that is not serving yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    callers: Arc<Callers>,
    limits: Limits,
}

/// How many connections each source has.
#[derive(Clone, Default)]
struct Sources(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection's place; given back with it.
struct Place {
    sources: Sources,
    peer: IpAddr,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    /// A sentence if it cannot be bound.
    pub async fn bind(address: SocketAddr, callers: Arc<Callers>, limits: Limits) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot listen on {address}: {error}");
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, callers, limits })
    }

    /// The address that was bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `end` is true; requests in flight then have ten seconds to finish.
    pub async fn serve(self, site: Site, mut end: watch::Receiver<bool>) {
        let graceful = GracefulShutdown::new();
        let (site, sources) = (Arc::new(site), Sources::default());
        let places = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&places, &sources) => accepted,
                _ = end.wait_for(|end| *end) => break,
            };
            match accepted {
                Ok(Some((stream, place))) => spawn(&graceful, Arc::clone(&site), stream, place),
                Ok(None) => {}
                Err(error) => {
                    // Out of file descriptors and the like: wait a little instead of spinning.
                    tracing::warn!(%error, "agent.accept.failed");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(self.socket);
        if timeout(GRACE, graceful.shutdown()).await.is_err() {
            tracing::warn!("agent.end: requests were still in flight after ten seconds");
        }
    }

    /// The next connection; `None` if its source has too many.
    async fn accept(
        &self,
        places: &Arc<Semaphore>,
        sources: &Sources,
    ) -> std::io::Result<Option<(TcpStream, Place)>> {
        let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
        let (stream, peer) = self.socket.accept().await?;
        let peer = peer.ip();
        let most = match self.callers.place(peer) {
            Caller::Node => self.limits.of_node,
            Caller::Pod => self.limits.of_pod,
            Caller::Foreign => self.limits.of_stranger,
        };
        Ok(sources.take(peer, most, place).map(|place| (stream, place)))
    }
}

impl Sources {
    fn take(&self, peer: IpAddr, most: usize, place: OwnedSemaphorePermit) -> Option<Place> {
        let mut counts = self.lock();
        let count = counts.entry(peer).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { sources: self.clone(), peer, _place: place })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.sources.lock();
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

fn spawn(graceful: &GracefulShutdown, site: Arc<Site>, stream: TcpStream, place: Place) {
    let watcher = graceful.watcher();
    tokio::spawn(async move {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let peer = place.peer;
        let service = service_fn(move |request| {
            let site = Arc::clone(&site);
            async move { site.answer(peer, request).await }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_LIMIT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        // A client that goes away in mid-request is no event of ours.
        drop(watcher.watch(connection).await);
        drop(place);
    });
}
