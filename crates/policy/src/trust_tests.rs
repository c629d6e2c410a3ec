//! Trust policies: who may assume what they belong to.

use serde_json::{Value, json};

use crate::{Context, Document, Effect, Grammar, Request, Resource, effect};

fn parse(text: &Value) -> Result<Document, domain::Error> {
    Document::parse("trust", &text.to_string(), &Grammar::TRUST)
}

fn ask(document: &Document, kind: &str, name: &str) -> Effect {
    let request = Request::new("sts:agencies:assume", Resource::none(), Context::new());
    effect(&[document], &request.also_called("sts:AssumeRole").asked_by(kind, name))
}

#[test]
fn only_those_who_are_named_are_trusted() {
    let identity = json!({"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["sts:agencies:assume"],
        "Principal": {"IAM": ["acc1", "acc2"], "Service": ["service.pods"]}}]});
    let classic = json!({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": ["acc1", "acc2"], "Service": ["service.pods"]}}]});
    for (text, kind) in [(identity, "IAM"), (classic, "RAM")] {
        let document = parse(&text).unwrap();
        for (kind, name, expected) in [
            (kind, "acc2", Effect::Allow),
            ("Service", "service.pods", Effect::Allow),
            (kind, "acc", Effect::DefaultDeny),
            (kind, "service.pods", Effect::DefaultDeny),
            ("Service", "acc1", Effect::DefaultDeny),
        ] {
            assert_eq!(ask(&document, kind, name), expected, "{kind} {name}");
        }
        let nobody = Request::new("sts:agencies:assume", Resource::none(), Context::new());
        assert_eq!(effect(&[&document], &nobody), Effect::DefaultDeny);
    }
}

#[test]
fn a_deny_may_leave_somebody_out() {
    let document = parse(&json!({"Version": "5.0", "Statement": [
        {"Effect": "Allow", "Action": ["*"], "Principal": {"IAM": ["acc1", "acc2"]}},
        {"Effect": "Deny", "Action": ["*"], "NotPrincipal": {"IAM": ["acc1"]}}]}))
    .unwrap();
    assert_eq!(ask(&document, "IAM", "acc1"), Effect::Allow);
    assert_eq!(ask(&document, "IAM", "acc2"), Effect::ExplicitDeny);
}

#[test]
fn trust_that_is_not_said_plainly_is_refused_and_never_given() {
    for (fields, field, hint) in [
        (json!({}), "Principal", "is required in a trust policy"),
        (json!({"Principal": "*"}), "Principal", "must be an object of kinds"),
        (json!({"Principal": {}}), "Principal", "must not be empty"),
        (json!({"Principal": {"IAM": ["*"]}}), "Principal.IAM[0]", "there are no wildcards here"),
        (json!({"Principal": {"IAM": "acc1"}}), "Principal.IAM", "must be a list of texts"),
        (json!({"Principal": {"IAM": []}}), "Principal.IAM", "must not be empty"),
        (json!({"Principal": {"Iam": ["a"]}}), "Principal.Iam", "did you mean `IAM`"),
        (json!({"NotPrincipal": {"IAM": ["a"]}}), "NotPrincipal", "would trust everybody else"),
        (json!({"Principal": {"IAM": ["a"]}, "NotPrincipal": {"IAM": ["b"]}}), "NotPrincipal", "beside"),
    ] {
        let mut statement = json!({"Effect": "Allow", "Action": ["*"]});
        statement.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let text = json!({"Version": "5.0", "Statement": [statement]});
        let error = parse(&text).unwrap_err();
        assert_eq!(error.field(), Some(format!("Statement[0].{field}").as_str()), "{fields}");
        assert!(error.message().contains(hint), "{fields}: {error}");
        let stored = Document::stored("trust", &text.to_string(), &Grammar::TRUST);
        assert_ne!(ask(&stored, "IAM", "acc1"), Effect::Allow, "{fields}");
    }
}

#[test]
fn a_document_of_the_other_sort_trusts_nobody_and_grants_nothing() {
    let attached = json!({"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["*"]}]}).to_string();
    assert!(Document::parse("d", &attached, &Grammar::TRUST).is_err());
    let stored = Document::stored("d", &attached, &Grammar::TRUST);
    assert_eq!(ask(&stored, "IAM", "acc1"), Effect::DefaultDeny);
    let trust = json!({"Version": "5.0", "Statement": [
        {"Effect": "Allow", "Action": ["*"], "Principal": {"IAM": ["acc1"]}}]});
    let stored = Document::stored("d", &trust.to_string(), &Grammar::ATTACHED);
    assert_eq!(ask(&stored, "IAM", "acc1"), Effect::DefaultDeny);
}
