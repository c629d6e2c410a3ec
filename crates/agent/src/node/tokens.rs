//! What a token proves, before anything else is asked about it.
//!
//! A token that was proved is remembered by its digest, so that the next request with the same bytes costs no signature. What is
//! remembered is forgotten with the keys that proved it, and counts no longer than the token itself. While there are no keys,
//! the tokens that were proved are the only ones that are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Timestamp;
use podidentity::feed::Verification;
use podidentity::{Claims, Expected, Rejected};
use sha2::{Digest, Sha256};

use super::known::Keys;
use super::lru::Lru;

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
    /// Nothing that could be said here: its key is not known, or none is. The server may know.
    Unknown,
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

    /// What that token, whose mark that is, proves now.
    #[must_use]
    pub fn prove(
        &self,
        token: &str,
        mark: &Mark,
        verification: Option<&Verification>,
        now: Timestamp,
    ) -> Proof {
        if let Some(claims) = self.proved().get(mark) {
            let is_over = claims.expires_at <= now;
            return if is_over { Proof::Nothing(Rejected::Expired) } else { Proof::Of(Arc::clone(claims)) };
        }
        let Some(Verification { audience, issuer: Some(issuer), keys, .. }) = verification else {
            return Proof::Unknown;
        };
        if keys.is_empty() {
            return Proof::Unknown;
        }
        match podidentity::verify(token, keys, &Expected { issuer, audience }, now) {
            Ok(claims) => {
                let claims = Arc::new(claims);
                self.proved().put(*mark, Arc::clone(&claims));
                Proof::Of(claims)
            }
            Err(Rejected::UnknownKey(_)) => Proof::Unknown,
            Err(rejected) => Proof::Nothing(rejected),
        }
    }

    /// Forgets what does not count after that happened to the keys.
    pub fn follow(&self, keys: Keys) {
        match keys {
            Keys::Others => self.proved().clear(),
            Keys::Same | Keys::Unknown => {}
        }
    }

    fn proved(&self) -> MutexGuard<'_, Lru<Mark, Arc<Claims>>> {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
