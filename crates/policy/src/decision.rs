//! From documents and a question to an answer with its reasons.

use std::cmp::Reverse;
use std::fmt;

use crate::document::Document;
use crate::request::Request;
use crate::statement::{Does, Openness, Statement, Stop};

/// The most statements that a decision names as nearly allowing.
const MAX_NEAREST: usize = 5;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A statement allows it, and none denies it.
    Allow,
    /// A statement denies it.
    ExplicitDeny,
    /// No statement says anything: that is a no.
    DefaultDeny,
}

impl Effect {
    /// `allow`, `explicit-deny` or `default-deny`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::ExplicitDeny => "explicit-deny",
            Self::DefaultDeny => "default-deny",
        }
    }
}

/// The answer, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub effect: Effect,
    /// The statements that made it: those that allow, or those that deny. Empty for a default deny.
    pub statements: Vec<StatementRef>,
    /// For a default deny: allows that name the action and did not allow it, the nearest first, at most five.
    pub nearest: Vec<Miss>,
}

/// Which statement of which document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRef {
    /// The document's name.
    pub document: String,
    /// The statement's place, counted from 0. `None` if the document could not be read, and denies for that reason.
    pub index: Option<usize>,
    /// What the statement calls itself.
    pub sid: Option<String>,
}

/// An allow that did not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The statement.
    pub statement: StatementRef,
    /// What kept it from allowing.
    pub why: Why,
}

/// What kept an allow that names the action from allowing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is about other resources.
    Resource,
    /// This condition is not met: `Condition.StringEquals.g:UserId`.
    ConditionNotMet(String),
    /// This condition does not hold for everything that was asked for, or compares with a value that it cannot read.
    ConditionNotCertain(String),
    /// It is broken, and what is broken grants nothing.
    Broken,
}

impl Decision {
    /// Whether the answer is yes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.effect == Effect::Allow
    }

    /// This answer, within what another set of documents allows as well: both must allow, and either may deny. That is
    /// how the policy of a session limits the rights of whom it stands for.
    #[must_use]
    pub fn within(self, limit: Self) -> Self {
        match (self.effect, limit.effect) {
            (Effect::ExplicitDeny, _) => self,
            (_, Effect::ExplicitDeny) => limit,
            (Effect::DefaultDeny, _) => self,
            (Effect::Allow, Effect::DefaultDeny) => limit,
            (Effect::Allow, Effect::Allow) => {
                Self { statements: [self.statements, limit.statements].concat(), ..self }
            }
        }
    }
}

/// Decides without reasons: the same effect as [`decide`], and nothing is allocated.
///
/// Takes O(patterns × length of what they are compared with), see [`decide`].
#[must_use]
pub fn effect(documents: &[&Document], request: &Request) -> Effect {
    let mut found = Effect::DefaultDeny;
    let statements = documents.iter().flat_map(|document| &document.statements);
    for statement in statements.filter(|statement| statement.has_effect(request)) {
        match statement.does {
            Does::Deny => return Effect::ExplicitDeny,
            Does::Allow => found = Effect::Allow,
        }
    }
    found
}

/// Decides.
///
/// A statement applies if it names the action, concerns the resource, and all of its conditions are met. One deny that
/// applies denies; else one allow that applies allows; else the answer is no. Order counts nowhere.
///
/// Whatever is open is read to the asker's disadvantage: an allow must apply *for certain*, a deny needs only *possibly*
/// apply. Open is what stands for every value ([`crate::Context::every`], [`crate::Resource::every`]), what is
/// unknown, a value that cannot be read as the number, time or address that it is compared with, a single-valued
/// condition on a key whose several values disagree, and whatever is broken in a stored document. Statements are taken
/// one by one: two allows that together cover everything do not allow everything.
///
/// A condition on an **absent** key is not met, except that it is met if it is negated (`StringNotEquals`), ends in
/// `IfExists`, begins with `ForAllValues:`, or is `Null` with `true`; `ForAnyValue:` is never met unless it ends in
/// `IfExists`.
///
/// Each pattern is compared in O(length of the pattern + of the text), times the length of its longest piece where it
/// uses `?`; a document has at most 32 KiB, so asking it takes at worst that times the length of the longest text.
#[must_use]
pub fn decide(documents: &[&Document], request: &Request) -> Decision {
    let effect = effect(documents, request);
    let wanted = match effect {
        Effect::Allow => Does::Allow,
        Effect::ExplicitDeny => Does::Deny,
        Effect::DefaultDeny => {
            return Decision { effect, statements: Vec::new(), nearest: nearest(documents, request) };
        }
    };
    let made = |statement: &&Statement| statement.does == wanted && statement.has_effect(request);
    let of = |document: &&Document| {
        let made = document.statements.iter().filter(made);
        made.map(|statement| reference(document, statement)).collect::<Vec<_>>()
    };
    Decision { effect, statements: documents.iter().flat_map(of).collect(), nearest: Vec::new() }
}

fn nearest(documents: &[&Document], request: &Request) -> Vec<Miss> {
    let mut stops: Vec<(Stop<'_>, StatementRef)> = Vec::new();
    for document in documents {
        let stopped = document.statements.iter().filter_map(|s| s.stop(request).map(|stop| (stop, s)));
        stops.extend(stopped.map(|(stop, statement)| (stop, reference(document, statement))));
    }
    // Stable: equally near ones stay as they were written.
    stops.sort_by_key(|(stop, _)| Reverse(stop.rank()));
    let miss = |(stop, statement)| Miss { statement, why: why(stop) };
    stops.into_iter().take(MAX_NEAREST).map(miss).collect()
}

fn why(stop: Stop<'_>) -> Why {
    match stop {
        Stop::Resource => Why::Resource,
        Stop::Broken => Why::Broken,
        Stop::Condition(path, Openness::NotMet) => Why::ConditionNotMet(path.to_owned()),
        Stop::Condition(path, Openness::NotCertain) => Why::ConditionNotCertain(path.to_owned()),
    }
}

pub(crate) fn reference(document: &Document, statement: &Statement) -> StatementRef {
    StatementRef { document: document.name().to_owned(), index: statement.index, sid: statement.sid.clone() }
}

impl fmt::Display for StatementRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.index, &self.sid) {
            (None, _) => write!(f, "policy `{}`, which cannot be read", self.document),
            (Some(index), None) => write!(f, "policy `{}`, statement {index}", self.document),
            (Some(index), Some(sid)) => write!(f, "policy `{}`, statement {index} (`{sid}`)", self.document),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource => f.write_str("is about other resources"),
            Self::ConditionNotMet(path) => write!(f, "`{path}` is not met"),
            Self::ConditionNotCertain(path) => {
                write!(f, "`{path}` does not hold for all that was asked for")
            }
            Self::Broken => f.write_str("is broken and grants nothing"),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.statement, self.why)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |entries: Vec<String>| entries.join("; ");
        let made = || list(self.statements.iter().map(ToString::to_string).collect());
        match self.effect {
            Effect::Allow => write!(f, "allowed by {}", made()),
            Effect::ExplicitDeny => write!(f, "denied by {}", made()),
            Effect::DefaultDeny if self.nearest.is_empty() => f.write_str("no statement allows the action"),
            Effect::DefaultDeny => {
                let misses = self.nearest.iter().map(ToString::to_string).collect();
                write!(f, "no statement allows it; nearest: {}", list(misses))
            }
        }
    }
}
