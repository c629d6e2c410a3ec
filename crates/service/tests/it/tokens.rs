//! Logging in, and what ends a login.

use domain::{ErrorKind, PrincipalKind, Secret};
use service::{Login, NewPrincipal, Scope};

use crate::world::{World, new_principal, origin, worlds};

const PASSWORD: &str = "correct horse";

async fn with_ada(world: &World) {
    let new = NewPrincipal {
        password: Some(Secret::new(PASSWORD.into())),
        ..new_principal(PrincipalKind::User, Some("ada-id"), "ada")
    };
    world.service.create_principal(&world.root, new).await.unwrap();
}

fn login(account: &str, user: &str, password: &str) -> Login {
    Login::Name {
        account_id: None,
        account_name: Some(account.into()),
        user: user.into(),
        password: Secret::new(password.into()),
    }
}

const WHOLE: Scope = Scope::Account { named: None };

#[tokio::test]
async fn every_wrong_login_gets_the_same_answer() {
    for world in worlds().await {
        with_ada(&world).await;
        let mut answers = Vec::new();
        for wrong in [
            login("admin", "ada", "wrong horse"),
            login("admin", "nobody", PASSWORD),
            login("nowhere", "ada", PASSWORD),
            login("stranger", "ada", PASSWORD),
            login("admin", "ada-id", PASSWORD),
            Login::Id { user: "nobody".into(), password: Secret::new(PASSWORD.into()) },
        ] {
            let error = world.service.issue_token(&wrong, &WHOLE, &origin()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{}: {wrong:?}", world.on());
            answers.push(error.to_string());
        }
        answers.dedup();
        assert_eq!(answers.len(), 1);
    }
}

/// However the account is written: else the seventh attempt would tell who exists.
#[tokio::test]
async fn made_up_users_are_locked_just_when_real_ones_are() {
    for world in worlds().await {
        with_ada(&world).await;
        let account = world.root.account().to_string();
        let mut told = Vec::new();
        for user in ["ada", "nobody"] {
            let mut answers = Vec::new();
            for n in 0..8 {
                let (account_id, account_name) =
                    if n % 2 == 0 { (Some(account.clone()), None) } else { (None, Some("admin".to_owned())) };
                let password = Secret::new("wrong horse".into());
                let wrong = Login::Name { account_id, account_name, user: user.into(), password };
                let error = world.service.issue_token(&wrong, &WHOLE, &origin()).await.unwrap_err();
                answers.push(error.to_string());
            }
            assert_ne!(answers[0], answers[7], "{}: {user} is locked at last", world.on());
            told.push(answers);
        }
        assert_eq!(told[0], told[1], "{}", world.on());
    }
}

#[tokio::test]
async fn guesses_that_wait_together_are_answered_no_more_often_than_one_by_one() {
    for world in worlds().await {
        with_ada(&world).await;
        let service = &world.service;
        let locked = |outcomes: Vec<domain::Error>| {
            outcomes.iter().filter(|error| error.message().contains("five minutes")).count()
        };
        let guess = login("admin", "ada", "wrong horse");
        let guesses =
            (0..8).map(|_| async { service.issue_token(&guess, &WHOLE, &origin()).await.unwrap_err() });
        assert_eq!(locked(futures::future::join_all(guesses).await), 2, "{}", world.on());
        world.clock.advance_seconds(300);
        let token = service.issue_token(&login("admin", "ada", PASSWORD), &WHOLE, &origin()).await.unwrap();
        let call = service.call_by_token(token.token.expose(), origin()).await.unwrap();
        let (old, new) = (Secret::new("wrong horse".into()), Secret::new("another horse".into()));
        let guesses = (0..8).map(|_| async {
            service.change_own_password(&call, "ada".into(), &old, &new).await.unwrap_err()
        });
        assert_eq!(locked(futures::future::join_all(guesses).await), 2, "{}", world.on());
    }
}

#[tokio::test]
async fn a_token_stands_for_its_user_and_scope_until_it_ends() {
    for world in worlds().await {
        let service = &world.service;
        with_ada(&world).await;
        let scope = Scope::Project { named: "default".into() };
        let right = login("admin", "ada", PASSWORD);
        let issued = service.issue_token(&right, &scope, &origin()).await.unwrap();
        let token = issued.token.expose();
        let call = service.call_by_token(token, origin()).await.unwrap();
        assert_eq!(call.caller.principal.as_str(), "ada-id", "{}", world.on());
        assert_eq!(call.project.as_ref(), Some(&world.prepared.project.id));
        assert_eq!(service.show_token(&world.root, token).await.unwrap().caller.name, "ada");
        let foreign = service.show_token(&world.stranger, token).await.unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::NotFound, "another account's token");
        world.clock.advance_seconds(24 * 3600 - 1);
        assert!(service.call_by_token(token, origin()).await.is_ok());
        world.clock.advance_seconds(1);
        let ended = service.call_by_token(token, origin()).await.unwrap_err();
        assert!(ended.message().starts_with("the token expired at "), "{ended}");
        for bad in ["", "bwt_", "x", &"x".repeat(40_000)] {
            assert_eq!(
                service.call_by_token(bad, origin()).await.unwrap_err().kind(),
                ErrorKind::Unauthenticated
            );
        }
        let by_id = Login::Id { user: "ada-id".into(), password: Secret::new(PASSWORD.into()) };
        assert!(service.issue_token(&by_id, &WHOLE, &origin()).await.is_ok());
    }
}

#[tokio::test]
async fn a_scope_outside_the_account_is_refused() {
    for world in worlds().await {
        with_ada(&world).await;
        let right = login("admin", "ada", PASSWORD);
        for scope in [
            Scope::Project { named: world.stranger.caller.projects[0].to_string() },
            Scope::Project { named: "nope".into() },
            Scope::Account { named: Some("stranger".into()) },
        ] {
            let error = world.service.issue_token(&right, &scope, &origin()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{scope:?}");
        }
        let own = Scope::Account { named: Some("admin".into()) };
        assert!(world.service.issue_token(&right, &own, &origin()).await.is_ok());
    }
}

#[tokio::test]
async fn revoking_changing_the_password_and_deleting_the_user_each_end_a_token_at_once() {
    for world in worlds().await {
        let service = &world.service;
        with_ada(&world).await;
        let right = login("admin", "ada", PASSWORD);
        let refused = |token: String| async move {
            service
                .call_by_token(&token, origin())
                .await
                .is_err_and(|error| error.kind() == ErrorKind::Unauthenticated)
        };
        let issue = || async {
            let issued = service.issue_token(&right, &WHOLE, &origin()).await.unwrap();
            let token = issued.token.expose().to_owned();
            assert!(service.call_by_token(&token, origin()).await.is_ok(), "it is in memory now");
            token
        };
        let token = issue().await;
        let foreign = service.revoke_token(&world.stranger, &token).await.unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::NotFound, "{}", world.on());
        service.revoke_token(&world.root, &token).await.unwrap();
        assert!(refused(token).await);
        let token = issue().await;
        service.set_password(&world.root, "ada", &Secret::new(PASSWORD.into())).await.unwrap();
        assert!(refused(token).await);
        let token = issue().await;
        service.delete_principal(&world.root, PrincipalKind::User, "ada").await.unwrap();
        assert!(refused(token).await);
    }
}

#[tokio::test]
async fn passwords_have_a_length_and_only_users_have_them() {
    for world in worlds().await {
        let with = |kind, password: &str| NewPrincipal {
            password: Some(Secret::new(password.into())),
            ..new_principal(kind, None, "n")
        };
        for (kind, password) in [
            (PrincipalKind::User, "short".to_owned()),
            (PrincipalKind::User, "x".repeat(129)),
            (PrincipalKind::Group, PASSWORD.to_owned()),
            (PrincipalKind::Agency, PASSWORD.to_owned()),
        ] {
            let error = world.service.create_principal(&world.root, with(kind, &password)).await.unwrap_err();
            assert_eq!(error.field(), Some("password"));
        }
    }
}
