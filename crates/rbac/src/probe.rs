//! What to ask a cluster to learn that a binding has its effect: a permission that the role surely gives in the scope,
//! if possible one that weaker roles do not give.

use domain::Role;

use crate::cluster_roles::Rule;
use crate::{RBAC_GROUP, Scope, Slot, Subject, SubjectKind};

/// The user in whose name a group's permission is asked: a review wants a user, and ids cannot hold a colon, so this
/// one is nobody.
pub const NOBODY: &str = "bailiwick:probe";

/// One permission, as an access review asks for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probe {
    /// The verb.
    pub verb: String,
    /// The API group; the core group is empty.
    pub group: String,
    /// The resource; a subresource after a slash.
    pub resource: String,
    /// The namespace; `None` asks for all of them.
    pub namespace: Option<String>,
    /// The object's name; `None` asks for all of them.
    pub name: Option<String>,
}

/// A permission that the slot's role gives in its scope.
///
/// `custom_rules` are the rules that the ClusterRole of a custom role has in the cluster. `None` if the role is custom
/// and its rules are unknown or allow nothing on resources.
#[must_use]
pub fn probe(slot: &Slot, custom_rules: Option<&[Rule]>) -> Option<Probe> {
    let namespace = match &slot.scope {
        Scope::Cluster => None,
        Scope::Namespace(namespace) => Some(namespace.as_str().to_owned()),
    };
    let (verb, group, resource) = match &slot.role {
        Role::Administrator => ("*", "*", "*"),
        // `view` and `admin` do not show what is bound cluster-wide.
        Role::AdministratorView => ("list", RBAC_GROUP, "clusterrolebindings"),
        // `edit` may not say who else may do something.
        Role::Operator => ("create", RBAC_GROUP, "rolebindings"),
        Role::Developer => ("create", "", "configmaps"),
        Role::Viewer => ("get", "", "pods"),
        Role::Custom(_) => return custom_rules?.iter().find_map(|rule| first(rule, namespace.clone())),
    };
    Some(Probe {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace,
        name: None,
    })
}

/// The user and the groups that a review asks about to learn what `subject` may do. A group is asked about alone, so
/// that the answer does not come from anything else.
#[must_use]
pub fn subject_groups(subject: &Subject) -> (String, Vec<String>) {
    match subject.kind {
        SubjectKind::User => (subject.name.clone(), Vec::new()),
        SubjectKind::Group => (NOBODY.to_owned(), vec![subject.name.clone()]),
    }
}

/// A permission of `rule`; `None` if it is about no resources.
fn first(rule: &Rule, namespace: Option<String>) -> Option<Probe> {
    Some(Probe {
        verb: concrete(&rule.verbs)?,
        group: concrete(&rule.api_groups)?,
        resource: concrete(&rule.resources)?,
        namespace,
        name: rule.resource_names.first().cloned(),
    })
}

/// The first word without a wildcard, or else the first: a rule with `*` also allows what is asked as `*`.
fn concrete(words: &[String]) -> Option<String> {
    words.iter().find(|word| !word.contains('*')).or_else(|| words.first()).cloned()
}

#[cfg(test)]
mod tests {
    use domain::{ClusterRoleName, Namespace};

    use super::*;
    use crate::cluster_roles;

    fn in_namespace(role: Role) -> Slot {
        Slot { role, scope: Scope::Namespace(Namespace::stored("a")) }
    }

    fn custom() -> Slot {
        in_namespace(Role::Custom(ClusterRoleName::parse("role", "deployer").unwrap()))
    }

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str], names: &[&str]) -> Rule {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Rule {
            api_groups: owned(groups),
            resources: owned(resources),
            verbs: owned(verbs),
            resource_names: owned(names),
            non_resource_urls: Vec::new(),
        }
    }

    fn asked(slot: &Slot, rules: &[Rule]) -> Option<(String, String, String, Option<String>)> {
        probe(slot, Some(rules)).map(|p| (p.verb, p.group, p.resource, p.name))
    }

    #[test]
    fn each_predefined_role_has_a_probe_in_its_scope() {
        for role in Role::PREDEFINED {
            let in_a = probe(&in_namespace(role.clone()), None).unwrap();
            assert_eq!(in_a.namespace.as_deref(), Some("a"));
            let everywhere = probe(&Slot { role, scope: Scope::Cluster }, None).unwrap();
            assert_eq!(everywhere, Probe { namespace: None, ..in_a });
        }
    }

    #[test]
    fn the_probe_of_administrator_view_is_among_its_rules_and_not_among_the_operators() {
        let wanted = probe(&in_namespace(Role::AdministratorView), None).unwrap();
        let holders: Vec<String> = cluster_roles::all()
            .into_iter()
            .filter(|role| role.rules.iter().any(|rule| rule.resources.contains(&wanted.resource)))
            .map(|role| role.name)
            .collect();
        assert_eq!(holders, [Role::AdministratorView.cluster_role()]);
    }

    #[test]
    fn a_custom_role_is_asked_for_its_first_concrete_permission() {
        let some = |verb: &str, group: &str, resource: &str, name: Option<&str>| {
            Some((verb.to_owned(), group.to_owned(), resource.to_owned(), name.map(str::to_owned)))
        };
        let cases = [
            (rule(&["apps"], &["deployments"], &["patch"], &[]), some("patch", "apps", "deployments", None)),
            (rule(&["*", ""], &["*", "pods/log"], &["*", "get"], &[]), some("get", "", "pods/log", None)),
            (rule(&["*"], &["*"], &["*"], &[]), some("*", "*", "*", None)),
            (rule(&[""], &["secrets"], &["get"], &["tls", "ca"]), some("get", "", "secrets", Some("tls"))),
            (rule(&[], &[], &["get"], &[]), None),
        ];
        for (rule, expected) in cases {
            assert_eq!(asked(&custom(), std::slice::from_ref(&rule)), expected, "{rule:?}");
        }
    }

    #[test]
    fn rules_about_urls_are_passed_over_and_no_usable_rule_is_no_probe() {
        let url = rule(&[], &[], &["get"], &[]);
        let usable = rule(&[""], &["pods"], &["list"], &[]);
        assert_eq!(asked(&custom(), &[url.clone(), usable]).unwrap().2, "pods");
        assert_eq!(asked(&custom(), &[url]), None);
        assert_eq!(probe(&custom(), None), None);
    }

    #[test]
    fn a_group_is_asked_about_without_any_of_its_members() {
        let subject = |kind| Subject { kind, name: "ops".to_owned() };
        assert_eq!(subject_groups(&subject(SubjectKind::User)), ("ops".to_owned(), vec![]));
        assert_eq!(subject_groups(&subject(SubjectKind::Group)), (NOBODY.to_owned(), vec!["ops".to_owned()]));
    }
}
