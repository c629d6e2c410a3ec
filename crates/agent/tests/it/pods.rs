//! What pods get, and what is refused to whoever is none.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use agent::feed::Follower;
use agent::node::callers::Callers;
use agent::node::listener::Limits;
use agent::node::metrics::Upstream;
use serde_json::json;

use crate::double::Mood;
use crate::issuer::{AUDIENCE, Issuer, START, claims, unsigned};
use crate::node::{LOOPBACK, Node, exchange, key, until};

fn request(token: &str) -> String {
    format!(
        "POST /v1/credentials HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 2\r\n\
         Content-Type: application/json\r\nConnection: close\r\n\r\n{{}}"
    )
}

#[tokio::test]
async fn a_pod_gets_the_servers_answer_as_it_came_and_again_without_asking() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    let address = node.serve(Callers::new(vec![]), Limits::default()).await;
    let token = node.issuer.pod("cart", "cart-1");
    let (status, first) = exchange(address, LOOPBACK, &request(&token)).await;
    assert_eq!(status, 200, "{first}");
    assert!(first.contains("\"accessKeyId\":\"AK1\"") && first.contains("\"subject\":{"), "{first}");
    let (status, second) = exchange(address, LOOPBACK, &request(&token)).await;
    assert_eq!((status, second), (200, first));
    assert_eq!(node.double.asked(), 1);
}

#[tokio::test]
async fn a_new_token_of_the_same_pod_gets_what_is_there_and_another_pod_does_not() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    let mut later = claims("cart", Some("cart-1"));
    later["exp"] = json!(START + 7200);
    assert_eq!(node.key(&node.issuer.pod("cart", "cart-1")).await, "AK1");
    assert_eq!(node.key(&node.issuer.sign(&later)).await, "AK1");
    assert_eq!(node.key(&node.issuer.pod("cart", "cart-2")).await, "AK2");
    assert_eq!(node.key(&node.issuer.sign(&claims("cart", None))).await, "AK3");
    assert_eq!(node.double.asked(), 3);
}

#[tokio::test]
async fn a_forged_token_gets_nothing_of_the_pod_that_it_names_whether_the_server_is_there_or_not() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    node.key(&node.issuer.pod("cart", "cart-1")).await;
    let victim = claims("cart", Some("cart-1"));
    let changed = |name: &str, value: serde_json::Value| {
        let mut claims = victim.clone();
        claims[name] = value;
        claims
    };
    let stranger = Issuer::new("first");
    let none = json!({"alg": "none", "kid": "first"});
    let ours = node.issuer.pod("cart", "cart-1");
    let (_, signature) = ours.rsplit_once('.').unwrap();
    let es = json!({"alg": "ES256", "kid": "first"});
    let moved = format!("{}.{signature}", unsigned(&es, &claims("cart", Some("cart-2"))));
    let forged = [
        (format!("{}.", unsigned(&none, &victim)), "wrong-algorithm"),
        (format!("{}.AAAA", unsigned(&json!({"alg": "HS256", "kid": "first"}), &victim)), "wrong-algorithm"),
        (stranger.sign(&victim), "wrong-signature"),
        (moved, "wrong-signature"),
        (node.issuer.sign(&changed("aud", json!("somebody"))), "wrong-audience"),
        (node.issuer.sign(&changed("iss", json!("https://elsewhere"))), "wrong-issuer"),
        (node.issuer.sign(&changed("exp", json!(START))), "expired"),
        (node.issuer.sign(&changed("nbf", json!(START + 60))), "not-yet-valid"),
        ("nonsense".to_owned(), "malformed-token"),
    ];
    let address = node.serve(Callers::new(vec![]), Limits::default()).await;
    for mood in [Mood::Well, Mood::Gone] {
        node.double.state().mood = mood;
        for (token, word) in &forged {
            assert_eq!(node.refusal(token).await, (401, (*word).to_owned()), "{token}");
            let (status, answer) = exchange(address, LOOPBACK, &request(token)).await;
            assert_eq!(status, 401, "{answer}");
            assert!(!answer.contains("AK1") && !answer.contains(token.as_str()), "{answer}");
        }
    }
    assert_eq!(node.double.asked(), 1, "what proves nothing is no question for the server");
    assert_eq!(key(&node.ask(&ours).await.unwrap()), "AK1");
}

#[tokio::test]
async fn a_token_counts_no_longer_than_it_says_though_it_was_proved_before() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    let token = node.issuer.pod("cart", "cart-1");
    node.key(&token).await;
    node.clock.advance_seconds(3600);
    assert_eq!(node.refusal(&token).await, (401, "expired".to_owned()));
}

#[tokio::test]
async fn a_thousand_first_requests_of_one_pod_are_one_question() {
    let node = Arc::new(Node::start().await);
    node.double.associate("cart", 0);
    node.told().await;
    let token = node.issuer.pod("cart", "cart-1");
    let ask = |_| {
        tokio::spawn({
            let (node, token) = (Arc::clone(&node), token.clone());
            async move { node.key(&token).await }
        })
    };
    let all: Vec<_> = (0..1_000).map(ask).collect();
    for one in all {
        assert_eq!(one.await.unwrap(), "AK1");
    }
    assert_eq!(node.double.asked(), 1);
}

#[tokio::test]
async fn a_thousand_pods_are_a_thousand_questions_and_never_more_than_64_at_a_time() {
    let node = Arc::new(Node::start().await);
    node.double.associate("cart", 0);
    node.told().await;
    let hold = node.double.hold();
    let ask = |number| {
        let (node, token) = (Arc::clone(&node), node.issuer.pod("cart", &format!("cart-{number}")));
        tokio::spawn(async move { node.key(&token).await })
    };
    let all: Vec<_> = (0..1_000).map(ask).collect();
    until(|| node.double.asked() == 64).await;
    drop(hold);
    let mut keys = HashSet::new();
    for one in all {
        assert!(keys.insert(one.await.unwrap()), "each has its own");
    }
    let state = node.double.state();
    assert_eq!(state.asked, 1_000);
    assert_eq!(state.most_at_once, 64);
    assert_eq!(state.most_in_one, 32);
    assert!(state.requests <= 200, "{}", state.requests);
    assert_eq!(node.desk.metrics.batches.get(), state.requests as u64);
}

#[tokio::test]
async fn a_pod_that_asks_alone_waits_for_nobody() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    for number in 0..3 {
        node.key(&node.issuer.pod("cart", &format!("cart-{number}"))).await;
    }
    assert_eq!((node.double.asked(), node.double.state().requests), (3, 3));
}

/// Thirty pods, of which every third gets nothing, ask together; each looks whether what it gets is its own.
async fn thirty_pods_get_their_own(node: &Arc<Node>) {
    let hold = node.double.hold();
    let ask = |number: usize| {
        let account = ["cart", "till", "nobody"][number % 3];
        let name = format!("{account}-{number}");
        let (node, token) = (Arc::clone(node), node.issuer.pod(account, &name));
        tokio::spawn(async move { (account, name, node.ask(&token).await) })
    };
    let all: Vec<_> = (0..30).map(ask).collect();
    until(|| node.double.asked() > 0).await;
    drop(hold);
    for one in all {
        match one.await.unwrap() {
            ("nobody", _, answer) => assert_eq!(answer.unwrap_err().status.as_u16(), 403),
            (account, name, answer) => {
                let body: serde_json::Value = serde_json::from_slice(&answer.unwrap()).unwrap();
                assert_eq!(
                    (&body["subject"]["serviceAccount"], &body["pod"]),
                    (&json!(account), &json!(name))
                );
            }
        }
    }
    assert!(node.double.state().most_in_one > 3);
}

async fn with_cart_and_till() -> Arc<Node> {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.double.associate("till", 0);
    node.told().await;
    Arc::new(node)
}

#[tokio::test]
async fn pods_that_are_asked_for_together_each_get_their_own_answer() {
    thirty_pods_get_their_own(&with_cart_and_till().await).await;
}

#[tokio::test]
async fn an_answer_for_fewer_pods_than_were_asked_for_is_nobodys() {
    let node = with_cart_and_till().await;
    // All others would get what is their neighbour's.
    node.double.state().leaves_out_first = true;
    thirty_pods_get_their_own(&node).await;
    assert_eq!(node.desk.metrics.asked(Upstream::Away), 30);
}

#[tokio::test]
async fn a_pod_that_the_server_takes_long_for_does_not_hold_up_the_others() {
    let node = Arc::new(Node::start().await);
    node.double.associate("cart", 0);
    node.told().await;
    node.double.state().slow = Some("cart-0".into());
    let hold = node.double.hold();
    let ask = |number| {
        let (node, token) = (Arc::clone(&node), node.issuer.pod("cart", &format!("cart-{number}")));
        tokio::spawn(async move { node.key(&token).await })
    };
    let slow = ask(0);
    until(|| node.double.asked() == 1).await;
    for one in (1..100).map(ask).collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert!(!slow.is_finished());
    drop(hold);
    slow.await.unwrap();
}

#[tokio::test]
async fn who_asked_first_and_gave_up_strands_nobody() {
    let node = Arc::new(Node::start().await);
    node.double.associate("cart", 0);
    node.told().await;
    let hold = node.double.hold();
    let token = node.issuer.pod("cart", "cart-1");
    let ask = || {
        tokio::spawn({
            let (node, token) = (Arc::clone(&node), token.clone());
            async move { node.key(&token).await }
        })
    };
    let first = ask();
    until(|| node.double.asked() == 1).await;
    let second = ask();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    drop(hold);
    assert_eq!(second.await.unwrap(), "AK1");
    assert_eq!(node.double.asked(), 1);
}

#[tokio::test]
async fn a_changed_association_gives_new_credentials_and_an_ended_one_none() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.double.associate("till", 0);
    node.told().await;
    let (cart, till) = (node.issuer.pod("cart", "cart-1"), node.issuer.pod("till", "till-1"));
    assert_eq!((node.key(&cart).await, node.key(&till).await), ("AK1".to_owned(), "AK2".to_owned()));
    node.double.associate("cart", 1);
    node.told().await;
    assert_eq!(node.key(&cart).await, "AK3");
    node.double.end("cart");
    node.told().await;
    // Also while nobody can be asked: what ended is not handed out.
    node.double.state().mood = Mood::Gone;
    assert_eq!(node.refusal(&cart).await.0, 503);
    node.double.state().mood = Mood::Well;
    until(|| node.desk.is_server_there()).await;
    assert_eq!(node.refusal(&cart).await, (403, "no-association".to_owned()));
    assert_eq!(node.key(&till).await, "AK2", "nobody else lost anything");
}

#[tokio::test]
async fn a_refusal_is_repeated_for_a_moment_and_forgotten_with_the_next_change() {
    let node = Node::start().await;
    let token = node.issuer.pod("cart", "cart-1");
    for _ in 0..50 {
        assert_eq!(node.refusal(&token).await, (403, "no-association".to_owned()));
    }
    assert!(node.double.asked() <= 2, "{}", node.double.asked());
    // Another pod of the same service account gets the same answer.
    let asked = node.double.asked();
    assert_eq!(node.refusal(&node.issuer.pod("cart", "cart-2")).await.0, 403);
    assert!(node.double.asked() <= asked + 1);
    node.double.associate("cart", 0);
    node.told().await;
    node.key(&token).await;
}

#[tokio::test]
async fn an_answer_from_before_a_change_that_is_known_is_not_handed_out() {
    let node = Arc::new(Node::start().await);
    node.double.associate("cart", 5);
    node.told().await;
    node.double.state().epoch_vended = Some(4);
    let token = node.issuer.pod("cart", "cart-1");
    let asks = tokio::spawn({
        let (node, token) = (Arc::clone(&node), token.clone());
        async move { node.key(&token).await }
    });
    until(|| node.double.asked() == 2).await;
    node.double.state().epoch_vended = None;
    assert_eq!(asks.await.unwrap(), "AK3");
    assert_eq!(node.key(&token).await, "AK3");
}

#[tokio::test]
async fn an_answer_that_comes_after_the_end_of_its_association_is_handed_out_to_nobody() {
    let node = Arc::new(Node::start().await);
    node.double.associate("cart", 0);
    node.told().await;
    // Answered from what was there when it was asked, and on its way while the association ends.
    node.double.state().answers_first = true;
    let hold = node.double.hold();
    let token = node.issuer.pod("cart", "cart-1");
    let asks = tokio::spawn({
        let (node, token) = (Arc::clone(&node), token.clone());
        async move { node.refusal(&token).await }
    });
    until(|| node.double.asked() == 1).await;
    node.double.end("cart");
    node.told().await;
    drop(hold);
    assert_eq!(asks.await.unwrap(), (403, "no-association".to_owned()));
    assert_eq!(node.desk.sizes().1, 0);
    assert_eq!(node.double.asked(), 2);
}

#[tokio::test]
async fn an_answer_by_an_association_that_another_one_replaced_is_asked_for_again() {
    let node = Arc::new(Node::start().await);
    node.double.associate_as("old", "cart", 0);
    node.told().await;
    node.double.state().answers_first = true;
    let hold = node.double.hold();
    let token = node.issuer.pod("cart", "cart-1");
    let asks = tokio::spawn({
        let (node, token) = (Arc::clone(&node), token.clone());
        async move { node.key(&token).await }
    });
    until(|| node.double.asked() == 1).await;
    node.double.end("old");
    node.double.associate_as("new", "cart", 0);
    node.told().await;
    drop(hold);
    assert_eq!(asks.await.unwrap(), "AK2");
    assert_eq!(node.key(&token).await, "AK2");
}

#[tokio::test]
async fn a_refusal_from_before_a_change_that_is_known_is_no_refusal() {
    let node = Arc::new(Node::start().await);
    node.double.state().answers_first = true;
    let hold = node.double.hold();
    let token = node.issuer.pod("cart", "cart-1");
    let asks = tokio::spawn({
        let (node, token) = (Arc::clone(&node), token.clone());
        async move { node.key(&token).await }
    });
    until(|| node.double.asked() == 1).await;
    node.double.associate("cart", 0);
    node.told().await;
    drop(hold);
    assert_eq!(asks.await.unwrap(), "AK2");
}

#[tokio::test]
async fn a_service_account_that_is_made_anew_under_its_name_shares_nothing_with_the_old_one() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    // The pod outlives its service account, and is given a token of the new one.
    let old = node.issuer.pod("cart", "cart-1");
    let mut new = claims("cart", Some("cart-1"));
    new["kubernetes.io"]["serviceaccount"]["uid"] = json!("-cart-anew");
    let new = node.issuer.sign(&new);
    assert_eq!(node.key(&old).await, "AK1");
    assert_eq!(node.key(&new).await, "AK2", "what was vended to the old one is not the new one's");
    assert_eq!(node.key(&new).await, "AK2");
    node.double.state().mood = Mood::Answers(401, Some("service-account-gone"));
    assert_eq!(node.refusal(&old).await, (401, "service-account-gone".to_owned()));
    assert_eq!(node.key(&new).await, "AK2", "the old token's refusal takes nothing from the new one");
}

#[tokio::test]
async fn after_the_servers_database_was_restored_nothing_from_before_is_handed_out() {
    for (history, revision) in [("first", 2), ("second", 9)] {
        let node = Node::start().await;
        node.double.associate("cart", 5);
        node.double.associate("cart", 6);
        node.told().await;
        let token = node.issuer.pod("cart", "cart-1");
        assert_eq!(node.key(&token).await, "AK1");
        node.double.restore(history, revision, "cart");
        until(|| node.desk.revision() == revision).await;
        assert_eq!(node.key(&token).await, "AK2", "{history}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn measuring_being_told_and_answering_never_wait_for_each_other_for_ever() {
    let node = Arc::new(Node::start().await);
    node.double.associate("cart", 0);
    node.told().await;
    let (desk, token) = (Arc::clone(&node.desk), node.issuer.pod("cart", "cart-1"));
    node.key(&token).await;
    let (done, all_done) = std::sync::mpsc::channel();
    let feed = node.double.complete();
    let works: [Box<dyn Fn() + Send>; 4] = [
        Box::new({
            let desk = Arc::clone(&desk);
            move || drop(agent::node::metrics::text(&desk).unwrap())
        }),
        Box::new({
            let desk = Arc::clone(&desk);
            move || desk.take(desk.revision(), feed.clone())
        }),
        Box::new({
            let (desk, here) = (Arc::clone(&desk), tokio::runtime::Handle::current());
            move || drop(here.block_on(desk.answer(&token, LOOPBACK)))
        }),
        Box::new({
            let (desk, here) = (Arc::clone(&desk), tokio::runtime::Handle::current());
            move || {
                let _here = here.enter();
                desk.renew();
            }
        }),
    ];
    for work in works {
        let done = done.clone();
        std::thread::spawn(move || {
            (0..3_000).for_each(|_| work());
            done.send(()).unwrap();
        });
    }
    for _ in 0..4 {
        all_done.recv_timeout(Duration::from_secs(60)).expect("somebody waits for ever");
    }
}

#[tokio::test]
async fn a_pod_that_asks_without_end_takes_nothing_from_others() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    let address = node.serve(Callers::only(vec!["127.0.0.0/8".parse().unwrap()]), Limits::default()).await;
    let ask = request(&node.issuer.pod("cart", "cart-1"));
    let mut busy = 0;
    for _ in 0..400 {
        busy += usize::from(exchange(address, [127, 5, 0, 1].into(), &ask).await.0 == 429);
    }
    assert!(busy > 0);
    assert_eq!(exchange(address, [127, 5, 0, 2].into(), &ask).await.0, 200);
}

#[tokio::test]
async fn a_token_of_another_node_is_refused_here() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    let mut there = claims("cart", Some("cart-1"));
    there["kubernetes.io"]["node"] = json!({"name": "there", "uid": "-there"});
    assert_eq!(node.refusal(&node.issuer.sign(&there)).await, (401, "token-of-another-node".to_owned()));
    there["kubernetes.io"]["node"] = json!({"name": "here", "uid": "-here"});
    node.key(&node.issuer.sign(&there)).await;
}

#[tokio::test]
async fn requests_that_could_be_read_in_two_ways_are_refused_with_a_sentence() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    let address = node.serve(Callers::new(vec![]), Limits::default()).await;
    let token = node.issuer.pod("cart", "cart-1");
    let good = request(&token);
    let large = "x".repeat(5_000);
    for (text, status) in [
        (good.clone(), 200),
        (good.replace(&token, &format!("Bearer {token}")), 400),
        (good.replace("Host: x", &format!("Authorization: {token}\r\nHost: x")), 400),
        (good.replace(&format!("Authorization: {token}\r\n"), ""), 401),
        (good.replace("POST", "GET"), 405),
        (good.replace("/v1/credentials", "/v1/other"), 404),
        (good.replace("Length: 2", "Length: 5000").replace("{}", &large), 413),
        (good.replace(&token, &"x".repeat(10_000)), 401),
        (good.replace(&token, &"x".repeat(20_000)), 431),
        (good.replace("{}", "no"), 200),
    ] {
        let (found, answer) = exchange(address, LOOPBACK, &text).await;
        assert_eq!(found, status, "{answer}");
        assert!(matches!(status, 200 | 431) || answer.contains("\"message\":\""), "{answer}");
    }
    assert!(node.issuer.pod("cart", "x").len() < 1_000 && AUDIENCE.len() < 100);
}

#[tokio::test]
async fn who_is_not_on_this_node_gets_nothing_not_even_with_a_pods_token() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    let limits = Limits { connections: 100, of_node: 2, of_pod: 2, of_stranger: 2 };
    let address = node.serve(Callers::only(vec!["127.5.0.0/16".parse().unwrap()]), limits).await;
    let ask = request(&node.issuer.pod("cart", "cart-1"));
    assert_eq!(exchange(address, [127, 5, 0, 9].into(), &ask).await.0, 200);
    let (status, answer) = exchange(address, [127, 6, 0, 9].into(), &ask).await;
    assert_eq!(status, 403);
    assert!(answer.contains("--allow-from") && !answer.contains("AK1"), "{answer}");
    assert_eq!(node.desk.metrics.foreign.get(), 1);
}

#[tokio::test]
async fn whoever_opens_connections_and_says_nothing_takes_none_from_others() {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    let limits = Limits { connections: 100, of_node: 3, of_pod: 3, of_stranger: 3 };
    let address = node.serve(Callers::only(vec!["127.0.0.0/8".parse().unwrap()]), limits).await;
    let ask = request(&node.issuer.pod("cart", "cart-1"));
    let silent = move || exchange(address, [127, 5, 0, 1].into(), "POST /v1/cred");
    let begun = tokio::time::Instant::now();
    let silent = tokio::spawn(async move { tokio::join!(silent(), silent(), silent(), silent()) });
    assert_eq!(exchange(address, [127, 5, 0, 2].into(), &ask).await.0, 200);
    assert!(begun.elapsed() < Duration::from_secs(3));
    let (first, second, third, fourth) = silent.await.unwrap();
    for (status, _) in [first, second, third, fourth] {
        assert!(matches!(status, 0 | 408), "{status}");
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "they were let go");
}
