//! CCE: access policies and clusters.

pub mod access_policies;
pub mod clusters;
pub mod policy_type;
mod wire;
