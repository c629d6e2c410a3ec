//! Roles: five predefined ones, and any ClusterRole by name.

use std::fmt;

use crate::{Error, Result};

/// What a grant allows in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything, cluster-wide.
    Administrator,
    /// Reading what may be read, cluster-scoped resources included; no secrets, nothing that executes.
    AdministratorView,
    /// Most namespaced resources, and reading nodes, volumes, namespaces, quotas and storage classes.
    Operator,
    /// Reading and writing most namespaced resources, but not who may do so.
    Developer,
    /// Reading most namespaced resources, but no secrets.
    Viewer,
    /// The ClusterRole of that name, whatever it holds.
    Custom(ClusterRoleName),
}

impl Role {
    /// The predefined roles, strongest first.
    pub const PREDEFINED: [Self; 5] =
        [Self::Administrator, Self::AdministratorView, Self::Operator, Self::Developer, Self::Viewer];

    /// The name of the ClusterRole that a binding of this role refers to.
    #[must_use]
    pub fn cluster_role(&self) -> &str {
        match self {
            Self::Administrator => "cluster-admin",
            Self::AdministratorView => "bailiwick:administrator-view",
            Self::Operator => "bailiwick:operator",
            Self::Developer => "edit",
            Self::Viewer => "view",
            Self::Custom(name) => name.as_str(),
        }
    }

    /// Reads what [`Role`]'s `Display` prints: `administrator`, …, or `custom:<ClusterRole>`.
    ///
    /// # Errors
    /// `Invalid` naming `field` for any other text.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        if let Some(name) = text.strip_prefix("custom:") {
            return ClusterRoleName::parse(field, name).map(Self::Custom);
        }
        Self::PREDEFINED.into_iter().find(|role| role.to_string() == text).ok_or_else(|| {
            Error::invalid(
                field,
                "must be `administrator`, `administrator-view`, `operator`, `developer`, `viewer` \
                 or `custom:<name of a ClusterRole>`",
            )
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Administrator => f.write_str("administrator"),
            Self::AdministratorView => f.write_str("administrator-view"),
            Self::Operator => f.write_str("operator"),
            Self::Developer => f.write_str("developer"),
            Self::Viewer => f.write_str("viewer"),
            Self::Custom(name) => write!(f, "custom:{}", name.as_str()),
        }
    }
}

/// The name of a ClusterRole: a Kubernetes path segment, so no `/`, no `%`, not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterRoleName(String);

impl ClusterRoleName {
    /// Accepts a ClusterRole's name.
    ///
    /// # Errors
    /// `Invalid` naming `field` if Kubernetes would not accept it as an object's name.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_graphic() && c != '/' && c != '%';
        if text.is_empty() || text.len() > 253 || text == "." || text == ".." || !text.chars().all(allowed) {
            return Err(Error::invalid(
                field,
                "must name a ClusterRole: 1 to 253 printable ASCII characters without `/`, `%` or space",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_reads_back_what_it_prints() {
        let custom = Role::Custom(ClusterRoleName::parse("role", "team:deployers.v1").unwrap());
        for role in Role::PREDEFINED.into_iter().chain([custom]) {
            assert_eq!(Role::parse("role", &role.to_string()).unwrap(), role);
        }
    }

    #[test]
    fn unknown_roles_and_impossible_cluster_role_names_are_refused() {
        for bad in
            ["", "admin", "Administrator", "custom:", "custom:a/b", "custom:..", "custom:a b", "custom:ä"]
        {
            assert_eq!(Role::parse("role", bad).unwrap_err().field(), Some("role"), "{bad:?}");
        }
    }
}
