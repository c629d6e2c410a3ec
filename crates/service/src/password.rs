//! Passwords: argon2id, on a pool of one so that logins cannot starve everything else.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use domain::{Entropy, Error, Result, Secret};
use tokio::sync::Semaphore;

/// The shortest password that may be set.
pub(crate) const MIN_LENGTH: usize = 8;
/// The longest: hashing time grows with the length.
pub(crate) const MAX_LENGTH: usize = 128;

/// Hashes and verifies, one at a time.
pub(crate) struct Passwords {
    turn: Semaphore,
    /// Verified when there is no such user, so that the answer takes as long.
    nobody: String,
}

impl Passwords {
    pub(crate) fn new(entropy: &dyn Entropy) -> Result<Self> {
        let nobody = hash(&Secret::new("nobody's password".to_owned()), domain::entropy::bytes(entropy))?;
        Ok(Self { turn: Semaphore::new(1), nobody })
    }

    /// The hash to store for a new password.
    pub(crate) async fn hash(&self, entropy: &dyn Entropy, password: &Secret) -> Result<String> {
        let (password, salt) = (password.clone(), domain::entropy::bytes(entropy));
        self.run(move || hash(&password, salt)).await?
    }

    /// Whether `password` is the one that `stored` was made of. Takes as long where there is none.
    pub(crate) async fn verify(&self, stored: Option<String>, password: &Secret) -> Result<bool> {
        let known = stored.is_some();
        let (password, stored) = (password.clone(), stored.unwrap_or_else(|| self.nobody.clone()));
        let matches = self.run(move || verify(&stored, &password)).await??;
        Ok(matches && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _turn = self.turn.acquire().await.map_err(Error::internal)?;
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}

/// Accepts a password's length.
pub(crate) fn check(field: &str, password: &Secret) -> Result<()> {
    if (MIN_LENGTH..=MAX_LENGTH).contains(&password.expose().len()) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must be {MIN_LENGTH} to {MAX_LENGTH} bytes long")))
}

fn hash(password: &Secret, salt: [u8; 16]) -> Result<String> {
    Argon2::default()
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| Error::internal(error.to_string()))
}

fn verify(stored: &str, password: &Secret) -> Result<bool> {
    let parsed = PasswordHash::new(stored).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Argon2::default().verify_password(password.expose().as_bytes(), &parsed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::entropy::Fixed;

    #[tokio::test]
    async fn only_the_password_that_was_hashed_verifies() {
        let entropy = Fixed::new(3);
        let passwords = Passwords::new(&entropy).unwrap();
        let right = Secret::new("correct horse".into());
        let stored = passwords.hash(&entropy, &right).await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(passwords.verify(Some(stored.clone()), &right).await.unwrap());
        assert!(!passwords.verify(Some(stored), &Secret::new("wrong".into())).await.unwrap());
        let nobody = Secret::new("nobody's password".into());
        assert!(!passwords.verify(None, &nobody).await.unwrap(), "no such user");
    }
}
