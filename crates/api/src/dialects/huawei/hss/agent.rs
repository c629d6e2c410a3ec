//! What the vendor's interface asks about its agent and the proxy to it. There is neither here: the server speaks to API
//! servers itself, as the connector. So these operations say what is, instead of something that would not work.

use domain::{Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::Call;

use super::scope::{Scope, cluster_id, length};
use super::{quote, script};
use crate::App;
use crate::dialects::huawei::path_project;
use crate::head::Head;
use crate::operation::Input;
use crate::reply::Reply;

/// In the place of an address that there is not; the vendor's table does not allow an empty one.
const NONE: &str = "none";

#[derive(Serialize)]
struct Network<'a> {
    anp_address: &'static str,
    region_id: &'a str,
    agent_address: &'static str,
}

pub(super) async fn network(app: &App, call: Call, input: Input) -> Result<Reply> {
    let scope = Scope::of_many(app, &call, &input)?;
    let network = Network { anp_address: NONE, region_id: scope.project.as_str(), agent_address: NONE };
    Reply::json(StatusCode::OK, &network)
}

#[derive(Serialize)]
struct Script {
    install_script: String,
}

pub(super) async fn install_script(app: &App, call: Call, input: Input) -> Result<Reply> {
    let scope = Scope::of_one(app, &call, &input)?;
    let call = app.service.call_of_member(&call);
    let id = cluster_id(&input)?;
    let found = app.service.cluster_of_members_account(&call, &scope.project, &scope.within, id).await?;
    let cluster = app.service.show_connector(&call, &found.id).await?;
    Reply::json(StatusCode::OK, &Script { install_script: script::install(&cluster)? })
}

#[derive(Serialize)]
struct ImageCommand {
    image_command: String,
    secret_command: String,
    images_download_url: &'static str,
}

/// The password is looked at no more than the rest of what is not needed: it is in no answer, and nothing of this
/// operation's query is in logs.
pub(super) async fn image_command(_app: &App, call: Call, input: Input) -> Result<Reply> {
    path_project(&call, &input)?;
    let head = &input.head;
    let repository = required(head, "image_repo")?;
    let organization = required(head, "organization")?;
    let username = required(head, "username")?;
    required(head, "password")?;
    if head.query("plug_type").is_some_and(|kind| !["docker", "agent"].contains(&kind)) {
        return Err(Error::invalid("plug_type", "must be `docker` or `agent`"));
    }
    let (repository, organization) =
        (quote::word("image_repo", repository)?, quote::word("organization", organization)?);
    let username = quote::word("username", username)?;
    let command = ImageCommand {
        image_command: format!(
            "printf '%s\\n' 'nothing of Bailiwick runs in the cluster: there is no image to upload to' \
             {repository} {organization}"
        ),
        secret_command: format!(
            "printf '%s\\n' 'no image is pulled for Bailiwick: no secret is needed for' {username}"
        ),
        images_download_url: "",
    };
    Reply::json(StatusCode::OK, &command)
}

fn required<'a>(head: &'a Head, key: &str) -> Result<&'a str> {
    let missing = || Error::invalid(key, "must be given");
    length(key, head.query(key), 256)?.ok_or_else(missing)
}
