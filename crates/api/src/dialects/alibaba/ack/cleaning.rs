//! Taking everything away from somebody who leaves.

use domain::Result;
use http::StatusCode;
use serde::Serialize;
use service::Call;
use service::grants::permissions::{Activity, Cleaning};

use super::{in_words, query};
use crate::App;
use crate::dialects::alibaba::reply;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "DELETE",
            "/users/{Uid}/permissions",
            "ack.cleanUserPermissions",
            "Takes all permissions from somebody, in all clusters or in some.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(everywhere(app, call, input))),
        ),
        row(
            "DELETE",
            "/cluster/{ClusterId}/user/{Uid}/permissions",
            "ack.cleanClusterUserPermissions",
            "Takes all permissions in a cluster from somebody.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(in_cluster(app, call, input))),
        ),
    ]
}

#[derive(Serialize)]
struct Task {
    request_id: String,
    task_id: String,
}

#[derive(Serialize)]
struct Done {}

async fn everywhere(app: &App, call: Call, input: Input) -> Result<Reply> {
    let clusters = query::list(&input.head, "ClusterIds")?;
    let uid = clean(app, &call, &input, clusters).await?;
    let id = &input.head.origin.request_id;
    // The vendor goes on after its answer, and has an id for that. Here it is done, and the id leads to the request.
    let task =
        Task { request_id: reply::request_id(id), task_id: format!("clean-user-permissions-{uid}-{id}") };
    reply::json(StatusCode::OK, &task)
}

async fn in_cluster(app: &App, call: Call, input: Input) -> Result<Reply> {
    let cluster = input.parameters.get("ClusterId").to_owned();
    clean(app, &call, &input, Some(vec![cluster])).await?;
    reply::json(StatusCode::OK, &Done {})
}

async fn clean<'a>(
    app: &App,
    call: &Call,
    input: &'a Input,
    clusters: Option<Vec<String>>,
) -> Result<&'a str> {
    let activity = match query::switch(input, "Force")? {
        true => Activity::Ignored,
        false => Activity::Spares,
    };
    let uid = input.parameters.get("Uid");
    let cleaning = Cleaning { clusters, activity };
    app.service.clean_permissions(call, uid, &cleaning).await.map_err(in_words)?;
    Ok(uid)
}
