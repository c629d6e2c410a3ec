//! The grammars of documents: which fields and operators each of them knows.

use crate::operator::{CLASSIC, IDENTITY, Known, ROLE_POLICY, SHARED};

/// The language of a document. Its `Version` says which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// Identity policies, version `5.0`.
    Identity,
    /// Policies of the role/policy model, version `1.1`.
    RolePolicy,
    /// Roles of the role/policy model, version `1.0`: nothing but actions.
    Role,
    /// Version `1`: single values may stand for lists of one, and resources must be named.
    Classic,
}

impl Grammar {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Identity, Self::RolePolicy, Self::Role, Self::Classic];

    /// What stands in `Version`.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Identity => "5.0",
            Self::RolePolicy => "1.1",
            Self::Role => "1.0",
            Self::Classic => "1",
        }
    }

    /// The fields of a statement.
    pub(crate) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Identity => {
                &["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"]
            }
            Self::RolePolicy => &["Effect", "Action", "Resource", "Condition"],
            Self::Role => &["Effect", "Action"],
            Self::Classic => &["Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"],
        }
    }

    /// Whether a statement must say which resources it concerns.
    pub(crate) fn demands_resource(self) -> bool {
        match self {
            Self::Classic => true,
            Self::Identity | Self::RolePolicy | Self::Role => false,
        }
    }

    /// Whether a single text may stand for a list of one.
    pub(crate) fn takes_single_texts(self) -> bool {
        self.demands_resource()
    }

    /// Whether operators may be prefixed and suffixed (`ForAnyValue:`, `IfExists`).
    pub(crate) fn modifies_operators(self) -> bool {
        match self {
            Self::Identity | Self::RolePolicy => true,
            Self::Role | Self::Classic => false,
        }
    }

    /// How many parts an action has.
    pub(crate) fn action_parts(self) -> usize {
        match self {
            Self::Identity | Self::RolePolicy | Self::Role => 3,
            Self::Classic => 2,
        }
    }

    /// What an action looks like, for messages.
    pub(crate) fn action_form(self) -> &'static str {
        match self {
            Self::Identity | Self::RolePolicy | Self::Role => "`service:type:operation`",
            Self::Classic => "`service:Operation`",
        }
    }

    /// The operators of conditions, without prefixes and suffixes.
    pub(crate) fn operators(self) -> impl Iterator<Item = &'static Known> {
        let groups: &[&[Known]] = match self {
            Self::Identity => &[SHARED, IDENTITY],
            Self::RolePolicy => &[SHARED, IDENTITY, ROLE_POLICY],
            Self::Role => &[],
            Self::Classic => &[SHARED, CLASSIC],
        };
        groups.iter().copied().flatten()
    }

    /// The most of something in one statement, where the grammar's documents say so.
    pub(crate) fn limits(self) -> Option<Limits> {
        match self {
            Self::RolePolicy => {
                Some(Limits { actions: 100, resources: 10, resource_length: 128, conditions: 10 })
            }
            Self::Identity | Self::Role | Self::Classic => None,
        }
    }
}

/// Documented limits of a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) actions: usize,
    pub(crate) resources: usize,
    pub(crate) resource_length: usize,
    pub(crate) conditions: usize,
}
