//! Pod identity associations, by the requests that the vendor's SDK sent, byte for byte.

use domain::{PrincipalKind, Secret};
use serde_json::{Value, json};
use service::installation::bootstrap::AccountSpec;
use service::{Call, NewCluster, NewPrincipal};

use crate::recorded::one;
use crate::server::{Server, origin};

const CLUSTER: &str = "8e6bbdd0-1111-11f1-9a54-0255ac10004d";

async fn server() -> Server {
    let first = AccountSpec {
        access_key_id: Some("AKEXAMPLE".into()),
        secret_access_key: Some(Secret::new("SKEXAMPLE".into())),
        project_id: Some("0123456789abcdef0123456789abcdef".into()),
        ..AccountSpec::default()
    };
    let server = Server::start_at("2026-11-21T19:00:00Z", first).await;
    let caller = std::sync::Arc::new(server.root.root_caller());
    let root = Call { caller, project: None, origin: origin(), signed: None };
    let cluster = NewCluster { id: Some(CLUSTER.into()), name: "c".into(), ..NewCluster::default() };
    server.app.service.create_cluster(&root, cluster).await.unwrap();
    let agency = NewPrincipal::named(PrincipalKind::Agency, "ag".into());
    server.app.service.create_principal(&root, agency).await.unwrap();
    server
}

async fn sent(server: &Server, name: &str) -> (u16, Value) {
    let answer = server.raw(&one("huawei", name).bytes()).await;
    let json = if answer.body.is_empty() { Value::Null } else { answer.json() };
    (answer.status, json)
}

#[tokio::test]
async fn what_the_vendors_client_sent_is_answered_as_it_reads_it() {
    let server = server().await;
    let list = "a1-7-listpodidentityassociations";
    assert_eq!(sent(&server, list).await, (200, json!([])));
    let (status, made) = sent(&server, "a1-8-createpodidentityassociation").await;
    assert_eq!(
        (status, &made),
        (
            201,
            &json!({
                "uid": made["uid"], "clusterId": CLUSTER, "namespace": "ns", "serviceAccount": "sa",
                "agencyName": "ag", "tags": [{"key": "k", "value": "v"}],
                "createdAt": "2026-11-21T19:00:00Z", "modifiedAt": "2026-11-21T19:00:00Z",
                "updatedAt": "2026-11-21T19:00:00Z"
            })
        )
    );
    assert_eq!(sent(&server, list).await, (200, json!([made])));
    // A client that did not hear the answer sends the same bytes again.
    assert_eq!(sent(&server, "a1-8-createpodidentityassociation").await, (201, made.clone()));
    assert_eq!(sent(&server, list).await, (200, json!([made])));
    let (status, refused) = sent(&server, "a1-9-deletepodidentityassociation").await;
    assert_eq!((status, &refused["error_code"]), (404, &"CCE.01404001".into()), "{refused}");
    assert_eq!(sent(&server, list).await, (200, json!([made])));
}
