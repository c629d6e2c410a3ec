//! Vending, as far as it is about time and about clusters that say one thing now and another later. What a real API server
//! says is asked in `e2e`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ClusterIdentity, Error, ErrorKind, PrincipalKind, Result};
use podidentity::KeySet;
use podidentity::feed::State;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;
use service::clusters::certificates::WhichCluster;
use service::clusters::connection::prober::Pending;
use service::pod_identity::Vended;
use service::pod_identity::associations::{AssociationFilter, NewAssociation, VendedBefore};
use service::pod_identity::workloads::{Reached, Signing, Workload, WorkloadKind, Workloads};
use service::{
    AgencyUpdate, AuditFilter, NewCluster, PageRequest, PodIdentity, Quotas, Service, Settings, Which,
};

use super::rotation::{address, kubeconfig};
use crate::world::{World, worlds};

mod direct;
mod ends;
mod several;
mod together;

const ISSUER: &str = "https://kubernetes.default.svc";
const PORT: u16 = 7443;
const HOUR: i64 = 3600;

/// One key of an API server.
struct Key {
    pair: EcdsaKeyPair,
    kid: String,
}

impl Key {
    fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Self { pair: pair.unwrap(), kid: kid.to_owned() }
    }

    fn set(&self) -> KeySet {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (plain(&point[1..33]), plain(&point[33..]));
        let key = json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "x": x, "y": y});
        KeySet::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap()
    }

    fn thumbprint(&self) -> String {
        self.set().thumbprints().pop_first().unwrap()
    }

    /// A token of the service account `shop/web`, of a pod if one is named; it lives ten minutes from `world`'s now.
    fn token(&self, world: &World, pod: Option<&str>) -> String {
        let now = world.service.now().as_millis() / 1000;
        let mut kubernetes = json!({"namespace": "shop", "serviceaccount": {"name": "web", "uid": "u-web"}});
        if let Some(pod) = pod {
            kubernetes["pod"] = json!({"name": pod, "uid": format!("u-{pod}")});
        }
        let claims = json!({
            "iss": ISSUER, "aud": [PodIdentity::default().audience], "sub": "system:serviceaccount:shop:web",
            "exp": now + 600, "nbf": now, "kubernetes.io": kubernetes,
        });
        let header = json!({"alg": "ES256", "kid": self.kid});
        let message = format!("{}.{}", plain(header.to_string()), plain(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", plain(signature.as_ref()))
    }
}

fn plain(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What a cluster says, and how often it was asked for its keys.
struct Cluster {
    keys: Mutex<KeySet>,
    silent: Mutex<bool>,
    gone: Mutex<Vec<String>>,
    /// Whoever asks for that uid is not answered.
    stuck: Mutex<Option<String>>,
    /// How often somebody did.
    stuck_asked: AtomicUsize,
    asked: AtomicUsize,
    /// Whoever asks whether something is alive waits here, twice.
    meeting: Mutex<Option<Arc<tokio::sync::Barrier>>>,
    issuer: Mutex<String>,
}

impl Cluster {
    fn new(key: &Key) -> Arc<Self> {
        let keys = Mutex::new(key.set());
        let (silent, gone, asked) = (Mutex::default(), Mutex::default(), AtomicUsize::new(0));
        let issuer = Mutex::new(ISSUER.to_owned());
        Arc::new(Self {
            keys,
            silent,
            gone,
            stuck: Mutex::default(),
            stuck_asked: AtomicUsize::new(0),
            asked,
            meeting: Mutex::default(),
            issuer,
        })
    }

    fn answer<T>(&self, value: T) -> Result<T> {
        match *self.silent.lock().unwrap() {
            true => Err(Error::unavailable("the API server does not answer", "silent")),
            false => Ok(value),
        }
    }
}

impl Workloads for Cluster {
    fn signing<'a>(&'a self, _: &'a Reached) -> Pending<'a, Result<Signing>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let keys = self.keys.lock().unwrap().clone();
        let issuer = self.issuer.lock().unwrap().clone();
        Box::pin(async move {
            // A cluster that does not answer takes its time.
            let answer = self.answer(Signing { issuer, keys });
            tokio::task::yield_now().await;
            answer
        })
    }

    fn is_alive<'a>(&'a self, _: &'a Reached, _: &'a Workload, uid: &'a str) -> Pending<'a, Result<bool>> {
        let gone = self.gone.lock().unwrap().iter().any(|gone| gone == uid);
        let meeting = self.meeting.lock().unwrap().clone();
        let stuck = self.stuck.lock().unwrap().as_deref() == Some(uid);
        Box::pin(async move {
            if stuck {
                self.stuck_asked.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            if let Some(meeting) = meeting {
                meeting.wait().await;
                meeting.wait().await;
            }
            self.answer(!gone)
        })
    }

    fn uid<'a>(&'a self, _: &'a Reached, workload: &'a Workload) -> Pending<'a, Result<Option<String>>> {
        assert!([WorkloadKind::Pod, WorkloadKind::ServiceAccount].contains(&workload.kind));
        Box::pin(async move { self.answer(Some(format!("u-{}", workload.name))) })
    }
}

/// A server that vends for the cluster `one`, whose pods of `shop/web` act as `writer`.
async fn vending(world: &World, key: &Key, cluster: Arc<Cluster>, settings: Settings) -> Arc<Service> {
    world.api_servers.put(&address(PORT), "u1", &[&key.thumbprint()]);
    let new = NewCluster {
        id: Some("one".into()),
        name: "one".into(),
        kubeconfig: Some(kubeconfig(PORT, "one")),
        ..NewCluster::default()
    };
    world.service.create_cluster(&world.root, new).await.unwrap();
    world.principal(PrincipalKind::Agency, "writer").await;
    let agency = Which::from("writer");
    let new = NewAssociation { namespace: "shop", service_account: "web", agency, tags: Vec::new() };
    world.service.create_association(&world.root, WhichCluster::Id("one"), new).await.unwrap();
    world.another_server_vending(cluster, settings)
}

async fn vend(world: &World, server: &Arc<Service>, token: &str) -> Result<Vended> {
    server.vend(&world.root, WhichCluster::Id("one"), token).await
}

fn refusal(outcome: Result<Vended>) -> (ErrorKind, Option<&'static str>) {
    let error = outcome.map(drop).unwrap_err();
    (error.kind(), error.reason())
}

#[tokio::test]
async fn credentials_outlive_the_token_and_end_with_their_time_or_their_agencys() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let vended = vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
        assert_eq!(vended.key.expires_at, world.clock_in(2 * HOUR), "{}", world.on());
        let id = vended.key.id.as_str();
        world.clock.advance_seconds(2 * HOUR - 1);
        let caller = Arc::clone(&server.signing_key(id).await.unwrap().unwrap().caller);
        assert_eq!((caller.name.as_str(), caller.kind), ("writer", PrincipalKind::Agency));
        let tags = &caller.session().unwrap().tags;
        let tag = |key: &str| tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str());
        assert_eq!(tag("kubernetes-namespace"), Some("shop"));
        assert_eq!(tag("account-id"), Some(world.root.account().as_str()));
        assert_eq!(tag("kubernetes-pod-uid"), Some("u-p1"));
        assert!(
            tags.iter().all(|tag| tag.transitive && service::sessions::session_tags::is_reserved(&tag.key))
        );
        world.clock.advance_seconds(1);
        assert!(
            server
                .signing_key(id)
                .await
                .unwrap()
                .is_none_or(|key| key.expires_at <= Some(world.service.now()))
        );
        let update = AgencyUpdate { expires_at: Some(Some(world.clock_in(HOUR))), ..AgencyUpdate::default() };
        let nothing = service::PrincipalUpdate::default();
        world.service.update_agency(&world.root, Which::Id("writer"), nothing, update).await.unwrap();
        let vended = vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
        assert_eq!(vended.key.expires_at, world.clock_in(HOUR));
        world.clock.advance_seconds(HOUR);
        let late = vend(&world, &server, &key.token(&world, Some("p1"))).await;
        assert_eq!(refusal(late), (ErrorKind::Forbidden, Some("no-agency")));
    }
}

#[tokio::test]
async fn a_token_is_good_until_its_own_time_is_over() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let token = key.token(&world, None);
        world.clock.advance_seconds(599);
        vend(&world, &server, &token).await.unwrap();
        world.clock.advance_seconds(1);
        assert_eq!(
            refusal(vend(&world, &server, &token).await),
            (ErrorKind::Unauthenticated, Some("expired"))
        );
    }
}

#[tokio::test]
async fn tokens_of_unknown_keys_do_not_make_the_cluster_be_asked_again_and_again() {
    for world in worlds().await {
        let (key, other) = (Key::new("k1"), Key::new("k2"));
        let cluster = Cluster::new(&key);
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        vend(&world, &server, &key.token(&world, None)).await.unwrap();
        let token = other.token(&world, None);
        for asked in [1, 2] {
            let tries = (0..20).map(|_| vend(&world, &server, &token));
            for outcome in futures::future::join_all(tries).await {
                let expected = (ErrorKind::Unauthenticated, Some("unknown-key"));
                assert_eq!(refusal(outcome), expected, "{}", world.on());
            }
            assert_eq!(cluster.asked.load(Ordering::SeqCst), asked, "{}", world.on());
            // While it does not answer, those who wait for the one who asks do not ask again in turn.
            *cluster.silent.lock().unwrap() = true;
            later(11).await;
        }
        assert_eq!(world.api_servers.identified.load(Ordering::SeqCst), 1, "{}", world.on());
    }
}

#[tokio::test]
async fn a_new_key_counts_if_the_same_cluster_says_it_and_another_ones_never() {
    for world in worlds().await {
        let (key, next) = (Key::new("k1"), Key::new("k2"));
        let cluster = Cluster::new(&next);
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        let token = next.token(&world, None);
        let first = ClusterIdentity { uid: Some("u1".into()), keys: key.set().thumbprints() };
        assert!(server.fleet_identified(&domain::ClusterId::stored("one"), 1, &first).await.unwrap());
        // Behind the same address sits another cluster, which signs whatever it likes.
        world.api_servers.put(&address(PORT), "u2", &[&next.thumbprint()]);
        let foreign = vend(&world, &server, &token).await;
        assert_eq!(refusal(foreign), (ErrorKind::Forbidden, Some("other-cluster")), "{}", world.on());
        // So does one that does not say which cluster it is, or that says what is known already.
        world.api_servers.put(&address(PORT), "", &[&key.thumbprint(), &next.thumbprint()]);
        later(11).await;
        let unproved = vend(&world, &server, &token).await;
        assert_eq!(refusal(unproved), (ErrorKind::Unavailable, Some("cluster-refuses")), "{}", world.on());
        // What the cluster itself says counts, and is asked for once in ten seconds.
        world.api_servers.put(&address(PORT), "u1", &[&next.thumbprint()]);
        assert!(vend(&world, &server, &token).await.is_err());
        later(11).await;
        vend(&world, &server, &token).await.unwrap();
    }
}

/// Moves the time of tasks; the clock of the world stands.
async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// Whether agents are told of keys.
async fn told(world: &World, server: &Service) -> State {
    let feed = server.follow_pod_identity(&world.root, "one", 0, std::time::Duration::ZERO).await;
    feed.unwrap().verification.state
}

#[tokio::test]
async fn a_key_that_the_cluster_gave_up_counts_no_longer_than_the_cluster_may_be_silent() {
    for world in worlds().await {
        let (key, next) = (Key::new("k1"), Key::new("k2"));
        let cluster = Cluster::new(&key);
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        let token = key.token(&world, None);
        vend(&world, &server, &token).await.unwrap();
        *cluster.silent.lock().unwrap() = true;
        later(3590).await;
        assert_eq!(told(&world, &server).await, State::Known, "{}", world.on());
        later(20).await;
        assert_eq!(told(&world, &server).await, State::Unknown, "{}", world.on());
        let unasked = vend(&world, &server, &token).await;
        assert_eq!(refusal(unasked), (ErrorKind::Unavailable, Some("cluster-unreachable")), "{}", world.on());
        *cluster.silent.lock().unwrap() = false;
        later(2).await;
        vend(&world, &server, &token).await.unwrap();
        *cluster.keys.lock().unwrap() = next.set();
        later(301).await;
        let former = vend(&world, &server, &token).await;
        assert_eq!(refusal(former), (ErrorKind::Unauthenticated, Some("unknown-key")), "{}", world.on());
    }
}

#[tokio::test]
async fn new_keys_wake_who_waits_to_be_told() {
    for world in worlds().await {
        let (key, next) = (Key::new("k1"), Key::new("k2"));
        let cluster = Cluster::new(&key);
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        vend(&world, &server, &key.token(&world, None)).await.unwrap();
        let mut changes = server.changes();
        changes.mark_unchanged();
        *cluster.keys.lock().unwrap() = next.set();
        world.api_servers.put(&address(PORT), "u1", &[&next.thumbprint()]);
        later(11).await;
        vend(&world, &server, &next.token(&world, None)).await.unwrap();
        assert!(changes.has_changed().unwrap(), "{}", world.on());
    }
}

#[tokio::test]
async fn nothing_is_vended_where_every_pods_own_token_would_do() {
    for world in worlds().await {
        let key = Key::new("k1");
        let cluster = Cluster::new(&key);
        *cluster.issuer.lock().unwrap() = PodIdentity::default().audience;
        let server = vending(&world, &key, cluster, Settings::default()).await;
        let refused = vend(&world, &server, &key.token(&world, None)).await;
        assert_eq!(refusal(refused), (ErrorKind::Forbidden, Some("audience-of-every-token")));
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_and_so_is_what_is_gone() {
    for world in worlds().await {
        let key = Key::new("k1");
        let cluster = Cluster::new(&key);
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        let token = key.token(&world, Some("p1"));
        vend(&world, &server, &token).await.unwrap();
        *cluster.silent.lock().unwrap() = true;
        let unasked = vend(&world, &server, &token).await;
        assert_eq!(refusal(unasked), (ErrorKind::Unavailable, Some("cluster-unreachable")), "{}", world.on());
        *cluster.silent.lock().unwrap() = false;
        for gone in ["u-p1", "u-web"] {
            *cluster.gone.lock().unwrap() = vec![gone.to_owned()];
            let refused = vend(&world, &server, &token).await;
            assert_eq!(refusal(refused), (ErrorKind::Unauthenticated, Some("gone")), "{gone}");
        }
    }
}

#[tokio::test]
async fn where_pods_must_be_bound_other_tokens_are_refused() {
    for world in worlds().await {
        let key = Key::new("k1");
        let pod_identity = PodIdentity { require_bound_pod: true, ..PodIdentity::default() };
        let settings = Settings { pod_identity, ..Settings::default() };
        let server = vending(&world, &key, Cluster::new(&key), settings).await;
        let unbound = vend(&world, &server, &key.token(&world, None)).await;
        assert_eq!(refusal(unbound), (ErrorKind::Unauthenticated, Some("not-bound-to-a-pod")));
        vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
    }
}

#[tokio::test]
async fn one_pod_that_asks_too_often_keeps_no_other_out() {
    for world in worlds().await {
        let key = Key::new("k1");
        let quotas = Quotas { sessions_per_principal: 1, sessions_per_pod: 2, ..Quotas::default() };
        let settings = Settings { quotas, ..Settings::default() };
        let server = vending(&world, &key, Cluster::new(&key), settings).await;
        for pod in ["p1", "p2", "p3"] {
            for _ in 0..2 {
                vend(&world, &server, &key.token(&world, Some(pod))).await.unwrap();
            }
        }
        let third = vend(&world, &server, &key.token(&world, Some("p1"))).await;
        assert_eq!(third.unwrap_err().kind(), ErrorKind::Conflict, "{}", world.on());
    }
}

#[tokio::test]
async fn the_pods_of_one_cluster_have_no_more_credentials_than_it_may() {
    for world in worlds().await {
        let key = Key::new("k1");
        let quotas = Quotas { pod_sessions_per_cluster: 3, ..Quotas::default() };
        let settings = Settings { quotas, ..Settings::default() };
        let server = vending(&world, &key, Cluster::new(&key), settings).await;
        for pod in ["p1", "p2", "p3"] {
            vend(&world, &server, &key.token(&world, Some(pod))).await.unwrap();
        }
        let fourth = vend(&world, &server, &key.token(&world, Some("p4"))).await;
        assert_eq!(fourth.unwrap_err().kind(), ErrorKind::Conflict, "{}", world.on());
        world.clock.advance_seconds(2 * HOUR);
        vend(&world, &server, &key.token(&world, Some("p4"))).await.unwrap();
    }
}

#[tokio::test]
async fn with_its_service_account_a_session_is_over_and_what_begins_later_is_not() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let token = key.token(&world, None);
        let vended = vend(&world, &server, &token).await.unwrap();
        let id = domain::ClusterId::stored("one");
        assert_eq!(server.service_accounts_with_sessions(&id).await.unwrap(), ["u-web"]);
        let lives =
            async |vended: &Vended| server.signing_key(vended.key.id.as_str()).await.unwrap().is_some();
        assert!(lives(&vended).await);
        let before = audited(&world).await;
        let mut changes = server.changes();
        changes.mark_unchanged();
        for number in 0..50 {
            assert!(!server.service_account_gone(&id, &format!("u-{number}")).await.unwrap());
        }
        assert_eq!(audited(&world).await, before, "of what nobody vended for nothing is written");
        assert!(!changes.has_changed().unwrap() && lives(&vended).await);
        assert!(server.service_account_gone(&id, "u-web").await.unwrap());
        assert!(changes.has_changed().unwrap() && !lives(&vended).await, "{}", world.on());
        assert!(!server.service_account_gone(&id, "u-web").await.unwrap(), "other servers see it, too");
        assert_eq!(audited(&world).await, before + 1);
        // It is asked for again, and there: whoever said that it was gone was wrong. What was over stays over.
        let again = vend(&world, &server, &token).await.unwrap();
        assert!(lives(&again).await && !lives(&vended).await, "{}", world.on());
        world.clock.advance_seconds(-1);
        assert!(server.service_account_gone(&id, "u-web").await.unwrap());
        assert!(!lives(&again).await, "a clock that went back ends it as well");
    }
}

async fn audited(world: &World) -> usize {
    let filter =
        AuditFilter { action: Some("bailiwick:podIdentity:endServiceAccount".into()), ..Default::default() };
    world.service.list_audit_events(&world.root, &filter, &PageRequest::default()).await.unwrap().items.len()
}

#[tokio::test]
async fn a_service_account_that_goes_while_it_is_vended_for_gets_nothing() {
    for world in worlds().await {
        let key = Key::new("k1");
        let cluster = Cluster::new(&key);
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        let token = key.token(&world, None);
        let meeting = Arc::new(tokio::sync::Barrier::new(2));
        *cluster.meeting.lock().unwrap() = Some(Arc::clone(&meeting));
        let id = domain::ClusterId::stored("one");
        let (outcome, ()) = tokio::join!(vend(&world, &server, &token), async {
            meeting.wait().await;
            // It was alive as it was asked for, and is seen to be gone before the answer is used.
            assert!(server.service_account_gone(&id, "u-web").await.unwrap());
            meeting.wait().await;
        });
        assert_eq!(refusal(outcome), (ErrorKind::Unauthenticated, Some("gone")), "{}", world.on());
        assert!(!server.service_account_gone(&id, "u-web").await.unwrap(), "nothing is under way any more");
    }
}

#[tokio::test]
async fn what_changes_while_the_cluster_is_asked_counts() {
    for world in worlds().await {
        let key = Key::new("k1");
        let cluster = Cluster::new(&key);
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        let token = key.token(&world, None);
        vend(&world, &server, &token).await.unwrap();
        let meeting = Arc::new(tokio::sync::Barrier::new(2));
        *cluster.meeting.lock().unwrap() = Some(Arc::clone(&meeting));
        world.principal(PrincipalKind::Agency, "other").await;
        let (one, all) = (WhichCluster::Id("one"), AssociationFilter::default());
        let association =
            server.list_associations(&world.root, one, all).await.unwrap().remove(0).association;
        let (outcome, ()) = tokio::join!(vend(&world, &server, &token), async {
            meeting.wait().await;
            let id = association.id.as_str();
            let (one, agency) = (WhichCluster::Id("one"), Which::Id("other"));
            let before = VendedBefore::GoesOn;
            world.service.update_association(&world.root, one, id, agency, before).await.unwrap();
            meeting.wait().await;
        });
        assert_eq!(outcome.unwrap().agency_name, "other", "{}", world.on());
        let (outcome, ()) = tokio::join!(vend(&world, &server, &token), async {
            meeting.wait().await;
            let id = association.id.as_str();
            world.service.delete_association(&world.root, WhichCluster::Id("one"), id).await.unwrap();
            meeting.wait().await;
        });
        assert_eq!(refusal(outcome), (ErrorKind::Forbidden, Some("no-association")), "{}", world.on());
    }
}

#[tokio::test]
async fn a_list_of_another_cluster_ends_nothing() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        vend(&world, &server, &key.token(&world, None)).await.unwrap();
        let id = domain::ClusterId::stored("one");
        let found = |uid: Option<&str>, key: &Key| ClusterIdentity {
            uid: uid.map(str::to_owned),
            keys: key.set().thumbprints(),
        };
        assert!(server.is_known_as(&id, &found(Some("u1"), &key)).await.unwrap(), "{}", world.on());
        assert!(!server.is_known_as(&id, &found(Some("u2"), &key)).await.unwrap());
        assert!(!server.is_known_as(&id, &found(Some("u1"), &Key::new("k1"))).await.unwrap());
        assert!(!server.is_known_as(&id, &ClusterIdentity::default()).await.unwrap());
    }
}
