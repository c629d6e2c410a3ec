//! TLS on the webhook's listener: the certificate may change under open connections, and a slow caller holds up nobody.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::Chain;

/// So many callers may be shaking hands at a time.
const HANDSHAKES: usize = 256;
/// As long may that take.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// A listener whose connections have shaken hands already.
pub struct Listener {
    address: std::net::SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, std::net::SocketAddr)>,
}

impl Listener {
    /// Listens, and shows what `shown` holds.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn open(address: std::net::SocketAddr, shown: Arc<Shown>) -> Result<Self, String> {
        let cannot = |error: std::io::Error| format!("cannot listen on {address}: {error}");
        let tcp = TcpListener::bind(address).await.map_err(cannot)?;
        let address = tcp.local_addr().map_err(cannot)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(shown);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (sender, ready) = mpsc::channel(HANDSHAKES);
        tokio::spawn(accept(tcp, TlsAcceptor::from(Arc::new(config)), sender));
        Ok(Self { address, ready })
    }
}

type Ready = mpsc::Sender<(TlsStream<TcpStream>, std::net::SocketAddr)>;

async fn accept(tcp: TcpListener, acceptor: TlsAcceptor, ready: Ready) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (stream, peer) = match tcp.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "webhook.accept_failed");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if ready.is_closed() {
            return;
        }
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            let _place = place;
            match timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(ready.send((stream, peer)).await),
                Ok(Err(error)) => tracing::info!(%peer, %error, "webhook.handshake_failed"),
                Err(_) => tracing::info!(%peer, "webhook.handshake_slow"),
            }
        });
    }
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}
