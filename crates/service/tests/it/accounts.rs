//! First starts and accounts.

use std::sync::Arc;

use domain::ErrorKind;
use domain::clock::Fixed;
use service::MasterKey;
use service::installation::bootstrap::{AccountSpec, Purpose};
use store::testing::{databases, number};

use crate::world::{bootstrap, worlds};

#[tokio::test]
async fn two_servers_that_start_on_an_empty_database_make_one_account() {
    for database in databases().await {
        let clock = Arc::new(Fixed::new(domain::Timestamp::from_millis(0)));
        let starts = (0..8).map(|seed| {
            let (database, clock) = (&database, Arc::clone(&clock));
            async move {
                let server = bootstrap(database.open().await, clock, seed);
                let installation = server.installation(Purpose::Real).await.unwrap();
                let prepared = server.prepare(AccountSpec::default()).unwrap();
                (installation.id, server.store_first(&prepared).await.unwrap())
            }
        });
        let started = futures::future::join_all(starts).await;
        assert_eq!(started.iter().filter(|(_, first)| *first).count(), 1, "{}", database.name());
        assert!(started.iter().all(|(id, _)| *id == started[0].0), "one installation");
        assert_eq!(number(&database.open().await, "SELECT COUNT(*) FROM accounts").await, 1);
    }
}

#[tokio::test]
async fn chosen_ids_and_names_are_kept_and_the_account_is_named_after_its_user() {
    for database in databases().await {
        let server =
            bootstrap(database.open().await, Arc::new(Fixed::new(domain::Timestamp::from_millis(0))), 1);
        server.installation(Purpose::Real).await.unwrap();
        let text = |text: &str| Some(text.to_owned());
        let prepared = server
            .prepare(AccountSpec {
                account_id: text("acc-1"),
                project_id: text("prj-1"),
                project_name: text("eu-west-101"),
                user_id: text("usr-1"),
                user_name: text("ops"),
                access_key_id: text("AKEXAMPLE"),
                ..AccountSpec::default()
            })
            .unwrap();
        assert!(server.store_first(&prepared).await.unwrap());
        assert_eq!(prepared.account.name, "ops");
        let mut tx = server.store.read().await.unwrap();
        assert_eq!(tx.account(&prepared.account.id).await.unwrap().unwrap().name, "ops");
        assert_eq!(tx.account_by_name("ops").await.unwrap().unwrap().id.as_str(), "acc-1");
        assert_eq!(tx.access_key("AKEXAMPLE").await.unwrap().unwrap().user.as_str(), "usr-1");
        assert!(!server.is_empty().await.unwrap());
    }
}

#[tokio::test]
async fn a_database_refuses_another_key_and_another_purpose() {
    for world in worlds().await {
        let mut other = bootstrap(world.store.clone(), world.clock.clone(), 5);
        other.master_key = MasterKey::generate(&domain::entropy::Fixed::new(1234)).into();
        let error = other.installation(Purpose::Real).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{}", world.on());
        let needed = world.bootstrap.master_key.first_id().unwrap();
        assert!(error.message().contains(&needed), "says which key it needs: {error}");
        let error = world.bootstrap.installation(Purpose::Demo).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn an_accounts_id_and_name_are_given_once() {
    for world in worlds().await {
        let spec = || AccountSpec {
            account_id: Some(world.prepared.account.id.to_string()),
            account_name: Some("another".into()),
            ..AccountSpec::default()
        };
        let again = world.bootstrap.prepare(spec()).unwrap();
        assert_eq!(world.bootstrap.store_account(&again).await.unwrap_err().kind(), ErrorKind::Conflict);
        let named = AccountSpec { account_name: Some("stranger".into()), ..AccountSpec::default() };
        let named = world.bootstrap.prepare(named).unwrap();
        assert_eq!(world.bootstrap.store_account(&named).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn projects_are_listed_in_pages_and_named_once() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        for name in ["a", "b", "c"] {
            service.create_project(root, None, name).await.unwrap();
            service.create_enterprise_project(root, Some(&format!("ep-{name}")), name).await.unwrap();
        }
        let taken = service.create_project(root, None, "a").await.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::Conflict);
        let taken = service.create_enterprise_project(root, Some("ep-a"), "z").await.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::Conflict);
        let mut request = service::PageRequest { limit: Some(2), cursor: None };
        let first = service.list_projects(root, &request).await.unwrap();
        assert_eq!(first.items.len(), 2);
        request.cursor = first.next;
        let second = service.list_projects(root, &request).await.unwrap();
        assert_eq!((second.items.len(), second.next), (2, None), "the first project came with the account");
        let listed = service.list_enterprise_projects(root, &service::PageRequest::default()).await.unwrap();
        assert_eq!(listed.items.len(), 3);
        let theirs = service.list_projects(&world.stranger, &service::PageRequest::default()).await.unwrap();
        assert!(
            theirs.items.iter().all(|project| project.account == *world.stranger.account()),
            "another account"
        );
        assert_eq!(service.show_account(root).await.unwrap().name, "admin");
    }
}
