//! No ladder: as somebody whom a policy allows every change of the directory, and nothing else.

use domain::PrincipalKind::{Agency, Group, User};
use domain::{Attachment, ErrorKind, Policy, PolicyId, PolicyScope, PrincipalId, Result, Secret};
use service::{AgencyUpdate, PrincipalUpdate, Which};

use crate::world::{World, worlds};

const DIRECTORY: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Resource":["*"],"Action":[
    "bailiwick:user:*","bailiwick:group:*","bailiwick:agency:*","bailiwick:accessKey:*","bailiwick:revocation:*"]}]}"#;
pub const EVERYTHING: &str =
    r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Resource":["*"],"Action":["*"]}]}"#;
const DENIAL: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Deny","Resource":["*"],"Action":["bailiwick:user:delete"]}]}"#;

/// Gives a policy to somebody, past the door.
pub async fn attach(world: &World, principal: &str, document: &str) {
    let now = world.service.now();
    let policy = Policy {
        id: PolicyId::stored(&format!("policy-of-{principal}")),
        account: world.root.account().clone(),
        name: format!("of {principal}"),
        description: String::new(),
        default_version: 1,
        last_version: 1,
        created_at: now,
        updated_at: now,
    };
    let attachment = Attachment {
        principal: PrincipalId::stored(principal),
        policy: policy.id.clone(),
        scope: PolicyScope::Account,
        created_at: now,
    };
    let mut tx = world.store.write(world.root.account()).await.unwrap();
    tx.insert_policy(&policy, document).await.unwrap();
    assert!(tx.attach_policy(&attachment).await.unwrap());
    tx.commit().await.unwrap();
    world.service.follow_revisions().await.unwrap();
}

pub fn rename(name: &str) -> PrincipalUpdate {
    PrincipalUpdate { name: Some(name.into()), ..PrincipalUpdate::default() }
}

fn trust() -> AgencyUpdate {
    let document = r#"{"Version":"5.0","Statement":[
        {"Effect":"Allow","Action":["sts:agencies:assume"],"Principal":{"IAM":["a"]}}]}"#;
    AgencyUpdate { trust_policy: Some(Some(document.into())), ..AgencyUpdate::default() }
}

pub fn assert_refused<T>(rung: &str, outcome: Result<T>) {
    let kind = outcome.map(drop).map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::Forbidden), "{rung}");
}

#[tokio::test]
async fn whoever_may_write_the_directory_climbs_to_nobody_with_other_rights() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let mallory = world.user("mallory").await;
        attach(&world, "mallory", DIRECTORY).await;
        for user in ["ada", "bob"] {
            world.user(user).await;
        }
        service.add_member(root, "administrators", "ada").await.unwrap();
        world.principal(Group, "auditors").await;
        world.principal(Group, "walkers").await;
        world.principal(Agency, "strong").await;
        world.principal(Agency, "weak").await;
        attach(&world, "auditors", EVERYTHING).await;
        attach(&world, "strong", EVERYTHING).await;
        let key = service.create_access_key(root, "ada", "").await.unwrap().key.id;
        let call = world.call_of(&mallory).await;
        let password = Secret::new("long enough".into());
        let disable = PrincipalUpdate { enabled: Some(false), ..PrincipalUpdate::default() };
        let external = PrincipalUpdate { external_ids: Some(Vec::new()), ..PrincipalUpdate::default() };
        assert_refused("create key", service.create_access_key(&call, "ada", "").await);
        assert_refused("enable key", service.enable_access_key(&call, key.as_str()).await);
        assert_refused("disable key", service.disable_access_key(&call, key.as_str()).await);
        assert_refused("delete key", service.delete_access_key(&call, key.as_str()).await);
        assert_refused("set password", service.set_password(&call, "ada", &password).await);
        assert_refused("delete password", service.delete_password(&call, "ada").await);
        assert_refused("rename", service.update_principal(&call, User, "ada", rename("x")).await);
        assert_refused("disable", service.update_principal(&call, User, "ada", disable).await);
        assert_refused("external ids", service.update_principal(&call, User, "ada", external).await);
        assert_refused("delete", service.delete_principal(&call, User, "ada").await);
        assert_refused("revoke key", service.revoke_key(&call, key.as_str()).await);
        for group in ["administrators", "auditors"] {
            assert_refused(group, service.add_member(&call, group, "mallory").await);
            assert_refused(group, service.remove_member(&call, group, "ada").await);
        }
        let common = PrincipalUpdate::default;
        assert_refused("trust", service.update_agency(&call, Which::Id("strong"), common(), trust()).await);
        assert_refused("delete agency", service.delete_principal(&call, Agency, "strong").await);
        assert_refused("delete group", service.delete_principal(&call, Group, "auditors").await);

        // Those who may do no more than mallory are mallory's to look after.
        service.create_access_key(&call, "bob", "").await.unwrap();
        service.create_access_key(&call, "mallory", "").await.unwrap();
        service.set_password(&call, "bob", &password).await.unwrap();
        service.update_principal(&call, User, "bob", rename("robert")).await.unwrap();
        service.add_member(&call, "walkers", "robert").await.unwrap();
        service.update_agency(&call, Which::Id("weak"), common(), trust()).await.unwrap();
        service.delete_principal(&call, User, "robert").await.unwrap();
    }
}

#[tokio::test]
async fn nobody_leaves_a_group_that_denies_them_something_by_themselves() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let mallory = world.user("mallory").await;
        attach(&world, "mallory", DIRECTORY).await;
        world.principal(Group, "bound").await;
        attach(&world, "bound", DENIAL).await;
        service.add_member(root, "bound", "mallory").await.unwrap();
        let call = world.call_of(&mallory).await;
        assert_refused(world.on(), service.remove_member(&call, "bound", "mallory").await);
        assert_refused(world.on(), service.delete_principal(&call, Group, "bound").await);
        service.remove_member(root, "bound", "mallory").await.unwrap();
    }
}
