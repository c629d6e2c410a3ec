//! One exchange with the server: sign, send, read, and say in words what went wrong on the way.
//!
//! Redirects are not followed: a signed request is meant for one address. Nothing is sent twice.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use domain::Clock;
use ureq::http;
use ureq::tls::TlsConfig;
use ureq::{Agent, AsSendBody, Error, Timeout};

use super::{Server, Settings, trust};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::system::OsEntropy;
use signing::{AccessKey, Signable};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(60);
/// By this header the server says what its operator should do.
const REMINDER: &str = "x-bailiwick-reminder";
/// Makes each change unlike any other: a signature alone is the same for two equal requests within one second, and the
/// server takes the second for the first.
const NONCE: &str = "x-bailiwick-nonce";
const MAX_ANSWER: u64 = 64 << 20;

/// What is sent.
pub struct Request {
    /// The method in capitals.
    pub method: String,
    /// Path and query, sent as they are.
    pub target: String,
    /// Headers besides those that signing and sending add. Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

/// What came back.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status in words.
    pub reason: String,
    /// The headers in the server's order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the server did what it was asked.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A caller of one server.
pub struct Client<'a> {
    agent: Agent,
    clock: &'a dyn Clock,
    server: Server,
    server_from: String,
    key: Option<AccessKey>,
    reminded: Cell<bool>,
}

impl<'a> Client<'a> {
    /// A client for what the settings say. Nothing is sent yet.
    ///
    /// # Errors
    /// If the certificate authorities cannot be read.
    pub fn new(settings: Settings, environment: &Environment, clock: &'a dyn Clock) -> Result<Self, Failure> {
        let agent = agent(&settings, environment)?;
        Ok(Self {
            agent,
            clock,
            server: settings.server,
            server_from: settings.server_from,
            key: settings.key,
            reminded: Cell::new(false),
        })
    }

    /// The server that is called.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Whether the server said that `bootstrap.env` still lies in its data folder.
    #[must_use]
    pub fn is_reminded(&self) -> bool {
        self.reminded.get()
    }

    /// The key that signs.
    #[must_use]
    pub fn key(&self) -> Option<&AccessKey> {
        self.key.as_ref()
    }

    /// The present, as signatures are dated.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.clock
    }

    /// All headers that the caller answers for, signed where there is a key and no other credential.
    #[must_use]
    pub fn headers(&self, request: &Request) -> Vec<(String, String)> {
        let mut headers = request.headers.clone();
        if !has(&headers, "host") {
            headers.push(("host".to_owned(), self.server.host_header().to_owned()));
        }
        let brings_credential = has(&headers, "authorization") || has(&headers, "x-auth-token");
        let Some(key) = self.key.as_ref().filter(|_| !brings_credential) else {
            return headers;
        };
        if !matches!(request.method.as_str(), "GET" | "HEAD") && !has(&headers, NONCE) {
            let nonce: [u8; 8] = domain::entropy::bytes(&OsEntropy);
            headers.push((NONCE.to_owned(), hex::encode(nonce)));
        }
        let date = signing::date(self.clock.now());
        headers.retain(|(name, _)| name != signing::DATE_HEADER);
        headers.push((signing::DATE_HEADER.to_owned(), date.clone()));
        let signable = Signable {
            method: &request.method,
            target: &request.target,
            headers: &headers,
            body: &request.body,
        };
        let authorization = signing::authorization(key, &date, &signable);
        headers.push(("authorization".to_owned(), authorization));
        headers
    }

    /// Signs and sends, and reads the answer whatever its status.
    ///
    /// # Errors
    /// If no answer came.
    pub fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let mut builder = http::Request::builder().method(request.method.as_str()).uri(format!(
            "{}{}",
            self.server.as_str(),
            request.target
        ));
        for (name, value) in self.headers(request) {
            builder = builder.header(name, value);
        }
        // A method that carries a body says so even when it is empty; others must not.
        let carries_body = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
        if carries_body || !request.body.is_empty() {
            self.exchange(builder.body(request.body.as_slice()), request)
        } else {
            self.exchange(builder.body(()), request)
        }
    }

    fn exchange(
        &self,
        built: http::Result<http::Request<impl AsSendBody>>,
        request: &Request,
    ) -> Result<Answer, Failure> {
        let built = built.map_err(|error| {
            Failure::usage(format!("`{} {}` cannot be sent: {error}", request.method, request.target))
        })?;
        let answer = self.agent.run(built).map_err(|error| self.explain(&error))?;
        let (parts, mut body) = answer.into_parts();
        if parts.headers.get(REMINDER).is_some_and(|value| value == "bootstrap-file") {
            self.reminded.set(true);
        }
        let body =
            body.with_config().limit(MAX_ANSWER).read_to_vec().map_err(|error| self.explain(&error))?;
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(Answer {
            status: parts.status.as_u16(),
            reason: parts.status.canonical_reason().unwrap_or_default().to_owned(),
            headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body,
        })
    }

    /// Why no answer came, and what to look at.
    fn explain(&self, error: &Error) -> Failure {
        let server = self.server.as_str();
        let set = "name another server with --server, BAILIWICK_SERVER or a profile";
        let from = format!("the address comes from {}; {set}", self.server_from);
        match error {
            Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
                Failure::refused(format!("cannot connect to `{server}`: connection refused"))
                    .hint("is the server running? start one with: bailiwick serve")
                    .hint(from)
            }
            Error::HostNotFound => {
                Failure::refused(format!("cannot connect to `{server}`: its name does not resolve"))
                    .hint(from)
            }
            Error::Timeout(Timeout::Connect | Timeout::Resolve) => Failure::refused(format!(
                "cannot connect to `{server}`: no answer within {} s",
                CONNECT_TIMEOUT.as_secs()
            ))
            .hint(from),
            Error::Timeout(_) => Failure::refused(format!(
                "`{server}` did not answer within {} s; a change may or may not have been made",
                TIMEOUT.as_secs()
            )),
            Error::Rustls(_) | Error::Tls(_) => self.distrusts(error),
            // TLS failures during the handshake arrive wrapped as IO.
            Error::Io(io) if io.kind() == io::ErrorKind::InvalidData => self.distrusts(error),
            other => Failure::refused(format!("cannot talk to `{server}`: {}", plain(other))).hint(from),
        }
    }

    /// TLS did not come about. What to do depends on what was wrong, and only the text says what it was.
    fn distrusts(&self, error: &Error) -> Failure {
        let text = plain(error);
        let hint = if text.contains("InvalidContentType") {
            "the server does not seem to speak TLS there; is it http:// instead of https://?"
        } else if text.contains("CaUsedAsEndEntity") {
            "a server's certificate must not be an authority's: make it with basicConstraints=CA:FALSE"
        } else {
            "name the certificate authority with --ca-file, BAILIWICK_CA_FILE or ca_file in the profile"
        };
        Failure::refused(format!("cannot talk to `{}` over TLS: {text}", self.server.as_str())).hint(hint)
    }
}

/// The error in its own words, without the layers that it came through.
fn plain(error: &Error) -> String {
    match error {
        Error::Io(io) => io.to_string(),
        other => other.to_string(),
    }
}

fn has(headers: &[(String, String)], name: &str) -> bool {
    headers.iter().any(|(key, _)| key == name)
}

fn agent(settings: &Settings, environment: &Environment) -> Result<Agent, Failure> {
    // What stays on this machine needs no proxy, and a proxy could not reach it.
    let proxy = environment.proxy.clone().filter(|_| !settings.server.is_local());
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy)
        .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(TIMEOUT));
    if settings.server.is_encrypted() {
        let roots = match &settings.ca_file {
            Some(file) => trust::from_file(file)?,
            None => trust::from_system(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        config = config.tls_config(
            TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots).build(),
        );
    }
    Ok(config.build().new_agent())
}
