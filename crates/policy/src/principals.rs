//! Whom a statement of a trust policy is about.

use crate::certainty::Certainty;

/// The principals of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Principals {
    /// Whoever the document is attached to.
    Attached,
    /// These, as kinds and names.
    In(Vec<(String, String)>),
    /// Everybody else.
    NotIn(Vec<(String, String)>),
    Unreadable,
}

impl Principals {
    /// Whether the statement is about somebody who has these names.
    pub(crate) fn concern(&self, names: &[(String, String)]) -> Certainty {
        let is_one_of = |listed: &[(String, String)]| names.iter().any(|name| listed.contains(name));
        match self {
            Self::Attached => Certainty::Yes,
            Self::In(listed) => is_one_of(listed).into(),
            Self::NotIn(listed) => (!is_one_of(listed)).into(),
            Self::Unreadable => Certainty::Maybe,
        }
    }
}
