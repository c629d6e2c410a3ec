//! Who was active lately: what logs say, and what is not said by them.

use domain::activity::Span;
use domain::{ClusterId, ErrorKind, ExternalId, Permission, Place, Role, Timestamp};
use service::clusters::activity::ActivityReport;
use service::grants::permissions::{Activity, Asked, Change, Cleaning, PermissionChange};
use service::{ClusterUpdate, PrincipalUpdate};
use store::testing;

use crate::ladder::assert_refused;
use crate::world::{World, allow, worlds};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn at(world: &World, seconds: i64) -> Timestamp {
    world.clock_in(seconds)
}

/// A log from so many seconds before now to so many, in which these were seen so many seconds ago.
fn log(world: &World, from: i64, to: i64, seen: &[(&str, i64)]) -> ActivityReport {
    ActivityReport {
        covered: Some(Span { from: at(world, -from), to: at(world, -to) }),
        seen: seen.iter().map(|(name, ago)| ((*name).to_owned(), at(world, -ago))).collect(),
    }
}

async fn grant(world: &World, user: &str, cluster: &str) {
    let permission = Permission { place: Place::Cluster(ClusterId::stored(cluster)), role: Role::Viewer };
    let wanted = PermissionChange {
        change: Change::Add,
        asked: Asked::Grant,
        permissions: vec![permission],
        most: 10,
        most_removed: None,
    };
    world.service.change_permissions(&world.root, user, &wanted).await.unwrap();
}

/// What cleaning says against it; empty if it was done.
async fn cleaned(world: &World, user: &str) -> String {
    let cleaning = Cleaning { clusters: None, activity: Activity::Spares };
    match world.service.clean_permissions(&world.root, user, &cleaning).await {
        Ok(()) => String::new(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {error}", world.on());
            error.to_string()
        }
    }
}

/// Users of long ago with a grant each in a cluster.
async fn prepared(users: &[&str]) -> Vec<World> {
    let worlds = worlds().await;
    for world in &worlds {
        world.cluster("prod").await;
        for user in users {
            world.user(user).await;
        }
        world.clock.advance_seconds(30 * DAY);
        for user in users {
            grant(world, user, "prod").await;
        }
    }
    worlds
}

#[tokio::test]
async fn everything_is_taken_only_from_whom_logs_show_to_have_been_idle() {
    for world in prepared(&["ada", "eve", "bob"]).await {
        let service = &world.service;
        let unknown = cleaned(&world, "ada").await;
        assert!(unknown.contains("bailiwick cluster import-audit-log prod FILE"), "{unknown}");
        let report = log(&world, 8 * DAY, HOUR, &[("eve", 2 * DAY), ("bob", 7 * DAY + 1)]);
        let done = service.import_activity(&world.root, "prod", &report).await.unwrap();
        assert_eq!((done.known, done.unknown), (2, 0), "{}", world.on());
        assert_eq!(cleaned(&world, "ada").await, "");
        assert_eq!(cleaned(&world, "bob").await, "", "seen long ago");
        let active = cleaned(&world, "eve").await;
        assert!(
            active.contains("was active in cluster `prod`") && active.contains("2026-12-19T"),
            "{active}"
        );
        // Nobody becomes less active by an older log.
        service
            .import_activity(&world.root, "prod", &log(&world, 9 * DAY, DAY, &[("eve", 9 * DAY)]))
            .await
            .unwrap();
        assert_eq!(cleaned(&world, "eve").await, active);
        let forced = Cleaning { clusters: None, activity: Activity::Ignored };
        service.clean_permissions(&world.root, "eve", &forced).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_with_a_gap_shows_nobody_to_have_been_idle_until_the_gap_is_filled() {
    for world in prepared(&["ada"]).await {
        let service = &world.service;
        let import = async |from, to| {
            let report = log(&world, from, to, &[]);
            service.import_activity(&world.root, "prod", &report).await.unwrap();
            cleaned(&world, "ada").await
        };
        let late = import(6 * DAY, 0).await;
        assert!(late.contains("no audit log covers 2026-12-14T20:41:00Z to 2026-12-15T20:41:00Z"), "{late}");
        assert!(import(9 * DAY, 6 * DAY + HOUR).await.contains("no audit log covers 2026-12-15T19:41:00Z"));
        // Files follow each other with a pause of less than a minute.
        assert_eq!(import(6 * DAY + HOUR - 59, 6 * DAY + 59).await, "");
        let rows = testing::number(&world.store, "SELECT COUNT(*) FROM activity_coverage").await;
        assert_eq!(rows, 1, "{}", world.on());
    }
}

#[tokio::test]
async fn a_log_that_ends_more_than_a_day_ago_is_too_old() {
    for world in prepared(&["ada"]).await {
        let service = &world.service;
        service.import_activity(&world.root, "prod", &log(&world, 8 * DAY, DAY + 1, &[])).await.unwrap();
        assert!(cleaned(&world, "ada").await.contains("no audit log covers"), "{}", world.on());
        service.import_activity(&world.root, "prod", &log(&world, 2 * DAY, DAY, &[])).await.unwrap();
        assert_eq!(cleaned(&world, "ada").await, "", "{}", world.on());
    }
}

#[tokio::test]
async fn parts_of_a_log_say_nothing_of_the_time_that_it_covers() {
    for world in prepared(&["ada"]).await {
        let part = ActivityReport { covered: None, seen: vec![("ada".into(), at(&world, -10 * DAY))] };
        world.service.import_activity(&world.root, "prod", &part).await.unwrap();
        assert!(cleaned(&world, "ada").await.contains("it is not known"), "{}", world.on());
    }
}

#[tokio::test]
async fn only_clusters_in_which_something_is_taken_away_are_asked() {
    for world in prepared(&["ada", "eve"]).await {
        let service = &world.service;
        world.cluster("other").await;
        service.import_activity(&world.root, "prod", &log(&world, 8 * DAY, 0, &[])).await.unwrap();
        assert_eq!(cleaned(&world, "ada").await, "", "{}", world.on());
        grant(&world, "eve", "other").await;
        assert!(cleaned(&world, "eve").await.contains("in cluster `other`"), "{}", world.on());
        let here = Cleaning { clusters: Some(vec!["prod".into()]), activity: Activity::Spares };
        service.clean_permissions(&world.root, "eve", &here).await.unwrap();
    }
}

#[tokio::test]
async fn people_are_found_by_the_names_of_the_cluster_and_of_certificates() {
    for world in prepared(&["ada", "eve"]).await {
        let service = &world.service;
        let mut update = ClusterUpdate::default();
        update.arrival.users = Some(vec!["oidc:{external.corp}".to_owned()]);
        service.update_cluster(&world.root, "prod", update).await.unwrap();
        let external = ExternalId { issuer: "corp".into(), subject: "1001".into() };
        let named = PrincipalUpdate { external_ids: Some(vec![external]), ..PrincipalUpdate::default() };
        service.update_principal(&world.root, domain::PrincipalKind::User, "ada", named).await.unwrap();
        world.clock.advance_seconds(8 * DAY);
        let seen = [
            ("oidc:1001", DAY),
            ("eve:0a1b0a1b0a1b0a1b", 2 * DAY),
            ("eve", DAY),
            ("oidc:ada", DAY),
            ("ada:", DAY),
        ];
        let report = log(&world, 7 * DAY, 0, &seen);
        let done = service.import_activity(&world.root, "prod", &report).await.unwrap();
        assert_eq!((done.known, done.unknown), (2, 3), "{}", world.on());
        for user in ["ada", "eve"] {
            assert!(cleaned(&world, user).await.contains("was active"), "{}: {user}", world.on());
        }
    }
}

#[tokio::test]
async fn who_was_called_otherwise_within_the_week_is_not_known_to_have_been_idle() {
    for world in prepared(&["ada", "eve", "bob"]).await {
        let service = &world.service;
        service.import_activity(&world.root, "prod", &log(&world, 8 * DAY, 0, &[])).await.unwrap();
        let user = domain::PrincipalKind::User;
        let renamed = PrincipalUpdate { name: Some("ada2".into()), ..PrincipalUpdate::default() };
        service.update_principal(&world.root, user, "ada", renamed).await.unwrap();
        assert!(
            cleaned(&world, "ada").await.contains("called there as they are only since"),
            "{}",
            world.on()
        );
        let described = PrincipalUpdate { description: Some("x".into()), ..PrincipalUpdate::default() };
        service.update_principal(&world.root, user, "eve", described).await.unwrap();
        assert_eq!(cleaned(&world, "eve").await, "", "{}", world.on());
        let mut update = ClusterUpdate::default();
        update.arrival.users = Some(vec!["{name}".to_owned()]);
        service.update_cluster(&world.root, "prod", update).await.unwrap();
        assert!(
            cleaned(&world, "bob").await.contains("called there as they are only since"),
            "{}",
            world.on()
        );
    }
}

#[tokio::test]
async fn times_that_cannot_be_are_refused() {
    for world in prepared(&["ada"]).await {
        let before = Timestamp::from_millis(-1);
        let (now, later) = (at(&world, 0), at(&world, 61));
        let covering = |from, to| ActivityReport { covered: Some(Span { from, to }), seen: Vec::new() };
        let seeing = |time| ActivityReport { covered: None, seen: vec![("ada".to_owned(), time)] };
        for (report, field) in [
            (covering(before, now), "from"),
            (covering(now, later), "to"),
            (covering(now, at(&world, -1)), "to"),
            (seeing(before), "users.lastSeen"),
            (seeing(later), "users.lastSeen"),
            (ActivityReport { covered: None, seen: vec![("a".to_owned(), now); 5001] }, "users"),
        ] {
            let error = world.service.import_activity(&world.root, "prod", &report).await.unwrap_err();
            assert_eq!((error.kind(), error.field()), (ErrorKind::Invalid, Some(field)), "{}", world.on());
        }
        assert_eq!(testing::number(&world.store, "SELECT COUNT(*) FROM activity").await, 0, "{}", world.on());
    }
}

#[tokio::test]
async fn whoever_does_not_administer_a_cluster_says_nothing_about_its_people() {
    for world in prepared(&["mallory"]).await {
        let service = &world.service;
        let mallory = service.show_user(&world.root, "mallory".into()).await.unwrap().0;
        world.give(&mallory, &allow(&["bailiwick:activity:import"])).await;
        let call = world.call_of(&mallory).await;
        let report = log(&world, 8 * DAY, 0, &[]);
        assert_refused(world.on(), service.import_activity(&call, "prod", &report).await);
        let stranger = service.import_activity(&world.stranger, "prod", &report).await.unwrap_err();
        assert_eq!(stranger.kind(), ErrorKind::NotFound, "{}", world.on());
        assert_eq!(testing::number(&world.store, "SELECT COUNT(*) FROM activity_coverage").await, 0);
    }
}

#[tokio::test]
async fn what_was_seen_goes_with_the_cluster_and_with_the_person() {
    for world in prepared(&["ada", "eve"]).await {
        let service = &world.service;
        let seen = [("ada", DAY), ("eve", DAY)];
        service.import_activity(&world.root, "prod", &log(&world, 8 * DAY, 0, &seen)).await.unwrap();
        service.delete_principal(&world.root, domain::PrincipalKind::User, "ada").await.unwrap();
        assert_eq!(testing::number(&world.store, "SELECT COUNT(*) FROM activity").await, 1, "{}", world.on());
        service.delete_cluster(&world.root, "prod", service::Removal::Abandon).await.unwrap();
        for table in ["activity", "activity_coverage"] {
            let rows = testing::number(&world.store, &format!("SELECT COUNT(*) FROM {table}")).await;
            assert_eq!(rows, 0, "{}: {table}", world.on());
        }
    }
}

#[tokio::test]
async fn a_kubeconfig_of_the_last_week_is_activity() {
    for world in prepared(&["ada"]).await {
        let service = &world.service;
        service.import_activity(&world.root, "prod", &log(&world, 9 * DAY, 0, &[])).await.unwrap();
        let issued = at(&world, -7 * DAY).as_millis();
        testing::execute(
            &world.store,
            &format!(
                "INSERT INTO certificates (id, account_id, cluster_id, principal_id, principal_kind, principal_name, \
                 user_name, lasting, issued_at, issued_by, expires_at, asked_with, asked_id, asked_epoch) \
                 VALUES ('0a', '{}', 'prod', 'ada', 'user', 'ada', \
                 'ada:0a', 0, {issued}, 'root', {issued}, 'nothing', '', 0)",
                world.root.account()
            ),
        )
        .await;
        assert!(cleaned(&world, "ada").await.contains("a kubeconfig was issued to them"), "{}", world.on());
        world.clock.advance_seconds(1);
        assert_eq!(cleaned(&world, "ada").await, "", "{}", world.on());
    }
}

#[tokio::test]
async fn an_answer_does_not_tell_which_ids_there_are_beyond_the_cluster() {
    for world in prepared(&["ada"]).await {
        let service = &world.service;
        world.user("secret").await;
        world.user("bob").await;
        world.principal(domain::PrincipalKind::Group, "ops").await;
        service.add_member(&world.root, "ops", "bob").await.unwrap();
        let mut of_group = crate::world::spec(&["ops"], &["prod"], &[]);
        of_group.principals.kind = domain::PrincipalKind::Group;
        service.create_grant(&world.root, of_group).await.unwrap();
        let seen =
            [("ada", DAY), ("ada:0a1b0a1b0a1b0a1b", HOUR), ("bob", DAY), ("secret", DAY), ("nobody", DAY)];
        let report = log(&world, 8 * DAY, 0, &seen);
        let done = service.import_activity(&world.root, "prod", &report).await.unwrap();
        assert_eq!((done.known, done.unknown), (3, 2), "{}", world.on());
        // What was seen counts nevertheless, the last time of each.
        assert_eq!(testing::number(&world.store, "SELECT COUNT(*) FROM activity").await, 3, "{}", world.on());
        let last = "SELECT last_seen FROM activity WHERE principal_id = 'ada'";
        assert_eq!(testing::number(&world.store, last).await, at(&world, -HOUR).as_millis());
    }
}
