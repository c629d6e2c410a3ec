//! What ends credentials of pods before their time: another agency where that is wanted, another cluster, and the end of the
//! agency, whoever gets its name.

use domain::PrincipalKind;
use service::IfOther;
use service::clusters::rotation::Outcome;
use service::pod_identity::Tried;
use service::pod_identity::agents::Others;
use service::pod_identity::associations::{AssociationFilter, VendedBefore};

use super::*;
use crate::world::{allow, new_principal};

const ONE: WhichCluster<'static> = WhichCluster::Id("one");

/// Whether signatures with what was vended are looked at.
async fn is_good(server: &Service, vended: &Vended) -> bool {
    server.follow_revisions().await.unwrap();
    server.signing_key(vended.key.id.as_str()).await.unwrap().is_some()
}

#[tokio::test]
async fn another_agency_ends_what_was_vended_before_only_where_that_is_wanted() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        world.principal(PrincipalKind::Agency, "reader").await;
        let all = AssociationFilter::default();
        let id = service.list_associations(root, ONE, all).await.unwrap()[0].association.id.to_string();
        let first = vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
        let update = |agency, before| service.update_association(root, ONE, &id, Which::from(agency), before);
        update("reader", VendedBefore::GoesOn).await.unwrap();
        assert!(is_good(&server, &first).await, "{}", world.on());
        let second = vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
        assert_eq!(second.agency_name, "reader");
        // Also where the agency stays.
        let changed = update("reader", VendedBefore::Ends).await.unwrap();
        assert_eq!(changed.association.epoch, 3, "agents hand out nothing older");
        assert!(!is_good(&server, &first).await && !is_good(&server, &second).await);
        let third = vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
        assert!(is_good(&server, &third).await);
    }
}

#[tokio::test]
async fn what_was_vended_and_the_agents_keys_end_when_their_cluster_is_replaced() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let vended = vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
        let agents = service.issue_agent_keys(root, "one", Others::EndInAnHour).await.unwrap();
        let found = ClusterIdentity { uid: Some("u1".into()), keys: key.set().thumbprints() };
        let id = domain::ClusterId::stored("one");
        assert!(service.fleet_identified(&id, 1, &found).await.unwrap());
        world.api_servers.put(&address(2), "u2", &["other"]);
        let replaced = service.rotate_connection(root, "one", &kubeconfig(2, "two"), IfOther::Replace).await;
        assert!(matches!(replaced.unwrap().outcome, Outcome::Replaced(_)), "{}", world.on());
        assert!(!is_good(&server, &vended).await);
        for key in [&agents.node, &agents.keeper] {
            assert!(service.signing_key(key.key.id.as_str()).await.unwrap().is_none());
        }
        service.resume_cluster(root, "one").await.unwrap();
        assert!(!is_good(&server, &vended).await, "what ended stays ended");
        let again = service.issue_agent_keys(root, "one", Others::EndInAnHour).await.unwrap();
        assert_eq!(again.node.agent, agents.node.agent);
    }
}

#[tokio::test]
async fn pods_are_given_nothing_of_an_agency_that_got_the_name_of_a_deleted_one() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let vended = vend(&world, &server, &key.token(&world, Some("p1"))).await.unwrap();
        service.delete_agency_with_associations(root, Which::from("writer")).await.unwrap();
        service.create_principal(root, new_principal(PrincipalKind::Agency, None, "writer")).await.unwrap();
        assert!(!is_good(&server, &vended).await, "{}", world.on());
        let refused = vend(&world, &server, &key.token(&world, Some("p1"))).await;
        assert_eq!(refusal(refused), (ErrorKind::Forbidden, Some("no-association")));
        let told =
            "SELECT COUNT(*) FROM audit_events WHERE action = 'bailiwick:podIdentity:delete' AND resource = ";
        let resource = format!("{told}'podidentityassociation/{}'", vended.association.id);
        assert_eq!(store::testing::number(&world.store, &resource).await, 1);
    }
}

#[tokio::test]
async fn associations_that_end_with_their_cluster_are_told_each() {
    for world in worlds().await {
        let key = Key::new("k1");
        vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        world.service.delete_cluster(&world.root, "one", service::Removal::Abandon).await.unwrap();
        let told = "SELECT COUNT(*) FROM audit_events WHERE action = 'bailiwick:podIdentity:delete'";
        assert_eq!(store::testing::number(&world.store, told).await, 1, "{}", world.on());
    }
}

#[tokio::test]
async fn a_trial_names_the_agency_to_those_who_may_see_the_association() {
    for world in worlds().await {
        let key = Key::new("k1");
        let server = vending(&world, &key, Cluster::new(&key), Settings::default()).await;
        let tried = Tried { namespace: "shop".into(), service_account: "web".into(), pod: None };
        let test = "bailiwick:podIdentity:test";
        for (user, held, seen) in [
            ("tester", vec![test], None),
            ("shower", vec![test, "bailiwick:podIdentity:show"], Some("writer")),
            ("lister", vec![test, "bailiwick:podIdentity:list"], Some("writer")),
        ] {
            let user = world.user(user).await;
            world.give(&user, &allow(&held)).await;
            let call = world.call_of(&user).await;
            let trial = server.try_vending(&call, ONE, &tried).await.unwrap();
            assert_eq!((trial.agency.as_deref(), trial.refusal), (seen, None), "{}: {held:?}", world.on());
        }
    }
}
