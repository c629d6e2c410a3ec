//! `/bailiwick/v1/revocations`: credentials ended at once, with a receipt of what ended.

use domain::{Error, PrincipalKind, Result};
use http::StatusCode;
use serde_json::{Value, json};
use service::Call;
use service::sessions::revocation::{Afterwards, Receipt, Revoked};

use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// What can be revoked, as fields of the body.
const SUBJECTS: [&str; 4] = ["principal", "accessKey", "token", "tokenId"];

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "POST",
        "/bailiwick/v1/revocations",
        "revocations.create",
        "Ends everything of a principal, a key or a token, and what came from it, at once.",
        BodyRule::Json,
        Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
    )]
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let (subject, named) = subject(&mut body)?;
    let kind = body.optional_text("kind")?;
    let keep = body.optional_boolean("keepEnabled")?;
    body.finish()?;
    if subject != "principal" && (kind.is_some() || keep.is_some()) {
        let field = if kind.is_some() { "kind" } else { "keepEnabled" };
        return Err(Error::invalid(field, "must be left out unless `principal` is revoked"));
    }
    let kind = kind.map(|kind| PrincipalKind::parse("kind", &kind)).transpose()?;
    let service = &app.service;
    let receipt = match subject {
        "principal" => {
            let afterwards = if keep == Some(true) { Afterwards::Enabled } else { Afterwards::Disabled };
            service.revoke_principal(&call, kind, &named, afterwards).await?
        }
        "accessKey" => service.revoke_key(&call, &named).await?,
        "token" => service.revoke_any_token(&call, &named).await?,
        _ => service.revoke_token_by_id(&call, &named).await?,
    };
    Reply::json(StatusCode::OK, &wire(&receipt))
}

/// Which of the subjects the body names, and how.
fn subject(body: &mut Object) -> Result<(&'static str, String)> {
    let mut found = None;
    for subject in SUBJECTS {
        if let Some(named) = body.optional_text(subject)? {
            if found.is_some() {
                return Err(Error::invalid(
                    subject,
                    "cannot be revoked together with another: send two requests",
                ));
            }
            found = Some((subject, named));
        }
    }
    found.ok_or_else(|| Error::invalid("principal", "is required, or `accessKey`, `token` or `tokenId`"))
}

fn wire(receipt: &Receipt) -> Value {
    let sessions: Vec<Value> = receipt
        .sessions
        .iter()
        .map(|session| {
            json!({
                "id": session.id.as_str(),
                "kind": session.kind.as_str(),
                "account": session.account.as_str(),
                "principal": session.principal.as_str(),
            })
        })
        .collect();
    let access_keys: Vec<&str> = receipt.access_keys.iter().map(domain::AccessKeyId::as_str).collect();
    json!({
        "revoked": revoked(&receipt.revoked),
        "at": receipt.at.rfc3339_micros(),
        "ended": {
            "accessKeys": receipt.access_keys.len(),
            "tokens": receipt.tokens,
            "temporaryKeys": receipt.temporary_keys,
            "certificates": receipt.certificates,
        },
        "accessKeys": access_keys,
        "sessions": sessions,
    })
}

fn revoked(revoked: &Revoked) -> Value {
    match revoked {
        Revoked::Principal { principal, disabled } => json!({
            "kind": principal.kind.as_str(),
            "id": principal.id.as_str(),
            "name": principal.name,
            "disabled": disabled,
        }),
        Revoked::AccessKey(id) => json!({"kind": "access-key", "id": id.as_str()}),
        Revoked::Session { id, kind } => json!({"kind": kind.as_str(), "id": id}),
    }
}
