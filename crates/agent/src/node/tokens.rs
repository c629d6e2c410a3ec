//! What a token proves, before anything else is asked about it.
//!
//! A token that was proved is remembered by its digest, so that the next request with the same bytes costs no signature. What is
//! remembered is forgotten with the keys that proved it, and counts no longer than the token itself. What nobody here can judge
//! is read all the same: the server is not asked about tokens that are over, for others, or none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Timestamp;
use podidentity::{Claims, Expected, Rejected, Unverified};
use sha2::{Digest, Sha256};

use crate::feed::{Keys, Known};
use crate::lru::Lru;

/// By what a token is known: nobody can make another one with the same.
pub type Mark = [u8; 32];

/// The mark of a token.
#[must_use]
pub fn mark(token: &str) -> Mark {
    Sha256::digest(token).into()
}

/// What a token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Whose it is.
    Of(Arc<Claims>),
    /// Nothing that could be said here: there is no key at all. With what it says unproved.
    NoKeys(Box<Claims>),
    /// Nothing that could be said here: its key is not among those that are known. The server may know it. With what it says
    /// unproved.
    UnknownKey(Box<Claims>),
    /// Nothing.
    Nothing(Rejected),
}

/// Tokens that were proved.
pub struct Tokens {
    proved: Mutex<Lru<Mark, Arc<Claims>>>,
}

impl Tokens {
    /// Remembers so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { proved: Mutex::new(Lru::new(most)) }
    }

    /// What that token, whose mark that is, proves now by what is known.
    #[must_use]
    pub fn prove(&self, token: &str, mark: &Mark, known: &Known, now: Timestamp) -> Proof {
        let audience = known.verification().map(|told| told.audience.as_str()).unwrap_or_default();
        let Some(signing) = known.signing(now) else {
            return unproved(token, None, audience, now, Proof::NoKeys);
        };
        if let Some(claims) = self.proved().get(mark) {
            let is_over = claims.expires_at <= now;
            return if is_over { Proof::Nothing(Rejected::Expired) } else { Proof::Of(Arc::clone(claims)) };
        }
        match podidentity::verify(token, signing.keys, &Expected { issuer: signing.issuer, audience }, now) {
            Ok(claims) => {
                let claims = Arc::new(claims);
                self.proved().put(*mark, Arc::clone(&claims));
                Proof::Of(claims)
            }
            Err(Rejected::UnknownKey(_)) => {
                unproved(token, Some(signing.issuer), audience, now, Proof::UnknownKey)
            }
            Err(rejected) => Proof::Nothing(rejected),
        }
    }

    /// Forgets what does not count after that happened to the keys.
    pub fn follow(&self, keys: Keys) {
        match keys {
            Keys::Others | Keys::None => self.proved().clear(),
            Keys::Same => {}
        }
    }

    fn proved(&self) -> MutexGuard<'_, Lru<Mark, Arc<Claims>>> {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a token comes to that nobody here can judge, if the server may judge otherwise than that it proves nothing.
fn unproved(
    token: &str,
    issuer: Option<&str>,
    audience: &str,
    now: Timestamp,
    proof: fn(Box<Claims>) -> Proof,
) -> Proof {
    let claims = Unverified::read(token).and_then(|token| token.claims_unproved(issuer, audience, now));
    claims.map_or_else(Proof::Nothing, |claims| proof(Box::new(claims)))
}
