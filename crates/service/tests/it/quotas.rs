//! How much one account may hold.

use domain::{ErrorKind, PrincipalKind, Result};
use service::{Assumption, NewCluster, Quotas, Scope};
use store::testing;

use crate::world::{new_principal, spec, worlds_with};

fn quotas() -> Quotas {
    // The root user and the group of administrators are two principals, and the root user has one key.
    Quotas {
        grants: 1,
        clusters: 1,
        principals: 3,
        access_keys_per_user: 2,
        sessions_per_principal: 3,
        sessions_per_pod: 1,
        pod_sessions_per_cluster: 1,
        bindings_per_cluster: 5,
        associations_per_cluster: 2,
        policies: 1,
        policies_per_principal: 1,
        certificates_per_principal: 1,
    }
}

fn refused<T>(outcome: Result<T>, what: &str) {
    let error = outcome.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().starts_with(what), "{error}");
}

#[tokio::test]
async fn each_quota_refuses_one_too_many_and_what_is_deleted_makes_room() {
    for world in worlds_with(quotas()).await {
        let (service, root) = (&world.service, &world.root);
        world.user("ada").await;
        let eve = || new_principal(PrincipalKind::Agency, None, "eve");
        refused(service.create_principal(root, eve()).await, "users, groups and agencies");
        world.cluster("one").await;
        let two = || NewCluster { name: "two".into(), ..NewCluster::default() };
        refused(service.create_cluster(root, two()).await, "clusters must be at most 1");
        let grant = service.create_grant(root, spec(&["ada"], &[], &[])).await.unwrap();
        refused(service.create_grant(root, spec(&["ada"], &[], &[])).await, "grants must be at most 1");
        let key = service.create_access_key(root, root.caller.principal.as_str(), "").await.unwrap();
        refused(
            service.create_access_key(root, root.caller.principal.as_str(), "").await,
            "access keys of a user",
        );
        service.revoke_grant(root, grant.id.as_str()).await.unwrap();
        service.create_grant(root, spec(&["ada"], &[], &[])).await.unwrap();
        service.delete_cluster(root, "one", service::Removal::Revoke).await.unwrap();
        service.create_cluster(root, two()).await.unwrap();
        service.delete_access_key(root, key.key.id.as_str()).await.unwrap();
        service.create_access_key(root, root.caller.principal.as_str(), "").await.unwrap();
        service.delete_principal(root, PrincipalKind::User, "ada").await.unwrap();
        service.create_principal(root, eve()).await.unwrap();
    }
}

#[tokio::test]
async fn a_grant_that_asks_for_too_many_bindings_in_one_cluster_is_refused_with_their_number() {
    for world in worlds_with(Quotas { grants: 100, clusters: 100, ..quotas() }).await {
        let (service, root) = (&world.service, &world.root);
        world.user("ada").await;
        for cluster in ["one", "two"] {
            world.cluster(cluster).await;
        }
        let everywhere = service.create_grant(root, spec(&["ada"], &[], &["a", "b"])).await.unwrap();
        service.create_grant(root, spec(&["ada"], &["one"], &["b", "c", "d"])).await.unwrap();
        service.create_grant(root, spec(&["ada"], &["two"], &["w", "x", "y"])).await.unwrap();
        let too_much = |cluster: &str, count: usize| {
            format!("cluster `{cluster}` would need {count} bindings for this account, at most 5")
        };
        let one_more = service.create_grant(root, spec(&["ada"], &["one"], &["e", "f"])).await;
        refused(one_more, &too_much("one", 6));
        refused(service.create_grant(root, spec(&["ada"], &["two"], &["z"])).await, &too_much("two", 6));
        service.create_grant(root, spec(&["ada"], &["one"], &["a", "b", "c", "d", "e"])).await.unwrap();
        let wider =
            service.update_grant(root, everywhere.id.as_str(), spec(&["ada"], &[], &["a", "b", "z"])).await;
        refused(wider, &too_much("one", 6));
        let other =
            service.update_grant(root, everywhere.id.as_str(), spec(&["ada"], &[], &["a", "y"])).await;
        refused(other, &too_much("one", 6));
        service.update_grant(root, everywhere.id.as_str(), spec(&["ada"], &[], &["c", "e"])).await.unwrap();
    }
}

#[tokio::test]
async fn what_one_account_holds_takes_nothing_from_another() {
    for world in worlds_with(quotas()).await {
        world.cluster("one").await;
        let own = NewCluster { name: "own".into(), ..NewCluster::default() };
        world.service.create_cluster(&world.stranger, own).await.unwrap();
    }
}

#[tokio::test]
async fn concurrent_creates_do_not_slip_past_a_quota() {
    for world in worlds_with(quotas()).await {
        world.user("ada").await;
        let creates = (0..10).map(|_| world.service.create_grant(&world.root, spec(&["ada"], &[], &[])));
        let done = futures::future::join_all(creates).await;
        assert_eq!(done.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{}", world.on());
    }
}

#[tokio::test]
async fn grants_that_come_at_once_do_not_fill_a_cluster_beyond_its_bindings() {
    for world in worlds_with(Quotas { grants: 100, ..quotas() }).await {
        world.user("ada").await;
        world.cluster("one").await;
        world.service.create_grant(&world.root, spec(&["ada"], &["one"], &["a", "b", "c"])).await.unwrap();
        let names: Vec<String> = (0..10).map(|n| format!("n{n}")).collect();
        let specs = names.iter().map(|name| spec(&["ada"], &["one"], &[name]));
        let creates = specs.map(|spec| world.service.create_grant(&world.root, spec));
        let done = futures::future::join_all(creates).await;
        assert_eq!(done.iter().filter(|outcome| outcome.is_ok()).count(), 2, "{}", world.on());
    }
}

#[tokio::test]
async fn what_is_noted_of_a_commit_that_failed_does_not_count_for_one_that_took_its_number() {
    for world in worlds_with(Quotas { grants: 100, ..quotas() }).await {
        let (service, root) = (&world.service, &world.root);
        world.user("ada").await;
        world.cluster("one").await;
        let other = world.another_server();
        service.create_grant(root, spec(&["ada"], &["one"], &["a"])).await.unwrap();
        testing::execute(&world.store, "ALTER TABLE audit_events RENAME TO elsewhere").await;
        service.create_grant(root, spec(&["ada"], &["one"], &["b"])).await.unwrap_err();
        testing::execute(&world.store, "ALTER TABLE elsewhere RENAME TO audit_events").await;
        // It gets the number that the failed one had, and asks for more.
        other.create_grant(root, spec(&["ada"], &["one"], &["b", "c", "d", "e"])).await.unwrap();
        refused(
            service.create_grant(root, spec(&["ada"], &["one"], &["f"])).await,
            "cluster `one` would need 6 bindings",
        );
    }
}

/// Of an agency each caller has as many: nobody who may assume it keeps the others out.
#[tokio::test]
async fn a_principal_has_so_many_sessions_that_are_not_over_and_another_has_its_own() {
    for world in worlds_with(Quotas { principals: 10, ..quotas() }).await {
        let (service, root) = (&world.service, &world.root);
        let ada = world.user("ada").await;
        world.principal(PrincipalKind::Agency, "builders").await;
        service.add_member(root, "administrators", "ada").await.unwrap();
        let ada = world.call_of(&ada).await;
        let whole = Scope::Account { named: None };
        let key = async |seconds| service.issue_temporary_key(&ada, seconds, Vec::new()).await;
        let first = key(900).await.unwrap();
        key(3600).await.unwrap();
        service.rescope_token(&ada, &whole).await.unwrap();
        let text = "tokens and temporary keys that are not over must be at most 3";
        refused(key(900).await, text);
        refused(service.rescope_token(&ada, &whole).await, text);
        service.issue_temporary_key(root, 900, Vec::new()).await.unwrap();
        service.revoke_key(root, first.id.as_str()).await.unwrap();
        key(900).await.unwrap();
        refused(key(900).await, text);
        world.clock.advance_seconds(900);
        key(900).await.unwrap();
        let wish = Assumption {
            account_id: Some(root.account().to_string()),
            agency: "builders".into(),
            ..Assumption::default()
        };
        for _ in 0..3 {
            service.assume_agency(root, &wish).await.unwrap();
        }
        refused(service.assume_agency(root, &wish).await, text);
        let trust = service::AgencyUpdate {
            trusted_account: Some(Some(service::TrustedAccount::Id(root.account().to_string()))),
            ..service::AgencyUpdate::default()
        };
        let common = service::PrincipalUpdate::default();
        service.update_agency(root, "builders".into(), common, trust).await.unwrap();
        service.assume_agency(&ada, &wish).await.unwrap();
    }
}
