//! Asking whether somebody may do something, and why.

use domain::{ErrorKind, PrincipalKind};
use service::authz::authorization::Inquiry;
use service::policies::WhichScope;

use crate::world::{allow, deny, spec, statement, worlds};

fn about(user: &str, action: &str) -> Inquiry {
    Inquiry {
        principal: Some((PrincipalKind::User, user.to_owned())),
        action: action.to_owned(),
        ..Inquiry::default()
    }
}

fn own(action: &str) -> Inquiry {
    Inquiry { action: action.to_owned(), ..Inquiry::default() }
}

#[tokio::test]
async fn everybody_asks_about_themselves_and_others_only_with_the_right_and_within_the_account() {
    for world in worlds().await {
        let service = &world.service;
        let ada = world.user("ada").await;
        world.user("bob").await;
        let call = world.call_of(&ada).await;
        assert!(!service.authorize(&call, &own("x:grant:list")).await.unwrap().allowed, "{}", world.on());
        assert!(!service.authorize(&call, &about("ada", "x:grant:list")).await.unwrap().allowed);
        for other in ["bob", "nobody", world.stranger.caller.principal.as_str()] {
            let error = service.authorize(&call, &about(other, "x:grant:list")).await.unwrap_err();
            assert_eq!(error.denial().unwrap().action, "bailiwick:authorization:ask", "{other}");
        }
        world.give(&ada, &allow(&["bailiwick:authorization:ask"])).await;
        let call = world.call_of(&ada).await;
        assert!(!service.authorize(&call, &about("bob", "x:grant:list")).await.unwrap().allowed);
        for other in ["nobody", world.stranger.caller.principal.as_str()] {
            let error = service.authorize(&call, &about(other, "x:grant:list")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{other}");
        }
        assert_eq!(service.authorize(&call, &own("x:no:such")).await.unwrap_err().field(), Some("action"));
    }
}

#[tokio::test]
async fn the_answer_names_statements_and_where_they_are_attached_or_what_came_nearest() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        service.create_project(root, None, "east").await.unwrap();
        let ada = world.user("ada").await;
        let group = world.principal(PrincipalKind::Group, "group").await;
        service.add_member(root, "group", "ada").await.unwrap();
        let held = world.give(&group, &allow(&["bailiwick:grant:list"])).await;
        let verdict = service.authorize(root, &about("ada", "x:grant:listAlias")).await.unwrap();
        assert!(verdict.allowed, "{}: {}", world.on(), verdict.reasons);
        assert_eq!((verdict.action, verdict.resource.as_str()), ("bailiwick:grant:list", "cluster/*"));
        let ground = &verdict.statements[0];
        assert_eq!((ground.policy.as_ref(), ground.group.as_deref()), (Some(&held), Some("group")));
        let condition = r#"{"StringEquals":{"bailiwick:ClusterId":["c1"]}}"#;
        world.give(&ada, &statement("Allow", &["bailiwick:cluster:show"], condition)).await;
        let verdict = service.authorize(root, &about("ada", "x:cluster:get")).await.unwrap();
        assert_eq!((verdict.allowed, verdict.effect), (false, "default-deny"));
        assert!(verdict.nearest[0].1.contains("bailiwick:ClusterId"), "{}", verdict.nearest[0].1);
        let c1 = Inquiry { resource: Some("cluster/c1".into()), ..about("ada", "x:cluster:get") };
        assert!(
            service.authorize(root, &c1).await.unwrap().allowed,
            "a name that nothing has is decided too"
        );
        world.give_in(&ada, &deny(&["bailiwick:cluster:*"]), WhichScope::Project("east")).await;
        let verdict = service.authorize(root, &about("ada", "x:cluster:get")).await.unwrap();
        assert_eq!(verdict.effect, "explicit-deny", "what holds for a part may deny the whole");
        assert!(service.authorize(root, &own("bailiwick:user:delete")).await.unwrap().allowed, "root");
    }
}

#[tokio::test]
async fn changing_grants_is_allowed_only_where_the_cluster_is_administered_and_the_answer_says_so() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.cluster("c1").await;
        let ada = world.user("ada").await;
        world.give(&ada, &allow(&["bailiwick:grant:*"])).await;
        let asked = Inquiry { resource: Some("cluster/c1".into()), ..about("ada", "x:grant:post") };
        let verdict = service.authorize(root, &asked).await.unwrap();
        assert_eq!((verdict.allowed, verdict.effect), (false, "allow"), "{}", world.on());
        assert!(verdict.reasons.contains("administer"), "{}", verdict.reasons);
        let administrator =
            domain::GrantSpec { role: domain::Role::Administrator, ..spec(&["ada"], &["c1"], &[]) };
        service.create_grant(root, administrator).await.unwrap();
        assert!(service.authorize(root, &asked).await.unwrap().allowed);
        assert!(!service.authorize(root, &about("ada", "x:grant:post")).await.unwrap().allowed, "not all");
    }
}

#[tokio::test]
async fn conditions_can_be_supposed_and_nothing_is_known_of_where_others_would_call_from() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let ada = world.user("ada").await;
        let condition = r#"{"IpAddress":{"bailiwick:SourceIp":["192.0.2.0/24","127.0.0.1"]}}"#;
        world.give(&ada, &statement("Allow", &["bailiwick:grant:list"], condition)).await;
        assert!(!service.authorize(root, &about("ada", "x:grant:list")).await.unwrap().allowed);
        assert!(service.authorize(&world.call_of(&ada).await, &own("x:grant:list")).await.unwrap().allowed);
        let from = |address: &str| Inquiry {
            conditions: vec![("bailiwick:sourceip".into(), vec![address.into()])],
            ..about("ada", "x:grant:list")
        };
        assert!(service.authorize(root, &from("192.0.2.7")).await.unwrap().allowed, "{}", world.on());
        assert!(!service.authorize(root, &from("198.51.100.1")).await.unwrap().allowed);
        for key in ["x:nothing", "bailiwick:ResourceTag/env"] {
            let supposed =
                Inquiry { conditions: vec![(key.into(), vec!["v".into()])], ..about("ada", "x:grant:list") };
            let error = service.authorize(root, &supposed).await.unwrap_err();
            assert_eq!(error.field(), Some("conditions"), "{key}");
        }
    }
}
