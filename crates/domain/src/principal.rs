//! Who may be granted something: users, groups, agencies.

use std::fmt;

use crate::{AccountId, Error, PrincipalId, Result, Timestamp};

/// What kind of principal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// A person or a program with credentials of its own.
    User,
    /// A set of users.
    Group,
    /// An identity without credentials, which others assume.
    Agency,
}

impl PrincipalKind {
    /// Reads `user`, `group` or `agency`.
    ///
    /// # Errors
    /// `Invalid` naming `field` for any other text.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        match text {
            "user" => Ok(Self::User),
            "group" => Ok(Self::Group),
            "agency" => Ok(Self::Agency),
            _ => Err(Error::invalid(field, "must be `user`, `group` or `agency`")),
        }
    }

    /// `user`, `group` or `agency`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Agency => "agency",
        }
    }
}

impl fmt::Display for PrincipalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A user, group or agency of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Unique in the installation, for ever: never given to another principal.
    pub id: PrincipalId,
    /// The tenant.
    pub account: AccountId,
    /// User, group or agency.
    pub kind: PrincipalKind,
    /// Unique among the account's principals of that kind.
    pub name: String,
    /// A disabled user's credentials are refused. Always true for groups and agencies.
    pub enabled: bool,
    /// The account's first user, who may do everything and cannot be deleted.
    pub root: bool,
    /// Names under which other systems know the principal.
    pub external_ids: Vec<ExternalId>,
    /// A note of whoever looks after it.
    pub description: String,
    /// When a user's password was set; `None` if they have none, and can only sign.
    pub password_set_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its name, its notes or whether it is enabled changed last.
    pub updated_at: Timestamp,
}

/// A name that another system gave: what its `issuer` calls this principal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExternalId {
    /// Who gave the name: an identity provider's issuer URL or a short key.
    pub issuer: String,
    /// The name there.
    pub subject: String,
}
