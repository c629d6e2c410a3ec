//! What stands between this server and whoever guesses, floods, or both: locks after failures, and rates. Everything here
//! is in memory, bounded, and of one server; it never decides who someone is.

mod buckets;
mod locks;
mod rates;

pub(crate) use locks::{Guesses, Known};
pub(crate) use rates::Limiter;
pub use rates::{Rate, Rates, Throttled};

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// The source as it counts: of an IPv6 address the network, because one machine has as many addresses as it likes.
pub(crate) fn network(source: IpAddr) -> u128 {
    match source.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() & (u128::MAX << 64),
    }
}

/// The same for what is written down as a source. Whatever is no address (this program's own calls) is one source.
pub(crate) fn network_of(source: &str) -> u128 {
    source.parse().map_or(u128::MAX, network)
}

/// A number for a text that a caller may have chosen: as nobody outside knows the key, nobody makes two that collide.
fn number(hasher: &RandomState, of: impl std::hash::Hash) -> u64 {
    hasher.hash_one(of)
}
