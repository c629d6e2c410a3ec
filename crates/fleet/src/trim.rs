//! Cuts observed bindings down to what decisions need.
//!
//! Whoever may write in one namespace decides how large a binding is, and how many there are. None of that may cost
//! the rest of the cluster its observation, so of what others write only so much is kept as could ever matter here.

use std::hash::{DefaultHasher, Hash, Hasher};

use rbac::{MAX_SUBJECTS, ObservedBinding, ObservedSubject, SubjectKind, is_owner_label, may_be_ours};

/// The longest name that is kept of a subject, in bytes. No id of ours is half as long.
const MAX_NAME: usize = 128;
/// The longest name that is kept of a role or of a foreign binding, in bytes.
const MAX_OBJECT_NAME: usize = 512;
/// The most subjects that are kept of a foreign binding.
const MAX_FOREIGN: usize = 1_000;
/// The most subjects that are kept of what may be ours: above [`MAX_SUBJECTS`] it is not as it should be.
const MAX_OURS: usize = MAX_SUBJECTS + 100;

/// Cuts `binding` down. What may be ours and is cut still differs from everything that we would write.
pub(crate) fn trim(binding: &mut ObservedBinding) {
    binding.labels.retain(|key, _| is_owner_label(key));
    shorten(&mut binding.role_name, MAX_OBJECT_NAME);
    if may_be_ours(binding) {
        binding.subjects.truncate(MAX_OURS);
        for subject in &mut binding.subjects {
            for text in [&mut subject.name, &mut subject.kind, &mut subject.api_group] {
                shorten(text, MAX_NAME);
            }
            subject.namespace.iter_mut().for_each(|text| shorten(text, MAX_NAME));
        }
    } else {
        shorten(&mut binding.object.name, MAX_OBJECT_NAME);
        // Explanations ask only whether somebody of ours is named.
        binding.subjects.retain(could_be_of_ours);
        binding.subjects.truncate(MAX_FOREIGN);
    }
    binding.subjects.shrink_to_fit();
}

/// Drops the subjects of a binding that is surely not ours: without them less can be explained, nothing else.
pub(crate) fn forget_foreign(binding: &mut ObservedBinding) {
    if !may_be_ours(binding) {
        binding.subjects = Vec::new();
    }
}

/// Stands for subjects that were too many to be read.
pub(crate) fn unknown_subject() -> ObservedSubject {
    ObservedSubject { kind: String::new(), api_group: String::new(), name: String::new(), namespace: None }
}

fn could_be_of_ours(subject: &ObservedSubject) -> bool {
    let kind = SubjectKind::ALL.into_iter().any(|kind| kind.as_str() == subject.kind);
    kind && subject.name.len() <= MAX_NAME
        && subject.api_group.len() <= MAX_NAME
        && subject.namespace.as_ref().is_none_or(|namespace| namespace.len() <= MAX_NAME)
}

/// Cuts a text that is too long; different texts stay different.
fn shorten(text: &mut String, longest: usize) {
    if text.len() <= longest {
        return;
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let start: String = text.chars().take(longest / 8).collect();
    *text = format!("{start}…{:016x}", hasher.finish());
}

#[cfg(test)]
mod tests {
    use domain::Namespace;
    use rbac::{ObjectName, RBAC_GROUP, Scope};

    use super::*;

    fn user(name: &str) -> ObservedSubject {
        ObservedSubject {
            kind: "User".into(),
            api_group: RBAC_GROUP.into(),
            name: name.into(),
            namespace: None,
        }
    }

    fn trimmed(name: &str, subjects: Vec<ObservedSubject>) -> ObservedBinding {
        let labels = [("team", "blue"), ("bailiwick.dev/cluster", "c")];
        let mut binding = ObservedBinding {
            object: ObjectName { scope: Scope::Namespace(Namespace::stored("a")), name: name.into() },
            uid: "u".into(),
            resource_version: "1".into(),
            role_kind: "ClusterRole".into(),
            role_name: "view".into(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            subjects,
            deleting: false,
            finalizers: false,
        };
        trim(&mut binding);
        binding
    }

    #[test]
    fn what_others_write_costs_little_and_still_names_who_could_be_ours() {
        let long = "<".repeat(1_200_000);
        let mut subjects = vec![user(&long), user("ann")];
        subjects.extend((0..100_000).map(|n| user(&n.to_string())));
        let binding = trimmed(&long, subjects);
        assert_eq!(binding.subjects.len(), MAX_FOREIGN);
        assert_eq!(binding.subjects[0], user("ann"));
        assert!(binding.object.name.len() < MAX_OBJECT_NAME);
        assert_ne!(binding.object, trimmed(&format!("{long}<"), Vec::new()).object);
        assert_eq!(binding.labels.keys().collect::<Vec<_>>(), ["bailiwick.dev/cluster"]);
    }

    #[test]
    fn what_may_be_ours_is_never_cut_to_something_that_we_would_write() {
        let long = "x".repeat(1_200_000);
        let binding = trimmed("bailiwick:viewer:0", vec![user("ann"), user(&long)]);
        assert_eq!(binding.subjects.len(), 2);
        assert!(binding.subjects[1].name.len() <= MAX_NAME && binding.subjects[1].name.contains('…'));
        let many = trimmed("bailiwick:viewer:0", (0..100_000).map(|n| user(&n.to_string())).collect());
        assert!(many.subjects.len() > MAX_SUBJECTS && many.subjects.len() < 2 * MAX_SUBJECTS);
    }
}
