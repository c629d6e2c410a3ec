//! Whether the rules of a role allow more than others did: what Kubernetes itself asks before somebody may bind a role
//! or widen one. Pure.
//!
//! It is asked place by place: a place is one resource of one group under one name (or under any), or one URL. A
//! wildcard is covered by a wildcard only, however long the list beside it is, since what is not invented yet is
//! meant, too. That is exact: what one rule says in one place is covered by several only if it is covered by one of them.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use crate::cluster_roles::Rule;

/// So many places are named of what is not covered.
const NAMED: usize = 3;
/// How much is compared of one role at most, roughly in words: whoever writes roles decides how much there is to compare.
const WORK: usize = 1_000_000;
/// So many bytes of a word are as much work as a short word.
const LONG: usize = 64;

/// What rules allow beyond others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// The first of it.
    pub first: Vec<Permission>,
    /// Whether there is more, or may be: there was too much to compare.
    pub more: bool,
}

impl Growth {
    /// Whether everything is covered.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.first.is_empty() && !self.more
    }
}

impl fmt::Display for Growth {
    /// For example `delete pods.apps, get,list secrets named tls and more`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<String> = self.first.iter().map(ToString::to_string).collect();
        match (first.is_empty(), self.more) {
            (true, _) => f.write_str("more than can be compared"),
            (false, true) => write!(f, "{} and more", first.join(", ")),
            (false, false) => f.write_str(&first.join(", ")),
        }
    }
}

/// Verbs in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What may be done.
    pub verbs: Vec<String>,
    /// A resource with its group after a dot, or a URL.
    pub target: String,
    /// The only name that is meant; `None` means any.
    pub name: Option<String>,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verbs.join(","), self.target)?;
        match &self.name {
            Some(name) => write!(f, " named {name}"),
            None => Ok(()),
        }
    }
}

/// How much may be compared altogether, over several comparisons.
#[derive(Debug)]
pub struct Effort(usize);

impl Effort {
    /// As much as ten roles may take that are hard to compare.
    #[must_use]
    pub fn of_a_pass() -> Self {
        Self(10 * WORK)
    }

    /// Takes what one comparison may use.
    fn take(&mut self) -> usize {
        let taken = self.0.min(WORK);
        self.0 -= taken;
        taken
    }

    fn give_back(&mut self, left: usize) {
        self.0 += left;
    }
}

/// What `rules` allow that `accepted` do not, as far as there is effort left to tell.
#[must_use]
pub fn uncovered(rules: &[Rule], accepted: &[Rule], effort: &mut Effort) -> Growth {
    let work = effort.take();
    // Putting rules in order is work, too.
    let Some(left) = work.checked_sub(weight(rules).saturating_add(weight(accepted))) else {
        return Growth { first: Vec::new(), more: true };
    };
    let (growth, left) = compare(rules, accepted, left);
    effort.give_back(left);
    growth
}

/// How much work it is to read rules once, roughly in words.
#[must_use]
pub fn weight(rules: &[Rule]) -> usize {
    let words = |rule: &Rule| -> usize {
        let lists =
            [&rule.api_groups, &rule.resources, &rule.verbs, &rule.resource_names, &rule.non_resource_urls];
        lists.into_iter().flatten().map(|word| word_weight(word)).sum()
    };
    rules.iter().map(|rule| 1 + words(rule)).sum()
}

fn word_weight(word: &str) -> usize {
    1 + word.len() / LONG
}

/// Returns also how much work is left.
fn compare(rules: &[Rule], accepted: &[Rule], left: usize) -> (Growth, usize) {
    let accepted: BTreeSet<Rule> = canonical(accepted).into_iter().collect();
    let known: Vec<Known<'_>> = accepted.iter().map(Known::new).collect();
    let mut search = Search { known, left, growth: Growth::default() };
    for rule in canonical(rules) {
        if accepted.contains(&rule) {
            continue;
        }
        if search.look_at(&rule).is_none() {
            search.growth.more = true;
            break;
        }
    }
    (search.growth, search.left)
}

/// Rules in one order and without repetition: neither the order of rules nor that of their words means anything. Those
/// that allow nothing are left out.
#[must_use]
pub fn canonical(rules: &[Rule]) -> Vec<Rule> {
    let sorted = |words: &[String]| -> Vec<String> {
        words.iter().cloned().collect::<BTreeSet<String>>().into_iter().collect()
    };
    let sort = |rule: &Rule| Rule {
        api_groups: sorted(&rule.api_groups),
        resources: sorted(&rule.resources),
        verbs: sorted(&rule.verbs),
        resource_names: sorted(&rule.resource_names),
        non_resource_urls: sorted(&rule.non_resource_urls),
    };
    let all: BTreeSet<Rule> = rules.iter().filter(|rule| allows_something(rule)).map(sort).collect();
    all.into_iter().collect()
}

/// Whether these rules allow anything at all.
#[must_use]
pub fn allow_something(rules: &[Rule]) -> bool {
    rules.iter().any(allows_something)
}

fn allows_something(rule: &Rule) -> bool {
    let resources = !rule.api_groups.is_empty() && !rule.resources.is_empty();
    !rule.verbs.is_empty() && (resources || !rule.non_resource_urls.is_empty())
}

/// An accepted rule, to be looked up in.
struct Known<'a> {
    groups: HashSet<&'a str>,
    resources: HashSet<&'a str>,
    names: HashSet<&'a str>,
    urls: &'a [String],
    verbs: HashSet<&'a str>,
}

impl<'a> Known<'a> {
    fn new(rule: &'a Rule) -> Self {
        let set = |words: &'a [String]| words.iter().map(String::as_str).collect();
        Self {
            groups: set(&rule.api_groups),
            resources: set(&rule.resources),
            names: set(&rule.resource_names),
            urls: &rule.non_resource_urls,
            verbs: set(&rule.verbs),
        }
    }

    fn has_group(&self, group: &str) -> bool {
        self.groups.contains("*") || self.groups.contains(group)
    }

    fn has_resource(&self, resource: &str) -> bool {
        if self.resources.contains("*") || self.resources.contains(resource) {
            return true;
        }
        let of_any = resource.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
        of_any.is_some_and(|of_any| self.resources.contains(of_any.as_str()))
    }

    fn has_name(&self, name: Option<&str>) -> bool {
        self.names.is_empty() || name.is_some_and(|name| self.names.contains(name))
    }

    fn has_url(&self, url: &str) -> bool {
        self.urls.iter().any(|known| {
            let beginning = known.ends_with('*').then(|| known.trim_end_matches('*'));
            known == url || beginning.is_some_and(|beginning| url.starts_with(beginning))
        })
    }
}

/// A search for what is not covered, which ends where there is too much.
struct Search<'a> {
    known: Vec<Known<'a>>,
    left: usize,
    growth: Growth,
}

impl Search<'_> {
    /// Takes in what `rule` allows; `None` if more need not or cannot be looked at.
    fn look_at(&mut self, rule: &Rule) -> Option<()> {
        // An empty list of names is any name.
        let any = [None];
        let named: Vec<Option<&str>> = rule.resource_names.iter().map(|name| Some(name.as_str())).collect();
        let names: &[Option<&str>] = if named.is_empty() { &any } else { &named };
        for group in &rule.api_groups {
            for resource in &rule.resources {
                for name in names {
                    let of_group = if group.is_empty() { String::new() } else { format!(".{group}") };
                    let covers = |known: &Known<'_>| {
                        known.has_group(group) && known.has_resource(resource) && known.has_name(*name)
                    };
                    let length = group.len() + resource.len() + name.map_or(0, str::len);
                    let verbs = self.missing(&rule.verbs, 1 + length / LONG, covers)?;
                    self.found(verbs, || format!("{resource}{of_group}"), *name)?;
                }
            }
        }
        for url in &rule.non_resource_urls {
            let urls = self.known.iter().map(|known| known.urls.len()).max().unwrap_or(0);
            let place = urls.saturating_mul(word_weight(url));
            let verbs = self.missing(&rule.verbs, place, |known| known.has_url(url))?;
            self.found(verbs, || url.clone(), None)?;
        }
        Some(())
    }

    /// Those of `verbs` that no rule which `covers` the place has.
    fn missing(
        &mut self,
        verbs: &[String],
        each: usize,
        covers: impl Fn(&Known<'_>) -> bool,
    ) -> Option<Vec<String>> {
        self.spend(self.known.len().saturating_mul(each.max(1)).saturating_add(1))?;
        let covering: Vec<&Known<'_>> = self.known.iter().filter(|known| covers(known)).collect();
        if covering.iter().any(|known| known.verbs.contains("*")) {
            return Some(Vec::new());
        }
        let is_missing = |verb: &&String| !covering.iter().any(|known| known.verbs.contains(verb.as_str()));
        let words: usize = verbs.iter().map(|verb| word_weight(verb)).sum();
        let left = self.left.checked_sub(covering.len().saturating_mul(words))?;
        let missing = verbs.iter().filter(is_missing).cloned().collect();
        self.left = left;
        Some(missing)
    }

    fn spend(&mut self, work: usize) -> Option<()> {
        self.left = self.left.checked_sub(work)?;
        Some(())
    }

    fn found(&mut self, verbs: Vec<String>, target: impl Fn() -> String, name: Option<&str>) -> Option<()> {
        if verbs.is_empty() {
            return Some(());
        }
        if self.growth.first.len() == NAMED {
            return None;
        }
        self.growth.first.push(Permission { verbs, target: target(), name: name.map(str::to_owned) });
        Some(())
    }
}
