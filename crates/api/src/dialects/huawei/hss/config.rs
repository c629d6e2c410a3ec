//! What a kubeconfig says of itself, before anybody imports it.

use domain::{Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::Call;

use super::scope::Scope;
use crate::App;
use crate::json::Object;
use crate::operation::Input;
use crate::reply::Reply;

/// The spelling where a cluster is imported, and the one where it is updated.
pub(super) const SPELLINGS: [&str; 2] = ["kube_config", "kubeconfig"];

#[derive(Serialize)]
struct Answer<'a> {
    total_num: usize,
    data_list: [Analyzed<'a>; 1],
}

#[derive(Serialize)]
struct Analyzed<'a> {
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_expiration_date: Option<i64>,
}

pub(super) async fn analyze(app: &App, call: Call, input: Input) -> Result<Reply> {
    Scope::of_many(app, &call, &input)?;
    let call = app.service.call_of_member(&call);
    let text = kubeconfig(&mut input.json()?)?;
    let text = text.ok_or_else(|| Error::invalid("kube_config", "must be given"))?;
    let read = app.service.read_kubeconfig_of_member(&call, &text);
    let (address, end) = read.map_err(|error| spelled(error, "kube_config"))?;
    let found =
        Analyzed { address: &address, certificate_expiration_date: end.map(domain::Timestamp::as_millis) };
    Reply::json(StatusCode::OK, &Answer { total_num: 1, data_list: [found] })
}

/// The kubeconfig of a body, in either spelling; in both, only if they agree.
pub(super) fn kubeconfig(body: &mut Object) -> Result<Option<String>> {
    let [first, second] = SPELLINGS;
    match (body.optional_text(first)?, body.optional_text(second)?) {
        (Some(one), Some(other)) if one != other => {
            Err(Error::invalid(first, format!("must not differ from its other spelling `{second}`")))
        }
        (Some(text), _) | (None, Some(text)) => Ok(Some(text)),
        (None, None) => Ok(None),
    }
}

/// The service's words as this API has them.
pub(super) fn spelled(error: Error, kubeconfig: &str) -> Error {
    let here = match error.field() {
        Some("kubeconfig") => kubeconfig,
        Some("enterpriseProject") => "enterprise_project_id",
        Some("imageRepository") => "image_repo",
        Some(_) | None => return error,
    };
    error.at_field(here)
}
