//! `/v3/auth/tokens`: a password for a token, and what a token stands for.

use std::borrow::Cow;

use domain::{Error, ErrorKind, PrincipalKind, Result};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use service::sessions::AssumedBy;
use service::{Call, Caller, IssuedToken, Scope, TokenView};

use super::identity::{self, Identity, field_names};
use crate::App;
use crate::dialects::huawei::{admitted, admitted_by_token, note_refused};
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const PATH: &str = "/v3/auth/tokens";
const SUBJECT: &str = "x-subject-token";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row =
        |method, name, summary, body, handler| Operation { method, path: PATH, name, summary, body, handler };
    vec![
        row(
            "POST",
            "iam.keystoneCreateToken",
            "Turns a password, a token, an access key or an agency into a token.",
            BodyRule::Json,
            Handler::Open(|app, input| Box::pin(create(app, input))),
        ),
        row(
            "GET",
            "iam.keystoneValidateToken",
            "Says what a token of the account stands for.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "HEAD",
            "iam.keystoneCheckToken",
            "Says whether a token of the account is valid.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(check(app, call, input))),
        ),
        row(
            "DELETE",
            "iam.keystoneRevokeToken",
            "Ends a token of the account.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(revoke(app, call, input))),
        ),
    ]
}

async fn create(app: &App, input: Input) -> Result<Reply> {
    let mut auth = input.json()?.object("auth")?;
    let (scope, identity) = (identity::scope(&mut auth)?, identity::read(&mut auth)?);
    let issued = issue(app, &input, identity, &scope).await.map_err(field_names)?;
    let token = HeaderValue::from_str(issued.token.expose()).map_err(Error::internal)?;
    Ok(Reply::json(StatusCode::CREATED, &body(&issued.view, &input))?.with_header(SUBJECT, token))
}

async fn issue(app: &App, input: &Input, identity: Identity, scope: &Scope) -> Result<IssuedToken> {
    let (service, head) = (&app.service, &input.head);
    match identity {
        Identity::Password(login) => {
            only_the_body(input, None)?;
            service.issue_token(&login, scope, &head.origin).await
        }
        Identity::Token(token) => {
            let token = token.expose();
            only_the_body(input, Some(token))?;
            service.rescope_token(&admitted_by_token(app, head, token).await?, scope).await
        }
        Identity::KeyPair { access, secret } => {
            only_the_body(input, None)?;
            let call = service.call_by_key(&access, &secret, head.origin.clone()).await?;
            service.admit_caller(&call.caller)?;
            service.rescope_token(&call, scope).await
        }
        Identity::Agency(wish) => {
            let call = admitted(app, input).await?;
            let issued = service.assume_agency_for_token(&call, &wish, scope).await;
            issued.inspect_err(|error| note_refused(app, &call, input, error))
        }
    }
}

/// Refuses a request that shows a credential beside the one in its body. The same token may stand in both places.
fn only_the_body(input: &Input, token: Option<&str>) -> Result<()> {
    for credential in ["authorization", "x-auth-token"] {
        let same = token.is_some() && credential == "x-auth-token" && input.head.header(credential) == token;
        if input.head.headers.contains_key(credential) && !same {
            let message =
                format!("show one credential: the one in the body, without the header `{credential}`");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    }
    Ok(())
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let token = subject(&input)?;
    let view = app.service.show_token(&call, token).await?;
    let header = HeaderValue::from_str(token).map_err(Error::internal)?;
    Ok(Reply::json(StatusCode::OK, &body(&view, &input))?.with_header(SUBJECT, header))
}

async fn check(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.show_token(&call, subject(&input)?).await?;
    Ok(Reply::empty(StatusCode::OK))
}

async fn revoke(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.revoke_token(&call, subject(&input)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn subject(input: &Input) -> Result<&str> {
    let missing =
        || Error::new(ErrorKind::Invalid, "the header `X-Subject-Token` must hold the token in question");
    input.head.header(SUBJECT).filter(|token| !token.is_empty()).ok_or_else(missing)
}

#[derive(Serialize)]
struct Body<'a> {
    token: Token<'a>,
}

#[derive(Serialize)]
struct Token<'a> {
    methods: &'a [String],
    issued_at: String,
    expires_at: String,
    user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assumed_by: Option<Assumer<'a>>,
    roles: Vec<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<Vec<Entry<'a>>>,
}

#[derive(Serialize)]
struct User<'a> {
    id: &'a str,
    name: Cow<'a, str>,
    password_expires_at: &'static str,
    domain: Named<'a>,
}

/// Who assumed the agency.
#[derive(Serialize)]
struct Assumer<'a> {
    user: User<'a>,
}

impl<'a> Assumer<'a> {
    fn new(by: &'a AssumedBy) -> Self {
        let domain = Named { id: by.account.as_str(), name: &by.account_name, domain: None };
        let (id, name) = (by.id.as_str(), Cow::Borrowed(by.name.as_str()));
        Self { user: User { id, name, password_expires_at: "", domain } }
    }
}

#[derive(Serialize)]
struct Named<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<Box<Named<'a>>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    r#type: &'static str,
    name: &'static str,
    id: &'static str,
    endpoints: [Endpoint<'a>; 1],
}

#[derive(Serialize)]
struct Endpoint<'a> {
    id: &'static str,
    url: String,
    region: &'a str,
    region_id: &'a str,
    interface: &'static str,
}

fn body<'a>(view: &'a TokenView, input: &'a Input) -> Body<'a> {
    let caller = &view.caller;
    let account = || Named { id: caller.account.as_str(), name: &caller.account_name, domain: None };
    let project = view.project.as_ref().map(|project| Named {
        id: project.id.as_str(),
        name: &project.name,
        domain: Some(Box::new(account())),
    });
    let administrator = caller.root || caller.administrator;
    Body {
        token: Token {
            methods: &view.methods,
            issued_at: view.issued_at.rfc3339_micros(),
            expires_at: view.expires_at.rfc3339_micros(),
            user: User {
                id: caller.principal.as_str(),
                name: user_name(caller),
                password_expires_at: "",
                domain: account(),
            },
            domain: project.is_none().then(account),
            project,
            assumed_by: view.assumed_by.as_ref().map(Assumer::new),
            roles: administrator
                .then_some(Named { id: "0", name: "te_admin", domain: None })
                .into_iter()
                .collect(),
            catalog: catalog(view, input),
        },
    }
}

/// An agency is called `<account>/<agency>`.
fn user_name(caller: &Caller) -> Cow<'_, str> {
    match caller.kind {
        PrincipalKind::Agency => Cow::Owned(format!("{}/{}", caller.account_name, caller.name)),
        PrincipalKind::User | PrincipalKind::Group => Cow::Borrowed(&caller.name),
    }
}

/// All services are this server, under the address by which the caller reached it.
fn catalog<'a>(view: &'a TokenView, input: &Input) -> Option<Vec<Entry<'a>>> {
    if input.head.query("nocatalog").is_some_and(|value| !value.is_empty()) {
        return None;
    }
    let host = input.head.header("host").unwrap_or_default();
    let region = view.project.as_ref().map_or("*", |project| project.name.as_str());
    let entry = |kind: &'static str| Entry {
        r#type: kind,
        name: kind,
        id: kind,
        endpoints: [Endpoint {
            id: kind,
            url: format!("//{host}"),
            region,
            region_id: region,
            interface: "public",
        }],
    };
    Some(vec![entry("iam"), entry("cce")])
}
