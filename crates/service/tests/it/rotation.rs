//! Another connection for a cluster, its end, and the names of its people.

use std::sync::Arc;

use domain::{ClusterId, ConnectionState, ErrorKind, ExternalId, Namespace, PrincipalKind, State};
use rbac::{ObjectName, Scope};
use service::clusters::ArrivalUpdate;
use service::clusters::rotation::Outcome;
use service::fleet::{FleetReport, StateUpdate};
use service::{ClusterUpdate, IfOther, NewCluster, NewPrincipal, Removal};

use crate::world::{World, new_principal, spec, worlds};

/// A kubeconfig of an API server at `port`, vouched for by `authority`.
pub fn kubeconfig(port: u16, authority: &str) -> String {
    let pem = match authority {
        "one" => "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=",
        "two" => "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1RPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=",
        _ => {
            "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQotLS0tLUJFR0lOIENFUlRJRklDQVRFLS\
             0tLS0KTVE9PQotLS0tLUVORCBDRVJUSUZJQ0FURS0tLS0tCg=="
        }
    };
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\n\
         clusters:\n- name: c\n  cluster:\n    server: https://127.0.0.1:{port}\n    certificate-authority-data: {pem}\n\
         users:\n- name: u\n  user: {{token: token-{port}}}\n"
    )
}

pub fn address(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

async fn connected(world: &World) -> ClusterId {
    let new = NewCluster {
        id: Some("c1".into()),
        name: "one".into(),
        kubeconfig: Some(kubeconfig(1, "one")),
        ..NewCluster::default()
    };
    world.api_servers.put(&address(1), "uid", &["key"]);
    world.service.create_cluster(&world.root, new).await.unwrap().id
}

async fn identified(world: &World) -> ClusterId {
    let id = connected(world).await;
    let found = domain::ClusterIdentity { uid: Some("uid".into()), keys: ["key".to_owned()].into() };
    assert!(world.service.fleet_identified(&id, 1, &found).await.unwrap());
    id
}

fn name(text: &str) -> ObjectName {
    ObjectName { scope: Scope::Namespace(Namespace::stored("a")), name: text.into() }
}

#[tokio::test]
async fn a_connection_is_replaced_by_one_to_the_same_cluster_and_its_workers_are_told() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let id = identified(&world).await;
        service.fleet_record(&world.lease(id.as_str()).await, &[name("x")]).await.unwrap();
        world.api_servers.put(&address(2), "uid", &["key", "next"]);
        let mut changes = service.changes();
        changes.mark_unchanged();
        let done =
            service.rotate_connection(root, "one", &kubeconfig(2, "one"), IfOther::Refuse).await.unwrap();
        assert_eq!(done.outcome, Outcome::Same, "{}", world.on());
        assert_eq!(done.cluster.server.as_deref(), Some("https://127.0.0.1:2"));
        assert!(changes.has_changed().unwrap());
        assert_eq!(service.fleet_clusters().await.unwrap()[0].connection_version, 2);
        assert_eq!(service.fleet_connection(&id).await.unwrap().unwrap().server, address(2));
        assert_eq!(
            service.fleet_desired(&id).await.unwrap().recorded.len(),
            1,
            "what was applied is still ours"
        );
        // Both keys were seen, so one that is signed by the next alone is the same cluster, too.
        world.api_servers.put(&address(3), "uid", &["next"]);
        let again = service.rotate_connection(root, "one", &kubeconfig(3, "one"), IfOther::Refuse).await;
        assert_eq!(again.unwrap().outcome, Outcome::Same);
    }
}

#[tokio::test]
async fn a_connection_to_another_cluster_or_to_nobody_knows_which_changes_nothing() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let id = identified(&world).await;
        world.api_servers.put(&address(2), "other", &["other"]);
        world.api_servers.put(&address(3), "uid", &["other"]);
        world.api_servers.put(&address(4), "uid", &[]);
        world.api_servers.put(&address(5), "", &[]);
        world.api_servers.put(&address(7), "uid", &["key"]);
        for (port, authority, said) in [
            (2, "one", "uid"),
            (3, "one", "keys"),
            (4, "two", "cannot be told"),
            (7, "two", "cannot be told"),
            (5, "one", "cannot be told"),
            (6, "one", "does not answer"),
        ] {
            let config = kubeconfig(port, authority);
            let asked = service.rotate_connection(root, "one", &config, IfOther::Refuse);
            let error = asked.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {port}", world.on());
            assert!(error.message().contains(said), "{error}");
            assert_eq!(service.fleet_connection(&id).await.unwrap().unwrap().server, address(1));
        }
        let dead = service.rotate_connection(root, "one", &kubeconfig(6, "one"), IfOther::Replace).await;
        assert_eq!(dead.unwrap_err().kind(), ErrorKind::Conflict, "not even that replaces");
        let bad =
            service.rotate_connection(root, "one", "apiVersion: v2", IfOther::Replace).await.unwrap_err();
        assert!(bad.field().unwrap().starts_with("kubeconfig"));
        let known = service.rotate_connection(root, "one", &kubeconfig(4, "one"), IfOther::Refuse).await;
        assert_eq!(known.unwrap().outcome, Outcome::Same, "who vouched for it before vouches for it again");
    }
}

#[tokio::test]
async fn a_copy_of_a_cluster_behind_an_authority_of_its_own_is_not_the_cluster() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let id = identified(&world).await;
        // It says everything that the cluster says, which everybody in the cluster can read.
        world.api_servers.put(&address(2), "uid", &["key"]);
        for authority in ["two", "both"] {
            let config = kubeconfig(2, authority);
            let refused = service.rotate_connection(root, "one", &config, IfOther::Refuse).await.unwrap_err();
            assert!(refused.message().contains("authority"), "{}: {refused}", world.on());
            assert_eq!(service.fleet_connection(&id).await.unwrap().unwrap().server, address(1));
        }
        let config = kubeconfig(2, "both");
        let taken = service.rotate_connection(root, "one", &config, IfOther::Replace).await.unwrap();
        assert!(matches!(taken.outcome, Outcome::Replaced(_)), "{:?}", taken.outcome);
        assert!(taken.cluster.suspended_at.is_some());
        // This is how an authority is changed: from here on both are known, and each alone.
        service.resume_cluster(root, "one").await.unwrap();
        let alone = service.rotate_connection(root, "one", &kubeconfig(2, "two"), IfOther::Refuse).await;
        assert_eq!(alone.unwrap().outcome, Outcome::Same);
    }
}

#[tokio::test]
async fn what_was_applied_before_the_cluster_was_known_needs_the_word_replace() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let id = connected(&world).await;
        world.api_servers.put(&address(2), "uid", &["key"]);
        let first =
            service.rotate_connection(root, "one", &kubeconfig(2, "one"), IfOther::Refuse).await.unwrap();
        assert_eq!(first.outcome, Outcome::First, "{}", world.on());
        store::testing::execute(&world.store, "UPDATE clusters SET identified_at = NULL").await;
        service.fleet_record(&world.lease(id.as_str()).await, &[name("x")]).await.unwrap();
        let refused = service.rotate_connection(root, "one", &kubeconfig(2, "one"), IfOther::Refuse).await;
        assert!(refused.unwrap_err().message().contains("not yet learned"));
    }
}

#[tokio::test]
async fn the_grants_of_a_replaced_cluster_are_suspended_until_they_are_resumed() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        let id = identified(&world).await;
        let grant = service.create_grant(root, spec(&["u1"], &["c1"], &[])).await.unwrap();
        let effective = StateUpdate {
            grant: grant.id.clone(),
            generation: 1,
            state: State::Effective,
            reason: String::new(),
        };
        let report = || FleetReport {
            connection: ConnectionState::Connected,
            reason: String::new(),
            version: None,
            states: vec![effective.clone()],
        };
        service.fleet_record(&world.lease(id.as_str()).await, &[name("x")]).await.unwrap();
        service.fleet_report(&world.lease(id.as_str()).await, report()).await.unwrap();
        world.api_servers.put(&address(2), "other", &["other"]);
        let done =
            service.rotate_connection(root, "one", &kubeconfig(2, "two"), IfOther::Replace).await.unwrap();
        let Outcome::Replaced(remains) = done.outcome else { panic!("{:?}", done.outcome) };
        assert_eq!(remains.objects, [name("x")], "{}", world.on());
        assert!(remains.command.contains("bailiwick.dev/cluster=c1"));

        // The former worker's last words are about the former cluster.
        service.fleet_report(&world.lease(id.as_str()).await, report()).await.unwrap();
        let desired = service.fleet_desired(&id).await.unwrap();
        assert!(desired.suspended && desired.grants.is_empty() && desired.revoked.is_empty());
        let (_, states) = service.show_grant_states(root, grant.id.as_str()).await.unwrap();
        assert_eq!(states[0].state, State::Pending);
        assert!(states[0].reason.contains("bailiwick cluster resume one"), "{}", states[0].reason);

        assert!(service.resume_cluster(root, "one").await.unwrap().suspended_at.is_none());
        let desired = service.fleet_desired(&id).await.unwrap();
        assert!(!desired.suspended);
        assert_eq!(
            desired.recorded,
            [name("x")].into(),
            "the worker looks for it, and forgets it if it is not there"
        );
        assert_eq!(desired.grants.len(), 1);
        let (_, states) = service.show_grant_states(root, grant.id.as_str()).await.unwrap();
        assert_eq!((states[0].state, states[0].reason.as_str()), (State::Pending, ""));
        assert_eq!(service.resume_cluster(root, "one").await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn an_identity_is_replaced_neither_by_another_clusters_nor_by_a_former_connections() {
    for world in worlds().await {
        let id = identified(&world).await;
        let found = domain::ClusterIdentity { uid: Some("other".into()), ..Default::default() };
        let version = world.service.fleet_clusters().await.unwrap()[0].connection_version;
        assert!(!world.service.fleet_identified(&id, version, &found).await.unwrap(), "{}", world.on());
        // A worker of a former connection says nothing about this one.
        let key = domain::ClusterIdentity { uid: Some("uid".into()), keys: ["late".to_owned()].into() };
        assert!(world.service.fleet_identified(&id, version - 1, &key).await.unwrap());
        world.api_servers.put(&address(2), "uid", &["late"]);
        let config = kubeconfig(2, "two");
        let refused = world.service.rotate_connection(&world.root, "one", &config, IfOther::Refuse).await;
        assert!(refused.unwrap_err().message().contains("keys"));
    }
}

#[tokio::test]
async fn of_two_rotations_at_once_one_is_told_that_it_came_too_late() {
    for world in worlds().await {
        identified(&world).await;
        let configs = [2, 3].map(|port| {
            world.api_servers.put(&address(port), "uid", &["key"]);
            kubeconfig(port, "one")
        });
        // Both have looked at what is there before either changes it.
        *world.api_servers.meeting.lock().unwrap() = Some(Arc::new(tokio::sync::Barrier::new(2)));
        let rotate = |config| world.service.rotate_connection(&world.root, "one", config, IfOther::Refuse);
        let (one, other) = tokio::join!(rotate(&configs[0]), rotate(&configs[1]));
        let mut late = [one, other].into_iter().filter_map(Result::err);
        assert!(late.next().unwrap().message().contains("meanwhile"), "{}", world.on());
        assert!(late.next().is_none(), "the other one was done");
    }
}

#[tokio::test]
async fn a_removal_is_shown_until_it_is_done_and_can_be_given_up() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let id = identified(&world).await;
        service.fleet_record(&world.lease(id.as_str()).await, &[name("x")]).await.unwrap();
        let begun = service.delete_cluster(root, "one", Removal::Revoke).await.unwrap();
        assert!(begun.under_way && begun.remains.objects == [name("x")], "{}", world.on());
        assert!(service.show_removal(root, "c1").await.unwrap().under_way);
        for (call, named) in [(&world.stranger, "c1"), (root, "one"), (root, "nope")] {
            let missing = service.show_removal(call, named).await.unwrap_err();
            assert_eq!(missing.kind(), ErrorKind::NotFound);
            let missing = service.delete_cluster(call, named, Removal::Abandon).await.unwrap_err();
            assert_eq!(missing.kind(), ErrorKind::NotFound);
        }
        let ended = service.delete_cluster(root, "c1", Removal::Abandon).await.unwrap();
        assert!(!ended.under_way && ended.remains.objects == [name("x")]);
        assert!(service.fleet_clusters().await.unwrap().is_empty(), "no worker, no connection");
        assert!(
            service.fleet_record(&world.lease(id.as_str()).await, &[name("y")]).await.is_err(),
            "nothing is applied any more"
        );
        let shown = service.show_removal(root, "c1").await.unwrap();
        assert!(!shown.under_way && shown.remains.objects.is_empty());
        let again = service.delete_cluster(root, "c1", Removal::Abandon).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn names_are_read_only_where_ids_are_not_enough() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let id = identified(&world).await;
        let ann = NewPrincipal {
            external_ids: vec![ExternalId { issuer: "corp".into(), subject: "1001".into() }],
            ..new_principal(PrincipalKind::User, Some("ann"), "ann")
        };
        service.create_principal(root, ann).await.unwrap();
        let grant = service.create_grant(root, spec(&["ann"], &["c1"], &[])).await.unwrap();
        let names = || async { service.fleet_desired(&id).await.unwrap().names };
        assert!(names().await.is_by_id(), "{}", world.on());
        let users = Some(vec!["{external.corp}".to_owned()]);
        let arrival = ArrivalUpdate { users, ..ArrivalUpdate::default() };
        let update = ClusterUpdate { arrival, ..ClusterUpdate::default() };
        let shown = service.update_cluster(root, "one", update).await.unwrap();
        assert!(shown.arrival.sentence().contains("{external.corp}"));
        let found: Vec<_> =
            names().await.subjects(&grant.spec.principals).map(|subject| subject.name).collect();
        assert_eq!(found, ["1001"]);
        let bad = ArrivalUpdate { groups: Some(vec!["system:{id}".into()]), ..ArrivalUpdate::default() };
        let bad = ClusterUpdate { arrival: bad, ..ClusterUpdate::default() };
        let refused = service.update_cluster(root, "one", bad).await.unwrap_err();
        assert_eq!(refused.field(), Some("groupNameTemplates"));
    }
}

#[tokio::test]
async fn members_wake_workers_only_where_they_are_bound() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let id = identified(&world).await;
        world.user("ann").await;
        world.principal(PrincipalKind::Group, "ops").await;
        let mut grant = spec(&["ops"], &["c1"], &[]);
        grant.principals.kind = PrincipalKind::Group;
        let grant = service.create_grant(root, grant).await.unwrap();
        let mut changes = service.changes();
        changes.mark_unchanged();
        service.add_member(root, "ops", "ann").await.unwrap();
        service.remove_member(root, "ops", "ann").await.unwrap();
        assert!(!changes.has_changed().unwrap(), "{}", world.on());
        let arrival = ArrivalUpdate { members: Some("bind".into()), ..ArrivalUpdate::default() };
        service
            .update_cluster(root, "one", ClusterUpdate { arrival, ..ClusterUpdate::default() })
            .await
            .unwrap();
        for (joined, expected) in [(true, vec!["ops", "ann"]), (false, vec!["ops"])] {
            changes.mark_unchanged();
            if joined {
                service.add_member(root, "ops", "ann").await.unwrap();
            } else {
                service.remove_member(root, "ops", "ann").await.unwrap();
            }
            assert!(changes.has_changed().unwrap());
            let names = service.fleet_desired(&id).await.unwrap().names;
            let found: Vec<_> = names.subjects(&grant.spec.principals).map(|subject| subject.name).collect();
            assert_eq!(found, expected);
        }
    }
}

#[tokio::test]
async fn what_is_not_given_stays_as_it_was() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("ann").await;
        identified(&world).await;
        let labels = Some([("tier".to_owned(), "1".to_owned())].into());
        let update = ClusterUpdate { owner: Some("ann".into()), labels, ..ClusterUpdate::default() };
        let updated = service.update_cluster(root, "one", update).await.unwrap();
        assert_eq!(updated.owner.as_ref().map(|owner| owner.as_str()), Some("ann"), "{}", world.on());
        let same = service.update_cluster(root, "one", ClusterUpdate::default()).await.unwrap();
        assert_eq!((same.owner, same.labels, same.arrival), (updated.owner, updated.labels, updated.arrival));
        let nobody = ClusterUpdate { owner: Some("nobody".into()), ..ClusterUpdate::default() };
        assert_eq!(service.update_cluster(root, "one", nobody).await.unwrap_err().field(), Some("owner"));
    }
}
