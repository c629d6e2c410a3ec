//! Who may call anything at all.

use domain::{ErrorKind, PrincipalKind, Result, Secret};
use service::{
    AgencyUpdate, Call, ClusterUpdate, IfOther, NewCluster, PageRequest, PrincipalUpdate, Proof, Removal,
    Service, Which,
};

use crate::world::{new_principal, spec, worlds};

/// Every use case that acts for a caller. Ids that do not exist show that rights are asked before anything else.
async fn outcomes(service: &Service, call: &Call) -> Vec<(&'static str, Result<()>)> {
    let page = PageRequest::default();
    let secret = Secret::new("long enough".into());
    let cluster = NewCluster { name: "n".into(), ..NewCluster::default() };
    let user = PrincipalKind::User;
    let update = PrincipalUpdate::default;
    let agency = || new_principal(PrincipalKind::Agency, None, "n");
    vec![
        ("account", service.show_account(call).await.map(drop)),
        ("list projects", service.list_projects(call, &page).await.map(drop)),
        ("create project", service.create_project(call, None, "p").await.map(drop)),
        ("list enterprise projects", service.list_enterprise_projects(call, &page).await.map(drop)),
        ("create enterprise project", service.create_enterprise_project(call, None, "p").await.map(drop)),
        ("create principal", service.create_principal(call, new_principal(user, None, "n")).await.map(drop)),
        ("list principals", service.list_principals(call, user, &page).await.map(drop)),
        ("show principal", service.show_principal(call, user, "x").await.map(drop)),
        ("update principal", service.update_principal(call, user, "x", update()).await.map(drop)),
        ("delete principal", service.delete_principal(call, user, "x").await),
        ("list principals by name", service.list_principals_named(call, user, "x").await.map(drop)),
        ("show user", service.show_user(call, Which::from("x")).await.map(drop)),
        ("list groups of a user", service.list_groups_of(call, Which::from("x")).await.map(drop)),
        ("create password", service.create_password(call, Which::from("x"), &secret).await.map(drop)),
        ("replace password", service.replace_password(call, Which::from("x"), &secret).await.map(drop)),
        ("delete password", service.delete_password(call, "x").await),
        ("list users of a group", service.list_users_of(call, Which::from("x")).await.map(drop)),
        ("show member", service.show_member(call, Which::from("x"), Which::from("y")).await),
        ("create agency", service.create_agency(call, agency(), AgencyUpdate::default()).await.map(drop)),
        ("list agencies", service.list_agencies(call, &page).await.map(drop)),
        ("show agency", service.show_agency(call, Which::from("x")).await.map(drop)),
        (
            "update agency",
            service.update_agency(call, Which::from("x"), update(), AgencyUpdate::default()).await.map(drop),
        ),
        ("list keys of a user", service.list_access_keys_of(call, Which::from("x"), &page).await.map(drop)),
        ("show key", service.show_access_key(call, "x").await.map(drop)),
        ("set password", service.set_password(call, "x", &secret).await),
        ("list members", service.list_members(call, "x").await.map(drop)),
        ("add member", service.add_member(call, "x", "y").await),
        ("remove member", service.remove_member(call, "x", "y").await),
        ("create key", service.create_access_key(call, "x", "").await.map(drop)),
        ("list keys", service.list_access_keys(call, None, &page).await.map(drop)),
        ("enable key", service.enable_access_key(call, "x").await.map(drop)),
        ("disable key", service.disable_access_key(call, "x").await.map(drop)),
        ("delete key", service.delete_access_key(call, "x").await),
        ("create cluster", service.create_cluster(call, cluster).await.map(drop)),
        ("list clusters", service.list_clusters(call).await.map(drop)),
        ("page clusters", service.page_clusters(call, &page).await.map(drop)),
        ("show cluster", service.show_cluster(call, "x").await.map(drop)),
        ("delete cluster", service.delete_cluster(call, "x", Removal::Revoke).await.map(drop)),
        ("abandon cluster", service.delete_cluster(call, "x", Removal::Abandon).await.map(drop)),
        ("show removal", service.show_removal(call, "x").await.map(drop)),
        ("update cluster", service.update_cluster(call, "x", ClusterUpdate::default()).await.map(drop)),
        ("rotate cluster", service.rotate_connection(call, "x", "k", IfOther::Replace).await.map(drop)),
        ("resume cluster", service.resume_cluster(call, "x").await.map(drop)),
        ("create grant", service.create_grant(call, spec(&["x"], &[], &[])).await.map(drop)),
        ("update grant", service.update_grant(call, "x", spec(&["x"], &[], &[])).await.map(drop)),
        ("revoke grant", service.revoke_grant(call, "x").await),
        ("list grants", service.list_grants(call).await.map(drop)),
        ("show grant", service.show_grant(call, "x").await.map(drop)),
        ("show grant states", service.show_grant_states(call, "x").await.map(drop)),
        ("list grant states", service.list_grant_states(call).await.map(drop)),
        ("show token", service.show_token(call, "x").await.map(drop)),
        ("revoke token", service.revoke_token(call, "x").await.map(drop)),
        ("metrics", service.show_measures(call).await.map(drop)),
        (
            "list audit events",
            service.list_audit_events(call, &service::AuditFilter::default(), &page).await.map(drop),
        ),
    ]
}

#[tokio::test]
async fn only_root_and_administrators_may_call_anything() {
    for world in worlds().await {
        let ada = world.user("ada").await;
        for (name, outcome) in outcomes(&world.service, &world.call_of(&ada).await).await {
            let kind = outcome.map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::Forbidden), "{}: {name}", world.on());
        }
        world.service.add_member(&world.root, "administrators", "ada").await.unwrap();
        for call in [&world.call_of(&ada).await, &world.root] {
            for (name, outcome) in outcomes(&world.service, call).await {
                let refused = outcome.is_err_and(|error| error.kind() == ErrorKind::Forbidden);
                assert!(!refused, "{}: {name}", world.on());
            }
        }
    }
}

#[tokio::test]
async fn rights_lost_while_a_request_waits_are_lost_for_it() {
    for world in worlds().await {
        let ada = world.user("ada").await;
        world.service.add_member(&world.root, "administrators", "ada").await.unwrap();
        let call = world.call_of(&ada).await;
        assert!(world.service.create_project(&call, None, "before").await.is_ok());
        world.service.remove_member(&world.root, "administrators", "ada").await.unwrap();
        // The call was authenticated before; its turn comes only now.
        let refused = world.service.create_project(&call, None, "after").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{}", world.on());
        let password = Secret::new("long enough".into());
        let refused = world.service.set_password(&call, "ada", &password).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
        world.service.delete_principal(&world.root, PrincipalKind::User, "ada").await.unwrap();
        let refused = world.service.create_project(&call, None, "later").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
    }
}

#[tokio::test]
async fn a_request_that_waits_does_not_outlive_its_access_key() {
    for world in worlds().await {
        let ada = world.user("ada").await;
        world.service.add_member(&world.root, "administrators", "ada").await.unwrap();
        let calls = [world.call_of(&ada).await, world.call_of(&ada).await];
        assert!(world.service.create_project(&calls[0], None, "before").await.is_ok());
        for (call, ended) in calls.iter().zip(["disabled", "deleted"]) {
            let Some(key) = access_key(call) else { panic!("it was signed") };
            match ended {
                "disabled" => drop(world.service.disable_access_key(&world.root, key).await.unwrap()),
                _ => world.service.delete_access_key(&world.root, key).await.unwrap(),
            }
            let refused = world.service.create_project(call, None, ended).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{}: {ended}", world.on());
            assert!(refused.message().contains("while the request was waiting"), "{refused}");
        }
        // Another key of the same user is another matter.
        assert!(world.service.create_project(&world.call_of(&ada).await, None, "after").await.is_ok());
    }
}

fn access_key(call: &Call) -> Option<&str> {
    match &call.caller.proof {
        Proof::AccessKey(id) => Some(id.as_str()),
        Proof::Server | Proof::Session(_) => None,
    }
}
