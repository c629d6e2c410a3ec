//! Importing clusters, giving them other kubeconfigs, and removing them. By the same rules as everywhere else here.

use domain::{Error, Result, Timestamp};
use http::StatusCode;
use serde::Serialize;
use service::{Call, Declared, IfOther, NewCluster, Removal};

use super::config::{kubeconfig, spelled};
use super::scope::{Scope, cluster_id, length, of_new};
use crate::App;
use crate::dialects::huawei::path_project;
use crate::json::Object;
use crate::operation::Input;
use crate::reply::Reply;

/// What the vendor's agent would be told. It is looked at for its type, and not kept.
const OF_THE_AGENT: [&str; 9] = [
    "image_repo_type",
    "image_repo_username",
    "image_repo_password",
    "organization",
    "image_arch",
    "anp_proxy",
    "hostguard_proxy",
    "dns_policy",
    "dns_config",
];

#[derive(Serialize)]
struct Created<'a> {
    cluster_id: &'a str,
}

pub(super) async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let project = path_project(&call, &input)?;
    let call = app.service.call_of_member(&call);
    let enterprise_project = of_new(app, &input.head)?;
    let mut body = input.json()?;
    let text = kubeconfig(&mut body)?.ok_or_else(|| Error::invalid("kube_config", "must be given"))?;
    let name = body.optional_text("name")?;
    let provider = body.optional_text("provider")?;
    length("provider", provider.as_deref().filter(|text| !text.is_empty()), 64)?;
    let server = body.optional_text("server")?.filter(|text| !text.is_empty());
    let image_repository = body.optional_text("image_repo")?.unwrap_or_default();
    let end = instant(&mut body, "current_expiration_date")?;
    instant(&mut body, "certificate_expiration_date")?;
    for key in OF_THE_AGENT {
        body.optional_text(key)?;
    }
    let new = NewCluster {
        name: name.unwrap_or_else(|| unnamed(app)),
        kubeconfig: Some(text),
        server,
        project: Some(project.as_str().to_owned()),
        enterprise_project,
        provider,
        declared: Declared { end, image_repository },
        ..NewCluster::default()
    };
    let made = app.service.create_cluster(&call, new).await;
    let cluster = made.map_err(|error| spelled(error, "kube_config"))?;
    Reply::json(StatusCode::OK, &Created { cluster_id: cluster.id.as_str() })
}

pub(super) async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let scope = Scope::of_one(app, &call, &input)?;
    let call = app.service.call_of_member(&call);
    let id = cluster_id(&input)?;
    let mut body = input.json()?;
    let end = instant(&mut body, "current_expiration_date")?
        .ok_or_else(|| Error::invalid("current_expiration_date", "must be given"))?;
    body.optional_boolean("upgrade")?;
    let text = kubeconfig(&mut body)?;
    let found = app.service.cluster_of_members_account(&call, &scope.project, &scope.within, id).await?;
    match text.filter(|text| !text.is_empty()) {
        None => app.service.declare_end(&call, &found.id, end).await?,
        Some(text) => {
            let named = found.id.as_str();
            let done =
                app.service.rotate_connection_until(&call, named, &text, IfOther::Refuse, Some(end)).await;
            done.map_err(|error| spelled(error, "kubeconfig"))?;
        }
    }
    Ok(Reply::empty(StatusCode::OK))
}

pub(super) async fn remove(app: &App, call: Call, input: Input) -> Result<Reply> {
    let scope = Scope::of_one(app, &call, &input)?;
    let call = app.service.call_of_member(&call);
    let id = cluster_id(&input)?;
    let found = app.service.cluster_of_members_account(&call, &scope.project, &scope.within, id).await?;
    app.service.delete_cluster(&call, found.id.as_str(), Removal::Revoke).await?;
    Ok(Reply::empty(StatusCode::OK))
}

/// Milliseconds since 1970, as far as a calendar goes.
fn instant(body: &mut Object, key: &str) -> Result<Option<Timestamp>> {
    match body.optional_integer(key)? {
        None => Ok(None),
        Some(millis) if (0..=253_402_300_799_999).contains(&millis) => {
            Ok(Some(Timestamp::from_millis(millis)))
        }
        Some(_) => Err(Error::invalid(key, "must be milliseconds since 1970")),
    }
}

/// A name for whoever gives none. The vendor does not ask for one, and names tell clusters apart here.
fn unnamed(app: &App) -> String {
    let mark = domain::ClusterId::random_hex(&*app.entropy);
    let short: String = mark.as_str().chars().take(12).collect();
    format!("multi-cloud-{short}")
}
