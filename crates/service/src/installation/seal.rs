//! Sealing secrets that must be recovered: XChaCha20-Poly1305 under a master key that is kept outside the database.
//!
//! What kind of record it is, its id and its account are authenticated with the text, so a sealed value that was
//! moved to another row does not open.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use domain::{AccountId, Entropy, Error, Result};
use ring::hmac;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The key that seals. 256 bits, written as 64 hex digits.
#[derive(Clone)]
pub struct MasterKey {
    bytes: Zeroizing<[u8; 32]>,
    id: String,
}

impl MasterKey {
    /// A new key.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self::from_bytes(Zeroizing::new(domain::entropy::bytes(entropy)))
    }

    /// Reads keys, one a line, each of 64 hex digits. Empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// `Invalid` naming `field`; the text is not repeated.
    pub fn parse_all(field: &str, text: &str) -> Result<Vec<Self>> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| Self::parse(field, line)).collect()
    }

    /// Reads 64 hex digits; white space around them is ignored.
    ///
    /// # Errors
    /// `Invalid` naming `field`; the text is not repeated.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(text.trim(), bytes.as_mut_slice())
            .map_err(|_| Error::invalid(field, "must hold a master key: 64 hex digits"))?;
        Ok(Self::from_bytes(bytes))
    }

    fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        let digest =
            Sha256::new_with_prefix(b"bailiwick master key id\0").chain_update(bytes.as_slice()).finalize();
        Self { id: hex::encode(digest).chars().take(16).collect(), bytes }
    }

    /// The key as 64 hex digits, for the file it is kept in.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.bytes.as_slice()))
    }

    /// A short public name of the key, kept in the database to tell which key it needs.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals `plain` for the record (`kind`, `id`) of `account`.
    ///
    /// # Errors
    /// `Internal` if the cipher fails, which it does only for absurd lengths.
    pub fn seal(&self, entropy: &dyn Entropy, record: &Record<'_>, plain: &[u8]) -> Result<String> {
        let nonce: [u8; 24] = domain::entropy::bytes(entropy);
        let payload = Payload { msg: plain, aad: &record.associated_data() };
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::internal("sealing failed"))?;
        Ok(format!("v1:{}:{}{}", self.id, hex::encode(nonce), hex::encode(sealed)))
    }

    /// Opens what [`MasterKey::seal`] made for the same record.
    ///
    /// # Errors
    /// `Internal` if it was sealed with another key or for another record, or was changed.
    pub fn open(&self, record: &Record<'_>, sealed: &str) -> Result<Zeroizing<Vec<u8>>> {
        let broken =
            |what: &str| Error::internal(format!("sealed {} of `{}` {what}", record.kind, record.id));
        let rest = sealed.strip_prefix("v1:").ok_or_else(|| broken("has an unknown form"))?;
        let (key_id, hex_text) = rest.split_once(':').ok_or_else(|| broken("has an unknown form"))?;
        if key_id != self.id {
            return Err(broken(&format!("needs master key {key_id}, this is {}", self.id)));
        }
        let bytes = hex::decode(hex_text).map_err(|_| broken("is not hex"))?;
        let (nonce, text) = bytes.split_first_chunk::<24>().ok_or_else(|| broken("is too short"))?;
        let payload = Payload { msg: text, aad: &record.associated_data() };
        let plain = self.cipher().decrypt(&XNonce::from(*nonce), payload);
        plain.map(Zeroizing::new).map_err(|_| broken("does not open: changed, or moved from another record"))
    }

    /// A key for another purpose: who has it knows nothing about this one, or about those for other purposes.
    pub(crate) fn derived(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bytes.as_slice());
        let mut derived = Zeroizing::new([0; 32]);
        derived.iter_mut().zip(hmac::sign(&key, purpose).as_ref()).for_each(|(to, from)| *to = *from);
        derived
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.bytes).into())
    }
}

/// The id of the key that sealed a value, if the value has the form of one.
pub(crate) fn key_id_of(sealed: &str) -> Option<&str> {
    sealed.strip_prefix("v1:")?.split_once(':').map(|(id, _)| id)
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "master key {}", self.id)
    }
}

/// The record that a sealed value belongs to.
pub struct Record<'a> {
    /// What kind of secret, for example `access-key`.
    pub kind: &'static str,
    /// The record's id.
    pub id: &'a str,
    /// The tenant.
    pub account: &'a AccountId,
}

impl Record<'_> {
    /// Lengths before texts, so that no two records give the same bytes.
    fn associated_data(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(96);
        for part in [self.kind, self.id, self.account.as_str()] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::entropy::Fixed;

    fn record<'a>(id: &'a str, account: &'a AccountId) -> Record<'a> {
        Record { kind: "access-key", id, account }
    }

    #[test]
    fn a_sealed_secret_opens_only_for_its_own_record() {
        let entropy = Fixed::new(1);
        let key = MasterKey::generate(&entropy);
        let (a, b) = (AccountId::stored("a"), AccountId::stored("b"));
        let sealed = key.seal(&entropy, &record("K1", &a), b"secret").unwrap();
        assert!(!sealed.contains("secret"));
        assert_eq!(key.open(&record("K1", &a), &sealed).unwrap().as_slice(), b"secret");
        assert!(key.open(&record("K2", &a), &sealed).is_err(), "moved to another row");
        assert!(key.open(&record("K1", &b), &sealed).is_err(), "moved to another account");
        let other_kind = Record { kind: "connection", id: "K1", account: &a };
        assert!(key.open(&other_kind, &sealed).is_err(), "moved to another column");
        assert!(MasterKey::generate(&entropy).open(&record("K1", &a), &sealed).is_err(), "another key");
    }

    #[test]
    fn a_key_reads_back_from_its_file_and_is_never_printed() {
        let key = MasterKey::generate(&Fixed::new(2));
        let text = format!("{}\n", *key.to_hex());
        let read = MasterKey::parse("f", &text).unwrap();
        assert_eq!(read.id(), key.id());
        assert!(!format!("{read:?}").contains(&*key.to_hex()));
        assert!(MasterKey::parse("f", "abc").is_err());
        let other = MasterKey::generate(&Fixed::new(3));
        let file = format!("# in use\n{text}\n# retired\n{}\r\n", *other.to_hex());
        let ids: Vec<String> =
            MasterKey::parse_all("f", &file).unwrap().iter().map(|key| key.id().to_owned()).collect();
        assert_eq!(ids, [key.id(), other.id()]);
        assert!(MasterKey::parse_all("f", &format!("{text}abc")).is_err());
    }
}
