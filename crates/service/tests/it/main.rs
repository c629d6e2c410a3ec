//! The acceptance suite: every use case through the door, on a real database; with the feature `postgres-tests` on
//! PostgreSQL too. Together these tests run every statement of `store`.

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

mod accounts;
mod activity;
mod associations;
mod audit;
mod authorization;
mod certificate_sources;
mod certificates;
mod checks;
mod clusters;
mod concurrency;
mod custom_roles;
mod decisions;
mod directory;
mod directory_rules;
mod expiring;
mod grants;
mod key_rotation;
mod kubeconfigs;
mod ladder;
mod leases;
mod migrations;
mod names;
mod owners;
mod permissions;
mod pod_identity_agents;
mod policies;
mod policy_ladder;
mod quotas;
mod removals;
mod replacement;
mod replay;
mod restore;
mod rights;
mod rotation;
mod secrets;
mod sessions;
mod sight;
mod signer;
mod through_trust;
mod tokens;
mod trust;
mod vending;
mod world;
