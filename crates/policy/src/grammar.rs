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
    /// Trust policies of version `5.0`: who may assume that to which the document belongs.
    IdentityTrust,
    /// Trust policies of version `1`.
    ClassicTrust,
}

/// What a grammar knows.
pub(crate) struct Rules {
    version: &'static str,
    /// The fields of a statement.
    pub(crate) fields: &'static [&'static str],
    /// The kinds of principals that a statement names; none where it is about whom it is attached to.
    pub(crate) principals: &'static [&'static str],
    /// Whether a statement must say which resources it concerns.
    pub(crate) demands_resource: bool,
    /// Whether a single text may stand for a list of one.
    pub(crate) takes_single_texts: bool,
    /// How many parts an action has.
    pub(crate) action_parts: usize,
    /// What an action looks like, for messages.
    pub(crate) action_form: &'static str,
    operators: &'static [&'static [Known]],
    /// Whether operators may be prefixed and suffixed (`ForAnyValue:`, `IfExists`).
    pub(crate) modifies_operators: bool,
    /// The most of something in one statement, where the grammar's documents say so.
    pub(crate) limits: Option<Limits>,
}

/// Documented limits of a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) actions: usize,
    pub(crate) resources: usize,
    pub(crate) resource_length: usize,
    pub(crate) conditions: usize,
}

const IDENTITY_RULES: Rules = Rules {
    version: "5.0",
    fields: &["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"],
    principals: &[],
    demands_resource: false,
    takes_single_texts: false,
    action_parts: 3,
    action_form: "`service:type:operation`",
    operators: &[SHARED, IDENTITY],
    modifies_operators: true,
    limits: None,
};

const ROLE_POLICY_RULES: Rules = Rules {
    version: "1.1",
    fields: &["Effect", "Action", "Resource", "Condition"],
    operators: &[SHARED, IDENTITY, ROLE_POLICY],
    limits: Some(Limits { actions: 100, resources: 10, resource_length: 128, conditions: 10 }),
    ..IDENTITY_RULES
};

const ROLE_RULES: Rules = Rules {
    version: "1.0",
    fields: &["Effect", "Action"],
    operators: &[],
    modifies_operators: false,
    ..IDENTITY_RULES
};

const CLASSIC_RULES: Rules = Rules {
    version: "1",
    fields: &["Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"],
    principals: &[],
    demands_resource: true,
    takes_single_texts: true,
    action_parts: 2,
    action_form: "`service:Operation`",
    operators: &[SHARED, CLASSIC],
    modifies_operators: false,
    limits: None,
};

const IDENTITY_TRUST_RULES: Rules = Rules {
    fields: &[
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    ],
    principals: &["IAM", "Service", "Identity_provider"],
    ..IDENTITY_RULES
};

const CLASSIC_TRUST_RULES: Rules = Rules {
    fields: &["Effect", "Principal", "Action", "Condition"],
    principals: &["RAM", "Service", "Federated"],
    demands_resource: false,
    ..CLASSIC_RULES
};

impl Grammar {
    /// Those of documents that are attached to principals. Their versions are different.
    pub const ATTACHED: [Self; 4] = [Self::Identity, Self::RolePolicy, Self::Role, Self::Classic];

    /// Those of documents that say whom something trusts. Their versions are different.
    pub const TRUST: [Self; 2] = [Self::IdentityTrust, Self::ClassicTrust];

    /// What stands in `Version`.
    #[must_use]
    pub fn version(self) -> &'static str {
        self.rules().version
    }

    pub(crate) fn rules(self) -> &'static Rules {
        match self {
            Self::Identity => const { &IDENTITY_RULES },
            Self::RolePolicy => const { &ROLE_POLICY_RULES },
            Self::Role => const { &ROLE_RULES },
            Self::Classic => const { &CLASSIC_RULES },
            Self::IdentityTrust => const { &IDENTITY_TRUST_RULES },
            Self::ClassicTrust => const { &CLASSIC_TRUST_RULES },
        }
    }

    /// The operators of conditions, without prefixes and suffixes.
    pub(crate) fn operators(self) -> impl Iterator<Item = &'static Known> {
        self.rules().operators.iter().copied().flatten()
    }
}
