//! Answers.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// An answer on its way out.
pub type HttpResponse = Response<Full<Bytes>>;

/// What a handler answers.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// `application/json` unless the caller asked for something else that is served.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// A JSON body.
    ///
    /// # Errors
    /// `Internal` if the value cannot be written as JSON, which is a defect.
    pub fn json(status: StatusCode, value: &impl Serialize) -> domain::Result<Self> {
        let body = serde_json::to_vec(value).map_err(domain::Error::internal)?;
        Ok(Self::bytes(status, "application/json", body.into()))
    }

    /// A body that is ready.
    #[must_use]
    pub fn bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        Self { status, content_type, body, headers: Vec::new() }
    }

    /// No body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, content_type: "", body: Bytes::new(), headers: Vec::new() }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// The answer as hyper sends it.
    #[must_use]
    pub fn into_response(self) -> HttpResponse {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !self.content_type.is_empty() {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        headers.extend(self.headers);
        response
    }
}
