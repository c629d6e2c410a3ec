//! The dialect of Alibaba Cloud's SDKs: the clusters' service (ACK), and STS on the same endpoint.

pub mod ack;
pub mod acs3;
mod fault;
mod reply;
pub mod roa;
pub mod rpc;
pub mod settings;
pub mod signature;
mod sts;

use std::borrow::Cow;

use domain::{Error, ErrorKind, Result};
use http::HeaderValue;
use service::{AuthFailure, Call};

use self::signature::{Shown, Signed};
use crate::App;
use crate::actions::Actions;
use crate::authn::failure::Failure;
use crate::authn::proof::{noted, prove};
use crate::head::{Head, Plus};
use crate::operation::{BodyRule, Claim, Dialect, Input, Pending, Table};
use crate::reply::HttpResponse;
use crate::vocabulary::File;

/// The policies that are shipped with it: their list, and the files that it names.
pub(super) const SHIPPED: (&str, &[File]) = (
    include_str!("policies/index.json"),
    &[
        ("cs-full-access.json", include_str!("policies/cs-full-access.json")),
        ("cs-read-only-access.json", include_str!("policies/cs-read-only-access.json")),
        ("sts-assume-role-access.json", include_str!("policies/sts-assume-role-access.json")),
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

/// The version of the clusters' interface.
const CLUSTERS_VERSION: &str = "2015-12-15";

/// Paths that are this dialect's as long as no header speaks for another. A path ends there or goes on after a slash.
const PATHS: [&str; 9] = [
    "/permissions",
    "/users",
    "/cluster",
    "/clusters",
    "/k8s",
    "/regions",
    "/ram",
    "/api/v1/clusters",
    "/api/v2/k8s",
];

/// The dialect.
pub struct Alibaba {
    table: Table,
}

impl Alibaba {
    /// The dialect with its operations.
    ///
    /// # Errors
    /// `Internal` if two operations share method and path.
    pub fn new() -> Result<Self> {
        Ok(Self { table: Table::new([sts::operations(), ack::operations()].concat())? })
    }
}

impl Dialect for Alibaba {
    fn name(&self) -> &'static str {
        "alibaba"
    }

    fn claims(&self, headers: &http::HeaderMap, uri: &http::Uri) -> Claim {
        let signed = headers.get(http::header::AUTHORIZATION).is_some_and(|value| {
            ["ACS3-", "acs "].iter().any(|scheme| value.as_bytes().starts_with(scheme.as_bytes()))
        });
        if signed || headers.keys().any(|name| name.as_str().starts_with("x-acs-")) {
            return Claim::Headers;
        }
        let below = |root: &str| {
            uri.path().strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let action = |pair: &str| pair.starts_with("Action=");
        let rpc = uri.path() == "/" && uri.query().is_some_and(|query| query.split('&').any(action));
        if rpc || PATHS.iter().any(|root| below(root)) { Claim::Path } else { Claim::No }
    }

    fn plus(&self) -> Plus {
        Plus::Space
    }

    fn place<'a>(&self, head: &'a Head) -> Result<Cow<'a, str>> {
        if head.path != "/" {
            return Ok(Cow::Borrowed(&head.path));
        }
        match (head.query("Action"), head.header("x-acs-action")) {
            (Some(one), Some(other)) if one != other => {
                Err(Error::invalid("Action", "must be the one of the header `x-acs-action`"))
            }
            (Some(action), _) | (None, Some(action)) => Ok(Cow::Owned(format!("/?Action={action}"))),
            (None, None) => Ok(Cow::Borrowed("/")),
        }
    }

    fn stamp(&self, response: &mut HttpResponse, request_id: &str) {
        if let Ok(value) = HeaderValue::from_str(&reply::request_id(request_id)) {
            response.headers_mut().insert("x-acs-request-id", value);
        }
    }

    fn table(&self) -> &Table {
        &self.table
    }

    fn authenticate<'a>(&self, app: &'a App, input: &'a Input, _rule: BodyRule) -> Pending<'a, Result<Call>> {
        Box::pin(authenticate(app, input))
    }

    fn fault(&self, path: &str, error: &Error, request_id: &str) -> HttpResponse {
        fault::response(path, error, request_id)
    }
}

async fn authenticate(app: &App, input: &Input) -> Result<Call> {
    let (head, service) = (&input.head, &app.service);
    let refused = |reason, code: &str, detail: &str| {
        service.note_failure(&head.origin, reason);
        fault::refused(code, detail)
    };
    let scheme = match signature::shown(head) {
        Shown::Signature(scheme) => scheme,
        Shown::Nothing => return Err(refused(AuthFailure::Nothing, "MissingAccessKeyId", "")),
        Shown::NotServed(what) => {
            let detail = format!("{what}; use ACS3-HMAC-SHA256");
            return Err(refused(AuthFailure::Scheme, "InvalidSignatureMethod", &detail));
        }
        Shown::Several => {
            return Err(Error::new(ErrorKind::Invalid, "show one credential: one signature, or one token"));
        }
    };
    let signed = match Signed::read(head, scheme, &input.body, service.now()) {
        Ok(signed) => signed,
        Err(failure) => return Err(fault::of_failure(&noted(service, head, failure), None, None)),
    };
    let unprotected = app.settings.dialects.alibaba.unprotected_body;
    let proved =
        prove(service, head, signed.named(), |secret| signed.check(head, &input.body, unprotected, secret));
    let proof = proved.await?.map_err(|failure| {
        let text = (failure == Failure::Mismatch).then(|| signed.string_to_sign(head, &input.body)).flatten();
        fault::of_failure(&failure, signed.named().token, text)
    })?;
    check_version(head)?;
    // By a GET somebody is given a credential: who records the request must not have another by sending it again.
    if head.path.ends_with("/user_config") { Ok(proof.changing_call(head)) } else { Ok(proof.call(head)) }
}

/// The version of the interface that the caller means must be the one that is served there.
fn check_version(head: &Head) -> Result<()> {
    let served = if head.path == "/" { sts::VERSION } else { CLUSTERS_VERSION };
    let said = [head.header("x-acs-version"), head.query("Version")];
    let none = head.path == "/" && said.iter().all(Option::is_none);
    if none || said.iter().flatten().any(|version| *version != served) {
        return Err(fault::refused("InvalidVersion", &format!("It must be {served}.")));
    }
    Ok(())
}
