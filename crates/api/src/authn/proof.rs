//! The last step of every signature, whatever its scheme: the key that it names, the check, the security token.

use std::sync::Arc;

use domain::Result;
use service::{Service, SigningKey};

use super::failure::Failure;
use crate::head::Head;

/// Whose key a signature names, and the security token that is under it.
pub struct Named<'a> {
    /// The id of the access key.
    pub access: &'a str,
    /// The security token, which must be covered by the signature.
    pub token: Option<&'a str>,
}

/// The key that made the signature. `check` is given the key's secret half.
///
/// # Errors
/// `Ok(Err(failure))` if the signature proves nothing; `Err` if the database does not answer.
pub async fn prove(
    service: &Service,
    head: &Head,
    named: Named<'_>,
    check: impl FnOnce(&str) -> Result<(), Failure>,
) -> Result<Result<Arc<SigningKey>, Failure>> {
    let proved = proved(service, &named, check).await?;
    Ok(proved.map_err(|failure| noted(service, head, failure)))
}

/// A failure that was counted.
pub fn noted(service: &Service, head: &Head, failure: Failure) -> Failure {
    service.note_failure(&head.origin, failure.reason());
    failure
}

async fn proved(
    service: &Service,
    named: &Named<'_>,
    check: impl FnOnce(&str) -> Result<(), Failure>,
) -> Result<Result<Arc<SigningKey>, Failure>> {
    let Some(key) = service.signing_key(named.access).await? else {
        return Ok(Err(Failure::UnknownKey(named.access.to_owned())));
    };
    // The token is looked at last, so that only who has the secret learns whether it is the right one.
    let checked = check(key.secret.expose());
    let accepted = if key.accepts(named.token) { Ok(()) } else { Err(Failure::SecurityToken) };
    Ok(checked.and(accepted).map(|()| key))
}
