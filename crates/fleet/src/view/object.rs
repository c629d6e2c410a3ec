//! The kinds of objects that are observed, and how much each weighs.

use domain::Namespace;
use rbac::cluster_roles::ClusterRoleSpec;
use rbac::{ObjectName, ObservedBinding};

use crate::trim::{forget_foreign, unknown_subject};

/// What is watched. Each kind has its own sequence of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// ClusterRoleBindings.
    ClusterRoleBindings,
    /// RoleBindings of all namespaces.
    RoleBindings,
    /// Namespaces.
    Namespaces,
    /// ClusterRoles.
    ClusterRoles,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 4] =
        [Self::ClusterRoleBindings, Self::RoleBindings, Self::Namespaces, Self::ClusterRoles];

    /// The resource as API servers call it.
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Self::ClusterRoleBindings => "clusterrolebindings",
            Self::RoleBindings => "rolebindings",
            Self::Namespaces => "namespaces",
            Self::ClusterRoles => "clusterroles",
        }
    }

    /// The path of its list over the whole cluster.
    pub(crate) fn path(self) -> String {
        match self {
            Self::Namespaces => "/api/v1/namespaces".to_owned(),
            Self::ClusterRoleBindings | Self::RoleBindings | Self::ClusterRoles => {
                format!("/apis/rbac.authorization.k8s.io/v1/{}", self.resource())
            }
        }
    }
}

/// One object that is observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// A ClusterRoleBinding or RoleBinding.
    Binding(ObservedBinding),
    /// A namespace.
    Namespace {
        /// Which.
        name: Namespace,
        /// Whether its deletion has begun: nothing can be created in it any more.
        ending: bool,
        /// Its version.
        version: String,
    },
    /// A ClusterRole.
    ClusterRole {
        /// What it holds.
        role: ClusterRoleSpec,
        /// Its version.
        version: String,
    },
}

impl Object {
    pub(super) fn version(&self) -> &str {
        match self {
            Self::Binding(binding) => &binding.resource_version,
            Self::Namespace { version, .. } | Self::ClusterRole { version, .. } => version,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Binding(binding) => kind_of(&binding.object),
            Self::Namespace { .. } => Kind::Namespaces,
            Self::ClusterRole { .. } => Kind::ClusterRoles,
        }
    }

    /// Keeps less of it, if less will do.
    pub(crate) fn lighten(&mut self) {
        match self {
            Self::Binding(binding) => forget_foreign(binding),
            Self::Namespace { .. } | Self::ClusterRole { .. } => {}
        }
    }

    /// It was too large to be read: only its metadata are known.
    pub(crate) fn mark_unread(&mut self) {
        match self {
            Self::Binding(binding) => binding.subjects = vec![unknown_subject()],
            Self::ClusterRole { role, .. } => role.rules = rbac::cluster_roles::unread(),
            Self::Namespace { .. } => {}
        }
    }

    /// Roughly how much memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let texts: usize = match self {
            Self::Binding(b) => {
                let subject =
                    |s: &rbac::ObservedSubject| 96 + s.kind.len() + s.api_group.len() + s.name.len();
                let labels: usize = b.labels.iter().map(|(k, v)| 64 + k.len() + v.len()).sum();
                b.object.name.len()
                    + b.role_name.len()
                    + labels
                    + b.subjects.iter().map(subject).sum::<usize>()
            }
            Self::Namespace { name, .. } => name.as_str().len(),
            Self::ClusterRole { role, .. } => {
                let words = |words: &[String]| words.iter().map(|w| 32 + w.len()).sum::<usize>();
                let rule = |r: &rbac::cluster_roles::Rule| {
                    96 + words(&r.api_groups)
                        + words(&r.resources)
                        + words(&r.verbs)
                        + words(&r.resource_names)
                        + words(&r.non_resource_urls)
                };
                role.labels.iter().map(|(k, v)| 64 + k.len() + v.len()).sum::<usize>()
                    + role.rules.iter().map(rule).sum::<usize>()
            }
        };
        256 + texts
    }
}

/// Which list a binding belongs to.
pub(crate) fn kind_of(object: &ObjectName) -> Kind {
    match object.scope {
        rbac::Scope::Cluster => Kind::ClusterRoleBindings,
        rbac::Scope::Namespace(_) => Kind::RoleBindings,
    }
}
