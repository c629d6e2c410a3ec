//! The audit: what comes into it, who reads it, how long it is kept.

use domain::{ErrorKind, PrincipalKind, Secret};
use service::{Assumption, AuditFilter, AuditRow, AuthFailure, Login, PageRequest, Scope};
use store::testing::{execute, number};

use crate::world::{World, origin, worlds};

async fn events(world: &World, filter: AuditFilter) -> Vec<AuditRow> {
    let page = PageRequest { limit: Some(1000), cursor: None };
    world.service.list_audit_events(&world.root, &filter, &page).await.unwrap().items
}

fn of_action(action: &str) -> AuditFilter {
    AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() }
}

#[tokio::test]
async fn every_issue_of_a_credential_is_in_the_audit_and_no_secret_with_it() {
    for world in worlds().await {
        let key = world
            .service
            .create_access_key(&world.root, world.root.caller.principal.as_str(), "")
            .await
            .unwrap();
        let password = || Secret::new(world.prepared.password.expose().to_owned());
        let login = Login::Id { user: world.root.caller.principal.to_string(), password: password() };
        let issued =
            world.service.issue_token(&login, &Scope::Account { named: None }, &origin()).await.unwrap();
        let temporary = world.service.issue_temporary_key(&world.root, 900, Vec::new()).await.unwrap();
        let agency = world.principal(PrincipalKind::Agency, "build").await;
        let wish = Assumption {
            account_id: Some(world.root.account().to_string()),
            agency: agency.name.clone(),
            ..Assumption::default()
        };
        let assumed = world.service.assume_agency(&world.root, &wish).await.unwrap().key;
        let root = &world.root.caller.principal;
        for (action, resource) in [
            ("bailiwick:accessKey:create", format!("access-key/{}", key.key.id)),
            ("bailiwick:token:issue", format!("user/{root}/token/{}", issued.view.id)),
            ("bailiwick:temporaryKey:issue", format!("user/{root}/temporary-key/{}", temporary.id)),
            ("bailiwick:agency:assume", format!("agency/{}/temporary-key/{}", agency.id, assumed.id)),
        ] {
            let found = events(&world, of_action(action)).await;
            assert_eq!(found.len(), 1, "{}: {action}", world.on());
            assert_eq!(found[0].event.resource, resource);
            assert_eq!(found[0].event.actor_name, world.root.caller.name);
            assert!(found[0].revision > 0);
        }
        let everything = format!("{:?}", events(&world, AuditFilter::default()).await);
        let temporary = [&temporary, &assumed].map(|key| [key.secret.expose(), key.security_token.expose()]);
        for secret in [key.secret.expose(), issued.token.expose(), password().expose()]
            .into_iter()
            .chain(temporary.into_iter().flatten())
        {
            assert!(!everything.contains(secret), "{}", world.on());
        }
    }
}

#[tokio::test]
async fn pages_of_the_audit_are_the_audit_and_filters_narrow_it() {
    for world in worlds().await {
        for n in 0..12 {
            world.user(&format!("u{n}")).await;
            if n % 3 == 0 {
                world.clock.advance_seconds(60);
            }
        }
        let all: Vec<String> =
            events(&world, AuditFilter::default()).await.into_iter().map(|row| row.event.id).collect();
        let mut request = PageRequest { limit: Some(5), cursor: None };
        let mut seen = Vec::new();
        loop {
            let page = world
                .service
                .list_audit_events(&world.root, &AuditFilter::default(), &request)
                .await
                .unwrap();
            seen.extend(page.items.into_iter().map(|row| row.event.id));
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, all, "{}", world.on());
        let one = AuditFilter { resource: Some("user/u7".into()), ..of_action("bailiwick:user:create") };
        assert_eq!(events(&world, one).await.len(), 1);
        let late = AuditFilter { since: Some(world.service.now()), ..AuditFilter::default() };
        assert_eq!(events(&world, late).await.len(), 2, "{}", world.on());
        let by_nobody = AuditFilter { actor: Some("nobody".into()), ..AuditFilter::default() };
        assert!(events(&world, by_nobody).await.is_empty());
        let name = world.root.caller.name.clone();
        let by_root = AuditFilter { actor: Some(name), ..AuditFilter::default() };
        assert_eq!(events(&world, by_root).await.len(), all.len());
    }
}

#[tokio::test]
async fn an_account_reads_its_own_events_and_the_first_one_those_of_nobody() {
    for world in worlds().await {
        execute(&world.store, "UPDATE accounts SET created_at = created_at + 1 WHERE name = 'stranger'")
            .await;
        world.service.note_failure(&origin(), AuthFailure::Signature);
        world.service.note_failure(&origin(), AuthFailure::Signature);
        world.clock.advance_seconds(60);
        world.service.flush_audit().await.unwrap();
        let failures = events(&world, of_action("bailiwick:authentication:fail")).await;
        assert_eq!(failures.len(), 1, "{}", world.on());
        let event = &failures[0].event;
        assert_eq!((event.occurrences, event.resource.as_str()), (2, "reason/wrong-signature"));
        assert_eq!((event.source.as_str(), event.actor.as_ref()), ("127.0.0.1", None));
        world.user("ada").await;
        let page = PageRequest::default();
        let seen =
            world.service.list_audit_events(&world.stranger, &AuditFilter::default(), &page).await.unwrap();
        assert_eq!(seen.items.len(), 1, "{}: only that the account was made", world.on());
    }
}

#[tokio::test]
async fn a_refused_caller_is_in_the_audit_without_having_waited_for_it() {
    for world in worlds().await {
        let ada = world.call_of(&world.user("ada").await).await;
        let refused = world.service.list_grants(&ada).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
        let denial = refused.denial().unwrap();
        world.service.note_denial(&ada.caller, &ada.origin, denial, "/bailiwick/v1/grants");
        world.service.note_denial(&ada.caller, &ada.origin, denial, "/bailiwick/v1/grants");
        assert_eq!(world.service.audit_queue().waiting, 1);
        world.service.flush_audit().await.unwrap();
        let found = events(&world, of_action("bailiwick:grant:list")).await;
        assert_eq!(found.len(), 1, "{}", world.on());
        let event = &found[0].event;
        assert_eq!((event.outcome.as_str(), event.occurrences), ("refused", 2));
        let explanation = event.explanation.as_ref().unwrap();
        assert_eq!(explanation.id, service::audit::explanation_id(&ada.caller, denial));
        assert_eq!(explanation.reasons, "no statement allows the action");
        assert_eq!((event.actor_name.as_str(), found[0].revision), ("ada", 0));
    }
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_a_change_without_its_audit_row_does_not_happen() {
    for world in worlds().await {
        world.service.note_refusal(&world.root.caller, &origin(), "bailiwick:x:y", "x");
        execute(&world.store, "ALTER TABLE audit_events RENAME TO hidden").await;
        assert!(world.service.flush_audit().await.is_err(), "{}", world.on());
        let cluster = service::NewCluster { name: "c".into(), ..service::NewCluster::default() };
        assert!(world.service.create_cluster(&world.root, cluster).await.is_err());
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM clusters").await, 0);
        execute(&world.store, "ALTER TABLE hidden RENAME TO audit_events").await;
        world.service.flush_audit().await.unwrap();
        assert_eq!(events(&world, of_action("bailiwick:x:y")).await.len(), 1, "{}", world.on());
    }
}

#[tokio::test]
async fn events_older_than_the_audit_is_kept_are_deleted_and_no_others() {
    for world in worlds().await {
        let before = events(&world, AuditFilter::default()).await.len();
        world.clock.advance_seconds(400 * 24 * 3600);
        world.user("ada").await;
        assert_eq!(world.service.trim_audit().await.unwrap(), 0, "{}: not older yet", world.on());
        world.clock.advance_seconds(1);
        assert!(world.service.trim_audit().await.unwrap() >= u64::try_from(before).unwrap());
        assert_eq!(events(&world, AuditFilter::default()).await.len(), 1, "{}", world.on());
    }
}
