//! `/v5/decode-authorization-message`: what the sealed message of a refusal says.

use domain::{Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::Call;
use service::authz::authorization_message::MAX_ENCODED;

use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "POST",
        "/v5/decode-authorization-message",
        "sts.decodeAuthorizationMessage",
        "Says why somebody of the account was refused.",
        BodyRule::Json,
        Handler::Authenticated(|app, call, input| Box::pin(decode(app, call, input))),
    )]
}

async fn decode(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let encoded = body.text("encoded_message")?;
    body.finish()?;
    if encoded.is_empty() || encoded.len() > MAX_ENCODED {
        let message = format!("must be 1 to {MAX_ENCODED} characters");
        return Err(Error::invalid("encoded_message", message));
    }
    let decoded_message = app.service.decode_authorization_message(&call, &encoded).await?;
    Reply::json(StatusCode::OK, &Body { decoded_message })
}

#[derive(Serialize)]
struct Body {
    decoded_message: String,
}
