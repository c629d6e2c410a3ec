//! `/v3.0/OS-CREDENTIAL/securitytokens`: temporary access keys, of oneself or of an agency.
//!
//! Who asks is in the headers: `X-Auth-Token`, or a signature. Without either, a token in the body speaks for itself. Where
//! both are there, `X-Auth-Token` is the one that counts; beside a signature the token of the body is what the key is
//! made of, and both must be valid.

use domain::{Error, Result, Secret};
use http::StatusCode;
use serde::Serialize;
use service::{Assumption, Call, TemporaryKey};

use super::identity::{self, field_names};
use crate::App;
use crate::dialects::huawei::{admitted, admitted_by_token, note_refused};
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const SHORTEST: i64 = 900;
const LONGEST: i64 = 86_400;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "POST",
        "/v3.0/OS-CREDENTIAL/securitytokens",
        "iam.createTemporaryAccessKey",
        "Issues a temporary access key of the caller or of an agency.",
        BodyRule::Json,
        Handler::Open(|app, input| Box::pin(create(app, input))),
    )]
}

/// What is wanted.
enum Wanted {
    /// A key of one's own.
    Own {
        /// The token in the body.
        token: Option<Secret>,
        /// How long it is to live.
        seconds: i64,
        /// What it is to be limited to.
        limits: Vec<Vec<String>>,
    },
    /// A key of an agency.
    Agency(Box<Assumption>),
}

async fn create(app: &App, input: Input) -> Result<Reply> {
    // Who asks is looked at before what is asked, as everywhere.
    let is_shown = |name| input.head.headers.contains_key(name);
    let (shown, wanted) = if is_shown("authorization") || is_shown("x-auth-token") {
        (Some(admitted(app, &input).await?), read(&input)?)
    } else {
        match read(&input) {
            Ok(wanted @ Wanted::Own { token: Some(_), .. }) => (None, wanted),
            // Whoever shows nothing learns nothing, not what is wrong with the body either.
            Ok(_) | Err(_) => (Some(admitted(app, &input).await?), read(&input)?),
        }
    };
    let key = match wanted {
        Wanted::Own { token, seconds, limits } => {
            let call = own_call(app, &input, shown, token).await?;
            app.service.issue_temporary_key(&call, seconds, limits).await.map_err(field_names)?
        }
        Wanted::Agency(wish) => {
            let call = match shown {
                Some(call) => call,
                None => admitted(app, &input).await?,
            };
            let assumed = app.service.assume_agency(&call, &wish).await.map_err(field_names);
            assumed.inspect_err(|error| note_refused(app, &call, &input, error))?.key
        }
    };
    Reply::json(StatusCode::CREATED, &Body { credential: Credential::new(&key) })
}

/// Whose key it is to be.
async fn own_call(app: &App, input: &Input, shown: Option<Call>, token: Option<Secret>) -> Result<Call> {
    let by_header = input.head.headers.contains_key("x-auth-token");
    match (shown, token) {
        (Some(call), _) if by_header => Ok(call),
        (Some(call), None) => Ok(call),
        (Some(_) | None, Some(token)) => admitted_by_token(app, &input.head, token.expose()).await,
        (None, None) => admitted(app, input).await,
    }
}

fn read(input: &Input) -> Result<Wanted> {
    let mut body = input.json()?;
    let mut auth = body.object("auth")?;
    let mut identity = auth.object("identity")?;
    let method = identity::method(&mut identity, &["token", "assume_role"])?;
    let policy = identity.optional_object("policy")?.map(Object::into_json).map(|json| json.to_string());
    let wanted = if method == "token" {
        let limits = policy.into_iter().map(|text| vec![text]).collect();
        let mut token = identity.optional_object("token")?;
        let seconds = token.as_mut().map(|token| duration(token, "auth.identity.token")).transpose()?;
        let id = match &mut token {
            Some(token) => token.optional_text("id")?.map(Secret::new),
            None => None,
        };
        token.map_or(Ok(()), Object::finish)?;
        Wanted::Own { token: id, seconds: seconds.flatten().unwrap_or(SHORTEST), limits }
    } else {
        let mut role = identity.object("assume_role")?;
        let seconds = duration(&mut role, "auth.identity.assume_role")?.unwrap_or(SHORTEST);
        let session_name = session_name(&mut role)?;
        let wish = identity::agency(&mut role)?;
        role.finish()?;
        let limits = policy.into_iter().collect();
        Wanted::Agency(Box::new(Assumption { seconds: Some(seconds), session_name, limits, ..wish }))
    };
    // A misspelt `policy` would otherwise limit nothing.
    identity.finish()?;
    auth.finish()?;
    body.finish()?;
    Ok(wanted)
}

fn duration(object: &mut Object, path: &str) -> Result<Option<i64>> {
    let seconds = object.optional_integer("duration_seconds")?;
    match seconds {
        Some(seconds) if !(SHORTEST..=LONGEST).contains(&seconds) => {
            let message = format!("must be {SHORTEST} to {LONGEST}");
            Err(Error::invalid(&format!("{path}.duration_seconds"), message))
        }
        seconds => Ok(seconds),
    }
}

/// 5 to 64 letters, digits, `-` and `_`, beginning with a letter.
fn session_name(role: &mut Object) -> Result<String> {
    let Some(mut user) = role.optional_object("session_user")? else { return Ok(String::new()) };
    let name = user.text("name")?;
    user.finish()?;
    let valid = (5..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if valid {
        return Ok(name);
    }
    let message = "must be 5 to 64 letters, digits, `-` or `_`, and begin with a letter";
    Err(Error::invalid("auth.identity.assume_role.session_user.name", message))
}

#[derive(Serialize)]
struct Body<'a> {
    credential: Credential<'a>,
}

#[derive(Serialize)]
struct Credential<'a> {
    access: &'a str,
    secret: &'a str,
    securitytoken: &'a str,
    expires_at: String,
}

impl<'a> Credential<'a> {
    fn new(key: &'a TemporaryKey) -> Self {
        Self {
            access: key.id.as_str(),
            secret: key.secret.expose(),
            securitytoken: key.security_token.expose(),
            expires_at: key.expires_at.rfc3339_micros(),
        }
    }
}
