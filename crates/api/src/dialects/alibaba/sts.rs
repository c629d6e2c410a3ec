//! STS: who is calling. Its operations are told apart by a parameter and not by their path.

use domain::{PrincipalKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::{Call, Caller, Proof};

use super::reply;
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation, Pending};
use crate::reply::Reply;

/// The version of this interface.
pub(super) const VERSION: &str = "2015-04-01";

pub(super) fn operations() -> Vec<Operation> {
    let identity = |method, name| {
        Operation::new(
            method,
            "/?Action=GetCallerIdentity",
            name,
            "Who is calling.",
            BodyRule::None,
            Handler::Authenticated(caller_identity),
        )
    };
    vec![identity("GET", "ramSts.getCallerIdentity"), identity("POST", "ramSts.postCallerIdentity")]
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Identity<'a> {
    identity_type: &'static str,
    account_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_id: Option<&'a str>,
    principal_id: String,
    arn: String,
    request_id: String,
}

impl<'a> Identity<'a> {
    fn new(caller: &'a Caller, request_id: &str) -> Self {
        let (account, id) = (caller.account.as_str(), caller.principal.as_str());
        let (identity_type, resource) = match caller.kind {
            PrincipalKind::User if caller.root => ("Account", "root".to_owned()),
            PrincipalKind::User => ("RAMUser", format!("user/{}", caller.name)),
            // Groups do not call.
            PrincipalKind::Agency | PrincipalKind::Group => {
                ("AssumedRoleUser", format!("assumed-role/{}/{}", caller.name, session(caller)))
            }
        };
        let user = caller.kind == PrincipalKind::User;
        let principal_id = if user { id.to_owned() } else { format!("{id}:{}", session(caller)) };
        Self {
            identity_type,
            account_id: account,
            user_id: user.then_some(id),
            role_id: (!user).then_some(id),
            principal_id,
            arn: format!("acs:ram::{account}:{resource}"),
            request_id: reply::request_id(request_id),
        }
    }
}

/// What whoever assumed the role calls the session.
fn session(caller: &Caller) -> &str {
    match &caller.proof {
        Proof::Session(facts) => &facts.name,
        Proof::Server | Proof::AccessKey(_) => "",
    }
}

fn caller_identity(_app: &App, call: Call, input: Input) -> Pending<'_, Result<Reply>> {
    Box::pin(async move {
        let identity = Identity::new(&call.caller, &input.head.origin.request_id);
        reply::json(StatusCode::OK, &identity)
    })
}
