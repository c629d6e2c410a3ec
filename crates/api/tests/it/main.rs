//! The server over real sockets and a real database, spoken to in raw bytes: what a client library would tidy up is
//! exactly what is tested.

#![allow(
    clippy::allow_attributes,
    reason = "clippy sees tests by their attribute and not the functions that they share"
)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that cannot go on says where"
)]

mod abuse;
mod access_policies;
mod ack;
mod acs3;
mod action_document;
mod actions;
mod agency_trust;
mod associations;
mod body_memory;
mod caller_identity;
mod credentials;
mod metrics;
mod multi_cloud;
mod one_reading;
mod operations;
mod permissions;
mod pods;
mod project_pages;
mod recorded;
mod server;
mod signatures;
