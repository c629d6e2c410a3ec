//! Names that policies speak of are not for everybody to take, or to lay down.

use domain::PrincipalKind::{Agency, Group, User};
use service::{AgencyUpdate, PrincipalUpdate, Which};

use crate::ladder::{assert_refused, attach, rename};
use crate::through_trust::trusting;
use crate::world::{new_principal, worlds};

const USERS: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Resource":["*"],"Action":[
    "bailiwick:user:*","bailiwick:group:*","bailiwick:agency:create","bailiwick:agency:update"]}]}"#;
const BY_NAME: &str = r#"{"Version":"5.0","Statement":[
    {"Effect":"Deny","Resource":["*"],"Action":["bailiwick:cluster:delete"],
     "Condition":{"StringMatch":{"bailiwick:PrincipalName":["temp-*"]}}}]}"#;

#[tokio::test]
async fn nobody_takes_a_name_that_an_agency_trusts() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let mallory = world.user("mallory").await;
        attach(&world, "mallory", USERS).await;
        world.user("ci").await;
        world.principal(Agency, "builder").await;
        for (agency, whom) in [("deployer", "user:ci"), ("releaser", "agency:build")] {
            let trust = trusting(&format!("iam::{}:{whom}", root.account()), "");
            service.create_agency(root, new_principal(Agency, Some(agency), agency), trust).await.unwrap();
        }
        let call = world.call_of(&mallory).await;
        assert_refused("lay down", service.update_principal(&call, User, "ci", rename("cd")).await);
        service.delete_principal(root, User, "ci").await.unwrap();
        assert_refused("oneself", service.update_principal(&call, User, "mallory", rename("ci")).await);
        assert_refused("new", service.create_principal(&call, new_principal(User, None, "ci")).await);
        let nothing = AgencyUpdate::default;
        let build = || new_principal(Agency, None, "build");
        assert_refused("new agency", service.create_agency(&call, build(), nothing()).await);
        assert_refused("new agency", service.create_principal(&call, build()).await);
        let renamed = service.update_agency(&call, Which::Id("builder"), rename("build"), nothing()).await;
        assert_refused("renamed agency", renamed);
        // Other names are free, and so is every name for a group, which nobody trusts.
        service.update_principal(&call, User, "mallory", rename("eve")).await.unwrap();
        service.create_principal(&call, new_principal(Group, None, "ci")).await.unwrap();
        let note = PrincipalUpdate { description: Some("n".into()), ..PrincipalUpdate::default() };
        service.update_principal(&call, User, "eve", note).await.unwrap();
        service.create_principal(root, new_principal(User, None, "ci")).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_slips_in_or_out_of_a_name_that_a_condition_compares() {
    for world in worlds().await {
        let service = &world.service;
        let temp = world.user("temp-1").await;
        attach(&world, "temp-1", USERS).await;
        world.principal(Group, "all").await;
        attach(&world, "all", BY_NAME).await;
        let call = world.call_of(&temp).await;
        assert_refused("out", service.update_principal(&call, User, "temp-1", rename("ann")).await);
        assert_refused("in", service.create_principal(&call, new_principal(User, None, "temp-2")).await);
        service.create_principal(&call, new_principal(User, None, "bob")).await.unwrap();
        service.add_member(&world.root, "administrators", "bob").await.unwrap();
        let bob = service.show_principal(&world.root, User, "bob").await.unwrap();
        let administrator = world.call_of(&bob).await;
        service.update_principal(&administrator, User, "temp-1", rename("ann")).await.unwrap();
    }
}
