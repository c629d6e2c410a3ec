//! The last step of every signature, whatever its scheme: whether its key is locked, the key, the check, the security
//! token, and what is remembered of it.

use std::sync::Arc;

use domain::{Result, Timestamp};
use service::{Call, Service, SignedRequest, SigningKey};

use super::date::WINDOW_SECONDS;
use super::failure::Failure;
use crate::head::Head;

/// Whose key a signature names, and the security token that is under it.
pub struct Named<'a> {
    /// The id of the access key.
    pub access: &'a str,
    /// The security token, which must be covered by the signature.
    pub token: Option<&'a str>,
    /// The signature as it was sent, which is, byte for byte, what is computed.
    pub signature: &'a str,
    /// The date under the signature.
    pub at: Timestamp,
}

/// A signature that is the request's.
pub struct Proof {
    key: Arc<SigningKey>,
    signed: SignedRequest,
}

impl Proof {
    /// The request as its signer's call. One that only reads may be sent again. At the root, operations are told apart
    /// by a parameter, and a GET may write.
    #[must_use]
    pub fn call(self, head: &Head) -> Call {
        let reads = [http::Method::GET, http::Method::HEAD].contains(&head.method) && head.path != "/";
        self.call_that(head, reads)
    }

    /// The same of a request that changes something, whatever its method says.
    #[must_use]
    pub fn changing_call(self, head: &Head) -> Call {
        self.call_that(head, false)
    }

    fn call_that(self, head: &Head, reads: bool) -> Call {
        Call {
            caller: Arc::clone(&self.key.caller),
            project: None,
            origin: head.origin.clone(),
            signed: (!reads).then_some(self.signed),
        }
    }
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
) -> Result<Result<Proof, Failure>> {
    if service.is_key_locked(named.access, &head.origin) {
        return Ok(Err(noted(service, head, Failure::Locked)));
    }
    let proved = proved(service, &named, check).await?;
    service.note_signature(named.access, &head.origin, proved.as_ref().map(drop).map_err(Failure::reason));
    if let Ok(key) = &proved
        && key.security_token.is_none()
    {
        service.note_key_use(named.access, &key.caller);
    }
    let signed = || {
        let valid_until = named.at.plus_seconds(WINDOW_SECONDS);
        SignedRequest::new(named.access, named.signature.as_bytes(), valid_until)
    };
    Ok(proved.map(|key| Proof { key, signed: signed() }).map_err(|failure| noted(service, head, failure)))
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
