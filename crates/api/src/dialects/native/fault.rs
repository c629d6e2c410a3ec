//! Failures in our own shape.

use domain::{Error, ErrorKind};
use http::StatusCode;
use serde::Serialize;

use crate::reply::{HttpResponse, Reply};

/// A failure as JSON.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    error: Fault<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fault<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'a str>,
    request_id: &'a str,
}

/// The failure as an answer.
pub(super) fn response(error: &Error, request_id: &str) -> HttpResponse {
    let (status, body) = status_and_body(error, request_id);
    Reply::json(status, &body).unwrap_or_else(|_| Reply::empty(status)).into_response()
}

/// The failure's status and body.
pub(super) fn status_and_body<'a>(error: &'a Error, request_id: &'a str) -> (StatusCode, Body<'a>) {
    let (status, code) = status_and_code(error.kind());
    let told = error.told();
    let fault = Fault {
        code,
        reason: error.reason(),
        field: error.field(),
        message: error.message(),
        action: told.map(|told| told.action.as_str()),
        resource: error
            .denial()
            .map(|denial| denial.resource.as_str())
            .filter(|resource| !resource.is_empty()),
        explanation: told.map(|told| told.explanation.as_str()),
        request_id,
    };
    (status, Body { error: fault })
}

fn status_and_code(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        ErrorKind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "conflict"),
        ErrorKind::Contended => (StatusCode::CONFLICT, "contended"),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        ErrorKind::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"),
        ErrorKind::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
        ErrorKind::Limited => (StatusCode::TOO_MANY_REQUESTS, "limited"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}
