//! Kubeconfigs: having one, how one stands, and its end.

use domain::{ConnectionState, Error, PrincipalKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::clusters::certificates::{
    CertificateState, ForOthers, Foreign, Holder, InCluster, Kubeconfig, Lifetime, OfHolder, Presence,
    Wanted, WhichCluster,
};
use service::{Call, Which};

use super::{in_words, query};
use crate::App;
use crate::dialects::alibaba::reply;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let get = |path, name, summary, handler| {
        Operation::new("GET", path, name, summary, BodyRule::None, Handler::Authenticated(handler))
    };
    vec![
        get(
            "/k8s/{ClusterId}/user_config",
            "ack.describeClusterUserKubeconfig",
            "Has the cluster sign a certificate for the caller, and gives it out as a kubeconfig.",
            |app, call, input| Box::pin(own(app, call, input)),
        ),
        get(
            "/api/v2/k8s/{ClusterId}/user_config",
            "ack.describeClusterV2UserKubeconfig",
            "The same, without saying when it ends.",
            |app, call, input| Box::pin(own_v2(app, call, input)),
        ),
        get(
            "/k8s/{ClusterId}/users/{Uid}/user_config",
            "ack.describeSubaccountK8sClusterUserConfig",
            "The same for somebody else; for the root user alone.",
            |app, call, input| Box::pin(of_another(app, call, input)),
        ),
        get(
            "/users/{Uid}/kubeconfig/states",
            "ack.listUserKubeConfigStates",
            "Lists how somebody's kubeconfig stands in each cluster.",
            |app, call, input| Box::pin(of_user(app, call, input)),
        ),
        get(
            "/clusters/{ClusterId}/kubeconfig/states",
            "ack.listClusterKubeconfigStates",
            "Lists whose kubeconfigs of a cluster there are, and how they stand.",
            |app, call, input| Box::pin(of_cluster(app, call, input)),
        ),
        Operation::new(
            "DELETE",
            "/k8s/{ClusterId}/certs",
            "ack.revokeK8sClusterKubeConfig",
            "Revokes the caller's kubeconfigs of a cluster.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(revoke(app, call, input))),
        ),
        Operation::new(
            "POST",
            "/k8s/{ClusterId}/user_config/expire",
            "ack.updateK8sClusterUserConfigExpire",
            "Chooses how long somebody's kubeconfigs of a cluster are good; for the root user alone.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(set_lifetime(app, call, input))),
        ),
    ]
}

#[derive(Serialize)]
struct Config<'a> {
    config: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
}

async fn own(app: &App, call: Call, input: Input) -> Result<Reply> {
    let made = issue(app, &call, &input, Holder::Caller, ForOthers::Root).await?;
    let expiration = Some(made.certificate.expires_at.rfc3339_seconds());
    reply::json(StatusCode::OK, &Config { config: made.yaml().expose(), expiration })
}

async fn own_v2(app: &App, call: Call, input: Input) -> Result<Reply> {
    let made = issue(app, &call, &input, Holder::Caller, ForOthers::Root).await?;
    reply::json(StatusCode::OK, &Config { config: made.yaml().expose(), expiration: None })
}

async fn of_another(app: &App, call: Call, input: Input) -> Result<Reply> {
    let holder = Holder::Named { kind: None, which: Which::Id(input.parameters.get("Uid")) };
    let made = issue(app, &call, &input, holder, ForOthers::RootAlone).await?;
    let expiration = Some(made.certificate.expires_at.rfc3339_seconds());
    reply::json(StatusCode::OK, &Config { config: made.yaml().expose(), expiration })
}

async fn issue(
    app: &App,
    call: &Call,
    input: &Input,
    holder: Holder<'_>,
    for_others: ForOthers,
) -> Result<Kubeconfig> {
    // A cluster is known by one address here, which serves whoever asks for the inner one and for the outer one.
    query::switch(input, "PrivateIpAddress")?;
    let lifetime = match input.head.query("TemporaryDurationMinutes") {
        None => Lifetime::Lasting,
        Some(text) => {
            let minutes = text.parse().ok().filter(|minutes| (15..=4320).contains(minutes));
            let rule =
                || Error::invalid("TemporaryDurationMinutes", "must be a whole number from 15 to 4320");
            Lifetime::Seconds(60_i64.saturating_mul(minutes.ok_or_else(rule)?))
        }
    };
    let wanted = Wanted { holder, for_others, lifetime, foreign: Foreign::Refuse };
    app.service.issue_certificate(call, cluster(input), wanted).await.map_err(in_words)
}

fn cluster(input: &Input) -> WhichCluster<'_> {
    WhichCluster::Id(input.parameters.get("ClusterId"))
}

async fn revoke(app: &App, call: Call, input: Input) -> Result<Reply> {
    let revoked =
        app.service.revoke_certificates(&call, cluster(&input), Holder::Caller, ForOthers::Root).await;
    revoked.map_err(in_words)?;
    // Clients cannot read an empty body here.
    reply::json(StatusCode::OK, &serde_json::json!({}))
}

async fn set_lifetime(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let hours = body.optional_integer("expire_hour")?;
    let hours = hours.ok_or_else(|| Error::invalid("expire_hour", "is required"))?;
    let user = body.text("user")?;
    let holder = Holder::Named { kind: None, which: Which::Id(&user) };
    let done = app.service.set_certificate_lifetime(&call, cluster(&input), holder, hours).await;
    done.map_err(|error| match error.field() {
        Some("hours") => error.at_field("expire_hour"),
        Some(_) | None => in_words(error),
    })?;
    Ok(Reply::empty(StatusCode::OK))
}

#[derive(Serialize)]
struct States<T> {
    page: Page,
    states: Vec<T>,
}

#[derive(Serialize)]
struct Page {
    page_number: usize,
    page_size: usize,
    total_count: usize,
}

/// The page of `all` that is asked for.
fn page<T, W: Serialize>(all: &[T], (number, size): (usize, usize), wire: fn(&T) -> W) -> Result<Reply> {
    let before = number.saturating_sub(1).saturating_mul(size);
    let states = all.iter().skip(before).take(size).map(wire).collect();
    let page = Page { page_number: number, page_size: size, total_count: all.len() };
    reply::json(StatusCode::OK, &States { page, states })
}

async fn of_user(app: &App, call: Call, input: Input) -> Result<Reply> {
    let holder = Holder::Named { kind: None, which: Which::Id(input.parameters.get("Uid")) };
    let all = app.service.certificates_in_clusters(&call, holder).await.map_err(in_words)?;
    let number = query::number(&input, "page_number", 1, 1_000_000)?;
    let size = query::number(&input, "page_size", 50, 100)?;
    page(&all, (number, size), UserState::new)
}

async fn of_cluster(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut all = app.service.certificates_of_holders(&call, cluster(&input)).await.map_err(in_words)?;
    let number = query::number(&input, "pageNumber", 1, 1_000_000)?;
    let size = query::number(&input, "pageSize", 10, 50)?;
    if query::switch(&input, "cloudServiceKubeConfig")? {
        // No service of a cloud has one here.
        all.clear();
    }
    page(&all, (number, size), ClusterState::new)
}

#[derive(Serialize)]
struct UserState {
    cluster_id: String,
    cluster_name: String,
    cluster_state: &'static str,
    cert_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cert_expire_time: Option<String>,
}

impl UserState {
    fn new(standing: &InCluster) -> Self {
        let cluster = &standing.cluster;
        Self {
            cluster_id: cluster.id.to_string(),
            cluster_name: cluster.name.clone(),
            // This list has fewer words than others for how a cluster is, and none for one that does not answer.
            cluster_state: match cluster.connection {
                ConnectionState::Detached | ConnectionState::Connecting => "initial",
                ConnectionState::Connected => "running",
                ConnectionState::Unreachable => "failed",
            },
            cert_state: match &standing.best {
                None => "Unissued",
                Some((_, state)) => match state {
                    CertificateState::Live | CertificateState::Signing => "Unexpired",
                    CertificateState::Expired => "Expired",
                    CertificateState::Revoked => "Removed",
                },
            },
            cert_expire_time: standing.best.as_ref().map(|(best, _)| best.expires_at.rfc3339_seconds()),
        }
    }
}

#[derive(Serialize)]
struct ClusterState {
    account_id: String,
    account_name: String,
    account_display_name: String,
    account_type: &'static str,
    account_state: &'static str,
    cert_state: &'static str,
    cert_expire_time: String,
    revokable: bool,
}

impl ClusterState {
    fn new(standing: &OfHolder) -> Self {
        let best = &standing.best;
        Self {
            account_id: best.principal.to_string(),
            account_name: best.principal_name.clone(),
            account_display_name: best.principal_name.clone(),
            account_type: match best.kind {
                PrincipalKind::User if standing.root => "RootAccount",
                PrincipalKind::User | PrincipalKind::Group => "RamUser",
                PrincipalKind::Agency => "RamRole",
            },
            account_state: match standing.presence {
                Presence::Active => "Active",
                Presence::Disabled => "InActive",
                Presence::Gone => "Deleted",
            },
            cert_state: match standing.state {
                CertificateState::Live | CertificateState::Signing => "Unexpired",
                CertificateState::Expired => "Expired",
                CertificateState::Revoked => "Unknown",
            },
            cert_expire_time: best.expires_at.rfc3339_seconds(),
            revokable: matches!(standing.state, CertificateState::Live | CertificateState::Signing),
        }
    }
}
