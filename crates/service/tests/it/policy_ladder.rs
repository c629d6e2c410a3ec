//! No ladder: who may attach, change or detach policies does not become whom they like. Each rung as somebody who has only
//! the action that it takes.

use domain::{Error, ErrorKind, Principal, PrincipalKind, Result};
use service::Call;
use service::policies::{Becomes, PolicyUpdate, WhichPrincipal, WhichScope};

use crate::world::{World, allow, deny, worlds};

const EVERYTHING: &[&str] = &["*"];

fn of(principal: &Principal) -> WhichPrincipal<'_> {
    WhichPrincipal { kind: principal.kind, which: principal.id.as_str().into() }
}

fn forbidden<T>(outcome: Result<T>) -> Error {
    match outcome {
        Ok(_) => panic!("it was let through"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
            error
        }
    }
}

/// Somebody who may do that, and nothing else.
async fn only(world: &World, name: &str, action: &str) -> (Principal, Call) {
    let user = world.user(name).await;
    world.give(&user, &allow(&[action])).await;
    let call = world.call_of(&user).await;
    (user, call)
}

#[tokio::test]
async fn nobody_attaches_what_they_do_not_have_to_themselves_or_others() {
    for world in worlds().await {
        let service = &world.service;
        let (mia, call) = only(&world, "mia", "bailiwick:policy:attach").await;
        let bob = world.user("bob").await;
        let group = world.principal(PrincipalKind::Group, "group").await;
        let agency = world.principal(PrincipalKind::Agency, "agency").await;
        for document in
            [allow(EVERYTHING), allow(&["bailiwick:policy:*"]), allow(&["x:users:attach", "x:y:z"])]
        {
            let policy = world.policy(&document).await;
            for to in [&mia, &bob, &group, &agency] {
                let attached =
                    service.attach_policy(&call, policy.as_str(), of(to), WhichScope::Account).await;
                let error = forbidden(attached);
                assert!(error.message().contains("nobody gives"), "{}: {error}", world.on());
            }
        }
        let refused = service.attach_policy(&call, "Reader", of(&mia), WhichScope::Account).await;
        forbidden(refused);
        let same = world.policy(&allow(&["bailiwick:policy:attach"])).await;
        service.attach_policy(&call, same.as_str(), of(&bob), WhichScope::Account).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_attaches_anything_to_somebody_who_has_more() {
    for world in worlds().await {
        let service = &world.service;
        let (_, call) = only(&world, "mia", "bailiwick:policy:attach").await;
        let above = world.user("above").await;
        world.give(&above, &allow(&["bailiwick:cluster:*"])).await;
        let admin = world.user("boss").await;
        service.add_member(&world.root, "administrators", "boss").await.unwrap();
        let root = service
            .show_principal(&world.root, PrincipalKind::User, world.root.caller.principal.as_str())
            .await
            .unwrap();
        let granted = world.user("granted").await;
        world.cluster("c").await;
        service.create_grant(&world.root, crate::world::spec(&["granted"], &["c"], &[])).await.unwrap();
        let administrators =
            service.show_principal(&world.root, PrincipalKind::Group, "administrators").await.unwrap();
        let harmless = world.policy(&deny(&["x:y:z"])).await;
        for to in [&above, &admin, &root, &granted, &administrators] {
            let attached = service.attach_policy(&call, harmless.as_str(), of(to), WhichScope::Account).await;
            forbidden(attached);
        }
        let admins = world.call_of(&admin).await;
        let to_root = service.attach_policy(&admins, harmless.as_str(), of(&root), WhichScope::Account).await;
        assert!(forbidden(to_root).message().contains("root"), "{}", world.on());
    }
}

#[tokio::test]
async fn nobody_makes_a_policy_that_is_held_say_more_than_they_may_do() {
    for world in worlds().await {
        let service = &world.service;
        let mia = world.user("mia").await;
        let policy = world.give(&mia, &allow(&["bailiwick:policy:update"])).await;
        let call = world.call_of(&mia).await;
        let more = allow(&["bailiwick:policy:update", "bailiwick:grant:create"]);
        let update = PolicyUpdate { document: Some(more.clone()), ..PolicyUpdate::default() };
        forbidden(service.update_policy(&call, policy.as_str(), update).await);
        forbidden(service.create_policy_version(&call, policy.as_str(), &more, Becomes::Default).await);
        let spare =
            service.create_policy_version(&call, policy.as_str(), &more, Becomes::Spare).await.unwrap();
        forbidden(service.set_default_policy_version(&call, policy.as_str(), spare.version).await);
        let same = allow(&["bailiwick:policy:update"]);
        let version = service.create_policy_version(&call, policy.as_str(), &same, Becomes::Default).await;
        assert!(version.unwrap().is_default, "{}", world.on());
        // Somebody above holds the policy as well: whatever it says, it is theirs.
        let above = world.user("above").await;
        world.give(&above, &allow(&["bailiwick:grant:*"])).await;
        service.attach_policy(&world.root, policy.as_str(), of(&above), WhichScope::Account).await.unwrap();
        forbidden(service.set_default_policy_version(&world.call_of(&mia).await, policy.as_str(), 1).await);
    }
}

#[tokio::test]
async fn nobody_ends_what_denies_but_an_administrator_whom_it_does_not_bind() {
    for world in worlds().await {
        let service = &world.service;
        let (mia, _) = only(&world, "mia", "bailiwick:policy:detach").await;
        let denying = world.give(&mia, &deny(&["bailiwick:cluster:*"])).await;
        let call = world.call_of(&mia).await;
        let detached = service.detach_policy(&call, denying.as_str(), of(&mia), WhichScope::Account).await;
        assert!(forbidden(detached).message().contains("denies"), "{}", world.on());
        let (_, call) = only(&world, "eve", "bailiwick:policy:update").await;
        let update = PolicyUpdate { document: Some(deny(&["x:y:z"])), ..PolicyUpdate::default() };
        forbidden(service.update_policy(&call, denying.as_str(), update.clone()).await);
        let admin = world.user("boss").await;
        service.add_member(&world.root, "administrators", "boss").await.unwrap();
        let group = world.principal(PrincipalKind::Group, "bound").await;
        service.add_member(&world.root, "bound", "boss").await.unwrap();
        service.attach_policy(&world.root, denying.as_str(), of(&group), WhichScope::Account).await.unwrap();
        let call = world.call_of(&admin).await;
        let bound = service.detach_policy(&call, denying.as_str(), of(&group), WhichScope::Account).await;
        forbidden(bound);
        forbidden(service.update_policy(&call, denying.as_str(), update).await);
        service.detach_policy(&world.root, denying.as_str(), of(&group), WhichScope::Account).await.unwrap();
        let call = world.call_of(&admin).await;
        service.detach_policy(&call, denying.as_str(), of(&mia), WhichScope::Account).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_takes_from_somebody_who_has_more() {
    for world in worlds().await {
        let service = &world.service;
        let (_, call) = only(&world, "mia", "bailiwick:policy:detach").await;
        let above = world.user("above").await;
        let policy = world.give(&above, &allow(&["bailiwick:cluster:*"])).await;
        let taken = service.detach_policy(&call, policy.as_str(), of(&above), WhichScope::Account).await;
        forbidden(taken);
        let page = service::PageRequest::default();
        let held = service.list_attached_policies(&world.root, of(&above), &page).await.unwrap();
        assert_eq!(held.items.len(), 1, "{}", world.on());
    }
}

#[tokio::test]
async fn rights_in_a_part_of_the_account_are_not_given_in_all_of_it() {
    for world in worlds().await {
        let service = &world.service;
        service.create_project(&world.root, None, "east").await.unwrap();
        service.create_project(&world.root, None, "west").await.unwrap();
        let (mia, _) = only(&world, "mia", "bailiwick:policy:attach").await;
        let policy = world.give_in(&mia, &allow(&["bailiwick:cluster:*"]), WhichScope::Project("east")).await;
        let bob = world.user("bob").await;
        let call = world.call_of(&mia).await;
        for scope in [WhichScope::Account, WhichScope::Project("west")] {
            forbidden(service.attach_policy(&call, policy.as_str(), of(&bob), scope).await);
        }
        let scope = WhichScope::Project("east");
        service.attach_policy(&call, policy.as_str(), of(&bob), scope).await.unwrap();
    }
}

#[tokio::test]
async fn a_policy_may_name_whom_others_may_be_given_policies_or_which() {
    for world in worlds().await {
        let service = &world.service;
        let (bob, carl) = (world.user("bob").await, world.user("carl").await);
        let mia = world.user("mia").await;
        let account = &world.root.caller.account;
        let to_bob = format!(
            r#"{{"Version":"5.0","Statement":[{{"Effect":"Allow","Action":["x:users:attach"],"Resource":["x::{account}:user:bob"]}}]}}"#
        );
        world.give(&mia, &to_bob).await;
        let call = world.call_of(&mia).await;
        let policy = world.policy(&deny(&["x:y:z"])).await;
        forbidden(service.attach_policy(&call, policy.as_str(), of(&carl), WhichScope::Account).await);
        service.attach_policy(&call, policy.as_str(), of(&bob), WhichScope::Account).await.unwrap();
        // A policy of that name is not the user of that name.
        let update = PolicyUpdate { name: Some("bob".into()), ..PolicyUpdate::default() };
        service.update_policy(&world.root, policy.as_str(), update).await.unwrap();
        forbidden(service.attach_policy(&call, "bob", of(&carl), WhichScope::Account).await);
        world.give(&mia, &to_bob.replace("Allow", "Deny")).await;
        let call = world.call_of(&mia).await;
        forbidden(service.attach_policy(&call, "bob", of(&bob), WhichScope::Account).await);
    }
}
