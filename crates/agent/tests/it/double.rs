//! A server that speaks the wire of ours to agents: it tells what it was told to tell, counts, and misbehaves on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use domain::{Clock, Timestamp};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use podidentity::feed::{Feed, Known, Verification};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, watch};

use crate::issuer::{AUDIENCE, ISSUER, Issuer};

/// How it answers for credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// Connections break, the feed's too.
    Gone,
    /// Nobody answers, and connections stay.
    Silent,
    /// With that status and, if it is about the pod, a word.
    Answers(u16, Option<&'static str>),
}

pub struct State {
    pub mood: Mood,
    /// Tokens for which credentials were asked, however that ended.
    pub asked: usize,
    /// In how many requests, and the most of them in one.
    pub requests: usize,
    pub most_in_one: usize,
    pub most_at_once: usize,
    pub keys_accepted: BTreeSet<String>,
    /// Minutes that credentials live.
    pub life: i64,
    /// Which epoch answers name, if not the right one.
    pub epoch_vended: Option<i64>,
    /// Whether it answers by what was there when it was asked, and then waits.
    pub answers_first: bool,
    /// Whether it leaves out the first of several answers, once.
    pub leaves_out_first: bool,
    /// The pod whose questions wait while all are held; the others do not.
    pub slow: Option<String>,
    /// Whether it tells nobody what changed: whoever asks waits.
    pub is_mute: bool,
    /// So long questions for changes wait: not long, because a server that goes away lets go of those who wait.
    patience: Duration,
    /// Which course of the database it tells of.
    pub history: String,
    /// Signatures of questions for credentials: each counts once.
    signatures: BTreeSet<String>,
    associations: BTreeMap<String, (i64, Known)>,
    ended: Vec<(i64, String)>,
    verification: (i64, Verification),
    at_once: usize,
}

#[derive(Clone)]
pub struct Double {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    revision: Arc<watch::Sender<i64>>,
    clock: Arc<dyn Clock>,
    held: Arc<RwLock<()>>,
}

impl Double {
    pub async fn start(issuer: &Issuer, clock: Arc<dyn Clock>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let verification = Verification {
            state: podidentity::feed::State::Known,
            audience: AUDIENCE.into(),
            issuer: Some(ISSUER.into()),
            keys: issuer.keys(),
            uri_variable: "URI".into(),
            token_file_variable: "FILE".into(),
            direct: false,
        };
        let state = State {
            mood: Mood::Well,
            asked: 0,
            requests: 0,
            most_in_one: 0,
            most_at_once: 0,
            keys_accepted: BTreeSet::from(["AKFIRST".to_owned()]),
            life: 120,
            epoch_vended: None,
            answers_first: false,
            leaves_out_first: false,
            slow: None,
            is_mute: false,
            patience: Duration::from_millis(500),
            history: "first".into(),
            signatures: BTreeSet::new(),
            associations: BTreeMap::new(),
            ended: Vec::new(),
            verification: (1, verification),
            at_once: 0,
        };
        let double = Self {
            address: socket.local_addr().unwrap(),
            state: Arc::new(Mutex::new(state)),
            revision: Arc::new(watch::channel(1).0),
            clock,
            held: Arc::default(),
        };
        tokio::spawn(double.clone().serve(socket));
        double
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets questions for credentials wait until what it answers is dropped.
    pub fn hold(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.held).try_write_owned().unwrap()
    }

    pub fn revision(&self) -> i64 {
        *self.revision.borrow()
    }

    pub fn asked(&self) -> usize {
        self.state().asked
    }

    /// Makes or changes the association of a service account; its id is the account's name.
    pub fn associate(&self, service_account: &str, epoch: i64) {
        self.associate_as(service_account, service_account, epoch);
    }

    pub fn associate_as(&self, id: &str, service_account: &str, epoch: i64) {
        let service_account = service_account.to_owned();
        let created_at = "2026-01-01T00:00:00Z".into();
        let known = Known { id: id.into(), namespace: "shop".into(), service_account, epoch, created_at };
        self.change(|revision, state| {
            state.associations.insert(id.into(), (revision, known));
        });
    }

    pub fn end(&self, id: &str) {
        self.change(|revision, state| {
            state.associations.remove(id);
            state.ended.push((revision, id.into()));
        });
    }

    /// Knows nothing more of an association, and tells nobody that it ended.
    pub fn unmake(&self, id: &str) {
        self.change(|_, state| drop(state.associations.remove(id)));
    }

    pub fn verify_by(&self, change: impl FnOnce(&mut Verification)) {
        self.change(|revision, state| {
            state.verification.0 = revision;
            change(&mut state.verification.1);
        });
    }

    /// Is another copy of its database, in which that association of `cart` is the only one.
    pub fn restore(&self, history: &str, revision: i64, id: &str) {
        self.revision.send_modify(|now| {
            let mut state = self.state();
            let known = state.associations.values().next().unwrap().1.clone();
            state.history = history.into();
            state.ended.clear();
            state.associations = BTreeMap::from([(id.into(), (revision, Known { id: id.into(), ..known }))]);
            *now = revision;
        });
    }

    /// Learns keys that it tells only to who asks for everything.
    pub fn learn(&self, issuer: &Issuer) {
        let mut state = self.state();
        state.verification.1.keys = issuer.keys();
        state.patience = Duration::from_secs(20);
    }

    fn change(&self, change: impl FnOnce(i64, &mut State)) {
        self.revision.send_modify(|revision| {
            *revision += 1;
            change(*revision, &mut self.state());
        });
    }

    async fn serve(self, socket: TcpListener) {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            let double = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| double.clone().answer(request));
                let http = hyper::server::conn::http1::Builder::new();
                drop(http.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let authorization = request.headers().get("authorization").unwrap().to_str().unwrap().to_owned();
        let path = request.uri().path().to_owned();
        let is_accepted = {
            let accepted = &self.state().keys_accepted;
            accepted.iter().any(|key| authorization.starts_with(&format!("SDK-HMAC-SHA256 Access={key}, ")))
        };
        if !is_accepted {
            return Ok(fault(401, None));
        }
        if path.ends_with("/pod-identity/feed") {
            let query = request.uri().query().unwrap().to_owned();
            return self.feed(&query).await;
        }
        assert!(path.ends_with("/pod-identity/credentials"), "{path}");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let tokens: Vec<&str> =
            body["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
        let number = self.begin(tokens.len());
        if !self.state().signatures.insert(authorization) {
            return Ok(fault(409, None));
        }
        let vend = || (number..).zip(&tokens).map(|(number, token)| self.vend(number, token)).collect();
        let first: Option<Vec<Value>> = self.is_answered_first().then(vend);
        if self.is_slow_for(&tokens) {
            drop(self.held.read().await);
        }
        self.state().at_once -= tokens.len();
        let mood = self.state().mood;
        let mut answers = match mood {
            Mood::Well => first.unwrap_or_else(vend),
            Mood::Gone => return Err(std::io::Error::other("gone")),
            Mood::Silent => std::future::pending().await,
            // What is about the pod is said of each of them.
            Mood::Answers(status, Some(reason)) => {
                tokens.iter().map(|_| answered(status, &fault_body(Some(reason)))).collect()
            }
            Mood::Answers(status, None) => return Ok(fault(status, None)),
        };
        if answers.len() > 1 && std::mem::take(&mut self.state().leaves_out_first) {
            answers.remove(0);
        }
        Ok(Response::new(Full::new(json!({"answers": answers}).to_string().into())))
    }

    /// Everything that it has to tell.
    pub fn complete(&self) -> Feed {
        let state = self.state();
        Feed {
            revision: self.revision(),
            history: state.history.clone(),
            complete: true,
            verification: state.verification.1.clone(),
            associations: state.associations.values().map(|(_, known)| known.clone()).collect(),
            ended: Vec::new(),
        }
    }

    fn patience(&self) -> Duration {
        self.state().patience
    }

    fn is_mute(&self) -> bool {
        self.state().is_mute
    }

    fn is_answered_first(&self) -> bool {
        self.state().answers_first
    }

    fn is_slow_for(&self, tokens: &[&str]) -> bool {
        let slow = self.state().slow.clone();
        slow.is_none_or(|slow| {
            tokens.iter().any(|token| payload(token)["kubernetes.io"]["pod"]["name"] == slow)
        })
    }

    /// Counts tokens. Returns the number of the first.
    fn begin(&self, tokens: usize) -> usize {
        let mut state = self.state();
        let number = state.asked + 1;
        state.asked += tokens;
        state.requests += 1;
        state.most_in_one = state.most_in_one.max(tokens);
        state.at_once += tokens;
        state.most_at_once = state.most_at_once.max(state.at_once);
        number
    }

    fn vend(&self, number: usize, token: &str) -> Value {
        let answer = self.credentials(number, &payload(token));
        answer.map_or_else(
            || answered(403, &fault_body(Some("no-association"))),
            |answer| answered(200, &answer),
        )
    }

    fn credentials(&self, number: usize, payload: &Value) -> Option<Value> {
        let state = self.state();
        let name = payload["kubernetes.io"]["serviceaccount"]["name"].as_str()?;
        let mut known = state.associations.values().map(|(_, known)| known);
        let known = known.find(|known| known.service_account == name)?;
        let until: Timestamp = self.clock.now().plus_seconds(state.life * 60);
        Some(json!({
            "credentials": {
                "accessKeyId": format!("AK{number}"),
                "secretAccessKey": "SK",
                "securityToken": "TOKEN",
                "expiration": until.rfc3339_micros(),
            },
            "podIdentityAssociationId": known.id,
            "subject": {"namespace": "shop", "serviceAccount": name},
            "pod": payload["kubernetes.io"]["pod"]["name"],
            "epoch": state.epoch_vended.unwrap_or(known.epoch),
        }))
    }

    async fn feed(&self, query: &str) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let number = |name: &str| -> i64 {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.parse().unwrap()).next().unwrap()
        };
        let (after, wait) = (number("after"), number("wait"));
        let mut revision = self.revision.subscribe();
        let before = self.state().verification.clone();
        let patience = Duration::from_secs(wait.try_into().unwrap()).min(self.patience());
        drop(tokio::time::timeout(patience, revision.wait_for(|revision| *revision != after)).await);
        while self.is_mute() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if self.state().mood == Mood::Silent {
            std::future::pending::<()>().await;
        }
        let state = self.state();
        if state.mood == Mood::Gone {
            return Err(std::io::Error::other("gone"));
        }
        let complete = after == 0 || after > self.revision();
        let after = if complete { 0 } else { after };
        let is_changed = after == 0 || state.verification.0 > before.0;
        let verification = (!is_changed).then_some(before.1);
        let new = state.associations.values().filter(|(revision, _)| *revision > after);
        let ended = state.ended.iter().filter(|(revision, _)| *revision > after && after > 0);
        let feed = Feed {
            revision: self.revision(),
            history: state.history.clone(),
            complete,
            verification: verification.unwrap_or_else(|| state.verification.1.clone()),
            associations: new.map(|(_, known)| known.clone()).collect(),
            ended: ended.map(|(_, id)| id.clone()).collect(),
        };
        Ok(Response::new(Full::new(serde_json::to_vec(&feed).unwrap().into())))
    }
}

fn payload(token: &str) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

fn answered(status: u16, body: &Value) -> Value {
    json!({"status": status, "body": body})
}

fn fault_body(reason: Option<&str>) -> Value {
    json!({"error": {"code": "x", "reason": reason, "message": "so it is", "requestId": "r"}})
}

fn fault(status: u16, reason: Option<&str>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(fault_body(reason).to_string().into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}
