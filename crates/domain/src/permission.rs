//! Permissions: what grants come to, seen from who holds them. A grant is a rule over lists; a permission is one role in one
//! place.

use std::cmp::Ordering;
use std::fmt;

use crate::{ClusterId, ClusterScope, Namespace, NamespaceScope, Role};

/// Where a role holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In every cluster of the account, later ones too.
    Everywhere,
    /// In a cluster: all its namespaces, and its own resources.
    Cluster(ClusterId),
    /// In one namespace of a cluster.
    Namespace(ClusterId, Namespace),
}

impl Place {
    /// The cluster, unless it is every one.
    #[must_use]
    pub fn cluster(&self) -> Option<&ClusterId> {
        match self {
            Self::Everywhere => None,
            Self::Cluster(cluster) | Self::Namespace(cluster, _) => Some(cluster),
        }
    }

    /// The namespace, if it is one.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Everywhere | Self::Cluster(_) => None,
            Self::Namespace(_, namespace) => Some(namespace),
        }
    }

    /// The clusters of a grant that says this place and nothing else.
    #[must_use]
    pub fn clusters(&self) -> ClusterScope {
        match self.cluster() {
            None => ClusterScope::All,
            Some(cluster) => ClusterScope::Listed(vec![cluster.clone()]),
        }
    }

    /// The namespaces of a grant that says this place and nothing else.
    #[must_use]
    pub fn namespaces(&self) -> NamespaceScope {
        match self.namespace() {
            None => NamespaceScope::All,
            Some(namespace) => NamespaceScope::Listed(vec![namespace.clone()]),
        }
    }

    /// The place that these lists say, if they say exactly one.
    #[must_use]
    pub fn only(clusters: &ClusterScope, namespaces: &NamespaceScope) -> Option<Self> {
        let cluster = match clusters {
            ClusterScope::All => None,
            ClusterScope::Listed(ids) => match ids.as_slice() {
                [id] => Some(id.clone()),
                [] | [_, ..] => return None,
            },
        };
        match (cluster, namespaces) {
            (None, NamespaceScope::All) => Some(Self::Everywhere),
            // All clusters' namespaces of a name are as many places as there are clusters.
            (None, NamespaceScope::Listed(_)) => None,
            (Some(cluster), NamespaceScope::All) => Some(Self::Cluster(cluster)),
            (Some(cluster), NamespaceScope::Listed(names)) => match names.as_slice() {
                [name] => Some(Self::Namespace(cluster, name.clone())),
                [] | [_, ..] => None,
            },
        }
    }
}

/// By cluster, then namespace; a whole cluster comes before its namespaces, and everywhere before all clusters.
impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.cluster(), self.namespace()).cmp(&(other.cluster(), other.namespace()))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("all clusters"),
            Self::Cluster(cluster) => write!(f, "cluster `{cluster}`"),
            Self::Namespace(cluster, namespace) => {
                write!(f, "namespace `{namespace}` of cluster `{cluster}`")
            }
        }
    }
}

/// A role in a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// Where.
    pub place: Place,
    /// What is allowed there.
    pub role: Role,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in {}", self.role, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(id: &str) -> ClusterId {
        ClusterId::stored(id)
    }

    fn place(cluster_id: &str, namespace: &str) -> Place {
        Place::Namespace(cluster(cluster_id), Namespace::stored(namespace))
    }

    #[test]
    fn a_place_is_what_its_lists_say_and_two_entries_are_no_place() {
        for one in [Place::Everywhere, Place::Cluster(cluster("a")), place("a", "x")] {
            assert_eq!(Place::only(&one.clusters(), &one.namespaces()), Some(one));
        }
        let two = ClusterScope::Listed(vec![cluster("a"), cluster("b")]);
        let none = ClusterScope::Listed(Vec::new());
        let named = NamespaceScope::Listed(vec![Namespace::stored("x")]);
        for (clusters, namespaces) in [
            (&two, &NamespaceScope::All),
            (&none, &NamespaceScope::All),
            (&ClusterScope::All, &named),
            (&none, &named),
        ] {
            assert_eq!(Place::only(clusters, namespaces), None, "{clusters:?} {namespaces:?}");
        }
    }

    #[test]
    fn places_are_in_the_order_of_clusters_and_then_namespaces() {
        let mut places =
            vec![place("b", "a"), place("a", "z"), Place::Cluster(cluster("b")), place("a", "y")];
        places.extend([Place::Cluster(cluster("a")), Place::Everywhere]);
        places.sort();
        let shown: Vec<String> = places.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "all clusters",
                "cluster `a`",
                "namespace `y` of cluster `a`",
                "namespace `z` of cluster `a`",
                "cluster `b`",
                "namespace `a` of cluster `b`",
            ]
        );
    }
}
