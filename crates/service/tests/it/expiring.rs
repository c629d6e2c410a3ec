//! Credentials of clusters that end: what is said of them, when, and that it agrees with what is counted.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::{Clock, ClusterId};
use service::clusters::expiring::{Ending, Kind, Soon};
use service::{IfOther, NewCluster};

use super::rotation::{address, kubeconfig};
use crate::world::{World, worlds};

const DAY: i64 = 24 * 3600;
const EXPIRED: &str = include_str!("pairs/expired.pem");
const ITS_KEY: &str = include_str!("pairs/ec-key.pem");

/// A kubeconfig with a token that ends in so many seconds.
fn ending(world: &World, port: u16, seconds: i64) -> String {
    let end = world.clock.now().plus_seconds(seconds).as_millis() / 1000;
    let token = format!("e30.{}.c2VjcmV0", URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{end}}}"#)));
    kubeconfig(port, "one").replace(&format!("token-{port}"), &token)
}

async fn cluster(world: &World, id: &str, kubeconfig: String) -> ClusterId {
    let new = NewCluster {
        id: Some(id.into()),
        name: id.into(),
        kubeconfig: Some(kubeconfig),
        ..NewCluster::default()
    };
    world.service.create_cluster(&world.root, new).await.unwrap().id
}

/// What is counted: within two weeks, a week, a day, and over.
async fn counted(world: &World) -> Vec<i64> {
    world.service.measures().await.expiring.into_iter().map(|(_, count)| count).collect()
}

async fn said(world: &World) -> Vec<Ending> {
    world.service.survey_credentials().await.unwrap()
}

#[tokio::test]
async fn what_ends_within_two_weeks_is_said_once_a_day_and_counted_as_it_is_said() {
    for world in worlds().await {
        let id = cluster(&world, "c1", ending(&world, 1, 14 * DAY + 60)).await;
        assert_eq!((said(&world).await, counted(&world).await), (vec![], vec![0, 0, 0, 0]));
        world.clock.advance_seconds(60);
        // Nobody looked again, and it is counted nevertheless.
        assert_eq!(counted(&world).await, [1, 0, 0, 0]);
        let mut heard = Vec::new();
        for _ in 0..15 * 24 {
            let now = said(&world).await;
            assert!(now.iter().all(|one| (&one.cluster, one.kind) == (&id, Kind::Token)), "{now:?}");
            heard.extend(now.into_iter().map(|one| one.soon));
            world.clock.advance_seconds(3600);
        }
        let week = [Soon::TwoWeeks; 7].into_iter().chain([Soon::Week; 6]);
        let expected: Vec<Soon> = week.chain([Soon::Day, Soon::Expired]).collect();
        assert_eq!(heard, expected, "{}", world.on());
        assert_eq!(counted(&world).await, [0, 0, 0, 1]);
    }
}

#[tokio::test]
async fn what_is_said_names_the_cluster_what_ends_and_when_and_no_secret() {
    for world in worlds().await {
        let token = ending(&world, 1, 3 * DAY);
        let user = format!(
            "user: {{client-certificate-data: {}, client-key-data: {}}}",
            STANDARD.encode(EXPIRED),
            STANDARD.encode(ITS_KEY)
        );
        let certificate = kubeconfig(2, "one").replace("user: {token: token-2}", &user);
        cluster(&world, "c1", token.clone()).await;
        cluster(&world, "c2", certificate).await;
        cluster(&world, "c3", kubeconfig(3, "one")).await;
        let mut heard: Vec<String> = said(&world).await.iter().map(ToString::to_string).collect();
        heard.sort();
        let [of_certificate, of_token] = heard.as_slice() else { panic!("{heard:?}") };
        assert!(of_certificate.starts_with("the certificate for cluster c2 ended on 2020-01-02T00:00:00"));
        let end = world.clock.now().plus_seconds(3 * DAY).as_millis() / 1000 * 1000;
        let end = domain::Timestamp::from_millis(end);
        assert!(of_token.starts_with(&format!("the token for cluster c1 ends on {end}: ")), "{of_token}");
        assert!(!heard.concat().contains("e30.") && !heard.concat().contains("c2VjcmV0"));
        assert_eq!(counted(&world).await, [1, 1, 0, 1], "{}", world.on());
    }
}

#[tokio::test]
async fn another_credential_ends_the_warning() {
    for world in worlds().await {
        let id = cluster(&world, "c1", ending(&world, 1, 2 * DAY)).await;
        assert_eq!(said(&world).await.len(), 1);
        world.api_servers.put(&address(1), "uid", &["key"]);
        let longer = ending(&world, 1, 90 * DAY);
        let done = world.service.rotate_connection(&world.root, id.as_str(), &longer, IfOther::Refuse).await;
        done.unwrap();
        world.clock.advance_seconds(DAY);
        assert_eq!((said(&world).await, counted(&world).await), (vec![], vec![0, 0, 0, 0]), "{}", world.on());
    }
}
