//! Our own dialect, under `/bailiwick/v1`, and the health checks. It claims whatever no other dialect claimed.

mod access_keys;
mod activity;
mod agencies;
mod attachments;
mod audit;
mod authorize;
mod checks;
mod cluster_life;
mod clusters;
mod fault;
mod grants;
mod health;
mod history;
mod kubeconfigs;
mod openapi;
mod permissions;
mod pod_identity;
mod policies;
mod principals;
mod projects;
mod removals;
mod revocations;
mod vending;

use domain::{Error, ErrorKind, Result};
use serde::Serialize;
use service::{AuthFailure, Call, PageRequest, Paged};

use crate::App;
use crate::actions::Actions;
use crate::authn::{self, Shown, access_key};
use crate::operation::{BodyRule, Claim, Dialect, Input, Operation, Pending, Table};
use crate::reply::{HttpResponse, Reply};

/// The dialect's name.
pub(super) const NAME: &str = "native";

/// The dialect.
pub struct Native {
    table: Table,
}

impl Native {
    /// The dialect with its operations.
    ///
    /// # Errors
    /// `Internal` if two operations share method and path.
    pub fn new() -> Result<Self> {
        Ok(Self { table: Table::new(rows())? })
    }
}

/// Every row of this dialect, for dispatch and for the OpenAPI document.
fn rows() -> Vec<Operation> {
    [
        health::operations(),
        openapi::operations(),
        projects::operations(),
        principals::operations(),
        agencies::operations(),
        access_keys::operations(),
        policies::operations(),
        attachments::operations(),
        authorize::operations(),
        clusters::operations(),
        cluster_life::operations(),
        checks::operations(),
        grants::operations(),
        history::operations(),
        permissions::operations(),
        activity::operations(),
        kubeconfigs::operations(),
        pod_identity::operations(),
        removals::operations(),
        revocations::operations(),
        vending::operations(),
        audit::operations(),
    ]
    .concat()
}

/// The authorization tables.
///
/// # Errors
/// `Internal` if they are broken.
pub fn actions() -> Result<Actions> {
    Actions::own(include_str!("operations.json"), include_str!("free.json"))
}

impl Dialect for Native {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims(&self, _headers: &http::HeaderMap, _uri: &http::Uri) -> Claim {
        Claim::Path
    }

    fn table(&self) -> &Table {
        &self.table
    }

    fn authenticate<'a>(&self, app: &'a App, input: &'a Input, rule: BodyRule) -> Pending<'a, Result<Call>> {
        Box::pin(authenticate(app, input, rule))
    }

    fn fault(&self, _path: &str, error: &Error, request_id: &str) -> HttpResponse {
        fault::response(error, request_id)
    }
}

async fn authenticate(app: &App, input: &Input, rule: BodyRule) -> Result<Call> {
    let head = &input.head;
    let refused = |reason, text: &str| {
        app.service.note_failure(&head.origin, reason);
        Err(Error::new(ErrorKind::Unauthenticated, text))
    };
    match authn::shown(head)? {
        Shown::Nothing => {
            refused(AuthFailure::Nothing, "show a bearer token, or sign the request with an access key")
        }
        Shown::Token(token) | Shown::Authorization { scheme: "Bearer", parameters: token } => {
            authn::token::verify(&app.service, head, token).await
        }
        Shown::Authorization { scheme: access_key::SCHEME, parameters } => {
            let verified = access_key::verify(&app.service, head, parameters, &input.body, rule).await?;
            Ok(verified.map_err(|failure| access_key::error(failure, ""))?.call(head))
        }
        Shown::Authorization { .. } => {
            refused(AuthFailure::Scheme, "the Authorization scheme must be Bearer or SDK-HMAC-SHA256")
        }
    }
}

/// The page that a list's query asks for; `known` are its other parameters. A misspelt filter must not widen a list.
fn page(input: &Input, known: &[&str]) -> Result<PageRequest> {
    for (key, _) in &input.head.query {
        if !["limit", "cursor"].contains(&key.as_str()) && !known.contains(&key.as_str()) {
            return Err(Error::invalid(key, "is not a known query parameter"));
        }
    }
    let limit = match input.head.query("limit") {
        None => None,
        Some(text) => {
            Some(text.parse().map_err(|_| Error::invalid("limit", "must be a number from 1 to 1000"))?)
        }
    };
    Ok(PageRequest { limit, cursor: input.head.query("cursor").map(str::to_owned) })
}

/// A list's answer.
#[derive(Serialize)]
struct Items<T> {
    items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn items<T, W: Serialize>(paged: Paged<T>, wire: impl Fn(T) -> W) -> Result<Reply> {
    let items = paged.items.into_iter().map(wire).collect();
    Reply::json(http::StatusCode::OK, &Items { items, next: paged.next })
}
