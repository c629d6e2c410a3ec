//! What may not be done to users, groups, agencies and keys, and by whom.

use std::sync::Arc;

use domain::PrincipalKind::{Agency, Group, User};
use domain::{Error, ErrorKind, ExternalId, Result, Secret};
use service::{
    AgencyUpdate, Call, KeyUpdate, NewPrincipal, PageRequest, PrincipalUpdate, TrustedAccount, Which,
    WhichKey,
};

use crate::world::{World, new_principal, origin, worlds};

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

fn kind<T>(outcome: Result<T>) -> Result<(), ErrorKind> {
    outcome.map(drop).map_err(|error| error.kind())
}

fn rename(name: &str) -> PrincipalUpdate {
    PrincipalUpdate { name: Some(name.into()), ..PrincipalUpdate::default() }
}

fn enable(enabled: bool) -> PrincipalUpdate {
    PrincipalUpdate { enabled: Some(enabled), ..PrincipalUpdate::default() }
}

/// Every rung: each change by which `call` could come to act as `user`, or as the members of `group`, or as `agency`.
async fn rungs(world: &World, call: &Call, user: &str, key: &str) -> Vec<(&'static str, Result<(), Error>)> {
    let service = &world.service;
    let external = PrincipalUpdate {
        external_ids: Some(vec![ExternalId { issuer: "corp".into(), subject: "1".into() }]),
        ..PrincipalUpdate::default()
    };
    let password = PrincipalUpdate { password: Some(secret("long enough")), ..PrincipalUpdate::default() };
    let note = KeyUpdate { enabled: None, description: Some("mine".into()) };
    vec![
        ("create a key", service.create_access_key(call, user, "").await.map(drop)),
        ("disable a key", service.disable_access_key(call, key).await.map(drop)),
        ("enable a key", service.enable_access_key(call, key).await.map(drop)),
        ("describe a key", service.update_access_key(call, key, note).await.map(drop)),
        ("delete a key", service.delete_access_key(call, key).await),
        ("set a password", service.set_password(call, user, &secret("long enough")).await),
        ("update a password", service.update_principal(call, User, user, password).await.map(drop)),
        (
            "give a password",
            service.create_password(call, Which::from(user), &secret("long enough")).await.map(drop),
        ),
        ("delete a password", service.delete_password(call, user).await),
        ("rename", service.update_principal(call, User, user, rename("other")).await.map(drop)),
        ("disable", service.update_principal(call, User, user, enable(false)).await.map(drop)),
        ("enable", service.update_principal(call, User, user, enable(true)).await.map(drop)),
        ("external ids", service.update_principal(call, User, user, external).await.map(drop)),
    ]
}

#[tokio::test]
async fn root_is_changed_by_root_alone_on_every_rung() {
    for world in worlds().await {
        let ada = world.user("ada").await;
        world.service.add_member(&world.root, "administrators", "ada").await.unwrap();
        let call = world.call_of(&ada).await;
        let (root, key) = (world.root.caller.principal.as_str(), world.prepared.access_key_id.as_str());
        for (rung, outcome) in rungs(&world, &call, root, key).await {
            assert_eq!(kind(outcome), Err(ErrorKind::Forbidden), "{}: {rung}", world.on());
        }
        let deleted = world.service.delete_principal(&call, User, root).await;
        assert_eq!(kind(deleted), Err(ErrorKind::Conflict), "nobody deletes root");
        // The same on somebody else is their right.
        world
            .service
            .set_password(&call, world.user("bob").await.id.as_str(), &secret("long enough"))
            .await
            .unwrap();
        world.service.update_principal(&world.root, User, root, rename("chief")).await.unwrap();
    }
}

#[tokio::test]
async fn somebody_without_rights_climbs_no_rung() {
    for world in worlds().await {
        let (mallory, ada) = (world.user("mallory").await, world.user("ada").await);
        let key = world.service.create_access_key(&world.root, "ada", "").await.unwrap().key.id;
        world.principal(Agency, "writer").await;
        let call = world.call_of(&mallory).await;
        for (rung, outcome) in rungs(&world, &call, ada.id.as_str(), key.as_str()).await {
            assert_eq!(kind(outcome), Err(ErrorKind::Forbidden), "{}: {rung}", world.on());
        }
        let service = &world.service;
        for outcome in [
            service.delete_principal(&call, User, "ada").await,
            service.add_member(&call, "administrators", "mallory").await,
            service.remove_member(&call, "administrators", "mallory").await,
            service
                .update_agency(&call, Which::from("writer"), rename("w"), AgencyUpdate::default())
                .await
                .map(drop),
        ] {
            assert_eq!(kind(outcome), Err(ErrorKind::Forbidden), "{}", world.on());
        }
    }
}

#[tokio::test]
async fn the_last_way_in_as_root_stays() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let (user, first) = (root.caller.principal.as_str(), world.prepared.access_key_id.as_str());
        let second = service.create_access_key(root, user, "").await.unwrap().key.id;
        service.delete_password(root, user).await.unwrap();
        service.disable_access_key(root, second.as_str()).await.unwrap();
        for outcome in [
            service.delete_access_key(root, first).await,
            service.disable_access_key(root, first).await.map(drop),
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{}", world.on());
            assert!(error.message().contains("nobody could get in as root"), "{error}");
        }
        service.delete_access_key(root, second.as_str()).await.unwrap();
        service.set_password(root, user, &secret("long enough")).await.unwrap();
        service.disable_access_key(root, first).await.unwrap();
        let no_key = service.delete_password(root, user).await.unwrap_err();
        assert_eq!(no_key.kind(), ErrorKind::Conflict, "the password is the last way in now");
    }
}

#[tokio::test]
async fn the_built_in_group_is_neither_renamed_nor_deleted_and_root_never_disabled() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let renamed = service.update_principal(root, Group, "administrators", rename("others")).await;
        assert_eq!(kind(renamed), Err(ErrorKind::Conflict), "{}", world.on());
        let described =
            PrincipalUpdate { description: Some("all of us".into()), ..PrincipalUpdate::default() };
        service.update_principal(root, Group, "administrators", described).await.unwrap();
        let user = root.caller.principal.as_str();
        let disabled = service.update_principal(root, User, user, enable(false)).await;
        assert_eq!(kind(disabled), Err(ErrorKind::Conflict));
        world.principal(Group, "builders").await;
        let taken = service.update_principal(root, Group, "builders", rename("administrators")).await;
        assert_eq!(kind(taken), Err(ErrorKind::Conflict), "no other group becomes the built-in one");
        let disabled = service.update_principal(root, Group, "builders", enable(false)).await;
        assert_eq!(kind(disabled), Err(ErrorKind::Invalid));
    }
}

#[tokio::test]
async fn a_disabled_users_credentials_are_refused_at_once_and_tokens_stay_ended() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let new =
            NewPrincipal { password: Some(secret("long enough")), ..new_principal(User, Some("ada"), "ada") };
        service.create_principal(root, new).await.unwrap();
        let key = service.create_access_key(root, "ada", "").await.unwrap().key.id;
        let token = world.token("ada", "long enough").await.unwrap();
        assert!(service.signing_key(key.as_str()).await.unwrap().is_some(), "{}", world.on());
        service.update_principal(root, User, "ada", enable(false)).await.unwrap();
        assert!(service.signing_key(key.as_str()).await.unwrap().is_none());
        assert!(service.call_by_token(&token, origin()).await.is_err());
        assert!(world.token("ada", "long enough").await.is_err());
        service.update_principal(root, User, "ada", enable(true)).await.unwrap();
        assert!(service.signing_key(key.as_str()).await.unwrap().is_some());
        assert!(service.call_by_token(&token, origin()).await.is_err(), "what had begun does not go on");
        assert!(world.token("ada", "long enough").await.is_ok());
    }
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let made = world.user("ada").await;
        world.clock.advance_seconds(60);
        let external = vec![ExternalId { issuer: "corp".into(), subject: "1".into() }];
        let change = PrincipalUpdate {
            name: Some("ada lovelace".into()),
            external_ids: Some(external.clone()),
            ..PrincipalUpdate::default()
        };
        let after = service.update_principal(root, User, "ada", change).await.unwrap();
        assert_eq!(
            service.show_principal(root, User, "ada lovelace").await.unwrap(),
            after,
            "{}",
            world.on()
        );
        assert_eq!(
            (&after.id, &after.external_ids, after.created_at),
            (&made.id, &external, made.created_at)
        );
        assert!(after.updated_at > made.updated_at && after.enabled);
        let described = PrincipalUpdate { description: Some("d".into()), ..PrincipalUpdate::default() };
        let after = service.update_principal(root, User, "ada lovelace", described).await.unwrap();
        assert_eq!((after.description.as_str(), after.external_ids), ("d", external));
        world.user("bob").await;
        let taken = service.update_principal(root, User, "bob", rename("ada lovelace")).await;
        assert_eq!(kind(taken), Err(ErrorKind::Conflict));
        let foreign = service.update_principal(&world.stranger, User, "bob", rename("x")).await;
        assert_eq!(kind(foreign), Err(ErrorKind::NotFound), "another account's");
        let page = service.list_principals(root, User, &PageRequest::default()).await.unwrap();
        assert_eq!(page.items.iter().filter(|user| user.external_ids.len() == 1).count(), 1);
    }
}

#[tokio::test]
async fn an_id_alone_never_finds_somebody_by_name() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        service.create_principal(root, new_principal(User, Some("u1"), "ada")).await.unwrap();
        let by_name = service.delete_principal(root, User, Which::Id("ada")).await;
        assert_eq!(kind(by_name), Err(ErrorKind::NotFound), "{}", world.on());
        let as_group = service.show_principal(root, Group, Which::Id("u1")).await;
        assert_eq!(kind(as_group), Err(ErrorKind::NotFound), "the kind must be right, too");
        let key = service.create_access_key(root, "ada", "").await.unwrap().key.id;
        let others = WhichKey { id: key.as_str(), user: Some("u2") };
        assert_eq!(kind(service.show_access_key(root, others).await), Err(ErrorKind::NotFound));
        service.delete_principal(root, User, Which::Id("u1")).await.unwrap();
    }
}

#[tokio::test]
async fn people_change_their_own_password_with_the_old_one() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let new =
            NewPrincipal { password: Some(secret("long enough")), ..new_principal(User, Some("ada"), "ada") };
        let ada = service.create_principal(root, new).await.unwrap();
        let call = world.call_of(&ada).await;
        let token = world.token("ada", "long enough").await.unwrap();
        let change = |user: &'static str, old: &'static str, new: &'static str| {
            let (service, call) = (Arc::clone(&world.service), call.clone());
            async move {
                kind(service.change_own_password(&call, Which::from(user), &secret(old), &secret(new)).await)
            }
        };
        assert_eq!(change("ada", "wrong one", "another one").await, Err(ErrorKind::Unauthenticated));
        assert_eq!(change("ada", "long enough", "long enough").await, Err(ErrorKind::Invalid), "the same");
        assert_eq!(change("ada", "long enough", "short").await, Err(ErrorKind::Invalid));
        assert_eq!(change("admin", "long enough", "another one").await, Err(ErrorKind::Forbidden));
        assert_eq!(change("ada", "long enough", "another one").await, Ok(()), "{}", world.on());
        assert!(service.call_by_token(&token, origin()).await.is_err(), "what the old one gave ended");
        assert!(world.token("ada", "another one").await.is_ok());
    }
}

#[tokio::test]
async fn the_use_of_a_key_is_written_in_the_background_and_not_each_time() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let ada = world.user("ada").await;
        let caller = world.call_of(&ada).await.caller;
        let key = service.create_access_key(root, "ada", "").await.unwrap().key.id;
        let other = world.another_server();
        let mut seen = Vec::new();
        for (server, wait) in [(service, 0), (service, 60), (&other, 60), (service, 300), (&other, 0)] {
            world.clock.advance_seconds(wait);
            server.note_key_use(key.as_str(), &caller);
            server.flush_key_use().await.unwrap();
            seen.push(service.show_access_key(root, key.as_str()).await.unwrap().last_used_at.unwrap());
        }
        let first = seen[0];
        assert_eq!(seen[..3], [first; 3], "{}: within minutes it is not written again", world.on());
        assert_eq!(seen[3..], [first.plus_seconds(420); 2]);
        let before = world.store.revisions().await.unwrap();
        world.clock.advance_seconds(600);
        service.note_key_use(key.as_str(), &caller);
        service.flush_key_use().await.unwrap();
        assert_eq!(world.store.revisions().await.unwrap(), before, "it is no change of the account");
    }
}

const TRUST: &str = r#"{"Version":"5.0","Statement":[
    {"Effect":"Allow","Action":["sts:agencies:assume"],"Principal":{"IAM":["a"]}}]}"#;

#[tokio::test]
async fn an_agency_keeps_what_is_said_of_it_and_refuses_what_has_no_meaning() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let said = |trust: &str| AgencyUpdate {
            trust_policy: Some(Some(trust.to_owned())),
            trusted_account: Some(Some(TrustedAccount::Name(world.stranger.caller.account_name.clone()))),
            max_session_seconds: Some(7200),
            description: Some("backups".into()),
            path: Some("team/backup/".into()),
            expires_at: Some(Some(world.clock_in(3600))),
        };
        let new = || new_principal(Agency, Some("ag"), "writer");
        let made = service.create_agency(root, new(), said(TRUST)).await.unwrap();
        let shown = service.show_agency(root, Which::Id("ag")).await.unwrap();
        assert_eq!(shown.details, made.details, "{}", world.on());
        assert_eq!(shown.details.trusted_account.as_ref(), Some(world.stranger.account()));
        assert_eq!(shown.trusted_account_name.as_deref(), Some(world.stranger.caller.account_name.as_str()));
        let change = AgencyUpdate { expires_at: Some(None), ..AgencyUpdate::default() };
        let changed =
            service.update_agency(root, Which::Id("ag"), PrincipalUpdate::default(), change).await.unwrap();
        assert_eq!(changed.details.expires_at, None);
        assert_eq!(changed.details.trust_policy.as_deref(), Some(TRUST), "the rest stays");
        let nobody =
            AgencyUpdate { trust_policy: Some(None), trusted_account: Some(None), ..AgencyUpdate::default() };
        let changed =
            service.update_agency(root, Which::Id("ag"), PrincipalUpdate::default(), nobody).await.unwrap();
        assert_eq!((changed.details.trust_policy, changed.details.trusted_account), (None, None));
        for (field, wrong) in [
            ("trustPolicy", said("{}")),
            ("maxSessionSeconds", AgencyUpdate { max_session_seconds: Some(899), ..AgencyUpdate::default() }),
            ("path", AgencyUpdate { path: Some("/x".into()), ..AgencyUpdate::default() }),
            (
                "trustedAccount",
                AgencyUpdate {
                    trusted_account: Some(Some(TrustedAccount::Name("no one".into()))),
                    ..AgencyUpdate::default()
                },
            ),
        ] {
            let error = service
                .update_agency(root, Which::Id("ag"), PrincipalUpdate::default(), wrong)
                .await
                .unwrap_err();
            assert_eq!(error.field(), Some(field), "{error}");
        }
        let foreign = service.show_agency(&world.stranger, Which::Id("ag")).await;
        assert_eq!(kind(foreign), Err(ErrorKind::NotFound));
        service.delete_principal(root, Agency, "ag").await.unwrap();
        assert_eq!(kind(service.create_agency(root, new(), said(TRUST)).await), Err(ErrorKind::Conflict));
    }
}
