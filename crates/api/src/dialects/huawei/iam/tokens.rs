//! `/v3/auth/tokens`: a password for a token, and what a token stands for.

use domain::{Error, ErrorKind, Result, Secret};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use service::{Call, Login, Scope, TokenView};

use crate::App;
use crate::json::Object;
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
            "Turns a user's password into a token.",
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
    for credential in ["authorization", "x-auth-token"] {
        if input.head.headers.contains_key(credential) {
            let message =
                format!("show one credential: the password in the body, without the header `{credential}`");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    }
    let (login, scope) = read(&input)?;
    let issued = app.service.issue_token(&login, &scope, &input.head.origin).await.map_err(field_names)?;
    let token = HeaderValue::from_str(issued.token.expose()).map_err(Error::internal)?;
    Ok(Reply::json(StatusCode::CREATED, &body(&issued.view, &input))?.with_header(SUBJECT, token))
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

/// What is wanted. The body as such is gone before the password is verified, which may have to wait.
fn read(input: &Input) -> Result<(Login, Scope)> {
    let mut auth = input.json()?.object("auth")?;
    let scope = read_scope(&mut auth)?;
    Ok((read_login(&mut auth)?, scope))
}

fn read_login(auth: &mut Object) -> Result<Login> {
    let mut identity = auth.object("identity")?;
    let methods = identity.texts("methods")?;
    if methods != ["password"] {
        return Err(Error::invalid("auth.identity.methods", "must be [\"password\"]"));
    }
    let mut user = identity.object("password")?.object("user")?;
    let password = Secret::new(user.text("password")?);
    if let Some(id) = user.optional_text("id")? {
        return Ok(Login::Id { user: id, password });
    }
    let name = user.text("name")?;
    let mut domain = user.object("domain")?;
    let (account_id, account_name) = (domain.optional_text("id")?, domain.optional_text("name")?);
    if account_id.is_none() && account_name.is_none() {
        return Err(Error::invalid("auth.identity.password.user.domain", "must hold `name` or `id`"));
    }
    Ok(Login::Name { account_id, account_name, user: name, password })
}

/// A project wins over a domain; neither means the whole account.
fn read_scope(auth: &mut Object) -> Result<Scope> {
    let Some(mut scope) = auth.optional_object("scope")? else { return Ok(Scope::Account { named: None }) };
    if let Some(mut project) = scope.optional_object("project")? {
        let named = match project.optional_text("id")? {
            Some(id) => id,
            None => project.text("name")?,
        };
        return Ok(Scope::Project { named });
    }
    match scope.optional_object("domain")? {
        None => Ok(Scope::Account { named: None }),
        Some(mut domain) => {
            let named = match domain.optional_text("id")? {
                Some(id) => id,
                None => domain.text("name")?,
            };
            Ok(Scope::Account { named: Some(named) })
        }
    }
}

fn field_names(error: Error) -> Error {
    match error.field() {
        Some("scope.account") => error.at_field("auth.scope.domain"),
        Some("scope.project") => error.at_field("auth.scope.project"),
        Some(_) | None => error,
    }
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
    roles: Vec<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<Vec<Entry<'a>>>,
}

#[derive(Serialize)]
struct User<'a> {
    id: &'a str,
    name: &'a str,
    password_expires_at: &'static str,
    domain: Named<'a>,
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
                name: &caller.name,
                password_expires_at: "",
                domain: account(),
            },
            domain: project.is_none().then(account),
            project,
            roles: administrator
                .then_some(Named { id: "0", name: "te_admin", domain: None })
                .into_iter()
                .collect(),
            catalog: catalog(view, input),
        },
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
