//! One condition of a statement: an operator, a key, and the values that it compares with.

use std::net::IpAddr;

use domain::Timestamp;

use crate::certainty::Certainty;
use crate::glob::Glob;
use crate::network::Network;
use crate::operator::{Absence, Kind, Operator, Order, Quantifier, Sense};
use crate::request::{Context, Fact, folded};

/// A condition, ready to be tested.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    /// Where it stands in its statement: `Condition.StringEquals.g:UserId`.
    pub(crate) path: String,
    key: String,
    /// `None` if it could not be read: then nobody knows whether it is met.
    test: Option<(Operator, Values)>,
}

/// What a key is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    Exact(Vec<String>),
    IgnoringCase(Vec<String>),
    Patterns(Vec<Glob>),
    Numbers(Order, Vec<i64>),
    Dates(Order, Vec<Timestamp>),
    Bools(Vec<bool>),
    Networks(Vec<Network>),
    /// Whether the key must be absent.
    Absent(bool),
}

impl Condition {
    /// A condition on `key`, or what is wrong with the values.
    pub(crate) fn new(
        path: String,
        operator: Operator,
        key: &str,
        values: &[String],
    ) -> Result<Self, String> {
        let values = Values::parse(operator.kind, values)?;
        Ok(Self { path, key: folded(key), test: Some((operator, values)) })
    }

    /// A condition that could not be read.
    pub(crate) fn unreadable(path: String) -> Self {
        Self { path, key: String::new(), test: None }
    }

    /// The key, folded.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Whether both ask the same of the same key. One that could not be read is like no other.
    pub(crate) fn asks_the_same(&self, other: &Self) -> bool {
        self.key == other.key && self.test.is_some() && self.test == other.test
    }

    /// Whether `text` is one of the values with which it compares `key`, however it is meant.
    pub(crate) fn compares(&self, key: &str, text: &str) -> bool {
        let test = self.test.as_ref().filter(|_| self.key == folded(key));
        test.is_some_and(|(_, values)| {
            // Whether there is a value says nothing about which.
            !matches!(values, Values::Absent(_)) && values.compare(text) != Certainty::No
        })
    }

    /// Whether it is met.
    pub(crate) fn is_met(&self, context: &Context) -> Certainty {
        let Some((operator, values)) = &self.test else { return Certainty::Maybe };
        let fact = context.fact(&self.key);
        if let Values::Absent(wanted) = values {
            return match fact {
                Some(Fact::Unknown) => Certainty::Maybe,
                Some(Fact::Every | Fact::Values(_)) => (!wanted).into(),
                Some(Fact::Lacking) | None => (*wanted).into(),
            };
        }
        match fact {
            None => absent(*operator).into(),
            Some(Fact::Lacking) => lacking(*operator),
            Some(Fact::Unknown) => Certainty::Maybe,
            Some(Fact::Every) => sense(operator.sense, values.compare_with_every()),
            Some(Fact::Values(found)) => {
                let each = found.iter().map(|found| sense(operator.sense, values.compare(found)));
                match operator.quantifier {
                    Quantifier::One => Certainty::agreed(each),
                    Quantifier::All => Certainty::all(each),
                    Quantifier::Any => Certainty::any(each),
                }
            }
        }
    }
}

fn sense(sense: Sense, found: Certainty) -> Certainty {
    match sense {
        Sense::Plain => found,
        Sense::Negated => found.not(),
    }
}

/// Whether a condition is met by a key that is not there.
fn absent(operator: Operator) -> bool {
    match (operator.absence, operator.quantifier, operator.sense) {
        (Absence::Passes, _, _) | (Absence::Counts, Quantifier::All, _) => true,
        (Absence::Counts, Quantifier::Any, _) => false,
        (Absence::Counts, Quantifier::One, sense) => sense == Sense::Negated,
    }
}

/// The same where absence must open nothing: what would be met by it alone, because it is negated or about all of nothing,
/// may be met. Who writes `IfExists` means it.
fn lacking(operator: Operator) -> Certainty {
    match (operator.absence, operator.quantifier, operator.sense) {
        (Absence::Counts, Quantifier::One, Sense::Negated) | (Absence::Counts, Quantifier::All, _) => {
            Certainty::Maybe
        }
        (_, _, _) => absent(operator).into(),
    }
}

impl Values {
    fn parse(kind: Kind, texts: &[String]) -> Result<Self, String> {
        match kind {
            Kind::Exact => Ok(Self::Exact(texts.to_vec())),
            Kind::IgnoringCase => {
                Ok(Self::IgnoringCase(texts.iter().map(|text| lowered(text).collect()).collect()))
            }
            Kind::Pattern => Ok(Self::Patterns(texts.iter().map(|text| Glob::new(text)).collect())),
            Kind::Beginning => Ok(Self::Patterns(texts.iter().map(|text| Glob::begins_with(text)).collect())),
            Kind::End => Ok(Self::Patterns(texts.iter().map(|text| Glob::ends_with(text)).collect())),
            Kind::Number(order) => {
                each(texts, "a whole number such as `3600`", number).map(|all| Self::Numbers(order, all))
            }
            Kind::Date(order) => {
                each(texts, "a time such as `2026-01-31T12:00:00Z`", Timestamp::parse_rfc3339)
                    .map(|all| Self::Dates(order, all))
            }
            Kind::Bool => each(texts, "`true` or `false`", boolean).map(Self::Bools),
            Kind::Address => each(texts, "an address or network such as `192.0.2.0/24`", Network::parse)
                .map(Self::Networks),
            Kind::Null => match each(texts, "`true` or `false`", boolean)?.as_slice() {
                [wanted] => Ok(Self::Absent(*wanted)),
                _ => Err("must have one value: `true` if the key must be absent, else `false`".to_owned()),
            },
        }
    }

    /// Whether a value of the request is one of ours. One that cannot be read as what it is compared with may be.
    fn compare(&self, found: &str) -> Certainty {
        match self {
            Self::Exact(texts) => texts.iter().any(|text| text == found).into(),
            Self::IgnoringCase(texts) => texts.iter().any(|text| text.chars().eq(lowered(found))).into(),
            Self::Patterns(globs) => globs.iter().any(|glob| glob.matches(found)).into(),
            Self::Numbers(order, all) => one_of(all, number(found), |a, b| order.is_met_by(b.cmp(a))),
            Self::Dates(order, all) => {
                one_of(all, Timestamp::parse_rfc3339(found), |a, b| order.is_met_by(b.cmp(a)))
            }
            Self::Bools(all) => one_of(all, boolean(found), |a, b| a == b),
            Self::Networks(all) => one_of(all, found.parse::<IpAddr>().ok(), |a, b| a.contains(*b)),
            Self::Absent(wanted) => (!wanted).into(),
        }
    }

    /// Whether every value that a key could have is one of ours.
    fn compare_with_every(&self) -> Certainty {
        match self {
            Self::Patterns(globs) if globs.iter().any(Glob::means_everything) => Certainty::Yes,
            Self::Patterns(_)
            | Self::Exact(_)
            | Self::IgnoringCase(_)
            | Self::Numbers(..)
            | Self::Dates(..)
            | Self::Bools(_)
            | Self::Networks(_) => Certainty::Maybe,
            Self::Absent(wanted) => (!wanted).into(),
        }
    }
}

fn one_of<A, B>(all: &[A], found: Option<B>, is: impl Fn(&A, &B) -> bool) -> Certainty {
    match found {
        Some(found) => all.iter().any(|one| is(one, &found)).into(),
        None => Certainty::Maybe,
    }
}

fn each<T>(texts: &[String], form: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    let one =
        |text: &String| read(text).ok_or_else(|| format!("must be {form}, not `{}`", crate::quoted(text)));
    texts.iter().map(one).collect()
}

/// Character by character, on both sides: `str::to_lowercase` looks at a character's neighbours.
fn lowered(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}
