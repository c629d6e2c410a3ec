//! Every operator of every grammar, against keys that are there, absent, several, open or unknown.

use crate::operator::Known;
use crate::{Context, Document, Effect, Grammar, Request, Resource, effect};

/// What a condition turned out to be, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Met {
    Yes,
    No,
    /// An allow does not hold and a deny does.
    Open,
}

fn document(grammar: Grammar, does: &str, operator: &str, values: &[&str]) -> Document {
    let action = if grammar == Grammar::Classic { "s:Op" } else { "s:t:op" };
    let text = serde_json::json!({"Version": grammar.version(), "Statement": [{
        "Effect": does, "Action": [action], "Resource": ["*"], "Condition": {operator: {"x:Key": values}}}]});
    Document::parse("d", &text.to_string(), &[grammar]).unwrap()
}

fn met(grammar: Grammar, operator: &str, values: &[&str], context: &Context) -> Met {
    let action = if grammar == Grammar::Classic { "s:Op" } else { "s:t:op" };
    let request = Request::new(action, Resource::none(), context.clone());
    let ask = |does| effect(&[&document(grammar, does, operator, values)], &request);
    match (ask("Allow"), ask("Deny")) {
        (Effect::Allow, Effect::ExplicitDeny) => Met::Yes,
        (Effect::DefaultDeny, Effect::DefaultDeny) => Met::No,
        (Effect::DefaultDeny, Effect::ExplicitDeny) => Met::Open,
        other => panic!("{operator}: {other:?}"),
    }
}

fn key(values: &[&str]) -> Context {
    values.iter().fold(Context::new(), |context, value| context.with("x:Key", *value))
}

/// A value of the condition, one of the request that it means, and one that it does not.
fn sample(known: &Known) -> [&'static str; 3] {
    match known.name.trim_start_matches("String") {
        "Match" | "NotMatch" | "Like" | "NotLike" => return ["pr?d-*", "prod-7", "dev-7"],
        "StartWith" => return ["prod", "prod-7", "dev-prod"],
        "EndWith" => return ["-7", "prod-7", "-7-prod"],
        "EqualsIgnoreCase" | "NotEqualsIgnoreCase" => return ["ΟΔΟΣ Größe", "οδοΣ GRÖßE", "ΟΔΟΣ Grösse"],
        "Equals" | "NotEquals" => return ["Prod", "Prod", "prod"],
        _ => {}
    }
    match known.name {
        "Bool" => ["true", "True", "false"],
        "IpAddress" | "NotIpAddress" => ["192.0.2.0/24", "192.0.2.7", "198.51.100.7"],
        name if name.starts_with("Num") => {
            match name.trim_start_matches("Numeric").trim_start_matches("Number") {
                "LessThan" => ["5", "4", "5"],
                "LessThanEquals" => ["5", "5", "6"],
                "GreaterThan" => ["-5", "-4", "-5"],
                "GreaterThanEquals" => ["5", "5", "4"],
                // As floating-point numbers these would be equal.
                _ => ["9007199254740993", "9007199254740993", "9007199254740992"],
            }
        }
        name if name.ends_with("LessThan") => {
            ["2026-01-01T00:00:00Z", "2026-01-01T00:59:59+01:00", "2026-01-01T00:00:00Z"]
        }
        name if name.ends_with("GreaterThan") => {
            ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z"]
        }
        name if name.ends_with("LessThanEquals") => {
            ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"]
        }
        name if name.starts_with("Date") => {
            ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2025-12-31T23:59:59Z"]
        }
        name => panic!("no sample for {name}"),
    }
}

/// All operators that compare with something, with whether they are negated.
fn all() -> Vec<(Grammar, &'static Known, bool)> {
    let of = |grammar: Grammar| {
        grammar.operators().filter(|known| known.name != "Null").map(move |known| (grammar, known))
    };
    Grammar::ATTACHED
        .into_iter()
        .flat_map(of)
        .map(|(grammar, known)| (grammar, known, known.name.contains("Not")))
        .collect()
}

fn yes(yes: bool) -> Met {
    if yes { Met::Yes } else { Met::No }
}

#[test]
fn there_is_a_row_for_each_documented_operator() {
    let count = |grammar| all().iter().filter(|(of, _, _)| *of == grammar).count();
    assert_eq!(
        [Grammar::Identity, Grammar::RolePolicy, Grammar::Role, Grammar::Classic].map(count),
        [21, 22, 0, 21]
    );
}

#[test]
fn every_operator_compares_a_key_that_is_there() {
    for (grammar, known, negated) in all() {
        let [value, meant, other] = sample(known);
        assert_eq!(met(grammar, known.name, &[value], &key(&[meant])), yes(!negated), "{}", known.name);
        assert_eq!(met(grammar, known.name, &[value], &key(&[other])), yes(negated), "{}", known.name);
    }
}

#[test]
fn an_absent_key_meets_negated_operators_and_no_others() {
    for (grammar, known, negated) in all() {
        let [value, ..] = sample(known);
        for absent in [Context::new(), Context::new().with("x:Other", value)] {
            assert_eq!(met(grammar, known.name, &[value], &absent), yes(negated), "{}", known.name);
        }
    }
}

#[test]
fn a_key_that_is_lacking_opens_nothing() {
    for (grammar, known, negated) in all() {
        let [value, meant, other] = sample(known);
        let mut lacking = Context::new();
        lacking.lacking("x:");
        let closed = if negated { Met::Open } else { Met::No };
        assert_eq!(met(grammar, known.name, &[value], &lacking), closed, "{}", known.name);
        if grammar.rules().modifies_operators {
            let all = format!("ForAllValues:{}", known.name);
            assert_eq!(met(grammar, &all, &[value], &lacking), Met::Open, "{all}");
            let if_exists = format!("{}IfExists", known.name);
            assert_eq!(met(grammar, &if_exists, &[value], &lacking), Met::Yes, "{if_exists}");
        }
        // What is there counts as it is.
        for (found, yes_or_no) in [(meant, !negated), (other, negated)] {
            let mut there = key(&[found]);
            there.lacking("x:");
            assert_eq!(met(grammar, known.name, &[value], &there), yes(yes_or_no), "{}", known.name);
        }
    }
}

#[test]
fn if_exists_is_met_by_an_absent_key_and_compares_one_that_is_there() {
    for (grammar, known, negated) in
        all().into_iter().filter(|(grammar, ..)| grammar.rules().modifies_operators)
    {
        let [value, meant, other] = sample(known);
        let name = format!("{}IfExists", known.name);
        assert_eq!(met(grammar, &name, &[value], &Context::new()), Met::Yes, "{name}");
        assert_eq!(met(grammar, &name, &[value], &key(&[meant])), yes(!negated), "{name}");
        assert_eq!(met(grammar, &name, &[value], &key(&[other])), yes(negated), "{name}");
    }
}

#[test]
fn several_values_of_a_key_are_quantified_or_must_agree() {
    for (grammar, known, negated) in
        all().into_iter().filter(|(grammar, ..)| grammar.rules().modifies_operators)
    {
        let [value, meant, other] = sample(known);
        let ask = |prefix: &str, found: &[&str]| {
            met(grammar, &format!("{prefix}{}", known.name), &[value], &key(found))
        };
        assert_eq!(ask("", &[meant, other]), Met::Open, "{}", known.name);
        assert_eq!(ask("", &[meant, meant]), yes(!negated), "{}", known.name);
        assert_eq!(ask("ForAllValues:", &[meant, other]), Met::No, "{}", known.name);
        assert_eq!(ask("ForAllValues:", &[meant, meant]), yes(!negated), "{}", known.name);
        assert_eq!(ask("ForAnyValue:", &[meant, other]), Met::Yes, "{}", known.name);
        assert_eq!(ask("ForAnyValue:", &[other, other]), yes(negated), "{}", known.name);
        assert_eq!(ask("ForAllValues:", &[]), Met::Yes, "{}", known.name);
        assert_eq!(ask("ForAnyValue:", &[]), Met::No, "{}", known.name);
    }
}

#[test]
fn several_values_of_a_condition_are_alternatives_and_negated_ones_exclude_all() {
    for (grammar, known, negated) in all() {
        let [value, meant, _] = sample(known);
        let second = match known.name {
            "Bool" => "true",
            "IpAddress" | "NotIpAddress" => "2001:db8::/32",
            name if name.starts_with("Num") => "5",
            name if name.starts_with("Date") => "2026-01-01T00:00:00Z",
            _ => "zzz",
        };
        assert_eq!(
            met(grammar, known.name, &[second, value], &key(&[meant])),
            yes(!negated),
            "{}",
            known.name
        );
        assert_eq!(
            met(grammar, known.name, &[value, second], &key(&[meant])),
            yes(!negated),
            "{}",
            known.name
        );
    }
}

#[test]
fn a_key_that_stands_for_every_value_leaves_every_comparison_open() {
    let (mut every, mut unknown) = (Context::new(), Context::new());
    every.every("x:Key");
    unknown.unknown("x:Key");
    for (grammar, known, _) in all() {
        let [value, ..] = sample(known);
        for prefix in ["", "ForAllValues:", "ForAnyValue:"] {
            for suffix in ["", "IfExists"] {
                let name = format!("{prefix}{}{suffix}", known.name);
                if name != known.name && !grammar.rules().modifies_operators {
                    continue;
                }
                assert_eq!(met(grammar, &name, &[value], &every), Met::Open, "{name}");
                assert_eq!(met(grammar, &name, &[value], &unknown), Met::Open, "{name}");
            }
        }
    }
}

#[test]
fn only_a_star_means_every_value() {
    let mut every = Context::new();
    every.every("x:Key");
    let ask = |operator, value| met(Grammar::Identity, operator, &[value], &every);
    assert_eq!(ask("StringMatch", "*"), Met::Yes);
    assert_eq!(ask("StringNotMatch", "*"), Met::No);
    assert_eq!(ask("StringMatch", "?*"), Met::Open);
    assert_eq!(ask("StringEquals", "*"), Met::Open);
    assert_eq!(ask("StringStartWith", "*"), Met::Open);
}

#[test]
fn null_asks_whether_the_key_is_there() {
    let (mut every, mut unknown) = (Context::new(), Context::new());
    every.every("x:Key");
    unknown.unknown("x:Key");
    for grammar in [Grammar::Identity, Grammar::RolePolicy] {
        let ask = |wanted, context: &Context| met(grammar, "Null", &[wanted], context);
        assert_eq!((ask("true", &Context::new()), ask("false", &Context::new())), (Met::Yes, Met::No));
        assert_eq!((ask("true", &key(&["v"])), ask("false", &key(&["v"]))), (Met::No, Met::Yes));
        assert_eq!((ask("true", &every), ask("false", &every)), (Met::No, Met::Yes));
        assert_eq!((ask("true", &unknown), ask("false", &unknown)), (Met::Open, Met::Open));
    }
}

#[test]
fn a_value_that_cannot_be_read_leaves_the_comparison_open() {
    for (grammar, known, _) in all() {
        let typed = !known.name.starts_with("String");
        let [value, ..] = sample(known);
        for bad in ["", "x", "1.5", "NaN", "99999999999999999999", "2026-13-01T00:00:00Z", "300.1.1.1"] {
            let found = met(grammar, known.name, &[value], &key(&[bad]));
            assert_eq!(found == Met::Open, typed, "{} {bad}", known.name);
        }
    }
}

#[test]
fn a_value_of_a_condition_that_cannot_be_compared_is_refused() {
    for (operator, value, hint) in [
        ("NumberEquals", "1.5", "must be a whole number"),
        ("DateLessThan", "tomorrow", "must be a time such as"),
        ("Bool", "yes", "must be `true` or `false`"),
        ("IpAddress", "10.0.0.0/40", "must be an address or network"),
        ("Null", "maybe", "must be `true` or `false`"),
    ] {
        let text = serde_json::json!({"Version": "5.0", "Statement": [{"Effect": "Deny", "Action": ["s:t:op"],
            "Condition": {operator: {"x:Key": [value]}}}]});
        let error = Document::parse("d", &text.to_string(), &Grammar::ATTACHED).unwrap_err();
        assert_eq!(error.field(), Some(format!("Statement[0].Condition.{operator}.x:Key").as_str()));
        assert!(error.message().contains(hint) && error.message().contains(value), "{error}");
    }
}
