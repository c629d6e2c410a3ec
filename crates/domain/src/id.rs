//! Ids as types, so that a cluster's id cannot be passed where a principal's is meant.
//!
//! One generic type instead of nine structs: the kind is a marker that exists only for the compiler.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::{Entropy, Error, Result, Timestamp};

/// The longest id that is accepted.
pub const MAX_LENGTH: usize = 64;

/// Markers for what an [`Id`] names. They have no values.
pub mod kind {
    /// A tenant.
    pub enum Account {}
    /// A region-scoped part of an account.
    pub enum Project {}
    /// A cost and ownership unit across regions.
    pub enum EnterpriseProject {}
    /// A user, group or agency.
    pub enum Principal {}
    /// A registered cluster.
    pub enum Cluster {}
    /// A grant.
    pub enum Grant {}
    /// The public half of an access key.
    pub enum AccessKey {}
    /// A token or temporary key.
    pub enum Session {}
    /// An identity policy.
    pub enum Policy {}
    /// A client certificate.
    pub enum Certificate {}
    /// A pod identity association.
    pub enum Association {}
    /// One database of Bailiwick.
    pub enum Installation {}
}

/// The id of an account.
pub type AccountId = Id<kind::Account>;
/// The id of a project.
pub type ProjectId = Id<kind::Project>;
/// The id of an enterprise project.
pub type EnterpriseProjectId = Id<kind::EnterpriseProject>;
/// The id of a user, group or agency: one name space for all three.
pub type PrincipalId = Id<kind::Principal>;
/// The id of a cluster.
pub type ClusterId = Id<kind::Cluster>;
/// The id of a grant.
pub type GrantId = Id<kind::Grant>;
/// The public half of an access key.
pub type AccessKeyId = Id<kind::AccessKey>;
/// The id of a session; of a temporary key, its public half.
pub type SessionId = Id<kind::Session>;
/// The id of an identity policy.
pub type PolicyId = Id<kind::Policy>;
/// The id of a client certificate, which is its serial among us and not the one its authority gave it.
pub type CertificateId = Id<kind::Certificate>;
/// The id of a pod identity association.
pub type AssociationId = Id<kind::Association>;
/// The id of an installation, made at its first start.
pub type InstallationId = Id<kind::Installation>;

/// The id of a `K`: 1 to 64 characters of `A-Z a-z 0-9 _ -`. Cheap to clone.
pub struct Id<K> {
    text: Arc<str>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Id<K> {
    /// Accepts an id that a caller chose or named in `field`.
    ///
    /// # Errors
    /// `Invalid` naming `field` if the text is not 1 to 64 characters of `A-Z a-z 0-9 _ -`.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        if Self::is_valid(text) {
            return Ok(Self::stored(text));
        }
        Err(Error::invalid(field, format!("must be 1 to {MAX_LENGTH} letters, digits, `-` or `_`")))
    }

    /// Whether `text` could be an id at all.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        (1..=MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    }

    /// Takes an id that was checked before it was stored.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self { text: Arc::from(text), kind: PhantomData }
    }

    /// A new id of 32 hex digits.
    #[must_use]
    pub fn random_hex(entropy: &dyn Entropy) -> Self {
        let bytes: [u8; 16] = crate::entropy::bytes(entropy);
        Self::stored(&format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// A new id in the form of a version 4 UUID.
    #[must_use]
    pub fn random_uuid(entropy: &dyn Entropy) -> Self {
        let bytes: [u8; 16] = crate::entropy::bytes(entropy);
        Self::uuid(u128::from_be_bytes(bytes), 4)
    }

    /// A new id in the form of a version 7 UUID (RFC 9562): later ones are greater, so that a table of them grows at its
    /// end. Those of one millisecond are in the order of `count`, of which 26 bits are in it.
    #[must_use]
    pub fn ordered_uuid(entropy: &dyn Entropy, now: Timestamp, count: u32) -> Self {
        let random: [u8; 8] = crate::entropy::bytes(entropy);
        let millis = u128::try_from(now.as_millis()).unwrap_or_default();
        let (high, low) = (u128::from(count >> 14), u128::from(count & 0x3fff));
        Self::uuid(
            (millis << 80)
                | ((high & 0xfff) << 64)
                | (low << 48)
                | u128::from(u64::from_be_bytes(random) >> 16),
            7,
        )
    }

    /// These bits with a version and the variant of all UUIDs in their places.
    fn uuid(bits: u128, version: u128) -> Self {
        let value = (bits & !(0xf << 76) & !(0x3 << 62)) | (version << 76) | (0x2 << 62);
        Self::stored(&format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            value >> 96,
            (value >> 80) & 0xffff,
            (value >> 64) & 0xffff,
            (value >> 48) & 0xffff,
            value & 0xffff_ffff_ffff
        ))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        Self { text: Arc::clone(&self.text), kind: PhantomData }
    }
}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<K> Borrow<str> for Id<K> {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text)
    }
}

impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Fixed;

    #[test]
    fn ids_outside_the_alphabet_are_refused_naming_the_field() {
        for bad in ["", " ", "a b", "ä", "a/b", "a:b", "a\0", &"x".repeat(65)] {
            let error = PrincipalId::parse("principal.ids", bad).unwrap_err();
            assert_eq!(error.field(), Some("principal.ids"), "{bad:?}");
        }
        for good in ["a", "A-_9", &"x".repeat(64)] {
            assert_eq!(PrincipalId::parse("id", good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn random_ids_have_their_form() {
        let entropy = Fixed::new(7);
        let hex = ClusterId::random_hex(&entropy);
        assert_eq!(hex.as_str().len(), 32);
        let uuid = GrantId::random_uuid(&entropy);
        let parts: Vec<&str> = uuid.as_str().split('-').collect();
        assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4'), "{uuid}");
        assert!(parts[3].starts_with(['8', '9', 'a', 'b']), "{uuid}");
    }

    #[test]
    fn ordered_ids_are_uuids_that_grow_with_time() {
        let entropy = Fixed::new(1);
        let at = |millis, count| {
            GrantId::ordered_uuid(&entropy, Timestamp::from_millis(millis), count).to_string()
        };
        let mut ids = vec![at(0, 9), at(1, 0)];
        ids.extend([0, 1, 0x3fff, 0x4000, 0x3ff_ffff].map(|count| at(1_700_000_000_000, count)));
        ids.push(at(1_700_000_000_001, 0));
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(ids.iter().all(|id| id.len() == 36 && id.chars().nth(14) == Some('7')), "{ids:?}");
        let variant = |id: &String| id.chars().nth(19).is_some_and(|digit| "89ab".contains(digit));
        assert!(ids.iter().all(variant), "{ids:?}");
        assert!(ids[2].starts_with("018bcfe5-6800-"), "{ids:?}");
        assert_ne!(at(1, 1), at(1, 1));
    }
}
