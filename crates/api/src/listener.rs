//! The listener: TCP, optionally TLS, HTTP/1.1, limits, and an orderly end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::{Error, Result};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::App;
use crate::dispatch;

/// What is buffered of a request's head. More than is served, so that a head above the limit is refused in words
/// that the client's program can read; beyond this the parser itself answers 431 without a body.
const HEAD_BUFFER: usize = 2 * crate::head::MAX_HEAD;
/// A request's head must have arrived by then.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(15);
/// Requests in flight may finish until then when the server ends.
const GRACE: Duration = Duration::from_secs(10);

/// What TLS needs.
#[derive(Clone)]
pub struct Tls(Arc<rustls::ServerConfig>);

impl Tls {
    /// Wraps a server configuration.
    #[must_use]
    pub fn new(config: rustls::ServerConfig) -> Self {
        Self(Arc::new(config))
    }
}

/// A bound socket that is not serving yet.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    address: SocketAddr,
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
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, tls, address })
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
        loop {
            tokio::select! {
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => spawn(&app, &graceful, self.tls.clone(), stream, peer),
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
        if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still in flight after ten seconds");
        }
    }
}

fn spawn(app: &Arc<App>, graceful: &GracefulShutdown, tls: Option<Tls>, stream: TcpStream, peer: SocketAddr) {
    let (app, watcher) = (Arc::clone(app), graceful.watcher());
    tokio::spawn(async move {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        match tls {
            None => connection(app, watcher, stream, peer.ip()).await,
            Some(Tls(config)) => {
                let handshake = TlsAcceptor::from(config).accept(stream);
                if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIME_LIMIT, handshake).await {
                    connection(app, watcher, stream, peer.ip()).await;
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
) {
    let peer = match peer {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(peer, |v4: Ipv4Addr| IpAddr::V4(v4)),
        IpAddr::V4(_) => peer,
    };
    let service = service_fn(move |request| {
        let answer = dispatch::answer(Arc::clone(&app), peer, request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_LIMIT)
        .max_buf_size(HEAD_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away in mid-request is no event of ours.
    drop(watcher.watch(connection).await);
}
