//! Pod identity associations: who may make them, what they are tied to, and what ends them.

use std::sync::Arc;

use domain::{ErrorKind, Principal, PrincipalKind, Result};
use service::clusters::certificates::WhichCluster;
use service::pod_identity::associations::{AssociationFilter, AssociationView, NewAssociation, VendedBefore};
use service::{
    AgencyUpdate, Call, NewCluster, Origin, PageRequest, PrincipalUpdate, Quotas, Removal, SignedRequest,
    Which,
};

use crate::world::{World, allow, new_principal, statement, worlds, worlds_with};

const ONE: WhichCluster<'_> = WhichCluster::IdOrName("one");
const ALL: &[&str] = &["bailiwick:podIdentity:*", "bailiwick:agency:pass"];

fn new<'a>(service_account: &'a str, agency: &'a str) -> NewAssociation<'a> {
    NewAssociation { namespace: "shop", service_account, agency: Which::from(agency), tags: Vec::new() }
}

fn tagged<'a>(service_account: &'a str, team: &str) -> NewAssociation<'a> {
    NewAssociation { tags: vec![("team".to_owned(), team.to_owned())], ..new(service_account, "writer") }
}

async fn prepared() -> Vec<World> {
    let worlds = worlds().await;
    for world in &worlds {
        world.cluster("one").await;
        world.principal(PrincipalKind::Agency, "writer").await;
        world.principal(PrincipalKind::Agency, "reader").await;
    }
    worlds
}

async fn somebody(world: &World, id: &str, document: &str) -> Call {
    let user = world.user(id).await;
    world.give(&user, document).await;
    world.call_of(&user).await
}

async fn make(world: &World, call: &Call, wanted: NewAssociation<'_>) -> Result<AssociationView> {
    world.service.create_association(call, ONE, wanted).await
}

async fn accounts_in(world: &World, call: &Call) -> Vec<String> {
    let listed = world.service.list_associations(call, ONE, AssociationFilter::default()).await.unwrap();
    listed.iter().map(|view| view.association.service_account.to_string()).collect()
}

fn kind<T>(outcome: Result<T>) -> ErrorKind {
    outcome.map(drop).unwrap_err().kind()
}

fn field<T>(outcome: Result<T>) -> Option<String> {
    outcome.map(drop).unwrap_err().field().map(str::to_owned)
}

#[tokio::test]
async fn an_association_is_made_shown_changed_and_deleted() {
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        let made = make(&world, root, tagged("cart", "a")).await.unwrap();
        let id = made.association.id.as_str();
        assert_eq!((made.agency_name.as_str(), made.association.epoch), ("writer", 1));
        assert_eq!(service.show_association(root, ONE, id).await.unwrap(), made, "{}", world.on());
        world.clock.advance_seconds(5);
        let changed = service
            .update_association(root, ONE, id, Which::from("reader"), VendedBefore::GoesOn)
            .await
            .unwrap();
        assert_eq!((changed.agency_name.as_str(), changed.association.epoch), ("reader", 2));
        assert!(changed.association.modified_at > changed.association.created_at);
        assert_eq!(service.show_association(root, ONE, id).await.unwrap(), changed);
        let same = service
            .update_association(root, ONE, id, Which::from("reader"), VendedBefore::GoesOn)
            .await
            .unwrap();
        assert_eq!(same.association.epoch, 2, "nothing changed");
        service.delete_association(root, ONE, id).await.unwrap();
        assert_eq!(kind(service.show_association(root, ONE, id).await), ErrorKind::NotFound);
        assert_eq!(kind(service.delete_association(root, ONE, id).await), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_service_account_has_one_association_and_a_cluster_no_more_than_its_quota() {
    for world in worlds_with(Quotas { associations_per_cluster: 2, ..Quotas::default() }).await {
        world.cluster("one").await;
        world.cluster("two").await;
        world.principal(PrincipalKind::Agency, "writer").await;
        let root = &world.root;
        let made = make(&world, root, new("cart", "writer")).await.unwrap();
        assert_eq!(kind(make(&world, root, new("cart", "writer")).await), ErrorKind::Conflict);
        make(&world, root, new("till", "writer")).await.unwrap();
        let error = make(&world, root, new("third", "writer")).await.unwrap_err();
        assert!(error.message().contains("at most 2"), "{error}");
        let elsewhere = WhichCluster::Id("two");
        world.service.create_association(root, elsewhere, new("cart", "writer")).await.unwrap();
        world.service.delete_association(root, ONE, made.association.id.as_str()).await.unwrap();
        make(&world, root, new("cart", "writer")).await.unwrap();
    }
}

#[tokio::test]
async fn of_many_who_make_the_same_association_at_once_one_does() {
    for world in prepared().await {
        let makes = (0..8).map(|_| make(&world, &world.root, new("cart", "writer")));
        let done = futures::future::join_all(makes).await;
        assert_eq!(done.iter().filter(|made| made.is_ok()).count(), 1, "{}", world.on());
    }
}

#[tokio::test]
async fn clusters_and_agencies_of_others_are_as_if_they_were_not() {
    for world in prepared().await {
        let (service, stranger) = (&world.service, &world.stranger);
        let made = make(&world, &world.root, new("cart", "writer")).await.unwrap();
        let id = made.association.id.as_str();
        let own = NewCluster { id: Some("theirs".into()), name: "theirs".into(), ..NewCluster::default() };
        service.create_cluster(stranger, own).await.unwrap();
        service
            .create_principal(stranger, new_principal(PrincipalKind::Agency, Some("foreign"), "foreign"))
            .await
            .unwrap();
        for cluster in ["one", "never"] {
            let which = WhichCluster::Id(cluster);
            let error =
                service.list_associations(stranger, which, AssociationFilter::default()).await.unwrap_err();
            assert_eq!(error.to_string(), format!("cluster `{cluster}` does not exist"), "{}", world.on());
            assert_eq!(kind(service.show_association(stranger, which, id).await), ErrorKind::NotFound);
            assert_eq!(kind(service.delete_association(stranger, which, id).await), ErrorKind::NotFound);
        }
        // In a cluster of one's own, the id of another account's association is none either.
        let theirs = WhichCluster::Id("theirs");
        assert_eq!(kind(service.show_association(stranger, theirs, id).await), ErrorKind::NotFound);
        for agency in ["foreign", "never"] {
            let error = make(&world, &world.root, new("till", agency)).await.unwrap_err();
            assert_eq!(error.to_string(), format!("`agency` names no agency of the account: `{agency}`"));
        }
        // And within the account, a cluster is found in its own project only.
        let project = made.association.cluster.as_str();
        let elsewhere = WhichCluster::InProject { project, id: "one" };
        assert_eq!(kind(service.show_association(&world.root, elsewhere, id).await), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn making_an_association_and_changing_its_agency_take_the_right_to_pass_that_agency() {
    for world in prepared().await {
        let service = &world.service;
        let without = somebody(&world, "without", &allow(&["bailiwick:podIdentity:*"])).await;
        let limited = r#"{"Version":"5.0","Statement":[
            {"Effect":"Allow","Action":["bailiwick:podIdentity:*"],"Resource":["*"]},
            {"Effect":"Allow","Action":["bailiwick:agency:pass"],"Resource":["bailiwick:*:*:agency:writer"]}]}"#;
        let writers = somebody(&world, "writers", limited).await;
        let error = make(&world, &without, new("cart", "writer")).await.unwrap_err();
        assert!(error.message().contains("bailiwick:agency:pass"), "{error}");
        let made = make(&world, &writers, new("cart", "writer")).await.unwrap();
        for agency in ["reader", "never"] {
            assert_eq!(
                kind(make(&world, &writers, new("till", agency)).await),
                ErrorKind::Forbidden,
                "{agency}"
            );
        }
        let id = made.association.id.as_str();
        for call in [&without, &writers] {
            let changed =
                service.update_association(call, ONE, id, Which::from("reader"), VendedBefore::GoesOn).await;
            assert_eq!(kind(changed), ErrorKind::Forbidden, "{}", world.on());
        }
        let same =
            service.update_association(&without, ONE, id, Which::from("writer"), VendedBefore::GoesOn).await;
        assert_eq!(kind(same), ErrorKind::Forbidden, "even where nothing would change");
        assert_eq!(service.show_association(&world.root, ONE, id).await.unwrap(), made);
        service.delete_association(&without, ONE, id).await.unwrap();
    }
}

#[tokio::test]
async fn an_agency_that_gets_the_name_of_a_deleted_one_inherits_no_association() {
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        let made = make(&world, root, new("cart", "writer")).await.unwrap();
        let agency = PrincipalKind::Agency;
        let error = service.delete_principal(root, agency, "writer").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{}", world.on());
        assert!(error.message().contains("1 pod identity association"), "{error}");
        assert_eq!(accounts_in(&world, root).await, ["cart"]);
        let powerless = somebody(&world, "agencies", &allow(&["bailiwick:agency:delete"])).await;
        let forced = service.delete_agency_with_associations(&powerless, Which::from("writer")).await;
        assert_eq!(kind(forced), ErrorKind::Forbidden);
        service.delete_agency_with_associations(root, Which::from("writer")).await.unwrap();
        service.create_principal(root, new_principal(agency, None, "writer")).await.unwrap();
        assert!(accounts_in(&world, root).await.is_empty());
        let id = made.association.id.as_str();
        assert_eq!(kind(service.show_association(root, ONE, id).await), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn an_association_follows_its_agency_through_another_name() {
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        let made = make(&world, root, new("cart", "writer")).await.unwrap();
        let renamed = PrincipalUpdate { name: Some("scribe".into()), ..PrincipalUpdate::default() };
        service.update_agency(root, Which::from("writer"), renamed, AgencyUpdate::default()).await.unwrap();
        let shown = service.show_association(root, ONE, made.association.id.as_str()).await.unwrap();
        assert_eq!((shown.agency_name.as_str(), &shown.association), ("scribe", &made.association));
    }
}

#[tokio::test]
async fn associations_end_with_their_cluster() {
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        let made = make(&world, root, new("cart", "writer")).await.unwrap();
        service.delete_cluster(root, "one", Removal::Revoke).await.unwrap();
        let mut tx = world.store.read().await.unwrap();
        let found = tx.association(root.account(), made.association.id.as_str()).await.unwrap();
        assert_eq!(found, None, "{}", world.on());
        tx.end().await.unwrap();
        service.delete_principal(root, PrincipalKind::Agency, "writer").await.unwrap();
    }
}

#[tokio::test]
async fn a_list_shows_the_rows_that_its_reader_may_see() {
    for world in prepared().await {
        let root = &world.root;
        for (account, team) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
            make(&world, root, tagged(account, team)).await.unwrap();
        }
        make(&world, root, new("none", "writer")).await.unwrap();
        let list = &["bailiwick:podIdentity:list", "bailiwick:podIdentity:show"];
        for (id, condition, seen) in [
            ("of-a", r#"{"StringEquals":{"bailiwick:ResourceTag/team":["a"]}}"#, &["a1", "a2"][..]),
            ("not-a", r#"{"StringNotEquals":{"bailiwick:ResourceTag/team":["a"]}}"#, &["b1", "none"]),
            (
                "if-a",
                r#"{"StringEqualsIfExists":{"bailiwick:ResourceTag/team":["a"]}}"#,
                &["a1", "a2", "none"],
            ),
            ("here", r#"{"StringEquals":{"bailiwick:ClusterId":["one"]}}"#, &["a1", "a2", "b1", "none"]),
        ] {
            let call = somebody(&world, id, &statement("Allow", list, condition)).await;
            assert_eq!(accounts_in(&world, &call).await, seen, "{} {id}", world.on());
        }
        let elsewhere = r#"{"StringEquals":{"bailiwick:ClusterId":["two"]}}"#;
        let call = somebody(&world, "elsewhere", &statement("Allow", list, elsewhere)).await;
        let listed = world.service.list_associations(&call, ONE, AssociationFilter::default()).await;
        assert_eq!(kind(listed), ErrorKind::Forbidden);
    }
}

#[tokio::test]
async fn tags_that_are_wanted_can_be_asked_for_by_conditions() {
    for world in prepared().await {
        let condition = r#"{"StringEquals":{"bailiwick:RequestTag/team":["a"]},
            "ForAllValues:StringEquals":{"bailiwick:TagKeys":["team"]}}"#;
        let document = format!(
            r#"{{"Version":"5.0","Statement":[
                {{"Effect":"Allow","Action":["bailiwick:podIdentity:create"],"Resource":["*"],"Condition":{condition}}},
                {{"Effect":"Allow","Action":["bailiwick:agency:pass"],"Resource":["*"]}}]}}"#
        );
        let call = somebody(&world, "of-a", &document).await;
        make(&world, &call, tagged("a1", "a")).await.unwrap();
        assert_eq!(
            kind(make(&world, &call, tagged("b1", "b")).await),
            ErrorKind::Forbidden,
            "{}",
            world.on()
        );
        assert_eq!(kind(make(&world, &call, new("none", "writer")).await), ErrorKind::Forbidden);
        let mut two = tagged("two", "a");
        two.tags.push(("more".into(), String::new()));
        assert_eq!(kind(make(&world, &call, two).await), ErrorKind::Forbidden);
    }
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_its_name_and_changes_nothing() {
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        let wrong = |namespace: &'static str, account: &'static str| NewAssociation {
            namespace,
            ..new(account, "writer")
        };
        assert_eq!(field(make(&world, root, wrong("Shop", "cart")).await).as_deref(), Some("namespace"));
        assert_eq!(field(make(&world, root, wrong("*", "cart")).await).as_deref(), Some("namespace"));
        assert_eq!(field(make(&world, root, wrong("shop", "*")).await).as_deref(), Some("serviceAccount"));
        let twice = NewAssociation {
            tags: vec![("k".into(), "1".into()), ("k".into(), "2".into())],
            ..new("cart", "writer")
        };
        assert_eq!(field(make(&world, root, twice).await).as_deref(), Some("tags[1].key"));
        assert!(accounts_in(&world, root).await.is_empty());
        let page = PageRequest { limit: Some(0), cursor: None };
        let paged = service.page_associations(root, ONE, AssociationFilter::default(), &page).await;
        assert_eq!(field(paged).as_deref(), Some("limit"));
    }
}

#[tokio::test]
async fn a_signed_request_that_comes_again_gives_the_first_association_while_it_is_as_it_was_left() {
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        let signed = |n: u8, sent: u8| {
            let signed = Some(SignedRequest::new("AK", &[n], service.now().plus_seconds(900)));
            let origin = Origin { request_id: Arc::from(format!("{n}-{sent}")), ..root.origin.clone() };
            Call { signed, origin, ..root.clone() }
        };
        let first = make(&world, &signed(1, 1), new("cart", "writer")).await.unwrap();
        assert_eq!(
            make(&world, &signed(1, 2), new("cart", "writer")).await.unwrap(),
            first,
            "{}",
            world.on()
        );
        let id = first.association.id.as_str();
        let update = |sent| {
            let call = signed(2, sent);
            async move {
                service.update_association(&call, ONE, id, Which::from("reader"), VendedBefore::GoesOn).await
            }
        };
        let changed = update(1).await.unwrap();
        assert_eq!(update(2).await.unwrap(), changed);
        assert_eq!(kind(make(&world, &signed(1, 3), new("cart", "writer")).await), ErrorKind::Conflict);
        service.delete_association(&signed(3, 1), ONE, id).await.unwrap();
        service.delete_association(&signed(3, 2), ONE, id).await.unwrap();
        assert_eq!(kind(make(&world, &signed(1, 4), new("cart", "writer")).await), ErrorKind::Conflict);
        assert!(accounts_in(&world, root).await.is_empty());
    }
}

fn trust(statements: &str) -> AgencyUpdate {
    let document = format!(r#"{{"Version":"5.0","Statement":[{statements}]}}"#);
    AgencyUpdate { trust_policy: Some(Some(document)), ..AgencyUpdate::default() }
}

#[tokio::test]
async fn an_agency_whose_trust_speaks_of_pods_is_given_to_those_alone() {
    const PODS: &str = r#""Principal":{"Service":["bailiwick.pods"]}"#;
    const ASSUME: &str = r#""Action":["bailiwick:agency:assume"]"#;
    let when = |effect: &str, condition: &str| {
        format!(r#"{{"Effect":"{effect}",{ASSUME},{PODS},"Condition":{{"StringEquals":{condition}}}}}"#)
    };
    let others =
        format!(r#"{{"Effect":"Allow",{ASSUME},"Principal":{{"IAM":["acc"],"Service":["other"]}}}}"#);
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        for (case, statements, taken) in [
            ("nothing about pods", others.clone(), true),
            ("this namespace", when("Allow", r#"{"bailiwick:Namespace":["shop"]}"#), true),
            ("another namespace", when("Allow", r#"{"bailiwick:Namespace":["bank"]}"#), false),
            ("this account", when("Allow", r#"{"bailiwick:ServiceAccount":["cart"]}"#), true),
            ("another account", when("Allow", r#"{"bailiwick:ServiceAccount":["till"]}"#), false),
            ("this cluster", when("Allow", r#"{"bailiwick:ClusterId":["one"]}"#), true),
            ("it by its other name", when("Allow", r#"{"x:ClusterId":["one"]}"#), true),
            ("another cluster", when("Allow", r#"{"x:ClusterId":["two"]}"#), false),
            ("whom nobody knows", when("Allow", r#"{"bailiwick:PrincipalName":["ada"]}"#), false),
            ("denied here", when("Deny", r#"{"bailiwick:Namespace":["shop"]}"#), false),
            ("denied elsewhere", when("Deny", r#"{"bailiwick:Namespace":["bank"]}"#), true),
            ("denied by somebody's name", when("Deny", r#"{"bailiwick:PrincipalName":["ada"]}"#), false),
            (
                "all but people denied",
                format!(r#"{{"Effect":"Deny",{ASSUME},"NotPrincipal":{{"IAM":["acc"]}}}}"#),
                false,
            ),
            ("another action", format!(r#"{{"Effect":"Allow","Action":["sts:tag:session"],{PODS}}}"#), false),
        ] {
            let change = trust(&statements);
            let writer = Which::from("writer");
            service.update_agency(root, writer, PrincipalUpdate::default(), change).await.unwrap();
            let made = make(&world, root, new("cart", "writer")).await;
            assert_eq!(made.is_ok(), taken, "{} {case}", world.on());
            match made {
                Ok(made) => {
                    service.delete_association(root, ONE, made.association.id.as_str()).await.unwrap();
                }
                Err(error) => assert!(error.message().contains("trust policy"), "{case}: {error}"),
            }
        }
        let made = make(&world, root, new("cart", "reader")).await.unwrap();
        let id = made.association.id.as_str();
        assert_eq!(
            kind(
                service.update_association(root, ONE, id, Which::from("writer"), VendedBefore::GoesOn).await
            ),
            ErrorKind::Conflict
        );
        assert_eq!(service.show_association(root, ONE, id).await.unwrap(), made);
    }
}

#[tokio::test]
async fn whoever_makes_nobody_else_pass_an_agency_must_be_able_to_pass_it() {
    for world in prepared().await {
        let giver = world.user("giver").await;
        world
            .give(&giver, &allow(&["bailiwick:policy:*", "bailiwick:podIdentity:*", "bailiwick:user:*"]))
            .await;
        let call = world.call_of(&giver).await;
        let friend: Principal = world.user("friend").await;
        let policy = world.policy(&allow(ALL)).await;
        let to = service::policies::WhichPrincipal { kind: friend.kind, which: friend.id.as_str().into() };
        let scope = service::policies::WhichScope::Account;
        let given = world.service.attach_policy(&call, policy.as_str(), to, scope).await;
        assert_eq!(kind(given), ErrorKind::Forbidden, "{}", world.on());
    }
}
