//! What custom roles are accepted to allow: written down by workers, ended by decisions and by nothing else.

use std::collections::BTreeSet;

use domain::{ClusterId, ClusterRoleName, ErrorKind, Grant, GrantSpec, PrincipalKind, Role};
use rbac::cluster_roles::Rule;
use service::fleet::FleetDesired;
use service::grants::accepted_roles::{Acceptance, Written};
use service::grants::permissions::{Activity, Cleaning};
use service::{AuditFilter, NewCluster, PageRequest};
use store::testing::number;

use crate::clusters::KUBECONFIG;
use crate::ladder::{EVERYTHING, assert_refused, attach};
use crate::world::{World, spec, worlds};

const ROWS: &str = "SELECT COUNT(*) FROM accepted_roles";
const KEPT: &str = "SELECT COUNT(*) FROM accepted_rules";

fn deployer(users: &[&str], clusters: &[&str]) -> GrantSpec {
    GrantSpec {
        role: Role::Custom(ClusterRoleName::parse("role", "deployer").unwrap()),
        ..spec(users, clusters, &[])
    }
}

fn rule(verb: &str) -> Rule {
    Rule {
        api_groups: vec![String::new()],
        resources: vec!["pods".into()],
        verbs: vec![verb.into()],
        ..Rule::default()
    }
}

async fn connected(world: &World, name: &str) {
    let (id, kubeconfig) = (Some(name.to_owned()), Some(KUBECONFIG.to_owned()));
    let new = NewCluster { id, name: name.to_owned(), kubeconfig, ..NewCluster::default() };
    world.service.create_cluster(&world.root, new).await.unwrap();
}

/// Two clusters with connections, and a grant of a custom role to `ada` and `bob` there.
async fn granted(world: &World) -> Grant {
    for user in ["ada", "bob"] {
        world.user(user).await;
    }
    for name in ["c1", "c2"] {
        connected(world, name).await;
    }
    world.service.create_grant(&world.root, deployer(&["ada", "bob"], &["c1", "c2"])).await.unwrap()
}

async fn accept(world: &World, grant: &Grant, rules: &[Rule]) {
    accept_in(world, "c1", grant, rules).await;
}

async fn accept_in(world: &World, cluster: &str, grant: &Grant, rules: &[Rule]) {
    let accepted = Acceptance {
        grant: grant.id.clone(),
        generation: grant.generation,
        cluster_role: "deployer".into(),
        rules: Written::new(rules).unwrap(),
    };
    world.service.fleet_accept(&world.lease(cluster).await, &[accepted]).await.unwrap();
}

async fn desired(world: &World) -> FleetDesired {
    world.service.fleet_desired(&ClusterId::stored("c1")).await.unwrap()
}

async fn is_accepted(world: &World, grant: &Grant, rules: &[Rule]) -> bool {
    let accepted = desired(world).await.accepted.remove(&grant.id);
    accepted.is_some_and(|accepted| accepted.digest == Written::new(rules).unwrap().digest())
}

#[tokio::test]
async fn what_a_worker_accepted_is_read_with_what_should_be_and_its_rules_when_asked_for() {
    for world in worlds().await {
        let grant = granted(&world).await;
        assert!(desired(&world).await.accepted.is_empty());
        let url = Rule { non_resource_urls: vec!["/x".into()], verbs: vec!["get".into()], ..Rule::default() };
        let named = Rule { resource_names: vec!["a".into()], ..rule("get") };
        accept(&world, &grant, &[url.clone(), named.clone()]).await;
        assert!(
            is_accepted(&world, &grant, &[named.clone(), url.clone()]).await,
            "{}: in any order",
            world.on()
        );
        let accepted = desired(&world).await.accepted.remove(&grant.id).unwrap();
        assert_eq!((accepted.cluster_role.as_str(), &accepted.rules), ("deployer", &None));
        let id = ClusterId::stored("c1");
        let asked = BTreeSet::from([accepted.digest.clone(), "none".to_owned()]);
        let mut rules = world.service.fleet_accepted_rules(&id, &asked).await.unwrap();
        assert_eq!(rules.remove(&accepted.digest).unwrap()[..], [url, named]);
        assert!(rules.is_empty());
        let elsewhere = world.service.fleet_desired(&ClusterId::stored("c2")).await.unwrap();
        assert!(elsewhere.accepted.is_empty(), "each cluster's role is its own");
        accept(&world, &grant, &[rule("list")]).await;
        assert!(is_accepted(&world, &grant, &[rule("list")]).await);
    }
}

#[tokio::test]
async fn a_confirmation_is_a_new_generation_that_says_the_same_and_accepts_anew() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let grant = granted(&world).await;
        accept(&world, &grant, &[rule("get")]).await;
        let confirmed = service.confirm_grant(root, grant.id.as_str()).await.unwrap();
        assert_eq!((confirmed.generation, &confirmed.spec), (2, &grant.spec), "{}", world.on());
        assert!(desired(&world).await.accepted.is_empty());
        let page = PageRequest { limit: None, cursor: None };
        let history = service.show_grant_history(root, grant.id.as_str(), &page).await.unwrap().items;
        assert_eq!(history.iter().map(|version| version.generation).collect::<Vec<_>>(), [1, 2]);
        let filter = AuditFilter { action: Some("bailiwick:grant:update".into()), ..AuditFilter::default() };
        let events = service.list_audit_events(root, &filter, &page).await.unwrap().items;
        assert_eq!(events.len(), 1, "{}", world.on());
        // What was seen of the generation before is no answer to it.
        accept(&world, &grant, &[rule("get")]).await;
        assert!(desired(&world).await.accepted.is_empty(), "{}", world.on());
        accept(&world, &confirmed, &[rule("list")]).await;
        assert!(is_accepted(&world, &confirmed, &[rule("list")]).await);
    }
}

#[tokio::test]
async fn only_a_grant_of_a_custom_role_that_is_there_is_confirmed() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let grant = granted(&world).await;
        let viewer = service.create_grant(root, spec(&["ada"], &["c1"], &[])).await.unwrap();
        let refused = |outcome: domain::Result<Grant>| outcome.unwrap_err().kind();
        assert_eq!(refused(service.confirm_grant(root, viewer.id.as_str()).await), ErrorKind::Conflict);
        assert_eq!(refused(service.confirm_grant(root, "none").await), ErrorKind::NotFound);
        let foreign = service.confirm_grant(&world.stranger, grant.id.as_str()).await;
        assert_eq!(refused(foreign), ErrorKind::NotFound, "{}", world.on());
        service.revoke_grant(root, grant.id.as_str()).await.unwrap();
        assert_eq!(refused(service.confirm_grant(root, grant.id.as_str()).await), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn whoever_does_not_administer_each_cluster_confirms_nothing() {
    for world in worlds().await {
        let service = &world.service;
        let grant = granted(&world).await;
        let mallory = world.user("mallory").await;
        attach(&world, "mallory", EVERYTHING).await;
        let administrator =
            |cluster: &str| GrantSpec { role: Role::Administrator, ..spec(&["mallory"], &[cluster], &[]) };
        service.create_grant(&world.root, administrator("c1")).await.unwrap();
        let call = world.call_of(&mallory).await;
        assert_refused(world.on(), service.confirm_grant(&call, grant.id.as_str()).await);
        service.create_grant(&world.root, administrator("c2")).await.unwrap();
        let call = world.call_of(&mallory).await;
        service.confirm_grant(&call, grant.id.as_str()).await.unwrap();
    }
}

#[tokio::test]
async fn an_update_accepts_anew_and_saying_the_same_again_does_not() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let grant = granted(&world).await;
        accept(&world, &grant, &[rule("get")]).await;
        let same = service.update_grant(root, grant.id.as_str(), grant.spec.clone()).await.unwrap();
        assert_eq!(same.generation, 1);
        assert!(is_accepted(&world, &grant, &[rule("get")]).await, "{}", world.on());
        service.update_grant(root, grant.id.as_str(), deployer(&["ada"], &["c1"])).await.unwrap();
        assert_eq!(number(&world.store, ROWS).await, 0, "{}", world.on());
    }
}

#[tokio::test]
async fn a_grant_that_only_loses_somebody_or_a_cluster_accepts_nothing() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let grant = granted(&world).await;
        world.user("eve").await;
        connected(&world, "c3").await;
        let all = deployer(&["ada", "bob", "eve"], &["c1", "c2", "c3"]);
        let grant = service.update_grant(root, grant.id.as_str(), all).await.unwrap();
        for cluster in ["c1", "c3"] {
            accept_in(&world, cluster, &grant, &[rule("get")]).await;
        }
        let everywhere = Cleaning { activity: Activity::Ignored, clusters: None };
        service.clean_permissions(root, "eve", &everywhere).await.unwrap();
        assert_eq!(number(&world.store, ROWS).await, 2, "{}", world.on());
        service.delete_principal(root, PrincipalKind::User, "bob").await.unwrap();
        let in_c3 = Cleaning { clusters: Some(vec!["c3".into()]), ..everywhere };
        service.clean_permissions(root, "ada", &in_c3).await.unwrap();
        assert_eq!(number(&world.store, ROWS).await, 1, "{}: who comes back there accepts anew", world.on());
        service.delete_cluster(root, "c2", service::Removal::Abandon).await.unwrap();
        let now = service.show_grant(root, grant.id.as_str()).await.unwrap();
        assert_eq!(now.generation, 6, "{}", world.on());
        assert!(is_accepted(&world, &grant, &[rule("get")]).await, "{}", world.on());
        service.delete_cluster(root, "c1", service::Removal::Abandon).await.unwrap();
        assert_eq!(number(&world.store, ROWS).await, 0, "{}: what is gone is forgotten", world.on());
    }
}

#[tokio::test]
async fn a_revoke_forgets_what_was_accepted() {
    for world in worlds().await {
        let grant = granted(&world).await;
        accept(&world, &grant, &[rule("get")]).await;
        world.service.revoke_grant(&world.root, grant.id.as_str()).await.unwrap();
        assert_eq!(number(&world.store, ROWS).await, 0, "{}", world.on());
        accept(&world, &Grant { generation: 2, ..grant }, &[rule("get")]).await;
        assert_eq!(number(&world.store, ROWS).await, 0, "{}", world.on());
    }
}

#[tokio::test]
async fn of_rules_beyond_the_bound_only_whether_they_are_the_same_is_kept() {
    for world in worlds().await {
        let grant = granted(&world).await;
        let large: Vec<Rule> = (0..2_000).map(|n| rule(&format!("verb-{n}"))).collect();
        accept(&world, &grant, &large).await;
        assert!(is_accepted(&world, &grant, &large).await, "{}", world.on());
        let id = ClusterId::stored("c1");
        let asked = BTreeSet::from([Written::new(&large).unwrap().digest().to_owned()]);
        let kept = world.service.fleet_accepted_rules(&id, &asked).await.unwrap();
        assert!(kept.is_empty(), "{}", world.on());
        assert_eq!(number(&world.store, KEPT).await, 0);
    }
}

#[tokio::test]
async fn rules_are_kept_once_for_all_grants_of_a_cluster_and_go_with_the_last_of_them() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let first = granted(&world).await;
        let mut grants = vec![first.clone()];
        for _ in 0..3 {
            grants.push(service.create_grant(root, deployer(&["ada"], &["c1"])).await.unwrap());
        }
        for grant in &grants {
            accept(&world, grant, &[rule("get")]).await;
        }
        assert_eq!(number(&world.store, ROWS).await, 4, "{}", world.on());
        assert_eq!(number(&world.store, KEPT).await, 1, "{}", world.on());
        accept(&world, &first, &[rule("list")]).await;
        assert_eq!(number(&world.store, KEPT).await, 2, "{}", world.on());
        service.confirm_grant(root, first.id.as_str()).await.unwrap();
        assert_eq!(number(&world.store, KEPT).await, 1, "{}: nobody else has these", world.on());
        for grant in &grants[1..] {
            assert_eq!(number(&world.store, KEPT).await, 1, "{}", world.on());
            service.revoke_grant(root, grant.id.as_str()).await.unwrap();
        }
        assert_eq!(number(&world.store, KEPT).await, 0, "{}", world.on());
        accept(&world, &first, &[rule("get")]).await;
        assert_eq!(number(&world.store, KEPT).await, 0, "{}: it is of another generation now", world.on());
    }
}

#[tokio::test]
async fn all_rules_kept_for_a_cluster_together_are_bounded() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        granted(&world).await;
        let mut accepted = Vec::new();
        for n in 0..100 {
            let grant = service.create_grant(root, deployer(&["ada"], &["c1"])).await.unwrap();
            let rules = [rule(&format!("{n}-{}", "x".repeat(60_000)))];
            accepted.push(Acceptance {
                grant: grant.id,
                generation: 1,
                cluster_role: "deployer".into(),
                rules: Written::new(&rules).unwrap(),
            });
        }
        service.fleet_accept(&world.lease("c1").await, &accepted).await.unwrap();
        assert_eq!(number(&world.store, ROWS).await, 100, "{}: the digests of all are known", world.on());
        let kept =
            number(&world.store, "SELECT CAST(SUM(LENGTH(rules)) AS BIGINT) FROM accepted_rules").await;
        assert!((4_000_000..=4 << 20).contains(&kept), "{}: {kept}", world.on());
    }
}
