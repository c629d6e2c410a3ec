//! Rows and dangers against answers by tables and by chance.

use proptest::prelude::*;

use super::*;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str], names: &[&str]) -> Rule {
    Rule {
        api_groups: words(groups),
        resources: words(resources),
        verbs: words(verbs),
        resource_names: words(names),
        ..Rule::default()
    }
}

fn row(groups: &[&str], resources: &[&str], verbs: &[&str], names: &[&str]) -> Row {
    Row { rule: rule(groups, resources, verbs, names), ..Row::default() }
}

fn probe(verb: &str, group: &str, resource: &str) -> Probe {
    Probe {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: None,
        name: None,
    }
}

/// All yes, but for what is not.
fn answers_but(questions: Vec<Probe>, no: &[Probe]) -> Answers {
    let answers: Vec<bool> = questions.iter().map(|question| !no.contains(question)).collect();
    Answers::new(questions, &answers).unwrap()
}

#[test]
fn a_row_asks_each_verb_on_each_resource_of_each_group_and_name() {
    let plain = row(&["", "apps"], &["pods", "pods/status"], &["get", "list"], &[]);
    assert_eq!(plain.questions().len(), 8);
    assert!(plain.questions().contains(&probe("list", "apps", "pods/status")));
    let named = row(&["x"], &["clusterroles"], &["bind"], &["view", "edit"]).questions();
    let names: Vec<_> = named.iter().map(|probe| probe.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["view", "edit"]);
}

#[test]
fn a_row_is_true_only_if_all_of_it_is_and_never_because_something_was_not_asked() {
    let row = row(&[""], &["pods", "nodes"], &["get", "list"], &[]);
    let whole = answers_but(row.questions(), &[]);
    assert_eq!(row.missing(&whole), Some(vec![]));
    for question in row.questions() {
        let answers = answers_but(row.questions(), std::slice::from_ref(&question));
        assert_eq!(row.missing(&answers), Some(vec![question]));
    }
    assert_eq!(row.missing(&Answers::default()), None);
    assert_eq!(Answers::new(row.questions(), &[true]), None);
}

#[test]
fn what_two_rows_ask_is_asked_once() {
    let rows = [row(&[""], &["pods"], &["get"], &[]), row(&[""], &["pods", "nodes"], &["get"], &[])];
    let danger = Danger { rule: rule(&[""], &["nodes"], &["get"], &[]), ..Danger::default() };
    assert_eq!(all_questions(&rows, &[danger]).len(), 2);
}

#[test]
fn one_dangerous_right_is_enough_and_is_named() {
    let danger = Danger {
        rule: rule(&[""], &["secrets"], &["get", "list", "watch"], &[]),
        why: "they hold passwords".to_owned(),
        namespace: None,
    };
    let none = answers_but(danger.questions(), &danger.questions());
    assert_eq!(danger.held(&none), None);
    let two = answers_but(danger.questions(), &[probe("list", "", "secrets")]);
    let held = danger.held(&two).unwrap();
    assert_eq!((held.what.as_str(), held.why.as_str()), ("get, watch secrets", "they hold passwords"));
}

#[test]
fn what_is_held_everywhere_is_not_told_again_for_one_namespace_or_name() {
    let everywhere = Danger { rule: rule(&[""], &["secrets"], &["get"], &[]), ..Danger::default() };
    let in_one = Danger { namespace: Some("kube-system".to_owned()), ..everywhere.clone() };
    let questions = all_questions(&[], &[everywhere.clone(), in_one.clone()]);
    let all = answers_but(questions.clone(), &[]);
    assert_eq!(in_one.held(&all), None);
    assert!(everywhere.held(&all).is_some());
    let narrow = answers_but(questions, &everywhere.questions());
    assert_eq!(in_one.held(&narrow).unwrap().what, "get secrets in kube-system");
    assert_eq!(everywhere.held(&narrow), None);
}

#[test]
fn the_manifest_has_what_is_missing_and_nothing_more() {
    let missing = [probe("list", "", "pods"), probe("get", "", "pods"), probe("get", "", "nodes")];
    let text =
        manifest(&missing, &Grantee::named("system:serviceaccount:kube-system:robot").unwrap()).unwrap();
    let rules = "rules:\n  - apiGroups: [\"\"]\n    resources: [\"nodes\"]\n    verbs: [\"get\"]\n  \
                 - apiGroups: [\"\"]\n    resources: [\"pods\"]\n    verbs: [\"get\", \"list\"]\n---\n";
    assert!(text.contains(rules), "{text}");
    let subject =
        "subjects:\n  - kind: ServiceAccount\n    name: \"robot\"\n    namespace: \"kube-system\"\n";
    assert!(text.ends_with(subject), "{text}");
    assert_eq!(manifest(&[], &Grantee::User("ann".to_owned())), None);
}

#[test]
fn manifests_that_differ_have_names_that_differ() {
    let name = |missing: &[Probe], user: &str| {
        let text = manifest(missing, &Grantee::User(user.to_owned())).unwrap();
        text.lines().find(|line| line.contains("name: ")).unwrap().to_owned()
    };
    let (get, list) = ([probe("get", "", "pods")], [probe("list", "", "pods")]);
    assert_eq!(name(&get, "ann"), name(&get, "ann"));
    assert_ne!(name(&get, "ann"), name(&list, "ann"));
    assert_ne!(name(&get, "ann"), name(&get, "bob"));
}

#[test]
fn whoever_the_name_is_nothing_of_it_becomes_yaml() {
    let missing = [probe("get", "", "pods")];
    for name in ["a\"\n- kind: Group", "x\\\"", "\u{85}\u{2028}", "#", "oidc:ann@example.com", "*"] {
        let Some(grantee) = Grantee::named(name) else {
            assert!(name.chars().any(char::is_control), "{name}");
            continue;
        };
        let text = manifest(&missing, &grantee).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains("kind: ")).count(), 4, "{text}");
        assert!(text.is_ascii(), "{text}");
    }
    assert_eq!(
        Grantee::named("system:serviceaccount:a:b:c"),
        Some(Grantee::User("system:serviceaccount:a:b:c".to_owned()))
    );
    assert_eq!(Grantee::named(""), None);
}

/// What a role with these rules allows, as RBAC decides it.
fn allows(text: &str, probe: &Probe) -> bool {
    let lists = |key: &str| -> Vec<Vec<String>> {
        let lines = text.lines().filter_map(|line| line.trim_start_matches("  - ").trim().strip_prefix(key));
        let read = |line: &str| {
            let inner = line.trim_matches([':', ' ', '[', ']']);
            inner.split(", ").map(|word| word.trim_matches('"').to_owned()).collect()
        };
        lines.map(read).collect()
    };
    let (groups, resources, verbs) = (lists("apiGroups"), lists("resources"), lists("verbs"));
    groups.iter().zip(&resources).zip(&verbs).any(|((groups, resources), verbs)| {
        groups.contains(&probe.group) && resources.contains(&probe.resource) && verbs.contains(&probe.verb)
    })
}

proptest! {
    #[test]
    fn a_manifest_allows_exactly_what_was_missing(
        missing in proptest::collection::btree_set((0..3usize, 0..4usize, 0..3usize), 1..20)
    ) {
        let groups = ["", "apps", "batch"];
        let resources = ["pods", "pods/status", "jobs", "nodes"];
        let verbs = ["get", "list", "watch"];
        let of = |(g, r, v): (usize, usize, usize)| probe(verbs[v], groups[g], resources[r]);
        let wanted: Vec<Probe> = missing.iter().copied().map(of).collect();
        let text = manifest(&wanted, &Grantee::User("ann".to_owned())).unwrap();
        for g in 0..3 {
            for r in 0..4 {
                for v in 0..3 {
                    let asked = of((g, r, v));
                    prop_assert_eq!(allows(&text, &asked), wanted.contains(&asked), "{:?}\n{}", asked, text);
                }
            }
        }
    }
}
