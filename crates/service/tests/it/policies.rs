//! Identity policies as things that people keep.

use domain::{ErrorKind, PolicyScope, PrincipalKind};
use service::policies::{
    Attached, Becomes, NewPolicy, Origin, PolicyFilter, PolicyUpdate, WhichPrincipal, WhichScope,
};
use service::{PageRequest, Quotas};

use crate::world::{allow, deny, worlds, worlds_with};

fn new(name: &str, document: &str) -> NewPolicy {
    NewPolicy { id: None, name: name.to_owned(), description: String::new(), document: document.to_owned() }
}

fn user(id: &str) -> WhichPrincipal<'_> {
    WhichPrincipal { kind: PrincipalKind::User, which: id.into() }
}

#[tokio::test]
async fn a_policy_is_created_listed_changed_and_deleted() {
    for world in worlds().await {
        let (service, root, page) = (&world.service, &world.root, PageRequest::default());
        let made = service.create_policy(root, new("p", &allow(&["x:*"]))).await.unwrap();
        let all = service.list_policies(root, PolicyFilter::default(), &page).await.unwrap().items;
        let names: Vec<_> = all.iter().map(|policy| (policy.name.as_str(), policy.origin)).collect();
        assert_eq!(names, [("Reader", Origin::Shipped), ("p", Origin::Own)], "{}", world.on());
        let update = PolicyUpdate {
            name: Some("q".into()),
            description: Some("d".into()),
            document: Some(deny(&["x:*"])),
        };
        let changed = service.update_policy(root, "p", update).await.unwrap();
        assert_eq!((changed.name.as_str(), changed.default_version), ("q", 2));
        let (shown, version) = service.show_policy(root, made.id.as_str()).await.unwrap();
        assert_eq!((shown, version.document), (changed, deny(&["x:*"])));
        service.delete_policy(root, "q").await.unwrap();
        assert_eq!(service.show_policy(root, "q").await.unwrap_err().kind(), ErrorKind::NotFound);
        let again = NewPolicy { id: Some(made.id.to_string()), ..new("q", &allow(&["x:*"])) };
        assert_eq!(service.create_policy(root, again).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_wrong_document_is_refused_with_its_field_and_names_of_shipped_policies_are_taken() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        for (text, field) in [
            (r#"{"Version":"5.0","Statement":[{"Effect":"Allow"}]}"#, "document.Statement[0]"),
            (r#"{"Version":"9","Statement":[]}"#, "document.Version"),
            ("{", "document"),
        ] {
            let error = service.create_policy(root, new("p", text)).await.unwrap_err();
            assert!(error.field().is_some_and(|found| found.starts_with(field)), "{}: {error}", world.on());
        }
        for name in ["Reader", "reader"] {
            let error = service.create_policy(root, new(name, &allow(&["x:*"]))).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
        }
        let chosen = NewPolicy { id: Some("reader".into()), ..new("p", &allow(&["x:*"])) };
        assert_eq!(service.create_policy(root, chosen).await.unwrap_err().kind(), ErrorKind::Conflict);
        let update = PolicyUpdate { description: Some("d".into()), ..PolicyUpdate::default() };
        let refused = service.update_policy(root, "Reader", update).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert_eq!(service.delete_policy(root, "reader").await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_policy_has_five_versions_at_most_and_one_of_them_counts() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        service.create_policy(root, new("p", &allow(&["x:*"]))).await.unwrap();
        for expected in 2..=5 {
            let text = allow(&[&format!("x:{expected}:*")]);
            let made = service.create_policy_version(root, "p", &text, Becomes::Spare).await.unwrap();
            assert_eq!((made.version, made.is_default), (expected, false), "{}", world.on());
        }
        let text = allow(&["x:6:*"]);
        let error = service.create_policy_version(root, "p", &text, Becomes::Default).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        service.set_default_policy_version(root, "p", 4).await.unwrap();
        let error = service.delete_policy_version(root, "p", 4).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        service.delete_policy_version(root, "p", 5).await.unwrap();
        for version in [5, 9, -1] {
            let missing = service.delete_policy_version(root, "p", version).await.unwrap_err();
            assert_eq!(missing.kind(), ErrorKind::NotFound);
            let missing = service.set_default_policy_version(root, "p", version).await.unwrap_err();
            assert_eq!(missing.kind(), ErrorKind::NotFound);
        }
        let made = service.create_policy_version(root, "p", &text, Becomes::Default).await.unwrap();
        assert_eq!(made.version, 6, "numbers are not given again");
        let versions = service.list_policy_versions(root, "p").await.unwrap();
        let shown: Vec<_> = versions.iter().map(|version| (version.version, version.is_default)).collect();
        assert_eq!(shown, [(6, true), (4, false), (3, false), (2, false), (1, false)]);
    }
}

#[tokio::test]
async fn a_policy_is_held_in_scopes_until_it_is_detached_and_not_deleted_meanwhile() {
    for world in worlds().await {
        let (service, root, page) = (&world.service, &world.root, PageRequest::default());
        let ada = world.user("ada").await;
        let project = service.create_project(root, None, "east").await.unwrap();
        let policy = world.policy(&allow(&["x:*"])).await;
        let scopes = [WhichScope::Account, WhichScope::Project("east"), WhichScope::Project("east")];
        for scope in scopes {
            service.attach_policy(root, policy.as_str(), user("ada"), scope).await.unwrap();
        }
        let held = service.list_attached_policies(root, user("ada"), &page).await.unwrap().items;
        let found: Vec<_> = held.iter().map(|held| held.scope.clone()).collect();
        assert_eq!(found, [PolicyScope::Account, PolicyScope::Project(project.id)], "{}", world.on());
        let first = PageRequest { limit: Some(1), cursor: None };
        let one = service.list_policy_holders(root, policy.as_str(), &first).await.unwrap();
        let rest = PageRequest { limit: Some(1), cursor: one.next.clone() };
        let two = service.list_policy_holders(root, policy.as_str(), &rest).await.unwrap();
        assert_eq!((one.items.len(), two.items.len(), two.next), (1, 1, None));
        assert_eq!(one.items[0].attachment.principal, ada.id);
        assert_ne!(one.items[0].attachment.scope, two.items[0].attachment.scope);
        let attached = PolicyFilter { attached: Some(Attached), ..PolicyFilter::default() };
        let listed = service.list_policies(root, attached, &page).await.unwrap().items;
        assert_eq!(listed.iter().map(|policy| policy.attachments).collect::<Vec<_>>(), [2]);
        let error = service.delete_policy(root, policy.as_str()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Conflict && error.message().contains("user `ada`"), "{error}");
        for scope in scopes {
            service.detach_policy(root, policy.as_str(), user("ada"), scope).await.unwrap();
        }
        service.delete_policy(root, policy.as_str()).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_of_another_account_can_be_attached_or_seen() {
    for world in worlds().await {
        let (service, root, stranger) = (&world.service, &world.root, &world.stranger);
        world.user("ada").await;
        let project = service.create_project(stranger, None, "far").await.unwrap();
        let theirs = service.create_policy(stranger, new("theirs", &allow(&["x:*"]))).await.unwrap().id;
        for (name, outcome) in [
            ("show", service.show_policy(root, theirs.as_str()).await.map(drop)),
            ("delete", service.delete_policy(root, theirs.as_str()).await),
            ("versions", service.list_policy_versions(root, theirs.as_str()).await.map(drop)),
            ("attach", service.attach_policy(root, theirs.as_str(), user("ada"), WhichScope::Account).await),
            ("to", service.attach_policy(stranger, "theirs", user("ada"), WhichScope::Account).await),
        ] {
            let kind = outcome.map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::NotFound), "{}: {name}", world.on());
        }
        let scope = WhichScope::Project(project.id.as_str());
        let error = service.attach_policy(root, "Reader", user("ada"), scope).await.unwrap_err();
        assert_eq!(error.field(), Some("project"));
    }
}

#[tokio::test]
async fn policies_and_what_one_principal_holds_are_limited() {
    let quotas = Quotas { policies: 2, policies_per_principal: 1, ..Quotas::default() };
    for world in worlds_with(quotas).await {
        let (service, root) = (&world.service, &world.root);
        let ada = world.user("ada").await;
        let held = world.give(&ada, &allow(&["x:*"])).await;
        service.create_policy(root, new("second", &allow(&["x:*"]))).await.unwrap();
        let error = service.create_policy(root, new("third", &allow(&["x:*"]))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{}", world.on());
        let error =
            service.attach_policy(root, "second", user("ada"), WhichScope::Account).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        service.attach_policy(root, held.as_str(), user("ada"), WhichScope::Account).await.unwrap();
    }
}
