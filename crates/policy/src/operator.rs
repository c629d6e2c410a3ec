//! The operators of conditions by name, and what stands around a name: `ForAnyValue:StringEqualsIfExists`.

use std::cmp::Ordering;

use crate::grammar::Grammar;
use crate::suggestion::nearest;

/// What an operator compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Exact,
    IgnoringCase,
    Pattern,
    Beginning,
    End,
    Number(Order),
    Date(Order),
    Bool,
    Address,
    Null,
}

/// How a number or date of the request must stand to one of the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Order {
    /// Whether it is met by how the two compare.
    pub(crate) fn is_met_by(self, found: Ordering) -> bool {
        match self {
            Self::Less => found == Ordering::Less,
            Self::LessOrEqual => found != Ordering::Greater,
            Self::Equal => found == Ordering::Equal,
            Self::GreaterOrEqual => found != Ordering::Less,
            Self::Greater => found == Ordering::Greater,
        }
    }
}

/// Whether an operator holds where its comparison does, or where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sense {
    Plain,
    Negated,
}

/// How several values of the request count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantifier {
    /// The key has one value. If it has several, they must agree.
    One,
    /// All of them must meet the condition; none at all do.
    All,
    /// One of them must meet the condition.
    Any,
}

/// What an absent key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// The condition is not met, or is if it is negated.
    Counts,
    /// The condition is met.
    Passes,
}

/// An operator by name.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    kind: Kind,
    sense: Sense,
}

const fn plain(name: &'static str, kind: Kind) -> Known {
    Known { name, kind, sense: Sense::Plain }
}

const fn negated(name: &'static str, kind: Kind) -> Known {
    Known { name, kind, sense: Sense::Negated }
}

/// What all grammars with conditions know.
pub(crate) const SHARED: &[Known] = &[
    plain("StringEquals", Kind::Exact),
    negated("StringNotEquals", Kind::Exact),
    plain("StringEqualsIgnoreCase", Kind::IgnoringCase),
    negated("StringNotEqualsIgnoreCase", Kind::IgnoringCase),
    plain("DateLessThan", Kind::Date(Order::Less)),
    plain("DateLessThanEquals", Kind::Date(Order::LessOrEqual)),
    plain("DateGreaterThan", Kind::Date(Order::Greater)),
    plain("DateGreaterThanEquals", Kind::Date(Order::GreaterOrEqual)),
    plain("Bool", Kind::Bool),
    plain("IpAddress", Kind::Address),
    negated("NotIpAddress", Kind::Address),
];

/// What versions 5.0 and 1.1 know besides.
pub(crate) const IDENTITY: &[Known] = &[
    plain("StringMatch", Kind::Pattern),
    negated("StringNotMatch", Kind::Pattern),
    plain("StringStartWith", Kind::Beginning),
    plain("StringEndWith", Kind::End),
    plain("NumberEquals", Kind::Number(Order::Equal)),
    negated("NumberNotEquals", Kind::Number(Order::Equal)),
    plain("NumberLessThan", Kind::Number(Order::Less)),
    plain("NumberLessThanEquals", Kind::Number(Order::LessOrEqual)),
    plain("NumberGreaterThan", Kind::Number(Order::Greater)),
    plain("NumberGreaterThanEquals", Kind::Number(Order::GreaterOrEqual)),
    plain("Null", Kind::Null),
];

/// What only version 1.1 knows.
pub(crate) const ROLE_POLICY: &[Known] = &[plain("StringLike", Kind::Pattern)];

/// What version 1 knows besides.
pub(crate) const CLASSIC: &[Known] = &[
    plain("StringLike", Kind::Pattern),
    negated("StringNotLike", Kind::Pattern),
    plain("NumericEquals", Kind::Number(Order::Equal)),
    negated("NumericNotEquals", Kind::Number(Order::Equal)),
    plain("NumericLessThan", Kind::Number(Order::Less)),
    plain("NumericLessThanEquals", Kind::Number(Order::LessOrEqual)),
    plain("NumericGreaterThan", Kind::Number(Order::Greater)),
    plain("NumericGreaterThanEquals", Kind::Number(Order::GreaterOrEqual)),
    plain("DateEquals", Kind::Date(Order::Equal)),
    negated("DateNotEquals", Kind::Date(Order::Equal)),
];

/// An operator with what stands around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operator {
    pub(crate) kind: Kind,
    pub(crate) sense: Sense,
    pub(crate) quantifier: Quantifier,
    pub(crate) absence: Absence,
}

impl Operator {
    /// Reads a name in a grammar, or says what would be right.
    pub(crate) fn parse(text: &str, grammar: Grammar) -> Result<Self, String> {
        let (quantifier, rest) = if let Some(rest) = text.strip_prefix("ForAllValues:") {
            (Quantifier::All, rest)
        } else if let Some(rest) = text.strip_prefix("ForAnyValue:") {
            (Quantifier::Any, rest)
        } else {
            (Quantifier::One, text)
        };
        let (absence, name) = match rest.strip_suffix("IfExists") {
            Some(name) => (Absence::Passes, name),
            None => (Absence::Counts, rest),
        };
        let Some(known) = grammar.operators().find(|known| known.name == name) else {
            return Err(unknown(name, grammar));
        };
        let modified = name.len() != text.len();
        if modified && !grammar.rules().modifies_operators {
            return Err(format!(
                "has no prefixes and suffixes in version `{}`: use `{name}`",
                grammar.version()
            ));
        }
        if modified && known.kind == Kind::Null {
            return Err("cannot be combined: `Null` itself asks whether the key is there".to_owned());
        }
        Ok(Self { kind: known.kind, sense: known.sense, quantifier, absence })
    }
}

fn unknown(name: &str, grammar: Grammar) -> String {
    let version = grammar.version();
    match nearest(name, grammar.operators().map(|known| known.name)) {
        Some(meant) => format!("is not an operator of version `{version}`: did you mean `{meant}`?"),
        None => {
            let all: Vec<&str> = grammar.operators().map(|known| known.name).collect();
            format!("is not an operator of version `{version}`, which knows {}", all.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_name_is_read() {
        let read = |text| Operator::parse(text, Grammar::Identity).unwrap();
        let plain = read("StringNotEquals");
        assert_eq!((plain.sense, plain.quantifier), (Sense::Negated, Quantifier::One));
        let modified = read("ForAllValues:StringEqualsIfExists");
        assert_eq!((modified.quantifier, modified.absence), (Quantifier::All, Absence::Passes));
    }

    #[test]
    fn operators_of_other_grammars_are_refused_with_the_right_name() {
        for (text, grammar, hint) in [
            ("NumericEquals", Grammar::Identity, "did you mean `NumberEquals`"),
            ("NumberEquals", Grammar::Classic, "did you mean `NumericEquals`"),
            ("stringequals", Grammar::Identity, "did you mean `StringEquals`"),
            ("StringEqualsIfExists", Grammar::Classic, "use `StringEquals`"),
            ("ForAnyValue:Null", Grammar::Identity, "cannot be combined"),
            ("NullIfExists", Grammar::RolePolicy, "cannot be combined"),
            ("ForSomeValue:Bool", Grammar::Identity, "is not an operator"),
            ("ForAllValues:ForAnyValue:Bool", Grammar::Identity, "is not an operator"),
            ("Xyzzy", Grammar::Identity, "which knows StringEquals, "),
            ("StringLike", Grammar::Identity, "is not an operator of version `5.0`"),
        ] {
            let refusal = Operator::parse(text, grammar).unwrap_err();
            assert!(refusal.contains(hint), "{text}: {refusal}");
        }
    }
}
