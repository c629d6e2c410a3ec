//! `/bailiwick/v1/kubeconfigs` and `…/clusters/{cluster}/kubeconfigs`: ways into a cluster by a certificate of one's own.

use domain::{Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::clusters::certificates::{
    CertificateState, ForOthers, Foreign, Holder, IssuedCertificate, Lifetime, Wanted,
};
use service::{Call, Which};

use super::{items, page};
use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "POST",
            "/bailiwick/v1/clusters/{cluster}/kubeconfigs",
            "kubeconfigs.issue",
            "Has the cluster sign a client certificate and gives it out as a kubeconfig; its key is shown this once.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(issue(app, call, input))),
        ),
        row(
            "GET",
            "/bailiwick/v1/kubeconfigs",
            "kubeconfigs.list",
            "Lists the kubeconfigs that were issued, without their keys.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "DELETE",
            "/bailiwick/v1/kubeconfigs/{serial}",
            "kubeconfigs.revoke",
            "Revokes one kubeconfig: whoever has it has no rights by it any more.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(revoke(app, call, input))),
        ),
    ]
}

async fn issue(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let holder = body.optional_text("holder")?;
    let lifetime = lifetime(&mut body)?;
    let adopt = body.optional_boolean("adopt")? == Some(true);
    body.finish()?;
    let wanted = Wanted {
        holder: match &holder {
            None => Holder::Caller,
            Some(named) => Holder::Named { kind: None, which: Which::IdOrName(named) },
        },
        for_others: ForOthers::Administrators,
        lifetime,
        foreign: if adopt { Foreign::Adopt } else { Foreign::Refuse },
    };
    let made = app.service.issue_certificate(&call, input.parameters.get("cluster"), wanted).await?;
    let yaml = made.yaml();
    let issued = IssuedCertificate {
        state: CertificateState::Live,
        cluster_name: made.cluster.name,
        certificate: made.certificate,
    };
    Reply::json(StatusCode::CREATED, &Wire::new(&issued, Some(yaml.expose())))
}

/// How long it is to be good, in minutes or seconds.
fn lifetime(body: &mut Object) -> Result<Lifetime> {
    match (body.optional_integer("minutes")?, body.optional_integer("seconds")?) {
        (None, None) => Ok(Lifetime::Lasting),
        (Some(minutes), None) => Ok(Lifetime::Seconds(minutes.saturating_mul(60))),
        (None, Some(seconds)) => Ok(Lifetime::Seconds(seconds)),
        (Some(_), Some(_)) => Err(Error::invalid("seconds", "must be left out where `minutes` is given")),
    }
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let request = page(&input, &["cluster", "holder"])?;
    let (cluster, holder) = (input.head.query("cluster"), input.head.query("holder"));
    let holder = holder.map(Which::IdOrName);
    let paged = app.service.list_certificates(&call, cluster, holder, &request).await?;
    items(paged, |issued| Wire::new(&issued, None))
}

async fn revoke(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.revoke_certificate(&call, input.parameters.get("serial")).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    id: String,
    cluster: String,
    cluster_name: String,
    holder: WireHolder,
    user_name: String,
    state: &'static str,
    issued_at: String,
    issued_by: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<&'a str>,
}

#[derive(Serialize)]
struct WireHolder {
    r#type: &'static str,
    id: String,
    name: String,
}

impl<'a> Wire<'a> {
    fn new(issued: &IssuedCertificate, kubeconfig: Option<&'a str>) -> Self {
        let certificate = &issued.certificate;
        Self {
            id: certificate.id.to_string(),
            cluster: certificate.cluster.to_string(),
            cluster_name: issued.cluster_name.clone(),
            holder: WireHolder {
                r#type: certificate.kind.as_str(),
                id: certificate.principal.to_string(),
                name: certificate.principal_name.clone(),
            },
            user_name: certificate.user_name.clone(),
            state: issued.state.as_str(),
            issued_at: certificate.issued_at.rfc3339_seconds(),
            issued_by: certificate.issued_by.to_string(),
            expires_at: certificate.expires_at.rfc3339_seconds(),
            not_after: certificate.not_after.map(domain::Timestamp::rfc3339_seconds),
            revoked_at: certificate.revoked_at.map(domain::Timestamp::rfc3339_seconds),
            kubeconfig,
        }
    }
}
