//! Failures in the vendor's words. The CCE client of the SDK cannot read anything but a JSON object with a code and
//! a message, and the others spell them differently, so every body carries both spellings and no `message` key,
//! which the CCE client would print a second time.

use domain::{Error, ErrorKind};
use http::StatusCode;
use serde::Serialize;

use super::PREFIX;
use crate::authn::access_key;
use crate::authn::failure::Failure;
use crate::reply::{HttpResponse, Reply};

/// What the vendor's gateway says of a key that is locked.
const LOCKED: &str = "AK access failed to reach the limit,forbidden.";

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "errorCode")]
    code: &'a str,
    #[serde(rename = "errorMessage")]
    message: &'a str,
    error_code: &'a str,
    error_msg: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoded_authorization_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Keystone<'a>>,
}

/// The older shape, which IAM's v3 interface adds.
#[derive(Serialize)]
struct Keystone<'a> {
    code: u16,
    message: &'a str,
    title: &'a str,
}

/// A signature that proves nothing, in the gateway's words.
pub(super) fn of_signature(failure: Failure) -> Error {
    match failure {
        Failure::Locked => Error::new(ErrorKind::Unauthenticated, format!("{PREFIX}{LOCKED}")),
        Failure::Malformed(_)
        | Failure::Date
        | Failure::DateForm
        | Failure::UnknownKey(_)
        | Failure::Mismatch
        | Failure::Body
        | Failure::UnprotectedBody
        | Failure::SecurityToken => access_key::error(failure, PREFIX),
    }
}

/// The failure as an answer.
pub(super) fn response(path: &str, error: &Error, request_id: &str) -> HttpResponse {
    let kind = error.kind();
    let hss = super::hss::is_at(path);
    let iam = !hss && ["/v3/", "/v3.0/", "/v5/"].iter().any(|root| path.starts_with(root));
    let code = match (hss, iam) {
        (true, _) => hss_code(kind),
        (false, true) => iam_code(kind),
        (false, false) => cce_code(kind),
    };
    let code = if unknown_operation(error) { "APIGW.0101" } else { code };
    // Whoever is too fast is stopped by the gateway, whichever service was asked.
    let code = if kind == ErrorKind::Limited { "APIGW.0308" } else { code };
    let status = status(kind);
    let told = error.told();
    let mut message = error.to_string();
    if let Some(told) = told {
        // The clients show the code and the message, and nothing else that could lead to the reasons.
        message.push_str(&format!(" (explanation {})", told.explanation));
    }
    let keystone = Keystone {
        code: status.as_u16(),
        message: &message,
        title: status.canonical_reason().unwrap_or("Error"),
    };
    let body = Body {
        code,
        message: &message,
        error_code: code,
        error_msg: &message,
        request_id,
        encoded_authorization_message: told.and_then(|told| told.sealed.as_deref()),
        error: iam.then_some(keystone),
    };
    Reply::json(status, &body).unwrap_or_else(|_| Reply::empty(status)).into_response()
}

/// The gateway's own 404: no such path at all.
fn unknown_operation(error: &Error) -> bool {
    error.kind() == ErrorKind::MethodNotAllowed
        || (error.kind() == ErrorKind::NotFound && error.message() == "there is no such operation")
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Conflict | ErrorKind::Contended => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorKind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::Limited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The documented codes; where the document has none for a status, the one of the nearest meaning.
fn cce_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::HeadTooLarge | ErrorKind::MethodNotAllowed => {
            "CCE.01400001"
        }
        ErrorKind::Unauthenticated => "APIGW.0301",
        ErrorKind::Forbidden => "CCE.01403001",
        ErrorKind::NotFound => "CCE.01404001",
        ErrorKind::Conflict | ErrorKind::Contended => "CCE.01409001",
        ErrorKind::UnsupportedMediaType => "CCE.01400006",
        ErrorKind::Limited => "CCE.02429001",
        ErrorKind::Unavailable => "CCE.01503001",
        ErrorKind::Internal => "CCE.01500001",
    }
}

/// The two lists that are public contradict each other. These are those of the one that has more of them, and the nearest
/// in meaning where it has none; of refused rights the gateway's.
fn hss_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::Contended => "HSS.0003",
        ErrorKind::Unauthenticated => "APIGW.0301",
        ErrorKind::Forbidden => "APIGW.0302",
        ErrorKind::TooLarge | ErrorKind::HeadTooLarge => "HSS.0006",
        ErrorKind::UnsupportedMediaType => "HSS.0002",
        ErrorKind::Limited => "HSS.0005",
        ErrorKind::Unavailable => "HSS.0001",
        ErrorKind::Internal => "HSS.0041",
    }
}

fn iam_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unauthenticated => "APIGW.0301",
        ErrorKind::Forbidden => "IAM.0003",
        ErrorKind::NotFound => "IAM.0004",
        ErrorKind::Invalid
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::Contended
        | ErrorKind::TooLarge
        | ErrorKind::HeadTooLarge
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Limited => "IAM.0011",
        ErrorKind::Unavailable | ErrorKind::Internal => "IAM.0006",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    const HSS: &str = "/v5/p/container/kubernetes/multi-cloud/clusters";

    #[tokio::test]
    async fn each_service_has_codes_of_its_own() {
        for (path, code, keystone) in [
            (HSS, "HSS.0003", false),
            ("/v5/users", "IAM.0011", true),
            ("/v5/p/container/kubernetes/other", "IAM.0011", true),
            ("/api/v3/access-policies", "CCE.01400001", false),
        ] {
            let answer = response(path, &Error::new(ErrorKind::Invalid, "because"), "r1");
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(
                (&body["error_code"], body.get("error").is_some()),
                (&code.into(), keystone),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn every_kind_of_failure_is_an_object_with_both_spellings_and_no_message_key() {
        for kind in [
            ErrorKind::Invalid,
            ErrorKind::Unauthenticated,
            ErrorKind::Forbidden,
            ErrorKind::NotFound,
            ErrorKind::MethodNotAllowed,
            ErrorKind::Conflict,
            ErrorKind::TooLarge,
            ErrorKind::HeadTooLarge,
            ErrorKind::UnsupportedMediaType,
            ErrorKind::Limited,
            ErrorKind::Unavailable,
            ErrorKind::Internal,
        ] {
            for path in ["/api/v3/access-policies", "/v3/projects", HSS, "/other"] {
                let answer = response(path, &Error::new(kind, "because"), "r1");
                assert!(answer.status().as_u16() >= 400);
                let bytes = answer.into_body().collect().await.unwrap().to_bytes();
                let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                for key in ["errorMessage", "error_msg"] {
                    assert_eq!(body[key], "because", "{kind:?} {path}");
                }
                assert_eq!(body["errorCode"], body["error_code"]);
                assert!(body["error_code"].as_str().is_some_and(|code| !code.is_empty()));
                assert_eq!(body["request_id"], "r1");
                assert!(body.get("message").is_none());
            }
        }
    }
}
