//! Accounts and their parts.

use crate::{AccountId, EnterpriseProjectId, ProjectId, Timestamp};

/// A tenant. Nothing crosses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Unique in the installation.
    pub id: AccountId,
    /// Unique in the installation: people log in by it.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A part of an account that is bound to a region; its name is the region's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Unique in the installation.
    pub id: ProjectId,
    /// The tenant.
    pub account: AccountId,
    /// Unique in the account, for example `eu-west-101`.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A unit of cost and ownership across an account's regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnterpriseProject {
    /// Unique in the installation.
    pub id: EnterpriseProjectId,
    /// The tenant.
    pub account: AccountId,
    /// Unique in the account.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
}
