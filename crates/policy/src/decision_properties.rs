//! Properties of decisions, over random documents and requests; and documents that are noise.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::{Context, Document, Effect, Grammar, Over, Request, Resource};
use crate::{decide, decide_all, decide_over, effect};

const KEY: &str = "fleet:ClusterId";

fn condition() -> impl Strategy<Value = Value> {
    let operators = [
        "StringEquals",
        "StringNotEquals",
        "StringMatch",
        "StringNotMatchIfExists",
        "StringEqualsIfExists",
        "ForAllValues:StringEquals",
        "ForAnyValue:StringNotEquals",
        "NumberLessThan",
        "NumberNotEquals",
    ];
    let keys = [KEY, "g:UserId", "g:Age"];
    (select(operators.to_vec()), select(keys.to_vec()), vec(select(vec!["1", "2", "3"]), 1..3))
        .prop_map(|(operator, key, values)| json!({operator: {key: values}}))
}

fn statement() -> impl Strategy<Value = Value> {
    let effects = select(vec!["Allow", "Allow", "Deny"]);
    let action_keys = select(vec!["Action", "Action", "Action", "NotAction"]);
    let actions = vec(select(vec!["s:a:get", "s:a:*", "s:*:get", "s:b:put"]), 1..3);
    let resource_keys = select(vec!["Resource", "Resource", "NotResource"]);
    let resources = vec(select(vec!["*", "s:*:*:a:*", "s:*:*:a:1", "s:*:*:b:?"]), 1..3);
    (
        effects,
        action_keys,
        actions,
        proptest::option::of((resource_keys, resources)),
        proptest::option::of(condition()),
    )
        .prop_map(|(effect, action_key, actions, resources, condition)| {
            let mut statement = json!({"Effect": effect, action_key: actions});
            if let Some((key, resources)) = resources {
                statement[key] = json!(resources);
            }
            if let Some(condition) = condition {
                statement["Condition"] = condition;
            }
            statement
        })
}

fn statements() -> impl Strategy<Value = Vec<Value>> {
    vec(statement(), 1..6)
}

fn document(statements: &[Value]) -> Document {
    let text = json!({"Version": "5.0", "Statement": statements}).to_string();
    Document::parse("d", &text, &[Grammar::Identity]).unwrap()
}

fn context() -> impl Strategy<Value = Context> {
    let values = || vec(select(vec!["1", "2", "x"]), 0..3);
    (values(), values(), 0..4_u8).prop_map(|(users, ages, open)| {
        let context = users.into_iter().fold(Context::new(), |context, user| context.with("g:UserId", user));
        let mut context = ages.into_iter().fold(context, |context, age| context.with("g:Age", age));
        match open {
            0 => context.every("g:Age"),
            1 => context.unknown("g:UserId"),
            _ => {}
        }
        context
    })
}

fn request() -> impl Strategy<Value = Request> {
    let actions = select(vec!["s:a:get", "s:a:put", "s:b:put", "s:b:get"]);
    let resources = select(vec!["-", "s:r:acc:a:1", "s:r:acc:a:2", "s:r:acc:b:1"]);
    (actions, resources, context()).prop_map(|(action, resource, context)| {
        Request::new(action, Resource::parse(resource).unwrap_or_default(), context)
    })
}

/// How much an answer gives away.
fn generosity(effect: Effect) -> u8 {
    match effect {
        Effect::ExplicitDeny => 0,
        Effect::DefaultDeny => 1,
        Effect::Allow => 2,
    }
}

/// A value of another kind in the place of one field's value.
fn broken(mut statements: Vec<Value>, at: prop::sample::Index, field: prop::sample::Index) -> Vec<Value> {
    let at = at.index(statements.len());
    let fields: Vec<String> = statements[at].as_object().unwrap().keys().cloned().collect();
    statements[at][fields[field.index(fields.len())].as_str()] = json!(5);
    statements
}

proptest! {
    #[test]
    fn the_order_of_statements_and_documents_is_irrelevant(
        all in statements(), request in request(), shuffled in any::<prop::sample::Index>(),
    ) {
        let mut turned = all.clone();
        turned.rotate_left(shuffled.index(all.len()));
        turned.reverse();
        let expected = effect(&[&document(&all)], &request);
        prop_assert_eq!(effect(&[&document(&turned)], &request), expected);
        let single: Vec<Document> = turned.iter().map(|one| document(std::slice::from_ref(one))).collect();
        prop_assert_eq!(effect(&single.iter().collect::<Vec<_>>(), &request), expected);
    }

    #[test]
    fn adding_a_deny_never_allows_more(all in statements(), added in statement(), request in request()) {
        let mut more = all.clone();
        more.push(added);
        more.last_mut().unwrap()["Effect"] = json!("Deny");
        let before = effect(&[&document(&all)], &request);
        prop_assert!(generosity(effect(&[&document(&more)], &request)) <= generosity(before));
    }

    #[test]
    fn adding_an_allow_never_denies_more(all in statements(), added in statement(), request in request()) {
        let mut more = all.clone();
        more.push(added);
        more.last_mut().unwrap()["Effect"] = json!("Allow");
        let before = effect(&[&document(&all)], &request);
        prop_assert!(generosity(effect(&[&document(&more)], &request)) >= generosity(before));
    }

    #[test]
    fn an_action_that_nothing_names_is_not_allowed(all in statements(), context in context()) {
        let named = |statement: &Value| statement.get("Action").is_some();
        let all: Vec<Value> = all.into_iter().filter(named).collect();
        prop_assume!(!all.is_empty());
        let request = Request::new("other:a:get", Resource::none(), context);
        prop_assert_eq!(effect(&[&document(&all)], &request), Effect::DefaultDeny);
    }

    #[test]
    fn the_reasons_say_what_the_effect_says(all in statements(), request in request()) {
        let document = document(&all);
        let decision = decide(&[&document], &request);
        prop_assert_eq!(decision.effect, effect(&[&document], &request));
        prop_assert_eq!(decision.statements.is_empty(), decision.effect == Effect::DefaultDeny);
        prop_assert!(decision.nearest.len() <= 5);
        let wanted = if decision.effect == Effect::Allow { "Allow" } else { "Deny" };
        for made in &decision.statements {
            // A statement that is named has that effect by itself.
            let alone = &all[made.index.unwrap()];
            prop_assert_eq!(&alone["Effect"], wanted);
            prop_assert_eq!(effect(&[&self::document(std::slice::from_ref(alone))], &request), decision.effect);
        }
    }

    #[test]
    fn breaking_a_field_never_allows_more(
        all in statements(), request in request(),
        at in any::<prop::sample::Index>(), field in any::<prop::sample::Index>(),
    ) {
        let text = json!({"Version": "5.0", "Statement": broken(all.clone(), at, field)}).to_string();
        let stored = Document::stored("d", &text, &Grammar::ATTACHED);
        prop_assert!(!stored.problems().is_empty());
        prop_assert!(Document::parse("d", &text, &Grammar::ATTACHED).is_err());
        let before = effect(&[&document(&all)], &request);
        prop_assert!(generosity(effect(&[&stored], &request)) <= generosity(before));
    }

    #[test]
    fn what_is_allowed_for_every_value_is_allowed_for_each(
        all in statements(), request in request(), value in "[1-4a]{0,2}",
    ) {
        let document = document(&all);
        let every = decide_over(&[&document], &request, KEY, Over::Every).effect;
        let each = decide_over(&[&document], &request, KEY, Over::Each(&[value])).effect;
        prop_assert!(generosity(every) <= generosity(each));
    }

    #[test]
    fn what_is_unknown_is_never_better_than_any_way_it_could_be(
        all in statements(), request in request(), values in vec("[1-4]", 0..3),
    ) {
        let document = document(&all);
        let (mut unknown, mut known) = (request.clone(), request);
        unknown.context_mut().unknown(KEY);
        for value in values {
            known.context_mut().add(KEY, value);
        }
        let (unknown, known) = (effect(&[&document], &unknown), effect(&[&document], &known));
        prop_assert!(generosity(unknown) <= generosity(known));
    }

    #[test]
    fn questions_together_are_as_good_as_the_worst(all in statements(), requests in vec(request(), 1..4)) {
        let document = document(&all);
        let worst = requests.iter().map(|request| generosity(effect(&[&document], request))).min().unwrap();
        prop_assert_eq!(generosity(decide_all(&[&document], &requests).effect), worst);
    }

    #[test]
    fn a_limit_is_as_good_as_the_worse_of_both(own in statements(), limit in statements(), request in request()) {
        let (own, limit) = (decide(&[&document(&own)], &request), decide(&[&document(&limit)], &request));
        let worse = generosity(own.effect).min(generosity(limit.effect));
        prop_assert_eq!(generosity(own.within(limit).effect), worse);
    }
}

/// A generator that gives the same numbers every time.
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// Reads a text in both ways and asks it; both readings must agree about whether it is in order.
fn survive(text: &str) {
    let stored = Document::stored("d", text, &Grammar::ATTACHED);
    assert_eq!(
        stored.problems().is_empty(),
        Document::parse("d", text, &Grammar::ATTACHED).is_ok(),
        "{text}"
    );
    assert!(stored.problems().len() <= 50);
    let resource = Resource::parse("s:r:acc:a:1").unwrap_or_default();
    let mut context = Context::new().with("g:UserId", "1").with("g:Age", "x");
    context.every(KEY);
    let decision = decide(&[&stored], &Request::new("s:a:get", resource, context));
    assert!(decision.to_string().len() < 100_000);
    assert!(stored.grammar().is_some() || decision.effect == Effect::ExplicitDeny, "{text}");
}

#[test]
fn noise_is_survived() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for _ in 0..5_000 {
        let bytes: Vec<u8> = (0..noise.below(200)).map(|_| u8::try_from(noise.below(256)).unwrap()).collect();
        survive(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn documents_with_mistakes_of_every_kind_are_survived() {
    let document = json!({"Version": "5.0", "Statement": [
        {"Sid": "x", "Effect": "Allow", "Action": ["s:a:*"], "Resource": ["s:*:*:a:?"],
         "Condition": {"ForAnyValue:StringMatchIfExists": {"g:UserId": ["*1", "?"]}, "Null": {"g:Age": "false"}}},
        {"Effect": "Deny", "NotAction": ["s:a:get"], "NotResource": ["s:*:*:b:*"],
         "Condition": {"NotIpAddress": {"g:SourceIp": ["::/0"]}, "DateLessThan": {"g:CurrentTime": "2026-01-01T00:00:00Z"}}}]});
    let original: Vec<char> = document.to_string().chars().collect();
    let spice: Vec<char> = "{}[]\",:*?$01 ExsA\\u\u{0}é".chars().collect();
    let mut noise = Noise(7);
    for _ in 0..10_000 {
        let mut text = original.clone();
        for _ in 0..=noise.below(3) {
            let at = noise.below(text.len().max(2) - 1);
            match noise.below(4) {
                0 => text[at] = spice[noise.below(spice.len())],
                1 => text.insert(at, spice[noise.below(spice.len())]),
                2 => drop(text.remove(at)),
                _ => text.truncate(at.max(2)),
            }
        }
        survive(&text.into_iter().collect::<String>());
    }
}

#[test]
fn the_most_hostile_document_of_legal_size_is_asked_in_bounded_time() {
    let pattern = format!("s:a:{}b", "a?*".repeat(480));
    let statements = vec![json!({"Effect": "Deny", "Action": [pattern]}); 20];
    let text = json!({"Version": "5.0", "Statement": statements}).to_string();
    assert!(text.len() <= crate::MAX_BYTES);
    let document = Document::parse("d", &text, &Grammar::ATTACHED).unwrap();
    let request = Request::new(&format!("s:a:{}", "a".repeat(1_000)), Resource::none(), Context::new());
    assert_eq!(effect(&[&document], &request), Effect::DefaultDeny);
}
