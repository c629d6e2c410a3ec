//! A running server and the bytes that are sent to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::authn::access_key::SCHEME;
use api::authn::canonical::{Request, body_hash, string_to_sign};
use api::{App, Demo, Listener};
use domain::clock::Fixed;
use domain::{PrincipalKind, Secret, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use service::clusters::connection::AddressPolicy;
use service::installation::bootstrap::{AccountSpec, Bootstrap, PreparedAccount, Purpose};
use service::{Login, MasterKey, NewPrincipal, Origin, Scope, Service, Settings};
use sha2::Sha256;
use store::Store;
use store::testing::{TestDatabase, embedded};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Server {
    pub address: SocketAddr,
    pub app: Arc<App>,
    pub root: PreparedAccount,
    pub clock: Arc<Fixed>,
    pub store: Store,
    signed: AtomicU64,
    _database: TestDatabase,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let line =
            self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(service::Rates::default()).await
    }

    /// The same with other rates.
    pub async fn start_with(rates: service::Rates) -> Self {
        Self::begin("2026-11-21T20:00:00Z", AccountSpec::default(), rates, |app| app).await
    }

    /// The same with room for so many bytes of bodies.
    pub async fn start_with_body_memory(bytes: usize) -> Self {
        let rates = service::Rates::default();
        let smaller = move |app: App| app.with_body_memory(bytes);
        Self::begin("2026-11-21T20:00:00Z", AccountSpec::default(), rates, smaller).await
    }

    /// A server at another time, with another first account.
    pub async fn start_at(now: &str, first: AccountSpec) -> Self {
        Self::begin(now, first, service::Rates::default(), |app| app).await
    }

    /// The same with other settings of the dialects.
    pub async fn start_set(set: impl FnOnce(&mut api::dialects::Settings)) -> Self {
        let changed = |mut app: App| {
            set(&mut app.settings.dialects);
            app
        };
        Self::begin("2026-11-21T20:00:00Z", AccountSpec::default(), service::Rates::default(), changed).await
    }

    async fn begin(
        now: &str,
        first: AccountSpec,
        rates: service::Rates,
        with: impl FnOnce(App) -> App,
    ) -> Self {
        let database = embedded();
        let store = database.open().await;
        let clock = Arc::new(Fixed::new(Timestamp::parse_rfc3339(now).unwrap()));
        let entropy = Arc::new(domain::entropy::Fixed::new(1));
        let master_key = service::MasterKeys::from(MasterKey::generate(&*entropy));
        let bootstrap = Bootstrap {
            store: store.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            master_key: master_key.clone(),
        };
        let installation = bootstrap.installation(Purpose::Real).await.unwrap();
        let root = bootstrap.prepare(first).unwrap();
        assert!(bootstrap.store_first(&root).await.unwrap());
        let settings = Settings {
            addresses: AddressPolicy::default(),
            rates,
            vocabulary: Arc::new(api::vocabulary().unwrap()),
            ..Settings::default()
        };
        let service = Service::new(
            store.clone(),
            clock.clone(),
            entropy.clone(),
            master_key,
            installation.id,
            settings,
        )
        .unwrap();
        let settings = api::Settings {
            dialects: api::dialects::Settings::default(),
            demo: Demo::No,
            bootstrap_file: None,
        };
        let app = Arc::new(with(App::new(Arc::new(service), entropy, settings).unwrap()));
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let address = listener.address();
        tokio::spawn(listener.serve(Arc::clone(&app), std::future::pending()));
        Self { address, app, root, clock, store, signed: AtomicU64::new(0), _database: database }
    }

    /// Sends bytes and reads the answer to its end.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP answer");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: answer[end + 4..].to_vec() }
    }

    /// Sends a request with headers as given, one connection for it alone.
    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        self.raw(&[text.as_bytes(), body].concat()).await
    }

    /// The headers that sign a request as the root user. Each time they are others, as of clients who mean to repeat
    /// something.
    pub fn signed(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<(String, String)> {
        let date = self.app.service.now().format("%Y%m%dT%H%M%SZ");
        let query: Vec<(String, String)> =
            query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let nonce = self.signed.fetch_add(1, Ordering::SeqCst).to_string();
        let headers = [
            ("content-type", "application/json"),
            ("host", "test"),
            ("x-nonce", nonce.as_str()),
            ("x-sdk-date", date.as_str()),
        ];
        let hash = body_hash(body);
        let request =
            Request { method, raw_path: path, query: &query, headers: &headers, payload_hash: &hash };
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.root.secret_access_key.expose().as_bytes()).unwrap();
        mac.update(string_to_sign(SCHEME, &date, &request).as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let authorization = format!(
            "{SCHEME} Access={}, SignedHeaders=content-type;host;x-nonce;x-sdk-date, Signature={signature}",
            self.root.access_key_id
        );
        [
            ("Content-Type", "application/json"),
            ("X-Sdk-Date", &date),
            ("Authorization", &authorization),
            ("X-Nonce", &nonce),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Sends a request signed as the root user.
    pub async fn as_root(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let headers = self.signed(method, path, &[], body);
        self.send(method, path, &borrowed(&headers), body).await
    }

    /// A token of a user without rights, made on the spot.
    pub async fn ordinary_token(&self) -> String {
        let password = || Secret::new("correct horse".into());
        let root = self.root_token().await;
        let call = self.app.service.call_by_token(&root, origin()).await.unwrap();
        let new = NewPrincipal {
            id: Some("ordinary".into()),
            password: Some(password()),
            ..NewPrincipal::named(PrincipalKind::User, "ordinary".into())
        };
        self.app.service.create_principal(&call, new).await.unwrap();
        self.token(Login::Id { user: "ordinary".into(), password: password() }).await
    }

    pub async fn root_token(&self) -> String {
        let password = Secret::new(self.root.password.expose().to_owned());
        self.token(Login::Id { user: self.root.root.id.to_string(), password }).await
    }

    async fn token(&self, login: Login) -> String {
        let scope = Scope::Account { named: None };
        self.app.service.issue_token(&login, &scope, &origin()).await.unwrap().token.expose().to_owned()
    }

    /// A project `x` with a cluster `x`: what the walks put in the place of every parameter.
    pub async fn a_cluster_named_x(&self) {
        let call = self.app.service.call_by_token(&self.root_token().await, origin()).await.unwrap();
        self.app.service.create_project(&call, Some("x"), "x").await.unwrap();
        let call = self.app.service.call_by_token(&self.root_token().await, origin()).await.unwrap();
        let new = service::NewCluster {
            id: Some("x".into()),
            name: "x".into(),
            project: Some("x".into()),
            ..service::NewCluster::default()
        };
        self.app.service.create_cluster(&call, new).await.unwrap();
    }

    /// How many grants there are: what a refused request must not change.
    pub async fn grants(&self) -> usize {
        let call = self.app.service.call_by_token(&self.root_token().await, origin()).await.unwrap();
        self.app.service.list_grants(&call).await.unwrap().grants.len()
    }
}

pub fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

pub fn origin() -> Origin {
    Origin {
        request_id: Arc::from("r"),
        source: Arc::from("127.0.0.1"),
        at: domain::Timestamp::from_millis(0),
        dialect: "",
    }
}
