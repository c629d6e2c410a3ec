//! What a thief of the database gets.

use store::testing::{execute, number, text};

use crate::world::worlds;

#[tokio::test]
async fn a_sealed_secret_moved_to_another_row_does_not_open() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("ada").await;
        world.user("eve").await;
        let ada = service.create_access_key(root, "ada", "").await.unwrap();
        let eve = service.create_access_key(root, "eve", "").await.unwrap();
        let stolen =
            text(&world.store, &format!("SELECT sealed_secret FROM access_keys WHERE id = '{}'", eve.key.id))
                .await;
        assert!(!stolen.contains(eve.secret.expose()), "{}", world.on());
        execute(
            &world.store,
            &format!("UPDATE access_keys SET sealed_secret = '{stolen}' WHERE id = '{}'", ada.key.id),
        )
        .await;
        assert!(service.signing_key(ada.key.id.as_str()).await.is_err(), "eve cannot sign as ada");
        assert!(service.signing_key(eve.key.id.as_str()).await.is_ok());
    }
}

#[tokio::test]
async fn every_change_is_in_the_audit_with_its_own_commit() {
    for world in worlds().await {
        let before = number(&world.store, "SELECT COUNT(*) FROM audit_events").await;
        world.user("ada").await;
        world.service.create_access_key(&world.root, "ada", "").await.unwrap();
        let failed = world.service.create_principal(
            &world.root,
            crate::world::new_principal(domain::PrincipalKind::User, Some("ada"), "other"),
        );
        assert!(failed.await.is_err());
        let after = number(&world.store, "SELECT COUNT(*) FROM audit_events").await;
        assert_eq!(after - before, 2, "{}: one for each change that happened", world.on());
        let revisions =
            number(&world.store, "SELECT COUNT(DISTINCT revision) FROM audit_events WHERE request_id = 'r'")
                .await;
        assert_eq!(revisions, 2);
    }
}
