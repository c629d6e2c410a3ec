//! Several tokens in one request: each has its own answer, and none of them anything of another.

use std::time::Duration;

use service::{Call, SignedRequest};
use store::testing::number;

use super::*;

async fn vend_each(world: &World, server: &Arc<Service>, tokens: &[String]) -> Vec<Result<Vended>> {
    server.vend_each(&world.root, WhichCluster::Id("one"), &texts(tokens)).await.unwrap()
}

fn texts(tokens: &[String]) -> Vec<&str> {
    tokens.iter().map(String::as_str).collect()
}

fn tokens(world: &World, key: &Key, pods: &[&str]) -> Vec<String> {
    pods.iter().map(|pod| key.token(world, Some(pod))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_is_answered_in_its_place_whatever_the_others_are() {
    for world in worlds().await {
        let (key, stranger) = (Key::new("k1"), Key::new("k1"));
        let cluster = Cluster::new(&key);
        cluster.gone.lock().unwrap().push("u-gone".to_owned());
        let server = vending(&world, &key, cluster, Settings::default()).await;
        let mut asked = tokens(&world, &key, &["p1", "gone", "p2"]);
        asked.insert(1, stranger.token(&world, Some("p3")));
        asked.insert(0, "nonsense".to_owned());
        let answers = vend_each(&world, &server, &asked).await;
        assert_eq!(answers.len(), asked.len());
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap();
        assert_eq!(refusal(next()), (ErrorKind::Unauthenticated, Some("malformed-token")), "{}", world.on());
        let first = next().unwrap();
        assert_eq!(refusal(next()), (ErrorKind::Unauthenticated, Some("wrong-signature")), "{}", world.on());
        assert_eq!(refusal(next()), (ErrorKind::Unauthenticated, Some("gone")), "{}", world.on());
        let last = next().unwrap();
        for (vended, pod) in [(first, "u-p1"), (last, "u-p2")] {
            let found = server.signing_key(vended.key.id.as_str()).await.unwrap().unwrap();
            let tags = &found.caller.session().unwrap().tags;
            assert!(tags.iter().any(|tag| tag.value == pod), "{tags:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_of_several_that_comes_again_is_answered_for_none_of_them() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let pods: Vec<String> = (0..32).map(|number| format!("p{number}")).collect();
        let asked: Vec<String> = pods.iter().map(|pod| key.token(&world, Some(pod))).collect();
        let signed = Some(SignedRequest::new("AK", b"one", world.clock_in(900)));
        let call = Call { signed, ..world.root.clone() };
        let asked = texts(&asked);
        let vend = || server.vend_each(&call, WhichCluster::Id("one"), &asked);
        let first: Result<Vec<Vended>> = vend().await.unwrap().into_iter().collect();
        assert_eq!(first.unwrap().len(), 32, "{}", world.on());
        for again in vend().await.unwrap() {
            assert_eq!(refusal(again), (ErrorKind::Conflict, Some("repeated")), "{}", world.on());
        }
        // Nor for one of them alone.
        let alone = server.vend(&call, WhichCluster::Id("one"), asked[0]).await;
        assert_eq!(refusal(alone), (ErrorKind::Conflict, Some("repeated")), "{}", world.on());
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM vended_sessions").await, 32);
    }
}

#[tokio::test]
async fn who_may_not_vend_for_the_cluster_is_refused_as_a_whole() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let nobody = world.user("nobody").await;
        let call = world.call_of(&nobody).await;
        let asked = tokens(&world, &key, &["p1"]);
        let refused = server.vend_each(&call, WhichCluster::Id("one"), &texts(&asked)).await;
        assert_eq!(refused.map(drop).unwrap_err().kind(), ErrorKind::Forbidden, "{}", world.on());
    }
}

#[tokio::test]
async fn a_token_that_the_cluster_takes_long_for_is_refused_alone() {
    for world in worlds().await {
        let key = Key::new("k1");
        let cluster = Cluster::new(&key);
        *cluster.stuck.lock().unwrap() = Some("u-slow".to_owned());
        let server = vending(&world, &key, cluster, Settings::default()).await;
        let asked = tokens(&world, &key, &["p1", "slow", "p2"]);
        let root = world.root.clone();
        let answers =
            tokio::spawn(
                async move { server.vend_each(&root, WhichCluster::Id("one"), &texts(&asked)).await },
            );
        while number(&world.store, "SELECT COUNT(*) FROM vended_sessions").await < 2 {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(3)).await;
        let answers = answers.await.unwrap().unwrap();
        tokio::time::resume();
        let given: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(given, [true, false, true], "{}", world.on());
        let late = answers.into_iter().find_map(Result::err).unwrap();
        assert_eq!(late.kind(), ErrorKind::Unavailable);
    }
}
