//! The server away, unwell, with other keys, or of the opinion that this agent is nobody.

use std::sync::Arc;
use std::time::Duration;

use agent::node::desk::Health;
use podidentity::feed::State;
use serde_json::json;

use crate::double::Mood;
use crate::issuer::{Issuer, START, claims};
use crate::node::{Node, until, write_key};

/// A token of that pod that outlives all credentials.
fn lasting(node: &Node, pod: &str) -> String {
    let mut claims = claims("cart", Some(pod));
    claims["exp"] = json!(START + 24 * 3600);
    node.issuer.sign(&claims)
}

async fn with_cart() -> Node {
    let node = Node::start().await;
    node.double.associate("cart", 0);
    node.told().await;
    node
}

#[tokio::test]
async fn while_the_server_is_away_what_is_valid_is_handed_out_and_then_nothing() {
    let node = with_cart().await;
    let token = lasting(&node, "cart-1");
    assert_eq!(node.key(&token).await, "AK1");
    node.double.state().mood = Mood::Gone;
    for minutes in [50, 30, 39] {
        node.clock.advance_seconds(minutes * 60);
        assert_eq!(node.key(&token).await, "AK1");
    }
    assert!(node.desk.metrics.while_away.get() >= 2);
    node.clock.advance_seconds(50);
    assert_eq!(node.refusal(&token).await, (503, "unavailable".to_owned()));
    node.double.state().mood = Mood::Well;
    until(|| node.desk.is_server_there()).await;
    assert_ne!(node.key(&token).await, "AK1");
}

#[tokio::test]
async fn nothing_with_less_than_45_minutes_is_handed_out_while_the_server_answers() {
    let node = with_cart().await;
    let token = lasting(&node, "cart-1");
    assert_eq!(node.key(&token).await, "AK1");
    node.clock.advance_seconds(75 * 60);
    assert_eq!(node.key(&token).await, "AK1");
    node.clock.advance_seconds(61);
    assert_eq!(node.key(&token).await, "AK2");
}

#[tokio::test]
async fn what_has_less_than_six_tenths_of_its_life_is_renewed_before_anybody_waits() {
    let node = with_cart().await;
    let token = lasting(&node, "cart-1");
    assert_eq!(node.key(&token).await, "AK1");
    node.clock.advance_seconds(47 * 60);
    node.desk.renew();
    assert_eq!(node.desk.metrics.renewals.get(), 0);
    node.clock.advance_seconds(7 * 60 + 1);
    node.desk.renew();
    assert_eq!(node.desk.metrics.renewals.get(), 1);
    until(|| node.desk.metrics.asked(agent::node::metrics::Upstream::Given) == 2).await;
    assert_eq!(node.key(&token).await, "AK2");
    assert_eq!(node.double.asked(), 2);
}

#[tokio::test]
async fn a_refusal_takes_away_what_is_there_and_a_failure_does_not() {
    let node = with_cart().await;
    let token = lasting(&node, "cart-1");
    assert_eq!(node.key(&token).await, "AK1");
    node.clock.advance_seconds(90 * 60);
    node.double.state().mood = Mood::Answers(503, Some("cluster-unreachable"));
    assert_eq!(node.key(&token).await, "AK1");
    node.double.state().mood = Mood::Answers(500, None);
    assert_eq!(node.key(&token).await, "AK1");
    node.double.state().mood = Mood::Answers(401, Some("gone"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    until(|| node.desk.is_server_there()).await;
    assert_eq!(node.refusal(&token).await, (401, "gone".to_owned()));
    node.double.state().mood = Mood::Gone;
    assert_eq!(node.refusal(&token).await.0, 401);
    assert_eq!(node.desk.sizes().1, 0, "it was dropped, not only refused for a moment");
}

#[tokio::test]
async fn what_was_answered_badly_for_many_is_asked_again_one_by_one() {
    let node = Arc::new(with_cart().await);
    let kept = lasting(&node, "kept");
    node.key(&kept).await;
    node.clock.advance_seconds(90 * 60);
    let hold = node.double.hold();
    node.double.state().mood = Mood::Answers(400, None);
    let ask = |number| {
        let (node, token) = (Arc::clone(&node), lasting(&node, &format!("cart-{number}")));
        tokio::spawn(async move { node.key(&token).await })
    };
    let all: Vec<_> = (0..10).map(ask).collect();
    until(|| node.double.asked() == 11).await;
    drop(hold);
    until(|| node.double.state().requests > 2).await;
    assert_eq!(node.key(&kept).await, "AK1", "that a request was not understood is no refusal of a pod");
    node.double.state().mood = Mood::Well;
    for one in all {
        one.await.unwrap();
    }
    let requests = node.double.state().requests;
    assert!(requests >= 1 + 1 + 10, "{requests}");
}

#[tokio::test]
async fn a_burst_that_meets_a_server_that_dies_asks_it_hardly_more_often_than_there_are_pods() {
    let node = Arc::new(with_cart().await);
    let double = node.double.clone();
    let ask = |number| {
        let (node, token) = (Arc::clone(&node), node.issuer.pod("cart", &format!("cart-{number}")));
        tokio::spawn(async move {
            loop {
                match node.ask(&token).await {
                    Ok(_) => return,
                    Err(refusal) => assert_eq!(refusal.status.as_u16(), 503, "{refusal:?}"),
                }
            }
        })
    };
    let pods: Vec<_> = (0..500).map(ask).collect();
    until(|| double.asked() >= 100).await;
    double.state().mood = Mood::Gone;
    tokio::time::sleep(Duration::from_secs(3)).await;
    double.state().mood = Mood::Well;
    for pod in pods {
        tokio::time::timeout(Duration::from_secs(20), pod).await.unwrap().unwrap();
    }
    let asked = double.asked();
    assert!(asked <= 500 + 25 + 2 * 64, "{asked} questions for 500 pods");
}

#[tokio::test]
async fn before_the_server_told_anything_pods_wait_and_are_told_to_come_again() {
    let node = Node::apart(10).await;
    node.double.associate("cart", 0);
    let token = node.issuer.pod("cart", "cart-1");
    let refusal = node.ask(&token).await.unwrap_err();
    assert_eq!(refusal.status.as_u16(), 503);
    assert!(refusal.again.is_some());
    assert_eq!(node.double.asked(), 0);
    node.follow().await;
    assert_eq!(node.key(&token).await, "AK1");
}

#[tokio::test]
async fn the_oldest_makes_room_when_there_are_more_pods_than_places() {
    let node = Node::apart(3).await;
    node.double.associate("cart", 0);
    node.follow().await;
    let tokens: Vec<String> =
        (0..4).map(|number| node.issuer.pod("cart", &format!("cart-{number}"))).collect();
    for token in &tokens {
        node.key(token).await;
    }
    assert_eq!(node.desk.sizes().1, 3);
    assert_eq!(node.key(&tokens[3]).await, "AK4");
    assert_eq!(node.key(&tokens[0]).await, "AK5");
}

#[tokio::test]
async fn tokens_of_a_key_that_the_cluster_gave_up_prove_nothing_any_more() {
    let node = with_cart().await;
    let old = node.issuer.pod("cart", "cart-1");
    assert_eq!(node.key(&old).await, "AK1");
    let new = Issuer::new("second");
    node.double.verify_by(|verification| verification.keys = new.keys());
    node.told().await;
    // The server knows best about keys that nobody here knows, and refuses it.
    node.double.state().mood = Mood::Answers(401, Some("unknown-key"));
    assert_eq!(node.refusal(&old).await, (401, "unknown-key".to_owned()));
    // And while it is away the token gets nothing either.
    node.double.state().mood = Mood::Gone;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(node.refusal(&old).await.0, 503);
    assert_eq!(node.key(&new.pod("cart", "cart-1")).await, "AK1", "it is the same pod");
}

#[tokio::test]
async fn a_token_of_a_key_that_is_not_known_yet_is_the_servers_to_judge_and_its_answer_is_not_kept() {
    let node = with_cart().await;
    let new = Issuer::new("second");
    let token = new.pod("cart", "cart-1");
    assert_eq!(node.key(&token).await, "AK1");
    assert_eq!(node.key(&token).await, "AK2");
    assert_eq!(node.desk.sizes().1, 0);
    node.double.verify_by(|verification| verification.keys = new.keys());
    node.told().await;
    assert_eq!(node.key(&token).await, "AK3");
    assert_eq!(node.key(&token).await, "AK3");
}

#[tokio::test]
async fn keys_that_the_server_knows_and_did_not_tell_are_asked_for() {
    let node = with_cart().await;
    let new = Issuer::new("second");
    // Questions that wait already are answered as if nothing had happened.
    node.double.learn(&new);
    let token = new.pod("cart", "cart-1");
    node.key(&token).await;
    let began = tokio::time::Instant::now();
    loop {
        let asked = node.double.asked();
        if node.ask(&token).await.is_ok() && node.double.asked() == asked {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "the new key was not told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn made_up_keys_are_no_way_to_flood_the_server() {
    let node = with_cart().await;
    node.double.state().mood = Mood::Answers(401, Some("unknown-key"));
    let stranger = Issuer::new("made up");
    let mut busy = 0;
    for number in 0..100 {
        let (status, _) = node.refusal(&stranger.pod("cart", &format!("cart-{number}"))).await;
        busy += usize::from(status == 429);
    }
    assert!(busy >= 50, "{busy}");
    assert!(node.double.asked() <= 50, "{}", node.double.asked());
}

#[tokio::test]
async fn keys_that_a_restarted_server_does_not_know_count_on_and_those_of_a_suspended_cluster_do_not() {
    let node = with_cart().await;
    let token = lasting(&node, "cart-1");
    assert_eq!(node.key(&token).await, "AK1");
    let tell = |state| {
        node.double.verify_by(|verification| {
            verification.state = state;
            verification.keys = Default::default();
            verification.issuer = None;
        });
    };
    tell(State::Unknown);
    node.told().await;
    node.double.state().mood = Mood::Gone;
    assert_eq!(node.key(&node.issuer.pod("cart", "cart-1")).await, "AK1");
    node.double.state().mood = Mood::Well;
    until(|| node.desk.is_server_there()).await;
    tell(State::None);
    node.told().await;
    assert_eq!(node.desk.sizes().1, 0);
    node.double.state().mood = Mood::Gone;
    assert_eq!(node.refusal(&token).await.0, 503);
}

#[tokio::test]
async fn without_keys_the_server_is_asked_about_nothing_that_is_plainly_not_for_here() {
    let node = Node::apart(10).await;
    node.double.associate("cart", 0);
    node.double.verify_by(|verification| {
        verification.state = State::Unknown;
        verification.keys = Default::default();
        verification.issuer = None;
    });
    node.follow().await;
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = claims("cart", Some("cart-1"));
        claims[name] = value;
        node.issuer.sign(&claims)
    };
    let mut there = claims("cart", Some("cart-1"));
    there["kubernetes.io"]["node"] = json!({"name": "there", "uid": "-there"});
    for token in [
        "nonsense".to_owned(),
        "a.b.c".to_owned(),
        with("exp", json!(START - 1)),
        with("aud", json!(["somebody else"])),
        with("sub", json!("system:serviceaccount:shop:till")),
        node.issuer.sign(&there),
    ] {
        assert_eq!(node.refusal(&token).await.0, 401, "{token}");
    }
    assert_eq!(node.double.asked(), 0);
    node.key(&node.issuer.pod("cart", "cart-1")).await;
    let mut busy = 0;
    for number in 0..60 {
        let token = node.issuer.pod("cart", &format!("cart-{number}"));
        busy += usize::from(node.ask(&token).await.is_err_and(|refusal| refusal.status.as_u16() == 429));
    }
    assert!(busy > 0, "one source asks no faster than its rate");
}

#[tokio::test]
async fn a_key_that_cannot_be_read_for_a_moment_is_no_refusal_of_the_agent() {
    let node = with_cart().await;
    let file = node.keys.path().join("accessKeyId");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    until(|| node.desk.health() == Health::Apart).await;
    std::fs::remove_dir(&file).unwrap();
    write_key(node.keys.path(), "AKFIRST");
    until(|| node.desk.health() == Health::Told).await;
}

#[tokio::test]
async fn a_server_that_falls_silent_is_missed_within_five_seconds() {
    let node = Node::start().await;
    node.double.state().mood = Mood::Silent;
    node.double.associate("cart", 0);
    let begun = tokio::time::Instant::now();
    until(|| node.desk.health() == Health::Apart).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_key_that_is_rotated_under_the_agent_is_read_again() {
    let node = with_cart().await;
    assert_eq!(node.key(&node.issuer.pod("cart", "cart-1")).await, "AK1");
    node.double.state().keys_accepted = ["AKSECOND".to_owned()].into();
    write_key(node.keys.path(), "AKSECOND");
    node.key(&node.issuer.pod("cart", "cart-2")).await;
    assert_eq!(node.double.asked(), 2);
}

#[tokio::test]
async fn an_agent_that_is_not_accepted_says_so_keeps_serving_and_recovers_with_another_key() {
    let node = with_cart().await;
    let token = node.issuer.pod("cart", "cart-1");
    assert_eq!(node.key(&token).await, "AK1");
    node.double.state().keys_accepted.clear();
    until(|| matches!(node.desk.health(), Health::Unaccepted(_))).await;
    assert_eq!(node.key(&token).await, "AK1");
    assert_eq!(node.refusal(&node.issuer.pod("cart", "cart-2")).await.0, 503);
    let text = agent::node::metrics::text(&node.desk).unwrap();
    assert!(text.contains("bailiwick_agent_key_refused 1\n"), "{text}");
    node.double.state().keys_accepted = ["AKSECOND".to_owned()].into();
    write_key(node.keys.path(), "AKSECOND");
    until(|| node.desk.health() == Health::Told).await;
    node.key(&node.issuer.pod("cart", "cart-2")).await;
}
