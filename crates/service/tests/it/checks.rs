//! Checking clusters: what was answered is judged, kept and told; what could not be asked never is a no.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use domain::{Error, ErrorKind, Namespace, PrincipalKind, Result};
use service::clusters::checks::{Check, Checklist};
use service::clusters::connection::contact::{Ours, Reviewed, SigningRequest, Unasked};
use service::clusters::connection::prober::Pending;
use service::clusters::connection::{AddressPolicy, Connection, Contact};
use service::{Call, NewCluster, Rate, Rates, Service, Settings, Within};

use super::rotation::kubeconfig;
use super::sessions::by_key;
use crate::world::{World, allow, deny, worlds};

const ROWS: &str = r#"{"rows":[
    {"api_groups":[""],"resources":["pods","pods/status"],"verbs":["get","list"],"function":"Looking","advice":"Ask.","set":"a"},
    {"api_groups":["apps"],"resources":["deployments"],"verbs":["get"],"function":"Counting","advice":"Ask.","set":"a"}]}"#;
const WHY: &str = "nothing listens at 10.1.2.3";

/// An API server that says no to some verbs, or cannot be asked.
#[derive(Default)]
struct ApiServer {
    refused: Mutex<BTreeSet<String>>,
    dead: Mutex<bool>,
    identity: Mutex<Option<String>>,
}

impl ApiServer {
    fn refuse(&self, verbs: &[&str]) {
        *self.refused.lock().unwrap() = verbs.iter().map(|verb| (*verb).to_owned()).collect();
    }
}

fn nothing<'a, T: Send + 'a>() -> Pending<'a, Result<T>> {
    Box::pin(async { Err(Error::conflict("only reviews are answered here")) })
}

impl Contact for ApiServer {
    fn sign<'a>(&'a self, _: &'a Connection, _: &'a SigningRequest) -> Pending<'a, Result<String>> {
        nothing()
    }

    fn foreign_users<'a>(
        &'a self,
        _: &'a Connection,
        _: &'a Ours,
        _: &'a [String],
    ) -> Pending<'a, Result<Option<String>>> {
        nothing()
    }

    fn namespaces<'a>(&'a self, _: &'a Connection) -> Pending<'a, Result<Vec<Namespace>>> {
        nothing()
    }

    fn review<'a>(
        &'a self,
        _: &'a Connection,
        questions: &'a [rbac::probe::Probe],
    ) -> Pending<'a, Result<Reviewed, Unasked>> {
        let refused = self.refused.lock().unwrap().clone();
        let (dead, identity) = (*self.dead.lock().unwrap(), self.identity.lock().unwrap().clone());
        Box::pin(async move {
            if dead {
                return Err(Unasked(WHY.to_owned()));
            }
            // Everything that is not read is dangerous, and not allowed.
            let allows = |probe: &rbac::probe::Probe| {
                ["pods", "pods/status", "deployments"].contains(&probe.resource.as_str())
                    && ["get", "list"].contains(&probe.verb.as_str())
                    && !refused.contains(&probe.verb)
            };
            Ok(Reviewed { allowed: questions.iter().map(allows).collect(), identity })
        })
    }
}

/// A server that asks `ApiServer`, and a cluster that it knows as `one`.
async fn asking(world: &World) -> (Arc<Service>, Arc<ApiServer>) {
    let checks = Rate { per_second: 0, burst: 0 };
    asking_at(world, Rates { checks, ..Rates::default() }).await
}

/// The same, as often as the rates say.
async fn asking_at(world: &World, rates: Rates) -> (Arc<Service>, Arc<ApiServer>) {
    let api_server = Arc::new(ApiServer::default());
    let settings = Settings {
        addresses: AddressPolicy { allow_loopback: true, ..AddressPolicy::default() },
        checklist: Arc::new(Checklist::parse("rows_file", ROWS).unwrap()),
        rates,
        ..Settings::default()
    };
    let new = NewCluster {
        id: Some("c-one".into()),
        name: "one".into(),
        kubeconfig: Some(kubeconfig(1, "one")),
        ..NewCluster::default()
    };
    world.service.create_cluster(&world.root, new).await.unwrap();
    (world.another_server_asking(api_server.clone(), settings), api_server)
}

fn shown(check: &Check) -> Vec<(bool, Vec<String>)> {
    let missing = |row: &service::clusters::checks::CheckedRow| {
        row.missing.iter().map(|right| format!("{} {}", right.verb, right.resource)).collect()
    };
    check.found.rows.iter().map(|row| (row.authorized, missing(row))).collect()
}

#[tokio::test]
async fn a_row_is_true_if_the_cluster_allows_all_of_it_and_else_says_what_is_missing() {
    for world in worlds().await {
        let (service, api_server) = asking(&world).await;
        let check = service.check_cluster(&world.root, "one").await.unwrap();
        assert_eq!(shown(&check), [(true, vec![]), (true, vec![])], "{}", world.on());
        assert!(check.authorized() && check.found.surplus.is_empty(), "{check:?}");
        assert_eq!(check.manifest(None).unwrap(), None);
        api_server.refuse(&["list"]);
        let check = service.check_cluster(&world.root, "c-one").await.unwrap();
        let missing = vec!["list pods".to_owned(), "list pods/status".to_owned()];
        assert_eq!(shown(&check), [(false, missing), (true, vec![])]);
        // Nobody knows whose the credential is: it has to be said.
        assert_eq!(check.manifest(None).unwrap_err().field(), Some("subject"));
        assert!(check.manifest(Some("ann")).unwrap().unwrap().contains("kind: User\n    name: \"ann\""));
        *api_server.identity.lock().unwrap() = Some("bob".to_owned());
        let check = service.check_cluster(&world.root, "c-one").await.unwrap();
        assert!(check.manifest(None).unwrap().unwrap().contains("name: \"bob\""));
    }
}

#[tokio::test]
async fn what_could_not_be_asked_is_an_error_and_is_neither_kept_nor_told_to_everybody() {
    for world in worlds().await {
        let (service, api_server) = asking(&world).await;
        *api_server.dead.lock().unwrap() = true;
        let told = service.check_cluster(&world.root, "one").await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Conflict);
        assert!(told.to_string().contains(WHY), "{told}");
        let user = world.user("ann").await;
        world.give(&user, &allow(&["bailiwick:cluster:check"])).await;
        let ann = world.call_of(&user).await;
        for error in [
            service.check_cluster(&ann, "one").await.unwrap_err(),
            service.check_cluster_as_member(&ann, "c-one").await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(!error.to_string().contains("10.1.2.3"), "{error}");
        }
        assert!(
            service.list_checks(&world.root, "one", None, 10).await.unwrap().is_empty(),
            "{}",
            world.on()
        );
        world.cluster("detached").await;
        let detached = service.check_cluster(&world.root, "detached").await.unwrap_err();
        assert!(detached.to_string().contains("has no connection"), "{detached}");
    }
}

#[tokio::test]
async fn another_accounts_cluster_is_as_unknown_as_one_that_there_is_not() {
    for world in worlds().await {
        let (service, _) = asking(&world).await;
        let ask = async |call: &Call, id: &str| {
            let error = service.check_cluster_as_member(call, id).await.unwrap_err();
            (error.kind(), error.to_string().replace(id, "ID"))
        };
        let unknown = ask(&world.stranger, "c-none").await;
        assert_eq!(unknown.0, ErrorKind::NotFound);
        assert_eq!(ask(&world.stranger, "c-one").await, unknown, "{}", world.on());
        let as_root = async |id: &str| {
            let error = service.check_cluster(&world.stranger, id).await.unwrap_err();
            (error.kind(), error.to_string().replace(id, "ID"))
        };
        assert_eq!(as_root("c-one").await, as_root("c-none").await);
        // By its name nobody but its own account's native callers finds it.
        assert_eq!(ask(&world.root, "one").await.0, ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_member_needs_no_right_and_is_refused_by_an_outright_denial_alone() {
    for world in worlds().await {
        let (service, _) = asking(&world).await;
        let user = world.principal(PrincipalKind::User, "ann").await;
        let ann = world.call_of(&user).await;
        assert!(service.check_cluster_as_member(&ann, "c-one").await.is_ok(), "{}", world.on());
        assert_eq!(service.check_cluster(&ann, "c-one").await.unwrap_err().kind(), ErrorKind::Forbidden);
        world.give(&user, &deny(&["bailiwick:cluster:check"])).await;
        let ann = world.call_of(&user).await;
        for id in ["c-one", "c-none"] {
            let error = service.check_cluster_as_member(&ann, id).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Forbidden);
        }
    }
}

#[tokio::test]
async fn belonging_to_the_account_is_not_enough_in_a_session_whose_limits_do_not_name_it() {
    const OTHER: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["bailiwick:grant:list"],"Resource":["*"]}]}"#;
    const CHECKS: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["bailiwick:cluster:check"],"Resource":["*"]}]}"#;
    for world in worlds().await {
        let (service, _) = asking(&world).await;
        let limited = async |limit: &str| {
            let key = service.issue_temporary_key(&world.root, 900, vec![vec![limit.to_owned()]]).await;
            by_key(&service, &key.unwrap()).await.unwrap()
        };
        let other = limited(OTHER).await;
        let error = service.check_cluster_as_member(&other, "c-one").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{}", world.on());
        assert!(service.check_cluster_as_member(&limited(CHECKS).await, "c-one").await.is_ok());
        let project = &world.prepared.project.id;
        let ann = world.principal(PrincipalKind::User, "ann").await;
        let seen = async |call: &Call| {
            let found = service.list_clusters_of_members_account(call, project, &Within::Everywhere).await;
            found.unwrap().len()
        };
        assert_eq!((seen(&other).await, seen(&world.call_of(&ann).await).await), (0, 1));
        world.give(&ann, &deny(&["bailiwick:cluster:list"])).await;
        assert_eq!(seen(&world.call_of(&ann).await).await, 0);
    }
}

#[tokio::test]
async fn whoever_has_a_cluster_checked_without_pause_is_held_back_and_other_clusters_are_not() {
    for world in worlds().await {
        let (service, _) = asking_at(&world, Rates::default()).await;
        let new = NewCluster {
            id: Some("c-two".into()),
            name: "two".into(),
            kubeconfig: Some(kubeconfig(2, "one")),
            ..NewCluster::default()
        };
        world.service.create_cluster(&world.root, new).await.unwrap();
        let ann = world.call_of(&world.principal(PrincipalKind::User, "ann").await).await;
        // One more passes in each second, and a machine that does much else may need one for each of these.
        let mut both = false;
        for _ in 0..2_000 {
            let Err(error) = service.check_cluster_as_member(&ann, "c-one").await else { continue };
            assert_eq!(error.kind(), ErrorKind::Limited, "{}", world.on());
            // It is about the cluster's API server, not about who asks.
            let root = service.check_cluster(&world.root, "one").await;
            both = root.is_err_and(|error| error.kind() == ErrorKind::Limited);
            if both {
                break;
            }
        }
        assert!(both, "{}", world.on());
        assert!(service.check_cluster_as_member(&ann, "c-two").await.is_ok());
    }
}

#[tokio::test]
async fn answers_are_kept_while_they_differ_and_not_for_ever() {
    for world in worlds().await {
        let (service, api_server) = asking(&world).await;
        let first = service.check_cluster(&world.root, "one").await.unwrap();
        world.clock.advance_seconds(120);
        let again = service.check_cluster(&world.root, "one").await.unwrap();
        let kept = service.list_checks(&world.root, "one", None, 10).await.unwrap();
        assert_eq!(kept.len(), 1, "{}", world.on());
        assert_eq!((kept[0].first_at, kept[0].last_at), (first.checked_at, again.checked_at));
        for n in 0..105 {
            world.clock.advance_seconds(1);
            api_server.refuse(if n % 2 == 0 { &["list"] } else { &[] });
            service.check_cluster(&world.root, "one").await.unwrap();
        }
        let kept = service.list_checks(&world.root, "one", None, 100).await.unwrap();
        assert_eq!(kept.len(), 100);
        assert!(kept.windows(2).all(|pair| pair[0].first_at > pair[1].first_at));
        let until = Some(kept[3].first_at);
        assert_eq!(service.list_checks(&world.root, "one", until, 1).await.unwrap(), kept[3..4]);
        assert_eq!(
            service.list_checks(&world.root, "one", None, 0).await.unwrap_err().field(),
            Some("limit")
        );
    }
}
