//! Identity policies as things that an account has: the policy, and who holds it where.

use crate::{AccountId, EnterpriseProjectId, Error, PolicyId, PrincipalId, ProjectId, Result, Timestamp};

/// A policy of an account, without its documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Unique in the installation, for ever.
    pub id: PolicyId,
    /// The tenant.
    pub account: AccountId,
    /// Unique in the account, and never the name of a policy that is shipped.
    pub name: String,
    /// A note of its author.
    pub description: String,
    /// The version that counts.
    pub default_version: i64,
    /// The highest version ever given; versions are never given again.
    pub last_version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// One version of a policy's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Its number, from 1.
    pub version: i64,
    /// The document, as its author wrote it.
    pub document: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The part of an account in which a policy holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyScope {
    /// All of it.
    Account,
    /// What belongs to the project, and requests that are made in it.
    Project(ProjectId),
    /// What belongs to the enterprise project.
    EnterpriseProject(EnterpriseProjectId),
}

impl PolicyScope {
    /// Reads the two columns, or fields, of a scope.
    ///
    /// # Errors
    /// `Invalid` naming `scope` for an unknown kind or a missing id.
    pub fn parse(kind: &str, id: &str) -> Result<Self> {
        match (kind, id) {
            ("account", "") => Ok(Self::Account),
            ("project", id) if !id.is_empty() => Ok(Self::Project(ProjectId::stored(id))),
            ("enterprise-project", id) if !id.is_empty() => {
                Ok(Self::EnterpriseProject(EnterpriseProjectId::stored(id)))
            }
            _ => Err(Error::invalid(
                "scope",
                "must be `account`, or `project` or `enterprise-project` with the id of one",
            )),
        }
    }

    /// `account`, `project` or `enterprise-project`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Project(_) => "project",
            Self::EnterpriseProject(_) => "enterprise-project",
        }
    }

    /// The id of the project or enterprise project; empty for the account.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Account => "",
            Self::Project(id) => id.as_str(),
            Self::EnterpriseProject(id) => id.as_str(),
        }
    }

    /// Whether whatever lies in `other` lies in this.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        *self == Self::Account || self == other
    }
}

/// Who holds which policy, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The user, group or agency.
    pub principal: PrincipalId,
    /// The policy: one of the account's, or one that is shipped.
    pub policy: PolicyId,
    /// Where it holds.
    pub scope: PolicyScope,
    /// Since when.
    pub created_at: Timestamp,
}
