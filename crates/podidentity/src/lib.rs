//! What the server and its agents in clusters share: how a pod proves who it is, and what both sides say to each other.
//!
//! Deciding only: no tasks, sockets, clock or randomness. A token is verified here by keys that somebody else fetched, at an
//! instant that somebody else tells, so that the server and every agent read the same token the same way.

pub mod feed;
pub mod keys;
pub mod token;
pub mod vending;

pub use keys::KeySet;
pub use token::{Claims, Expected, Named, Rejected, Unverified, verify};
