//! What policies let people do: every use case about grants and clusters asks them, under any name, for each cluster.

use domain::{ClusterScope, ErrorKind, Grant, GrantSpec, Principal, PrincipalKind, Result, Role};
use service::policies::{PolicyUpdate, WhichPrincipal, WhichScope};
use service::{Call, GrantRequires, NewCluster, Service, Settings};

use crate::world::{World, allow, deny, spec, statement, worlds};

const ROLES: [Role; 4] = [Role::Administrator, Role::Operator, Role::Developer, Role::Viewer];

fn is_forbidden<T>(outcome: &Result<T>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Forbidden)
}

async fn with(world: &World, name: &str, documents: &[String]) -> Call {
    let user = world.user(name).await;
    for document in documents {
        world.give(&user, document).await;
    }
    world.call_of(&user).await
}

fn of(principal: &Principal) -> WhichPrincipal<'_> {
    WhichPrincipal { kind: principal.kind, which: principal.id.as_str().into() }
}

fn role_in(role: Role, clusters: &[&str]) -> GrantSpec {
    GrantSpec { role, ..spec(&["eve"], clusters, &[]) }
}

#[tokio::test]
async fn who_may_only_list_lists_and_may_do_nothing_else() {
    for world in worlds().await {
        let call = with(&world, "ada", &[allow(&["x:grant:list"])]).await;
        assert!(world.service.list_grants(&call).await.is_ok(), "{}", world.on());
        assert!(is_forbidden(&world.service.create_grant(&call, spec(&["ada"], &[], &[])).await));
        assert!(is_forbidden(&world.service.list_clusters(&call).await));
        assert!(is_forbidden(&world.service.show_account(&call).await));
    }
}

#[tokio::test]
async fn a_deny_under_any_name_in_any_group_beats_every_allow() {
    for world in worlds().await {
        for (at, name) in ["x:grant:list", "x:grant:listAlias", "bailiwick:grant:list"].iter().enumerate() {
            let (user, group) = (format!("user-{at}"), format!("group-{at}"));
            let ada = world.user(&user).await;
            world.give(&ada, &allow(&["x:grant:list", "bailiwick:grant:*"])).await;
            assert!(world.service.list_grants(&world.call_of(&ada).await).await.is_ok());
            let denied = world.principal(PrincipalKind::Group, &group).await;
            world.give(&denied, &deny(&[name])).await;
            world.service.add_member(&world.root, &group, &user).await.unwrap();
            let refused = world.service.list_grants(&world.call_of(&ada).await).await;
            assert!(is_forbidden(&refused), "{}: {name}", world.on());
        }
    }
}

/// Every way to change grants in these clusters: true if all were let through, false if all were refused.
async fn may_change(world: &World, service: &Service, call: &Call, role: Role, clusters: &[&str]) -> bool {
    let there = role_in(role, clusters);
    let made = service.create_grant(call, there.clone()).await;
    let renamed = |grant: &Grant, name: &str| GrantSpec { name: name.into(), ..grant.spec.clone() };
    let by_root = world.service.create_grant(&world.root, there).await.unwrap();
    let id = by_root.id.as_str();
    world.service.update_grant(&world.root, id, renamed(&by_root, "second")).await.unwrap();
    let outcomes = [
        made.map(drop),
        service.update_grant(call, id, renamed(&by_root, "third")).await.map(drop),
        service.restore_grant(call, id, 1).await.map(drop),
        service.revoke_grant(call, id).await,
    ];
    for outcome in &outcomes {
        if let Err(error) = outcome {
            // Who may not see a grant is not told that it exists.
            assert!([ErrorKind::Forbidden, ErrorKind::NotFound].contains(&error.kind()), "{error}");
        }
    }
    let through = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!([0, outcomes.len()].contains(&through), "some were let through: {outcomes:?}");
    through > 0
}

#[tokio::test]
async fn who_operates_a_cluster_changes_no_grants_there_whatever_their_policies_allow() {
    for world in worlds().await {
        world.cluster("c1").await;
        world.cluster("c2").await;
        world.user("eve").await;
        let mia = world.user("mia").await;
        world.give(&mia, &allow(&["bailiwick:grant:*", "x:grant:*"])).await;
        let mut own = GrantSpec { role: Role::Operator, ..spec(&["mia"], &["c1"], &[]) };
        world.service.create_grant(&world.root, own.clone()).await.unwrap();
        let call = world.call_of(&mia).await;
        for role in ROLES {
            for clusters in [&["c1"][..], &["c2"], &["c1", "c2"], &[]] {
                let let_through = may_change(&world, &world.service, &call, role.clone(), clusters).await;
                assert!(!let_through, "{}: {role:?} {clusters:?}", world.on());
            }
        }
        own.role = Role::Administrator;
        world.service.create_grant(&world.root, own).await.unwrap();
        for role in ROLES {
            for (clusters, expected) in
                [(&["c1"][..], true), (&["c2"], false), (&["c1", "c2"], false), (&[], false)]
            {
                let let_through = may_change(&world, &world.service, &call, role.clone(), clusters).await;
                assert_eq!(let_through, expected, "{}: {role:?} {clusters:?}", world.on());
            }
        }
        // A grant cannot be moved out of a cluster that is not administered, or into one.
        let there = world.service.create_grant(&world.root, role_in(Role::Viewer, &["c2"])).await.unwrap();
        let moved =
            world.service.update_grant(&call, there.id.as_str(), role_in(Role::Viewer, &["c1"])).await;
        assert!(is_forbidden(&moved));
        let here = world.service.create_grant(&world.root, role_in(Role::Viewer, &["c1"])).await.unwrap();
        let moved = world.service.update_grant(&call, here.id.as_str(), role_in(Role::Viewer, &["c2"])).await;
        assert!(is_forbidden(&moved));
    }
}

#[tokio::test]
async fn a_setting_lets_policies_alone_decide_who_changes_grants() {
    for world in worlds().await {
        world.cluster("c1").await;
        world.user("eve").await;
        let call = with(&world, "mia", &[allow(&["bailiwick:grant:*"])]).await;
        assert!(!may_change(&world, &world.service, &call, Role::Viewer, &["c1"]).await, "{}", world.on());
        let settings = Settings { grant_requires: GrantRequires::Policy, ..Settings::default() };
        let looser = world.another_server_set(settings);
        assert!(may_change(&world, &looser, &call, Role::Administrator, &["c1"]).await);
        assert!(may_change(&world, &looser, &call, Role::Administrator, &[]).await);
    }
}

#[tokio::test]
async fn a_request_over_several_clusters_is_decided_for_each_and_all_means_those_to_come_too() {
    let conditions = [
        (r#"{"StringEquals":{"bailiwick:ClusterId":["c1"]}}"#, [true, false, false, false]),
        (r#"{"StringEqualsIfExists":{"bailiwick:ClusterId":["c1"]}}"#, [true, false, false, false]),
        (r#"{"StringNotEquals":{"bailiwick:ClusterId":["c2"]}}"#, [true, false, false, false]),
        (r#"{"StringNotEqualsIfExists":{"bailiwick:ClusterId":["c2"]}}"#, [true, false, false, false]),
        (r#"{"ForAllValues:StringEquals":{"bailiwick:ClusterId":["c1"]}}"#, [true, false, false, false]),
        (r#"{"StringMatch":{"bailiwick:ClusterId":["*"]}}"#, [true, true, true, true]),
        // The dialect's table gives these actions no such key: whatever is asked of it grants nothing.
        (r#"{"StringEquals":{"x:ClusterId":["c1"]}}"#, [false, false, false, false]),
        (r#"{"StringNotEquals":{"x:ClusterId":["c2"]}}"#, [false, false, false, false]),
        (r#"{"StringNotEqualsIfExists":{"x:ClusterId":["c2"]}}"#, [false, false, false, false]),
    ];
    for world in worlds().await {
        for cluster in ["c1", "c2"] {
            world.cluster(cluster).await;
        }
        let eve = world.user("eve").await;
        let settings = Settings { grant_requires: GrantRequires::Policy, ..Settings::default() };
        let service = world.another_server_set(settings);
        for (at, (condition, expected)) in conditions.into_iter().enumerate() {
            let document = statement("Allow", &["bailiwick:grant:*"], condition);
            let call = with(&world, &format!("user-{at}"), &[document]).await;
            let scopes = [&["c1"][..], &["c2"], &["c1", "c2"], &[]];
            for (clusters, expected) in scopes.into_iter().zip(expected) {
                let let_through = may_change(&world, &service, &call, Role::Viewer, clusters).await;
                assert_eq!(let_through, expected, "{}: {condition} {clusters:?}", world.on());
            }
            for clusters in [&["c1"][..], &["c2"], &["c1", "c2"], &[]] {
                world.service.create_grant(&world.root, role_in(Role::Viewer, clusters)).await.unwrap();
            }
            let seen = service.list_grants(&call).await;
            let seen: Vec<ClusterScope> = match seen {
                Ok(list) => list.grants.iter().map(|grant| grant.spec.clusters.clone()).collect(),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Forbidden);
                    Vec::new()
                }
            };
            for (clusters, expected) in scopes.into_iter().zip(expected) {
                let wanted = spec(&[], clusters, &[]).clusters;
                assert_eq!(
                    seen.contains(&wanted),
                    expected,
                    "{}: list, {condition} {clusters:?}",
                    world.on()
                );
            }
            for grant in world.service.list_grants(&world.root).await.unwrap().grants.iter() {
                world.service.revoke_grant(&world.root, grant.id.as_str()).await.unwrap();
            }
        }
        drop(eve);
    }
}

#[tokio::test]
async fn a_deny_of_one_cluster_denies_what_would_reach_it() {
    for world in worlds().await {
        world.cluster("c1").await;
        world.cluster("c2").await;
        world.user("eve").await;
        let settings = Settings { grant_requires: GrantRequires::Policy, ..Settings::default() };
        let service = world.another_server_set(settings);
        for (at, key) in ["bailiwick:ClusterId", "x:ClusterId"].into_iter().enumerate() {
            let condition = format!(r#"{{"StringEquals":{{"{key}":["c2"]}}}}"#);
            let documents = [
                allow(&["bailiwick:grant:*"]),
                statement("Deny", &["x:grant:*", "bailiwick:grant:*"], &condition),
            ];
            let call = with(&world, &format!("user-{at}"), &documents).await;
            // What the dialect's own key means for these actions is not known, and a deny that might apply applies.
            let first = key == "bailiwick:ClusterId";
            for (clusters, expected) in
                [(&["c1"][..], first), (&["c2"], false), (&["c1", "c2"], false), (&[], false)]
            {
                let let_through = may_change(&world, &service, &call, Role::Viewer, clusters).await;
                assert_eq!(let_through, expected, "{}: {key} {clusters:?}", world.on());
            }
        }
    }
}

#[tokio::test]
async fn a_policy_attached_for_a_part_of_the_account_holds_for_what_lies_there() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        service.create_project(root, None, "east").await.unwrap();
        service.create_enterprise_project(root, None, "shop").await.unwrap();
        let new = |id: &str| NewCluster { id: Some(id.into()), name: id.into(), ..NewCluster::default() };
        let clusters = [
            NewCluster { project: Some("east".into()), ..new("in-east") },
            NewCluster { enterprise_project: Some("shop".into()), ..new("in-shop") },
            new("elsewhere"),
        ];
        for cluster in clusters {
            service.create_cluster(root, cluster).await.unwrap();
        }
        let scopes = [
            ("by-project", WhichScope::Project("east"), "in-east"),
            ("by-enterprise-project", WhichScope::EnterpriseProject("shop"), "in-shop"),
        ];
        for (name, scope, visible) in scopes {
            let user = world.user(name).await;
            world.give_in(&user, &allow(&["bailiwick:cluster:*", "bailiwick:user:list"]), scope).await;
            let call = world.call_of(&user).await;
            let seen = service.list_clusters(&call).await.unwrap();
            let seen: Vec<&str> = seen.iter().map(|cluster| cluster.id.as_str()).collect();
            assert_eq!(seen, [visible], "{}: {name}", world.on());
            for id in ["in-east", "in-shop", "elsewhere"] {
                assert_eq!(service.show_cluster(&call, id).await.is_ok(), id == visible, "{name}: {id}");
            }
            let page = service::PageRequest::default();
            let users = service.list_principals(&call, PrincipalKind::User, &page).await;
            assert!(is_forbidden(&users), "people belong to no part of the account");
        }
    }
}

#[tokio::test]
async fn a_stored_document_that_is_broken_grants_nothing_and_denies() {
    for world in worlds().await {
        let ada = world.user("ada").await;
        world.give(&ada, &allow(&["bailiwick:*"])).await;
        let policy = world.give(&ada, &allow(&["x:*"])).await;
        assert!(world.service.list_grants(&world.call_of(&ada).await).await.is_ok());
        let mut tx = world.store.write(world.root.account()).await.unwrap();
        let mut found = tx.policy_named(world.root.account(), policy.as_str()).await.unwrap().unwrap();
        found.last_version += 1;
        found.default_version = found.last_version;
        tx.add_policy_version(&found, "{\"Version\":\"5.0\",\"State").await.unwrap();
        tx.commit().await.unwrap();
        world.service.follow_revisions().await.unwrap();
        let call = world.call_of(&ada).await;
        let refused = world.service.list_grants(&call).await;
        assert!(is_forbidden(&refused), "{}", world.on());
        let refused = refused.unwrap_err();
        assert!(refused.denial().unwrap().reasons.contains("cannot be read"), "{refused}");
    }
}

#[tokio::test]
async fn rights_that_changed_while_a_request_waited_are_asked_for_again() {
    for world in worlds().await {
        let ada = world.user("ada").await;
        let policy = world.give(&ada, &allow(&["bailiwick:project:create"])).await;
        let call = world.call_of(&ada).await;
        assert!(world.service.create_project(&call, None, "before").await.is_ok());
        let more =
            PolicyUpdate { document: Some(allow(&["bailiwick:project:*"])), ..PolicyUpdate::default() };
        world.service.update_policy(&world.root, policy.as_str(), more).await.unwrap();
        let refused = world.service.create_project(&call, None, "changed").await.unwrap_err();
        assert!(refused.message().contains("send it again"), "{}: {refused}", world.on());
        let call = world.call_of(&ada).await;
        assert!(world.service.create_project(&call, None, "again").await.is_ok());
        world
            .service
            .detach_policy(&world.root, policy.as_str(), of(&ada), WhichScope::Account)
            .await
            .unwrap();
        assert!(is_forbidden(&world.service.create_project(&call, None, "after").await));
    }
}

#[tokio::test]
async fn a_detached_policy_ends_at_once_here_and_with_the_next_poll_elsewhere() {
    for world in worlds().await {
        let ada = world.user("ada").await;
        let policy = world.give(&ada, &allow(&["bailiwick:grant:list"])).await;
        let key = world.service.create_access_key(&world.root, "ada", "").await.unwrap().key.id;
        let other = world.another_server();
        let asked = async |service: &Service| {
            let key = service.signing_key(key.as_str()).await.unwrap().unwrap();
            let caller = std::sync::Arc::clone(&key.caller);
            service.list_grants(&Call { caller, ..world.root.clone() }).await.is_ok()
        };
        other.follow_revisions().await.unwrap();
        assert!(asked(&world.service).await && asked(&other).await, "{}", world.on());
        world
            .service
            .detach_policy(&world.root, policy.as_str(), of(&ada), WhichScope::Account)
            .await
            .unwrap();
        assert!(!asked(&world.service).await);
        other.follow_revisions().await.unwrap();
        assert!(!asked(&other).await);
    }
}
