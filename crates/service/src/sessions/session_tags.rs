//! Tags of sessions: which of them somebody may choose, and which a session inherits.

use domain::{Error, Result};

use crate::call::Tag;

/// How the keys of tags begin that only the server gives.
const RESERVED_PREFIXES: [&str; 3] = ["kubernetes", "_sys_", "bailiwick:"];

/// What the server says of a pod for which it makes a session. Whoever could choose such a tag could pass for one.
const RESERVED_NAMES: [&str; 12] = [
    "account-id",
    "cluster",
    "cluster-id",
    "cluster-name",
    "clusterid",
    "clustername",
    "namespace",
    "service-account",
    "service_account",
    "serviceaccount",
    "pod",
    "workload",
];

/// Whether only the server gives tags with this key, in whatever case it is written. What is behind a separator makes no
/// difference: `namespace-uid` belongs to `namespace`.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    let key = key.trim().to_lowercase();
    let belongs = |name: &&str| match key.strip_prefix(*name) {
        Some(rest) => !rest.starts_with(char::is_alphanumeric),
        None => false,
    };
    RESERVED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || RESERVED_NAMES.iter().any(belongs)
        || RESERVED_NAMES.iter().any(|name| belongs(&name.replace('-', "_").as_str()))
}

/// The tags of a session: those that go down the chain, and those that were asked for.
///
/// # Errors
/// `Invalid` naming `tags` for a reserved key, or one that is there already.
pub(crate) fn of(inherited: &[Tag], wanted: &[Tag]) -> Result<Vec<Tag>> {
    let mut tags: Vec<Tag> = inherited.iter().filter(|tag| tag.transitive).cloned().collect();
    for tag in wanted {
        if is_reserved(&tag.key) {
            let message = format!("must not have the key `{}`: only the server gives it", tag.key);
            return Err(Error::invalid("tags", message));
        }
        if tags.iter().any(|known| known.key.eq_ignore_ascii_case(&tag.key)) {
            let message = format!("must have the key `{}` once, and not if it is inherited", tag.key);
            return Err(Error::invalid("tags", message));
        }
        tags.push(tag.clone());
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str, transitive: bool) -> Tag {
        Tag { key: key.into(), value: value.into(), transitive }
    }

    #[test]
    fn what_is_said_of_pods_nobody_says_of_themselves() {
        for forged in [
            "account-id",
            "Account_ID",
            "namespace",
            "Namespace",
            "NAMESPACE-UID",
            "cluster-id",
            "Cluster_Id",
            "cluster.name",
            "service-account",
            "Service_Account_Name",
            "serviceAccount",
            "pod",
            "pod/name",
            "kubernetes-namespace",
            "Kubernetes.io/pod",
            "_sys_x",
            "_SYS_x",
            "bailiwick:cluster",
            " namespace",
        ] {
            assert!(is_reserved(forged), "{forged}");
            assert!(of(&[], &[tag(forged, "prod", false)]).is_err(), "{forged}");
        }
        for free in ["team", "podcast", "namespaces", "clustered", "my-namespace", "env", "costCentre"] {
            assert!(!is_reserved(free), "{free}");
        }
    }

    #[test]
    fn only_tags_that_are_meant_to_go_down_the_chain_do_and_nobody_changes_them() {
        let parent = [tag("team", "a", true), tag("task", "t", false)];
        assert_eq!(of(&parent, &[]).unwrap(), [tag("team", "a", true)]);
        assert!(of(&parent, &[tag("Team", "b", false)]).is_err());
        assert_eq!(of(&parent, &[tag("task", "u", false)]).unwrap().len(), 2);
        assert!(of(&[], &[tag("x", "1", false), tag("X", "2", false)]).is_err());
    }
}
