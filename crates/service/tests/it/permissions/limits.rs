//! What permissions must not cost, tell, or let through by a detour.

use domain::{ErrorKind, PrincipalKind, Role};
use service::grants::permissions::{Change, Sight};
use service::{ClusterUpdate, GrantRequires, NewCluster, PageRequest, Settings};

use super::{MOST, change, grant_of, kind};
use crate::world::{World, allow, deny, worlds};

async fn start(world: &World) {
    for id in ["c1", "c2"] {
        world.cluster(id).await;
    }
    for id in ["ada", "bob"] {
        world.user(id).await;
    }
}

#[tokio::test]
async fn who_sees_nothing_of_a_change_is_not_told_that_there_was_one() {
    for world in worlds().await {
        start(&world).await;
        world.set("ada", Change::Replace, &[("c2", "viewer")]).await;
        world.set("ada", Change::Add, &[("c1", "viewer")]).await;
        let all = PageRequest::default();
        let carol = world.administrator_of("carol", &["c1"]).await;
        let seen = world.service.permission_history(&carol, "ada", &all).await.unwrap().items;
        assert_eq!(seen.len(), 1, "{}", world.on());
        let dora = world.user("dora").await;
        world.give(&dora, &allow(&["bailiwick:grant:*"])).await;
        let call = world.call_of(&dora).await;
        assert!(world.service.permission_history(&call, "ada", &all).await.unwrap().items.is_empty());
        let root = world.service.permission_history(&world.root, "ada", &all).await.unwrap().items;
        assert_eq!(root.len(), 2);
    }
}

#[tokio::test]
async fn a_history_has_few_entries_a_page_and_all_of_them_in_the_end() {
    for world in worlds().await {
        start(&world).await;
        for n in 0..25 {
            let role = if n % 2 == 0 { "viewer" } else { "developer" };
            world.set("ada", Change::Replace, &[("c1", role)]).await;
        }
        let mut page = PageRequest { limit: Some(1000), cursor: None };
        let first = world.service.permission_history(&world.root, "ada", &page).await.unwrap();
        assert_eq!(first.items.len(), 20, "{}", world.on());
        page.cursor = first.next;
        let rest = world.service.permission_history(&world.root, "ada", &page).await.unwrap();
        assert_eq!((rest.items.len(), rest.next), (5, None));
        assert!(rest.items.last().is_some_and(|first| first.added.len() == 1 && first.removed.is_empty()));
    }
}

#[tokio::test]
async fn restoring_where_policies_suffice_takes_nothing_away_that_was_there() {
    for world in worlds().await {
        start(&world).await;
        world.set("ada", Change::Replace, &[("c1", "viewer"), ("c2", "viewer")]).await;
        let page = PageRequest::default();
        let revision =
            world.service.permission_history(&world.root, "ada", &page).await.unwrap().items[0].revision;
        world.set("ada", Change::Add, &[("c1/a", "viewer")]).await;
        let settings = Settings { grant_requires: GrantRequires::Policy, ..Settings::default() };
        let looser = world.another_server_set(settings);
        let mia = world.user("mia").await;
        world.give(&mia, &allow(&["bailiwick:grant:*"])).await;
        let call = world.call_of(&mia).await;
        looser.restore_permissions(&call, "ada", revision, MOST).await.unwrap();
        assert_eq!(world.rows_of("ada").await, ["c1 viewer", "c2 viewer"], "{}", world.on());
    }
}

#[tokio::test]
async fn an_owner_is_given_nothing_more_and_what_they_were_given_before_goes_like_anybodys() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        start(&world).await;
        world.set("ada", Change::Replace, &[("c1", "administrator"), ("c1/a", "viewer")]).await;
        let owner = ClusterUpdate { owner: Some("ada".into()), ..ClusterUpdate::default() };
        service.update_cluster(root, "c1", owner).await.unwrap();
        world.set("ada", Change::Remove, &[("c1", "administrator")]).await;
        world.set("ada", Change::Add, &[("c1/b", "viewer")]).await;
        assert_eq!(world.rows_of("ada").await, ["c1 administrator", "c1/a viewer"], "{}", world.on());
        let other = ClusterUpdate { owner: Some("bob".into()), ..ClusterUpdate::default() };
        service.update_cluster(root, "c1", other).await.unwrap();
        assert_eq!(world.rows_of("ada").await, ["c1/a viewer"], "nothing is left behind it");
    }
}

#[tokio::test]
async fn whoever_may_not_create_or_delete_grants_does_not_do_it_by_naming_an_owner() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        start(&world).await;
        for (name, denied) in
            [("no-create", "bailiwick:grant:create"), ("no-delete", "bailiwick:grant:delete")]
        {
            let user = world.user(name).await;
            world.give(&user, &allow(&["bailiwick:cluster:*", "bailiwick:grant:*"])).await;
            world.give(&user, &deny(&[denied])).await;
            let new = NewCluster {
                id: Some(name.into()),
                name: name.into(),
                owner: Some(name.into()),
                ..NewCluster::default()
            };
            service.create_cluster(root, new).await.unwrap();
            let call = world.call_of(&user).await;
            let update = ClusterUpdate { owner: Some("bob".into()), ..ClusterUpdate::default() };
            let refused = service.update_cluster(&call, name, update).await;
            assert_eq!(kind(&refused), Some(ErrorKind::Forbidden), "{} {name}", world.on());
            assert_eq!(world.rows_of("bob").await, [""; 0]);
            assert_eq!(world.rows_of(name).await, [format!("{name} administrator")]);
        }
    }
}

#[tokio::test]
async fn permissions_that_come_about_in_too_many_ways_are_an_error_and_few_are_not() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        start(&world).await;
        let groups: Vec<String> = (0..101).map(|n| format!("g{n}")).collect();
        for group in &groups {
            world.principal(PrincipalKind::Group, group).await;
            service.add_member(root, group, "ada").await.unwrap();
        }
        let names: Vec<String> = (0..500).map(|n| format!("n{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let ids: Vec<&str> = groups.iter().map(String::as_str).collect();
        let spec = grant_of(Role::Viewer, PrincipalKind::Group, &ids, &["c1", "c2"], &names);
        let id = service.create_grant(root, spec).await.unwrap().id;
        let error = service.list_permissions(root, "ada", Sight::Administered, 5000).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {error}", world.on());
        // One way less for each row.
        let fewer = grant_of(Role::Viewer, PrincipalKind::Group, &ids[1..], &["c1", "c2"], &names);
        service.update_grant(root, id.as_str(), fewer).await.unwrap();
        let rows = service.list_permissions(root, "ada", Sight::Administered, 5000).await.unwrap().rows;
        assert_eq!((rows.len(), rows[0].through.len()), (1000, 100));
    }
}

#[tokio::test]
async fn whom_a_grant_names_besides_is_kept_when_one_is_taken_out_of_it() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        start(&world).await;
        for id in ["cleo", "dan"] {
            world.user(id).await;
        }
        let four = ["ada", "bob", "cleo", "dan"];
        let spec = grant_of(Role::Viewer, PrincipalKind::User, &four, &["c1"], &[]);
        let id = service.create_grant(root, spec).await.unwrap().id;
        let refused = world.changed(root, "ada", &change(Change::Remove, &[("c1", "viewer")])).await;
        assert_eq!(kind(&refused), Some(ErrorKind::Conflict), "it is shared");
        let forced = service::grants::permissions::Cleaning {
            clusters: None,
            activity: service::grants::permissions::Activity::Ignored,
        };
        service.clean_permissions(root, "ada", &forced).await.unwrap();
        let left = service.show_grant(root, id.as_str()).await.unwrap().spec.principals.ids;
        let left: Vec<&str> = left.iter().map(|id| id.as_str()).collect();
        assert_eq!(left, ["bob", "cleo", "dan"], "{}", world.on());
    }
}
