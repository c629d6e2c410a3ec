//! When a credential ends: the last instant of a certificate, the `exp` of a token. Only that is read, and nothing is
//! verified: whoever relies on the credential does that.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::Timestamp;

use super::Credential;

/// When the credential ends; `None` if it says nothing about that, as many service accounts' tokens do.
#[must_use]
pub fn of_credential(credential: &Credential) -> Option<Timestamp> {
    match credential {
        Credential::Token(token) => of_token(token.expose()),
        Credential::Certificate { certificate_pem, .. } => of_pem(certificate_pem),
    }
}

/// When a JSON Web Token ends.
fn of_token(token: &str) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: Option<f64>,
    }
    let seconds = claims::<Claims>(token)?.exp.filter(|exp| exp.is_finite() && exp.abs() < 1e11)?;
    #[expect(clippy::cast_possible_truncation, reason = "the number was checked to be far from the limits")]
    Some(Timestamp::from_millis((seconds * 1000.0) as i64))
}

/// When the first certificate of a PEM text ends.
fn of_pem(pem: &str) -> Option<Timestamp> {
    of_certificate(&first_certificate(pem)?)
}

/// What a JSON Web Token says, unverified.
pub(super) fn claims<T: serde::de::DeserializeOwned>(token: &str) -> Option<T> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// The first certificate of a PEM text (DER): it is the one that proves something, the rest is its chain.
pub(super) fn first_certificate(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let text: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()
}

/// When a certificate (DER) ends.
#[must_use]
pub fn of_certificate(der: &[u8]) -> Option<Timestamp> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(der).filter(|(tag, _, _)| *tag == SEQUENCE)?;
    let (_, mut fields, _) = element(certificate).filter(|(tag, _, _)| *tag == SEQUENCE)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields).filter(|(tag, _, _)| *tag == SEQUENCE)?;
    let (_, _, after_begin) = element(validity)?;
    let (tag, end, _) = element(after_begin)?;
    time(tag, std::str::from_utf8(end).ok()?)
}

/// The first element of a DER text: its tag, its content, and what follows it.
pub(crate) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], mut rest) = der.split_first_chunk::<2>()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let (digits, after) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(d, _)| d.len() <= 4)?;
        length = digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ`, of the years 1950 to 2049, or `YYYYMMDDhhmmssZ`.
pub(crate) fn time(tag: u8, text: &str) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let text = match tag {
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |range| text.get(range);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(8..10)?, part(10..12)?, part(12..14)?);
    (part(14..15)? == "Z")
        .then(|| Timestamp::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")))?
}

#[cfg(test)]
mod tests {
    use domain::Secret;

    use super::*;

    /// Self-signed, made by `openssl req -x509 -newkey ec …`: ends 2036-07-08T09:10:11Z.
    const UTC: &str = "-----BEGIN CERTIFICATE-----\n\
         MIIBCDCBsAIBATAKBggqhkjOPQQDAjARMQ8wDQYDVQQDDAZleHBpcnkwHhcNMjYw\n\
         MTAxMDAwMDAwWhcNMzYwNzA4MDkxMDExWjARMQ8wDQYDVQQDDAZleHBpcnkwWTAT\n\
         BgcqhkjOPQIBBggqhkjOPQMBBwNCAAQdaa6goVUsQhj/K4KYfapuMPCueT8oM43/\n\
         jyWFuFBbzuEbGI2SJtm5mzG6/SPCk83REKAEuAt+nf9EwY8ODGmaMAoGCCqGSM49\n\
         BAMCA0cAMEQCIDtV1Ww8Uz6Zv2lpkYQaKg+s+zTXIhYdmEXWg26YFERdAiBKPqB3\n\
         uEC3ew9eCYPxY+G6tb5DL1gCnR7nh44EPJEQtA==\n\
         -----END CERTIFICATE-----\n";
    /// The same with an end after 2049, which is written with four digits: 2120-01-02T03:04:05Z.
    const GENERALIZED: &str = "-----BEGIN CERTIFICATE-----\n\
         MIIBDDCBsgIBAjAKBggqhkjOPQQDAjARMQ8wDQYDVQQDDAZleHBpcnkwIBcNMjYw\n\
         MTAxMDAwMDAwWhgPMjEyMDAxMDIwMzA0MDVaMBExDzANBgNVBAMMBmV4cGlyeTBZ\n\
         MBMGByqGSM49AgEGCCqGSM49AwEHA0IABB1prqChVSxCGP8rgph9qm4w8K55Pygz\n\
         jf+PJYW4UFvO4RsYjZIm2bmbMbr9I8KTzdEQoAS4C36d/0TBjw4MaZowCgYIKoZI\n\
         zj0EAwIDSQAwRgIhAOlm5RbT29nYm+B9p9qHFIDxB1GzPWhgpJmwE6NjLcXIAiEA\n\
         oVpP3eUd5tmNy8UheIbhtEG9irEj2bRl3wp1salkJZY=\n\
         -----END CERTIFICATE-----\n";

    fn at(text: &str) -> Option<Timestamp> {
        Some(Timestamp::parse_rfc3339(text).unwrap())
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_spellings_of_time() {
        assert_eq!(of_pem(UTC), at("2036-07-08T09:10:11Z"));
        assert_eq!(of_pem(GENERALIZED), at("2120-01-02T03:04:05Z"));
        let chain = format!("leaf first\n{UTC}{GENERALIZED}");
        assert_eq!(of_pem(&chain), at("2036-07-08T09:10:11Z"));
    }

    #[test]
    fn whatever_is_cut_off_or_changed_gives_no_end_and_no_panic() {
        let body: String = UTC.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(body).unwrap();
        assert!(of_certificate(&der).is_some());
        for length in 0..der.len() {
            assert_eq!(of_certificate(&der[..length]), None, "{length}");
        }
        for (at, bit) in (0..der.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut changed = der.clone();
            changed[at] ^= 1 << bit;
            let _ = of_certificate(&changed);
        }
    }

    #[test]
    fn a_token_ends_when_it_says() {
        let token = |claims: &str| {
            let text = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
            of_credential(&Credential::Token(Secret::new(text)))
        };
        assert_eq!(token(r#"{"exp":1795293660,"sub":"x"}"#), Some(Timestamp::from_millis(1_795_293_660_000)));
        assert_eq!(token(r#"{"sub":"x"}"#), None);
        assert_eq!(token(r#"{"exp":1e300}"#), None);
        assert_eq!(token(r#"{"exp":"soon"}"#), None);
        assert_eq!(of_credential(&Credential::Token(Secret::new("opaque".into()))), None);
    }
}
