//! CCE: access policies, clusters, and kubeconfigs for them.

pub mod access_policies;
pub mod assume_agency;
pub mod certificates;
pub mod clusters;
pub mod policy_type;
mod wire;
