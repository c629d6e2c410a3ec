//! The mark that we leave in a cluster, by which an older copy of our database is known there: a ClusterRoleBinding
//! without subjects, so that writing it takes no right beyond those that grants take. It allows nobody anything.
//!
//! It does not carry the label that says which cluster a grant's binding is of, so no plan takes it for one.

use std::collections::BTreeMap;

use crate::owner::{INSTALLATION, MANAGED_BY, hash, label_value, short_hex};
use crate::{ObjectName, Owner, Scope};

/// The annotation that holds what the mark says.
pub const ANNOTATION: &str = "bailiwick.dev/stamp";

/// What it binds nobody to. Every connector may bind it.
pub const CLUSTER_ROLE: &str = "view";

const STAMP_OF: &str = "bailiwick.dev/stamp-of";

/// The mark's name.
#[must_use]
pub fn name(owner: &Owner) -> ObjectName {
    let hash = hash(&["stamp", owner.installation.as_str(), owner.cluster.as_str()]);
    ObjectName { scope: Scope::Cluster, name: format!("bailiwick:stamp:{}", short_hex(&hash, 10)) }
}

/// The labels that it carries.
#[must_use]
pub fn labels(owner: &Owner) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MANAGED_BY.to_owned(), "bailiwick".to_owned()),
        (INSTALLATION.to_owned(), label_value(owner.installation.as_str())),
        (STAMP_OF.to_owned(), label_value(owner.cluster.as_str())),
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::{ClusterId, InstallationId};

    use super::*;
    use crate::{Desired, ObservedBinding, is_ours, plan};

    fn owner(cluster: &str) -> Owner {
        Owner { installation: InstallationId::stored("i"), cluster: ClusterId::stored(cluster) }
    }

    fn observed(owner: &Owner) -> ObservedBinding {
        ObservedBinding {
            object: name(owner),
            uid: "u".into(),
            resource_version: "1".into(),
            role_kind: "ClusterRole".into(),
            role_name: CLUSTER_ROLE.into(),
            labels: labels(owner),
            subjects: Vec::new(),
            deleting: false,
            finalizers: false,
        }
    }

    #[test]
    fn no_plan_touches_a_stamp_unless_its_cluster_is_removed() {
        let owner = owner("c");
        let stamp = observed(&owner);
        let none = BTreeSet::new();
        assert!(!is_ours(&owner, &stamp, &none));
        assert!(plan(&owner, &Desired::default(), std::slice::from_ref(&stamp), &none).is_empty());
        // Of a removed cluster every recorded name is to go, the stamp's too.
        let recorded = BTreeSet::from([stamp.object.clone()]);
        assert_eq!(plan(&owner, &Desired::default(), &[stamp], &recorded).revoke.len(), 1);
    }

    #[test]
    fn each_registration_has_a_stamp_of_its_own_whose_name_never_changes() {
        assert_ne!(name(&owner("c")), name(&owner("d")));
        assert_eq!(name(&owner("c")).to_string(), "ClusterRoleBinding bailiwick:stamp:a535b543b60a03c89938");
    }
}
