//! Client certificates: who may have them, when their names are bound, and how they end.

use std::time::Duration;

use domain::{Cluster, ErrorKind, PrincipalKind, Result, Timestamp};
use service::clusters::certificates::{
    CertificateState, ForOthers, Foreign, Holder, IssuedCertificate, Kubeconfig, Lifetime, Wanted,
};
use service::sessions::revocation::Afterwards;
use service::{AuditFilter, Call, NewCluster, PageRequest, PrincipalUpdate, Quotas, Removal, Which};

use crate::ladder::{assert_refused, attach};
use crate::rotation::kubeconfig;
use crate::sessions::{by_key, by_token, log_in, wish, with_ada};
use crate::signer::Signs;
use crate::world::{World, allow, new_principal, spec, worlds, worlds_with};

async fn prod(world: &World) -> Cluster {
    cluster(world, "prod", 1).await
}

async fn cluster(world: &World, id: &str, port: u16) -> Cluster {
    let new = NewCluster {
        id: Some(id.into()),
        name: id.into(),
        kubeconfig: Some(kubeconfig(port, "one")),
        ..NewCluster::default()
    };
    world.service.create_cluster(&world.root, new).await.unwrap()
}

fn wanted(holder: Holder<'_>, lifetime: Lifetime) -> Wanted<'_> {
    Wanted { holder, for_others: ForOthers::Administrators, lifetime, foreign: Foreign::Refuse }
}

fn of(id: &str) -> Holder<'_> {
    Holder::Named { kind: None, which: Which::Id(id) }
}

async fn issue(world: &World, id: &str, lifetime: Lifetime) -> Result<Kubeconfig> {
    world.service.issue_certificate(&world.root, "prod", wanted(of(id), lifetime)).await
}

/// The names that grants bind in the cluster, sorted.
async fn bound(world: &World, cluster: &str) -> Vec<String> {
    let desired = world.service.fleet_desired(&domain::ClusterId::stored(cluster)).await.unwrap();
    let subjects = desired.grants.iter().flat_map(|grant| desired.names.subjects(&grant.spec.principals));
    let mut names: Vec<String> = subjects.map(|subject| subject.name).collect();
    names.sort();
    names.dedup();
    names
}

async fn stays_for(world: &World) -> Option<Duration> {
    let desired = world.service.fleet_desired(&domain::ClusterId::stored("prod")).await.unwrap();
    desired.stays_for
}

async fn list(world: &World, call: &Call) -> Vec<IssuedCertificate> {
    world.service.list_certificates(call, None, None, &PageRequest::default()).await.unwrap().items
}

async fn states(world: &World) -> Vec<&'static str> {
    list(world, &world.root).await.iter().map(|issued| issued.state.as_str()).collect()
}

async fn actions(world: &World) -> Vec<String> {
    let page = PageRequest { limit: Some(1000), cursor: None };
    let rows = world.service.list_audit_events(&world.root, &AuditFilter::default(), &page).await.unwrap();
    let of_certificates = rows.items.into_iter().map(|row| row.event.action);
    of_certificates.filter(|action| action.starts_with("bailiwick:certificate:")).collect()
}

#[tokio::test]
async fn a_certificate_is_a_further_name_of_its_holder_for_as_long_as_it_lives() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world).await;
        world.user("ann").await;
        world.user("bob").await;
        service.create_grant(root, spec(&["ann", "bob"], &["prod"], &[])).await.unwrap();
        assert_eq!(stays_for(&world).await, None);
        let mut changes = service.changes();
        changes.mark_unchanged();
        let made = issue(&world, "ann", Lifetime::Seconds(3600)).await.unwrap();
        assert!(changes.has_changed().unwrap(), "workers are told");
        let name = made.certificate.user_name.clone();
        assert_eq!(name, format!("ann:{}", made.certificate.id));
        assert_eq!(bound(&world, "prod").await, ["ann", name.as_str(), "bob"], "{}", world.on());
        assert_eq!(made.certificate.expires_at, world.clock_in(3600));
        assert_eq!(made.certificate.not_after, Timestamp::parse_rfc3339("2028-11-22T00:00:00Z"));
        assert_eq!(stays_for(&world).await, Some(Duration::from_secs(3600)));
        let asked = world.signer.asked.lock().unwrap().clone();
        assert_eq!((asked[0].seconds, asked[0].name.contains(made.certificate.id.as_str())), (3600, true));
        world.clock.advance_seconds(3599);
        assert_eq!(bound(&world, "prod").await.len(), 3);
        world.clock.advance_seconds(1);
        assert_eq!(bound(&world, "prod").await, ["ann", "bob"], "{}", world.on());
        assert_eq!((stays_for(&world).await, states(&world).await), (None, vec!["expired"]));
        assert_eq!(actions(&world).await, ["bailiwick:certificate:issue"]);
    }
}

#[tokio::test]
async fn one_is_revoked_and_the_others_go_on_or_all_of_a_holder_in_one_cluster() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world).await;
        cluster(&world, "test", 2).await;
        let ann = world.user("ann").await;
        attach(&world, "ann", &allow(&["bailiwick:certificate:*"])).await;
        let call = world.call_of(&ann).await;
        service.create_grant(root, spec(&["ann"], &[], &[])).await.unwrap();
        let mut names = Vec::new();
        for cluster in ["prod", "prod", "test"] {
            let own = wanted(Holder::Caller, Lifetime::Lasting);
            names.push(service.issue_certificate(&call, cluster, own).await.unwrap().certificate);
        }
        service.revoke_certificate(&call, names[0].id.as_str()).await.unwrap();
        assert_eq!(bound(&world, "prod").await, ["ann", names[1].user_name.as_str()]);
        let again = service.revoke_certificate(&call, names[0].id.as_str()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Conflict, "{again}");
        let unknown = service.revoke_certificate(&call, "none").await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        let administrators = ForOthers::Administrators;
        assert_eq!(service.revoke_certificates(&call, "prod", of("ann"), administrators).await.unwrap(), 1);
        assert_eq!(bound(&world, "prod").await, ["ann"]);
        assert_eq!(bound(&world, "test").await, ["ann", names[2].user_name.as_str()]);
        // Of somebody who is gone nothing is left to revoke, and that is no failure.
        service.delete_principal(root, PrincipalKind::User, "ann").await.unwrap();
        assert_eq!(states(&world).await, ["revoked"; 3], "{}", world.on());
        assert_eq!(service.revoke_certificates(root, "test", of("ann"), administrators).await.unwrap(), 0);
        let nobody = service.revoke_certificates(root, "test", of("eve"), administrators).await.unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn certificates_reach_what_groups_are_granted_until_their_holder_leaves() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world).await;
        for id in ["ann", "bob"] {
            world.user(id).await;
        }
        world.principal(PrincipalKind::Group, "ops").await;
        let mut grant = spec(&["ops"], &["prod"], &[]);
        grant.principals.kind = PrincipalKind::Group;
        service.create_grant(root, grant).await.unwrap();
        service.add_member(root, "ops", "bob").await.unwrap();
        let made = issue(&world, "ann", Lifetime::Lasting).await.unwrap();
        assert_eq!(bound(&world, "prod").await, ["ops"]);
        let mut changes = service.changes();
        changes.mark_unchanged();
        service.add_member(root, "ops", "ann").await.unwrap();
        assert!(changes.has_changed().unwrap());
        assert_eq!(
            bound(&world, "prod").await,
            [made.certificate.user_name.as_str(), "ops"],
            "{}",
            world.on()
        );
        changes.mark_unchanged();
        service.remove_member(root, "ops", "ann").await.unwrap();
        assert!(changes.has_changed().unwrap());
        assert_eq!(bound(&world, "prod").await, ["ops"]);
        // Nobody needs to know of members who come in other ways.
        changes.mark_unchanged();
        service.remove_member(root, "ops", "bob").await.unwrap();
        assert!(!changes.has_changed().unwrap());
    }
}

#[tokio::test]
async fn where_names_are_made_by_templates_certificates_are_bound_beside_them() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world).await;
        let mut update = service::ClusterUpdate::default();
        update.arrival.users = Some(vec!["oidc:{name}".into()]);
        service.update_cluster(root, "prod", update).await.unwrap();
        world.user("ann").await;
        world.user("eve").await;
        service.create_grant(root, spec(&["ann"], &["prod"], &[])).await.unwrap();
        let made = issue(&world, "ann", Lifetime::Lasting).await.unwrap();
        issue(&world, "eve", Lifetime::Lasting).await.unwrap();
        assert_eq!(bound(&world, "prod").await, [made.certificate.user_name.as_str(), "oidc:ann"]);
    }
}

#[tokio::test]
async fn who_is_disabled_revoked_or_gone_has_no_certificate_and_neither_has_a_removed_cluster() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world).await;
        for id in ["ann", "bob", "cat"] {
            world.user(id).await;
        }
        service.create_grant(root, spec(&["ann", "bob", "cat"], &["prod"], &[])).await.unwrap();
        for id in ["ann", "bob", "cat"] {
            issue(&world, id, Lifetime::Lasting).await.unwrap();
        }
        let mut changes = service.changes();
        changes.mark_unchanged();
        let enabled = |enabled| PrincipalUpdate { enabled: Some(enabled), ..PrincipalUpdate::default() };
        service.update_principal(root, PrincipalKind::User, "ann", enabled(false)).await.unwrap();
        assert!(changes.has_changed().unwrap());
        let refused = issue(&world, "ann", Lifetime::Lasting).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
        service.update_principal(root, PrincipalKind::User, "ann", enabled(true)).await.unwrap();
        changes.mark_unchanged();
        let receipt = service.revoke_principal(root, None, "bob", Afterwards::Enabled).await.unwrap();
        assert_eq!(receipt.certificates, 1);
        assert!(changes.has_changed().unwrap());
        assert_eq!(bound(&world, "prod").await.len(), 4, "only cat's is left: {}", world.on());
        service.delete_cluster(root, "prod", Removal::Abandon).await.unwrap();
        assert_eq!(states(&world).await, ["revoked"; 3]);
        let all = list(&world, root).await;
        assert!(all.iter().all(|issued| issued.cluster_name.is_empty()));
    }
}

#[tokio::test]
async fn what_is_not_as_it_was_asked_for_is_nobodys() {
    for world in worlds().await {
        prod(&world).await;
        world.user("ann").await;
        world.service.create_grant(&world.root, spec(&["ann"], &["prod"], &[])).await.unwrap();
        for (signs, why) in [
            (Signs::AnotherKey, "a certificate of another key"),
            (Signs::AGroup, "more than was asked for"),
            (Signs::Nothing, "did not sign"),
        ] {
            *world.signer.signs.lock().unwrap() = signs;
            let refused = issue(&world, "ann", Lifetime::Lasting).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict);
            assert!(refused.message().contains(why), "{refused}");
            assert_eq!(bound(&world, "prod").await, ["ann"], "{}", world.on());
        }
        assert_eq!(states(&world).await, ["revoked"; 3]);
        assert_eq!(
            actions(&world).await,
            ["bailiwick:certificate:issue", "bailiwick:certificate:revoke"].repeat(3)
        );
        *world.signer.signs.lock().unwrap() = Signs::Briefly;
        let made = issue(&world, "ann", Lifetime::Lasting).await.unwrap();
        assert_eq!(
            Some(made.certificate.expires_at),
            made.certificate.not_after,
            "never beyond what it says"
        );
        assert_eq!(made.certificate.expires_at.rfc3339_seconds(), "2026-11-21T20:45:00Z");
    }
}

#[tokio::test]
async fn there_are_so_many_for_one_holder_in_one_cluster() {
    for world in worlds_with(Quotas { certificates_per_principal: 2, ..Quotas::default() }).await {
        prod(&world).await;
        cluster(&world, "test", 2).await;
        for id in ["ann", "bob"] {
            world.user(id).await;
        }
        issue(&world, "ann", Lifetime::Seconds(60)).await.unwrap();
        let second = issue(&world, "ann", Lifetime::Lasting).await.unwrap();
        let full = issue(&world, "ann", Lifetime::Lasting).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Conflict);
        assert!(full.message().contains("can be revoked"), "{full}");
        issue(&world, "bob", Lifetime::Lasting).await.unwrap();
        let elsewhere = wanted(of("ann"), Lifetime::Lasting);
        world.service.issue_certificate(&world.root, "test", elsewhere).await.unwrap();
        world.service.revoke_certificate(&world.root, second.certificate.id.as_str()).await.unwrap();
        issue(&world, "ann", Lifetime::Lasting).await.unwrap();
        issue(&world, "ann", Lifetime::Lasting).await.unwrap_err();
        world.clock.advance_seconds(60);
        issue(&world, "ann", Lifetime::Lasting).await.unwrap();
    }
}

#[tokio::test]
async fn the_root_user_chooses_how_long_and_a_revoke_forgets_it() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world).await;
        let ann = world.user("ann").await;
        attach(&world, "ann", &allow(&["bailiwick:certificate:*"])).await;
        let call = world.call_of(&ann).await;
        let usual = issue(&world, "ann", Lifetime::Lasting).await.unwrap().certificate;
        assert_eq!(Some(usual.expires_at), usual.not_after, "three years are more than the cluster gives");
        let short = issue(&world, "ann", Lifetime::Seconds(600)).await.unwrap().certificate;
        for holder in [Holder::Caller, of("ann")] {
            assert_refused("own", service.set_certificate_lifetime(&call, "prod", holder, 9_000).await);
        }
        for hours in [0, 876_001] {
            let refused = service.set_certificate_lifetime(root, "prod", of("ann"), hours).await.unwrap_err();
            assert_eq!(refused.field(), Some("hours"));
        }
        let ends = |found: &[IssuedCertificate], id: &domain::CertificateId| {
            found
                .iter()
                .find(|issued| issued.certificate.id == *id)
                .map(|issued| issued.certificate.expires_at)
        };
        service.set_certificate_lifetime(root, "prod", of("ann"), 2).await.unwrap();
        let all = list(&world, root).await;
        assert_eq!(ends(&all, &usual.id), Some(world.clock_in(7200)), "{}", world.on());
        assert_eq!(ends(&all, &short.id), Some(world.clock_in(600)), "that one was asked for as it is");
        let next = issue(&world, "ann", Lifetime::Lasting).await.unwrap().certificate;
        assert_eq!(next.expires_at, world.clock_in(7200));
        service.set_certificate_lifetime(root, "prod", of("ann"), 876_000).await.unwrap();
        assert_eq!(ends(&list(&world, root).await, &usual.id), usual.not_after, "never beyond what it says");
        service.set_certificate_lifetime(root, "prod", of("ann"), 1).await.unwrap();
        service.revoke_certificates(&call, "prod", Holder::Caller, ForOthers::Root).await.unwrap();
        let again = issue(&world, "ann", Lifetime::Lasting).await.unwrap().certificate;
        assert_eq!(Some(again.expires_at), again.not_after);
    }
}

#[tokio::test]
async fn only_administrators_have_to_do_with_the_certificates_of_others() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world).await;
        let (ann, ada) = (world.user("ann").await, world.user("ada").await);
        for id in ["ann", "ada"] {
            attach(&world, id, &allow(&["bailiwick:certificate:*"])).await;
        }
        service.add_member(root, "administrators", "ada").await.unwrap();
        let (call, administrator) = (world.call_of(&ann).await, world.call_of(&ada).await);
        let others = issue(&world, "ada", Lifetime::Lasting).await.unwrap().certificate;
        let (ada, lasting) = (of("ada"), Lifetime::Lasting);
        assert_refused("issue", service.issue_certificate(&call, "prod", wanted(ada, lasting)).await);
        assert_refused("nobody", service.issue_certificate(&call, "prod", wanted(of("x"), lasting)).await);
        assert_refused("revoke", service.revoke_certificate(&call, others.id.as_str()).await);
        assert_refused(
            "all",
            service.revoke_certificates(&call, "prod", ada, ForOthers::Administrators).await,
        );
        let of_ann = wanted(of("ann"), lasting);
        service.issue_certificate(&call, "prod", of_ann).await.unwrap();
        service.issue_certificate(&administrator, "prod", of_ann).await.unwrap();
        let root_only = Wanted { for_others: ForOthers::Root, ..of_ann };
        assert_refused("root", service.issue_certificate(&administrator, "prod", root_only).await);
        service.issue_certificate(root, "prod", root_only).await.unwrap();
        assert_refused("list", {
            let page = PageRequest::default();
            service.list_certificates(&world.call_of(&world.user("eve").await).await, None, None, &page).await
        });
        let theirs =
            service.issue_certificate(&world.stranger, "prod", wanted(Holder::Caller, lasting)).await;
        assert_eq!(theirs.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(list(&world, &world.stranger).await.is_empty());
        let id = others.id.as_str();
        let theirs = service.revoke_certificate(&world.stranger, id).await.unwrap_err();
        assert_eq!(theirs.kind(), ErrorKind::NotFound);
        assert_eq!(list(&world, root).await[0].state, CertificateState::Live);
    }
}

#[tokio::test]
async fn a_name_that_others_bind_or_that_is_the_clusters_own_gets_no_certificate() {
    for world in worlds().await {
        prod(&world).await;
        for id in ["jenkins", "system", "bailiwick"] {
            world.user(id).await;
        }
        let said = "ClusterRoleBinding ci names User jenkins".to_owned();
        *world.signer.foreign.lock().unwrap() = Some(("jenkins".to_owned(), said.clone()));
        let refused = issue(&world, "jenkins", Lifetime::Lasting).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.message().starts_with(&said) && refused.message().contains("--adopt`"), "{refused}");
        assert!(list(&world, &world.root).await.is_empty(), "nothing was begun");
        let adopted = Wanted { foreign: Foreign::Adopt, ..wanted(of("jenkins"), Lifetime::Lasting) };
        world.service.issue_certificate(&world.root, "prod", adopted).await.unwrap();
        for id in ["system", "bailiwick"] {
            let refused = issue(&world, id, Lifetime::Lasting).await.unwrap_err();
            assert!(refused.message().contains("cluster's own"), "{refused}");
        }
    }
}

#[tokio::test]
async fn only_a_cluster_that_can_be_reached_signs_and_only_for_a_time_that_makes_sense() {
    for world in worlds().await {
        prod(&world).await;
        world.cluster("detached").await;
        world.user("ann").await;
        world.principal(PrincipalKind::Group, "ops").await;
        let lasting = wanted(of("ann"), Lifetime::Lasting);
        let detached = world.service.issue_certificate(&world.root, "detached", lasting).await.unwrap_err();
        assert_eq!(detached.kind(), ErrorKind::Conflict, "{detached}");
        let past = Timestamp::from_millis(0);
        for lifetime in [Lifetime::Seconds(4), Lifetime::Seconds(i64::MAX), Lifetime::Until(past)] {
            let refused = issue(&world, "ann", lifetime).await.unwrap_err();
            assert_eq!(refused.field(), Some("lifetime"), "{lifetime:?}");
        }
        for nobody in ["ops", "eve"] {
            assert_eq!(
                issue(&world, nobody, Lifetime::Lasting).await.unwrap_err().kind(),
                ErrorKind::NotFound
            );
        }
        let agency = new_principal(PrincipalKind::Agency, Some("build"), "build");
        world.service.create_principal(&world.root, agency).await.unwrap();
        let made = issue(&world, "build", Lifetime::Lasting).await.unwrap();
        assert_eq!(made.certificate.kind, PrincipalKind::Agency);
    }
}

#[tokio::test]
async fn what_was_lent_for_a_while_does_not_become_a_certificate_for_ever() {
    for world in worlds().await {
        let service = &world.service;
        prod(&world).await;
        with_ada(&world).await;
        let one = service.show_principal(&world.root, PrincipalKind::Agency, "one").await.unwrap();
        for id in ["ada", one.id.as_str()] {
            attach(&world, id, &allow(&["bailiwick:certificate:*", "bailiwick:agency:assume"])).await;
        }
        let ada = by_token(service, &log_in(&world).await).await.unwrap();
        let own = wanted(Holder::Caller, Lifetime::Lasting);
        let usual = service.issue_certificate(&ada, "prod", own).await.unwrap().certificate;
        assert_eq!(Some(usual.expires_at), usual.not_after, "a password gives more than a token");
        let assumed = service.assume_agency(&ada, &wish(world.root.account(), "one")).await.unwrap();
        let agency = by_key(service, &assumed.key).await.unwrap();
        let end = agency.caller.session().unwrap().expires_at;
        let lent = service.issue_certificate(&agency, "prod", own).await.unwrap().certificate;
        assert_eq!((lent.kind, lent.expires_at), (PrincipalKind::Agency, end), "{}", world.on());
        let brief = Wanted { lifetime: Lifetime::Seconds(60), ..own };
        let brief = service.issue_certificate(&agency, "prod", brief).await.unwrap().certificate;
        assert_eq!(brief.expires_at, world.clock_in(60));
    }
}

#[tokio::test]
async fn lists_come_in_pages_of_what_their_reader_may_see() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        prod(&world).await;
        cluster(&world, "test", 2).await;
        let ann = world.user("ann").await;
        let only_test = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Resource":["*"],"Action":["bailiwick:certificate:list"],
            "Condition":{"StringEquals":{"bailiwick:ClusterId":["test"]}}}]}"#;
        attach(&world, "ann", only_test).await;
        let call = world.call_of(&ann).await;
        for cluster in ["prod", "prod", "test", "prod", "test", "prod", "prod"] {
            world.clock.advance_seconds(1);
            let wanted = wanted(Holder::Caller, Lifetime::Lasting);
            service.issue_certificate(root, cluster, wanted).await.unwrap();
        }
        for limit in [1, 2, 3] {
            let mut request = PageRequest { limit: Some(limit), cursor: None };
            let mut seen = Vec::new();
            loop {
                let page = service.list_certificates(&call, None, None, &request).await.unwrap();
                seen.extend(page.items.into_iter().map(|issued| issued.cluster_name));
                match page.next {
                    Some(next) => request.cursor = Some(next),
                    None => break,
                }
            }
            assert_eq!(seen, ["test", "test"], "{limit} {}", world.on());
        }
        let refused = service.list_certificates(&call, Some("prod"), None, &PageRequest::default()).await;
        assert_refused("of another cluster", refused);
        let of_prod =
            service.list_certificates(root, Some("prod"), None, &PageRequest::default()).await.unwrap();
        assert_eq!(of_prod.items.len(), 5);
    }
}
