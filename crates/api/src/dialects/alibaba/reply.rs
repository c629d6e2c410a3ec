//! Answers as this vendor's SDKs expect them.

use bytes::Bytes;
use domain::Result;
use http::StatusCode;
use serde::Serialize;

use crate::reply::Reply;

const JSON: &str = "application/json; charset=utf-8";

/// A JSON answer.
///
/// # Errors
/// `Internal` if the value cannot be written as JSON, which is a defect.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Result<Reply> {
    let body = serde_json::to_vec(value).map_err(domain::Error::internal)?;
    Ok(written(status, body.into()))
}

/// JSON that is written already.
pub(super) fn written(status: StatusCode, body: Bytes) -> Reply {
    Reply::bytes(status, JSON, body)
}

/// A request's id as this vendor writes one: `4C467B38-3910-447D-87BC-AC049166F216`.
pub(super) fn request_id(hex: &str) -> String {
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit.to_ascii_uppercase());
    }
    text
}
