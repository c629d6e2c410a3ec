//! Decisions: the documents' own examples, what wins over what, and what the reasons say.

use serde_json::json;

use crate::{Context, Decision, Document, Effect, Grammar, Over, Request, Resource, Why};
use crate::{decide, decide_all, decide_over};

fn document(name: &str, statements: &serde_json::Value) -> Document {
    let text = json!({"Version": "5.0", "Statement": statements}).to_string();
    Document::parse(name, &text, &Grammar::ATTACHED).unwrap()
}

fn ask(documents: &[&Document], action: &str, resource: &str, context: Context) -> Decision {
    let resource = Resource::parse(resource).unwrap_or_default();
    decide(documents, &Request::new(action, resource, context))
}

/// The shape of the example in the vendor's guide: a type without resources, one within a cluster, a deny by tag.
fn example() -> Document {
    document(
        "example",
        &json!([
        {"Effect": "Allow", "Action": ["fleet:accessPolicy:*"], "Resource": ["*"]},
        {"Effect": "Allow", "Action": ["fleet:association:list", "fleet:association:get"],
         "Resource": ["fleet:*:*:association:*"],
         "Condition": {"StringEquals": {"fleet:ClusterId": ["c1"]}}},
        {"Sid": "KeepProd", "Effect": "Deny", "Action": ["fleet:association:delete"], "Resource": ["*"],
         "Condition": {"StringNotEqualsIgnoreCase": {"g:ResourceTag/env": "dev"}}}]),
    )
}

#[test]
fn the_documented_example_decides_as_documented() {
    use Effect::{Allow, DefaultDeny, ExplicitDeny};
    let (policy, one) = (example(), "fleet:eu:acc:association:a1");
    let in_cluster = |id| Context::new().with("fleet:ClusterId", id);
    let tagged = |env| Context::new().with("g:ResourceTag/env", env);
    for (action, resource, context, expected) in [
        ("fleet:accessPolicy:post", "-", Context::new(), Allow),
        ("FLEET:accesspolicy:LIST", "-", Context::new(), Allow),
        ("fleet:accessPolicies:post", "-", Context::new(), DefaultDeny),
        ("fleet:association:list", one, in_cluster("c1"), Allow),
        ("fleet:association:list", one, in_cluster("c2"), DefaultDeny),
        ("fleet:association:list", one, in_cluster("C1"), DefaultDeny),
        ("fleet:association:list", one, Context::new(), DefaultDeny),
        ("fleet:association:list", "fleet:eu:acc:cluster:c1", in_cluster("c1"), DefaultDeny),
        ("fleet:association:create", one, in_cluster("c1"), DefaultDeny),
        ("fleet:association:delete", one, tagged("prod"), ExplicitDeny),
        ("fleet:association:delete", one, Context::new(), ExplicitDeny),
        ("fleet:association:delete", one, tagged("DEV"), DefaultDeny),
    ] {
        assert_eq!(ask(&[&policy], action, resource, context).effect, expected, "{action} {resource}");
    }
}

#[test]
fn a_deny_anywhere_wins_over_allows_everywhere() {
    let all = document("all", &json!([{"Effect": "Allow", "Action": ["*"]}]));
    let but = document(
        "but",
        &json!([{"Effect": "Allow", "Action": ["*"]},
        {"Effect": "Deny", "Action": ["fleet:*:delete"]}]),
    );
    for documents in [[&all, &but], [&but, &all]] {
        let decision = ask(&documents, "fleet:cluster:delete", "-", Context::new());
        assert_eq!(decision.effect, Effect::ExplicitDeny);
        assert_eq!(decision.to_string(), "denied by policy `but`, statement 1");
        assert!(ask(&documents, "fleet:cluster:get", "-", Context::new()).is_allowed());
    }
    assert_eq!(ask(&[], "fleet:cluster:get", "-", Context::new()).effect, Effect::DefaultDeny);
}

#[test]
fn all_conditions_of_a_statement_must_be_met() {
    let policy = document(
        "p",
        &json!([{"Effect": "Allow", "Action": ["*"], "Condition": {
        "StringEquals": {"g:UserName": ["ann", "bob"], "g:ProjectName": "eu"}, "Bool": {"g:MFAPresent": "true"}}}]),
    );
    let context = |user: &str, project: &str, mfa: &str| {
        Context::new().with("g:UserName", user).with("g:ProjectName", project).with("g:MFAPresent", mfa)
    };
    for (user, project, mfa, expected) in [
        ("ann", "eu", "true", true),
        ("bob", "eu", "true", true),
        ("eve", "eu", "true", false),
        ("ann", "us", "true", false),
        ("ann", "eu", "false", false),
    ] {
        assert_eq!(ask(&[&policy], "a:b:c", "-", context(user, project, mfa)).is_allowed(), expected);
    }
}

#[test]
fn what_is_left_out_is_neither_granted_nor_denied_by_that() {
    let policy = document(
        "p",
        &json!([
        {"Effect": "Allow", "NotAction": ["iam:*:*"], "NotResource": ["fleet:*:*:cluster:prod"]}]),
    );
    let cluster = |id: &str| format!("fleet:eu:acc:cluster:{id}");
    assert!(ask(&[&policy], "fleet:cluster:get", &cluster("dev"), Context::new()).is_allowed());
    for (action, resource) in [("fleet:cluster:get", cluster("prod")), ("iam:user:get", cluster("dev"))] {
        assert_eq!(ask(&[&policy], action, &resource, Context::new()).effect, Effect::DefaultDeny);
    }
    // What has no resource is granted by `*` alone.
    assert_eq!(ask(&[&policy], "fleet:cluster:list", "-", Context::new()).effect, Effect::DefaultDeny);
}

#[test]
fn an_operation_with_several_names_may_be_called_by_any() {
    let request = Request::new("s:Get", Resource::none(), Context::new()).also_called("s:Describe");
    let with = |statement| document("p", &json!([statement]));
    for (does, key, action, expected) in [
        ("Allow", "Action", "s:t:get", Effect::DefaultDeny),
        ("Allow", "Action", "s:*get", Effect::Allow),
        ("Allow", "Action", "s:*DESCRIBE", Effect::Allow),
        ("Deny", "Action", "s:*describe", Effect::ExplicitDeny),
        ("Allow", "NotAction", "s:*describe", Effect::DefaultDeny),
        ("Deny", "NotAction", "s:*get", Effect::DefaultDeny),
        ("Deny", "NotAction", "x:*", Effect::ExplicitDeny),
    ] {
        let policy = with(json!({"Effect": does, key: [action]}));
        assert_eq!(decide(&[&policy], &request).effect, expected, "{does} {key} {action}");
    }
}

#[test]
fn a_no_names_the_nearest_allows_and_what_kept_them() {
    let policy = document(
        "p",
        &json!([
        {"Effect": "Allow", "Action": ["x:y:z"]},
        {"Effect": "Allow", "Action": ["fleet:cluster:get"], "Resource": ["fleet:*:*:cluster:c9"]},
        {"Sid": "Mine", "Effect": "Allow", "Action": ["fleet:*:*"],
         "Condition": {"StringEquals": {"fleet:ClusterId": ["c1"]}}}]),
    );
    let context = Context::new().with("fleet:ClusterId", "c2");
    let decision = ask(&[&policy], "fleet:cluster:get", "fleet:eu:acc:cluster:c2", context);
    let found: Vec<_> =
        decision.nearest.iter().map(|miss| (miss.statement.index, miss.why.clone())).collect();
    let condition = "Condition.StringEquals.fleet:ClusterId".to_owned();
    assert_eq!(found, [(Some(2), Why::ConditionNotMet(condition)), (Some(1), Why::Resource)]);
    assert_eq!(
        decision.to_string(),
        "no statement allows it; nearest: policy `p`, statement 2 (`Mine`): \
         `Condition.StringEquals.fleet:ClusterId` is not met; policy `p`, statement 1: is about other resources"
    );
    let none = ask(&[&policy], "other:a:b", "-", Context::new());
    assert_eq!(none.to_string(), "no statement allows the action");
}

#[test]
fn a_yes_names_the_statements_that_made_it() {
    let one = document(
        "one",
        &json!([{"Effect": "Allow", "Action": ["x:y:z"]}, {"Effect": "Allow", "Action": ["*"]}]),
    );
    let two = document("two", &json!([{"Sid": "All", "Effect": "Allow", "Action": ["*:*:*"]}]));
    let decision = ask(&[&one, &two], "a:b:c", "-", Context::new());
    assert_eq!(
        decision.to_string(),
        "allowed by policy `one`, statement 1; policy `two`, statement 0 (`All`)"
    );
}

/// Documents that would open if the key were just left out, and one that names a cluster, in a table.
fn per_cluster(does: &str, operator: &str, value: &str) -> Document {
    document(
        "p",
        &json!([{"Effect": "Allow", "Action": ["x:y:z"]},
        {"Effect": does, "Action": ["fleet:*:*"], "Condition": {operator: {"fleet:ClusterId": [value]}}}]),
    )
}

#[test]
fn a_question_about_several_clusters_is_asked_for_each_of_them() {
    use Effect::{Allow, DefaultDeny, ExplicitDeny};
    let everything = document("all", &json!([{"Effect": "Allow", "Action": ["*"]}]));
    let (one, both) = (["dev".to_owned()], ["dev".to_owned(), "prod".to_owned()]);
    for (does, operator, value, of_one, of_both, of_every) in [
        ("Allow", "StringNotEquals", "prod", Allow, DefaultDeny, DefaultDeny),
        ("Allow", "StringEqualsIfExists", "dev", Allow, DefaultDeny, DefaultDeny),
        ("Allow", "StringNotEqualsIfExists", "prod", Allow, DefaultDeny, DefaultDeny),
        ("Allow", "ForAllValues:StringEquals", "dev", Allow, DefaultDeny, DefaultDeny),
        ("Allow", "StringEquals", "dev", Allow, DefaultDeny, DefaultDeny),
        ("Allow", "StringEquals", "*", DefaultDeny, DefaultDeny, DefaultDeny),
        ("Allow", "StringMatch", "*", Allow, Allow, Allow),
        ("Allow", "StringMatch", "d*", Allow, DefaultDeny, DefaultDeny),
        ("Allow", "Null", "true", DefaultDeny, DefaultDeny, DefaultDeny),
        ("Allow", "Null", "false", Allow, Allow, Allow),
        ("Deny", "StringEquals", "prod", Allow, ExplicitDeny, ExplicitDeny),
        ("Deny", "StringEquals", "unborn", Allow, Allow, ExplicitDeny),
        ("Deny", "StringNotEquals", "dev", Allow, ExplicitDeny, ExplicitDeny),
        ("Deny", "StringNotMatch", "*", Allow, Allow, Allow),
        ("Deny", "ForAnyValue:StringEquals", "prod", Allow, ExplicitDeny, ExplicitDeny),
    ] {
        let policy = per_cluster(does, operator, value);
        let documents: &[&Document] = if does == "Deny" { &[&everything, &policy] } else { &[&policy] };
        let request = Request::new("fleet:accessPolicy:post", Resource::none(), Context::new());
        let over = |over| decide_over(documents, &request, "fleet:ClusterId", over).effect;
        assert_eq!(over(Over::Each(&one)), of_one, "{does} {operator} {value}: one");
        assert_eq!(over(Over::Each(&both)), of_both, "{does} {operator} {value}: both");
        assert_eq!(over(Over::Every), of_every, "{does} {operator} {value}: every");
        assert_eq!(over(Over::Each(&[])), DefaultDeny, "nothing is not everything");
    }
}

#[test]
fn allows_for_parts_do_not_add_up_to_an_allow_for_all() {
    let policy = document(
        "p",
        &json!([
        {"Effect": "Allow", "Action": ["*"], "Condition": {"StringEquals": {"fleet:ClusterId": "c1"}}},
        {"Effect": "Allow", "Action": ["*"], "Condition": {"StringNotEquals": {"fleet:ClusterId": "c1"}}}]),
    );
    let request = Request::new("a:b:c", Resource::none(), Context::new());
    let decisions = decide_over(&[&policy], &request, "fleet:ClusterId", Over::Every);
    assert!(!decisions.is_allowed());
    let (_, decision) = decisions.refused().next().unwrap();
    assert!(matches!(&decision.nearest[0].why, Why::ConditionNotCertain(path) if path.contains("ClusterId")));
}

#[test]
fn several_questions_are_all_to_be_allowed() {
    let policy = document(
        "p",
        &json!([{"Effect": "Allow", "Action": ["a:*:*"]}, {"Effect": "Deny", "Action": ["a:b:x"]}]),
    );
    let ask = |actions: &[&str]| {
        let requests: Vec<Request> =
            actions.iter().map(|a| Request::new(a, Resource::none(), Context::new())).collect();
        decide_all(&[&policy], &requests)
    };
    assert_eq!(ask(&[]).effect, Effect::DefaultDeny);
    assert_eq!(ask(&["a:b:c", "a:b:d"]).effect, Effect::Allow);
    assert_eq!(ask(&["a:b:c", "z:b:d"]).effect, Effect::DefaultDeny);
    let mixed = ask(&["z:b:d", "a:b:c", "a:b:x"]);
    assert_eq!(mixed.effect, Effect::ExplicitDeny);
    assert_eq!(mixed.refused().map(|(at, _)| at).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn a_limit_allows_nothing_and_takes_away() {
    let effects = |identity: &str, limit: &str| {
        let of = |effect: &str, name| document(name, &json!([{"Effect": effect, "Action": ["a:b:c"]}]));
        let decide = |document: Document| ask(&[&document], "a:b:c", "-", Context::new());
        decide(of(identity, "own")).within(decide(of(limit, "limit"))).effect
    };
    assert_eq!(effects("Allow", "Allow"), Effect::Allow);
    assert_eq!(effects("Allow", "Deny"), Effect::ExplicitDeny);
    assert_eq!(effects("Deny", "Allow"), Effect::ExplicitDeny);
    let own = ask(&[&example()], "fleet:accessPolicy:list", "-", Context::new());
    let none = ask(&[], "fleet:accessPolicy:list", "-", Context::new());
    assert_eq!(own.clone().within(none.clone()).effect, Effect::DefaultDeny);
    assert_eq!(none.within(own).effect, Effect::DefaultDeny);
}

#[test]
fn an_address_of_version_1_1_is_granted_by_its_address() {
    let text = json!({"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": ["iam:agencies:assume"],
        "Resource": {"uri": ["/iam/agencies/07805acaba800fdd4fbdc00b8f888c7c"]}}]});
    let policy = Document::parse("p", &text.to_string(), &[Grammar::RolePolicy]).unwrap();
    let agency = |id: &str| Resource::none().with_uri(&format!("/iam/agencies/{id}"));
    let ask =
        |resource| decide(&[&policy], &Request::new("iam:agencies:assume", resource, Context::new())).effect;
    assert_eq!(ask(agency("07805acaba800fdd4fbdc00b8f888c7c")), Effect::Allow);
    assert_eq!(ask(agency("0")), Effect::DefaultDeny);
    assert_eq!(ask(Resource::none()), Effect::DefaultDeny);
}
