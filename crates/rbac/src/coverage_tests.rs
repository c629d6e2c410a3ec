//! Coverage by tables, and against asking for every request of a small world.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::cluster_roles::{self, Rule};
use crate::coverage::{Effort, Growth, allow_something, canonical, uncovered};

fn uncovered_of(rules: &[Rule], accepted: &[Rule]) -> Growth {
    uncovered(rules, accepted, &mut Effort::of_a_pass())
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]) -> Rule {
    Rule {
        api_groups: owned(groups),
        resources: owned(resources),
        verbs: owned(verbs),
        resource_names: owned(names),
        non_resource_urls: Vec::new(),
    }
}

fn urls(verbs: &[&str], urls: &[&str]) -> Rule {
    Rule { verbs: owned(verbs), non_resource_urls: owned(urls), ..Rule::default() }
}

#[test]
fn what_kubernetes_would_call_covered_is_covered_and_nothing_else() {
    let get = |resource: &str| rule(&["get"], &[""], &[resource], &[]);
    let cases = [
        (get("pods"), vec![get("pods")], ""),
        (get("pods"), vec![], "get pods"),
        (get("pods"), vec![rule(&["*"], &["*"], &["*"], &[])], ""),
        (rule(&["*"], &[""], &["pods"], &[]), vec![rule(&["get", "list"], &[""], &["pods"], &[])], "* pods"),
        (
            rule(&["get"], &["*"], &["pods"], &[]),
            vec![rule(&["get"], &["", "apps"], &["pods"], &[])],
            "get pods.*",
        ),
        (get("*"), vec![rule(&["get"], &[""], &["pods", "secrets"], &[])], "get *"),
        (get("pods/log"), vec![get("pods")], "get pods/log"),
        (get("pods"), vec![get("pods/*")], "get pods"),
        (get("pods/log"), vec![get("pods/*")], "get pods/log"),
        (get("pods/log"), vec![get("*/log")], ""),
        (get("*/log"), vec![get("pods/log")], "get */log"),
        (get("*/log"), vec![get("*")], ""),
        (get("pods"), vec![rule(&["get"], &[""], &["pods"], &["a"])], "get pods"),
        (rule(&["get"], &[""], &["pods"], &["a"]), vec![get("pods")], ""),
        (
            rule(&["get"], &[""], &["pods"], &["a", "b"]),
            vec![rule(&["get"], &[""], &["pods"], &["a"])],
            "get pods named b",
        ),
        (
            rule(&["get", "list"], &["", "apps"], &["pods"], &[]),
            vec![get("pods"), rule(&["get", "list"], &["apps"], &["pods"], &[])],
            "list pods",
        ),
        (urls(&["get"], &["/metrics"]), vec![rule(&["*"], &["*"], &["*"], &[])], "get /metrics"),
        (urls(&["get"], &["/logs/a", "/x"]), vec![urls(&["get"], &["/logs/*"])], "get /x"),
        (urls(&["get"], &["/logs/*"]), vec![urls(&["get"], &["/logs/a", "/logs/"])], "get /logs/*"),
        (urls(&["get"], &["/logs/*"]), vec![urls(&["get"], &["/*"])], ""),
        (urls(&["get"], &["*"]), vec![urls(&["get"], &["/*"])], "get *"),
        (get("pods"), vec![urls(&["*"], &["*"])], "get pods"),
        (rule(&[], &["*"], &["*"], &[]), vec![], ""),
        (rule(&["*"], &[], &["*"], &[]), vec![], ""),
    ];
    for (now, accepted, expected) in cases {
        let growth = uncovered_of(std::slice::from_ref(&now), &accepted);
        assert_eq!(growth.is_none(), expected.is_empty(), "{now:?} by {accepted:?}");
        let said = if growth.is_none() { String::new() } else { growth.to_string() };
        assert_eq!(said, expected, "{now:?} by {accepted:?}");
    }
}

#[test]
fn only_the_first_few_are_named() {
    let many = rule(&["get", "list"], &["apps"], &["a", "b", "c", "d"], &[]);
    let growth = uncovered_of(&[many], &[]);
    assert_eq!(growth.to_string(), "get,list a.apps, get,list b.apps, get,list c.apps and more");
    let three = rule(&["get"], &[""], &["a", "b", "c"], &[]);
    assert!(!uncovered_of(&[three], &[]).more);
}

#[test]
fn rules_that_are_too_many_to_be_compared_are_not_covered() {
    let words = |from: usize| (from..from + 300).map(|n| n.to_string()).collect::<Vec<_>>();
    let wide = Rule {
        api_groups: words(0),
        resources: words(1000),
        verbs: words(2000),
        resource_names: words(3000),
        non_resource_urls: Vec::new(),
    };
    let mut less = wide.clone();
    less.verbs.pop();
    let growth = uncovered_of(
        std::slice::from_ref(&less),
        &[wide.clone(), Rule { verbs: words(2001), ..wide.clone() }],
    );
    assert_eq!((growth.to_string().as_str(), growth.more), ("more than can be compared", true));
    assert!(
        uncovered_of(std::slice::from_ref(&wide), std::slice::from_ref(&wide)).is_none(),
        "what is equal needs no comparing"
    );
}

#[test]
fn all_comparisons_of_a_pass_together_take_no_more_than_its_effort() {
    let words = |prefix: &str| (0..800).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let rules: Vec<Rule> =
        words("r").into_iter().map(|resource| rule(&["get"], &["apps"], &[&resource], &[])).collect();
    let accepted: Vec<Rule> =
        rules.iter().map(|rule| Rule { verbs: vec!["get".into(), "list".into()], ..rule.clone() }).collect();
    let mut effort = Effort::of_a_pass();
    let mut compare = || uncovered(&rules, &accepted, &mut effort).is_none();
    let compared = (0..1_000).take_while(|_| compare()).count();
    assert!((10..100).contains(&compared), "{compared}");
    assert!(uncovered(&rules, &rules, &mut Effort::of_a_pass()).is_none());
    let long = rule(&["get"], &["apps"], &[&"x".repeat(100_000_000)], &[]);
    assert!(uncovered_of(&[long], &accepted).more, "a word that is long is much to compare");
}

#[test]
fn what_could_not_be_read_is_told_from_what_allows_nothing() {
    assert!(cluster_roles::are_unread(&cluster_roles::unread()));
    assert!(!cluster_roles::are_unread(&[]));
    assert!(!allow_something(&[]) && !allow_something(&[rule(&["get"], &[""], &[], &[])]));
    assert!(allow_something(&[urls(&["get"], &["/"])]));
    assert!(canonical(&cluster_roles::unread()).is_empty());
}

const VERBS: [&str; 3] = ["get", "list", "*"];
const GROUPS: [&str; 3] = ["", "apps", "*"];
const RESOURCES: [&str; 8] = ["pods", "secrets", "pods/log", "pods/*", "*/log", "*/*", "secrets/scale", "*"];
const NAMES: [&str; 3] = ["", "a", "b"];
const URLS: [&str; 7] = ["/a", "/a*", "/a/*", "/a/b", "/*", "*", "/a**"];

/// Words of requests: all that rules can name, and one of each sort that no rule names.
const ASKED_URLS: [&str; 8] = ["/a", "/a*", "/a/", "/a/b", "/a/new", "/anew", "/new", "new"];

fn asked(words: &[&'static str]) -> Vec<&'static str> {
    words.iter().copied().filter(|word| *word != "*").chain(["new"]).collect()
}

fn asked_resources() -> Vec<String> {
    let (resources, subresources) = (["pods", "secrets", "*", "new"], ["", "log", "scale", "*", "new"]);
    let with = |resource: &str, sub: &str| match sub {
        "" => resource.to_owned(),
        sub => format!("{resource}/{sub}"),
    };
    resources.iter().flat_map(|resource| subresources.iter().map(|sub| with(resource, sub))).collect()
}

/// How an API server decides, told apart from how coverage is computed.
fn resource_is_allowed(rules: &[Rule], verb: &str, group: &str, resource: &str, name: &str) -> bool {
    let is = |word: &String, asked: &str| word == "*" || word == asked;
    let matches = |word: &String| {
        is(word, resource)
            || match (word.strip_prefix("*/"), resource.split_once('/')) {
                (Some(of_any), Some((_, sub))) => of_any == sub,
                (None, _) | (_, None) => false,
            }
    };
    rules.iter().any(|rule| {
        rule.verbs.iter().any(|word| is(word, verb))
            && rule.api_groups.iter().any(|word| is(word, group))
            && rule.resources.iter().any(matches)
            && (rule.resource_names.is_empty() || rule.resource_names.iter().any(|word| word == name))
    })
}

fn url_is_allowed(rules: &[Rule], verb: &str, url: &str) -> bool {
    let matches =
        |word: &String| word == url || (word.ends_with('*') && url.starts_with(word.trim_end_matches('*')));
    rules.iter().any(|rule| {
        rule.verbs.iter().any(|word| word == "*" || word == verb)
            && rule.non_resource_urls.iter().any(matches)
    })
}

/// Whether some request is allowed by `rules` and not by `accepted`.
fn some_request_is_new(rules: &[Rule], accepted: &[Rule]) -> bool {
    let resources = asked_resources();
    asked(&VERBS).iter().any(|verb| {
        let url = |url: &&str| url_is_allowed(rules, verb, url) && !url_is_allowed(accepted, verb, url);
        let of_resource = |group: &str, resource: &str, name: &str| {
            resource_is_allowed(rules, verb, group, resource, name)
                && !resource_is_allowed(accepted, verb, group, resource, name)
        };
        let of_group = |group: &str| {
            resources
                .iter()
                .any(|resource| asked(&NAMES).iter().any(|name| of_resource(group, resource, name)))
        };
        ASKED_URLS.iter().any(url) || asked(&GROUPS).iter().any(|group| of_group(group))
    })
}

fn words(all: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    vec(select(all).prop_map(str::to_owned), 0..=most)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let resources = (words(&VERBS, 2), words(&GROUPS, 2), words(&RESOURCES, 3), words(&NAMES, 2)).prop_map(
        |(verbs, api_groups, resources, resource_names)| Rule {
            api_groups,
            resources,
            verbs,
            resource_names,
            non_resource_urls: Vec::new(),
        },
    );
    let urls = (words(&VERBS, 2), words(&URLS, 3)).prop_map(|(verbs, non_resource_urls)| Rule {
        verbs,
        non_resource_urls,
        ..Rule::default()
    });
    prop_oneof![3 => resources, 1 => urls]
}

fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    vec(any_rule(), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn coverage_agrees_with_asking_for_every_request(rules in any_rules(), accepted in any_rules()) {
        prop_assert_eq!(!uncovered_of(&rules, &accepted).is_none(), some_request_is_new(&rules, &accepted));
    }

    #[test]
    fn rules_are_covered_by_themselves_in_any_order_and_by_more(mut rules in any_rules(), more in any_rules()) {
        let accepted = rules.clone();
        rules.reverse();
        for rule in &mut rules {
            rule.verbs.reverse();
            rule.resources.reverse();
        }
        prop_assert!(uncovered_of(&rules, &accepted).is_none());
        prop_assert_eq!(canonical(&rules), canonical(&accepted));
        prop_assert!(uncovered_of(&accepted, &[accepted.clone(), more].concat()).is_none());
        prop_assert!(uncovered_of(&canonical(&rules), &accepted).is_none());
    }

    #[test]
    fn a_rule_that_allows_more_is_not_covered(rules in any_rules(), added in any_rule()) {
        let wider = [rules.clone(), vec![added]].concat();
        prop_assert_eq!(!uncovered_of(&wider, &rules).is_none(), some_request_is_new(&wider, &rules));
    }
}
