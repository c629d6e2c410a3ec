//! What `bailiwick-agent` is made of. A library, so that its tests and the fuzzer reach it.

pub mod clock;
pub mod cluster;
pub mod feed;
pub mod lru;
pub mod node;
pub mod server;
pub mod webhook;
