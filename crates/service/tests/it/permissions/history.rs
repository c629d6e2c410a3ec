//! What somebody had before, and having it again.

use domain::{ErrorKind, PrincipalKind, Role};
use service::grants::permissions::{Change, PastPermissions};
use service::{Call, Origin, PageRequest};

use super::{MOST, change, grant_of, kind, permission};
use crate::world::{World, worlds};

async fn history(world: &World, call: &Call, holder: &str, limit: usize) -> Vec<PastPermissions> {
    let page = PageRequest { limit: Some(limit), cursor: None };
    world.service.permission_history(call, holder, &page).await.unwrap().items
}

fn shown(permissions: &[domain::Permission]) -> Vec<String> {
    permissions.iter().map(super::shown).collect()
}

#[tokio::test]
async fn each_change_is_one_entry_that_says_who_when_and_in_which_dialect() {
    for world in worlds().await {
        for id in ["c1", "c2"] {
            world.cluster(id).await;
        }
        world.user("ada").await;
        let origin = Origin { dialect: "elsewhere", ..world.root.origin.clone() };
        let call = Call { origin, ..world.root.clone() };
        world
            .changed(&call, "ada", &change(Change::Replace, &[("c1", "viewer"), ("c2", "viewer")]))
            .await
            .unwrap();
        world.clock.advance_seconds(5);
        world.set("ada", Change::Add, &[("c1", "operator")]).await;
        world.set("ada", Change::Remove, &[("c2", "viewer")]).await;
        let entries = history(&world, &world.root, "ada", 10).await;
        let told: Vec<_> = entries
            .iter()
            .map(|past| (shown(&past.added), shown(&past.removed), shown(&past.permissions)))
            .collect();
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let expected = [
            (texts(&[]), texts(&["c2 viewer"]), texts(&["c1 operator"])),
            (texts(&["c1 operator"]), texts(&["c1 viewer"]), texts(&["c1 operator", "c2 viewer"])),
            (texts(&["c1 viewer", "c2 viewer"]), texts(&[]), texts(&["c1 viewer", "c2 viewer"])),
        ];
        assert_eq!(told, expected, "{}", world.on());
        assert_eq!((entries[2].dialect.as_str(), entries[1].dialect.as_str()), ("elsewhere", "native"));
        assert_eq!(entries[0].actor, world.root.caller.principal.as_str());
        assert_eq!(entries[0].at.as_millis() - entries[2].at.as_millis(), 5000);
        assert_eq!(history(&world, &world.root, "ada", 1).await, entries[..1], "a page has no others");
    }
}

#[tokio::test]
async fn an_earlier_set_is_brought_back_and_only_one_that_was() {
    for world in worlds().await {
        for id in ["c1", "c2"] {
            world.cluster(id).await;
        }
        world.user("ada").await;
        let first = [("c1", "viewer"), ("c1", "custom:x"), ("c2/a", "developer")];
        world.set("ada", Change::Replace, &first).await;
        let revision = history(&world, &world.root, "ada", 1).await[0].revision;
        world.set("ada", Change::Replace, &[]).await;
        let restored = world.service.restore_permissions(&world.root, "ada", revision, MOST).await.unwrap();
        assert_eq!(restored.len(), 3, "{}", world.on());
        assert_eq!(world.rows_of("ada").await, ["c1 viewer", "c1 custom:x", "c2/a developer"]);
        for never in [0, -1, revision - 1, i64::MAX] {
            let refused = world.service.restore_permissions(&world.root, "ada", never, MOST).await;
            assert_eq!(kind(&refused), Some(ErrorKind::Invalid), "{never}");
        }
        // What came about in another way is brought back as it was.
        for role in [Role::Viewer, Role::Operator] {
            let spec = grant_of(role, PrincipalKind::User, &["ada"], &["c2"], &[]);
            world.service.create_grant(&world.root, spec).await.unwrap();
        }
        let both = history(&world, &world.root, "ada", 1).await[0].revision;
        world.set("ada", Change::Replace, &[]).await;
        world.service.restore_permissions(&world.root, "ada", both, MOST).await.unwrap();
        let rows = world.rows_of("ada").await;
        assert!(
            rows.ends_with(&["c2 operator".into(), "c2 viewer".into(), "c2/a developer".into()]),
            "{rows:?}"
        );
        let foreign = world.service.restore_permissions(&world.stranger, "ada", revision, MOST).await;
        assert_eq!(kind(&foreign), Some(ErrorKind::NotFound));
    }
}

#[tokio::test]
async fn who_administers_a_part_sees_and_brings_back_that_part() {
    for world in worlds().await {
        for id in ["c1", "c2"] {
            world.cluster(id).await;
        }
        world.user("ada").await;
        world.set("ada", Change::Replace, &[("c1", "viewer"), ("c2", "viewer")]).await;
        let revision = history(&world, &world.root, "ada", 1).await[0].revision;
        world.set("ada", Change::Replace, &[("c2", "operator")]).await;
        let carol = world.administrator_of("carol", &["c1"]).await;
        let seen = history(&world, &carol, "ada", 10).await;
        assert!(seen.iter().all(|past| past.permissions.iter().all(|one| one.place == super::place("c1"))));
        let restored = world.service.restore_permissions(&carol, "ada", revision, MOST).await.unwrap();
        assert_eq!(restored, [permission(("c1", "viewer"))], "{}", world.on());
        assert_eq!(world.rows_of("ada").await, ["c1 viewer", "c2 operator"]);
    }
}
