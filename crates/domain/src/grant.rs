//! Grants: principals × clusters × namespaces × role, kept as the rule and never as the product.
//!
//! A scope that lists nothing allows nothing: when the last cluster or principal of a grant disappears, what is
//! left is an empty list and never "all".

use crate::{
    AccountId, ClusterId, Error, GrantId, Namespace, PrincipalId, PrincipalKind, Result, Role, Timestamp,
};

/// The most clusters one grant may list.
pub const MAX_CLUSTERS: usize = 200;
/// The most namespaces one grant may list.
pub const MAX_NAMESPACES: usize = 500;
/// The most principals one grant may list.
pub const MAX_PRINCIPALS: usize = 500;

/// What a caller asks to be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSpec {
    /// 1 to 56 characters; need not be unique.
    pub name: String,
    /// What is allowed.
    pub role: Role,
    /// Who is allowed.
    pub principals: Principals,
    /// In which clusters.
    pub clusters: ClusterScope,
    /// In which of their namespaces.
    pub namespaces: NamespaceScope,
}

/// A stored grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Unique in the installation.
    pub id: GrantId,
    /// The tenant.
    pub account: AccountId,
    /// What was asked.
    pub spec: GrantSpec,
    /// Grows by one with each change of the spec; a state says which generation it is about.
    pub generation: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its spec was last changed.
    pub updated_at: Timestamp,
    /// Whether it is the right of a cluster's owner: it comes and goes with being the owner, and is changed by nothing else.
    pub of_owner: bool,
    /// When it was revoked. A revoked grant is kept to say where the revoke stands.
    pub revoked_at: Option<Timestamp>,
}

impl Grant {
    /// Whether the grant speaks about `cluster`.
    #[must_use]
    pub fn covers(&self, cluster: &ClusterId) -> bool {
        self.spec.clusters.contains(cluster)
    }
}

/// Principals of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principals {
    /// User, group or agency.
    pub kind: PrincipalKind,
    /// Their ids, in the caller's order, without repetition.
    pub ids: Vec<PrincipalId>,
}

/// Which clusters of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterScope {
    /// Every cluster, later ones too.
    All,
    /// These, in the caller's order, without repetition.
    Listed(Vec<ClusterId>),
}

impl ClusterScope {
    /// Whether `cluster` is in scope.
    #[must_use]
    pub fn contains(&self, cluster: &ClusterId) -> bool {
        match self {
            Self::All => true,
            Self::Listed(ids) => ids.contains(cluster),
        }
    }
}

/// Which namespaces of each cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceScope {
    /// Every namespace and the cluster's own resources.
    All,
    /// These, in the caller's order, without repetition.
    Listed(Vec<Namespace>),
}

/// Accepts a grant's name: 1 to 56 of `a-z 0-9 - .`, beginning with a letter, not ending with `-`.
///
/// # Errors
/// `Invalid` naming `field`.
pub fn check_name(field: &str, name: &str) -> Result<()> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let valid = (1..=56).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(inner);
    if valid {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        "must be 1 to 56 lowercase letters, digits, `-` or `.`, beginning with a letter and not ending with `-`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_documented_rule() {
        for good in ["a", "test-access-policy", "a.b", "a1.", &"x".repeat(56)] {
            assert!(check_name("name", good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "1a", "A", "a_b", "a b", "ä", ".a", &"x".repeat(57)] {
            assert!(check_name("name", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_emptied_list_of_clusters_covers_nothing() {
        let cluster = ClusterId::stored("c");
        assert!(!ClusterScope::Listed(Vec::new()).contains(&cluster));
        assert!(ClusterScope::All.contains(&cluster));
    }
}
