//! What the second vendor's own clients sent, byte for byte, and what they are answered.

use domain::{PrincipalKind, Secret};
use service::installation::bootstrap::AccountSpec;
use service::{NewCluster, NewPrincipal};

use super::{Ack, refusal};
use crate::recorded::one;
use crate::server::Server;

const UID: &str = "217500000000000001";

/// The recorded requests, and the status and code of their answers.
const RECORDED: [(&str, u16, &str); 34] = [
    ("python-acs3-describe_user_permission", 200, ""),
    ("python-async-acs3-describe", 200, ""),
    ("node-acs3-describe_user_permission", 200, ""),
    ("python-roa1-describe", 200, ""),
    ("node-roa1-describe", 200, ""),
    ("oldpy-roa1-describe", 200, ""),
    // One of its rows is about a namespace that no cluster can have.
    ("python-acs3-grant_permissions", 400, "InvalidParameter"),
    ("node-acs3-grant_permissions", 400, "InvalidParameter"),
    ("python-acs3-grant_permissions_empty_list", 200, ""),
    ("node-acs3-grant_permissions_empty_list", 200, ""),
    // One client sends an empty list for a list that was left unset, and another nothing.
    ("python-acs3-grant_permissions_body_unset", 200, ""),
    ("node-acs3-grant_permissions_body_unset", 400, "InvalidParameter"),
    ("oldpy-roa1-grant", 200, ""),
    ("python-acs3-update_user_permissions_nomode", 200, ""),
    ("node-acs3-update_user_permissions_nomode", 200, ""),
    ("python-acs3-update_user_permissions_patch", 200, ""),
    ("node-acs3-update_user_permissions_patch", 200, ""),
    ("oldpy-roa1-update", 200, ""),
    // Nothing protects their bodies.
    ("python-roa1-update", 400, "UnprotectedBody"),
    ("node-roa1-update", 400, "UnprotectedBody"),
    ("python-acs3-clean_user_permissions", 200, ""),
    ("python-async-acs3-clean", 200, ""),
    ("node-acs3-clean_user_permissions", 200, ""),
    ("python-acs3-clean_user_permissions_noopts", 409, "Conflict"),
    ("python-acs3-clean_user_permissions_force_false", 409, "Conflict"),
    // They name a cluster `c 2`.
    ("python-roa1-clean", 404, "ErrorClusterNotFound"),
    ("oldpy-roa1-clean", 404, "ErrorClusterNotFound"),
    ("python-acs3-clean_cluster_user_permissions", 200, ""),
    ("node-acs3-clean_cluster_user_permissions", 200, ""),
    ("python-acs3-describe_cluster_detail", 200, ""),
    ("oldpy-roa1-describe_cluster_detail", 200, ""),
    ("node-acs3-describe_clusters_v1", 200, ""),
    ("oldpy-roa1-describe_clusters_v1", 200, ""),
    ("node-acs3-describe_clusters_weird_query", 200, ""),
];

/// A server at the time of the recordings, with their key and their user.
async fn recorder() -> Ack {
    let first = AccountSpec {
        access_key_id: Some("LTAI5tTestAccessKey00001".into()),
        secret_access_key: Some(Secret::new("TestAccessKeySecret0000000001".into())),
        ..AccountSpec::default()
    };
    let ack = Ack::of(Server::start_at("2026-11-21T19:12:00Z", first).await).await;
    let new =
        NewPrincipal { id: Some(UID.into()), ..NewPrincipal::named(PrincipalKind::User, "leaver".into()) };
    ack.server.app.service.create_principal(&ack.root().await, new).await.unwrap();
    ack
}

#[tokio::test]
async fn every_recorded_request_of_this_service_is_answered_as_its_client_reads_it() {
    let ack = recorder().await;
    for id in ["c1b542", "c1b542aaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        ack.cluster(NewCluster { id: Some(id.into()), name: id.into(), ..NewCluster::default() }).await;
    }
    for (name, status, code) in RECORDED {
        let answer = ack.server.raw(&one("alibaba", name).bytes()).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{name}: {text}");
        if status == 200 {
            let without_body = name.contains("grant") || name.contains("update");
            assert_eq!(answer.body.is_empty(), without_body, "{name}: {text}");
            assert!(answer.header("x-acs-request-id").is_some_and(|id| id.len() == 36), "{name}");
        } else {
            assert_eq!(refusal(&answer).1, code, "{name}: {text}");
        }
    }
}

#[tokio::test]
async fn a_recorded_list_of_permissions_is_the_list_that_is_shown() {
    let ack = recorder().await;
    assert_eq!(ack.server.raw(&one("alibaba", "oldpy-roa1-grant").bytes()).await.status, 200);
    let shown = ack.server.raw(&one("alibaba", "node-acs3-describe_user_permission").bytes()).await;
    let expected = r#"[{"resource_id":"c1","resource_type":"cluster","role_name":"dev","role_type":"dev","is_owner":0,"is_ram_role":0}]"#;
    assert_eq!(String::from_utf8_lossy(&shown.body), expected);
}
