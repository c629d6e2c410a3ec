//! Pods that ask by themselves: what they get, what strangers learn and cost, and whom that keeps out.

use service::audit::AuditRow;
use service::{AuthFailure, Origin};
use store::testing::execute;

use super::*;
use crate::world::origin;

/// Settings by which pods may ask.
fn direct() -> Settings {
    let pod_identity = PodIdentity { direct: true, ..PodIdentity::default() };
    Settings { pod_identity, ..Settings::default() }
}

fn from(source: &str) -> Origin {
    Origin { source: source.into(), ..origin() }
}

async fn shown(server: &Arc<Service>, cluster: &str, token: &str) -> Result<Vended> {
    server.vend_to_pod(&origin(), cluster, token).await
}

fn counted(server: &Service) -> u64 {
    server.auth_failures().iter().find(|(reason, _)| *reason == AuthFailure::PodToken).unwrap().1
}

async fn vends(world: &World) -> Vec<AuditRow> {
    let filter = AuditFilter { action: Some("bailiwick:podIdentity:vend".into()), ..Default::default() };
    world.service.list_audit_events(&world.root, &filter, &PageRequest::default()).await.unwrap().items
}

#[tokio::test]
async fn pods_that_may_not_ask_are_told_the_setting_and_nothing_is_looked_at() {
    for world in worlds().await {
        let key = Key::new("k1");
        let cluster = Cluster::new(&key);
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        for id in ["one", "none"] {
            let error = shown(&server, id, &key.token(&world, Some("p1"))).await.unwrap_err();
            assert_eq!((error.kind(), error.reason()), (ErrorKind::Forbidden, Some("not-direct")));
            assert!(error.message().contains("`pod_identity.direct = true`"), "{error:?}");
        }
        assert_eq!(cluster.asked.load(Ordering::SeqCst), 0, "{}", world.on());
        assert_eq!(counted(&server), 2);
    }
}

#[tokio::test]
async fn a_pod_gets_credentials_as_often_as_it_shows_its_token_and_is_named_in_the_audit() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), direct()).await;
        let token = key.token(&world, Some("p1"));
        let pod = Origin { request_id: "request-of-a-pod".into(), ..from("192.0.2.7") };
        let first = server.vend_to_pod(&pod, "one", &token).await.unwrap();
        let second = shown(&server, "one", &token).await.unwrap();
        assert_ne!(first.key.id, second.key.id);
        assert_eq!((first.agency_name.as_str(), first.key.expires_at), ("writer", world.clock_in(2 * HOUR)));
        assert!(server.signing_key(first.key.id.as_str()).await.unwrap().is_some(), "{}", world.on());
        let rows = vends(&world).await;
        let event =
            &rows.iter().find(|row| row.event.resource.ends_with(first.key.id.as_str())).unwrap().event;
        assert_eq!(
            (event.actor.as_ref(), event.actor_name.as_str()),
            (None, "system:serviceaccount:shop:web")
        );
        assert_eq!((event.request_id.as_str(), event.source.as_str()), ("request-of-a-pod", "192.0.2.7"));
        assert!(
            event.resource.starts_with("cluster/one/service-account/shop/web/pod/shop/p1/u-p1/association/")
        );
        assert!(rows.iter().all(|row| !format!("{row:?}").contains(&token)));
        // No messenger is among what it ends with: only what it was vended by.
        let (one, all) = (WhichCluster::Id("one"), AssociationFilter::default());
        let association =
            server.list_associations(&world.root, one, all).await.unwrap().remove(0).association;
        let id = association.id.as_str();
        server.delete_association(&world.root, WhichCluster::Id("one"), id).await.unwrap();
        assert!(server.signing_key(first.key.id.as_str()).await.unwrap().is_none());
        let refused = shown(&server, "one", &token).await;
        assert_eq!(refusal(refused), (ErrorKind::Forbidden, Some("no-association")));
    }
}

#[tokio::test]
async fn who_proved_nothing_learns_neither_which_clusters_there_are_nor_how_they_are() {
    for world in worlds().await {
        let (key, other, twin) = (Key::new("k1"), Key::new("k2"), Key::new("k1"));
        let cluster = Cluster::new(&key);
        let server = vending(&world, &key, Arc::clone(&cluster), direct()).await;
        let mut said = Vec::new();
        let mut say = async |id: &str, token: &str| {
            let error = shown(&server, id, token).await.unwrap_err();
            said.push((error.kind(), error.reason(), error.message().to_owned()));
        };
        let good = key.token(&world, Some("p1"));
        *cluster.silent.lock().unwrap() = true;
        say("one", &good).await;
        later(2).await;
        *cluster.silent.lock().unwrap() = false;
        let asked = cluster.asked.load(Ordering::SeqCst);
        // No such cluster, no id at all; another key, and another one by the same name.
        for (id, token) in [("none", &good), ("*", &good)] {
            say(id, token).await;
        }
        for _ in 0..20 {
            say("one", &other.token(&world, None)).await;
        }
        say("one", &twin.token(&world, None)).await;
        assert!(cluster.asked.load(Ordering::SeqCst) <= asked + 1, "{}", world.on());
        shown(&server, "one", &good).await.unwrap();
        *cluster.issuer.lock().unwrap() = "https://elsewhere".to_owned();
        later(301).await;
        say("one", &good).await;
        *cluster.issuer.lock().unwrap() = ISSUER.to_owned();
        world.service.delete_cluster(&world.root, "one", service::Removal::Abandon).await.unwrap();
        say("one", &good).await;
        let first = said.first().unwrap().clone();
        assert_eq!((first.0, first.1), (ErrorKind::Unauthenticated, Some("unproved-token")));
        assert!(said.iter().all(|one| *one == first), "{}: {said:?}", world.on());
    }
}

#[tokio::test]
async fn what_is_wrong_in_every_cluster_is_told_and_what_is_proved_has_its_own_words() {
    for world in worlds().await {
        let key = Key::new("k1");
        let cluster = Cluster::new(&key);
        let pod_identity = PodIdentity { direct: true, require_bound_pod: true, ..PodIdentity::default() };
        let settings = Settings { pod_identity, ..Settings::default() };
        let server = vending(&world, &key, Arc::clone(&cluster), settings).await;
        let late = key.token(&world, Some("p1"));
        world.clock.advance_seconds(600);
        for id in ["one", "none"] {
            for (token, word) in [("", "malformed-token"), ("a.b.c", "malformed-token"), (&late, "expired")] {
                let refused = shown(&server, id, token).await;
                assert_eq!(refusal(refused), (ErrorKind::Unauthenticated, Some(word)), "{id}");
            }
        }
        let unbound = shown(&server, "one", &key.token(&world, None)).await;
        assert_eq!(refusal(unbound), (ErrorKind::Unauthenticated, Some("not-bound-to-a-pod")));
        let token = key.token(&world, Some("p1"));
        *cluster.silent.lock().unwrap() = true;
        let unasked = shown(&server, "one", &token).await;
        assert_eq!(refusal(unasked), (ErrorKind::Unavailable, Some("cluster-unreachable")), "{}", world.on());
        *cluster.silent.lock().unwrap() = false;
        *cluster.gone.lock().unwrap() = vec!["u-p1".to_owned()];
        let gone = shown(&server, "one", &token).await;
        assert_eq!(refusal(gone), (ErrorKind::Unauthenticated, Some("gone")), "{}", world.on());
        assert_eq!(counted(&server), 6 + 3);
        // The first account sees what is nobody's.
        execute(&world.store, "UPDATE accounts SET created_at = created_at + 1 WHERE name = 'stranger'")
            .await;
        server.finish_audit().await.unwrap();
        let filter =
            AuditFilter { action: Some("bailiwick:authentication:fail".into()), ..Default::default() };
        let page = PageRequest::default();
        let rows = world.service.list_audit_events(&world.root, &filter, &page).await.unwrap().items;
        let times: Vec<_> = rows.iter().filter(|row| row.event.resource == "reason/pod-token").collect();
        assert!(times.len() <= 2, "a row for each minute and not for each refusal: {rows:?}");
        assert_eq!(times.iter().map(|row| row.event.occurrences).sum::<i64>(), 9);
    }
}

#[tokio::test]
async fn an_address_that_sends_nothing_but_wrong_tokens_keeps_out_no_pod_that_was_there_before() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), direct()).await;
        let (old, new) = (key.token(&world, Some("p1")), key.token(&world, Some("p2")));
        let (here, there) = (from("192.0.2.1"), from("192.0.2.2"));
        server.vend_to_pod(&here, "one", &old).await.unwrap();
        tokio::time::pause();
        let mut wrong = 0;
        loop {
            let error = server.vend_to_pod(&here, "one", "a.b.c").await.unwrap_err();
            match error.kind() {
                ErrorKind::Unauthenticated => wrong += 1,
                kind => break assert_eq!(kind, ErrorKind::Limited),
            }
        }
        assert_eq!(wrong, 1_000);
        let held = |outcome: Result<Vended>| outcome.unwrap_err().kind() == ErrorKind::Limited;
        assert!(held(server.vend_to_pod(&here, "one", &new).await), "nobody knows it yet");
        assert!(held(server.vend_to_pod(&here, "none", &old).await), "it was proved for one cluster alone");
        tokio::time::resume();
        server.vend_to_pod(&here, "one", &old).await.unwrap();
        server.vend_to_pod(&there, "one", &new).await.unwrap();
        later(1).await;
        let third = key.token(&world, Some("p3"));
        server.vend_to_pod(&here, "one", &third).await.unwrap();
    }
}

#[tokio::test]
async fn a_pod_that_asks_without_end_is_held_back_and_its_neighbour_is_not() {
    for world in worlds().await {
        let key = Key::new("k1");
        let quotas = Quotas { sessions_per_pod: 1, ..Quotas::default() };
        let server = vending(&world, &key, Cluster::new(&key), Settings { quotas, ..direct() }).await;
        let token = key.token(&world, Some("p1"));
        shown(&server, "one", &token).await.unwrap();
        let mut kinds = Vec::new();
        for _ in 0..2_000 {
            kinds.push(shown(&server, "one", &token).await.unwrap_err().kind());
            if kinds.last() == Some(&ErrorKind::Limited) {
                break;
            }
        }
        assert_eq!(kinds.pop(), Some(ErrorKind::Limited), "{}", world.on());
        assert!(
            kinds.len() >= 100 && kinds.iter().all(|kind| *kind == ErrorKind::Conflict),
            "the quota first"
        );
        shown(&server, "one", &key.token(&world, Some("p2"))).await.unwrap();
    }
}
