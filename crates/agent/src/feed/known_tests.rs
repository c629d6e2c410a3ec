//! What is known after answers of all kinds.

use super::*;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000).plus_seconds(hours * 3600)
}

impl Known {
    fn stands(&self, subject: &Subject, id: &str, epoch: i64) -> bool {
        self.judge(subject, id, epoch) == Verdict::Stands
    }
}

/// Takes in the answer to a question after what is known.
fn told(known: &mut Known, feed: Feed) -> Change {
    known.take(known.revision(), feed, at(0)).unwrap()
}

fn keys(kid: &str) -> KeySet {
    let member = "A".repeat(43);
    let text =
        format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{member}","y":"{member}"}}]}}"#);
    KeySet::parse(text.as_bytes()).unwrap()
}

fn signed_by(kid: &str) -> Verification {
    Verification { state: State::Known, issuer: Some("us".into()), keys: keys(kid), ..verification() }
}

fn verification() -> Verification {
    Verification {
        state: State::Unknown,
        audience: "pods".into(),
        issuer: None,
        keys: Default::default(),
        uri_variable: "URI".into(),
        token_file_variable: "FILE".into(),
        direct: false,
    }
}

fn association(id: &str, service_account: &str, epoch: i64) -> Association {
    let service_account = service_account.into();
    Association {
        id: id.into(),
        namespace: "shop".into(),
        service_account,
        epoch,
        created_at: "2026-01-01T00:00:00Z".into(),
    }
}

fn feed(revision: i64, associations: Vec<Association>, ended: &[&str]) -> Feed {
    let ended = ended.iter().map(|id| (*id).to_owned()).collect();
    let (history, verification) = ("h".into(), verification());
    Feed { revision, history, complete: false, verification, associations, ended }
}

fn complete(revision: i64, associations: Vec<Association>) -> Feed {
    Feed { complete: true, ..feed(revision, associations, &[]) }
}

fn subject(service_account: &str) -> Subject {
    Subject { namespace: "shop".into(), service_account: service_account.into() }
}

#[test]
fn what_changed_or_ended_does_not_stand_any_more() {
    let mut known = Known::default();
    assert!(!known.stands(&subject("cart"), "a", 0));
    told(&mut known, complete(1, vec![association("a", "cart", 0), association("b", "till", 3)]));
    assert!(known.stands(&subject("cart"), "a", 0));
    assert!(known.stands(&subject("till"), "b", 4), "what is newer than what was told stands");
    assert!(!known.stands(&subject("till"), "b", 2));
    assert!(!known.stands(&subject("till"), "a", 3));
    told(&mut known, feed(2, vec![association("a", "cart", 1)], &["b"]));
    assert!(!known.stands(&subject("cart"), "a", 0));
    assert!(known.stands(&subject("cart"), "a", 1));
    assert!(!known.stands(&subject("till"), "b", 3));
    assert_eq!((known.revision(), known.len()), (2, 1));
}

#[test]
fn a_complete_answer_replaces_what_was_known() {
    let mut known = Known::default();
    told(&mut known, complete(1, vec![association("a", "cart", 0)]));
    told(&mut known, complete(9, vec![association("b", "till", 0)]));
    assert!(!known.stands(&subject("cart"), "a", 0));
    assert!(known.stands(&subject("till"), "b", 0));
}

#[test]
fn an_association_that_was_made_anew_is_not_ended_with_the_old_one() {
    let mut known = Known::default();
    told(&mut known, complete(1, vec![association("a", "cart", 5)]));
    told(&mut known, feed(2, vec![association("b", "cart", 0)], &["a"]));
    assert!(known.stands(&subject("cart"), "b", 0));
    told(&mut known, feed(3, vec![], &["a"]));
    assert!(known.stands(&subject("cart"), "b", 0));
}

#[test]
fn an_empty_answer_changes_nothing() {
    let mut known = Known::default();
    told(&mut known, complete(1, vec![association("a", "cart", 0)]));
    let change = told(&mut known, feed(1, vec![], &[]));
    assert!(!change.associations);
    assert!(known.stands(&subject("cart"), "a", 0));
}

#[test]
fn what_was_vended_by_an_association_that_ended_is_known_to_be_dead() {
    let mut known = Known::default();
    told(&mut known, complete(1, vec![association("a", "cart", 0)]));
    told(&mut known, feed(2, vec![], &["a"]));
    assert_eq!(known.judge(&subject("cart"), "a", 0), Verdict::Outdated);
    assert_eq!(known.judge(&subject("cart"), "new", 0), Verdict::Untold);
    told(&mut known, feed(3, vec![association("b", "cart", 0)], &[]));
    assert_eq!(known.judge(&subject("cart"), "a", 9), Verdict::Outdated);
    assert_eq!(known.judge(&subject("cart"), "new", 0), Verdict::Other);
    told(&mut known, complete(9, vec![association("c", "till", 0)]));
    assert_eq!(
        known.judge(&subject("cart"), "b", 0),
        Verdict::Outdated,
        "a complete answer ends what it does not name"
    );
    assert_eq!(known.turn(), 4);
}

#[test]
fn keys_that_the_server_does_not_know_now_are_kept_for_a_day() {
    let mut known = Known::default();
    let mut tell = |after: i64, verification: Verification| {
        let change =
            known.take(known.revision(), Feed { verification, ..complete(after, vec![]) }, at(after));
        (
            change.unwrap().keys,
            [at(after), at(after + 23), at(after + 24)].map(|now| known.signing(now).is_some()),
        )
    };
    assert_eq!(tell(1, verification()), (Keys::Others, [false; 3]));
    assert_eq!(tell(2, signed_by("first")), (Keys::Others, [true; 3]));
    assert_eq!(tell(3, verification()), (Keys::Same, [true, true, false]));
    assert_eq!(tell(4, verification()), (Keys::Same, [true, false, false]), "the day is not begun anew");
    assert_eq!(tell(5, signed_by("first")), (Keys::Same, [true; 3]));
    assert_eq!(tell(6, signed_by("second")), (Keys::Others, [true; 3]));
    let none = Verification { state: State::None, ..signed_by("second") };
    assert_eq!(tell(7, none), (Keys::None, [false; 3]));
    assert_eq!(tell(8, verification()), (Keys::Same, [false; 3]), "what was forgotten does not come back");
}

#[test]
fn nothing_counts_that_another_or_an_older_copy_of_the_database_told() {
    let restored =
        |revision| Feed { history: "other".into(), ..complete(revision, vec![association("a", "cart", 0)]) };
    for (answer, revision, stands) in [
        (restored(9), 9, Verdict::Stands),
        (Feed { complete: false, ..restored(9) }, 0, Verdict::Untold),
        (complete(3, vec![association("a", "cart", 0)]), 3, Verdict::Stands),
        (feed(3, vec![association("a", "cart", 0)], &[]), 0, Verdict::Untold),
    ] {
        let mut known = Known::default();
        told(&mut known, complete(4, vec![association("a", "cart", 7), association("b", "till", 0)]));
        told(&mut known, feed(5, vec![], &["b"]));
        assert!(told(&mut known, answer).is_anew);
        assert_eq!((known.revision(), known.era()), (revision, 1));
        assert_eq!(known.judge(&subject("cart"), "a", 0), stands);
        assert_eq!(
            known.judge(&subject("till"), "b", 0),
            Verdict::Untold,
            "its end was one of the other copy"
        );
    }
}

#[test]
fn an_answer_that_another_has_overtaken_changes_nothing() {
    let mut known = Known::default();
    told(&mut known, complete(5, vec![]));
    told(&mut known, feed(7, vec![], &["a"]));
    assert_eq!(known.take(5, feed(6, vec![association("a", "cart", 0)], &[]), at(0)), None);
    assert_eq!(known.take(0, complete(4, vec![association("a", "cart", 0)]), at(0)), None);
    assert!(known.is_empty());
    assert!(known.take(5, feed(8, vec![association("b", "cart", 0)], &["a"]), at(0)).is_some());
    assert!(known.take(0, complete(8, vec![association("b", "cart", 0)]), at(0)).is_some());
    assert_eq!((known.revision(), known.len(), known.era()), (8, 1, 0));
}
