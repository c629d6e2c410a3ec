//! `V11-HMAC-SHA256`: signed with a key that is derived from the access key for one day, region and service. The
//! canonical request, what must be signed and what is said of the body are those of `SDK-HMAC-SHA256`.

use domain::{Result, Timestamp};
use service::Service;

use crate::authn::access_key;
use crate::authn::failure::Failure;
use crate::authn::mac;
use crate::authn::proof::{Named, Proof, noted, prove};
use crate::authn::signed_headers::Parameters;
use crate::head::Head;
use crate::operation::BodyRule;

/// The scheme's name in `Authorization`.
pub const SCHEME: &str = "V11-HMAC-SHA256";

/// Whose signature this is.
///
/// # Errors
/// `Ok(Err(failure))` if it proves nothing; `Err` if the database does not answer.
pub async fn verify(
    service: &Service,
    head: &Head,
    parameters: &str,
    body: &[u8],
    rule: BodyRule,
) -> Result<Result<Proof, Failure>> {
    match Signed::read(head, parameters, service.now()) {
        Ok(signed) => {
            prove(service, head, signed.named(), |secret| signed.check(head, body, rule, secret)).await
        }
        Err(failure) => Ok(Err(noted(service, head, failure))),
    }
}

/// A signature that has its form and is in time. Reading and checking are pure.
pub struct Signed<'a> {
    inner: access_key::Signed<'a>,
    /// `<yyyymmdd>/<region>/<service>`.
    scope: &'a str,
}

impl<'a> Signed<'a> {
    /// Reads what follows the scheme's name in `Authorization`.
    ///
    /// # Errors
    /// What is missing, or that the date is too far away or not the one of the scope.
    pub fn read(head: &'a Head, parameters: &'a str, now: Timestamp) -> Result<Self, Failure> {
        let parameters = Parameters::read(parameters, "Credential")?;
        let form = || Failure::Malformed("needs Credential=<key>/<yyyymmdd>/<region>/<service>".to_owned());
        let (access, scope) = parameters.credential.split_once('/').ok_or_else(form)?;
        let mut parts = scope.split('/');
        let (Some(day), Some(region), Some(service), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        if region.is_empty() || service.is_empty() {
            return Err(form());
        }
        let inner = access_key::Signed::of(head, &parameters, access, now)?;
        if inner.date.get(..8) != Some(day) {
            return Err(Failure::Malformed("needs the day of X-Sdk-Date in its Credential".to_owned()));
        }
        Ok(Self { inner, scope })
    }

    /// Whose key it is, and the security token under it.
    #[must_use]
    pub fn named(&self) -> Named<'a> {
        self.inner.named()
    }

    /// Whether `secret` made it, of this request with this body.
    ///
    /// # Errors
    /// `Mismatch` if it did not.
    pub fn check(&self, head: &Head, body: &[u8], rule: BodyRule, secret: &str) -> Result<(), Failure> {
        let digest = self.inner.digest(head, body, rule)?;
        let key = self.derived_key(secret).ok_or(Failure::Mismatch)?;
        let (date, scope) = (self.inner.date.as_bytes(), self.scope.as_bytes());
        let text: [&[u8]; 7] = [SCHEME.as_bytes(), b"\n", date, b"\n", scope, b"\n", &digest];
        mac::compare(mac::sha256(&key, &text), self.inner.signature)
    }

    /// One block of HKDF-SHA256, in hex digits.
    fn derived_key(&self, secret: &str) -> Option<mac::Hex> {
        let extracted = mac::sha256(self.inner.access.as_bytes(), &[secret.as_bytes()])?;
        Some(mac::hex(&mac::sha256(&extracted, &[self.scope.as_bytes(), &[1]])?))
    }
}
