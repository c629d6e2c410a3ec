//! What an identity should be able to do in a cluster, and what it had better not: from rows to questions, and from a
//! cluster's answers to what is missing and what is too much.
//!
//! Every question is about all namespaces unless it names one. Nothing here asks: `fleet` does.

mod dangers;
mod manifest;

use std::collections::{BTreeMap, BTreeSet};

pub use dangers::dangers;
pub use manifest::{Grantee, manifest};

use crate::cluster_roles::Rule;
use crate::probe::Probe;

/// Rights that are needed together for something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Each verb, on each resource of each group; on those names alone, if it has any.
    pub rule: Rule,
    /// What they are needed for.
    pub function: String,
    /// What to do if they are not there.
    pub advice: String,
    /// Which rows belong together.
    pub set: String,
}

/// Rights each of which is dangerous by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Danger {
    /// Each verb, on each resource of each group.
    pub rule: Rule,
    /// Where; `None` means in all namespaces.
    pub namespace: Option<String>,
    /// Why it is dangerous.
    pub why: String,
}

/// A dangerous right that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surplus {
    /// What is allowed.
    pub what: String,
    /// Why that is dangerous.
    pub why: String,
}

/// What a cluster answered, all of it: what was not asked cannot be told from what is not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    given: BTreeMap<Probe, bool>,
}

impl Row {
    /// What must be allowed for the row to be true.
    #[must_use]
    pub fn questions(&self) -> Vec<Probe> {
        questions(&self.rule, None)
    }

    /// What is not allowed of it. The row is true if that is nothing; `None` if something was not answered.
    #[must_use]
    pub fn missing(&self, answers: &Answers) -> Option<Vec<Probe>> {
        let mut missing = Vec::new();
        for question in self.questions() {
            if !answers.to(&question)? {
                missing.push(question);
            }
        }
        Some(missing)
    }
}

impl Danger {
    /// What must not be allowed.
    #[must_use]
    pub fn questions(&self) -> Vec<Probe> {
        questions(&self.rule, self.namespace.as_deref())
    }

    /// What is held of it. What is held everywhere is not told again for one namespace, nor for one name.
    #[must_use]
    pub fn held(&self, answers: &Answers) -> Option<Surplus> {
        let wider = |question: &Probe| {
            let everywhere = Probe { namespace: None, ..question.clone() };
            let all = Probe { name: None, ..question.clone() };
            [everywhere, all].iter().any(|wider| wider != question && answers.to(wider) == Some(true))
        };
        let held = |question: &Probe| answers.to(question) == Some(true) && !wider(question);
        let found: Vec<Probe> = self.questions().into_iter().filter(held).collect();
        (!found.is_empty()).then(|| Surplus { what: in_words(&found), why: self.why.clone() })
    }
}

impl Answers {
    /// The answers to `questions`, in their order; `None` if there are not as many.
    #[must_use]
    pub fn new(questions: Vec<Probe>, answers: &[bool]) -> Option<Self> {
        let whole = questions.len() == answers.len();
        whole.then(|| Self { given: questions.into_iter().zip(answers.iter().copied()).collect() })
    }

    /// The answer to a question; `None` if it was not asked.
    #[must_use]
    pub fn to(&self, question: &Probe) -> Option<bool> {
        self.given.get(question).copied()
    }
}

/// All that must be asked to judge these, each question once.
#[must_use]
pub fn all_questions(rows: &[Row], dangers: &[Danger]) -> Vec<Probe> {
    let of_rows = rows.iter().flat_map(Row::questions);
    let of_dangers = dangers.iter().flat_map(Danger::questions);
    let all: BTreeSet<Probe> = of_rows.chain(of_dangers).collect();
    all.into_iter().collect()
}

fn questions(rule: &Rule, namespace: Option<&str>) -> Vec<Probe> {
    let names: Vec<Option<&String>> = match rule.resource_names.as_slice() {
        [] => vec![None],
        names => names.iter().map(Some).collect(),
    };
    let mut found = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                found.extend(names.iter().map(|name| Probe {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    namespace: namespace.map(str::to_owned),
                    name: name.cloned(),
                }));
            }
        }
    }
    found
}

/// `get, list secrets in kube-system; create pods`.
fn in_words(held: &[Probe]) -> String {
    let mut by_place: Vec<(String, Vec<&str>)> = Vec::new();
    for probe in held {
        let group = if probe.group.is_empty() { String::new() } else { format!(".{}", probe.group) };
        let name = probe.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
        let place = probe.namespace.as_deref().map(|place| format!(" in {place}")).unwrap_or_default();
        let place = format!("{}{group}{name}{place}", probe.resource);
        match by_place.iter_mut().find(|(known, _)| *known == place) {
            Some((_, verbs)) => verbs.push(&probe.verb),
            None => by_place.push((place, vec![&probe.verb])),
        }
    }
    let parts: Vec<String> =
        by_place.into_iter().map(|(place, verbs)| format!("{} {place}", verbs.join(", "))).collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests;
