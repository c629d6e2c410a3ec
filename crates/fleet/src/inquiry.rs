//! Which questions to ask a cluster after a pass, and what its answers mean. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use domain::{Grant, GrantId, Role};
use rbac::probe::{Probe, probe};
use rbac::{Placement, Slot, Subject};
use tokio::time::Instant;

use crate::explain;
use crate::failure::Failure;
use crate::pass::Facts;
use crate::review::{Answer, MAX_QUESTIONS, Question};
use crate::tracker::{Aim, Tracked, Tracker, Verdict, share_out};
use crate::view::View;

/// How many principals of a revoked grant are looked at to find one whom nothing of ours allows the same.
const CANDIDATES: usize = 8;

/// The next questions, at most [`MAX_QUESTIONS`], evenly chosen. Where none is needed or possible, the tracker is told
/// at once.
pub(crate) fn questions(facts: &Facts, view: &View, tracker: &mut Tracker, now: Instant) -> Vec<Question> {
    let due: Vec<(&Grant, Aim, Vec<Slot>)> = facts
        .grants()
        .filter(|(grant, aim, _)| {
            tracker.is_due(&grant.id, now) && !(*aim == Aim::Revoked && facts.leftover(grant).is_some())
        })
        .filter_map(|(grant, aim, placement)| {
            let slots = places(tracker.get(&grant.id)?, placement).into_iter();
            Some((grant, aim, slots.filter(|slot| !facts.troubles.contains_key(slot)).cloned().collect()))
        })
        .collect();
    let counts: Vec<usize> = due.iter().map(|(_, _, slots)| slots.len()).collect();
    let mut questions = Vec::new();
    for ((grant, aim, slots), chosen) in due.iter().zip(share_out(&counts, MAX_QUESTIONS)) {
        if chosen.is_empty() && !slots.is_empty() {
            continue;
        }
        let chosen: Vec<&Slot> = chosen.iter().filter_map(|at| slots.get(*at)).collect();
        let found = questions_of(facts, view, tracker, grant, *aim, &chosen);
        match (found.is_empty(), aim) {
            (false, _) => tracker.asking(&grant.id),
            (true, Aim::Revoked) => settle(tracker, grant, Verdict::Confirmed, now),
            (true, Aim::Granted) if slots.is_empty() => {}
            (true, Aim::Granted) => settle(tracker, grant, Verdict::Unaskable(unaskable(grant, view)), now),
        }
        questions.extend(found);
    }
    questions
}

/// Where to ask: where something changed and still is to be as it is, or else everywhere.
fn places<'a>(tracked: &Tracked, placement: &'a Placement) -> Vec<&'a Slot> {
    let changed: HashSet<&Slot> = tracked.slots.iter().collect();
    let still = || placement.slots.iter().filter(|slot| changed.contains(slot));
    if tracked.verdict == Verdict::Confirmed || still().next().is_none() {
        return placement.slots.iter().collect();
    }
    still().collect()
}

/// The grants whose effect hangs on one of these ClusterRoles.
pub(crate) fn bound_to<'a>(facts: &'a Facts, roles: &BTreeSet<String>) -> Vec<&'a GrantId> {
    let of_roles = |grant: &&Grant| roles.contains(grant.spec.role.cluster_role());
    facts.fleet.grants.iter().filter(of_roles).map(|grant| &grant.id).collect()
}

fn settle(tracker: &mut Tracker, grant: &Grant, verdict: Verdict, now: Instant) {
    if let Some(round) = tracker.get(&grant.id).map(|tracked| tracked.round) {
        tracker.answered(&grant.id, round, verdict, now);
    }
}

fn questions_of(
    facts: &Facts,
    view: &View,
    tracker: &Tracker,
    grant: &Grant,
    aim: Aim,
    slots: &[&Slot],
) -> Vec<Question> {
    let Some(round) = tracker.get(&grant.id).map(|tracked| tracked.round) else { return Vec::new() };
    let subjects: Vec<Subject> = facts.fleet.names.subjects(&grant.spec.principals).collect();
    let question = |(at, slot): (usize, &&Slot)| {
        let probe = probe(slot, custom_rules(&slot.role, view))?;
        // Another subject for each slot: a sample of both.
        let first = at * subjects.len() / slots.len().max(1);
        let subject =
            subject(facts, view, aim, subjects.iter().cycle().skip(first).take(subjects.len()), &probe)?;
        Some(Question { grant: grant.id.clone(), round, aim, slot: (*slot).clone(), subject, probe })
    };
    slots.iter().enumerate().filter_map(question).collect()
}

/// About whom to ask: after a revoke, only about somebody whom nothing else of ours allows the same.
fn subject<'a>(
    facts: &Facts,
    view: &View,
    aim: Aim,
    mut subjects: impl Iterator<Item = &'a Subject>,
    probe: &Probe,
) -> Option<Subject> {
    match aim {
        Aim::Granted => subjects.next().cloned(),
        Aim::Revoked => subjects
            .take(CANDIDATES)
            .find(|subject| !explain::ours_allow(&facts.desired, view, subject, probe))
            .cloned(),
    }
}

fn custom_rules<'a>(role: &Role, view: &'a View) -> Option<&'a [rbac::cluster_roles::Rule]> {
    match role {
        Role::Custom(name) => view.cluster_role(name.as_str()).map(|role| role.rules.as_slice()),
        Role::Administrator | Role::AdministratorView | Role::Operator | Role::Developer | Role::Viewer => {
            None
        }
    }
}

fn unaskable(grant: &Grant, view: &View) -> String {
    let role = grant.spec.role.cluster_role();
    match view.cluster_role(role) {
        None => format!("ClusterRole {role} does not exist in this cluster"),
        Some(_) => format!("ClusterRole {role} allows nothing on resources that could be asked about"),
    }
}

/// Tells the tracker what came of a batch of questions.
pub(crate) fn digest(facts: &Facts, view: &View, tracker: &mut Tracker, answers: &[Answer], now: Instant) {
    let mut by_grant: BTreeMap<&GrantId, Vec<&Answer>> = BTreeMap::new();
    for answer in answers {
        by_grant.entry(&answer.question.grant).or_default().push(answer);
    }
    for (grant, answers) in by_grant {
        let round = answers.first().map_or(0, |answer| answer.question.round);
        tracker.answered(grant, round, verdict(facts, view, &answers), now);
    }
}

fn verdict(facts: &Facts, view: &View, answers: &[&Answer]) -> Verdict {
    let mut unanswered = None;
    for answer in answers {
        match (&answer.allowed, answer.question.aim) {
            (Ok(true), Aim::Granted) | (Ok(false), Aim::Revoked) => {}
            (Ok(false), Aim::Granted) => return Verdict::Contradicted(still_no(&answer.question, view)),
            (Ok(true), Aim::Revoked) => {
                return Verdict::Contradicted(still_yes(&answer.question, facts, view));
            }
            (Err(failure), _) => unanswered = Some(failure),
        }
    }
    match unanswered {
        None => Verdict::Confirmed,
        Some(Failure::Refused(refusal)) if refusal.status == 403 => Verdict::Unaskable(
            "the connector may not create subjectaccessreviews in this cluster, so its effect is not known"
                .to_owned(),
        ),
        Some(_) => Verdict::Unasked,
    }
}

fn still_no(question: &Question, view: &View) -> String {
    let role = question.slot.role.cluster_role();
    match view.cluster_role(role) {
        None => format!("ClusterRole {role} does not exist in this cluster"),
        Some(_) => format!("the cluster stored the binding, and still says no to {}", asked(&question.probe)),
    }
}

fn still_yes(question: &Question, facts: &Facts, view: &View) -> String {
    let found = explain::foreign_binding(
        view,
        &facts.owner,
        &facts.fleet.recorded,
        &question.subject,
        &question.probe,
    );
    let asked = asked(&question.probe);
    match found {
        Some(binding) => {
            format!("{binding}, which is not ours, still allows {} to {asked}", question.subject.name)
        }
        None => format!(
            "the cluster still allows {} to {asked}, by something else than a binding of that name",
            question.subject.name
        ),
    }
}

/// What was asked, in words.
fn asked(probe: &Probe) -> String {
    let group = if probe.group.is_empty() { String::new() } else { format!(".{}", probe.group) };
    let place =
        probe.namespace.as_deref().map_or("everywhere".to_owned(), |namespace| format!("in {namespace}"));
    format!("{} {}{group} {place}", probe.verb, probe.resource)
}
