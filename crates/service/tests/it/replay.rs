//! A signed request that comes again: the first one's answer while what it left is as it was left, and nothing after that.

use std::sync::Arc;

use domain::{ErrorKind, PrincipalKind};
use futures::future::join_all;
use service::{Assumption, Call, NewCluster, Origin, Scope, SignedRequest};
use store::testing::number;

use crate::world::{World, new_principal, spec, worlds};

const WINDOW: i64 = 15 * 60;

/// The call of a request with the signature `n`, made now. Each sending of it has another id.
fn signed(world: &World, n: u8) -> impl Fn() -> Call + use<> {
    let request = SignedRequest::new("AK", &[n], world.service.now().plus_seconds(WINDOW));
    let call = world.root.clone();
    let sent = std::sync::atomic::AtomicU64::new(0);
    move || {
        let id = sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let origin = Origin { request_id: Arc::from(format!("r-{n}-{id}")), ..call.origin.clone() };
        Call { origin, signed: Some(request), ..call.clone() }
    }
}

async fn remembered(world: &World) -> i64 {
    number(&world.store, "SELECT COUNT(*) FROM signed_requests").await
}

async fn grants(world: &World) -> i64 {
    number(&world.store, "SELECT COUNT(*) FROM grants").await
}

fn repeated<T: std::fmt::Debug>(outcome: domain::Result<T>) -> bool {
    let error = outcome.unwrap_err();
    error.kind() == ErrorKind::Conflict && error.message().contains("sign again")
}

#[tokio::test]
async fn a_create_that_comes_again_gives_the_first_grant_until_somebody_changes_it() {
    for world in worlds().await {
        world.user("ada").await;
        let (a, b) = (Arc::clone(&world.service), world.another_server());
        let create = signed(&world, 1);
        let wanted = || spec(&["ada"], &[], &["n"]);
        let first = a.create_grant(&create(), wanted()).await.unwrap();
        assert_eq!(a.create_grant(&create(), wanted()).await.unwrap(), first, "{}: same server", world.on());
        assert_eq!(b.create_grant(&create(), wanted()).await.unwrap(), first, "{}: other server", world.on());
        assert_eq!(grants(&world).await, 1);
        a.update_grant(&world.root, first.id.as_str(), spec(&["ada"], &[], &["other"])).await.unwrap();
        assert!(repeated(b.create_grant(&create(), wanted()).await), "{}: changed since", world.on());
        assert_eq!(grants(&world).await, 1);
    }
}

#[tokio::test]
async fn a_create_that_comes_again_does_not_revive_a_deleted_grant_on_any_server() {
    for world in worlds().await {
        world.user("ada").await;
        let (a, b) = (Arc::clone(&world.service), world.another_server());
        let (create, delete) = (signed(&world, 1), signed(&world, 2));
        let wanted = || spec(&["ada"], &[], &["n"]);
        let first = a.create_grant(&create(), wanted()).await.unwrap();
        a.revoke_grant(&delete(), first.id.as_str()).await.unwrap();
        for server in [&a, &b] {
            assert!(repeated(server.create_grant(&create(), wanted()).await), "{}", world.on());
            server.revoke_grant(&delete(), first.id.as_str()).await.unwrap();
        }
        assert!(a.list_grants(&world.root).await.unwrap().grants.is_empty());
        let again = signed(&world, 3);
        assert_ne!(b.create_grant(&again(), wanted()).await.unwrap().id, first.id, "signed again");
    }
}

#[tokio::test]
async fn an_update_that_comes_again_does_not_undo_a_later_one() {
    for world in worlds().await {
        world.user("ada").await;
        let service = &world.service;
        let start = || spec(&["ada"], &[], &["start"]);
        let wide = || spec(&["ada"], &[], &[]);
        let id = service.create_grant(&world.root, start()).await.unwrap().id;
        let widen = signed(&world, 1);
        let widened = service.update_grant(&widen(), id.as_str(), wide()).await.unwrap();
        assert_eq!(service.update_grant(&widen(), id.as_str(), wide()).await.unwrap(), widened);
        let narrowed = service.update_grant(&world.root, id.as_str(), start()).await.unwrap();
        assert!(repeated(service.update_grant(&widen(), id.as_str(), wide()).await), "{}", world.on());
        // An update that changed nothing is remembered, too.
        let keep = signed(&world, 2);
        assert_eq!(service.update_grant(&keep(), id.as_str(), start()).await.unwrap(), narrowed);
        assert_eq!(service.update_grant(&keep(), id.as_str(), start()).await.unwrap(), narrowed);
        service.update_grant(&world.root, id.as_str(), wide()).await.unwrap();
        assert!(repeated(service.update_grant(&keep(), id.as_str(), start()).await), "{}", world.on());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_copies_of_one_signed_create_make_one_grant_and_all_are_told_of_it() {
    for world in worlds().await {
        world.user("ada").await;
        let create = signed(&world, 1);
        let servers = [Arc::clone(&world.service), world.another_server()];
        let copies = (0..40).map(|n| {
            let (server, call) = (Arc::clone(&servers[n % 2]), create());
            tokio::spawn(async move { server.create_grant(&call, spec(&["ada"], &[], &["n"])).await })
        });
        let told: Vec<_> = join_all(copies).await.into_iter().map(|copy| copy.unwrap().unwrap()).collect();
        assert!(told.iter().all(|grant| *grant == told[0]), "{}", world.on());
        assert_eq!(grants(&world).await, 1);
    }
}

#[tokio::test]
async fn clusters_principals_and_keys_are_answered_again_and_secrets_never() {
    for world in worlds().await {
        let service = &world.service;
        let cluster = signed(&world, 1);
        let new = || NewCluster { name: "c".to_owned(), ..NewCluster::default() };
        let first = service.create_cluster(&cluster(), new()).await.unwrap();
        assert_eq!(service.create_cluster(&cluster(), new()).await.unwrap().id, first.id, "{}", world.on());
        let user = signed(&world, 2);
        let create = |call| async move {
            service.create_principal(&call, new_principal(PrincipalKind::User, None, "ada")).await
        };
        let ada = create(user()).await.unwrap();
        assert_eq!(create(user()).await.unwrap(), ada);
        let key = signed(&world, 3);
        let made = service.create_access_key(&key(), "ada", "").await.unwrap().key.id;
        assert!(repeated(service.create_access_key(&key(), "ada", "").await), "a secret is shown once");
        let (disable, delete) = (signed(&world, 4), signed(&world, 5));
        assert!(!service.disable_access_key(&disable(), made.as_str()).await.unwrap().enabled);
        assert!(!service.disable_access_key(&disable(), made.as_str()).await.unwrap().enabled);
        service.enable_access_key(&world.root, made.as_str()).await.unwrap();
        assert!(repeated(service.disable_access_key(&disable(), made.as_str()).await));
        service.delete_access_key(&delete(), made.as_str()).await.unwrap();
        service.delete_access_key(&delete(), made.as_str()).await.unwrap();
        let gone = signed(&world, 6);
        let drop_ada =
            |call| async move { service.delete_principal(&call, PrincipalKind::User, "ada").await };
        drop_ada(gone()).await.unwrap();
        drop_ada(gone()).await.unwrap();
        let other = create(world.root.clone()).await.unwrap();
        drop_ada(gone()).await.unwrap();
        assert!(service.show_principal(&world.root, PrincipalKind::User, other.id.as_str()).await.is_ok());
        assert!(repeated(create(user()).await), "{}: she is gone", world.on());
        service.delete_cluster(&world.root, "c", service::Removal::Revoke).await.unwrap();
        assert!(repeated(service.create_cluster(&cluster(), new()).await));
    }
}

#[tokio::test]
async fn what_was_refused_changed_nothing_and_is_not_remembered_and_neither_is_who_shows_a_token() {
    for world in worlds().await {
        let service = &world.service;
        let create = signed(&world, 1);
        let wanted = || spec(&["ada"], &[], &["n"]);
        assert!(service.create_grant(&create(), wanted()).await.is_err(), "no such user");
        assert_eq!(remembered(&world).await, 0, "{}", world.on());
        world.user("ada").await;
        assert!(service.create_grant(&create(), wanted()).await.is_ok());
        assert_eq!(remembered(&world).await, 1);
        let with_token = || async { service.create_grant(&world.root, wanted()).await.unwrap().id };
        assert_ne!(with_token().await, with_token().await);
        assert_eq!(remembered(&world).await, 1);
    }
}

#[tokio::test]
async fn requests_are_forgotten_when_their_signatures_end_and_not_before() {
    for world in worlds().await {
        world.user("ada").await;
        let service = &world.service;
        for n in 0..5 {
            let create = signed(&world, n);
            service.create_grant(&create(), spec(&["ada"], &[], &["n"])).await.unwrap();
            world.clock.advance_seconds(60);
        }
        // Another server's clock may be five minutes behind.
        world.clock.advance_seconds(WINDOW);
        assert_eq!(service.forget_signed_requests().await.unwrap(), 0, "{}", world.on());
        world.clock.advance_seconds(61);
        assert_eq!(service.forget_signed_requests().await.unwrap(), 2, "{}", world.on());
        world.clock.advance_seconds(WINDOW);
        assert_eq!(service.forget_signed_requests().await.unwrap(), 3);
        assert_eq!(remembered(&world).await, 0);
    }
}

/// What issues a session shows a secret, so the same request shows none again: not here, not at another server.
#[tokio::test]
async fn a_signed_request_for_a_session_is_carried_out_once_on_all_servers() {
    for world in worlds().await {
        let (a, b) = (Arc::clone(&world.service), world.another_server());
        let account = world.root.account().clone();
        world.principal(PrincipalKind::Agency, "builders").await;
        let whole = Scope::Account { named: None };
        let wish = |account: &domain::AccountId, agency: &str| Assumption {
            account_id: Some(account.to_string()),
            agency: agency.into(),
            ..Assumption::default()
        };
        let own = wish(&account, "builders");
        let (key, token) = (signed(&world, 1), signed(&world, 2));
        let (assumed, assumed_token) = (signed(&world, 3), signed(&world, 4));
        a.issue_temporary_key(&key(), 900, Vec::new()).await.unwrap();
        a.rescope_token(&token(), &whole).await.unwrap();
        a.assume_agency(&assumed(), &own).await.unwrap();
        a.assume_agency_for_token(&assumed_token(), &own, &whole).await.unwrap();
        let sessions = number(&world.store, "SELECT COUNT(*) FROM sessions").await;
        assert_eq!((sessions, remembered(&world).await), (4, 4), "{}", world.on());
        for server in [&a, &b] {
            assert!(repeated(server.issue_temporary_key(&key(), 900, Vec::new()).await), "{}", world.on());
            assert!(repeated(server.rescope_token(&token(), &whole).await), "{}", world.on());
            assert!(repeated(server.assume_agency(&assumed(), &own).await), "{}", world.on());
            assert!(repeated(server.assume_agency_for_token(&assumed_token(), &own, &whole).await));
        }
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM sessions").await, sessions);
        a.issue_temporary_key(&signed(&world, 5)(), 900, Vec::new()).await.unwrap();
        let refused = a.assume_agency(&signed(&world, 6)(), &wish(&account, "nobody")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
        assert_eq!(remembered(&world).await, 5, "{}: what is refused leaves nothing", world.on());
    }
}
