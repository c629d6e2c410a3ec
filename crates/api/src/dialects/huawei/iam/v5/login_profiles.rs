//! `/v5/users/{user_id}/login-profile`: whether a user has a password, and `/v5/caller-password`, with which people change
//! their own.

use domain::{Error, Principal, PrincipalKind, Result, Secret};
use http::StatusCode;
use serde::Serialize;
use service::{Call, Which};

use super::super::rules;
use super::users::id;
use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const ITEM: &str = "/v5/users/{user_id}/login-profile";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "POST",
            ITEM,
            "iam.createLoginProfileV5",
            "Gives a user a password.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "iam.showLoginProfileV5",
            "Says since when a user has their password.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "iam.updateLoginProfileV5",
            "Sets another password for a user.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "iam.deleteLoginProfileV5",
            "Takes a user's password away.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
        row(
            "POST",
            "/v5/caller-password",
            "iam.changePasswordV5",
            "Changes the caller's own password, with the old one instead of a right.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(change_own(app, call, input))),
        ),
    ]
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let password = password(&mut body, "password")?.ok_or_else(|| body.missing("password"))?;
    let user = app.service.create_password(&call, id(&input), &password).await?;
    Reply::json(StatusCode::CREATED, &Body { login_profile: Wire::of(&user)? })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let user = app.service.show_principal(&call, PrincipalKind::User, id(&input)).await?;
    Reply::json(StatusCode::OK, &Body { login_profile: Wire::of(&user)? })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let password = password(&mut body, "password")?.ok_or_else(|| body.missing("password"))?;
    let user = app.service.replace_password(&call, id(&input), &password).await?;
    Reply::json(StatusCode::OK, &Body { login_profile: Wire::of(&user)? })
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_password(&call, id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn change_own(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let old = Secret::new(body.text("old_password")?);
    let new = password(&mut body, "new_password")?.ok_or_else(|| body.missing("new_password"))?;
    let own = Which::Id(call.caller.principal.as_str());
    let changed = app.service.change_own_password(&call, own, &old, &new).await;
    changed.map_err(super::spelled(&[("password", "new_password")]))?;
    super::nothing()
}

fn password(body: &mut Object, key: &str) -> Result<Option<Secret>> {
    let password = body.optional_text(key)?.map(Secret::new);
    password.iter().try_for_each(|password| rules::password(key, password))?;
    Ok(password)
}

#[derive(Serialize)]
struct Body<'a> {
    login_profile: Wire<'a>,
}

#[derive(Serialize)]
struct Wire<'a> {
    user_id: &'a str,
    /// Nobody is asked for another password at the next login here.
    password_reset_required: bool,
    password_expires_at: Option<&'static str>,
    created_at: String,
}

impl<'a> Wire<'a> {
    fn of(user: &'a Principal) -> Result<Self> {
        let set = user
            .password_set_at
            .ok_or_else(|| Error::not_found("login profile of user", user.id.as_str()))?;
        Ok(Self {
            user_id: user.id.as_str(),
            password_reset_required: false,
            password_expires_at: None,
            created_at: set.rfc3339_micros(),
        })
    }
}
