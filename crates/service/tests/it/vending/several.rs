//! Several tokens in one request: each has its own answer, and none of them anything of another.

use std::time::Duration;

use service::{Call, Proof, Rate, Rates, SignedRequest};
use store::testing::number;

use super::*;
use crate::world::allow;

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
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        // What there is to read is read before.
        vend(&world, &server, &key.token(&world, Some("p0"))).await.unwrap();
        let asked = tokens(&world, &key, &["p1", "slow", "p2"]);
        let root = world.root.clone();
        let answers =
            tokio::spawn(
                async move { server.vend_each(&root, WhichCluster::Id("one"), &texts(&asked)).await },
            );
        while cluster.stuck_asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::time::resume();
        let answers = answers.await.unwrap().unwrap();
        let given: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(given, [true, false, true], "{}", world.on());
        let late = answers.into_iter().find_map(Result::err).unwrap();
        assert_eq!((late.kind(), late.reason()), (ErrorKind::Unavailable, None));
    }
}

#[tokio::test]
async fn of_a_request_that_comes_again_those_get_something_who_got_nothing_and_nobody_twice() {
    for world in worlds().await {
        let key = Key::new("k1");
        let cluster = Cluster::new(&key);
        cluster.gone.lock().unwrap().push("u-p2".to_owned());
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        let asked = tokens(&world, &key, &["p1", "p2"]);
        let asked = texts(&asked);
        let signed = Some(SignedRequest::new("AK", b"one", world.clock_in(900)));
        let call = Call { signed, ..world.root.clone() };
        let vend = || server.vend_each(&call, WhichCluster::Id("one"), &asked);
        let first = vend().await.unwrap();
        assert_eq!(first.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false], "{}", world.on());
        cluster.gone.lock().unwrap().clear();
        let again = vend().await.unwrap();
        assert_eq!(again.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true], "{}", world.on());
        assert_eq!(refusal(again.into_iter().next().unwrap()), (ErrorKind::Conflict, Some("repeated")));
    }
}

#[tokio::test]
async fn who_asks_with_a_key_that_ends_meanwhile_is_told_so_for_every_token() {
    for world in worlds().await {
        let key = Key::new("k1");
        let cluster = Cluster::new(&key);
        let server = vending(&world, &key, Arc::clone(&cluster), Settings::default()).await;
        let user = world.user("messenger").await;
        world.give(&user, &allow(&["bailiwick:podIdentity:vend"])).await;
        let call = world.call_of(&user).await;
        let Proof::AccessKey(id) = &call.caller.proof else { panic!("a key") };
        let meeting = Arc::new(tokio::sync::Barrier::new(2));
        *cluster.meeting.lock().unwrap() = Some(Arc::clone(&meeting));
        let asked = tokens(&world, &key, &["p1"]);
        let asked = texts(&asked);
        let (answers, ()) = tokio::join!(server.vend_each(&call, WhichCluster::Id("one"), &asked), async {
            // Once for the service account, and once for the pod.
            meeting.wait().await;
            world.service.delete_access_key(&world.root, id.as_str()).await.unwrap();
            meeting.wait().await;
            meeting.wait().await;
            meeting.wait().await;
        });
        let refused = answers.unwrap().remove(0);
        // No word: so it is known to be about them, and not about the token.
        assert_eq!(refusal(refused), (ErrorKind::Unauthenticated, None), "{}", world.on());
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM vended_sessions").await, 0);
    }
}

#[tokio::test]
async fn tokens_count_as_requests_of_who_brings_them() {
    for world in worlds().await {
        let key = Key::new("k1");
        let rates = Rates { principal: Rate { per_second: 1, burst: 5 }, ..Rates::default() };
        let settings = Settings { rates, ..Settings::default() };
        let server = vending(&world, &key, Cluster::new(&key), settings).await;
        let asked = tokens(&world, &key, &["p1", "p2", "p3", "p4"]);
        let asked = texts(&asked);
        let vend = || server.vend_each(&world.root, WhichCluster::Id("one"), &asked);
        vend().await.unwrap();
        assert_eq!(vend().await.map(drop).unwrap_err().kind(), ErrorKind::Limited, "{}", world.on());
    }
}

#[tokio::test]
async fn refusals_of_one_kind_in_a_request_are_one_line_of_the_audit() {
    for world in worlds().await {
        let (key, stranger) = (Key::new("k1"), Key::new("k1"));
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let forged = stranger.token(&world, Some("p1"));
        let asked: Vec<&str> = ["nonsense", &forged].repeat(16);
        let before = server.measures().await;
        let answers = server.vend_each(&world.root, WhichCluster::Id("one"), &asked).await.unwrap();
        assert!(answers.iter().all(Result::is_err), "{}", world.on());
        let after = server.measures().await;
        assert_eq!(after.audit.waiting - before.audit.waiting, 2, "{}", world.on());
        let count = |measures: &service::measures::Measures, outcome| {
            measures.vended.iter().find(|(known, _)| *known == outcome).map(|(_, count)| *count)
        };
        assert_eq!((count(&before, "refused"), count(&after, "refused")), (Some(0), Some(32)));
    }
}
