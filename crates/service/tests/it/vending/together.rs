//! What many pods are given at once: each its own, nobody what another may not have, and as much as there may be.

use std::collections::HashSet;

use futures::future::join_all;
use service::{Origin, SignedRequest};
use store::testing::number;

use super::*;

/// Outcomes of vending to these pods at once.
async fn crowd(world: &World, server: &Arc<Service>, key: &Key, pods: &[String]) -> Vec<Result<Vended>> {
    let tokens: Vec<String> = pods.iter().map(|pod| key.token(world, Some(pod))).collect();
    join_all(tokens.iter().map(|token| vend(world, server, token))).await
}

fn pods(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("p{number}")).collect()
}

async fn signs(server: &Service, vended: &Vended) -> bool {
    let key = server.signing_key(vended.key.id.as_str()).await.unwrap();
    key.is_some_and(|key| key.secret.expose() == vended.key.secret.expose() && key.security_token.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_crowd_has_a_key_of_its_own_and_a_line_in_the_audit() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let given = crowd(&world, &server, &key, &pods(300)).await;
        let given: Vec<Vended> = given.into_iter().collect::<Result<_>>().unwrap();
        let ids: HashSet<&str> = given.iter().map(|vended| vended.key.id.as_str()).collect();
        let secrets: HashSet<&str> = given.iter().map(|vended| vended.key.secret.expose()).collect();
        assert_eq!((ids.len(), secrets.len()), (300, 300), "{}", world.on());
        for vended in given.iter().step_by(37) {
            assert!(signs(&server, vended).await, "{}", world.on());
            // Another server makes the same of it.
            assert!(signs(&world.another_server(), vended).await, "{}", world.on());
        }
        let filter =
            AuditFilter { action: Some("bailiwick:podIdentity:vend".into()), ..AuditFilter::default() };
        let page = PageRequest { limit: Some(1000), cursor: None };
        let lines = world.service.list_audit_events(&world.root, &filter, &page).await.unwrap().items;
        let told: HashSet<&str> = lines.iter().map(|line| line.event.resource.as_str()).collect();
        assert_eq!(told.len(), 300, "{}", world.on());
        let commits = number(&world.store, "SELECT MAX(n) FROM revision").await;
        vend(&world, &server, &key.token(&world, Some("late"))).await.unwrap();
        let after = number(&world.store, "SELECT MAX(n) FROM revision").await;
        assert_eq!(commits, after, "what is kept in memory about the account stays good");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_enough_is_left_out_of_the_crowd_and_nobody_else() {
    for world in worlds().await {
        let key = Key::new("k1");
        let quotas = Quotas { sessions_per_pod: 1, ..Quotas::default() };
        let settings = Settings { quotas, ..Settings::default() };
        let server = vending(&world, &key, Cluster::new(&key), settings.clone()).await;
        let asked: Vec<String> = pods(20).into_iter().chain(pods(20)).collect();
        let given = crowd(&world, &server, &key, &asked).await;
        let (given, refused): (Vec<_>, Vec<_>) = given.into_iter().partition(Result::is_ok);
        assert_eq!((given.len(), refused.len()), (20, 20), "{}", world.on());
        assert!(refused.into_iter().all(|refused| refusal(refused).0 == ErrorKind::Conflict));
        // It is known after a restart.
        let again = world.another_server_vending(Cluster::new(&key), settings);
        // Entropy begins anew there, and ids of one second would be equal.
        world.clock.advance_seconds(1);
        let refused = vend(&world, &again, &key.token(&world, Some("p3"))).await;
        assert_eq!(refusal(refused).0, ErrorKind::Conflict, "{}", world.on());
        vend(&world, &again, &key.token(&world, Some("new"))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_equal_signed_requests_one_is_answered_whether_they_come_together_or_later() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let token = key.token(&world, Some("p1"));
        let signed = SignedRequest::new("AK", b"one", world.clock_in(900));
        let call = |number: usize| {
            let origin = Origin { request_id: format!("r-{number}").into(), ..world.root.origin.clone() };
            service::Call { origin, signed: Some(signed), ..world.root.clone() }
        };
        let calls: Vec<_> = (0..20).map(call).collect();
        let given =
            join_all(calls.iter().map(|call| server.vend(call, WhichCluster::Id("one"), &token))).await;
        assert_eq!(given.iter().filter(|given| given.is_ok()).count(), 1, "{}", world.on());
        let later = server.vend(&call(20), WhichCluster::Id("one"), &token).await;
        assert_eq!(refusal(later), (ErrorKind::Conflict, Some("repeated")), "{}", world.on());
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM vended_sessions").await, 1);
    }
}

#[tokio::test]
async fn what_an_agencys_trust_says_about_the_time_is_asked_each_time() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let until = world.clock_in(60).rfc3339_seconds();
        let document = json!({"Version": "5.0", "Statement": [{
            "Effect": "Allow", "Action": ["bailiwick:agency:assume"], "Principal": {"Service": ["bailiwick.pods"]},
            "Condition": {"DateLessThan": {"bailiwick:CurrentTime": [until]}},
        }]});
        let trust =
            AgencyUpdate { trust_policy: Some(Some(document.to_string())), ..AgencyUpdate::default() };
        let nothing = service::PrincipalUpdate::default();
        service.update_agency(root, Which::Id("writer"), nothing, trust).await.unwrap();
        let token = key.token(&world, Some("p1"));
        let vended = vend(&world, &server, &token).await.unwrap();
        assert!(vended.audience.is_some(), "{}", world.on());
        world.clock.advance_seconds(61);
        let late = vend(&world, &server, &token).await;
        assert_eq!(refusal(late), (ErrorKind::Forbidden, Some("trust-refuses")), "{}", world.on());
    }
}

#[tokio::test]
async fn one_key_of_a_pod_is_revoked_by_its_id_and_what_began_with_it_too() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let vended = vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
        let other = vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
        let caller = Arc::clone(&server.signing_key(vended.key.id.as_str()).await.unwrap().unwrap().caller);
        let call = service::Call { caller, ..root.clone() };
        let derived = server.issue_temporary_key(&call, 900, Vec::new()).await.unwrap();
        let receipt = service.revoke_key(root, vended.key.id.as_str()).await.unwrap();
        assert_eq!(receipt.temporary_keys, 2, "{}", world.on());
        server.follow_revisions().await.unwrap();
        assert!(!signs(&server, &vended).await && signs(&server, &other).await, "{}", world.on());
        assert!(server.signing_key(derived.id.as_str()).await.unwrap().is_none());
        let again = service.revoke_key(root, vended.key.id.as_str()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn whoever_ends_what_is_no_pods_has_nothing_of_pods_counted_anew() {
    for world in worlds().await {
        let key = Key::new("k1");
        let quotas = Quotas { sessions_per_pod: 2, ..Quotas::default() };
        let settings = Settings { quotas, ..Settings::default() };
        let server = vending(&world, &key, Cluster::new(&key), settings).await;
        let token = key.token(&world, Some("p1"));
        vend(&world, &server, &token).await.unwrap();
        // One more of which only the database knows: counted anew, it would leave no room.
        let columns = "account_id, agency_id, agency_ended, messenger_id, messenger_ended, association_id, \
                       association_ended, cluster_id, cluster_name, namespace, service_account, service_account_uid, \
                       service_account_ended, pod, pod_uid, issued_at, expires_at, actor_name, request_id, source";
        let again = format!(
            "INSERT INTO vended_sessions (id, {columns}) SELECT 'BVOTHER', {columns} FROM vended_sessions"
        );
        store::testing::execute(&world.store, &again).await;
        let other = server.issue_temporary_key(&world.root, 900, Vec::new()).await.unwrap();
        server.revoke_key(&world.root, other.id.as_str()).await.unwrap();
        vend(&world, &server, &token).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_that_was_revoked_makes_room_for_another_one() {
    for world in worlds().await {
        let key = Key::new("k1");
        let quotas = Quotas { sessions_per_pod: 1, ..Quotas::default() };
        let settings = Settings { quotas, ..Settings::default() };
        let server = vending(&world, &key, Cluster::new(&key), settings).await;
        let token = key.token(&world, Some("p1"));
        let vended = vend(&world, &server, &token).await.unwrap();
        assert_eq!(refusal(vend(&world, &server, &token).await).0, ErrorKind::Conflict, "{}", world.on());
        server.revoke_key(&world.root, vended.key.id.as_str()).await.unwrap();
        vend(&world, &server, &token).await.unwrap();
    }
}

#[tokio::test]
async fn a_revoked_key_of_a_pod_is_not_made_again_by_the_request_that_got_it() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let token = key.token(&world, Some("p1"));
        let signed = Some(SignedRequest::new("AK", b"one", world.clock_in(900)));
        let call = service::Call { signed, ..root.clone() };
        let vended = server.vend(&call, WhichCluster::Id("one"), &token).await.unwrap();
        service.revoke_key(root, vended.key.id.as_str()).await.unwrap();
        server.follow_revisions().await.unwrap();
        let again = server.vend(&call, WhichCluster::Id("one"), &token).await;
        assert_eq!(refusal(again), (ErrorKind::Conflict, Some("repeated")), "{}", world.on());
        assert!(!signs(&server, &vended).await, "{}", world.on());
    }
}

#[tokio::test]
async fn no_secret_of_a_pod_is_in_the_database() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let vended = vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
        let row = "SELECT id || account_id || agency_id || messenger_id || association_id || cluster_id || cluster_name || \
                   namespace || service_account || service_account_uid || pod || pod_uid || actor_name || request_id || \
                   source FROM vended_sessions";
        let row = store::testing::text(&world.store, row).await;
        assert!(row.contains(vended.key.id.as_str()), "{row}");
        let token = vended.key.security_token.expose().trim_start_matches("bws_");
        assert!(!row.contains(token) && !row.contains(vended.key.secret.expose()), "{}", world.on());
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM sessions").await, 0, "nor anywhere else");
    }
}

#[tokio::test]
async fn what_was_vended_stays_in_the_audit_and_for_whom_is_forgotten_when_it_is_over() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        for pod in ["p1", "p2"] {
            vend(&world, &server, &key.token(&world, Some(pod))).await.unwrap();
            world.clock.advance_seconds(HOUR);
        }
        let id = domain::ClusterId::stored("one");
        assert_eq!(server.forget_vended().await.unwrap(), 0);
        assert_eq!(server.service_accounts_with_sessions(&id).await.unwrap(), ["u-web"]);
        world.clock.advance_seconds(2 * HOUR);
        assert_eq!(server.forget_vended().await.unwrap(), 1, "{}", world.on());
        assert!(server.service_accounts_with_sessions(&id).await.unwrap().is_empty(), "{}", world.on());
        let filter = AuditFilter { pod: store::AuditedPod::parse("shop/p1"), ..AuditFilter::default() };
        let told = async || {
            let page = PageRequest::default();
            server.list_audit_events(&world.root, &filter, &page).await.unwrap().items
        };
        let lines = told().await;
        assert_eq!(lines.len(), 1, "{}", world.on());
        assert_eq!(lines[0].event.actor_name, world.root.caller.name);
        assert!(
            lines[0].event.resource.starts_with("cluster/one/service-account/shop/web/pod/shop/p1/u-p1/")
        );
        world.clock.advance_seconds(400 * 24 * HOUR);
        server.trim_audit().await.unwrap();
        assert!(told().await.is_empty(), "{}", world.on());
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM vended_sessions").await, 0);
    }
}
