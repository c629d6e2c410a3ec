//! Agents of pod identity: what their keys may do, how they are replaced, and what the agents are told.

use std::sync::Arc;
use std::time::Duration;

use domain::{ErrorKind, PrincipalKind, Result};
use podidentity::feed::Feed;
use service::clusters::certificates::{ForOthers, Foreign, Holder, Lifetime, Wanted, WhichCluster};
use service::pod_identity::agents::{AgentKey, AgentKeys, Others};
use service::pod_identity::associations::{AssociationFilter, AssociationView, NewAssociation, VendedBefore};
use service::policies::{WhichPrincipal, WhichScope};
use service::sessions::revocation::Afterwards;
use service::{Assumption, Call, PageRequest, PodIdentity, Removal, Service, Settings, Which};

use crate::world::{World, allow, origin, spec, worlds};

const NOW: Duration = Duration::ZERO;
const HOUR: i64 = 3600;

async fn prepared() -> Vec<World> {
    let worlds = worlds().await;
    for world in &worlds {
        world.cluster("one").await;
        world.cluster("two").await;
        world.principal(PrincipalKind::Agency, "writer").await;
        world.principal(PrincipalKind::Agency, "reader").await;
    }
    worlds
}

/// The caller that a signature with that key makes, if it makes one.
async fn caller(service: &Service, key: &AgentKey) -> Option<Call> {
    let found = service.signing_key(key.key.id.as_str()).await.unwrap()?;
    Some(Call { caller: Arc::clone(&found.caller), project: None, origin: origin(), signed: None })
}

async fn agent_of(world: &World, cluster: &str) -> (AgentKey, Call) {
    let key = issue(world, cluster).await.node;
    let call = caller(&world.service, &key).await.unwrap();
    (key, call)
}

async fn issue(world: &World, cluster: &str) -> AgentKeys {
    world.service.issue_agent_keys(&world.root, cluster, Others::EndInAnHour).await.unwrap()
}

/// What the keeper who signs with that key gets for asking for another.
async fn renew(service: &Service, key: &AgentKey) -> Result<AgentKeys> {
    let call = caller(service, key).await.unwrap();
    service.renew_agent_keys(&call, "one").await
}

/// A signature with that key was seen.
async fn sign(service: &Service, key: &AgentKey) {
    let call = caller(service, key).await.unwrap();
    service.note_key_use(key.key.id.as_str(), &call.caller);
}

async fn associate(world: &World, account: &str) -> AssociationView {
    let which = WhichCluster::Id("one");
    let agency = Which::from("writer");
    let new = NewAssociation { namespace: "shop", service_account: account, agency, tags: Vec::new() };
    world.service.create_association(&world.root, which, new).await.unwrap()
}

async fn end(world: &World, view: &AssociationView) {
    let id = view.association.id.as_str();
    world.service.delete_association(&world.root, WhichCluster::Id("one"), id).await.unwrap();
}

fn kind<T>(outcome: Result<T>) -> ErrorKind {
    outcome.map(drop).unwrap_err().kind()
}

fn names(feed: &Feed) -> Vec<(&str, i64)> {
    feed.associations.iter().map(|known| (known.service_account.as_str(), known.epoch)).collect()
}

#[tokio::test]
async fn an_agents_key_is_good_for_its_own_cluster_and_for_nothing_else() {
    for world in prepared().await {
        let service = &world.service;
        let (_, agent) = agent_of(&world, "one").await;
        let feed = service.follow_pod_identity(&agent, "one", 0, NOW).await.unwrap();
        assert!(feed.complete, "{}", world.on());
        for cluster in ["two", "never"] {
            let followed = service.follow_pod_identity(&agent, cluster, 0, NOW).await;
            assert_eq!(kind(followed), ErrorKind::Forbidden, "{cluster}");
            assert_eq!(
                kind(service.renew_agent_keys(&agent, cluster).await),
                ErrorKind::Forbidden,
                "{cluster}"
            );
        }
        let one = WhichCluster::Id("one");
        let all = AssociationFilter::default();
        assert_eq!(kind(service.list_associations(&agent, one, all).await), ErrorKind::Forbidden);
        assert_eq!(kind(service.issue_agent_keys(&agent, "one", Others::EndNow).await), ErrorKind::Forbidden);
        assert_eq!(kind(service.end_agent(&agent, "one").await), ErrorKind::Forbidden);
        assert_eq!(kind(service.list_clusters(&agent).await), ErrorKind::Forbidden);
        assert_eq!(kind(service.list_agencies(&agent, &PageRequest::default()).await), ErrorKind::Forbidden);
    }
}

#[tokio::test]
async fn whatever_an_agent_is_given_besides_it_stays_the_agent_of_its_cluster() {
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        let (key, _) = agent_of(&world, "one").await;
        let agent = key.agent.as_str();
        let everything = world.policy(&allow(&["*"])).await;
        let to = WhichPrincipal { kind: PrincipalKind::User, which: agent.into() };
        service.attach_policy(root, everything.as_str(), to, WhichScope::Account).await.unwrap();
        service.add_member(root, "administrators", agent).await.unwrap();
        service.create_grant(root, spec(&[agent], &["one", "two"], &[])).await.unwrap();
        let call = caller(service, &key).await.unwrap();
        for cluster in ["one", "two"] {
            let wanted = Wanted {
                holder: Holder::Caller,
                for_others: ForOthers::Administrators,
                lifetime: Lifetime::Lasting,
                foreign: Foreign::Refuse,
            };
            let issued = service.issue_certificate(&call, cluster, wanted).await;
            assert_eq!(kind(issued), ErrorKind::Forbidden, "{cluster}");
        }
        service.follow_pod_identity(&call, "one", 0, NOW).await.unwrap();
        assert_eq!(kind(service.follow_pod_identity(&call, "two", 0, NOW).await), ErrorKind::Forbidden);
        assert_eq!(kind(service.list_clusters(&call).await), ErrorKind::Forbidden, "{}", world.on());
        assert_eq!(kind(service.create_access_key(&call, agent, "").await), ErrorKind::Forbidden);
        // What it begins is no wider, also where it chooses limits of its own.
        let new = service.create_access_key(root, agent, "").await.unwrap();
        let second = service.signing_key(new.key.id.as_str()).await.unwrap().unwrap();
        let second = Call { caller: Arc::clone(&second.caller), ..call.clone() };
        assert_eq!(kind(service.list_clusters(&second).await), ErrorKind::Forbidden);
        let wish = Assumption { agency: "writer".into(), session_name: "s".into(), ..Assumption::default() };
        assert_eq!(kind(service.assume_agency(&second, &wish).await), ErrorKind::Forbidden);
    }
}

#[tokio::test]
async fn sessions_of_an_agent_stay_within_what_it_may() {
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        let (key, agent) = agent_of(&world, "one").await;
        let everything = world.policy(&allow(&["*"])).await;
        let to = WhichPrincipal { kind: PrincipalKind::User, which: key.agent.as_str().into() };
        service.attach_policy(root, everything.as_str(), to, WhichScope::Account).await.unwrap();
        for limits in [Vec::new(), vec![vec![allow(&["*"])]]] {
            let session = service.issue_temporary_key(&agent, 900, limits).await.unwrap();
            let found = service.signing_key(session.id.as_str()).await.unwrap().unwrap();
            let call = Call { caller: Arc::clone(&found.caller), ..agent.clone() };
            service.follow_pod_identity(&call, "one", 0, NOW).await.unwrap();
            assert_eq!(kind(service.follow_pod_identity(&call, "two", 0, NOW).await), ErrorKind::Forbidden);
            assert_eq!(kind(service.list_clusters(&call).await), ErrorKind::Forbidden, "{}", world.on());
        }
    }
}

#[tokio::test]
async fn nobody_gives_an_agent_a_password() {
    for world in prepared().await {
        let (key, _) = agent_of(&world, "one").await;
        let password = domain::Secret::new("Correct-horse-1".into());
        let set = world.service.set_password(&world.root, key.agent.as_str(), &password).await;
        assert_eq!(kind(set), ErrorKind::Conflict, "{}", world.on());
        let update = service::PrincipalUpdate { password: Some(password), ..Default::default() };
        let updated = world
            .service
            .update_principal(&world.root, PrincipalKind::User, key.agent.as_str(), update)
            .await;
        assert_eq!(kind(updated), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_keeper_follows_and_renews_and_does_nothing_else() {
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        let keys = issue(&world, "one").await;
        let everything = world.policy(&allow(&["*"])).await;
        let to = WhichPrincipal { kind: PrincipalKind::User, which: keys.keeper.agent.as_str().into() };
        service.attach_policy(root, everything.as_str(), to, WhichScope::Account).await.unwrap();
        service.add_member(root, "administrators", keys.keeper.agent.as_str()).await.unwrap();
        let keeper = caller(service, &keys.keeper).await.unwrap();
        service.follow_pod_identity(&keeper, "one", 0, NOW).await.unwrap();
        let vended = service.vend(&keeper, WhichCluster::Id("one"), "token").await;
        assert_eq!(kind(vended), ErrorKind::Forbidden, "{}", world.on());
        assert_eq!(kind(service.follow_pod_identity(&keeper, "two", 0, NOW).await), ErrorKind::Forbidden);
        assert_eq!(kind(service.renew_agent_keys(&keeper, "two").await), ErrorKind::Forbidden);
        assert_eq!(kind(service.list_clusters(&keeper).await), ErrorKind::Forbidden);
        let again = service.issue_agent_keys(&keeper, "one", Others::EndNow).await;
        assert_eq!(kind(again), ErrorKind::Forbidden);
        for somebody in [root.clone(), caller(service, &keys.node).await.unwrap()] {
            assert_eq!(kind(service.renew_agent_keys(&somebody, "one").await), ErrorKind::Forbidden);
        }
        // A session of its own is not its key.
        let session = service.issue_temporary_key(&keeper, 900, Vec::new()).await.unwrap();
        let found = service.signing_key(session.id.as_str()).await.unwrap().unwrap();
        let session = Call { caller: Arc::clone(&found.caller), ..keeper.clone() };
        assert_eq!(kind(service.renew_agent_keys(&session, "one").await), ErrorKind::Forbidden);
        assert!(renew(service, &keys.keeper).await.is_ok(), "whatever it was given, it does its work");
    }
}

#[tokio::test]
async fn renewed_keys_and_the_ones_before_overlap_for_an_hour() {
    for world in prepared().await {
        let service = &world.service;
        let first = issue(&world, "one").await;
        let second = renew(service, &first.keeper).await.unwrap();
        assert_eq!(second.node.agent, first.node.agent);
        assert_eq!((&second.keeper.agent, second.cluster.as_str()), (&first.keeper.agent, "one"));
        world.clock.advance_seconds(HOUR - 1);
        for key in [&first.node, &first.keeper, &second.node, &second.keeper] {
            assert!(caller(service, key).await.is_some(), "{}", world.on());
        }
        world.clock.advance_seconds(1);
        for key in [&first.node, &first.keeper] {
            assert!(caller(service, key).await.is_none());
        }
        let third = issue(&world, "one").await;
        assert_eq!(third.node.agent, first.node.agent, "the same agent has a new key");
        world.clock.advance_seconds(HOUR);
        assert!(caller(service, &second.node).await.is_none());
        assert!(caller(service, &third.node).await.is_some());
    }
}

#[tokio::test]
async fn a_replaced_key_renews_only_while_the_one_after_it_was_never_used() {
    for world in prepared().await {
        let service = &world.service;
        let first = issue(&world, "one").await;
        let lost = renew(service, &first.keeper).await.unwrap();
        world.clock.advance_seconds(60);
        let second = renew(service, &first.keeper).await.unwrap();
        assert!(caller(service, &lost.keeper).await.is_none(), "{}: nobody kept it", world.on());
        assert!(caller(service, &lost.node).await.is_none());
        for used in [&second.node, &second.keeper] {
            world.clock.advance_seconds(60);
            sign(service, used).await;
            let refused = renew(service, &first.keeper).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forbidden);
            assert!(refused.message().contains("was replaced"), "{refused}");
            // So it is on a server that only read of it.
            service.flush_key_use().await.unwrap();
            let other = world.another_server();
            assert_eq!(kind(renew(&other, &first.keeper).await), ErrorKind::Forbidden);
        }
        service.flush_audit().await.unwrap();
        let told = store::testing::number(
            &world.store,
            "SELECT COUNT(*) FROM audit_events WHERE resource = 'cluster/one/agent/replaced-key'",
        );
        assert!(told.await > 0, "{}", world.on());
        assert!(renew(service, &second.keeper).await.is_ok(), "the honest keeper goes on");
    }
}

#[tokio::test]
async fn keys_that_were_issued_are_not_ended_by_a_key_that_they_replaced() {
    for world in prepared().await {
        let service = &world.service;
        let first = issue(&world, "one").await;
        let second = issue(&world, "one").await;
        assert_eq!(kind(renew(service, &first.keeper).await), ErrorKind::Forbidden, "{}", world.on());
        assert!(caller(service, &second.node).await.is_some());
        // Nor does somebody who deletes the new ones give the old one that right back.
        let third = renew(service, &second.keeper).await.unwrap();
        service.delete_access_key(&world.root, third.keeper.key.id.as_str()).await.unwrap();
        world.clock.advance_seconds(60);
        assert_eq!(kind(renew(service, &second.keeper).await), ErrorKind::Forbidden);
    }
}

#[tokio::test]
async fn however_often_keys_are_renewed_those_in_use_stay() {
    for world in prepared().await {
        let service = &world.service;
        let mut keys = issue(&world, "one").await;
        let mine = caller(service, &keys.node).await.unwrap();
        let mut refused = 0;
        for _ in 0..12 {
            match renew(service, &keys.keeper).await {
                Ok(next) => {
                    assert_eq!(kind(renew(service, &next.keeper).await), ErrorKind::Limited, "at once again");
                    sign(service, &next.keeper).await;
                    keys = next;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Limited, "{error}");
                    refused += 1;
                }
            }
            world.clock.advance_seconds(60);
        }
        assert!(refused > 0, "{}", world.on());
        service.follow_pod_identity(&mine, "one", 0, NOW).await.unwrap();
        assert!(caller(service, &keys.keeper).await.is_some());
    }
}

#[tokio::test]
async fn keys_that_somebody_else_may_have_end_when_others_are_issued() {
    for world in prepared().await {
        let service = &world.service;
        let first = issue(&world, "one").await;
        let own = service.create_access_key(&world.root, first.node.agent.as_str(), "").await.unwrap();
        let second = service.issue_agent_keys(&world.root, "one", Others::EndNow).await.unwrap();
        for key in [&first.node, &first.keeper] {
            assert!(caller(service, key).await.is_none(), "{}", world.on());
        }
        assert!(service.signing_key(own.key.id.as_str()).await.unwrap().is_none());
        assert!(caller(service, &second.node).await.is_some());
        assert!(caller(service, &second.keeper).await.is_some());
    }
}

#[tokio::test]
async fn who_issues_keys_for_agents_must_hold_what_the_agents_may() {
    for world in prepared().await {
        let issuing = "bailiwick:podIdentity:issueAgentKey";
        let (vend, follow) = ("bailiwick:podIdentity:vend", "bailiwick:podIdentity:follow");
        for (user, held, allowed) in [
            ("issuer", vec![issuing], false),
            ("vendor", vec![issuing, vend], false),
            ("follower", vec![issuing, follow], false),
            ("holder", vec![issuing, vend, follow], true),
        ] {
            let user = world.user(user).await;
            world.give(&user, &allow(&held)).await;
            let call = world.call_of(&user).await;
            let issued = world.service.issue_agent_keys(&call, "one", Others::EndInAnHour).await;
            assert_eq!(issued.is_ok(), allowed, "{}: {held:?}", world.on());
        }
    }
}

#[tokio::test]
async fn an_agent_ends_with_its_user_its_revocation_or_its_cluster() {
    for world in prepared().await {
        let (service, root) = (&world.service, &world.root);
        let (key, _) = agent_of(&world, "one").await;
        service.end_agent(root, "one").await.unwrap();
        assert!(caller(service, &key).await.is_none(), "{}", world.on());
        assert_eq!(kind(service.end_agent(root, "one").await), ErrorKind::NotFound);

        let (key, _) = agent_of(&world, "one").await;
        service.delete_principal(root, PrincipalKind::User, key.agent.as_str()).await.unwrap();
        assert!(caller(service, &key).await.is_none());

        let (key, _) = agent_of(&world, "one").await;
        service.revoke_principal(root, None, key.agent.as_str(), Afterwards::Disabled).await.unwrap();
        assert!(caller(service, &key).await.is_none());
        let again = service.issue_agent_keys(root, "one", Others::EndNow).await;
        assert_eq!(kind(again), ErrorKind::Conflict, "a new key must not undo a revocation");

        let (key, _) = agent_of(&world, "two").await;
        service.delete_cluster(root, "two", Removal::Revoke).await.unwrap();
        assert!(caller(service, &key).await.is_none());
    }
}

#[tokio::test]
async fn an_agent_is_told_everything_first_and_then_what_changed() {
    for world in prepared().await {
        let service = &world.service;
        let (_, agent) = agent_of(&world, "one").await;
        let (cart, till) = (associate(&world, "cart").await, associate(&world, "till").await);
        let first = service.follow_pod_identity(&agent, "one", 0, NOW).await.unwrap();
        assert_eq!((first.complete, names(&first)), (true, vec![("cart", 1), ("till", 1)]), "{}", world.on());
        let nothing = service.follow_pod_identity(&agent, "one", first.revision, NOW).await.unwrap();
        assert_eq!((nothing.complete, names(&nothing), nothing.ended.len()), (false, vec![], 0));
        let id = cart.association.id.as_str();
        let one = WhichCluster::Id("one");
        service
            .update_association(&world.root, one, id, Which::from("reader"), VendedBefore::GoesOn)
            .await
            .unwrap();
        end(&world, &till).await;
        associate(&world, "new").await;
        let second = service.follow_pod_identity(&agent, "one", first.revision, NOW).await.unwrap();
        assert_eq!((second.complete, names(&second)), (false, vec![("cart", 2), ("new", 1)]));
        assert_eq!(second.ended, [till.association.id.to_string()]);
        assert!(second.revision > first.revision);
    }
}

#[tokio::test]
async fn who_asks_about_what_is_forgotten_or_was_never_reached_is_told_everything() {
    for world in prepared().await {
        let service = &world.service;
        let (_, agent) = agent_of(&world, "one").await;
        let cart = associate(&world, "cart").await;
        associate(&world, "till").await;
        let first = service.follow_pod_identity(&agent, "one", 0, NOW).await.unwrap();
        end(&world, &cart).await;
        let after_the_end = service.follow_pod_identity(&agent, "one", first.revision, NOW).await.unwrap();
        world.clock.advance_seconds(7 * 24 * HOUR);
        assert_eq!(service.forget_association_ends().await.unwrap(), 0, "{}", world.on());
        world.clock.advance_seconds(1);
        assert_eq!(service.forget_association_ends().await.unwrap(), 1);
        let ask = |after| service.follow_pod_identity(&agent, "one", after, NOW);
        let told = ask(first.revision).await.unwrap();
        assert_eq!((told.complete, names(&told)), (true, vec![("till", 1)]));
        assert!(
            !ask(after_the_end.revision).await.unwrap().complete,
            "who was told of the end needs no more"
        );
        let ahead = ask(told.revision + 1000).await.unwrap();
        assert_eq!((ahead.complete, ahead.revision), (true, told.revision), "an older database");
        // Ends of another cluster were not forgotten.
        let (_, other) = agent_of(&world, "two").await;
        assert!(!service.follow_pod_identity(&other, "two", 1, NOW).await.unwrap().complete);
    }
}

#[tokio::test]
async fn who_waits_is_woken_by_a_change_of_their_cluster_and_by_no_other() {
    for world in prepared().await {
        let service = &world.service;
        let (_, agent) = agent_of(&world, "one").await;
        let cart = associate(&world, "cart").await;
        let known = service.follow_pod_identity(&agent, "one", 0, NOW).await.unwrap().revision;
        let waiting = Arc::clone(service);
        let waiter = agent.clone();
        let long = Duration::from_secs(20);
        let poll =
            tokio::spawn(async move { waiting.follow_pod_identity(&waiter, "one", known, long).await });
        world.user("somebody-else").await;
        end(&world, &cart).await;
        let feed = poll.await.unwrap().unwrap();
        assert_eq!(feed.ended, [cart.association.id.to_string()], "{}", world.on());
    }
}

#[tokio::test]
async fn who_waits_on_another_server_is_woken_when_it_follows() {
    for world in prepared().await {
        let other = world.another_server();
        other.follow_revisions().await.unwrap();
        let (key, agent) = agent_of(&world, "one").await;
        let known = world.service.follow_pod_identity(&agent, "one", 0, NOW).await.unwrap().revision;
        other.follow_revisions().await.unwrap();
        let there = caller(&other, &key).await.unwrap();
        let waiting = Arc::clone(&other);
        let long = Duration::from_secs(20);
        let poll = tokio::spawn(async move { waiting.follow_pod_identity(&there, "one", known, long).await });
        let cart = associate(&world, "cart").await;
        other.follow_revisions().await.unwrap();
        let feed = poll.await.unwrap().unwrap();
        assert_eq!(names(&feed), [("cart", 1)], "{}", world.on());
        assert_eq!(feed.revision, cart.association.revision);
    }
}

#[tokio::test]
async fn who_lost_the_right_while_they_waited_is_told_nothing() {
    for world in prepared().await {
        let service = &world.service;
        let (_, agent) = agent_of(&world, "one").await;
        associate(&world, "cart").await;
        let known = service.follow_pod_identity(&agent, "one", 0, NOW).await.unwrap().revision;
        let reader = world.user("reader-of-feeds").await;
        let policy = world.give(&reader, &allow(&["bailiwick:podIdentity:follow"])).await;
        let call = world.call_of(&reader).await;
        let known = service.follow_pod_identity(&call, "one", known, NOW).await.unwrap().revision;
        let polls: Vec<_> = [agent, call]
            .into_iter()
            .map(|call| {
                let service = Arc::clone(service);
                let long = Duration::from_secs(20);
                tokio::spawn(async move { service.follow_pod_identity(&call, "one", known, long).await })
            })
            .collect();
        // They begin to wait before anything happens.
        tokio::task::yield_now().await;
        service.end_agent(&world.root, "one").await.unwrap();
        let from = WhichPrincipal { kind: PrincipalKind::User, which: reader.id.as_str().into() };
        service.detach_policy(&world.root, policy.as_str(), from, WhichScope::Account).await.unwrap();
        associate(&world, "till").await;
        let kinds: Vec<ErrorKind> =
            futures::future::join_all(polls).await.into_iter().map(|done| kind(done.unwrap())).collect();
        assert_eq!(kinds[1], ErrorKind::Forbidden, "{}", world.on());
        assert!(matches!(kinds[0], ErrorKind::Unauthenticated | ErrorKind::Forbidden), "{kinds:?}");
    }
}

#[tokio::test]
async fn agents_that_wait_have_so_many_places_and_one_account_not_all_of_them() {
    for world in prepared().await {
        let pod_identity = PodIdentity { most_waiting: 4, ..PodIdentity::default() };
        let service = world.another_server_set(Settings { pod_identity, ..Settings::default() });
        let (_, agent) = agent_of(&world, "one").await;
        let known = service.follow_pod_identity(&agent, "one", 0, NOW).await.unwrap().revision;
        let long = Duration::from_secs(20);
        let mut polls = futures::stream::FuturesUnordered::new();
        for _ in 0..4 {
            polls.push(service.follow_pod_identity(&agent, "one", known, long));
        }
        let refused = futures::StreamExt::next(&mut polls).await.unwrap();
        assert_eq!(kind(refused), ErrorKind::Limited, "{}: three wait", world.on());
        drop(polls);
        service.follow_pod_identity(&agent, "one", known, NOW).await.unwrap();
    }
}

#[tokio::test]
async fn however_many_wait_a_commit_elsewhere_has_their_cluster_read_once() {
    for world in prepared().await {
        let (_, agent) = agent_of(&world, "one").await;
        let known = world.service.follow_pod_identity(&agent, "one", 0, NOW).await.unwrap().revision;
        let long = Duration::from_secs(20);
        let polls: Vec<_> = (0..20)
            .map(|_| {
                let (service, agent) = (Arc::clone(&world.service), agent.clone());
                tokio::spawn(async move { service.follow_pod_identity(&agent, "one", known, long).await })
            })
            .collect();
        while world.service.feed_load().waiting < 20 {
            tokio::task::yield_now().await;
        }
        let before = world.service.feed_load().reads;
        world.user("somebody-else").await;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        let reads = world.service.feed_load().reads - before;
        assert!(reads <= 2, "{}: {reads}", world.on());
        world.service.stop_waiting();
        for poll in polls {
            poll.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_that_ends_keeps_nobody_waiting() {
    for world in prepared().await {
        let (_, agent) = agent_of(&world, "one").await;
        let known = world.service.follow_pod_identity(&agent, "one", 0, NOW).await.unwrap().revision;
        let service = Arc::clone(&world.service);
        let long = Duration::from_secs(20);
        let started = std::time::Instant::now();
        let poll = tokio::spawn(async move { service.follow_pod_identity(&agent, "one", known, long).await });
        tokio::task::yield_now().await;
        world.service.stop_waiting();
        assert!(poll.await.unwrap().unwrap().associations.is_empty());
        assert!(started.elapsed() < Duration::from_secs(10), "{}", world.on());
    }
}
