//! `/v3.0/OS-USER/users`: the same users in the vendor's longer shape. What it says about people beyond a directory of
//! rights (mail, telephone) is not kept here, and is refused rather than dropped.

use domain::{Error, ExternalId, Principal, PrincipalKind, Result, Timestamp};
use http::StatusCode;
use serde::Serialize;
use service::{Call, NewPrincipal, Which};

use super::links::Links;
use super::{rules, users};
use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const LIST: &str = "/v3.0/OS-USER/users";
const ITEM: &str = "/v3.0/OS-USER/users/{user_id}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "POST",
            LIST,
            "iam.createUser",
            "Creates a user.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "iam.showUser",
            "Shows a user.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "iam.updateUser",
            "Changes a user.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
    ]
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut user = input.json()?.object("user")?;
    rules::own_account(&mut user, "user.domain_id", call.account())?;
    check_unkept(&mut user)?;
    let new = NewPrincipal {
        password: users::password(&mut user)?,
        description: users::description(&mut user)?.unwrap_or_default(),
        enabled: user.optional_boolean("enabled")?.unwrap_or(true),
        external_ids: external_id(&mut user)?.into_iter().collect(),
        ..NewPrincipal::named(
            PrincipalKind::User,
            users::name(&mut user)?.ok_or_else(|| user.missing("name"))?,
        )
    };
    let made = app.service.create_principal(&call, new).await.map_err(rules::inside("user"))?;
    Reply::json(StatusCode::CREATED, &Body { user: Wire::of(&made) })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let user = app.service.show_principal(&call, PrincipalKind::User, id(&input)).await?;
    Reply::json(StatusCode::OK, &Body { user: Wire::of(&user) })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut user = input.json()?.object("user")?;
    check_unkept(&mut user)?;
    if external_id(&mut user)?.is_some() {
        let rule = "can only be given at creation; `externalIds` of the native API changes it";
        return Err(Error::invalid("user.xuser_id", rule));
    }
    let change = users::change(&mut user)?;
    let user = app.service.update_principal(&call, PrincipalKind::User, id(&input), change).await;
    Reply::json(StatusCode::OK, &Body { user: Wire::of(&user.map_err(rules::inside("user"))?) })
}

fn id(input: &Input) -> Which<'_> {
    Which::Id(input.parameters.get("user_id"))
}

fn check_unkept(user: &mut Object) -> Result<()> {
    for key in ["email", "phone", "areacode"] {
        if user.optional_text(key)?.is_some_and(|text| !text.is_empty()) {
            let rule = "must be left out: mail addresses and telephone numbers are not kept here";
            return Err(Error::invalid(&format!("user.{key}"), rule));
        }
    }
    match user.optional_text("access_mode")?.as_deref() {
        None | Some("default" | "programmatic") => Ok(()),
        Some(_) => {
            let rule = "must be `default` or `programmatic`: a user with an access key can always sign";
            Err(Error::invalid("user.access_mode", rule))
        }
    }
}

/// Under which name another system knows the user.
fn external_id(user: &mut Object) -> Result<Option<ExternalId>> {
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (text(user.optional_text("xuser_type")?), text(user.optional_text("xuser_id")?)) {
        (None, None) => Ok(None),
        (Some(issuer), Some(subject)) => Ok(Some(ExternalId { issuer, subject })),
        (None, Some(_)) => Err(user.missing("xuser_type")),
        (Some(_), None) => Err(user.missing("xuser_id")),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    user: Wire<'a>,
}

#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    name: &'a str,
    domain_id: &'a str,
    enabled: bool,
    description: &'a str,
    access_mode: &'static str,
    is_domain_owner: bool,
    pwd_status: bool,
    password_expires_at: Option<&'static str>,
    xuser_type: &'a str,
    xuser_id: &'a str,
    email: &'static str,
    phone: &'static str,
    areacode: &'static str,
    create_time: String,
    update_time: String,
    pwd_create_time: Option<String>,
    links: Links,
}

impl<'a> Wire<'a> {
    fn of(user: &'a Principal) -> Self {
        let external = user.external_ids.first();
        Self {
            id: user.id.as_str(),
            name: &user.name,
            domain_id: user.account.as_str(),
            enabled: user.enabled,
            description: &user.description,
            access_mode: users::access_mode(user),
            is_domain_owner: user.root,
            pwd_status: false,
            password_expires_at: None,
            xuser_type: external.map_or("", |id| &id.issuer),
            xuser_id: external.map_or("", |id| &id.subject),
            email: "",
            phone: "",
            areacode: "",
            create_time: time(user.created_at),
            update_time: time(user.updated_at),
            pwd_create_time: user.password_set_at.map(time),
            links: Links::to(format!("{LIST}/{}", user.id)),
        }
    }
}

/// Here times have neither offset nor `Z`.
pub(super) fn time(at: Timestamp) -> String {
    at.format("%Y-%m-%dT%H:%M:%S.%6f")
}
