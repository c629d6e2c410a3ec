//! How many bytes of bodies are in memory at once. Before a credential is looked at, whoever connects may send a body: all of
//! them together have a bound, and what one source sends has one of an eighth of it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use domain::{Error, ErrorKind, Result};

use crate::body::MAX_BODY;

/// What all bodies together may hold where nothing else is said.
const MOST: usize = 128 * 1024 * 1024;

/// What is held, and by whom.
pub(crate) struct BodyMemory {
    most: usize,
    held: Mutex<Held>,
}

/// Sources that hold nothing are not in it, so it is as bounded as the connections.
#[derive(Default)]
struct Held {
    total: usize,
    of_source: HashMap<IpAddr, usize>,
}

impl Default for BodyMemory {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl BodyMemory {
    /// With room for `most` bytes.
    pub(crate) fn of(most: usize) -> Self {
        Self { most, held: Mutex::default() }
    }

    /// A source's share, empty as yet.
    pub(crate) fn share(self: &Arc<Self>, source: IpAddr) -> Share {
        Share { memory: Arc::clone(self), source: network(source), bytes: 0 }
    }

    /// The most of one source; never less than one body.
    fn most_of_source(&self) -> usize {
        (self.most / 8).max(MAX_BODY)
    }

    fn take(&self, source: IpAddr, bytes: usize) -> Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let total = held.total.saturating_add(bytes);
        if total > self.most {
            let message = "the server holds as much of requests as it has room for; try again";
            return Err(Error::unavailable(message, "memory for bodies"));
        }
        let of_source = held.of_source.get(&source).copied().unwrap_or_default().saturating_add(bytes);
        if of_source > self.most_of_source() {
            let message = "too much is being sent at once from your address; try again";
            return Err(Error::new(ErrorKind::Limited, message));
        }
        held.of_source.insert(source, of_source);
        held.total = total;
        Ok(())
    }

    fn give_back(&self, source: IpAddr, bytes: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.total = held.total.saturating_sub(bytes);
        if let Some(of_source) = held.of_source.get_mut(&source) {
            *of_source = of_source.saturating_sub(bytes);
            if *of_source == 0 {
                held.of_source.remove(&source);
            }
        }
    }
}

/// What one request holds, given back when it is dropped.
pub(crate) struct Share {
    memory: Arc<BodyMemory>,
    source: IpAddr,
    bytes: usize,
}

impl Share {
    /// Takes so many more.
    ///
    /// # Errors
    /// `Unavailable` if there is no room; `Limited` if the source has too much of it.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<()> {
        if bytes > 0 {
            self.memory.take(self.source, bytes)?;
            self.bytes += bytes;
        }
        Ok(())
    }

    /// Gives all of it back.
    pub(crate) fn clear(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes > 0 {
            self.memory.give_back(self.source, bytes);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Of an IPv6 address the network, because one machine has as many addresses as it likes.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn what_a_request_holds_is_given_back_with_it() {
        let memory = Arc::new(BodyMemory::of(100));
        let mut share = memory.share(source(1));
        share.grow(60).unwrap();
        let mut other = memory.share(source(2));
        assert_eq!(other.grow(41).unwrap_err().kind(), ErrorKind::Unavailable);
        other.grow(40).unwrap();
        drop(share);
        other.grow(60).unwrap();
        drop(other);
        let held = memory.held.lock().unwrap();
        assert_eq!((held.total, held.of_source.len()), (0, 0));
    }

    #[test]
    fn one_source_leaves_room_for_bodies_from_elsewhere() {
        let memory = Arc::new(BodyMemory::of(16 * MAX_BODY));
        let shares: Vec<Share> = std::iter::repeat_with(|| memory.share(source(1)))
            .map(|mut share| share.grow(MAX_BODY).map(|()| share))
            .map_while(Result::ok)
            .take(20)
            .collect();
        assert_eq!(shares.len(), 2);
        assert_eq!(memory.share(source(1)).grow(1).unwrap_err().kind(), ErrorKind::Limited);
        assert!(memory.share(source(2)).grow(MAX_BODY).is_ok());
        let [one, other] = ["2001:db8::1", "2001:db8::2"].map(|text| network(text.parse().unwrap()));
        assert_eq!(one, other);
    }
}
