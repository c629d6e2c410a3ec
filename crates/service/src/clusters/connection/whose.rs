//! Whose a credential is, as far as it says so itself: the common name of a certificate, the service account of a token.
//! Nothing is verified: the API server does that, and calls its holder by the same name.

use super::Credential;
use super::expiry::{claims, element, first_certificate};

/// What the names of service accounts begin with.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// The name that an API server has for the holder. `None` for tokens of others: what they are called is configured there.
#[must_use]
pub fn of_credential(credential: &Credential) -> Option<String> {
    match credential {
        Credential::Token(token) => of_token(token.expose()),
        Credential::Certificate { certificate_pem, .. } => of_pem(certificate_pem),
    }
}

fn of_token(token: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        sub: String,
    }
    let claims: Claims = claims(token)?;
    claims.sub.starts_with(SERVICE_ACCOUNT).then_some(claims.sub)
}

/// Of the first certificate of a PEM text.
fn of_pem(pem: &str) -> Option<String> {
    of_certificate(&first_certificate(pem)?)
}

/// The common name; of several the last one, as API servers read it.
fn of_certificate(der: &[u8]) -> Option<String> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(der).filter(|(tag, _, _)| *tag == SEQUENCE)?;
    let (_, mut fields, _) = element(certificate).filter(|(tag, _, _)| *tag == SEQUENCE)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        fields = element(fields)?.2;
    }
    let (_, mut subject, _) = element(fields).filter(|(tag, _, _)| *tag == SEQUENCE)?;
    let mut found = None;
    while !subject.is_empty() {
        let (_, mut set, rest) = element(subject)?;
        subject = rest;
        while !set.is_empty() {
            let (_, attribute, rest) = element(set)?;
            set = rest;
            found = common_name(attribute).or(found);
        }
    }
    found.filter(|name| !name.is_empty())
}

fn common_name(attribute: &[u8]) -> Option<String> {
    const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    const IA5: u8 = 0x16;
    let (tag, name, _) = element(attribute.strip_prefix(COMMON_NAME)?)?;
    let text = [UTF8, PRINTABLE, IA5].contains(&tag).then_some(name)?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use domain::Secret;

    use super::*;

    /// Self-signed, made by `openssl req -x509 -subj /O=org/CN=first/CN=last …`.
    const TWO_NAMES: &str = include_str!("whose-two-names.pem");

    fn of_claims(claims: &str) -> Option<String> {
        let text = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        of_credential(&Credential::Token(Secret::new(text)))
    }

    #[test]
    fn a_service_accounts_token_says_whose_it_is_and_no_other_does() {
        let account = "system:serviceaccount:bailiwick-system:bailiwick-connector";
        assert_eq!(of_claims(&format!(r#"{{"sub":"{account}"}}"#)).as_deref(), Some(account));
        // An API server puts a prefix of its own before the names of an identity provider.
        assert_eq!(of_claims(r#"{"sub":"ann","iss":"https://login.example"}"#), None);
        assert_eq!(of_claims(r#"{"sub":["x"]}"#), None);
        assert_eq!(of_credential(&Credential::Token(Secret::new("opaque".into()))), None);
    }

    #[test]
    fn a_certificate_says_its_last_common_name() {
        let credential = Credential::Certificate {
            certificate_pem: TWO_NAMES.to_owned(),
            key_pem: Secret::new(String::new()),
        };
        assert_eq!(of_credential(&credential).as_deref(), Some("last"));
    }

    #[test]
    fn whatever_is_cut_off_gives_no_name_and_no_panic() {
        let body: String = TWO_NAMES.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(body).unwrap();
        assert!(of_certificate(&der).is_some());
        for length in 0..der.len() {
            assert_eq!(of_certificate(&der[..length]), None, "{length}");
        }
    }
}
