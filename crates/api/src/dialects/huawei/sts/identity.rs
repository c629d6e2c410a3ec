//! `/v5/caller-identity`: who one is. Everybody may know that of themselves.

use domain::{PrincipalKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::{Call, Caller};

use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "GET",
        "/v5/caller-identity",
        "sts.getCallerIdentity",
        "Says who the caller is.",
        BodyRule::None,
        Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
    )]
}

async fn show(_app: &App, call: Call, _input: Input) -> Result<Reply> {
    let caller = &call.caller;
    let body =
        Body { account_id: caller.account.as_str(), principal_urn: urn(caller), principal_id: id(caller) };
    Reply::json(StatusCode::OK, &body)
}

#[derive(Serialize)]
struct Body<'a> {
    account_id: &'a str,
    principal_urn: String,
    principal_id: String,
}

/// `iam::<account>:user:<name>`, or `sts::<account>:assumed-agency:<agency>/<session>`.
fn urn(caller: &Caller) -> String {
    let (account, name) = (&caller.account, &caller.name);
    match caller.kind {
        PrincipalKind::Agency => assumed_urn(account.as_str(), name, session(caller)),
        PrincipalKind::User | PrincipalKind::Group => format!("iam::{account}:user:{name}"),
    }
}

fn id(caller: &Caller) -> String {
    match caller.kind {
        PrincipalKind::Agency => format!("{}:{}", caller.principal, session(caller)),
        PrincipalKind::User | PrincipalKind::Group => caller.principal.to_string(),
    }
}

fn session(caller: &Caller) -> &str {
    caller.session().map_or("", |session| session.name.as_str())
}

/// The name of a session of an agency.
pub(super) fn assumed_urn(account: &str, agency: &str, session: &str) -> String {
    format!("sts::{account}:assumed-agency:{agency}/{session}")
}
