//! How the subjects of a slot are shared out over its bindings, moving as few as possible.

use std::collections::BTreeSet;

use crate::{ObservedBinding, ObservedSubject, RBAC_GROUP, Subject, SubjectKind};

/// A [`Subject`] that borrows its name: most subjects of most plans are only compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SubjectRef<'a> {
    kind: SubjectKind,
    name: &'a str,
}

impl<'a> SubjectRef<'a> {
    /// `None` for what we never write: service accounts, other API groups, users with a namespace.
    fn observed(subject: &'a ObservedSubject) -> Option<Self> {
        let kind = SubjectKind::ALL.into_iter().find(|kind| kind.as_str() == subject.kind)?;
        let plain = subject.api_group == RBAC_GROUP && subject.namespace.as_deref().unwrap_or("").is_empty();
        plain.then_some(Self { kind, name: &subject.name })
    }

    /// The subject with a name of its own.
    pub(crate) fn to_subject(self) -> Subject {
        Subject { kind: self.kind, name: self.name.to_owned() }
    }
}

/// The subjects of `binding` that we might have written.
pub(crate) fn held(binding: &ObservedBinding) -> BTreeSet<SubjectRef<'_>> {
    binding.subjects.iter().filter_map(SubjectRef::observed).collect()
}

/// Shares `subjects` out over as many shards as `holding` has, at most `limit` each.
///
/// Who is in a shard already stays there; the others go to the first one with room, so that one more user changes
/// one binding.
pub(crate) fn share_out<'a>(
    subjects: &'a BTreeSet<Subject>,
    holding: &[BTreeSet<SubjectRef<'a>>],
    limit: usize,
) -> Vec<BTreeSet<SubjectRef<'a>>> {
    let mut homeless: BTreeSet<_> =
        subjects.iter().map(|subject| SubjectRef { kind: subject.kind, name: &subject.name }).collect();
    let mut shares = Vec::with_capacity(holding.len());
    for held in holding {
        let stay: BTreeSet<_> = held.intersection(&homeless).copied().take(limit).collect();
        for subject in &stay {
            homeless.remove(subject);
        }
        shares.push(stay);
    }
    let mut homeless = homeless.into_iter();
    for share in &mut shares {
        let room = limit.saturating_sub(share.len());
        share.extend(homeless.by_ref().take(room));
    }
    shares
}
