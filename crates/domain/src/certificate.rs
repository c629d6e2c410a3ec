//! Under which name somebody arrives by a client certificate of ours: a name for each certificate, so that each can be
//! revoked by itself.

use crate::arrival::reserved;
use crate::{CertificateId, Entropy, Error, PrincipalId, Result};

/// A new serial: 16 hex digits.
#[must_use]
pub fn serial(entropy: &dyn Entropy) -> CertificateId {
    let bytes: [u8; 8] = crate::entropy::bytes(entropy);
    CertificateId::stored(&format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// Whether a text has the form of a serial.
#[must_use]
pub fn is_serial(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The user name in the certificate. No id holds a `:`, so it is nobody's id, and no two certificates share one.
///
/// # Errors
/// `Conflict` if such a name would be one of the cluster's own, as for somebody whose id is `system`.
pub fn user_name(principal: &PrincipalId, serial: &CertificateId) -> Result<String> {
    let name = format!("{principal}:{serial}");
    match reserved(&name) {
        None => Ok(name),
        Some(reserved) => Err(Error::conflict(format!(
            "`{principal}` cannot have a certificate: names that begin with `{reserved}` are a cluster's own"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_certificate_has_a_name_of_its_own_and_never_one_of_the_cluster() {
        let serial = serial(&crate::entropy::Fixed::new(1));
        assert!(is_serial(serial.as_str()), "{serial}");
        let name = |id: &str| user_name(&PrincipalId::stored(id), &serial);
        assert_eq!(name("ann").unwrap(), format!("ann:{serial}"));
        assert_eq!(name("systems").unwrap(), format!("systems:{serial}"));
        for reserved in ["system", "bailiwick"] {
            assert_eq!(name(reserved).unwrap_err().kind(), ErrorKind::Conflict, "{reserved}");
        }
    }
}
