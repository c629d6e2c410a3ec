//! Any bytes as a token of a service account, and any as a set of keys.
//!
//! - nothing panics;
//! - what no key signed proves nothing: there is no key here whose other half anybody knows;
//! - a set of keys is read the same when it is written again.
//!
//! The input is the token, and after a NUL the set of keys.

#![no_main]

use domain::Timestamp;
use libfuzzer_sys::fuzz_target;
use podidentity::{Expected, KeySet, verify};

/// A key whose private half was thrown away.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (token, keys) = text.split_once('\0').unwrap_or((&text, KEYS));
    let expected = Expected { issuer: "https://kubernetes.default.svc", audience: "pods.example" };
    let known = KeySet::parse(KEYS.as_bytes()).expect("a set of keys that is in order");
    let now = Timestamp::from_millis(1_795_293_660_000);
    assert!(verify(token, &known, &expected, now).is_err(), "nobody signed it");
    if let Ok(set) = KeySet::parse(keys.as_bytes()) {
        let again = serde_json::to_vec(&set).expect("a set of keys is written as JSON");
        assert_eq!(KeySet::parse(&again).expect("and read again"), set);
        let _ = verify(token, &set, &expected, now);
    }
});
