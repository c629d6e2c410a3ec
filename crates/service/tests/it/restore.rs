//! Older copies of the database, the hold, what is recorded of grants, and removals that nothing explains.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{ClusterId, ErrorKind, GrantId, Namespace, PrincipalKind, Secret, Standing};
use rbac::ObjectName;
use service::clusters::certificates::{ForOthers, Foreign, Holder, Lifetime, Wanted};
use service::installation::lineage::PlanView;
use service::{Login, MasterKey, MasterKeys, NewCluster, PageRequest, Scope, Service, Which};
use store::testing::{self, number};

use crate::world::{World, bootstrap, origin, spec, worlds};

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: c}}]
clusters: [{name: c, cluster: {server: 'https://203.0.113.7:6443', certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=}}]
users: [{name: c, user: {token: t}}]
";

/// A cluster with a connection, as workers have.
async fn connected(world: &World, id: &str) -> ClusterId {
    let new = NewCluster {
        id: Some(id.to_owned()),
        name: id.to_owned(),
        kubeconfig: Some(KUBECONFIG.to_owned()),
        ..NewCluster::default()
    };
    world.service.create_cluster(&world.root, new).await.unwrap().id
}

async fn sealed_stamp(world: &World, cluster: &ClusterId) -> String {
    let stamp = world.service.fleet_desired(cluster).await.unwrap().stamp.unwrap();
    world.service.fleet_seal_stamp(cluster, &stamp).await.unwrap()
}

/// Takes the database back, as copying yesterday's file would.
async fn go_back(world: &World, commits: i64) {
    let account = world.root.caller.account.as_str();
    let sql = format!("UPDATE revision SET n = n - {commits} WHERE account_id = '{account}'");
    testing::execute(&world.store, &sql).await;
}

#[tokio::test]
async fn a_stamp_of_this_database_is_consistent_whatever_came_after_it() {
    for world in worlds().await {
        world.bootstrap.begin_lineage().await.unwrap();
        let cluster = connected(&world, "c").await;
        let stamp = sealed_stamp(&world, &cluster).await;
        world.user("ada").await;
        world.bootstrap.begin_lineage().await.unwrap();
        world.user("eve").await;
        for sealed in [stamp, sealed_stamp(&world, &cluster).await] {
            let looked = world.service.fleet_check_stamp(&cluster, &sealed).await.unwrap();
            assert_eq!(looked.standing, Standing::Consistent, "{}", world.on());
        }
        assert!(world.service.open_for_requests().is_ok());
    }
}

#[tokio::test]
async fn an_older_copy_is_held_until_it_is_confirmed_and_then_every_token_ends() {
    for world in worlds().await {
        world.bootstrap.begin_lineage().await.unwrap();
        let cluster = connected(&world, "c").await;
        world.user("ada").await;
        let stamp = sealed_stamp(&world, &cluster).await;
        let password = Secret::new(world.prepared.password.expose().to_owned());
        let login = Login::Id { user: world.prepared.root.id.to_string(), password };
        let scope = Scope::Account { named: None };
        let token = world.service.issue_token(&login, &scope, &origin()).await.unwrap();
        go_back(&world, 2).await;

        let looked = world.service.fleet_check_stamp(&cluster, &stamp).await.unwrap();
        assert_eq!(looked.standing, Standing::Older, "{}", world.on());
        assert_eq!(world.service.open_for_requests().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(world.service.stamp().await.unwrap().is_none(), "what was seen outside must stay");
        assert!(world.service.fleet_desired(&cluster).await.unwrap().hold.is_some());
        let plan = PlanView { grows: 1, shrinks: 0, lines: vec!["apply X".into()] };
        world.service.fleet_held_plan(&cluster, plan).await.unwrap();
        let (hold, plans) = world.bootstrap.show_hold().await.unwrap().unwrap();
        assert!(hold.reason.contains("cluster c was written to"), "{}", hold.reason);
        assert_eq!((plans[0].grows, plans[0].lines.as_slice()), (1, &["apply X".to_owned()][..]));

        let confirmed = world.bootstrap.confirm_hold().await.unwrap();
        assert_eq!(confirmed.tokens, 1, "{}", world.on());
        world.service.follow_revisions().await.unwrap();
        assert!(world.service.open_for_requests().is_ok());
        assert!(world.service.call_by_token(token.token.expose(), origin()).await.is_err());
        let looked = world.service.fleet_check_stamp(&cluster, &stamp).await.unwrap();
        assert_eq!(looked.standing, Standing::Confirmed, "{}", world.on());
        let again = sealed_stamp(&world, &cluster).await;
        let looked = world.service.fleet_check_stamp(&cluster, &again).await.unwrap();
        assert_eq!(looked.standing, Standing::Consistent, "{}", world.on());
        assert_eq!(world.bootstrap.confirm_hold().await.unwrap_err().kind(), ErrorKind::Conflict);
        let audit = "SELECT action FROM audit_events WHERE action = 'bailiwick:installation:confirm'";
        testing::text(&world.store, audit).await;
    }
}

#[tokio::test]
async fn certificates_that_a_copy_takes_for_live_end_when_it_is_confirmed() {
    for world in worlds().await {
        let cluster = connected(&world, "c").await;
        let ada = world.user("ada").await;
        world.service.create_grant(&world.root, spec(&["ada"], &["c"], &[])).await.unwrap();
        let wanted = Wanted {
            holder: Holder::Named { kind: None, which: Which::Id(ada.id.as_str()) },
            for_others: ForOthers::Administrators,
            lifetime: Lifetime::Lasting,
            foreign: Foreign::Refuse,
        };
        let made = world.service.issue_certificate(&world.root, "c", wanted).await.unwrap().certificate;
        let serial = made.id.as_str();
        world.service.revoke_certificate(&world.root, serial).await.unwrap();
        // As the copy from before that has it.
        testing::execute(&world.store, "UPDATE certificates SET revoked_at = NULL").await;
        world.bootstrap.hold("an older copy".into()).await.unwrap();
        let confirmed = world.bootstrap.confirm_hold().await.unwrap();
        assert_eq!(confirmed.certificates, 1, "{}", world.on());
        world.service.follow_revisions().await.unwrap();
        let desired = world.service.fleet_desired(&cluster).await.unwrap();
        let bound = desired.grants.iter().flat_map(|grant| desired.names.subjects(&grant.spec.principals));
        let bound: Vec<String> = bound.map(|subject| subject.name).collect();
        assert_eq!(bound, ["ada"], "{}", world.on());
    }
}

#[tokio::test]
async fn an_older_copy_is_noticed_after_a_change_of_the_master_key() {
    for world in worlds().await {
        world.bootstrap.begin_lineage().await.unwrap();
        let cluster = connected(&world, "c").await;
        let old = world.bootstrap.master_key.first_id().unwrap();
        let copied = testing::text(&world.store, "SELECT sealed_key FROM stamp_keys").await;
        let copied_at =
            number(&world.store, "SELECT CAST(SUM(n) AS BIGINT) FROM revision WHERE account_id <> ''").await;
        world.user("ada").await;
        let before = sealed_stamp(&world, &cluster).await;

        let new = MasterKey::generate(&domain::entropy::Fixed::new(100));
        let both = vec![MasterKey::generate(&domain::entropy::Fixed::new(99)), new.clone()];
        let keys = MasterKeys::from_source(both, Arc::new(|| Ok(Vec::new())));
        let mut operator = bootstrap(world.store.clone(), world.clock.clone(), 77);
        operator.master_key = keys;
        operator.announce_key(&new).await.unwrap();
        operator.switch_key(&old, &new).await.unwrap();
        assert!(operator.reseal(&new).await.unwrap().broken.is_empty(), "{}", world.on());
        operator.end_key_change().await.unwrap();
        assert_eq!(operator.keys_in_use().await.unwrap().unwrap().sealed.len(), 1, "{}", world.on());
        let server = || world.another_server_with(operator.master_key.clone());
        let stamp = world.service.stamp().await.unwrap().unwrap();
        let after = server().fleet_seal_stamp(&cluster, &stamp).await.unwrap();

        // The copy from before, opened with the key that it needs.
        testing::execute(&world.store, &format!("UPDATE stamp_keys SET sealed_key = '{copied}'")).await;
        testing::execute(&world.store, &format!("UPDATE installation SET master_key_id = '{old}'")).await;
        let now =
            number(&world.store, "SELECT CAST(SUM(n) AS BIGINT) FROM revision WHERE account_id <> ''").await;
        go_back(&world, now - copied_at).await;
        for stamp in [before, after] {
            let older = world.another_server_with(world.bootstrap.master_key.clone());
            let looked = older.fleet_check_stamp(&cluster, &stamp).await.unwrap();
            assert_eq!(looked.standing, Standing::Older, "{}", world.on());
            assert!(older.open_for_requests().is_err(), "{}", world.on());
        }
    }
}

#[tokio::test]
async fn a_stamp_that_names_a_made_up_key_has_no_keys_read_again() {
    let world = worlds().await.remove(0);
    let cluster = connected(&world, "c").await;
    let first = vec![MasterKey::generate(&domain::entropy::Fixed::new(99))];
    let keys = MasterKeys::from_source(first, Arc::new(|| panic!("read again")));
    let server = world.another_server_with(keys);
    for forged in ["v1:0123456789abcdef:00", "v1:00:00", ""] {
        let looked = server.fleet_check_stamp(&cluster, forged).await.unwrap();
        assert_eq!(looked.standing, Standing::Consistent, "{forged}");
    }
}

#[tokio::test]
async fn a_stamp_that_somebody_in_a_cluster_made_up_or_moved_holds_nothing() {
    let world = worlds().await.remove(0);
    world.bootstrap.begin_lineage().await.unwrap();
    let (own, other) = (connected(&world, "own").await, connected(&world, "other").await);
    world.user("ada").await;
    let stamp = sealed_stamp(&world, &other).await;
    go_back(&world, 1).await;
    for forged in ["{\"lineage\":\"x\",\"sum\":9000000,\"at\":1}", "v1:00:00", stamp.as_str()] {
        let looked = world.service.fleet_check_stamp(&own, forged).await.unwrap();
        assert_eq!((looked.standing, looked.sum), (Standing::Consistent, None), "{forged}");
    }
    assert!(world.service.open_for_requests().is_ok());
}

#[tokio::test]
async fn a_database_that_goes_back_under_a_running_server_is_held() {
    for world in worlds().await {
        world.bootstrap.begin_lineage().await.unwrap();
        world.user("ada").await;
        world.service.follow_revisions().await.unwrap();
        assert!(world.service.open_for_requests().is_ok());
        go_back(&world, 3).await;
        world.service.follow_revisions().await.unwrap();
        assert!(world.service.open_for_requests().is_err(), "{}", world.on());
        assert!(world.bootstrap.show_hold().await.unwrap().unwrap().0.reason.contains("went back"));
        world.bootstrap.confirm_hold().await.unwrap();
        for _ in 0..2 {
            world.service.follow_revisions().await.unwrap();
            assert!(world.service.open_for_requests().is_ok(), "{}: what was known is forgotten", world.on());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_begins_while_others_look_is_not_forgotten_again() {
    for world in worlds().await {
        world.bootstrap.begin_lineage().await.unwrap();
        let cluster = connected(&world, "c").await;
        world.user("ada").await;
        let stamp = sealed_stamp(&world, &cluster).await;
        go_back(&world, 1).await;
        // It does not know how far the database was, so that nothing but the stamp begins a hold.
        let server = world.another_server();
        for round in 0..30 {
            let looking = tokio::spawn(follow_often(&server));
            let looked = server.fleet_check_stamp(&cluster, &stamp).await.unwrap();
            assert_eq!(looked.standing, Standing::Older, "{}", world.on());
            assert!(server.open_for_requests().is_err(), "{}, round {round}", world.on());
            looking.await.unwrap();
            assert!(server.open_for_requests().is_err(), "{}, round {round}", world.on());
            testing::execute(&world.store, "DELETE FROM hold").await;
            server.follow_revisions().await.unwrap();
            assert!(server.open_for_requests().is_ok());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_while_others_look_is_not_followed_by_another_hold() {
    for world in worlds().await {
        world.bootstrap.begin_lineage().await.unwrap();
        for round in 0..30 {
            world.user(&format!("u{round}")).await;
            go_back(&world, 1).await;
            world.service.follow_revisions().await.unwrap();
            assert!(world.service.open_for_requests().is_err(), "{}, round {round}", world.on());
            let looking = tokio::spawn(follow_often(&world.service));
            world.bootstrap.confirm_hold().await.unwrap();
            looking.await.unwrap();
            world.service.follow_revisions().await.unwrap();
            assert!(world.service.open_for_requests().is_ok(), "{}, round {round}", world.on());
        }
    }
}

/// As the poll and many who ask whether the server is ready do.
fn follow_often(server: &Arc<Service>) -> impl Future<Output = ()> + Send + use<> {
    let server = Arc::clone(server);
    async move {
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let server = Arc::clone(&server);
            asking.spawn(async move {
                for _ in 0..10 {
                    server.follow_revisions().await.unwrap();
                }
            });
        }
        asking.join_all().await;
    }
}

#[tokio::test]
async fn a_machine_that_never_saw_the_database_lets_nobody_in_before_the_clusters_were_asked() {
    let world = worlds().await.remove(0);
    let (first, second) = (connected(&world, "first").await, connected(&world, "second").await);
    world.service.ask_clusters_first().await.unwrap();
    assert!(world.service.open_for_requests().is_err());
    world.service.fleet_asked(&first);
    assert!(world.service.open_for_requests().is_err());
    world.service.fleet_asked(&second);
    assert!(world.service.open_for_requests().is_ok());
}

#[tokio::test]
async fn every_version_of_a_grant_is_recorded_with_who_made_it_and_can_be_brought_back() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("ada").await;
        world.user("eve").await;
        world.cluster("c").await;
        let grant = service.create_grant(root, spec(&["ada"], &["c"], &["a"])).await.unwrap();
        let id = grant.id.as_str();
        service.update_grant(root, id, spec(&["ada", "eve"], &["c"], &["a", "b"])).await.unwrap();
        service.delete_principal(root, PrincipalKind::User, "eve").await.unwrap();
        service.restore_grant(root, id, 1).await.unwrap();
        assert_eq!(service.show_grant(root, id).await.unwrap().spec, grant.spec, "{}", world.on());
        let gone = service.restore_grant(root, id, 2).await.unwrap_err();
        assert_eq!((gone.kind(), gone.field()), (ErrorKind::Invalid, Some("principals")));
        let unknown = service.restore_grant(root, id, 17).await.unwrap_err();
        assert_eq!(unknown.field(), Some("generation"));
        service.delete_cluster(root, "c", service::Removal::Revoke).await.unwrap();
        service.revoke_grant(root, id).await.unwrap();

        let versions = service.show_grant_history(root, id, &PageRequest::default()).await.unwrap().items;
        let seen: Vec<(i64, usize, bool)> = versions
            .iter()
            .map(|version| (version.generation, version.spec.principals.ids.len(), version.revoked))
            .collect();
        let expected =
            [(1, 1, false), (2, 2, false), (3, 1, false), (4, 1, false), (5, 1, false), (6, 1, true)];
        assert_eq!(seen, expected, "{}", world.on());
        assert!(versions.iter().all(|version| version.actor == root.caller.principal.as_str()));
        assert!(versions.windows(2).all(|pair| pair[0].revision < pair[1].revision), "in commit order");
        let strange =
            service.show_grant_history(&world.stranger, id, &PageRequest::default()).await.unwrap_err();
        assert_eq!(strange.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn grants_that_an_older_program_wrote_get_a_record_at_the_next_start() {
    for world in worlds().await {
        world.user("ada").await;
        world.cluster("c").await;
        let grant = world.service.create_grant(&world.root, spec(&["ada"], &["c"], &[])).await.unwrap();
        testing::execute(&world.store, "DELETE FROM grant_history").await;
        world.bootstrap.begin_lineage().await.unwrap();
        let (id, whole) = (grant.id.as_str(), PageRequest::default());
        let versions = world.service.show_grant_history(&world.root, id, &whole).await.unwrap().items;
        assert_eq!((versions.len(), versions[0].actor.as_str()), (1, ""), "{}", world.on());
    }
}

async fn versions_of(
    service: &service::Service,
    cluster: &domain::ClusterId,
    roles: &BTreeSet<String>,
) -> Vec<rbac::RecordedVersion> {
    let mut versions = Vec::new();
    let mut take = |version: &rbac::RecordedVersion| {
        versions.push(version.clone());
        std::ops::ControlFlow::Continue(())
    };
    service.fleet_versions(cluster, roles, &mut take).await.unwrap();
    versions
}

#[tokio::test]
async fn of_a_grant_that_is_changed_for_ever_a_bounded_number_of_versions_is_kept_and_read_in_pages() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("ada").await;
        let cluster = connected(&world, "c").await;
        let grant = service.create_grant(root, spec(&["ada"], &["c"], &["a"])).await.unwrap();
        let id = grant.id.as_str();
        for n in 0..110 {
            let namespace = ["a", "b"][usize::from(n % 2 == 0)];
            service.update_grant(root, id, spec(&["ada"], &["c"], &[namespace])).await.unwrap();
        }
        let (mut request, mut seen) = (PageRequest { limit: Some(30), cursor: None }, Vec::new());
        loop {
            let page = service.show_grant_history(root, id, &request).await.unwrap();
            assert!(page.items.len() <= 30);
            seen.extend(page.items.into_iter().map(|version| version.generation));
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, (12..=111).collect::<Vec<i64>>(), "{}", world.on());
        let roles = BTreeSet::from(["viewer".to_owned()]);
        assert_eq!(versions_of(service, &cluster, &roles).await.len(), 100, "{}", world.on());
        let mut first = 0;
        let mut only_one = |_: &rbac::RecordedVersion| {
            first += 1;
            std::ops::ControlFlow::Break(())
        };
        service.fleet_versions(&cluster, &roles, &mut only_one).await.unwrap();
        assert_eq!(first, 2, "one of those that stand and one of those that ended");
        request.cursor = Some("999.".into());
        assert!(service.show_grant_history(root, id, &request).await.unwrap().items.is_empty());
        let strange = service.show_grant_history(&world.stranger, id, &request).await.unwrap_err();
        assert_eq!(strange.kind(), ErrorKind::NotFound, "not even behind its end");
        let dropped = service.restore_grant(root, id, 11).await.unwrap_err();
        assert_eq!(dropped.field(), Some("generation"));
        service.restore_grant(root, id, 12).await.unwrap();
    }
}

#[tokio::test]
async fn recorded_versions_say_which_of_them_ended() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("ada").await;
        let cluster = connected(&world, "c").await;
        connected(&world, "other").await;
        let moved = service.create_grant(root, spec(&["ada"], &["c"], &["a"])).await.unwrap();
        service.update_grant(root, moved.id.as_str(), spec(&["ada"], &["other"], &["a"])).await.unwrap();
        let kept = service.create_grant(root, spec(&["ada"], &["c"], &["b"])).await.unwrap();
        let revoked = service.create_grant(root, spec(&["ada"], &["c"], &["d"])).await.unwrap();
        service.revoke_grant(root, revoked.id.as_str()).await.unwrap();
        // By hand, past every rule.
        testing::execute(&world.store, &format!("DELETE FROM grant_clusters WHERE grant_id = '{}'", kept.id))
            .await;

        let roles = BTreeSet::from(["viewer".to_owned()]);
        let versions = versions_of(service, &cluster, &roles).await;
        let first_ended = versions.iter().position(|version| version.ended).unwrap();
        assert!(versions[first_ended..].iter().all(|version| version.ended), "those that stand come first");
        let ended = |namespace: &str| {
            let namespaces = domain::NamespaceScope::Listed(vec![Namespace::stored(namespace)]);
            let of: Vec<bool> = versions
                .iter()
                .filter(|version| version.spec.namespaces == namespaces)
                .map(|version| version.ended)
                .collect();
            of
        };
        assert_eq!(ended("a"), [true], "{}: the later version is about another cluster", world.on());
        assert_eq!(ended("b"), [false], "{}: nothing recorded its end", world.on());
        assert_eq!(ended("d"), [true, true], "{}", world.on());
        let none = versions_of(service, &cluster, &BTreeSet::from(["developer".to_owned()])).await;
        assert!(none.is_empty());
    }
}

#[tokio::test]
async fn removals_wait_until_an_administrator_lets_go_those_that_wait_then() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let cluster = connected(&world, "c").await;
        let named = |names: &[&str]| -> BTreeMap<ObjectName, String> {
            let object = |name: &str| ObjectName {
                scope: rbac::Scope::Namespace(Namespace::stored("a")),
                name: name.to_owned(),
            };
            names.iter().map(|name| (object(name), "view for User ada".to_owned())).collect()
        };
        assert!(
            service
                .fleet_wait(&world.lease(cluster.as_str()).await, &named(&["x", "y"]))
                .await
                .unwrap()
                .is_empty()
        );
        let waiting = service.list_removals(root, "c").await.unwrap();
        assert_eq!(waiting.len(), 2, "{}", world.on());
        assert_eq!(waiting[0].what, "view for User ada");
        let strange = service.confirm_removals(&world.stranger, "c").await.unwrap_err();
        assert_eq!(strange.kind(), ErrorKind::NotFound);
        assert_eq!(service.confirm_removals(root, "c").await.unwrap(), 2);
        assert_eq!(service.confirm_removals(root, "c").await.unwrap_err().kind(), ErrorKind::Conflict);
        let gone =
            service.fleet_wait(&world.lease(cluster.as_str()).await, &named(&["x", "y", "z"])).await.unwrap();
        assert_eq!(gone.len(), 2, "{}: what came later was not confirmed", world.on());
        assert_eq!(service.list_removals(root, "c").await.unwrap().len(), 1);
        assert!(
            service
                .fleet_wait(&world.lease(cluster.as_str()).await, &BTreeMap::new())
                .await
                .unwrap()
                .is_empty()
        );
        assert!(
            service
                .fleet_wait(&world.lease(cluster.as_str()).await, &named(&["x"]))
                .await
                .unwrap()
                .is_empty(),
            "confirmed once"
        );
    }
}

#[tokio::test]
async fn a_copy_of_the_file_says_what_it_is_and_leaves_the_original_alone() {
    let world = worlds().await.remove(0);
    world.bootstrap.begin_lineage().await.unwrap();
    let copy = world.database.folder().join("copy.db");
    world.store.copy_into(&copy).await.unwrap();
    let facts = store::Store::facts_of_file(&copy).await.unwrap();
    assert_eq!(facts, world.store.facts().await.unwrap());
    assert!(facts.sum > 0 && !facts.lineage.is_empty());
    world.user("later").await;
    assert_ne!(facts, world.store.facts().await.unwrap());
    let in_use = store::Store::take_out_of_use(&world.database.folder().join("test.db")).await.unwrap_err();
    assert_eq!(in_use.kind(), ErrorKind::Conflict, "its server is running");
    store::Store::take_out_of_use(&copy).await.unwrap();
    let name = GrantId::stored("x");
    assert!(world.store.copy_into(&world.database.folder().join(format!("{name}?.db"))).await.is_err());
}
