//! The RBAC that would add what is missing, and nothing more, as a manifest for `kubectl apply`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::RBAC_GROUP;
use crate::cluster_roles::Rule;
use crate::probe::Probe;

/// Who is to be given something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// A user, by the name that the API server has for them.
    User(String),
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Grantee {
    /// The grantee whom an API server calls `name`; `None` if nobody can be called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name.is_empty() || name.len() > 1024 || name.chars().any(char::is_control) {
            return None;
        }
        let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        Some(match account {
            Some((namespace, account)) if is_label(namespace) && is_label(account) => {
                Self::ServiceAccount { namespace: namespace.to_owned(), name: account.to_owned() }
            }
            Some(_) | None => Self::User(name.to_owned()),
        })
    }

    fn yaml(&self) -> String {
        match self {
            Self::User(name) => {
                format!("  - apiGroup: {RBAC_GROUP}\n    kind: User\n    name: {}\n", quoted(name))
            }
            Self::ServiceAccount { namespace, name } => format!(
                "  - kind: ServiceAccount\n    name: {}\n    namespace: {}\n",
                quoted(name),
                quoted(namespace)
            ),
        }
    }
}

/// What objects of Kubernetes are called.
fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    !text.is_empty() && text.bytes().all(plain)
}

/// A `ClusterRole` with exactly `missing`, and a binding that gives it to `grantee`; `None` if nothing is missing.
///
/// Its name holds a digest of both: applying what another check printed does not take back what this one gave.
#[must_use]
pub fn manifest(missing: &[Probe], grantee: &Grantee) -> Option<String> {
    let rules = rules(missing);
    if rules.is_empty() {
        return None;
    }
    let (mut text_of_rules, subject) = (String::new(), grantee.yaml());
    for rule in &rules {
        text_of_rules.push_str(&of_rule(rule));
    }
    let digest = hex::encode(Sha256::digest(format!("{text_of_rules}{subject}")));
    let name = quoted(&format!("bailiwick:check-{}", digest.get(..12).unwrap_or_default()));
    let mut text = String::new();
    let head = |kind: &str| format!("apiVersion: {RBAC_GROUP}/v1\nkind: {kind}\nmetadata:\n  name: {name}\n");
    let _ = write!(text, "{}rules:\n{text_of_rules}---\n", head("ClusterRole"));
    let _ = write!(
        text,
        "{}roleRef:\n  apiGroup: {RBAC_GROUP}\n  kind: ClusterRole\n  name: {name}\nsubjects:\n{subject}",
        head("ClusterRoleBinding")
    );
    Some(text)
}

/// As few rules as say exactly that: resources of one group that lack the same verbs stand together.
fn rules(missing: &[Probe]) -> Vec<Rule> {
    let mut verbs: BTreeMap<(&str, Option<&str>, &str), BTreeSet<&str>> = BTreeMap::new();
    for probe in missing {
        let place = (probe.group.as_str(), probe.name.as_deref(), probe.resource.as_str());
        verbs.entry(place).or_default().insert(&probe.verb);
    }
    type SameRights<'a> = (&'a str, Option<&'a str>, BTreeSet<&'a str>);
    let mut together: BTreeMap<SameRights<'_>, Vec<&str>> = BTreeMap::new();
    for ((group, name, resource), verbs) in verbs {
        together.entry((group, name, verbs)).or_default().push(resource);
    }
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let rule = |((group, name, verbs), resources): (SameRights<'_>, Vec<&str>)| Rule {
        api_groups: vec![group.to_owned()],
        resources: owned(&resources),
        verbs: verbs.into_iter().map(str::to_owned).collect(),
        resource_names: name.map(str::to_owned).into_iter().collect(),
        ..Rule::default()
    };
    together.into_iter().map(rule).collect()
}

fn of_rule(rule: &Rule) -> String {
    let list = |words: &[String]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
    let mut text = format!("  - apiGroups: [{}]\n", list(&rule.api_groups));
    let _ = writeln!(text, "    resources: [{}]", list(&rule.resources));
    if !rule.resource_names.is_empty() {
        let _ = writeln!(text, "    resourceNames: [{}]", list(&rule.resource_names));
    }
    let _ = writeln!(text, "    verbs: [{}]", list(&rule.verbs));
    text
}

/// A text between double quotes, which YAML reads back as the same whatever is in it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_ascii_graphic() || c == ' ' => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}
