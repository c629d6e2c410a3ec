//! The words that policies may use: other names of our actions, condition keys, and the policies that are shipped.
//! Dialects bring them along; nothing here knows a vendor.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{Error, PolicyId, Result};
use policy::{Document, Grammar};

use super::fact::Fact;
use super::{ADMINISTRATORS, actions};

/// Which languages an identity policy may be written in.
pub const GRAMMARS: [Grammar; 4] = [Grammar::Identity, Grammar::RolePolicy, Grammar::Role, Grammar::Classic];

/// A name that a dialect has for one of our actions. Either name in a policy means the same right, and a deny under
/// either holds everywhere.
#[derive(Clone, Debug)]
pub struct NamedAction {
    /// The dialect's name.
    pub name: String,
    /// Further names of it.
    pub aliases: Vec<String>,
    /// Our action.
    pub action: String,
    /// How its resource is called, with `{region}`, `{account}`, `{id}` and `{name}`; `None` if it has none. It may have
    /// several names, separated by spaces; one that begins with `/` is an address.
    pub resource: Option<String>,
    /// The condition keys that it has beside those that every action has. A key that ends in `/` stands for all tags.
    pub keys: Vec<String>,
}

/// A condition key of a dialect. One that ends in `/` is followed by a tag's own key.
#[derive(Clone, Debug)]
pub struct NamedKey {
    /// The key.
    pub key: String,
    /// What it means.
    pub fact: Fact,
}

/// A policy that comes with the program.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// Its id, never given to a policy of an account.
    pub id: PolicyId,
    /// Its name.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// Its document as text.
    pub text: String,
    /// The same, ready to be asked.
    pub document: Arc<Document>,
}

impl Shipped {
    /// A policy to be shipped.
    ///
    /// # Errors
    /// `Invalid` naming the field of the document that is wrong.
    pub fn new(id: &str, name: &str, description: &str, text: &str) -> Result<Self> {
        Ok(Self {
            id: PolicyId::parse("id", id)?,
            name: name.to_owned(),
            description: description.to_owned(),
            text: text.to_owned(),
            document: Arc::new(Document::parse(name, text, &GRAMMARS)?),
        })
    }
}

/// What the members of the group of administrators hold.
const ADMINISTRATION: &str = r#"{"Version":"5.0","Statement":[{"Sid":"Everything","Effect":"Allow","Action":["*"],"Resource":["*"]}]}"#;

/// All words.
#[derive(Debug)]
pub struct Vocabulary {
    by_action: HashMap<&'static str, Vec<NamedAction>>,
    keys: Vec<NamedKey>,
    shipped: Vec<Shipped>,
    operations: Vec<Vec<String>>,
    administration: Arc<Document>,
}

impl Vocabulary {
    /// Puts words together. Our own condition keys are always among them.
    ///
    /// # Errors
    /// `Internal` if a name means an action that we do not have.
    pub fn new(actions: Vec<NamedAction>, keys: Vec<NamedKey>, shipped: Vec<Shipped>) -> Result<Self> {
        let mut by_action: HashMap<&'static str, Vec<NamedAction>> = HashMap::new();
        for named in actions {
            let own = actions::find(&named.action).ok_or_else(|| {
                Error::internal(format!("`{}` means the unknown action `{}`", named.name, named.action))
            })?;
            by_action.entry(own.name).or_default().push(named);
        }
        let operations = by_action.iter().map(|(action, names)| names_of(action, names)).collect();
        let keys = own_keys().chain(keys).collect();
        Ok(Self { by_action, keys, shipped, operations, ..Self::own() })
    }

    /// Our own words alone.
    #[must_use]
    pub fn own() -> Self {
        Self {
            by_action: HashMap::new(),
            keys: own_keys().collect(),
            shipped: Vec::new(),
            operations: Vec::new(),
            administration: Arc::new(Document::stored(ADMINISTRATORS, ADMINISTRATION, &GRAMMARS)),
        }
    }

    /// The other names of one of our actions.
    #[must_use]
    pub fn names(&self, action: &str) -> &[NamedAction] {
        self.by_action.get(action).map_or(&[], Vec::as_slice)
    }

    /// Every condition key.
    #[must_use]
    pub fn keys(&self) -> &[NamedKey] {
        &self.keys
    }

    /// The policies that are shipped.
    #[must_use]
    pub fn shipped(&self) -> &[Shipped] {
        &self.shipped
    }

    /// The shipped policy of that id or name.
    #[must_use]
    pub fn shipped_named(&self, id_or_name: &str) -> Option<&Shipped> {
        self.shipped.iter().find(|policy| policy.id.as_str() == id_or_name || policy.name == id_or_name)
    }

    /// Which of our actions has that name, ours included.
    #[must_use]
    pub fn action_named(&self, name: &str) -> Option<&'static actions::Action> {
        if let Some(own) = actions::find(name) {
            return Some(own);
        }
        let is = |known: &String| known.eq_ignore_ascii_case(name);
        let mut all = self.by_action.iter();
        let found = all.find(|(_, names)| names.iter().any(|n| is(&n.name) || n.aliases.iter().any(is)));
        found.and_then(|(action, _)| actions::find(action))
    }

    /// Operations that have several names, each with all of them in lower case.
    pub(crate) fn operations(&self) -> &[Vec<String>] {
        &self.operations
    }

    /// What the members of the group of administrators hold.
    pub(crate) fn administration(&self) -> &Arc<Document> {
        &self.administration
    }

    /// Whether a folded condition key says the same whoever asks.
    pub(crate) fn is_of_the_thing(&self, folded: &str) -> bool {
        let matches = |named: &&NamedKey| {
            let key = named.key.to_ascii_lowercase();
            if key.ends_with('/') { folded.starts_with(&key) } else { folded == key }
        };
        self.keys.iter().find(matches).is_some_and(|named| named.fact.is_of_the_thing())
    }
}

fn own_keys() -> impl Iterator<Item = NamedKey> {
    let own = [
        ("bailiwick:PrincipalId", Fact::PrincipalId),
        ("bailiwick:PrincipalName", Fact::PrincipalName),
        ("bailiwick:ProjectId", Fact::ProjectId),
        ("bailiwick:CurrentTime", Fact::CurrentTime),
        ("bailiwick:SourceIp", Fact::SourceIp),
        ("bailiwick:ClusterId", Fact::ClusterId),
        ("bailiwick:EnterpriseProjectId", Fact::EnterpriseProjectId),
        ("bailiwick:ResourceTag/", Fact::ResourceTag),
        ("bailiwick:PrincipalTag/", Fact::PrincipalTag),
        ("bailiwick:RequestTag/", Fact::RequestTag),
        ("bailiwick:TagKeys", Fact::TagKeys),
    ];
    own.into_iter().map(|(key, fact)| NamedKey { key: key.to_owned(), fact })
}

fn names_of(action: &str, names: &[NamedAction]) -> Vec<String> {
    let others = names.iter().flat_map(|named| std::iter::once(&named.name).chain(&named.aliases));
    std::iter::once(action).chain(others.map(String::as_str)).map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_an_action_that_we_do_not_have_is_refused() {
        let named = NamedAction {
            name: "x:y:z".into(),
            aliases: Vec::new(),
            action: "bailiwick:no:such".into(),
            resource: None,
            keys: Vec::new(),
        };
        assert!(Vocabulary::new(vec![named], Vec::new(), Vec::new()).is_err());
    }

    #[test]
    fn keys_about_the_thing_are_told_from_keys_about_who_asks() {
        let vocabulary = Vocabulary::own();
        assert!(vocabulary.administration().problems().is_empty());
        assert!(vocabulary.is_of_the_thing("bailiwick:clusterid"));
        assert!(vocabulary.is_of_the_thing("bailiwick:resourcetag/Env"));
        assert!(!vocabulary.is_of_the_thing("bailiwick:principalid"));
        assert!(!vocabulary.is_of_the_thing("x:unheard"));
    }
}
