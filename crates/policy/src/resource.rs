//! Resources in five parts, and the patterns that mean them.

use crate::certainty::Certainty;
use crate::glob::Glob;

/// How many parts the name of a resource has; the last takes the colons that are left.
pub(crate) const PARTS: usize = 5;

/// What an action is performed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// Its names; none if the action has no resource.
    names: Vec<[Part; PARTS]>,
    uri: Option<String>,
}

/// One part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Is(String),
    /// It stands for every text, now and later.
    Every,
}

impl Resource {
    /// The action has no resource: only statements on `*` concern it.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A resource by its five parts, for instance service, region, account, type and path.
    #[must_use]
    pub fn new(parts: [&str; PARTS]) -> Self {
        Self { names: vec![parts.map(|part| Part::Is(part.to_owned()))], uri: None }
    }

    /// The same resource has another name, by which documents may call it as well: one name that a list holds is
    /// enough, and what leaves one of its names out leaves it out.
    #[must_use]
    pub fn also_named(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self.uri = self.uri.or(other.uri);
        self
    }

    /// A resource by its name, parts separated by colons. `None` if there are fewer than five.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        split(name).map(Self::new)
    }

    /// All resources of this kind, now and later: the last part stands for every text.
    #[must_use]
    pub fn every(mut self) -> Self {
        for [_, _, _, _, path] in &mut self.names {
            *path = Part::Every;
        }
        self
    }

    /// The resource has an address as well, by which documents of version 1.1 may name it.
    #[must_use]
    pub fn with_uri(mut self, uri: &str) -> Self {
        self.uri = Some(uri.to_owned());
        self
    }

    fn is_none(&self) -> bool {
        self.names.is_empty() && self.uri.is_none()
    }
}

fn split(name: &str) -> Option<[&str; PARTS]> {
    let parts: Vec<&str> = name.splitn(PARTS, ':').collect();
    parts.try_into().ok()
}

/// One entry of `Resource` or `NotResource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Everything,
    Name(Box<[Glob; PARTS]>),
    Uri(Glob),
}

impl Pattern {
    /// Reads `*` or five parts. `None` if it is neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.is_empty() && text.chars().all(|c| c == '*') {
            return Some(Self::Everything);
        }
        // Each part is matched by itself: a `*` in the region must not swallow the account behind it.
        split(text).map(|parts| Self::Name(Box::new(parts.map(Glob::new))))
    }

    /// Whether it means whatever `other` means.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everything, _) => true,
            (Self::Name(own), Self::Name(theirs)) => {
                own.iter().zip(theirs.iter()).all(|(own, theirs)| own.covers(theirs))
            }
            (Self::Uri(own), Self::Uri(theirs)) => own.covers(theirs),
            (Self::Name(_), Self::Everything | Self::Uri(_))
            | (Self::Uri(_), Self::Everything | Self::Name(_)) => false,
        }
    }

    /// Whether it means `resource`.
    fn means(&self, resource: &Resource) -> Certainty {
        match self {
            Self::Everything => Certainty::Yes,
            Self::Uri(glob) => resource.uri.as_ref().is_some_and(|uri| glob.matches(uri)).into(),
            // `*:*:*:*:*` is not the `*` that actions without resource ask for, but its author meant everything.
            Self::Name(globs) if resource.names.is_empty() => {
                if globs.iter().all(Glob::means_everything) {
                    Certainty::Maybe
                } else {
                    Certainty::No
                }
            }
            Self::Name(globs) => Certainty::any(resource.names.iter().map(|parts| {
                Certainty::all(globs.iter().zip(parts).map(|(glob, part)| part_matches(glob, part)))
            })),
        }
    }
}

fn part_matches(glob: &Glob, part: &Part) -> Certainty {
    match part {
        Part::Is(text) => glob.matches(text).into(),
        Part::Every if glob.means_everything() => Certainty::Yes,
        Part::Every => Certainty::Maybe,
    }
}

/// Which resources a statement concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resources {
    /// It names none.
    All,
    In(Vec<Pattern>),
    NotIn(Vec<Pattern>),
    Unreadable,
}

impl Resources {
    /// Whether the statement concerns `resource`.
    pub(crate) fn concern(&self, resource: &Resource) -> Certainty {
        let one_of = |patterns: &[Pattern]| Certainty::any(patterns.iter().map(|p| p.means(resource)));
        match self {
            Self::All => Certainty::Yes,
            Self::In(patterns) => one_of(patterns),
            // "Everything but x" names no `*`, so it cannot grant an action without resource; it can deny it.
            Self::NotIn(patterns) if resource.is_none() => one_of(patterns).not().min(Certainty::Maybe),
            Self::NotIn(patterns) => one_of(patterns).not(),
            Self::Unreadable => Certainty::Maybe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Certainty::{Maybe, No, Yes};
    use super::*;

    fn listed(patterns: &[&str]) -> Vec<Pattern> {
        patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    }

    #[test]
    fn parts_are_matched_one_by_one() {
        let resource = Resource::parse("fleet:eu:acc:cluster:c1").unwrap();
        for (pattern, expected) in [
            ("*", Yes),
            ("fleet:*:*:cluster:*", Yes),
            ("fleet:eu:acc:cluster:c?", Yes),
            ("*:*:*:*:*", Yes),
            ("fleet:*:*:node:*", No),
            ("fleet:*:*:cluster:", No),
            ("fleet:*:cluster:c1:*", No),
        ] {
            assert_eq!(Resources::In(listed(&[pattern])).concern(&resource), expected, "{pattern}");
        }
        let hostile = Resource::parse("fleet:eu:acc:node:x:cluster:c1").unwrap();
        assert_eq!(Resources::In(listed(&["fleet:*:*:cluster:c1"])).concern(&hostile), No);
        assert_eq!(Resources::In(listed(&["fleet:*:*:node:x:*"])).concern(&hostile), Yes);
    }

    #[test]
    fn an_action_without_resource_is_granted_by_a_star_alone() {
        let none = Resource::none();
        assert_eq!(Resources::All.concern(&none), Yes);
        assert_eq!(Resources::In(listed(&["*"])).concern(&none), Yes);
        assert_eq!(Resources::In(listed(&["fleet:*:*:cluster:*"])).concern(&none), No);
        assert_eq!(Resources::In(listed(&["*:*:*:*:*"])).concern(&none), Maybe);
        assert_eq!(Resources::NotIn(listed(&["fleet:*:*:cluster:c1"])).concern(&none), Maybe);
        assert_eq!(Resources::NotIn(listed(&["*"])).concern(&none), No);
    }

    #[test]
    fn every_resource_is_meant_by_what_names_every_one() {
        let every = Resource::parse("fleet:eu:acc:cluster:").unwrap().every();
        assert_eq!(Resources::In(listed(&["fleet:*:*:cluster:*"])).concern(&every), Yes);
        assert_eq!(Resources::In(listed(&["fleet:*:*:cluster:prod-*"])).concern(&every), Maybe);
        assert_eq!(Resources::In(listed(&["fleet:*:*:node:prod-*"])).concern(&every), No);
        assert_eq!(Resources::NotIn(listed(&["fleet:*:*:cluster:prod-*"])).concern(&every), Maybe);
    }

    #[test]
    fn a_resource_with_two_names_is_meant_by_either_and_left_out_by_either() {
        let other = Resource::parse("acs:cs:eu:acc:cluster/c1").unwrap();
        let resource = Resource::parse("fleet:eu:acc:cluster:c1").unwrap().also_named(other);
        for (pattern, expected) in
            [("fleet:*:*:cluster:c1", Yes), ("acs:cs:*:*:cluster/c1", Yes), ("acs:cs:*:*:cluster/c2", No)]
        {
            assert_eq!(Resources::In(listed(&[pattern])).concern(&resource), expected, "{pattern}");
            assert_eq!(Resources::NotIn(listed(&[pattern])).concern(&resource), expected.not(), "{pattern}");
        }
    }

    #[test]
    fn an_address_is_meant_by_addresses_only() {
        let resource = Resource::parse("iam::acc:agency:a").unwrap().with_uri("/iam/agencies/1");
        let address = |text| Resources::In(vec![Pattern::Uri(Glob::new(text))]).concern(&resource);
        assert_eq!((address("/iam/agencies/1"), address("/iam/agencies/2")), (Yes, No));
        assert_eq!(Resources::In(listed(&["iam:*:*:agency:a"])).concern(&resource), Yes);
    }
}
