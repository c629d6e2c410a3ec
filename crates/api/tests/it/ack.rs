//! The second vendor's clusters' service over the wire, signed as its clients sign.

mod bad_input;
mod clusters;
mod permissions;
mod recorded;

use std::sync::atomic::{AtomicU64, Ordering};

use domain::PrincipalKind;
use serde_json::{Value, json};
use service::policies::{NewPolicy, WhichPrincipal, WhichScope};
use service::{Call, NewCluster, NewPrincipal};

use crate::acs3::{Key, Request};
use crate::server::{Answer, Server, origin};

const VERSION: &str = "2015-12-15";

/// A server with two users, an agency, a group and two clusters.
struct Ack {
    server: Server,
    key: Key,
    sent: AtomicU64,
}

impl Ack {
    async fn start() -> Self {
        Self::of(Server::start().await).await
    }

    async fn of(server: Server) -> Self {
        let ack = Self { key: server.root_key(), server, sent: AtomicU64::new(0) };
        for (kind, id) in [
            (PrincipalKind::User, "u1"),
            (PrincipalKind::User, "u2"),
            (PrincipalKind::Group, "g1"),
            (PrincipalKind::Agency, "a1"),
        ] {
            let new = NewPrincipal { id: Some(id.into()), ..NewPrincipal::named(kind, format!("name-{id}")) };
            ack.server.app.service.create_principal(&ack.root().await, new).await.unwrap();
        }
        for id in ["c1", "c2"] {
            ack.cluster(NewCluster {
                id: Some(id.into()),
                name: format!("name-{id}"),
                ..NewCluster::default()
            })
            .await;
        }
        ack
    }

    async fn root(&self) -> Call {
        self.server.app.service.call_by_token(&self.server.root_token().await, origin()).await.unwrap()
    }

    async fn cluster(&self, new: NewCluster) -> domain::Cluster {
        self.server.app.service.create_cluster(&self.root().await, new).await.unwrap()
    }

    /// A key of that user, to whom a policy allows these actions on everything.
    async fn allowed(&self, user: &str, actions: &[&str]) -> Key {
        let (service, root) = (&self.server.app.service, self.root().await);
        let statement = json!({"Effect": "Allow", "Action": actions, "Resource": ["*"]});
        let new = NewPolicy {
            id: None,
            name: format!("of-{user}"),
            description: String::new(),
            document: json!({"Version": "1", "Statement": [statement]}).to_string(),
        };
        let policy = service.create_policy(&root, new).await.unwrap();
        let to = WhichPrincipal { kind: PrincipalKind::User, which: user.into() };
        service.attach_policy(&root, policy.id.as_str(), to, WhichScope::Account).await.unwrap();
        self.server.key_of(user).await
    }

    /// Sends a request with that key. Each has its own nonce, as clients that mean to repeat something send it.
    async fn by(&self, key: &Key, method: &str, target: &str, body: &[u8]) -> Answer {
        let nonce = self.sent.fetch_add(1, Ordering::SeqCst).to_string();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let json = ("content-type", "application/json; charset=utf-8");
        let mut extra = vec![("x-acs-version", VERSION), ("x-acs-signature-nonce", nonce.as_str())];
        extra.extend((!body.is_empty()).then_some(json));
        self.server.send_acs3(key, &Request { method, path, query, body, extra: &extra }).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.by(&self.key, "GET", target, b"").await
    }

    async fn post(&self, target: &str, body: &Value) -> Answer {
        self.by(&self.key, "POST", target, body.to_string().as_bytes()).await
    }

    async fn delete(&self, target: &str) -> Answer {
        self.by(&self.key, "DELETE", target, b"").await
    }

    async fn grant(&self, uid: &str, rows: &Value) -> Answer {
        self.post(&format!("/permissions/users/{uid}"), rows).await
    }

    /// The rows of somebody, as a client reads them.
    async fn shown(&self, uid: &str) -> Value {
        let answer = self.get(&format!("/permissions/users/{uid}")).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }
}

/// A row of an answer, of a user who does not own the cluster.
fn row(resource_id: &str, resource_type: &str, role_type: &str) -> Value {
    json!({
        "resource_id": resource_id, "resource_type": resource_type, "role_name": role_type,
        "role_type": role_type, "is_owner": 0, "is_ram_role": 0
    })
}

/// Status, code and message of a refusal; both spellings of its keys must agree.
fn refusal(answer: &Answer) -> (u16, String, String) {
    let body = answer.json();
    for (upper, lower) in [("Code", "code"), ("Message", "message"), ("RequestId", "requestId")] {
        assert_eq!(body[upper], body[lower]);
    }
    assert_eq!(answer.header("x-acs-request-id"), body["requestId"].as_str());
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    (answer.status, text("code"), text("message"))
}
