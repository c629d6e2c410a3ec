//! What a grant's state says besides how far it has come: names that others hold, people who have no name in this
//! cluster, names that two people share. Pure.

use domain::Grant;
use rbac::Placement;

use crate::failure::clean;
use crate::pass::Facts;

/// How many of each are named.
const SHOWN: usize = 3;

/// Remarks about a grant that is to be there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Remarks {
    /// In words; empty if there are none.
    pub(crate) text: String,
    /// Whether none of its principals has a name here, so that it can bind nobody.
    pub(crate) nobody: bool,
}

/// Remarks about a grant.
pub(crate) fn of_grant(facts: &Facts, grant: &Grant, placement: &Placement) -> Remarks {
    let names = &facts.fleet.names;
    let mut texts = Vec::new();
    let refused = names.refusals(&grant.spec.principals).map(|(id, why)| format!("{id} ({why})"));
    if let Some(refused) = list(refused) {
        texts.push(format!("not bound here: {refused}"));
    }
    let taken = facts.taken.iter().filter(|taken| placement.slots.contains(&taken.slot));
    if let Some(taken) = list(taken.map(|taken| taken.object.to_string())) {
        texts.push(format!("name taken: {taken} is not ours and stays as it is, another name is used"));
    }
    let has_ids = !grant.spec.principals.ids.is_empty();
    let nobody = has_ids && !names.is_by_id() && names.subjects(&grant.spec.principals).next().is_none();
    Remarks { text: clean(&texts.join("; ")), nobody }
}

/// Why a revoke leaves the same permission to the same name: another principal has that name here, and is granted it.
pub(crate) fn of_revoke(facts: &Facts, grant: &Grant, placement: &Placement) -> Option<String> {
    facts.fleet.grants.iter().find_map(|other| {
        let (name, who) = facts.fleet.names.shared(&grant.spec.principals, &other.spec.principals)?;
        let slots = &facts.desired.placements.get(&other.id)?.slots;
        let slot = slots.iter().find(|slot| placement.slots.contains(slot))?;
        Some(format!(
            "{name} still has {slot}: {who} arrives under the same name, and grant {} gives it",
            other.id
        ))
    })
}

/// The first few, and how many more.
fn list(entries: impl Iterator<Item = String>) -> Option<String> {
    let entries: Vec<String> = entries.collect();
    let shown = entries.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match entries.len() {
        0 => None,
        count if count > SHOWN => Some(format!("{shown} and {} more", count - SHOWN)),
        _ => Some(shown),
    }
}
