//! Client certificates end with that with which they were asked for, and are not left behind in removed clusters.

use std::sync::Arc;

use domain::{Cluster, ErrorKind, PrincipalId, PrincipalKind, Secret};
use rbac::{ObjectName, Scope as ObjectScope};
use service::clusters::certificates::{ForOthers, Foreign, Holder, Lifetime, Wanted};
use service::sessions::revocation::Afterwards;
use service::{Call, NewCluster, PageRequest, Removal, Which};

use crate::ladder::attach;
use crate::rotation::kubeconfig;
use crate::sessions::{ASSUMES, agency, by_key, by_token, log_in, trusting, wish, with_ada};
use crate::world::{World, allow, origin, worlds};

async fn prod(world: &World, owner: &Call) -> Cluster {
    let new = NewCluster {
        id: Some("prod".into()),
        name: "prod".into(),
        kubeconfig: Some(kubeconfig(1, "one")),
        ..NewCluster::default()
    };
    world.service.create_cluster(owner, new).await.unwrap()
}

async fn issue(world: &World, call: &Call) -> String {
    let wanted = Wanted {
        holder: Holder::Caller,
        for_others: ForOthers::Administrators,
        lifetime: Lifetime::Lasting,
        foreign: Foreign::Refuse,
    };
    world.service.issue_certificate(call, "prod", wanted).await.unwrap().certificate.user_name
}

/// How many certificates' names are bound for the cluster's grants.
async fn bound(server: &service::Service) -> usize {
    let desired = server.fleet_desired(&domain::ClusterId::stored("prod")).await.unwrap();
    let subjects = desired.grants.iter().flat_map(|grant| desired.names.subjects(&grant.spec.principals));
    let names: std::collections::BTreeSet<String> =
        subjects.map(|subject| subject.name).filter(|name| name.contains(':')).collect();

    names.len()
}

async fn states(world: &World, call: &Call) -> Vec<&'static str> {
    let page = PageRequest::default();
    let all = world.service.list_certificates(call, None, None, &page).await.unwrap().items;
    all.iter().map(|issued| issued.state.as_str()).collect()
}

async fn grant(world: &World, owner: &Call, kind: PrincipalKind, id: &PrincipalId) {
    let mut spec = crate::world::spec(&[id.as_str()], &[], &[]);
    spec.principals.kind = kind;
    world.service.create_grant(owner, spec).await.unwrap();
}

/// A user of another account who assumed an agency here, and a certificate that they had signed as it.
async fn through_trust(world: &World) -> (String, Call) {
    let (service, root, stranger) = (&world.service, &world.root, &world.stranger);
    let new = crate::world::new_principal(PrincipalKind::User, None, "mallory");
    let mallory = service.create_principal(stranger, new).await.unwrap();
    let policy = service::policies::NewPolicy {
        id: None,
        name: "assumes".into(),
        description: String::new(),
        document: ASSUMES.into(),
    };
    let policy = service.create_policy(stranger, policy).await.unwrap().id;
    let to = service::policies::WhichPrincipal { kind: mallory.kind, which: mallory.id.as_str().into() };
    service
        .attach_policy(stranger, policy.as_str(), to, service::policies::WhichScope::Account)
        .await
        .unwrap();
    let trusted = format!("iam::{}:user:mallory", stranger.account());
    agency(world, root, "guests", &trusting(&[&trusted])).await;
    let guests = service.show_principal(root, PrincipalKind::Agency, "guests").await.unwrap();
    attach(world, guests.id.as_str(), &allow(&["bailiwick:certificate:*"])).await;
    grant(world, root, PrincipalKind::Agency, &guests.id).await;
    let key = service.create_access_key(stranger, mallory.id.as_str(), "").await.unwrap().key.id;
    let signing = service.signing_key(key.as_str()).await.unwrap().unwrap();
    let call = Call { caller: Arc::clone(&signing.caller), project: None, origin: origin(), signed: None };
    let assumed = service.assume_agency(&call, &wish(root.account(), "guests")).await.unwrap();
    let agency = by_key(service, &assumed.key).await.unwrap();
    (mallory.id.to_string(), agency)
}

#[tokio::test]
async fn a_certificate_that_was_lent_ends_with_its_session_or_with_whoever_began_that_in_another_account() {
    for what in ["session", "key", "user"] {
        for world in worlds().await {
            let (service, root) = (&world.service, &world.root);
            prod(&world, root).await;
            let other = world.another_server();
            let (mallory, agency) = through_trust(&world).await;
            issue(&world, &agency).await;
            assert_eq!((bound(service).await, bound(&other).await), (1, 1), "{what}");
            let mut changes = service.changes();
            changes.mark_unchanged();
            let receipt = match what {
                "session" => {
                    let id = agency.caller.session().unwrap().id.clone();
                    service.revoke_key(root, id.as_str()).await.unwrap()
                }
                "key" => {
                    let page = PageRequest::default();
                    let keys =
                        service.list_access_keys(&world.stranger, Some(&mallory), &page).await.unwrap();
                    service.revoke_key(&world.stranger, keys.items[0].id.as_str()).await.unwrap()
                }
                _ => {
                    let user = Some(PrincipalKind::User);
                    service
                        .revoke_principal(&world.stranger, user, &mallory, Afterwards::Enabled)
                        .await
                        .unwrap()
                }
            };
            assert_eq!(receipt.certificates, 1, "{what} {}", world.on());
            assert!(changes.has_changed().unwrap(), "workers are told: {what}");
            assert_eq!((bound(service).await, bound(&other).await), (0, 0), "{what}");
            assert_eq!(states(&world, root).await, ["revoked"], "{what} {}", world.on());
        }
    }
}

#[tokio::test]
async fn a_certificate_ends_with_the_key_with_which_it_was_asked_for_and_does_not_come_back() {
    for what in ["revoked", "disabled", "deleted"] {
        for world in worlds().await {
            let (service, root) = (&world.service, &world.root);
            prod(&world, root).await;
            let ann = world.user("ann").await;
            attach(&world, "ann", &allow(&["bailiwick:certificate:*"])).await;
            grant(&world, root, PrincipalKind::User, &ann.id).await;
            let stolen = world.call_of(&ann).await;
            let service::call::Proof::AccessKey(key) = stolen.caller.proof.clone() else { panic!("a key") };
            issue(&world, &stolen).await;
            issue(&world, &world.call_of(&ann).await).await;
            assert_eq!(bound(service).await, 2);
            let mut changes = service.changes();
            changes.mark_unchanged();
            match what {
                "revoked" => {
                    assert_eq!(service.revoke_key(root, key.as_str()).await.unwrap().certificates, 1);
                }
                "disabled" => drop(service.disable_access_key(root, key.as_str()).await.unwrap()),
                _ => service.delete_access_key(root, key.as_str()).await.unwrap(),
            }
            assert!(changes.has_changed().unwrap(), "workers are told: {what}");
            assert_eq!(bound(service).await, 1, "{what} {}", world.on());
            if what != "deleted" {
                service.enable_access_key(root, key.as_str()).await.unwrap();
            }
            assert_eq!(bound(service).await, 1, "{what} {}", world.on());
            assert_eq!(states(&world, root).await.iter().filter(|state| **state == "revoked").count(), 1);
        }
    }
}

#[tokio::test]
async fn a_token_of_ones_own_ends_its_certificates_when_it_is_revoked_and_not_when_its_time_is_over() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world, root).await;
        with_ada(&world).await;
        attach(&world, "ada", &allow(&["bailiwick:certificate:*"])).await;
        grant(&world, root, PrincipalKind::User, &PrincipalId::stored("ada")).await;
        let (stolen, own) = (log_in(&world).await, log_in(&world).await);
        let project = service::Scope::Project { named: "default".into() };
        let call = by_token(service, &stolen).await.unwrap();
        let narrow = service.rescope_token(&call, &project).await.unwrap();
        issue(&world, &by_token(service, narrow.token.expose()).await.unwrap()).await;
        issue(&world, &by_token(service, &own).await.unwrap()).await;
        assert_eq!(bound(service).await, 2);
        assert_eq!(service.revoke_any_token(root, &stolen).await.unwrap().certificates, 1, "{}", world.on());
        assert_eq!(bound(service).await, 1, "{}", world.on());
        world.clock.advance_seconds(25 * 3600);
        log_in(&world).await;
        assert_eq!(bound(service).await, 1, "{}", world.on());
        // One that an administrator had signed for somebody else ends with the administrator.
        let bob = world.user("bob").await;
        grant(&world, root, PrincipalKind::User, &bob.id).await;
        service.add_member(root, "administrators", "ada").await.unwrap();
        let ada = by_token(service, &log_in(&world).await).await.unwrap();
        let wanted = Wanted {
            holder: Holder::Named { kind: None, which: Which::Id("bob") },
            for_others: ForOthers::Administrators,
            lifetime: Lifetime::Lasting,
            foreign: Foreign::Refuse,
        };
        service.issue_certificate(&ada, "prod", wanted).await.unwrap();
        assert_eq!(bound(service).await, 2);
        let receipt = service.revoke_principal(root, None, "ada", Afterwards::Enabled).await.unwrap();
        assert_eq!((receipt.certificates, bound(service).await), (2, 0), "{}", world.on());
        service.set_password(root, "ada", &Secret::new("another horse".into())).await.unwrap();
        assert_eq!(bound(service).await, 0);
    }
}

#[tokio::test]
async fn certificates_keep_a_cluster_from_being_left_as_it_is_and_are_named_when_it_is_given_up() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world, root).await;
        let ann = world.user("ann").await;
        attach(&world, "ann", &allow(&["bailiwick:certificate:*"])).await;
        let name = issue(&world, &world.call_of(&ann).await).await;
        let object = ObjectName { scope: ObjectScope::Cluster, name: "bailiwick:view:0a".into() };
        service.fleet_record(&world.lease("prod").await, &[object]).await.unwrap();
        let refused = service.delete_cluster(root, "prod", Removal::Keep).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", world.on());
        assert!(
            refused.message().contains(&name) && refused.message().contains("kubeconfig revoke"),
            "{refused}"
        );
        let under_way = service.delete_cluster(root, "prod", Removal::Revoke).await.unwrap();
        assert!(under_way.under_way);
        let refused = service.delete_cluster(root, "prod", Removal::Keep).await.unwrap_err();
        assert!(refused.message().contains("`--abandon`"), "revoked, and bound still: {refused}");
        let removed = service.delete_cluster(root, "prod", Removal::Abandon).await.unwrap();
        assert_eq!(removed.remains.certificates, [name.as_str()], "{}", world.on());
    }
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world, root).await;
        let ann = world.user("ann").await;
        attach(&world, "ann", &allow(&["bailiwick:certificate:*"])).await;
        let call = world.call_of(&ann).await;
        issue(&world, &call).await;
        service.revoke_certificates(&call, "prod", Holder::Caller, ForOthers::Root).await.unwrap();
        service.delete_cluster(root, "prod", Removal::Keep).await.unwrap();
    }
}
