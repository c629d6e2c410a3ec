//! Users, groups, agencies and keys.

use domain::PrincipalKind::{Agency, Group, User};
use domain::{ErrorKind, ExternalId};
use service::{NewPrincipal, PageRequest};

use crate::world::{new_principal, worlds};

#[tokio::test]
async fn an_id_once_used_is_never_given_again() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("x").await;
        service.delete_principal(root, User, "x").await.unwrap();
        for kind in [User, Group, Agency] {
            let error =
                service.create_principal(root, new_principal(kind, Some("x"), "y")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {kind}", world.on());
        }
        let error =
            service.create_principal(&world.stranger, new_principal(User, Some("x"), "y")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "not in another account either");
        world.cluster("c").await;
        service.delete_cluster(root, "c", service::Removal::Revoke).await.unwrap();
        let new = || service::NewCluster { id: Some("c".into()), name: "d".into(), ..Default::default() };
        assert_eq!(service.create_cluster(root, new()).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(
            service.create_cluster(&world.stranger, new()).await.unwrap_err().kind(),
            ErrorKind::Conflict
        );
    }
}

#[tokio::test]
async fn names_and_external_ids_are_unique() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let external = ExternalId { issuer: "https://idp".into(), subject: "ada@example.org".into() };
        let new = |id: &str, name: &str| NewPrincipal {
            external_ids: vec![external.clone()],
            ..new_principal(User, Some(id), name)
        };
        let ada = service.create_principal(root, new("u1", "ada")).await.unwrap();
        let shown = service.show_principal(root, User, "ada").await.unwrap();
        assert_eq!((&shown, shown.external_ids.len()), (&ada, 1), "{}", world.on());
        assert_eq!(
            service.create_principal(root, new("u2", "bob")).await.unwrap_err().kind(),
            ErrorKind::Conflict
        );
        let same_name = new_principal(User, None, "ada");
        assert_eq!(service.create_principal(root, same_name).await.unwrap_err().kind(), ErrorKind::Conflict);
        service.create_principal(root, new_principal(Group, None, "ada")).await.unwrap();
        let foreign = service.show_principal(&world.stranger, User, "u1").await.unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::NotFound);
        let page = service.list_principals(root, User, &PageRequest::default()).await.unwrap();
        assert_eq!(page.items.len(), 2, "with the root user");
    }
}

#[tokio::test]
async fn members_come_and_go_and_membership_makes_an_administrator() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let ada = world.user("ada").await;
        let call = world.call_of(&ada).await;
        assert!(!call.caller.administrator);
        service.add_member(root, "administrators", "ada").await.unwrap();
        service.add_member(root, "administrators", "ada").await.unwrap();
        assert_eq!(service.list_members(root, "administrators").await.unwrap().len(), 1, "{}", world.on());
        assert!(world.call_of(&ada).await.caller.administrator);
        service.remove_member(root, "administrators", "ada").await.unwrap();
        assert!(!world.call_of(&ada).await.caller.administrator);
        let gone = service.remove_member(root, "administrators", "ada").await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        let protected = service.delete_principal(root, Group, "administrators").await.unwrap_err();
        assert_eq!(protected.kind(), ErrorKind::Conflict);
        let protected = service.delete_principal(root, User, "admin").await.unwrap_err();
        assert_eq!(protected.kind(), ErrorKind::Conflict, "the root user stays");
    }
}

#[tokio::test]
async fn a_disabled_or_deleted_key_signs_nothing_from_then_on() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let ada = world.user("ada").await;
        let new = service.create_access_key(root, "ada", "laptop").await.unwrap();
        let id = new.key.id.as_str();
        let known = service.signing_key(id).await.unwrap().unwrap();
        assert_eq!(known.secret.expose(), new.secret.expose(), "{}", world.on());
        assert_eq!(known.caller.principal, ada.id);
        assert!(!service.disable_access_key(root, id).await.unwrap().enabled);
        assert!(service.signing_key(id).await.unwrap().is_none(), "at once, although it was in memory");
        service.enable_access_key(root, id).await.unwrap();
        assert!(service.signing_key(id).await.unwrap().is_some());
        let foreign = service.disable_access_key(&world.stranger, id).await.unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::NotFound, "another account's key");
        assert_eq!(
            service.list_access_keys(root, Some("ada"), &PageRequest::default()).await.unwrap().items.len(),
            1
        );
        assert_eq!(
            service.list_access_keys(root, None, &PageRequest::default()).await.unwrap().items.len(),
            2
        );
        service.delete_access_key(root, id).await.unwrap();
        assert!(service.signing_key(id).await.unwrap().is_none());
        let second = service.create_access_key(root, "ada", "").await.unwrap();
        service.delete_principal(root, User, "ada").await.unwrap();
        assert!(service.signing_key(second.key.id.as_str()).await.unwrap().is_none(), "its user is gone");
        assert!(service.signing_key("never-was").await.unwrap().is_none());
    }
}

/// Many places take an id or a name. A thing with an id that is somebody's name would stand in their place.
#[tokio::test]
async fn an_id_that_is_somebodys_name_and_a_name_that_is_somebodys_id_are_refused() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let name = root.caller.name.clone();
        let ada = world.user("ada").await;
        for (kind, id, name) in [
            (User, Some(name.as_str()), "decoy"),
            (User, Some("ada"), "decoys"),
            (User, None, ada.id.as_str()),
        ] {
            let refused = service.create_principal(root, new_principal(kind, id, name)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict, "{}: {id:?} {name}", world.on());
        }
        let same = new_principal(User, Some("bob"), "bob");
        service.create_principal(root, same).await.unwrap();
        service.create_project(root, Some("p1"), "first").await.unwrap();
        for (id, name) in [(Some("first"), "other"), (None, "p1")] {
            let refused = service.create_project(root, id, name).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", world.on());
        }
    }
}
