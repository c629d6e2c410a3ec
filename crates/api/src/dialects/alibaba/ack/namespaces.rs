//! The namespaces of a cluster that a caller has rights in.

use domain::{Namespace, Result};
use http::StatusCode;
use service::Call;

use super::unknown_cluster;
use crate::App;
use crate::dialects::alibaba::reply;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "GET",
        "/api/v2/k8s/{ClusterId}/namespaces",
        "ack.describeUserClusterNamespaces",
        "Lists the namespaces of a cluster that the caller has rights in.",
        BodyRule::None,
        Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
    )]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let cluster = input.parameters.get("ClusterId");
    let found = app.service.list_namespaces(&call, cluster).await.map_err(unknown_cluster)?;
    let names: Vec<&str> = found.iter().map(Namespace::as_str).collect();
    reply::json(StatusCode::OK, &names)
}
