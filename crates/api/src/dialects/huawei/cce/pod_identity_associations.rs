//! `/api/v3/projects/{project_id}/clusters/{cluster_id}/pod-identity-associations`: which agency the pods of a service
//! account act as, in the vendor's words.

use domain::{Error, Result, Timestamp};
use http::StatusCode;
use serde::Serialize;
use service::clusters::certificates::WhichCluster;
use service::pod_identity::associations::{AssociationFilter, AssociationView, NewAssociation, VendedBefore};
use service::{Call, Which};

use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const COLLECTION: &str = "/api/v3/projects/{project_id}/clusters/{cluster_id}/pod-identity-associations";
const ITEM: &str =
    "/api/v3/projects/{project_id}/clusters/{cluster_id}/pod-identity-associations/{association_id}";

/// The rows.
pub(in crate::dialects::huawei) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "POST",
            COLLECTION,
            "cce.createPodIdentityAssociation",
            "Lets the pods of a service account act as an agency.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            COLLECTION,
            "cce.listPodIdentityAssociations",
            "Lists the pod identity associations of a cluster.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "cce.showPodIdentityAssociation",
            "Shows a pod identity association.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "cce.updatePodIdentityAssociation",
            "Gives a pod identity association another agency.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "cce.deletePodIdentityAssociation",
            "Deletes a pod identity association, and ends what was vended by it.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
    ]
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let (namespace, service_account) = (body.text("namespace")?, body.text("serviceAccount")?);
    let (agency, tags) = (body.text("agencyName")?, tags(&mut body)?);
    body.finish()?;
    let new = NewAssociation {
        namespace: &namespace,
        service_account: &service_account,
        agency: Which::from(&agency),
        tags,
    };
    let made = app.service.create_association(&call, cluster(&input), new).await.map_err(in_words)?;
    Reply::json(StatusCode::CREATED, &Wire::new(&made))
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let all = AssociationFilter::default();
    let found = app.service.list_associations(&call, cluster(&input), all).await?;
    let wire: Vec<Wire<'_>> = found.iter().map(Wire::new).collect();
    Reply::json(StatusCode::OK, &wire)
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let id = input.parameters.get("association_id");
    let found = app.service.show_association(&call, cluster(&input), id).await?;
    Reply::json(StatusCode::OK, &Wire::new(&found))
}

/// Only the agency can be changed. Who sends anything else believes that it will be changed, too.
async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let agency = body.text("agencyName")?;
    if let Err(error) = body.finish() {
        let field = error.field().unwrap_or("agencyName").to_owned();
        return Err(Error::invalid(&field, "must be left out: only `agencyName` can be changed"));
    }
    let id = input.parameters.get("association_id");
    let changed = app
        .service
        .update_association(&call, cluster(&input), id, Which::from(&agency), VendedBefore::GoesOn)
        .await;
    Reply::json(StatusCode::OK, &Wire::new(&changed.map_err(in_words)?))
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    let id = input.parameters.get("association_id");
    app.service.delete_association(&call, cluster(&input), id).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn cluster(input: &Input) -> WhichCluster<'_> {
    WhichCluster::InProject {
        project: input.parameters.get("project_id"),
        id: input.parameters.get("cluster_id"),
    }
}

/// A tag has a key and a value; either may not be left out, and the value may be empty.
fn tags(body: &mut Object) -> Result<Vec<(String, String)>> {
    let mut tags = Vec::new();
    for mut tag in body.objects("tags")? {
        tags.push((tag.text("key")?, tag.text("value")?));
        tag.finish()?;
    }
    Ok(tags)
}

/// The service's words as this API has them.
fn in_words(error: Error) -> Error {
    match error.field() {
        Some("agency") => error.at_field("agencyName"),
        Some(_) | None => error,
    }
}

/// An association as answered. The SDK knows `modifiedAt`, other clients of the vendor `updatedAt`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    uid: &'a str,
    cluster_id: &'a str,
    namespace: &'a str,
    service_account: &'a str,
    agency_name: &'a str,
    tags: Vec<Tag<'a>>,
    created_at: String,
    modified_at: String,
    updated_at: String,
}

#[derive(Serialize)]
struct Tag<'a> {
    key: &'a str,
    value: &'a str,
}

impl<'a> Wire<'a> {
    fn new(view: &'a AssociationView) -> Self {
        let association = &view.association;
        let modified_at = Timestamp::rfc3339_seconds(association.modified_at);
        Self {
            uid: association.id.as_str(),
            cluster_id: association.cluster.as_str(),
            namespace: association.namespace.as_str(),
            service_account: association.service_account.as_str(),
            agency_name: &view.agency_name,
            tags: association.tags.iter().map(|(key, value)| Tag { key, value }).collect(),
            created_at: association.created_at.rfc3339_seconds(),
            updated_at: modified_at.clone(),
            modified_at,
        }
    }
}
