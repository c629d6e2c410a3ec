//! No ladder through trust: whoever an agency trusts is as strong as the agency, for everybody who could act as them.

use domain::PrincipalKind::Agency;
use domain::Secret;
use service::{AgencyUpdate, PrincipalUpdate, Which};

use crate::ladder::{EVERYTHING, assert_refused, attach};
use crate::world::{World, new_principal, worlds};

const KEYS: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Resource":["*"],"Action":[
    "bailiwick:accessKey:*","bailiwick:user:*","bailiwick:agency:setTrustPolicy"]}]}"#;
const KEYS_AND_ASSUMING: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Resource":["*"],"Action":[
    "bailiwick:accessKey:*","bailiwick:agency:assume"]}]}"#;
const ASSUMING: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Resource":["*"],"Action":["bailiwick:agency:assume"]}]}"#;
const BY_NAME: &str = r#", "Condition": {"StringEquals": {"g:UserName": ["dave"]}}"#;

pub fn trusting(principal: &str, condition: &str) -> AgencyUpdate {
    let document = format!(
        r#"{{"Version":"5.0","Statement":[{{"Effect":"Allow","Action":["sts:agencies:assume"],
            "Principal":{{"IAM":["{principal}"]}}{condition}}}]}}"#
    );
    AgencyUpdate { trust_policy: Some(Some(document)), ..AgencyUpdate::default() }
}

/// An agency that trusts one of the account, and holds nothing yet.
async fn agency(world: &World, name: &str, whom: &str) {
    let principal = format!("iam::{}:{whom}", world.root.account());
    let new = new_principal(Agency, Some(name), name);
    world.service.create_agency(&world.root, new, trusting(&principal, "")).await.unwrap();
}

#[tokio::test]
async fn whoever_may_make_keys_does_not_become_an_agency() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let mallory = world.user("mallory").await;
        attach(&world, "mallory", KEYS).await;
        for user in ["ada", "bob", "carol", "erin"] {
            world.user(user).await;
        }
        let call = world.call_of(&mallory).await;
        service.create_access_key(&call, "ada", "before anybody trusts them").await.unwrap();
        agency(&world, "prod-admin", "user:ada").await;
        agency(&world, "powerless", "user:carol").await;
        agency(&world, "first", "user:erin").await;
        agency(&world, "second", "agency:first").await;
        attach(&world, "prod-admin", EVERYTHING).await;
        attach(&world, "second", EVERYTHING).await;
        let call = world.call_of(&mallory).await;
        let password = Secret::new("long enough".into());
        assert_refused("key", service.create_access_key(&call, "ada", "").await);
        assert_refused("password", service.set_password(&call, "ada", &password).await);
        assert_refused("two steps", service.create_access_key(&call, "erin", "").await);
        let own = format!("iam::{}:user:mallory", root.account());
        let to_me = || trusting(&own, "");
        let common = PrincipalUpdate::default;
        assert_refused("chain", service.update_agency(&call, Which::Id("first"), common(), to_me()).await);
        // An agency that may do no more than mallory is nothing to climb to.
        service.create_access_key(&call, "bob", "").await.unwrap();
        service.create_access_key(&call, "carol", "").await.unwrap();
        service.update_agency(&call, Which::Id("powerless"), common(), to_me()).await.unwrap();
        // Who may do everything may do this.
        service.add_member(root, "administrators", "mallory").await.unwrap();
        service.create_access_key(&world.call_of(&mallory).await, "ada", "").await.unwrap();
    }
}

#[tokio::test]
async fn trust_in_some_of_an_account_counts_for_those_who_may_assume_anything() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let mallory = world.user("mallory").await;
        attach(&world, "mallory", KEYS_AND_ASSUMING).await;
        world.user("dave").await;
        world.user("bob").await;
        attach(&world, "dave", ASSUMING).await;
        let call = world.call_of(&mallory).await;
        service.create_access_key(&call, "dave", "before").await.unwrap();
        let new = new_principal(Agency, Some("some"), "some");
        service.create_agency(root, new, trusting(root.account().as_str(), BY_NAME)).await.unwrap();
        attach(&world, "some", EVERYTHING).await;
        let call = world.call_of(&mallory).await;
        assert_refused(world.on(), service.create_access_key(&call, "dave", "").await);
        service.create_access_key(&call, "bob", "").await.unwrap();
    }
}

#[tokio::test]
async fn whom_an_agency_of_another_account_trusts_is_for_administrators_to_change() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let mallory = world.user("mallory").await;
        attach(&world, "mallory", KEYS_AND_ASSUMING).await;
        world.user("dave").await;
        world.user("bob").await;
        attach(&world, "dave", ASSUMING).await;
        for user in ["dave", "bob"] {
            let principal = format!("iam::{}:user:{user}", root.account());
            let new = new_principal(Agency, None, user);
            service.create_agency(&world.stranger, new, trusting(&principal, "")).await.unwrap();
        }
        let call = world.call_of(&mallory).await;
        assert_refused(world.on(), service.create_access_key(&call, "dave", "").await);
        // What another account says of somebody who may assume nothing gives them nothing.
        service.create_access_key(&call, "bob", "").await.unwrap();
    }
}
