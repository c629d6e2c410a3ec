//! An agent of a node, as the program wires it, with a clock that tests move.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::clock::Spread;
use agent::feed::{self, Follower};
use agent::node::callers::Callers;
use agent::node::desk::{Desk, Settings};
use agent::node::endpoint::{Credentials, Site};
use agent::node::listener::{Limits, Listener};
use agent::node::refusal::Refusal;
use agent::server::{self, Server};
use bytes::Bytes;
use clap::Parser;
use domain::clock::Fixed;
use domain::{Clock, Timestamp};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::double::Double;
use crate::issuer::{Issuer, START};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    server: server::Arguments,
}

/// Where pods ask from.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An agent with its server and the issuer of its cluster.
pub struct Node {
    pub desk: Arc<Desk>,
    pub double: Double,
    pub issuer: Issuer,
    pub clock: Arc<Fixed>,
    pub keys: tempfile::TempDir,
}

impl Node {
    /// One that was told everything.
    pub async fn start() -> Self {
        let node = Self::apart(2_000).await;
        node.follow().await;
        node
    }

    pub async fn follow(&self) {
        let desk = Arc::clone(&self.desk);
        tokio::spawn(async move { feed::follow(&*desk).await });
        self.told().await;
    }

    /// One that was told nothing, with room for so many.
    pub async fn apart(cached: usize) -> Self {
        let issuer = Issuer::new("first");
        let clock = Arc::new(Fixed::new(Timestamp::from_millis(START * 1000)));
        let told: Arc<dyn Clock> = Arc::<Fixed>::clone(&clock);
        let double = Double::start(&issuer, Arc::clone(&told)).await;
        let keys = tempfile::tempdir().unwrap();
        write_key(keys.path(), "AKFIRST");
        let url = format!("http://{}", double.address);
        let folder = keys.path().to_str().unwrap();
        let line = ["agent", "--server", &url, "--cluster", &"c".repeat(32), "--key-dir", folder];
        let server = Server::open(Line::parse_from(line).server, Arc::clone(&told)).unwrap();
        let settings = Settings { cached, upstream: 64 };
        let spread = Spread::new(Box::new(domain::entropy::Fixed::new(1)));
        let desk = Desk::new(server, told, spread, Some("here".into()), settings);
        Self { desk, double, issuer, clock, keys }
    }

    /// Waits until the agent was told everything that its server has to tell.
    pub async fn told(&self) {
        let revision = self.double.revision();
        until(|| self.desk.revision() >= revision).await;
    }

    pub async fn ask(&self, token: &str) -> Result<Bytes, Refusal> {
        self.desk.answer(token, LOOPBACK).await
    }

    /// Which credentials a token gets.
    pub async fn key(&self, token: &str) -> String {
        key(&self.ask(token).await.unwrap())
    }

    /// Which status refuses it, with which word.
    pub async fn refusal(&self, token: &str) -> (u16, String) {
        let refusal = self.ask(token).await.unwrap_err();
        (refusal.status.as_u16(), refusal.code)
    }

    /// Serves pods on a port of its own.
    pub async fn serve(&self, callers: Callers, limits: Limits) -> SocketAddr {
        let callers = Arc::new(callers);
        let listener =
            Listener::bind("127.0.0.1:0".parse().unwrap(), Arc::clone(&callers), limits).await.unwrap();
        let address = listener.address();
        let site = Credentials::new(Arc::clone(&self.desk), callers, "/v1/credentials".into());
        let (stop, end) = watch::channel(false);
        tokio::spawn(async move {
            listener.serve(Site::Credentials(site), end).await;
            drop(stop);
        });
        address
    }
}

pub fn write_key(folder: &Path, id: &str) {
    std::fs::write(folder.join("accessKeyId"), id).unwrap();
    std::fs::write(folder.join("secretAccessKey"), format!("secret of {id}\n")).unwrap();
}

pub fn key(body: &Bytes) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["credentials"]["accessKeyId"].as_str().unwrap().to_owned()
}

/// Waits until something is so; ten seconds at most.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to that in ten seconds");
}

/// Sends that, from that address, and reads until the connection ends. Answers the status (0 if there is none) and all of it.
pub async fn exchange(to: SocketAddr, from: IpAddr, text: &str) -> (u16, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    let mut stream: TcpStream = socket.connect(to).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}
