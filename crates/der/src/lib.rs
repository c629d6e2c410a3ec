//! The few lines of DER and PEM that keys and certificates need around what `ring` makes and signs. Pure.
//!
//! Written only: whoever reads what others wrote decides what to believe of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The tag of a sequence.
pub const SEQUENCE: u8 = 0x30;
/// The tag of a set.
pub const SET: u8 = 0x31;
/// The tag of a text in UTF-8.
pub const UTF8_STRING: u8 = 0x0c;
/// `2.5.4.3`, which is called common name.
pub const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
/// The algorithm of public keys on the curve P-256.
pub const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07,
];
/// The algorithm ECDSA with SHA-256.
pub const ECDSA: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// A bit string of whole bytes.
#[must_use]
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], bytes])
}

/// A name that consists of a common name and nothing else.
#[must_use]
pub fn common_name(name: &str) -> Vec<u8> {
    let text = element(UTF8_STRING, &[name.as_bytes()]);
    element(SEQUENCE, &[&element(SET, &[&element(SEQUENCE, &[COMMON_NAME, &text])])])
}

/// An element of DER.
#[must_use]
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let digits: Vec<u8> = length.iter().copied().skip_while(|digit| *digit == 0).collect();
    let mut der = vec![tag];
    match (digits.as_slice(), u8::try_from(digits.len())) {
        ([], _) => der.push(0),
        ([short @ ..0x80], _) => der.push(*short),
        (long, count) => {
            der.push(0x80 | count.unwrap_or(8));
            der.extend(long);
        }
    }
    der.extend(content);
    der
}

/// The PEM of something in DER, wiped when dropped.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // As large as it gets: a text that moves leaves a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 64));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for (at, letter) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_der_wants_them() {
        for (length, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (256, &[4, 0x82, 1, 0]),
            (70_000, &[4, 0x83, 1, 0x11, 0x70]),
        ] {
            let der = element(4, &[&vec![7; length]]);
            assert_eq!(&der[..head.len()], head, "{length}");
            assert_eq!(der.len(), head.len() + length, "{length}");
        }
    }
}
