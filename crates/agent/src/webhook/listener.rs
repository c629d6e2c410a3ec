//! TLS on the webhook's listener: the certificate may change under open connections, and a slow caller holds up nobody.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::certificate::Chain;
use super::places::{Place, Places};
use super::serving::Reviews;

/// As long may a handshake take.
const HANDSHAKE_TIME_LIMIT: Duration = Duration::from_secs(3);
/// A request's head must have arrived by then, the next one on a connection too. API servers keep connections for the next
/// pod.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(30);
/// Far more than API servers say in it.
const MAX_HEAD: usize = 16 << 10;
/// So long is answered what was asked before the end.
const GRACE: Duration = Duration::from_secs(5);

/// The certificate that is shown now.
#[derive(Debug, Default)]
pub struct Shown(RwLock<Option<Arc<CertifiedKey>>>);

impl Shown {
    /// Shows another one from now on.
    ///
    /// # Errors
    /// If it is none, or not of its key.
    pub fn replace(&self, chain: &Chain) -> Result<(), String> {
        let unusable = |error: &dyn std::fmt::Display| format!("the certificate cannot be used: {error}");
        let certificate = CertificateDer::from_pem_slice(chain.certificate.as_bytes());
        let certificate = certificate.map_err(|error| unusable(&error))?;
        let key = PrivateKeyDer::from_pem_slice(chain.key.expose().as_bytes());
        let key = key.map_err(|error| unusable(&error))?;
        let key = rustls::crypto::ring::sign::any_ecdsa_type(&key).map_err(|error| unusable(&error))?;
        let certified = CertifiedKey::new(vec![certificate], key);
        certified.keys_match().map_err(|error| unusable(&error))?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The listener of reviews: TLS 1.2 and newer, HTTP/1.1.
pub struct Listener {
    tcp: TcpListener,
    tls: TlsAcceptor,
    places: Arc<Places>,
}

impl Listener {
    /// Listens, and shows what `shown` holds.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn open(address: SocketAddr, shown: Arc<Shown>) -> Result<Self, String> {
        let cannot = |error: std::io::Error| format!("cannot listen on {address}: {error}");
        let tcp = TcpListener::bind(address).await.map_err(cannot)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(shown);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tcp, tls: TlsAcceptor::from(Arc::new(config)), places: Arc::default() })
    }

    /// Answers until `end` is true; then what was asked before is still answered, for a while.
    pub async fn serve(self, reviews: Arc<Reviews>, mut end: watch::Receiver<bool>) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.tcp.accept() => accepted,
                _ = end.wait_for(|end| *end) => break,
            };
            match accepted {
                // Too many, in all or from there: closed at once, so that accepting goes on for others.
                Ok((stream, peer)) => {
                    if let Some(place) = self.places.take(peer.ip().to_canonical()) {
                        let connection = Connection { stream, place, reviews: Arc::clone(&reviews) };
                        tokio::spawn(connection.serve(self.tls.clone(), graceful.watcher()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "webhook.accept_failed");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.tcp);
        // API servers keep connections open that they do not use.
        drop(timeout(GRACE, graceful.shutdown()).await);
    }
}

struct Connection {
    stream: TcpStream,
    place: Place,
    reviews: Arc<Reviews>,
}

impl Connection {
    async fn serve(self, tls: TlsAcceptor, watcher: Watcher) {
        let Self { stream, place, reviews } = self;
        let stream = match timeout(HANDSHAKE_TIME_LIMIT, tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::info!(%error, "webhook.handshake_failed"),
            Err(_) => return tracing::info!("webhook.handshake_slow"),
        };
        let place = Arc::new(place);
        let service = service_fn(move |request| {
            let (reviews, place) = (Arc::clone(&reviews), Arc::clone(&place));
            async move { Ok::<_, Infallible>(reviews.answer(&place, request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_LIMIT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        // A caller that goes away in the midst is no event of ours.
        drop(watcher.watch(connection).await);
    }
}
