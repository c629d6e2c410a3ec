//! Clients that are kept for a while, so that who asks a cluster again finds its connections open: eight times TLS is more
//! than all the questions of a check.
//!
//! A client belongs to a connection as it is now: with another address, authority or credential it is another's. Of the
//! connection only a digest is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service::clusters::connection::{AddressPolicy, Connection};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::client::ApiClient;
use crate::failure::Failure;

/// How long a client is kept that nobody uses. Its connections are closed as soon as they are not used for as long.
pub(crate) const IDLE: Duration = Duration::from_secs(60);
/// The most that are kept. Each has up to eight connections.
const MOST: usize = 64;

type Digest = [u8; 32];

/// Where a client came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is new: its connections are still to be made.
    New,
    /// It was kept: its connections may have ended without its knowing.
    Kept,
}

/// The clients that are kept.
#[derive(Default)]
pub(crate) struct Kept {
    clients: Mutex<HashMap<Digest, Entry>>,
}

struct Entry {
    client: Arc<ApiClient>,
    used: Instant,
}

impl Kept {
    /// The client of a connection: the one that is kept, or a new one.
    pub(crate) fn of(
        &self,
        connection: &Connection,
        policy: &Arc<AddressPolicy>,
    ) -> Result<(Arc<ApiClient>, Origin), Failure> {
        let (digest, now) = (digest(connection)?, Instant::now());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, entry| now.duration_since(entry.used) < IDLE);
        if let Some(entry) = clients.get_mut(&digest) {
            entry.used = now;
            return Ok((Arc::clone(&entry.client), Origin::Kept));
        }
        let client = Arc::new(ApiClient::new(connection, Arc::clone(policy))?);
        if clients.len() >= MOST {
            let oldest = clients.iter().min_by_key(|(_, entry)| entry.used).map(|(digest, _)| *digest);
            oldest.and_then(|digest| clients.remove(&digest));
        }
        clients.insert(digest, Entry { client: Arc::clone(&client), used: now });
        Ok((client, Origin::New))
    }

    /// Keeps the connection's client no longer: it did not do what it should, and the next one begins anew.
    pub(crate) fn forget(&self, connection: &Connection) {
        let Ok(digest) = digest(connection) else { return };
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
    }
}

fn digest(connection: &Connection) -> Result<Digest, Failure> {
    let bytes = connection.to_json_bytes();
    let bytes = bytes.map_err(|_| Failure::Unreadable("the connection cannot be written down"))?;
    Ok(Sha256::digest(&*bytes).into())
}

#[cfg(test)]
mod tests {
    use domain::Secret;
    use service::clusters::connection::Credential;

    use super::*;

    /// What vouches for nobody makes no client.
    const AUTHORITY: &str = include_str!("client/test-authority.pem");

    fn connection(port: usize, token: &str) -> Connection {
        Connection {
            server: format!("https://127.0.0.1:{port}"),
            ca_pem: Some(AUTHORITY.to_owned()),
            credential: Credential::Token(Secret::new(token.to_owned())),
            tls_server_name: None,
        }
    }

    #[test]
    fn a_connection_that_changed_has_another_client_and_one_that_failed_a_new_one() {
        let (kept, policy) = (Kept::default(), Arc::new(AddressPolicy::default()));
        let of = |port, token| kept.of(&connection(port, token), &policy).unwrap().0;
        let first = of(1, "a");
        assert!(Arc::ptr_eq(&first, &of(1, "a")));
        assert!(!Arc::ptr_eq(&first, &of(1, "b")) && !Arc::ptr_eq(&first, &of(2, "a")));
        kept.forget(&connection(1, "a"));
        assert!(!Arc::ptr_eq(&first, &of(1, "a")));
    }

    #[test]
    fn who_was_not_asked_for_longest_makes_room() {
        let (kept, policy) = (Kept::default(), Arc::new(AddressPolicy::default()));
        let of = |port| kept.of(&connection(port, "a"), &policy).unwrap().0;
        let all: Vec<_> = (1..=MOST).map(of).collect();
        assert!(Arc::ptr_eq(&all[0], &of(1)));
        of(MOST + 1);
        assert_eq!(kept.clients.lock().unwrap().len(), MOST);
        assert!(Arc::ptr_eq(&all[0], &of(1)), "it was used meanwhile");
        assert!(!Arc::ptr_eq(&all[1], &of(2)));
    }
}
