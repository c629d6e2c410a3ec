//! Why a cluster still says yes: which binding, ours or somebody else's, allows what was asked.
//!
//! Pure. Kubernetes' own matching of rules, for the one permission that a review asks about.

use std::collections::BTreeSet;

use rbac::cluster_roles::Rule;
use rbac::probe::Probe;
use rbac::{Desired, ObjectName, ObservedBinding, Owner, RBAC_GROUP, Scope, Subject, is_ours};

use crate::failure::clean;
use crate::view::View;

/// Whether what we still want there allows what `probe` asks for `subject`.
pub(crate) fn ours_allow(desired: &Desired, view: &View, subject: &Subject, probe: &Probe) -> bool {
    desired.slots.iter().any(|(slot, subjects)| {
        subjects.contains(subject)
            && reaches(&slot.scope, probe)
            && view.cluster_role(slot.role.cluster_role()).is_some_and(|role| allow(&role.rules, probe))
    })
}

/// The foreign binding that names `subject` and allows what `probe` asks; one whose rules are not known counts if
/// there is no better one.
pub(crate) fn foreign_binding(
    view: &View,
    owner: &Owner,
    recorded: &BTreeSet<ObjectName>,
    subject: &Subject,
    probe: &Probe,
) -> Option<String> {
    let candidate = |binding: &&ObservedBinding| {
        reaches(&binding.object.scope, probe) && names(binding, subject) && !is_ours(owner, binding, recorded)
    };
    let rules = |binding: &ObservedBinding| match binding.role_kind.as_str() {
        "ClusterRole" => view.cluster_role(&binding.role_name).map(|role| role.rules.as_slice()),
        _ => None,
    };
    let candidates = || view.bindings().iter().filter(candidate);
    let sure = candidates().find(|binding| rules(binding).is_some_and(|rules| allow(rules, probe)));
    let possible = || candidates().find(|binding| rules(binding).is_none());
    sure.or_else(possible).map(|binding| clean(&binding.object.to_string()))
}

/// Whether `binding` names `subject`.
pub(crate) fn names(binding: &ObservedBinding, subject: &Subject) -> bool {
    binding.subjects.iter().any(|observed| {
        observed.kind == subject.kind.as_str()
            && observed.name == subject.name
            && (observed.api_group == RBAC_GROUP || observed.api_group.is_empty())
    })
}

fn reaches(scope: &Scope, probe: &Probe) -> bool {
    match scope {
        Scope::Cluster => true,
        Scope::Namespace(namespace) => probe.namespace.as_deref() == Some(namespace.as_str()),
    }
}

fn allow(rules: &[Rule], probe: &Probe) -> bool {
    let has = |words: &[String], word: &str| words.iter().any(|w| w == word || w == "*");
    let of_any = probe.resource.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
    rules.iter().any(|rule| {
        has(&rule.verbs, &probe.verb)
            && has(&rule.api_groups, &probe.group)
            && (has(&rule.resources, &probe.resource)
                || of_any.as_ref().is_some_and(|resource| has(&rule.resources, resource)))
            && (rule.resource_names.is_empty()
                || probe.name.as_ref().is_some_and(|name| rule.resource_names.contains(name)))
    })
}

#[cfg(test)]
mod tests {
    use domain::{ClusterId, InstallationId, Namespace};
    use rbac::cluster_roles::ClusterRoleSpec;
    use rbac::{ObservedSubject, SubjectKind};

    use super::*;
    use crate::view::{Kind, Object};

    fn rule(group: &str, resource: &str, verb: &str) -> Rule {
        Rule {
            api_groups: vec![group.into()],
            resources: vec![resource.into()],
            verbs: vec![verb.into()],
            ..Rule::default()
        }
    }

    fn probe(resource: &str) -> Probe {
        Probe {
            verb: "get".into(),
            group: String::new(),
            resource: resource.into(),
            namespace: Some("a".into()),
            name: None,
        }
    }

    fn binding(name: &str, namespace: Option<&str>, role_kind: &str, role: &str, user: &str) -> Object {
        let scope = namespace.map_or(Scope::Cluster, |name| Scope::Namespace(Namespace::stored(name)));
        Object::Binding(ObservedBinding {
            object: ObjectName { scope, name: name.into() },
            uid: String::new(),
            resource_version: "1".into(),
            role_kind: role_kind.into(),
            role_name: role.into(),
            labels: Default::default(),
            subjects: vec![ObservedSubject {
                kind: "User".into(),
                api_group: RBAC_GROUP.into(),
                name: user.into(),
                namespace: None,
            }],
            deleting: false,
            finalizers: false,
        })
    }

    fn view(bindings: Vec<Object>) -> View {
        let mut view = View::default();
        for object in bindings {
            view.observe(object).unwrap();
        }
        let role = |name: &str, rules| ClusterRoleSpec {
            name: name.into(),
            labels: Default::default(),
            rules,
            aggregate: Vec::new(),
        };
        let roles =
            [role("pods", vec![rule("", "pods", "get")]), role("nodes", vec![rule("", "nodes", "*")])];
        let objects = roles.map(|role| Object::ClusterRole { role, version: "1".into() }).to_vec();
        view.replace(Kind::ClusterRoles, objects, "1").unwrap();
        view
    }

    fn found(bindings: Vec<Object>, recorded: &[&str]) -> Option<String> {
        let owner = Owner { installation: InstallationId::stored("i"), cluster: ClusterId::stored("c") };
        let recorded =
            recorded.iter().map(|n| ObjectName { scope: Scope::Cluster, name: (*n).into() }).collect();
        let subject = Subject { kind: SubjectKind::User, name: "ann".into() };
        foreign_binding(&view(bindings), &owner, &recorded, &subject, &probe("pods"))
    }

    #[test]
    fn the_foreign_binding_that_allows_it_is_named_and_not_one_that_does_not() {
        let bindings = vec![
            binding("of-ours", None, "ClusterRole", "pods", "ann"),
            binding("of-bob", None, "ClusterRole", "pods", "bob"),
            binding("elsewhere", Some("b"), "ClusterRole", "pods", "ann"),
            binding("other-rules", None, "ClusterRole", "nodes", "ann"),
            binding("unknown-rules", Some("a"), "Role", "r", "ann"),
        ];
        assert_eq!(found(bindings.clone(), &["of-ours"]).as_deref(), Some("RoleBinding a/unknown-rules"));
        let sure = binding("sure", Some("a"), "ClusterRole", "pods", "ann");
        let with_sure = [bindings.clone(), vec![sure]].concat();
        assert_eq!(found(with_sure, &["of-ours"]).as_deref(), Some("RoleBinding a/sure"));
        assert_eq!(found(bindings[1..4].to_vec(), &[]), None);
    }

    #[test]
    fn rules_match_as_kubernetes_matches_them() {
        let named = Rule { resource_names: vec!["x".into()], ..rule("", "pods", "get") };
        for (rule, resource, expected) in [
            (rule("", "pods", "get"), "pods", true),
            (rule("*", "*", "*"), "pods/log", true),
            (rule("", "*/log", "get"), "pods/log", true),
            (rule("", "pods", "get"), "pods/log", false),
            (rule("", "pods/*", "get"), "pods/log", false),
            (rule("apps", "pods", "get"), "pods", false),
            (rule("", "pods", "list"), "pods", false),
            (named, "pods", false),
        ] {
            assert_eq!(allow(std::slice::from_ref(&rule), &probe(resource)), expected, "{rule:?} {resource}");
        }
    }
}
