//! What is read of service accounts and pods, from API servers that mean no good.

use super::*;
use crate::workloads::{count_for_tests, signing};

fn endless(_: &str) -> String {
    json(r#"{"metadata":{"continue":"again"},"items":[{"metadata":{"name":"n","namespace":"a","uid":"u"}}]}"#)
}

fn nothings(_: &str) -> String {
    json(&format!(r#"{{"items":[{}{{}}]}}"#, "{},".repeat(4 << 20)))
}

fn huge_names(_: &str) -> String {
    let name = "n".repeat(1 << 20);
    json(&format!(
        r#"{{"items":[{{"metadata":{{"name":"{name}","namespace":"a","uid":"u"}}}},
            {{"metadata":{{"name":"n","namespace":"a","uid":"{name}"}}}},
            {{"metadata":{{"name":"n","namespace":"a","uid":"../u"}}}},
            {{"metadata":{{"name":"n","namespace":"a","uid":"u"}}}}]}}"#
    ))
}

async fn counted(answer: fn(&str) -> String) -> (Server, Result<usize, Failure>) {
    let server = serve(Answer::By(answer)).await;
    let counted = count_for_tests(&client(server.port, AUTHORITY).unwrap()).await;
    (server, counted)
}

#[tokio::test]
async fn a_list_without_end_is_given_up_after_two_minutes() {
    let server = serve(Answer::By(endless)).await;
    let client = client(server.port, AUTHORITY).unwrap();
    let list = count_for_tests(&client);
    let asked = || server.requests.load(Ordering::SeqCst);
    tokio::pin!(list);
    // Real requests, and a clock that is moved while they are on their way.
    for _ in 0..200 {
        let before = asked();
        let ended = tokio::select! {
            ended = &mut list => Some(ended),
            () = async { while asked() == before { tokio::task::yield_now().await } } => None,
        };
        if let Some(ended) = ended {
            assert!(matches!(ended, Err(Failure::Unreachable(_))), "{ended:?}");
            assert!(asked() >= 10);
            return;
        }
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(5)).await;
        tokio::time::resume();
    }
    panic!("after {} pages it still reads", asked());
}

#[tokio::test]
async fn a_page_of_millions_of_nothings_is_refused_after_five_hundred() {
    let (server, counted) = counted(nothings).await;
    assert!(matches!(counted, Err(Failure::Unreadable(_))), "{counted:?}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn of_objects_with_names_and_uids_that_cannot_be_nothing_is_kept() {
    let (_, counted) = counted(huge_names).await;
    assert_eq!(counted, Ok(1));
}

fn keys_elsewhere(request: &str) -> String {
    match request.split_whitespace().nth(1) {
        Some("/.well-known/openid-configuration") => {
            let uri = format!("https://127.0.0.1:{}/keys", ELSEWHERE.load(Ordering::SeqCst));
            json(&format!(r#"{{"issuer":"https://kubernetes.default.svc","jwks_uri":"{uri}"}}"#))
        }
        Some("/openid/v1/jwks") => json(r#"{"keys":[{"kty":"RSA","kid":"k1","n":"c","e":"AQAB"}]}"#),
        _ => refused("404 Not Found"),
    }
}

static ELSEWHERE: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn keys_are_read_from_the_connection_whatever_address_the_cluster_names() {
    let elsewhere = serve(Answer::By(|_| json(r#"{"keys":[]}"#))).await;
    ELSEWHERE.store(usize::from(elsewhere.port), Ordering::SeqCst);
    let server = serve(Answer::By(keys_elsewhere)).await;
    let found = signing(&client(server.port, AUTHORITY).unwrap()).await.unwrap();
    assert!(found.keys.has("k1"));
    assert_eq!(elsewhere.requests.load(Ordering::SeqCst), 0);
}
