//! The Kubernetes objects we decide about: bindings, as we want them and as a cluster shows them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use domain::{Namespace, Role};

/// The API group of bindings, roles, and of `User` and `Group` subjects.
pub const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// The kinds of subjects that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKind {
    /// A name that an authenticator gives.
    User,
    /// A set of users that an authenticator gives.
    Group,
}

impl SubjectKind {
    /// The kinds that we write.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// The kind as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }
}

/// Whom a binding of ours names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// User or group.
    pub kind: SubjectKind,
    /// The name that the cluster's authenticator gives.
    pub name: String,
}

/// Where a role holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// In every namespace and for the cluster's own resources.
    Cluster,
    /// In one namespace.
    Namespace(Namespace),
}

/// A role in a scope: the unit that becomes one binding, or several if it has very many subjects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// What is allowed.
    pub role: Role,
    /// Where.
    pub scope: Scope,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Cluster => write!(f, "{} everywhere", self.role),
            Scope::Namespace(namespace) => write!(f, "{} in {namespace}", self.role),
        }
    }
}

/// Which binding: `Scope::Cluster` is a ClusterRoleBinding, a namespace's is a RoleBinding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Where the object lives.
    pub scope: Scope,
    /// Its name there.
    pub name: String,
}

impl ObjectName {
    /// `ClusterRoleBinding` or `RoleBinding`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.scope {
            Scope::Cluster => "ClusterRoleBinding",
            Scope::Namespace(_) => "RoleBinding",
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Cluster => write!(f, "{} {}", self.kind(), self.name),
            Scope::Namespace(namespace) => write!(f, "{} {namespace}/{}", self.kind(), self.name),
        }
    }
}

/// A subject as a cluster shows it, which may be of a kind that we never write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObservedSubject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// The API group of the kind; empty for service accounts.
    pub api_group: String,
    /// The name.
    pub name: String,
    /// The namespace of a service account.
    pub namespace: Option<String>,
}

/// A binding as a cluster shows it; ours or somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedBinding {
    /// Which binding.
    pub object: ObjectName,
    /// Its uid: a deletion names it, so that only this very object is deleted.
    pub uid: String,
    /// Its version: a deletion names it, so that only what was looked at is deleted.
    pub resource_version: String,
    /// `ClusterRole` or `Role`.
    pub role_kind: String,
    /// The name of that role.
    pub role_name: String,
    /// Its labels, at least those that say whose it is.
    pub labels: BTreeMap<String, String>,
    /// All subjects.
    pub subjects: Vec<ObservedSubject>,
    /// Whether its deletion has begun. Until it is gone it grants as before.
    pub deleting: bool,
    /// Whether finalizers would keep it after a deletion. Whoever may change it can add some.
    pub finalizers: bool,
}

/// A binding as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Which binding.
    pub object: ObjectName,
    /// What it binds to; see [`Role::cluster_role`].
    pub role: Role,
    /// All its subjects.
    pub subjects: BTreeSet<Subject>,
    /// Our labels; others' stay.
    pub labels: BTreeMap<String, String>,
}

impl Binding {
    /// Its subjects in the form in which a cluster shows them.
    pub fn subjects_as_observed(&self) -> impl Iterator<Item = ObservedSubject> {
        self.subjects.iter().map(|subject| ObservedSubject {
            kind: subject.kind.as_str().to_owned(),
            api_group: RBAC_GROUP.to_owned(),
            name: subject.name.clone(),
            namespace: None,
        })
    }
}
