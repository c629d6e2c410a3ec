//! CCE: access policies, clusters, kubeconfigs for them, and pod identity associations.

pub mod access_policies;
pub mod assume_agency;
pub mod certificates;
pub mod clusters;
pub mod pod_identity_associations;
pub mod policy_type;
mod wire;
