//! The first step of every connection: no socket is opened to an address that the policy refuses.
//!
//! A name is resolved by us and what it resolved to is checked before connecting, each time anew: a name that pointed
//! somewhere harmless when its cluster was registered may point at a metadata service now. Proxies are not known
//! here, so those of the environment cannot be used.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use service::clusters::connection::AddressPolicy;
use tower::{BoxError, Service};

/// How long resolving and connecting may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Resolves names, and fails where one resolves to an address that is refused.
#[derive(Clone)]
pub(crate) struct GuardedResolver<R> {
    policy: Arc<AddressPolicy>,
    /// Addresses are refused together with their port, which a resolver is not told.
    port: u16,
    inner: R,
}

impl<R> Service<Name> for GuardedResolver<R>
where
    R: Service<Name>,
    R::Response: Iterator<Item = SocketAddr>,
    R::Error: Into<BoxError>,
    R::Future: Send + 'static,
{
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.inner.call(name);
        let (policy, port) = (Arc::clone(&self.policy), self.port);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = resolving.await.map_err(Into::into)?.collect();
            for address in &addresses {
                check(&policy, SocketAddr::new(address.ip(), port))?;
            }
            Ok(addresses.into_iter())
        })
    }
}

/// Connects to where the policy allows, within [`CONNECT_TIMEOUT`].
#[derive(Clone)]
pub(crate) struct GuardedConnector<R = GaiResolver> {
    policy: Arc<AddressPolicy>,
    inner: HttpConnector<GuardedResolver<R>>,
}

impl GuardedConnector {
    /// A connector to `port` that resolves names as this machine does.
    pub(crate) fn new(policy: Arc<AddressPolicy>, port: u16) -> Self {
        Self::with_resolver(policy, port, GaiResolver::new())
    }
}

impl<R> GuardedConnector<R> {
    fn with_resolver(policy: Arc<AddressPolicy>, port: u16, inner: R) -> Self {
        let resolver = GuardedResolver { policy: Arc::clone(&policy), port, inner };
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        // A watch is silent for minutes: without probes a peer that vanished would go unnoticed.
        http.set_keepalive(Some(Duration::from_secs(15)));
        http.set_keepalive_interval(Some(Duration::from_secs(5)));
        http.set_keepalive_retries(Some(3));
        Self { policy, inner: http }
    }
}

impl<R> Service<Uri> for GuardedConnector<R>
where
    R: Service<Name> + Clone + Send + Sync + 'static,
    R::Response: Iterator<Item = SocketAddr>,
    R::Error: Into<BoxError>,
    R::Future: Send + 'static,
{
    type Response = <HttpConnector<GuardedResolver<R>> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Uri>::poll_ready(&mut self.inner, context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // The resolver is not asked about a host that is an address already.
        if let Some(address) = literal(&uri)
            && let Err(refused) = check(&self.policy, address)
        {
            return Box::pin(async { Err(refused) });
        }
        let connecting = self.inner.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

fn literal(uri: &Uri) -> Option<SocketAddr> {
    let ip: IpAddr = uri.host()?.trim_matches(['[', ']']).parse().ok()?;
    Some(SocketAddr::new(ip, uri.port_u16().unwrap_or(443)))
}

fn check(policy: &AddressPolicy, address: SocketAddr) -> Result<(), BoxError> {
    policy.check(address).map_err(|refused| {
        tracing::warn!(rule = refused.rule(), "fleet.address.refused");
        refused.into()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use service::clusters::connection::address::Refused;
    use tokio::net::TcpListener;

    use super::*;

    /// Gives the first list of addresses at the first call, the second at the second.
    #[derive(Clone)]
    struct Flipping {
        calls: Arc<AtomicUsize>,
        answers: [&'static [&'static str]; 2],
    }

    impl Service<Name> for Flipping {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = io::Error;
        type Future = futures::future::Ready<Result<Self::Response, io::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            let answer = self.answers[self.calls.fetch_add(1, Ordering::SeqCst)];
            let addresses: Vec<SocketAddr> =
                answer.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            futures::future::ready(Ok(addresses.into_iter()))
        }
    }

    fn policy() -> Arc<AddressPolicy> {
        Arc::new(AddressPolicy { allow_loopback: true, ..AddressPolicy::default() })
    }

    fn is_refused(error: &BoxError) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
        while let Some(error) = cause {
            if error.is::<Refused>() {
                return true;
            }
            cause = error.source();
        }
        false
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_between_connects_is_refused_at_the_next_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for second in
            [["169.254.169.254"].as_slice(), &["::ffff:100.100.100.200"], &["127.0.0.1", "169.254.169.254"]]
        {
            let second: &'static [&'static str] = Box::leak(second.to_vec().into_boxed_slice());
            let resolver = Flipping { calls: Arc::default(), answers: [&["127.0.0.1"], second] };
            let mut connector = GuardedConnector::with_resolver(policy(), port, resolver);
            let uri: Uri = format!("https://cluster.example:{port}").parse().unwrap();
            assert!(connector.call(uri.clone()).await.is_ok());
            let error = connector.call(uri).await.map(|_| ()).unwrap_err();
            assert!(is_refused(&error), "{error:?}");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_written_out_is_checked_too() {
        for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "0.0.0.0"] {
            let mut connector = GuardedConnector::new(policy(), 6443);
            let uri: Uri = format!("https://{host}:6443").parse().unwrap();
            let error = connector.call(uri).await.map(|_| ()).unwrap_err();
            assert!(is_refused(&error), "{host}: {error:?}");
        }
    }
}
