//! What the server tells the agents of its cluster: asking for it without end, and putting it together.
//!
//! [`known`] is pure and says what is known after each answer; [`following`] asks, and paces the questions. Whoever follows
//! is a [`following::Follower`].

pub mod following;
pub mod known;

pub use following::{Follower, follow};
pub use known::{Change, Keys, Known, Signing, Subject, Verdict};
