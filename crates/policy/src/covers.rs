//! Whether whoever holds some documents may already do all that other documents allow.
//!
//! Used before somebody gives rights to another, or takes another's place: nobody hands out what they do not have. The
//! answer is sound and not complete: *yes* is proved statement by statement; where two statements would be needed to
//! cover one, or a condition cannot be compared, it is *no*.

use crate::decision::{StatementRef, reference};
use crate::document::Document;
use crate::glob::Glob;
use crate::resource::{Pattern, Resources};
use crate::statement::{Actions, Does, Reading, Statement};

/// The documents of one side.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Those whose allows count.
    pub allows: &'a [&'a Document],
    /// Those whose denies count.
    pub denies: &'a [&'a Document],
}

/// What must be known beside the documents.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Which condition keys (folded to lower case) say the same whoever asks, because they are about the thing and not
    /// about the asker: only on those are equal conditions equal limits.
    pub is_shared: &'a dyn Fn(&str) -> bool,
    /// The operations that have several names, each with all of them in lower case: statements that name different
    /// names may still concern the same operation.
    pub operations: &'a [Vec<String>],
}

/// The first statement of `theirs` that allows something which `own` does not; `None` if there is none.
#[must_use]
pub fn first_uncovered(own: Side<'_>, theirs: Side<'_>, known: Known<'_>) -> Option<StatementRef> {
    let comparison = Comparison { own, theirs, known };
    for document in theirs.allows {
        let allows =
            document.statements.iter().filter(|s| s.does == Does::Allow && s.reading == Reading::Whole);
        for statement in allows {
            if !comparison.covers(statement) {
                return Some(reference(document, statement));
            }
        }
    }
    None
}

struct Comparison<'a> {
    own: Side<'a>,
    theirs: Side<'a>,
    known: Known<'a>,
}

impl Comparison<'_> {
    fn covers(&self, theirs: &Statement) -> bool {
        let allowed = statements(self.own.allows, Does::Allow).any(|own| self.allows_all_of(own, theirs));
        allowed && statements(self.own.denies, Does::Deny).all(|deny| self.leaves_alone(deny, theirs))
    }

    fn allows_all_of(&self, own: &Statement, theirs: &Statement) -> bool {
        own.reading == Reading::Whole
            && own.principals == theirs.principals
            && self.actions_cover(&own.actions, &theirs.actions)
            && resources_cover(&own.resources, &theirs.resources)
            && own.conditions.iter().all(|condition| {
                (self.known.is_shared)(condition.key())
                    && theirs.conditions.iter().any(|other| other.asks_the_same(condition))
            })
    }

    /// Whether what `deny` takes from us is either not in `theirs` at all or taken from them as well.
    fn leaves_alone(&self, deny: &Statement, theirs: &Statement) -> bool {
        let shared = deny.conditions.iter().all(|condition| (self.known.is_shared)(condition.key()));
        let same = |other: &Statement| shared && deny.reading == Reading::Whole && deny.says_the_same(other);
        self.actions_are_apart(&deny.actions, &theirs.actions)
            || statements(self.theirs.denies, Does::Deny).any(same)
    }

    fn actions_cover(&self, own: &Actions, theirs: &Actions) -> bool {
        match (own, theirs) {
            (Actions::Unreadable, _) | (_, Actions::Unreadable) => false,
            (Actions::In(own), Actions::In(theirs)) => each_covered(own, theirs),
            // All but `own` holds all but `theirs` if whatever we leave out is left out there, too.
            (Actions::NotIn(own), Actions::NotIn(theirs)) => each_covered(theirs, own),
            (Actions::In(own), Actions::NotIn(_)) => own.iter().any(Glob::means_everything),
            (Actions::NotIn(left_out), Actions::In(_)) => {
                self.actions_are_apart(&Actions::In(left_out.clone()), theirs)
            }
        }
    }

    fn actions_are_apart(&self, one: &Actions, other: &Actions) -> bool {
        let both_concern = |names: &Vec<String>| one.concerns(names) && other.concerns(names);
        patterns_are_apart(one, other) && !self.known.operations.iter().any(both_concern)
    }
}

fn statements<'a>(documents: &'a [&'a Document], does: Does) -> impl Iterator<Item = &'a Statement> {
    documents.iter().flat_map(|document| &document.statements).filter(move |statement| statement.does == does)
}

fn each_covered(own: &[Glob], theirs: &[Glob]) -> bool {
    theirs.iter().all(|wanted| own.iter().any(|glob| glob.covers(wanted)))
}

fn patterns_are_apart(one: &Actions, other: &Actions) -> bool {
    match (one, other) {
        (Actions::In(one), Actions::In(other)) => {
            one.iter().all(|a| other.iter().all(|b| a.is_apart_from(b)))
        }
        (Actions::NotIn(left_out), Actions::In(all)) | (Actions::In(all), Actions::NotIn(left_out)) => {
            each_covered(left_out, all)
        }
        (Actions::NotIn(_), Actions::NotIn(_)) | (Actions::Unreadable, _) | (_, Actions::Unreadable) => false,
    }
}

fn resources_cover(own: &Resources, theirs: &Resources) -> bool {
    let is_all = |patterns: &[Pattern]| patterns.iter().any(|pattern| matches!(pattern, Pattern::Everything));
    match (own, theirs) {
        (Resources::Unreadable, _) | (_, Resources::Unreadable) => false,
        (Resources::All, _) => true,
        (Resources::In(own), Resources::In(theirs)) => {
            theirs.iter().all(|wanted| own.iter().any(|pattern| pattern.covers(wanted)))
        }
        (Resources::In(own), Resources::All | Resources::NotIn(_)) => is_all(own),
        (Resources::NotIn(own), Resources::NotIn(theirs)) => own == theirs,
        (Resources::NotIn(_), Resources::All | Resources::In(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Grammar, Request, Resource, effect};

    fn document(text: &str) -> Document {
        Document::parse("d", text, &[Grammar::Identity]).unwrap()
    }

    fn of(statements: &str) -> Document {
        document(&format!(r#"{{"Version":"5.0","Statement":[{statements}]}}"#))
    }

    fn covered(own: &str, theirs: &str) -> bool {
        let (own, theirs) = (of(own), of(theirs));
        let (own, theirs) = ([&own], [&theirs]);
        let side = |documents| Side { allows: documents, denies: documents };
        let known = Known { is_shared: &|key| key == "x:clusterid", operations: &synonyms() };
        first_uncovered(side(&own), side(&theirs), known).is_none()
    }

    /// One operation with two names.
    fn synonyms() -> Vec<Vec<String>> {
        vec![vec!["a:grant:create".to_owned(), "b:policy:post".to_owned()]]
    }

    const ALL: &str = r#"{"Effect":"Allow","Action":["*"],"Resource":["*"]}"#;
    const LIST: &str = r#"{"Effect":"Allow","Action":["a:grant:list"],"Resource":["*"]}"#;

    #[test]
    fn more_covers_less_and_never_the_other_way_round() {
        let one = r#"{"Effect":"Allow","Action":["a:grant:*"],"Resource":["a:*:*:grant:g1"]}"#;
        let some = r#"{"Effect":"Allow","Action":["a:*:*"],"Resource":["a:*:*:grant:*"]}"#;
        let but = r#"{"Effect":"Allow","NotAction":["b:*:*"],"Resource":["*"]}"#;
        for (own, theirs, expected) in [
            (ALL, ALL, true),
            (ALL, LIST, true),
            (LIST, LIST, true),
            (LIST, ALL, false),
            (some, one, true),
            (one, some, false),
            (ALL, but, true),
            (but, ALL, false),
            (but, LIST, true),
            (but, but, true),
            (LIST, but, false),
            (some, LIST, false),
        ] {
            assert_eq!(covered(own, theirs), expected, "{own} over {theirs}");
        }
    }

    #[test]
    fn a_deny_of_ours_takes_away_unless_it_is_theirs_as_well() {
        let deny = r#"{"Effect":"Deny","Action":["a:grant:delete"],"Resource":["*"]}"#;
        let limited = format!("{ALL},{deny}");
        assert!(!covered(&limited, ALL), "they may delete, we may not");
        assert!(covered(&limited, &limited));
        assert!(covered(&limited, LIST), "it is about something else");
    }

    #[test]
    fn two_names_of_one_operation_are_not_apart() {
        let post = r#"{"Effect":"Allow","Action":["b:policy:post"],"Resource":["*"]}"#;
        let deny = format!(r#"{ALL},{{"Effect":"Deny","Action":["a:grant:create"],"Resource":["*"]}}"#);
        assert!(!covered(&deny, post));
        let but = r#"{"Effect":"Allow","NotAction":["a:grant:create"],"Resource":["*"]}"#;
        assert!(!covered(but, post) && covered(but, LIST));
    }

    #[test]
    fn conditions_count_only_where_they_say_the_same_of_everybody() {
        let on = |key: &str, value: &str| {
            format!(
                r#"{{"Effect":"Allow","Action":["*"],"Resource":["*"],"Condition":{{"StringEquals":{{"{key}":"{value}"}}}}}}"#
            )
        };
        let (c1, c2, who) = (on("x:ClusterId", "c1"), on("x:ClusterId", "c2"), on("x:UserId", "u"));
        assert!(covered(ALL, &c1));
        assert!(covered(&c1, &c1));
        assert!(!covered(&c1, ALL) && !covered(&c1, &c2));
        assert!(!covered(&who, &who), "what is true of the other may not be true of us");
        assert!(covered(ALL, &who));
    }

    /// What is said to be covered is never allowed to them and refused to us.
    #[test]
    fn what_is_covered_is_allowed_for_every_question_of_a_grid() {
        let actions =
            ["a:grant:list", "a:*:list", "a:grant:*", "*", "b:x:y", "b:policy:post", "a:gr?nt:list"];
        let resources = ["*", "a:*:*:grant:*", "a:*:*:grant:g1"];
        let mut statements = Vec::new();
        for action in actions {
            for resource in resources {
                for (does, word) in
                    [("Allow", "Action"), ("Deny", "Action"), ("Allow", "NotAction"), ("Deny", "NotAction")]
                {
                    statements.push(format!(
                        r#"{{"Effect":"{does}","{word}":["{action}"],"Resource":["{resource}"]}}"#
                    ));
                }
            }
        }
        let questions: Vec<Request> = ["a:grant:list", "a:grant:show", "b:x:y", "a:grint:list"]
            .into_iter()
            .flat_map(|action| {
                let resources = [
                    Resource::none(),
                    Resource::parse("a:r:acc:grant:g1").unwrap(),
                    Resource::parse("a:r:acc:grant:g2").unwrap(),
                ];
                resources.map(|resource| Request::new(action, resource, Context::new()))
            })
            .chain(Some(
                Request::new("a:grant:create", Resource::none(), Context::new()).also_called("b:policy:post"),
            ))
            .collect();
        let mut proved = 0_u32;
        for a in &statements {
            for b in &statements {
                let own = of(&format!("{ALL},{a}"));
                let (own_alone, theirs) = (of(a), of(b));
                for own in [&own, &own_alone] {
                    let (own_side, their_side) = ([own], [&theirs]);
                    let side = |documents| Side { allows: documents, denies: documents };
                    let known = Known { is_shared: &|_| false, operations: &synonyms() };
                    if first_uncovered(side(&own_side), side(&their_side), known).is_some() {
                        continue;
                    }
                    proved += 1;
                    for question in &questions {
                        let (ours, others) = (effect(&[own], question), effect(&[&theirs], question));
                        assert!(
                            others != crate::Effect::Allow || ours == crate::Effect::Allow,
                            "{a} was said to cover {b}: {question:?}"
                        );
                    }
                }
            }
        }
        assert!(proved > 500, "only {proved} pairs were covered: the test shows little");
    }
}
