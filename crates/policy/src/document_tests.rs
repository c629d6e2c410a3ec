//! Documents: what each grammar takes, what it refuses and how it says so, and what becomes of broken ones.

use serde_json::{Value, json};

use crate::{Context, Document, Effect, Grammar, MAX_BYTES, Request, Resource, decide, effect};

fn parse(text: &str) -> Result<Document, domain::Error> {
    Document::parse("d", text, &Grammar::ATTACHED)
}

/// A document of one statement; `fields` are put over those of an ordinary one, `null` takes one away.
fn statement(grammar: Grammar, fields: &Value) -> String {
    let action = if grammar == Grammar::Classic { "s:Op" } else { "s:t:op" };
    let mut statement = json!({"Effect": "Allow", "Action": [action]});
    if grammar == Grammar::Classic {
        statement["Resource"] = json!(["*"]);
    }
    for (field, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(statement.as_object_mut().unwrap().remove(field)),
            value => statement[field] = value.clone(),
        }
    }
    json!({"Version": grammar.version(), "Statement": [statement]}).to_string()
}

fn asked(document: &Document, action: &str) -> Effect {
    effect(&[document], &Request::new(action, Resource::none(), Context::new()))
}

#[test]
fn each_grammar_takes_what_its_documents_show() {
    use Grammar::{Classic, Identity, Role, RolePolicy};
    for (grammar, fields) in [
        (Identity, json!({"Sid": "S1", "Action": ["s::op", "s:*:get", "s:t*", "*"]})),
        (Identity, json!({"Action": null, "NotAction": ["s:t:op"], "NotResource": ["s:r:a:t:p/*"]})),
        (Identity, json!({"Resource": ["*"], "Condition": {"StringEquals": {"g:UserId": "u"}}})),
        (
            Identity,
            json!({"Condition": {"ForAnyValue:StringMatch": {"g:TagKeys": ["a*", "b"]}, "Bool": {"g:MFA": ["true"]}}}),
        ),
        (Identity, json!({"Condition": {"StringEndWithIfExists": {"g:UserName": ["x"]}}})),
        (RolePolicy, json!({"Resource": ["s:*:*:bucket:*"]})),
        (RolePolicy, json!({"Resource": {"uri": ["/iam/agencies/07805a"]}})),
        (RolePolicy, json!({"Condition": {"StringStartWith": {"g:ProjectName": ["eu"]}}})),
        (Role, json!({"Action": ["S:*:*", "s:cluster:list"]})),
        (Classic, json!({"Action": "s:*", "Resource": "*"})),
        (Classic, json!({"Action": "*", "Resource": ["acs:s:*:*:cluster/c1"]})),
        (
            Classic,
            json!({"Action": null, "NotAction": "s:Op", "Resource": null, "NotResource": "acs:s:*:*:x"}),
        ),
        (Classic, json!({"Condition": {"NumericLessThan": {"acs:Age": "5"}}})),
    ] {
        let document =
            parse(&statement(grammar, &fields)).unwrap_or_else(|error| panic!("{fields}: {error}"));
        assert_eq!(document.grammar(), Some(grammar));
        assert!(document.problems().is_empty());
    }
}

/// What is refused: grammar, fields, the field that the error names, and a piece of what it says.
type Refusal = (Grammar, Value, &'static str, &'static str);

fn refusals() -> Vec<Refusal> {
    [of_identity_policies(), of_conditions(), of_other_grammars()].concat()
}

fn of_identity_policies() -> Vec<Refusal> {
    use Grammar::Identity;
    vec![
        (Identity, json!({"Effect": "allow"}), "Effect", "must be `Allow` or `Deny`, not `allow`"),
        (Identity, json!({"Effect": null}), "Effect", "is required"),
        (Identity, json!({"Effect": true}), "Effect", "not a boolean"),
        (Identity, json!({"Action": null}), "Action", "is required (or `NotAction`)"),
        (Identity, json!({"NotAction": ["s:t:op"]}), "NotAction", "cannot stand beside `Action`"),
        (Identity, json!({"Action": "s:t:op"}), "Action", "must be a list of texts, not a text"),
        (Identity, json!({"Action": []}), "Action", "must not be empty"),
        (Identity, json!({"Action": ["s:t:op", 5]}), "Action[1]", "must be a text, not a number"),
        (Identity, json!({"Action": ["s:t"]}), "Action[0]", "must be `service:type:operation`"),
        (Identity, json!({"Action": ["s:t:op:more"]}), "Action[0]", "must be `service:type:operation`"),
        (Identity, json!({"Action": [":t:op"]}), "Action[0]", "must be `service:type:operation`"),
        (Identity, json!({"Action": ["s:t:"]}), "Action[0]", "must be `service:type:operation`"),
        (Identity, json!({"Action": ["s:t:o p"]}), "Action[0]", "must be `service:type:operation`"),
        (Identity, json!({"Action": [""]}), "Action[0]", "must be `service:type:operation`"),
        (Identity, json!({"Action": null, "NotAction": []}), "NotAction", "must not be empty"),
        (Identity, json!({"Resource": "*"}), "Resource", "must be a list of texts"),
        (Identity, json!({"Resource": []}), "Resource", "must not be empty"),
        (Identity, json!({"Resource": ["s:r:a:t"]}), "Resource[0]", "must be `*` or have five parts"),
        (Identity, json!({"Resource": ["*"], "NotResource": ["*"]}), "NotResource", "cannot stand beside"),
        (
            Identity,
            json!({"Resource": {"uri": ["/x"]}}),
            "Resource",
            "must be a list of texts, not an object",
        ),
        (Identity, json!({"Resource": ["s:r:a:t:${g:UserId}"]}), "Resource[0]", "variables are not known"),
        (Identity, json!({"action": ["s:t:op"]}), "action", "did you mean `Action`"),
        (Identity, json!({"Notes": "x"}), "Notes", "is not known in version `5.0`"),
        (Identity, json!({"Principal": {"IAM": ["a"]}}), "Principal", "belongs into trust policies"),
        (Identity, json!({"Sid": 1}), "Sid", "must be a text"),
    ]
}

fn of_conditions() -> Vec<Refusal> {
    use Grammar::Identity;
    vec![
        (Identity, json!({"Condition": []}), "Condition", "must be an object"),
        (Identity, json!({"Condition": {}}), "Condition", "must name an operator"),
        (
            Identity,
            json!({"Condition": {"StringEqual": {"g:U": "a"}}}),
            "Condition.StringEqual",
            "did you mean `StringEquals`",
        ),
        (
            Identity,
            json!({"Condition": {"StringEquals": ["g:U"]}}),
            "Condition.StringEquals",
            "must be an object of keys",
        ),
        (
            Identity,
            json!({"Condition": {"StringEquals": {}}}),
            "Condition.StringEquals",
            "must name a condition key",
        ),
        (
            Identity,
            json!({"Condition": {"StringEquals": {"UserId": "a"}}}),
            "Condition.StringEquals.UserId",
            "`service:Name`",
        ),
        (
            Identity,
            json!({"Condition": {"StringEquals": {"g:U": []}}}),
            "Condition.StringEquals.g:U",
            "must not be empty",
        ),
        (
            Identity,
            json!({"Condition": {"NumberEquals": {"g:N": [5]}}}),
            "Condition.NumberEquals.g:N[0]",
            "written as texts",
        ),
        (
            Identity,
            json!({"Condition": {"StringEquals": {"g:U": "${g:V}"}}}),
            "Condition.StringEquals.g:U[0]",
            "variables",
        ),
        (
            Identity,
            json!({"Condition": {"Null": {"g:U": ["true", "false"]}}}),
            "Condition.Null.g:U",
            "must have one value",
        ),
    ]
}

fn of_other_grammars() -> Vec<Refusal> {
    use Grammar::{Classic, Role, RolePolicy};
    vec![
        (RolePolicy, json!({"Sid": "x"}), "Sid", "is not known in version `1.1`"),
        (RolePolicy, json!({"NotAction": ["s:t:op"]}), "NotAction", "is not known in version `1.1`"),
        (RolePolicy, json!({"Action": vec!["s:t:op"; 101]}), "Action", "must hold at most 100 actions"),
        (RolePolicy, json!({"Resource": vec!["*"; 11]}), "Resource", "must hold at most 10 resources"),
        (
            RolePolicy,
            json!({"Resource": [format!("s:r:a:t:{}", "x".repeat(121))]}),
            "Resource[0]",
            "at most 128 characters",
        ),
        (RolePolicy, json!({"Resource": {"url": ["/x"]}}), "Resource.url", "did you mean `uri`"),
        (RolePolicy, json!({"Resource": {}}), "Resource.uri", "is required"),
        (Role, json!({"Resource": ["*"]}), "Resource", "is not known in version `1.0`"),
        (Role, json!({"Condition": {"Bool": {"g:M": "true"}}}), "Condition", "is not known in version `1.0`"),
        (Classic, json!({"Resource": null}), "Resource", "is required; `*` means all"),
        (Classic, json!({"Action": "s:t:Op"}), "Action[0]", "must be `service:Operation`"),
        (Classic, json!({"Sid": "x"}), "Sid", "is not known in version `1`"),
        (
            Classic,
            json!({"Condition": {"Null": {"acs:U": "true"}}}),
            "Condition.Null",
            "is not an operator of version `1`",
        ),
    ]
}

#[test]
fn what_is_wrong_is_refused_naming_statement_field_and_remedy() {
    for (grammar, fields, field, hint) in refusals() {
        let error = parse(&statement(grammar, &fields)).unwrap_err();
        assert_eq!(error.field(), Some(format!("Statement[0].{field}").as_str()), "{fields}");
        assert!(error.message().contains(hint), "{fields}: {error}");
        assert!(!error.message().ends_with('.'), "{error}");
    }
}

#[test]
fn what_is_wrong_around_the_statements_is_refused_too() {
    let long = " ".repeat(MAX_BYTES + 1);
    let many =
        json!({"Version": "5.0", "Statement": vec![json!({"Effect": "Allow", "Action": ["a:b:c"]}); 201]});
    let many = many.to_string();
    for (text, field, hint) in [
        ("", None, "must be JSON"),
        ("[]", None, "must be a JSON object, not a list"),
        (long.as_str(), None, "must have at most 32768 bytes"),
        ("{}", Some("Version"), "is required: `5.0` or `1.1` or `1.0` or `1`"),
        (r#"{"Version":"2012-10-17"}"#, Some("Version"), "not `2012-10-17`"),
        (r#"{"Version":5.0,"Statement":[]}"#, Some("Version"), "not a number"),
        (r#"{"Version":"5.0"}"#, Some("Statement"), "is required"),
        (r#"{"Version":"5.0","Statement":[]}"#, Some("Statement"), "must hold at least one"),
        (r#"{"Version":"5.0","Statement":{}}"#, Some("Statement"), "must be a list"),
        (r#"{"Version":"5.0","Statement":[5]}"#, Some("Statement[0]"), "must be an object, not a number"),
        (r#"{"Version":"5.0","Id":"x","Statement":[{}]}"#, Some("Id"), "is not known here"),
        (r#"{"Version":"5.0","Version":"1.1","Statement":[]}"#, None, "the key `Version` is given twice"),
        (r#"{"Version":"5.0","Depends":[],"Statement":[]}"#, Some("Depends"), "version `1.0` only"),
        (r#"{"Version":"1.0","Depends":[{"catalog":"x"}],"Statement":[]}"#, Some("Depends[0]"), "must have"),
        (many.as_str(), Some("Statement"), "at most 200"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.field(), field, "{text:.60}");
        assert!(error.to_string().contains(hint), "{text:.60}: {error}");
    }
}

#[test]
fn grammars_that_are_not_welcome_are_refused() {
    let text = statement(Grammar::Classic, &json!({}));
    let error = Document::parse("d", &text, &[Grammar::Identity, Grammar::RolePolicy]).unwrap_err();
    assert_eq!(error.to_string(), "`Version` must be `5.0` or `1.1`, not `1`");
}

#[test]
fn every_problem_is_collected_and_there_are_never_too_many() {
    let broken = json!({"Effect": "x", "Action": "y", "Sid": 1});
    let text = json!({"Version": "5.0", "Statement": [broken, broken]}).to_string();
    let paths: Vec<String> = Document::stored("d", &text, &Grammar::ATTACHED)
        .problems()
        .iter()
        .map(|p| p.path().to_owned())
        .collect();
    let expected = ["Sid", "Effect", "Action"];
    let of = |at: usize| expected.map(|field| format!("Statement[{at}].{field}"));
    assert_eq!(paths, [of(0), of(1)].concat());
    let text = json!({"Version": "5.0", "Statement": vec![broken; 100]}).to_string();
    let document = Document::stored("d", &text, &Grammar::ATTACHED);
    assert_eq!(document.problems().len(), 50);
    assert_eq!(asked(&document, "s:t:op"), Effect::ExplicitDeny);
}

#[test]
fn what_comes_after_too_many_problems_grants_nothing() {
    let broken = json!({"Effect": "Allow", "Action": ["*"], "Notes": "x"});
    let text = json!({"Version": "5.0", "Statement": vec![broken; 60]}).to_string();
    let document = Document::stored("d", &text, &Grammar::ATTACHED);
    assert_eq!(document.problems().len(), 50);
    assert_eq!(asked(&document, "s:t:op"), Effect::DefaultDeny);
}

#[test]
fn a_stored_document_of_no_statements_or_too_many_denies_everything() {
    for count in [0, 201] {
        let deny = json!({"Effect": "Deny", "Action": ["s:t:op"]});
        let text = json!({"Version": "5.0", "Statement": vec![deny; count]}).to_string();
        let document = Document::stored("d", &text, &Grammar::ATTACHED);
        assert_eq!(asked(&document, "s:t:op"), Effect::ExplicitDeny, "{count}");
    }
}

#[test]
fn what_a_message_repeats_is_short_and_tame() {
    let text = statement(Grammar::Identity, &json!({"Effect": "\u{1b}[31m".repeat(1000)}));
    let message = parse(&text).unwrap_err().to_string();
    assert!(message.len() < 300 && !message.contains('\u{1b}'), "{message}");
}

#[test]
fn roles_name_others_that_they_need() {
    let text = r#"{"Version":"1.0","Statement":[{"Effect":"Allow","Action":["s:*:*"]}],
        "Depends":[{"catalog":"BASE","display_name":"Tenant Guest"}]}"#;
    let document = parse(text).unwrap();
    assert_eq!(document.dependencies().len(), 1);
    assert_eq!(document.dependencies()[0].display_name, "Tenant Guest");
}

#[test]
fn a_broken_allow_in_a_stored_document_grants_nothing_and_the_rest_still_does() {
    for (grammar, fields, field, _) in refusals() {
        let mut text: Value = serde_json::from_str(&statement(grammar, &fields)).unwrap();
        // An effect that cannot be read may have been a deny.
        if field == "Effect" {
            continue;
        }
        let (good, action) = match grammar {
            Grammar::Classic => (json!({"Effect": "Allow", "Action": "o:Op", "Resource": "*"}), "o:op"),
            _ => (json!({"Effect": "Allow", "Action": ["o:t:op"]}), "o:t:op"),
        };
        text["Statement"].as_array_mut().unwrap().push(good);
        let document = Document::stored("d", &text.to_string(), &Grammar::ATTACHED);
        assert!(!document.problems().is_empty(), "{fields}");
        for asked_for in ["s:t:op", "s:op", "x:y:z"] {
            assert_eq!(asked(&document, asked_for), Effect::DefaultDeny, "{fields}");
        }
        assert_eq!(asked(&document, action), Effect::Allow, "{fields}");
    }
}

#[test]
fn a_broken_deny_in_a_stored_document_denies_what_it_may_have_meant() {
    for (grammar, fields, field, _) in refusals() {
        let action = if grammar == Grammar::Classic { "s:Op" } else { "s:t:op" };
        let mut text: Value = serde_json::from_str(&statement(grammar, &fields)).unwrap();
        if field != "Effect" {
            text["Statement"][0]["Effect"] = json!("Deny");
        }
        let everything = match grammar {
            Grammar::Classic => json!({"Effect": "Allow", "Action": "*", "Resource": "*"}),
            _ => json!({"Effect": "Allow", "Action": ["*"]}),
        };
        text["Statement"].as_array_mut().unwrap().push(everything);
        let document = Document::stored("d", &text.to_string(), &Grammar::ATTACHED);
        // What is denied is what was asked for, on any resource: the parts that are whole still narrow it.
        let resource = Resource::parse("s:r:a:t:p").unwrap();
        let mut context = Context::new();
        context.add("g:U", "a");
        let request = Request::new(action, resource, context);
        assert_eq!(effect(&[&document], &request), Effect::ExplicitDeny, "{fields}");
        let whole_action = !field.contains("Action");
        let other = asked(&document, "other:t:op");
        assert_eq!(other == Effect::Allow, whole_action, "{fields}");
    }
}

#[test]
fn a_stored_document_that_cannot_be_read_at_all_denies_everything_and_says_so() {
    let good = parse(&statement(Grammar::Identity, &json!({"Action": ["*"]}))).unwrap();
    for text in
        ["", "{", r#"{"Version":"6.0","Statement":[]}"#, r#"{"Version":"5.0","Statement":[],"Id":"x"}"#]
    {
        let broken = Document::stored("torn", text, &Grammar::ATTACHED);
        assert_eq!(broken.grammar(), None);
        assert_eq!(broken.problems().len(), 1);
        let request = Request::new("s:t:op", Resource::none(), Context::new());
        let decision = decide(&[&good, &broken], &request);
        assert_eq!(decision.effect, Effect::ExplicitDeny);
        assert_eq!(decision.to_string(), "denied by policy `torn`, which cannot be read");
    }
}
