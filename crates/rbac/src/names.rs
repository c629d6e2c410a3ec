//! Under which names principals are bound in one cluster. A table, made by who knows the principals; nothing is looked up
//! here.

use std::collections::{BTreeMap, HashSet};

use domain::{PrincipalId, PrincipalKind, Principals};

use crate::{Subject, SubjectKind};

/// What one principal is called in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Its subjects: its own names, and for a group also those of its members where they are bound with it.
    pub subjects: Vec<Subject>,
    /// Why it is not bound under every name it should have, or under none, as the end of a sentence.
    pub refusal: Option<String>,
}

/// The names of one cluster's principals. Who is not in the table is named by its id, so an empty table names everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectNames {
    named: BTreeMap<PrincipalId, Named>,
}

impl SubjectNames {
    /// Whether everybody is named by their id.
    #[must_use]
    pub fn is_by_id(&self) -> bool {
        self.named.is_empty()
    }

    /// Says what `id` is called.
    pub fn insert(&mut self, id: PrincipalId, named: Named) {
        self.named.insert(id, named);
    }

    /// Adds a name to those of `id`, if it is in the table.
    pub fn add(&mut self, id: &PrincipalId, subject: Subject) {
        if let Some(named) = self.named.get_mut(id) {
            named.subjects.push(subject);
        }
    }

    /// The subjects of `principals`. Users and agencies are users.
    pub fn subjects<'a>(&'a self, principals: &'a Principals) -> impl Iterator<Item = Subject> + 'a {
        let kind = kind_of(principals.kind);
        principals.ids.iter().flat_map(move |id| {
            let (named, by_id) = match self.named.get(id) {
                Some(named) => (named.subjects.as_slice(), None),
                None => (&[][..], Some(Subject { kind, name: id.as_str().to_owned() })),
            };
            named.iter().cloned().chain(by_id)
        })
    }

    /// Who of `principals` is not bound under every name, and why.
    pub fn refusals<'a>(
        &'a self,
        principals: &'a Principals,
    ) -> impl Iterator<Item = (&'a PrincipalId, &'a str)> {
        principals.ids.iter().filter_map(|id| Some((id, self.named.get(id)?.refusal.as_deref()?)))
    }

    /// Somebody else among `others` who has a name of one of `principals`: the name, and who has it as well. A group's
    /// members do not count, they are themselves.
    #[must_use]
    pub fn shared<'a>(
        &self,
        principals: &Principals,
        others: &'a Principals,
    ) -> Option<(String, &'a PrincipalId)> {
        let kind = kind_of(principals.kind);
        if self.is_by_id() || kind != kind_of(others.kind) {
            return None;
        }
        let of = |id: &PrincipalId| self.named.get(id).into_iter().flat_map(|named| named.subjects.iter());
        let own: HashSet<&Subject> =
            principals.ids.iter().flat_map(of).filter(|subject| subject.kind == kind).collect();
        let another = |id: &&PrincipalId| !principals.ids.contains(id);
        others.ids.iter().filter(another).find_map(|other| {
            let found = of(other).find(|subject| own.contains(subject))?;
            Some((found.name.clone(), other))
        })
    }
}

/// Users and agencies are users.
fn kind_of(kind: PrincipalKind) -> SubjectKind {
    match kind {
        PrincipalKind::User | PrincipalKind::Agency => SubjectKind::User,
        PrincipalKind::Group => SubjectKind::Group,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(kind: SubjectKind, name: &str) -> Subject {
        Subject { kind, name: name.to_owned() }
    }

    fn principals(kind: PrincipalKind, ids: &[&str]) -> Principals {
        Principals { kind, ids: ids.iter().map(|id| PrincipalId::stored(id)).collect() }
    }

    fn table(entries: &[(&str, &[Subject])]) -> SubjectNames {
        let mut names = SubjectNames::default();
        for (id, subjects) in entries {
            names.insert(PrincipalId::stored(id), Named { subjects: subjects.to_vec(), refusal: None });
        }
        names
    }

    #[test]
    fn everybody_is_called_by_their_id_unless_the_table_says_otherwise() {
        let names = table(&[("ann", &[subject(SubjectKind::User, "a1"), subject(SubjectKind::User, "a2")])]);
        let found: Vec<_> = names.subjects(&principals(PrincipalKind::Agency, &["ann", "bob"])).collect();
        let expected = ["a1", "a2", "bob"].map(|name| subject(SubjectKind::User, name));
        assert_eq!(found, expected);
        let group = principals(PrincipalKind::Group, &["ops"]);
        assert_eq!(SubjectNames::default().subjects(&group).next(), Some(subject(SubjectKind::Group, "ops")));
    }

    #[test]
    fn who_has_no_name_is_nobody() {
        let mut names = SubjectNames::default();
        let refusal = Some("because".to_owned());
        names.insert(PrincipalId::stored("ann"), Named { subjects: Vec::new(), refusal });
        let ann = principals(PrincipalKind::User, &["ann"]);
        assert_eq!(names.subjects(&ann).count(), 0);
        assert_eq!(names.refusals(&ann).collect::<Vec<_>>(), [(&PrincipalId::stored("ann"), "because")]);
    }

    #[test]
    fn a_name_that_two_share_is_found_and_a_member_is_no_second_person() {
        let x = subject(SubjectKind::User, "x");
        let names = table(&[
            ("ann", std::slice::from_ref(&x)),
            ("bob", std::slice::from_ref(&x)),
            ("ops", &[subject(SubjectKind::Group, "ops"), x.clone()]),
        ]);
        let of = |ids: &[&str]| principals(PrincipalKind::User, ids);
        let bob = of(&["bob", "cat"]);
        assert_eq!(names.shared(&of(&["ann"]), &bob), Some(("x".to_owned(), &PrincipalId::stored("bob"))));
        assert_eq!(names.shared(&of(&["ann"]), &of(&["ann"])), None, "oneself");
        assert_eq!(names.shared(&of(&["ann"]), &principals(PrincipalKind::Group, &["ops"])), None);
        assert_eq!(SubjectNames::default().shared(&of(&["ann"]), &bob), None);
    }
}
