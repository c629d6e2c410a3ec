//! What is asked: an action, on a resource, in a context.

use std::collections::BTreeMap;

use crate::resource::Resource;

/// A question.
#[derive(Clone, Debug)]
pub struct Request {
    /// The action's names, folded. The first is the one that is reported.
    pub(crate) actions: Vec<String>,
    pub(crate) resource: Resource,
    pub(crate) context: Context,
    /// Who asks, as kinds and names, for documents that say whom they trust.
    pub(crate) principals: Vec<(String, String)>,
}

impl Request {
    /// Whether `action` may be performed on `resource`. Actions are compared without regard to case.
    #[must_use]
    pub fn new(action: &str, resource: Resource, context: Context) -> Self {
        Self { actions: vec![action.to_ascii_lowercase()], resource, context, principals: Vec::new() }
    }

    /// The same operation has another name, by which documents may call it as well. One name that a list holds is
    /// enough; `NotAction` leaves the operation out if it holds one of its names.
    #[must_use]
    pub fn also_called(mut self, action: &str) -> Self {
        self.actions.push(action.to_ascii_lowercase());
        self
    }

    /// Who asks is called `name` among the principals of that kind: an account's id, a service. For trust policies,
    /// which compare exactly; whoever has several names is given all of them.
    #[must_use]
    pub fn asked_by(mut self, kind: &str, name: &str) -> Self {
        self.principals.push((kind.to_owned(), name.to_owned()));
        self
    }

    /// The context, to add facts to it.
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }
}

/// What is known about one condition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// It has these values, at least one.
    Values(Vec<String>),
    /// It is there, and its value stands for every possible one, now and later.
    Every,
    /// Whether it is there, and with which values, is not known.
    Unknown,
    /// It is not there, and its absence must open nothing.
    Lacking,
}

/// The condition keys of a request, those of its principal included.
///
/// Names of keys are compared without regard to case, up to the first `/`: what follows is a tag's own key. A key
/// that is not here is absent. **An operation puts exactly those keys here that its action has**, since absence
/// has a meaning: see [`crate::decide`].
#[derive(Clone, Debug, Default)]
pub struct Context {
    facts: BTreeMap<String, Fact>,
    unknown: Vec<String>,
    lacking: Vec<String>,
}

impl Context {
    /// A context without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value. A key that gets several has several: `ForAllValues:` and `ForAnyValue:` are for those.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.add(key, value);
        self
    }

    /// As [`Context::with`], in place.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        let fact = self.facts.entry(folded(key)).or_insert_with(|| Fact::Values(Vec::new()));
        // A key that stands for every value, or is unknown, is not narrowed by a value.
        match fact {
            Fact::Values(values) => values.push(value.into()),
            Fact::Every | Fact::Unknown | Fact::Lacking => {}
        }
    }

    /// Replaces whatever is known of a key by one value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.facts.insert(folded(key), Fact::Values(vec![value.into()]));
    }

    /// The key stands for every value that it could have, now and in the future. An allow must hold for all of them; a
    /// deny that could hold for one of them denies.
    pub fn every(&mut self, key: &str) {
        self.facts.insert(folded(key), Fact::Every);
    }

    /// It is not known whether the key is there: conditions on it grant nothing and deny. A key that ends in `/*`
    /// means all keys that begin with what stands before the `*`.
    pub fn unknown(&mut self, key: &str) {
        match key.strip_suffix('*').filter(|prefix| prefix.ends_with('/')) {
            Some(prefix) => self.unknown.push(folded(prefix)),
            None => {
                self.facts.insert(folded(key), Fact::Unknown);
            }
        }
    }

    /// Of the keys that begin with `prefix`, those that are not here are absent, and nothing is allowed because of that: a
    /// negated condition on one of them grants nothing and denies. For what only some who ask can have, such as tags that the
    /// server gives: "everybody but those of `dev`" is not meant to be everybody who has none.
    pub fn lacking(&mut self, prefix: &str) {
        self.lacking.push(folded(prefix));
    }

    /// What is known about a folded key; `None` if it is absent.
    pub(crate) fn fact(&self, key: &str) -> Option<&Fact> {
        match self.facts.get(key) {
            Some(fact) => Some(fact),
            None => {
                let begins = |prefix: &String| key.starts_with(prefix.as_str());
                let unknown = self.unknown.iter().any(begins).then_some(&Fact::Unknown);
                unknown.or_else(|| self.lacking.iter().any(begins).then_some(&Fact::Lacking))
            }
        }
    }
}

/// A key as it is compared.
pub(crate) fn folded(key: &str) -> String {
    match key.split_once('/') {
        None => key.to_ascii_lowercase(),
        Some((name, tag)) => format!("{}/{tag}", name.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_without_case_and_tags_with_it() {
        let context = Context::new().with("g:UserId", "u").with("g:ResourceTag/Env", "prod");
        assert!(context.fact(&folded("G:USERID")).is_some());
        assert!(context.fact(&folded("g:resourcetag/Env")).is_some());
        assert!(context.fact(&folded("g:ResourceTag/env")).is_none());
    }

    #[test]
    fn unknown_keys_may_be_named_by_their_beginning() {
        let mut context = Context::new();
        context.unknown("x:Tag/*");
        context.unknown("x:One");
        assert_eq!(context.fact(&folded("X:Tag/Env")), Some(&Fact::Unknown));
        assert_eq!(context.fact(&folded("x:one")), Some(&Fact::Unknown));
        assert_eq!(context.fact(&folded("x:Tags")), None);
    }

    #[test]
    fn a_value_does_not_narrow_what_stands_for_everything() {
        let mut context = Context::new();
        context.every("x:k");
        context.add("x:k", "one");
        assert_eq!(context.fact("x:k"), Some(&Fact::Every));
        context.set("x:k", "one");
        assert_eq!(context.fact("x:k"), Some(&Fact::Values(vec!["one".to_owned()])));
    }
}
