//! What the connector wanted to do, and which manifest of `deploy/connector` lets it: a refusal should say how it ends.

use std::fmt;

use domain::Role;

/// Kubernetes' own roles that the base manifest lets the connector bind.
const BOUND_BY_BASE: [&str; 3] = ["admin", "edit", "view"];

/// Something that the connector does in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    /// Completes "the connector may not …".
    pub(crate) action: String,
    /// What lets it.
    pub(crate) given_by: GivenBy,
}

/// What gives a right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GivenBy {
    /// The manifest that every connector has.
    Base,
    /// The manifest for granting `administrator`.
    Administrator,
    /// The manifest for having client certificates signed.
    Certificates,
    /// The manifest for telling whether service accounts and pods are alive.
    PodIdentity,
    /// A `bind` on the ClusterRole of that name, which whoever runs the cluster has to add.
    BindOn(String),
}

impl Right {
    /// A right of the base manifest.
    pub(crate) fn base(action: impl Into<String>) -> Self {
        Self { action: action.into(), given_by: GivenBy::Base }
    }

    /// A right of the manifest for certificates.
    pub(crate) fn certificates(action: impl Into<String>) -> Self {
        Self { action: action.into(), given_by: GivenBy::Certificates }
    }

    /// A right of the manifest for pod identity.
    pub(crate) fn pod_identity(action: impl Into<String>) -> Self {
        Self { action: action.into(), given_by: GivenBy::PodIdentity }
    }

    /// The right to do `action` with a binding of `cluster_role`.
    pub(crate) fn binding(action: String, cluster_role: &str) -> Self {
        let ours = || Role::PREDEFINED.iter().any(|role| role.cluster_role() == cluster_role);
        let given_by = if cluster_role == Role::Administrator.cluster_role() {
            GivenBy::Administrator
        } else if BOUND_BY_BASE.contains(&cluster_role) || ours() {
            GivenBy::Base
        } else {
            GivenBy::BindOn(cluster_role.to_owned())
        };
        Self { action, given_by }
    }
}

impl fmt::Display for GivenBy {
    /// Completes "it may after …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("applying deploy/connector/base.yaml"),
            Self::Administrator => f.write_str("applying deploy/connector/administrator.yaml"),
            Self::Certificates => f.write_str("applying deploy/connector/certificates.yaml"),
            Self::PodIdentity => f.write_str("applying deploy/connector/pod-identity.yaml"),
            Self::BindOn(name) => {
                write!(f, "adding a `bind` on {name} to its rights, see deploy/connector/README.md")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_bound_by_the_manifest_that_names_it() {
        let given_by = |cluster_role: &str| Right::binding("bind it".into(), cluster_role).given_by;
        for role in Role::PREDEFINED {
            let expected = match role {
                Role::Administrator => GivenBy::Administrator,
                Role::AdministratorView | Role::Operator | Role::Developer | Role::Viewer => GivenBy::Base,
                Role::Custom(ref name) => GivenBy::BindOn(name.as_str().to_owned()),
            };
            assert_eq!(given_by(role.cluster_role()), expected, "{role}");
        }
        assert_eq!(given_by("admin"), GivenBy::Base);
        assert_eq!(given_by("deployer"), GivenBy::BindOn("deployer".into()));
    }
}
