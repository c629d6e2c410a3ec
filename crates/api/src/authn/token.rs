//! Bearer tokens, in `X-Auth-Token` or `Authorization: Bearer`.

use domain::Result;
use service::{Call, Service};

use crate::head::Head;

/// Whose token this is.
///
/// # Errors
/// `Unauthenticated` if it is unknown or ended.
pub async fn verify(service: &Service, head: &Head, token: &str) -> Result<Call> {
    service.call_by_token(token, head.origin.clone()).await
}
