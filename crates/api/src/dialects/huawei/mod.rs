//! The dialect of Huawei Cloud's SDKs: CCE, HSS and IAM on one endpoint.

pub mod cce;
pub mod derived;
mod fault;
pub mod hss;
pub mod iam;
pub mod pod_identity;
pub mod settings;
mod sts;

use domain::{Error, ErrorKind, Result};
use service::{AuthFailure, Call, Caller};

use crate::App;
use crate::actions::Actions;
use crate::authn::{self, Shown, access_key};
use crate::head::Head;
use crate::operation::{BodyRule, Claim, Dialect, Input, Pending, Table};
use crate::reply::HttpResponse;
use crate::vocabulary::File;

/// What every message about a credential begins with.
const PREFIX: &str = "Incorrect IAM authentication information: ";

/// What clusters are asked where no other rows are set: the name of the setting, and the rows.
pub(crate) const CHECKED_ROWS: (&str, &str) = ("hss.rows_file", include_str!("hss/rows.json"));

/// The dialect.
pub struct Huawei {
    table: Table,
}

impl Huawei {
    /// The dialect with its operations.
    ///
    /// # Errors
    /// `Internal` if two operations share method and path.
    pub fn new() -> Result<Self> {
        let rows = [
            cce::access_policies::operations(),
            cce::clusters::operations(),
            hss::operations(),
            cce::certificates::operations(),
            cce::pod_identity_associations::operations(),
            cce::assume_agency::operations(),
            iam::operations(),
            sts::operations(),
        ]
        .concat();
        Ok(Self { table: Table::new(rows)? })
    }
}

/// The policies that are shipped with it: their list, and the files that it names.
pub(super) const SHIPPED: (&str, &[File]) = (
    include_str!("policies/index.json"),
    &[
        ("cce-full-access.json", include_str!("policies/cce-full-access.json")),
        ("cce-read-only-access.json", include_str!("policies/cce-read-only-access.json")),
        ("cce-administrator.json", include_str!("policies/cce-administrator.json")),
        ("iam-full-access.json", include_str!("policies/iam-full-access.json")),
        ("iam-read-only-access.json", include_str!("policies/iam-read-only-access.json")),
        ("hss-full-access.json", include_str!("policies/hss-full-access.json")),
        ("hss-read-only-access.json", include_str!("policies/hss-read-only-access.json")),
        ("tenant-administrator.json", include_str!("policies/tenant-administrator.json")),
        ("tenant-guest.json", include_str!("policies/tenant-guest.json")),
    ],
);

/// The authorization tables.
///
/// # Errors
/// `Internal` if they are broken.
pub fn actions() -> Result<Actions> {
    Actions::read(
        include_str!("policies/actions.json"),
        include_str!("policies/keys.json"),
        include_str!("policies/free.json"),
    )
}

impl Dialect for Huawei {
    fn name(&self) -> &'static str {
        "huawei"
    }

    fn claims(&self, headers: &http::HeaderMap, uri: &http::Uri) -> Claim {
        let signed = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with(access_key::SCHEME) || value.starts_with(derived::SCHEME));
        if signed || headers.contains_key("x-auth-token") || headers.contains_key("x-sdk-date") {
            return Claim::Headers;
        }
        let own = ["/api/v3/", "/v3/", "/v3.0/", "/v5/"].iter().any(|root| uri.path().starts_with(root));
        if own { Claim::Path } else { Claim::No }
    }

    fn table(&self) -> &Table {
        &self.table
    }

    fn authenticate<'a>(&self, app: &'a App, input: &'a Input, rule: BodyRule) -> Pending<'a, Result<Call>> {
        Box::pin(authenticate(app, input, rule))
    }

    fn knows_sealed_reasons(&self) -> bool {
        true
    }

    fn fault(&self, path: &str, error: &Error, request_id: &str) -> HttpResponse {
        fault::response(path, error, request_id)
    }
}

async fn authenticate(app: &App, input: &Input, rule: BodyRule) -> Result<Call> {
    let head = &input.head;
    let refused = |reason, text: &str| {
        app.service.note_failure(&head.origin, reason);
        Error::new(ErrorKind::Unauthenticated, format!("{PREFIX}{text}"))
    };
    let mut call = match authn::shown(head)? {
        Shown::Nothing => return Err(refused(AuthFailure::Nothing, "x-auth-token not found")),
        Shown::Token(token) => by_token(app, head, token).await?,
        Shown::Authorization { scheme: access_key::SCHEME, parameters } => {
            let verified = access_key::verify(&app.service, head, parameters, &input.body, rule).await?;
            verified.map_err(fault::of_signature)?.call(head)
        }
        Shown::Authorization { scheme: derived::SCHEME, parameters } => {
            let verified = derived::verify(&app.service, head, parameters, &input.body, rule).await?;
            verified.map_err(fault::of_signature)?.call(head)
        }
        Shown::Authorization { .. } => {
            let text = "the Authorization scheme must be SDK-HMAC-SHA256 or V11-HMAC-SHA256";
            return Err(refused(AuthFailure::Scheme, text));
        }
    };
    check_scope(head, &call.caller).inspect_err(|_| {
        app.service.note_refusal(&call.caller, &head.origin, "bailiwick:scope:use", &head.path);
    })?;
    if let (None, Some(project)) = (&call.project, head.header("x-project-id")) {
        call.project = call.caller.projects.iter().find(|known| known.as_str() == project).cloned();
    }
    Ok(call)
}

/// The call of whoever shows a credential in the headers of an operation that proves by itself who calls. As everywhere,
/// a principal may come only so often.
async fn admitted(app: &App, input: &Input) -> Result<Call> {
    let call = authenticate(app, input, BodyRule::Json).await?;
    app.service.admit_caller(&call.caller)?;
    Ok(call)
}

/// The same of whoever shows a token in the body.
async fn admitted_by_token(app: &App, head: &Head, token: &str) -> Result<Call> {
    let call = by_token(app, head, token).await?;
    app.service.admit_caller(&call.caller)?;
    Ok(call)
}

/// The call of somebody who shows a token, wherever it stands.
async fn by_token(app: &App, head: &Head, token: &str) -> Result<Call> {
    authn::token::verify(&app.service, head, token).await.map_err(|error| {
        if error.kind() == ErrorKind::Unauthenticated { token_refused(&error) } else { error }
    })
}

/// Writes down that somebody was refused, where an operation proves by itself who calls.
fn note_refused(app: &App, call: &Call, input: &Input, error: &Error) {
    if let Some(denial) = error.denial() {
        app.service.note_denial(&call.caller, &call.origin, denial, &input.head.path);
    }
}

fn token_refused(error: &Error) -> Error {
    let text = match error.message().strip_prefix("the token expired at ") {
        Some(at) => format!("{PREFIX}token expires, expires_at: {at}"),
        None => format!("{PREFIX}decrypt token fail"),
    };
    Error::new(ErrorKind::Unauthenticated, text)
}

/// The headers that name a scope must name one of the caller's own. An id of another account is refused in the same
/// words as one that never was.
fn check_scope(head: &Head, caller: &Caller) -> Result<()> {
    if let Some(project) = head.headers.get("x-project-id") {
        let own = caller.projects.iter().any(|known| known.as_str().as_bytes() == project.as_bytes());
        if !own {
            return Err(Error::new(ErrorKind::Forbidden, "X-Project-Id is not a project of your account"));
        }
    }
    if let Some(domain) = head.headers.get("x-domain-id")
        && domain.as_bytes() != caller.account.as_str().as_bytes()
    {
        return Err(Error::new(ErrorKind::Forbidden, "X-Domain-Id is not your account"));
    }
    Ok(())
}

/// The project that a path names, which must be one of the caller's.
fn path_project(call: &Call, input: &Input) -> Result<domain::ProjectId> {
    let named = input.parameters.get("project_id");
    let own = call.caller.projects.iter().find(|known| known.as_str() == named);
    own.cloned().ok_or_else(|| Error::not_found("project", named))
}
