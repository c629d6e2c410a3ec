//! The arithmetic under signatures: hashes, keyed hashes, and comparing them without telling how far they agree.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::failure::Failure;

/// A SHA-256 in lower-case hex digits.
pub type Hex = [u8; 64];

/// The hash of nothing, which most requests have for a body.
pub const EMPTY: &Hex = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The hash of a body.
#[must_use]
pub fn hash(bytes: &[u8]) -> Hex {
    if bytes.is_empty() { *EMPTY } else { hex(&Sha256::digest(bytes).into()) }
}

/// Thirty-two bytes in hex digits.
#[must_use]
pub fn hex(bytes: &[u8; 32]) -> Hex {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or_default();
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
    text
}

/// HMAC-SHA256 over the parts, one after the other.
#[must_use]
pub fn sha256(key: &[u8], parts: &[&[u8]]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac.finalize().into_bytes().into())
}

/// HMAC-SHA1 over one text. SHA-1 is broken as a hash and not as this; the schemes that use it are old ones.
#[must_use]
pub fn sha1(key: &[u8], text: &[u8]) -> Option<[u8; 20]> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac.finalize().into_bytes().into())
}

/// Whether a signature in hex digits is this one.
///
/// # Errors
/// `Mismatch` if it is not.
pub fn compare(expected: Option<[u8; 32]>, signature: &str) -> Result<(), Failure> {
    let expected = hex(&expected.ok_or(Failure::Mismatch)?);
    if bool::from(expected.ct_eq(signature.as_bytes())) { Ok(()) } else { Err(Failure::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_are_those_of_everybody_else() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in all.chunks_exact(32) {
            let bytes: [u8; 32] = bytes.try_into().unwrap();
            assert_eq!(hex(&bytes).as_slice(), hex::encode(bytes).as_bytes());
        }
        assert_eq!(hex(&Sha256::digest(b"").into()), *EMPTY);
    }
}
