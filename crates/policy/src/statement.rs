//! One statement, ready to be asked.

use crate::certainty::Certainty;
use crate::condition::Condition;
use crate::glob::Glob;
use crate::principals::Principals;
use crate::request::Request;
use crate::resource::Resources;

/// What a statement does where it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Allow,
    Deny,
}

/// A statement of a document.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// Its place, counted from 0. `None` if it stands for a document that could not be read.
    pub(crate) index: Option<usize>,
    pub(crate) sid: Option<String>,
    pub(crate) does: Does,
    pub(crate) principals: Principals,
    pub(crate) actions: Actions,
    pub(crate) resources: Resources,
    pub(crate) conditions: Vec<Condition>,
    /// Whether all of it was understood. What was not grants nothing.
    pub(crate) reading: Reading,
}

/// Whether a statement was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Whole,
    Broken,
}

/// Which actions a statement concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actions {
    In(Vec<Glob>),
    NotIn(Vec<Glob>),
    Unreadable,
}

impl Actions {
    /// Whether the statement might concern the operation that has these names.
    pub(crate) fn concerns(&self, names: &[String]) -> bool {
        self.concern(names) != Certainty::No
    }

    /// Whether the statement concerns the operation that has these names.
    fn concern(&self, names: &[String]) -> Certainty {
        let one_of = |globs: &[Glob]| globs.iter().any(|glob| names.iter().any(|name| glob.matches(name)));
        match self {
            Self::In(globs) => one_of(globs).into(),
            Self::NotIn(globs) => (!one_of(globs)).into(),
            Self::Unreadable => Certainty::Maybe,
        }
    }
}

/// What kept an allow from allowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop<'s> {
    Resource,
    Broken,
    Condition(&'s str, Openness),
}

/// Why a condition did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Openness {
    NotMet,
    NotCertain,
}

impl Stop<'_> {
    /// How far it came.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::Resource => 0,
            Self::Broken => 1,
            Self::Condition(_, Openness::NotMet) => 2,
            Self::Condition(_, Openness::NotCertain) => 3,
        }
    }
}

impl Statement {
    /// A document that nobody could read: whatever it was going to deny, it denies.
    pub(crate) fn of_unreadable_document() -> Self {
        Self {
            index: None,
            sid: None,
            does: Does::Deny,
            principals: Principals::Unreadable,
            actions: Actions::Unreadable,
            resources: Resources::Unreadable,
            conditions: Vec::new(),
            reading: Reading::Broken,
        }
    }

    /// Whether both mean the same.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let same_conditions = self.conditions.len() == other.conditions.len()
            && self.conditions.iter().all(|one| other.conditions.iter().any(|two| one.asks_the_same(two)));
        self.does == other.does
            && self.reading == other.reading
            && self.principals == other.principals
            && self.actions == other.actions
            && self.resources == other.resources
            && same_conditions
    }

    /// Whether it has its effect: an allow must apply for certain, a deny need only possibly apply.
    pub(crate) fn has_effect(&self, request: &Request) -> bool {
        match self.does {
            Does::Allow => self.reading == Reading::Whole && self.applies(request) == Certainty::Yes,
            Does::Deny => self.applies(request) != Certainty::No,
        }
    }

    fn applies(&self, request: &Request) -> Certainty {
        let named = self.names(request);
        if named == Certainty::No {
            return named;
        }
        let conditions = self.conditions.iter().map(|condition| condition.is_met(&request.context));
        let concerned = named.min(self.resources.concern(&request.resource));
        concerned.min(Certainty::all(conditions))
    }

    /// Whether it names who asks and the action.
    fn names(&self, request: &Request) -> Certainty {
        let action = self.actions.concern(&request.actions);
        if action == Certainty::No {
            return action;
        }
        action.min(self.principals.concern(&request.principals))
    }

    /// Why an allow that names the action did not allow. `None` for others.
    pub(crate) fn stop(&self, request: &Request) -> Option<Stop<'_>> {
        if self.does == Does::Deny || self.names(request) == Certainty::No {
            return None;
        }
        if self.reading == Reading::Broken {
            return Some(Stop::Broken);
        }
        if self.resources.concern(&request.resource) != Certainty::Yes {
            return Some(Stop::Resource);
        }
        self.conditions.iter().find_map(|condition| match condition.is_met(&request.context) {
            Certainty::Yes => None,
            Certainty::Maybe => Some(Stop::Condition(&condition.path, Openness::NotCertain)),
            Certainty::No => Some(Stop::Condition(&condition.path, Openness::NotMet)),
        })
    }
}
