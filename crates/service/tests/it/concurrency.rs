//! Forty at once: every read-modify-write use case ends as if the forty had come one after the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{ErrorKind, PrincipalKind, Secret};
use futures::future::join_all;
use service::{Call, NewCluster, Service};
use store::testing::number;

use crate::world::{World, new_principal, spec, worlds};

const MANY: usize = 40;

/// Runs `work` forty times at once, on as many threads as there are, and gives the outcomes.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    world: &World,
    work: impl Fn(Arc<Service>, Call, usize) -> F,
) -> Vec<T> {
    let tasks = (0..MANY).map(|n| tokio::spawn(work(Arc::clone(&world.service), world.root.clone(), n)));
    join_all(tasks).await.into_iter().map(|joined| joined.unwrap()).collect()
}

fn winners<T>(outcomes: &[domain::Result<T>], others: ErrorKind) -> usize {
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().err().is_none_or(|error| error.kind() == others)));
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

async fn revision(world: &World) -> i64 {
    number(
        &world.store,
        &format!("SELECT n FROM revision WHERE account_id = '{}'", world.root.caller.account),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_replaces_of_one_grant_end_as_one_of_them_and_none_is_mixed() {
    for world in worlds().await {
        let users: Vec<String> = (0..MANY).map(|n| format!("u{n}")).collect();
        for user in &users {
            world.user(user).await;
        }
        let grant = world.service.create_grant(&world.root, spec(&["u0"], &[], &["start"])).await.unwrap();
        let before = revision(&world).await;
        let id = grant.id.clone();
        // Writer n names user n and namespaces n-0 … n-4: rows of two writers in one grant would show.
        let wanted = |n: usize| {
            let names: Vec<String> = (0..5).map(|i| format!("n{n}-{i}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            spec(&[&format!("u{n}")], &[], &names)
        };
        let outcomes = at_once(&world, move |service, call, n| {
            let (id, spec) = (id.clone(), wanted(n));
            async move { service.update_grant(&call, id.as_str(), spec).await }
        })
        .await;
        assert_eq!(winners(&outcomes, ErrorKind::Internal), MANY, "{}", world.on());
        let generations: BTreeSet<i64> =
            outcomes.iter().map(|outcome| outcome.as_ref().unwrap().generation).collect();
        assert_eq!(generations, (2..=MANY as i64 + 1).collect(), "each saw the one before");
        let last = outcomes.into_iter().map(Result::unwrap).max_by_key(|grant| grant.generation).unwrap();
        let stored = world.service.show_grant(&world.root, grant.id.as_str()).await.unwrap();
        assert_eq!(stored, last);
        assert_eq!(revision(&world).await - before, MANY as i64);
        let rows = number(&world.store, "SELECT COUNT(*) FROM grant_namespaces").await;
        assert_eq!(rows, 5, "no rows of another writer are left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_forty_gets_a_name_an_id_or_the_last_word() {
    for world in worlds().await {
        world.user("ada").await;
        let named = at_once(&world, |service, call, _| async move {
            service.create_principal(&call, new_principal(PrincipalKind::User, None, "same")).await
        })
        .await;
        assert_eq!(winners(&named, ErrorKind::Conflict), 1, "{}: a user's name", world.on());
        let clusters = at_once(&world, |service, call, n| async move {
            let new = NewCluster { id: Some("same".into()), name: format!("c{n}"), ..NewCluster::default() };
            service.create_cluster(&call, new).await
        })
        .await;
        assert_eq!(winners(&clusters, ErrorKind::Conflict), 1, "a cluster's id");
        let projects =
            at_once(
                &world,
                |service, call, _| async move { service.create_project(&call, None, "same").await },
            )
            .await;
        assert_eq!(winners(&projects, ErrorKind::Conflict), 1, "a project's name");
        let grant = world.service.create_grant(&world.root, spec(&["ada"], &[], &[])).await.unwrap();
        let revokes = at_once(&world, move |service, call, _| {
            let id = grant.id.clone();
            async move { service.revoke_grant(&call, id.as_str()).await }
        })
        .await;
        assert_eq!(winners(&revokes, ErrorKind::NotFound), 1, "a revoke");
        let removed = at_once(&world, |service, call, _| async move {
            service.delete_cluster(&call, "same", service::Removal::Revoke).await
        })
        .await;
        assert_eq!(winners(&removed, ErrorKind::NotFound), 1, "a removal");
        let deleted = at_once(&world, |service, call, _| async move {
            service.delete_principal(&call, PrincipalKind::User, "ada").await
        })
        .await;
        assert_eq!(winners(&deleted, ErrorKind::NotFound), 1, "a deletion");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_forty_additions_is_lost() {
    for world in worlds().await {
        let group = world.principal(PrincipalKind::Group, "team").await;
        for n in 0..MANY {
            world.user(&format!("u{n}")).await;
        }
        let added = at_once(&world, |service, call, n| async move {
            service.add_member(&call, "team", &format!("u{n}")).await?;
            service.create_access_key(&call, &format!("u{n}"), "").await?;
            service.create_grant(&call, spec(&[&format!("u{n}")], &[], &[])).await
        })
        .await;
        assert_eq!(winners(&added, ErrorKind::Internal), MANY, "{}", world.on());
        assert_eq!(world.service.list_members(&world.root, group.id.as_str()).await.unwrap().len(), MANY);
        assert_eq!(world.service.list_grants(&world.root).await.unwrap().grants.len(), MANY);
        let before = revision(&world).await;
        let removed = at_once(&world, |service, call, n| async move {
            service.remove_member(&call, "team", &format!("u{n}")).await
        })
        .await;
        assert_eq!(winners(&removed, ErrorKind::Internal), MANY);
        assert!(world.service.list_members(&world.root, "team").await.unwrap().is_empty());
        assert_eq!(revision(&world).await - before, MANY as i64, "one commit each");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_deleted_while_grants_name_them_is_in_no_grant_afterwards() {
    for world in worlds().await {
        world.user("ada").await;
        world.user("bob").await;
        let outcomes = at_once(&world, |service, call, n| async move {
            if n == MANY / 2 {
                service.delete_principal(&call, PrincipalKind::User, "ada").await.map(|()| true)
            } else {
                service.create_grant(&call, spec(&["bob", "ada"], &[], &[])).await.map(|_| false)
            }
        })
        .await;
        assert!(winners(&outcomes, ErrorKind::Invalid) >= 1, "{}", world.on());
        let left =
            number(&world.store, "SELECT COUNT(*) FROM grant_principals WHERE principal_id = 'ada'").await;
        assert_eq!(left, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_changed_forty_times_is_the_last_one_and_no_earlier_token_lives() {
    for world in worlds().await {
        world.user("ada").await;
        let outcomes = at_once(&world, |service, call, n| async move {
            if n < 8 {
                service.set_password(&call, "ada", &Secret::new(format!("password {n}"))).await
            } else {
                Ok(())
            }
        })
        .await;
        assert_eq!(winners(&outcomes, ErrorKind::Internal), MANY);
        let mut right = 0;
        for n in 0..8 {
            let login =
                service::Login::Id { user: "ada".into(), password: Secret::new(format!("password {n}")) };
            let scope = service::Scope::Account { named: None };
            // From elsewhere each time: whoever guesses often from one address is locked out.
            let source = Arc::from(format!("192.0.2.{n}"));
            let origin = service::Origin { source, ..crate::world::origin() };
            right += usize::from(world.service.issue_token(&login, &scope, &origin).await.is_ok());
        }
        assert_eq!(right, 1, "{}: exactly one password is the password", world.on());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_login_with_the_old_password_outlives_the_change_that_was_acknowledged() {
    for world in worlds().await {
        world.user("ada").await;
        let old = || Secret::new("old password".into());
        world.service.set_password(&world.root, "ada", &old()).await.unwrap();
        let scope = || service::Scope::Account { named: None };
        let login = move |service: Arc<Service>| async move {
            let login = service::Login::Id { user: "ada".into(), password: old() };
            service.issue_token(&login, &scope(), &crate::world::origin()).await
        };
        // Some logins wait for their turn when the change is asked for, and their tokens must not live.
        let logins: Vec<_> = (0..10).map(|_| tokio::spawn(login(Arc::clone(&world.service)))).collect();
        world.service.set_password(&world.root, "ada", &Secret::new("new password".into())).await.unwrap();
        for outcome in join_all(logins).await {
            if let Ok(issued) = outcome.unwrap() {
                let call = world.service.call_by_token(issued.token.expose(), crate::world::origin()).await;
                assert!(call.is_err(), "{}: a token of the old password lives", world.on());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_logins_than_can_be_served_are_refused_and_not_queued() {
    for world in worlds().await {
        let outcomes = join_all((0..200).map(|_| {
            let service = Arc::clone(&world.service);
            tokio::spawn(async move {
                let login = service::Login::Id { user: "nobody".into(), password: Secret::new("x".into()) };
                let scope = service::Scope::Account { named: None };
                service.issue_token(&login, &scope, &crate::world::origin()).await.unwrap_err().kind()
            })
        }))
        .await;
        let kinds: Vec<ErrorKind> = outcomes.into_iter().map(|outcome| outcome.unwrap()).collect();
        assert!(kinds.contains(&ErrorKind::Limited), "{}", world.on());
        assert!(kinds.contains(&ErrorKind::Unauthenticated), "those in the queue are served");
    }
}

/// More writers wait than the pool has connections: were each to hold one, this would end in a time-out.
#[tokio::test]
async fn readers_of_an_embedded_database_are_served_while_writers_queue_up() {
    let world = worlds().await.swap_remove(0);
    let first = world.store.write(world.root.account()).await.unwrap();
    let waiting: Vec<_> = (0..50)
        .map(|n| {
            let (service, call) = (Arc::clone(&world.service), world.root.clone());
            tokio::spawn(async move { service.create_project(&call, None, &format!("p{n}")).await })
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM accounts").await, 2);
    }
    drop(first);
    let outcomes = join_all(waiting).await;
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap().is_ok()));
}
