//! The listener: TCP, optionally TLS, HTTP/1.1, limits, and an orderly end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::{Error, Result};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::App;
use crate::dispatch;
use crate::places::{Place, Places};
use crate::tls::Tls;

/// What is buffered of a request's head. More than is served, so that a head above the limit is refused in words
/// that the client's program can read; beyond this the parser itself answers 431 without a body.
const HEAD_BUFFER: usize = 2 * crate::head::MAX_HEAD;
/// A request's head must have arrived by then.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(15);
/// Requests in flight may finish until then when the server ends.
const GRACE: Duration = Duration::from_secs(10);

/// How many connections there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all. Further ones wait until one ends.
    pub connections: usize,
    /// From one address. Further ones are closed.
    pub connections_per_source: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4_096, connections_per_source: 512 }
    }
}

/// A bound socket that is not serving yet.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    address: SocketAddr,
    limits: Limits,
    serves: Serves,
}

/// What is answered on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serves {
    Everything,
    MetricsOnly,
}

/// So many connections may wait to be accepted: all agents of a fleet come at once when a server is back, and whoever finds no
/// room tries again after a whole second. Systems allow fewer where theirs is set lower.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // What a former server's connections left must not keep its successor from the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Listener {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    /// `Unavailable` if the address cannot be bound.
    pub async fn bind(address: SocketAddr, tls: Option<Tls>) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::unavailable(format!("cannot listen on {address}: {error}"), error.to_string())
        };
        let socket = listen(address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, tls, address, limits: Limits::default(), serves: Serves::Everything })
    }

    /// The same listener with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same listener for metrics and the sign of life alone, open to whoever reaches it.
    #[must_use]
    pub fn for_metrics(self) -> Self {
        Self { serves: Serves::MetricsOnly, ..self }
    }

    /// The address that was bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://…` or `https://…` as a client on this machine would write it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `end` resolves; requests in flight then have ten seconds to finish.
    pub async fn serve(self, app: Arc<App>, end: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        let mut end = std::pin::pin!(end);
        let places = Places::new(self.limits);
        loop {
            tokio::select! {
                accepted = places.accept(&self.socket) => match accepted {
                    Ok(Some((stream, peer, place))) => {
                        let tls = self.tls.clone();
                        spawn(&app, &graceful, tls, self.serves, stream, peer, place);
                    }
                    Ok(None) => tracing::debug!("closed a connection of a source that has too many"),
                    Err(error) => {
                        // Out of file descriptors and the like: wait a little instead of spinning.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                () = &mut end => break,
            }
        }
        drop(self.socket);
        app.service.stop_waiting();
        if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still in flight after ten seconds");
        }
    }
}

fn spawn(
    app: &Arc<App>,
    graceful: &GracefulShutdown,
    tls: Option<Tls>,
    serves: Serves,
    stream: TcpStream,
    peer: IpAddr,
    place: Place,
) {
    let (app, watcher) = (Arc::clone(app), graceful.watcher());
    tokio::spawn(async move {
        let _place = place;
        if stream.set_nodelay(true).is_err() {
            return;
        }
        match tls {
            None => connection(app, watcher, stream, peer, serves).await,
            Some(tls) => {
                let handshake = TlsAcceptor::from(tls.config()).accept(stream);
                if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIME_LIMIT, handshake).await {
                    connection(app, watcher, stream, peer, serves).await;
                }
            }
        }
    });
}

async fn connection(
    app: Arc<App>,
    watcher: hyper_util::server::graceful::Watcher,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: IpAddr,
    serves: Serves,
) {
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move {
            let answer = match serves {
                Serves::Everything => dispatch::answer(app, peer, request).await,
                Serves::MetricsOnly => dispatch::answer_metrics(app, request).await,
            };
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_LIMIT)
        .max_buf_size(HEAD_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away in mid-request is no event of ours.
    drop(watcher.watch(connection).await);
}
