//! The keys that pods get. Nothing of a key is kept but its id: secret and security token follow from it and a key that only
//! this installation has, so that what thousands of pods get at once is one short row each.

use domain::{Entropy, Result, Secret, Timestamp};
use ring::hmac;
use store::ReadTx;

use crate::installation::seal::MasterKey;
use crate::replay::SignedRequest;
use crate::service::Service;

/// How the ids of these keys begin, so that they are told apart from others.
pub(crate) const PREFIX: &str = "BV";

/// Digits in the order in which databases sort them; all of them occur in the ids of other keys.
const DIGITS: &[u8; 32] = b"234567ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// So many digits hold the seconds until the year 3058, and so many tell those of one second apart.
const TIME_DIGITS: u32 = 7;
const OTHER_DIGITS: u32 = 11;

/// What the key is derived for.
const PURPOSE: &[u8] = b"bailiwick keys of pods\0";

/// Makes keys of ids.
pub(crate) struct Mint(hmac::Key);

impl Mint {
    pub(crate) fn new(derived: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived))
    }

    /// The half that signs.
    pub(crate) fn secret(&self, id: &str) -> Secret {
        let made = self.made(b"secret\0", id);
        let short: String = hex::encode(made.as_ref()).chars().take(40).collect();
        Secret::new(short)
    }

    /// What each request with it must show.
    pub(crate) fn security_token(&self, id: &str) -> Secret {
        Secret::new(format!("bws_{}", hex::encode(self.made(b"security token\0", id).as_ref())))
    }

    fn made(&self, what: &[u8], id: &str) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(what);
        context.update(id.as_bytes());
        context.sign()
    }
}

/// A new id. Later ones are greater, so that tables grow at their ends. One that a signed request asked for follows from its
/// signature, and from which of its tokens it is for: should the request come again, its keys are there already.
pub(super) fn new_id(
    signed: Option<(&SignedRequest, usize)>,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> String {
    let (at, other) = match signed {
        Some((signed, nth)) => (signed.valid_until(), signed.number(nth)),
        None => (now, u64::from_be_bytes(domain::entropy::bytes(entropy))),
    };
    let seconds = u64::try_from(at.as_millis() / 1000).unwrap_or_default();
    let mut id = String::with_capacity(20);
    id.push_str(PREFIX);
    push_digits(&mut id, seconds, TIME_DIGITS);
    push_digits(&mut id, other, OTHER_DIGITS);
    id
}

fn push_digits(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let five_bits = usize::try_from((number >> (5 * place)) & 31).unwrap_or_default();
        text.push(DIGITS.get(five_bits).copied().map_or('2', char::from));
    }
}

impl Service {
    /// What makes the keys of pods.
    pub(super) async fn mint(&self) -> Result<&Mint> {
        match self.mint.get() {
            Some(mint) => Ok(mint),
            None => Ok(self.mint_from(self.stamp_key().await?)),
        }
    }

    /// The same for who is reading already.
    pub(crate) async fn mint_in(&self, tx: &mut ReadTx) -> Result<&Mint> {
        match self.mint.get() {
            Some(mint) => Ok(mint),
            None => Ok(self.mint_from(self.stamp_key_in(tx).await?)),
        }
    }

    fn mint_from(&self, key: &MasterKey) -> &Mint {
        self.mint.get_or_init(|| Mint::new(&key.derived(PURPOSE)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use domain::entropy::Fixed;

    use super::*;
    use crate::directory::access_keys::KEY_ID_ALPHABET;

    #[test]
    fn a_key_follows_from_its_id_and_from_the_installation_alone() {
        let (one, other) = (Mint::new(&[1; 32]), Mint::new(&[2; 32]));
        let secret = |mint: &Mint, id| mint.secret(id).expose().to_owned();
        let token = |mint: &Mint, id| mint.security_token(id).expose().to_owned();
        assert_eq!(secret(&one, "BV1"), secret(&Mint::new(&[1; 32]), "BV1"));
        assert_eq!(secret(&one, "BV1").len(), 40);
        assert_ne!(secret(&one, "BV1"), secret(&one, "BV2"));
        assert_ne!(secret(&one, "BV1"), secret(&other, "BV1"));
        assert_ne!(token(&one, "BV1"), token(&other, "BV1"));
        assert!(!token(&one, "BV1").contains(&secret(&one, "BV1")), "one half tells nothing about the other");
    }

    #[test]
    fn later_ids_are_greater_and_look_like_those_of_other_keys() {
        let entropy = Fixed::new(1);
        let new = |seconds: i64| new_id(None, &entropy, Timestamp::from_millis(seconds * 1000));
        let ids: Vec<String> =
            [0, 1, 31, 32, 1023, 1_700_000_000, 1_700_000_001, 1_800_000_000].map(new).to_vec();
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(ids.iter().all(|id| id.len() == 20 && id.bytes().all(|b| KEY_ID_ALPHABET.contains(&b))));
        assert_ne!(new(1), new(1));
    }

    #[test]
    fn what_one_signed_request_gets_has_one_id_whenever_it_comes() {
        let entropy = Fixed::new(1);
        let until = Timestamp::from_millis(1_700_000_000_000);
        let (one, other) = (SignedRequest::new("AK", b"1", until), SignedRequest::new("AK", b"2", until));
        let id = |signed, nth, now| new_id(Some((signed, nth)), &entropy, Timestamp::from_millis(now));
        assert_eq!(id(&one, 0, 1), id(&one, 0, 2));
        assert_eq!(id(&one, 7, 1), id(&one, 7, 2));
        let ids: HashSet<String> =
            (0..1_000).flat_map(|nth| [id(&one, nth, 1), id(&other, nth, 1)]).collect();
        assert_eq!(ids.len(), 2_000, "each of its tokens has another");
    }
}
