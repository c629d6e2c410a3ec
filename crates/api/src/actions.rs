//! Which right each operation asks for, as data: the vendors' authorization tables, and our own.
//!
//! A vendor's tables lie beside its dialect as JSON (`actions.json`, `keys.json`, `free.json`) and are read once, when
//! the dialects are put on the door; our own are what `service` asks for, bound to our operations by `operations.json`. The authorization schemas that are served, the documents and the tests that walk every
//! operation are made of the same rows. Nothing here decides who may do what.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service::authz::{Fact, NamedKey, Vocabulary, actions as own};

use crate::operation::Operation;

/// How much an action gives to whoever may perform it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Names of things.
    List,
    /// What is known of a thing.
    Read,
    /// Changes of things.
    Write,
    /// Changes of what others may do.
    PermissionManagement,
    /// Changes of tags, and of nothing else.
    Tagging,
}

impl Level {
    /// As the tables and the vendors' schemas spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Write => "write",
            Self::PermissionManagement => "permission_management",
            Self::Tagging => "tagging",
        }
    }
}

/// One row of an authorization table.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Action {
    /// Its name, as policies call it: `service:type:operation`, `service::operation`, `service:Operation`.
    pub action: String,
    /// How much it gives.
    pub level: Level,
    /// The type of resource that a policy may narrow it to. Without one, only statements on `*` give it.
    pub resource: Option<String>,
    /// Whether every request of this action is about a resource of that type.
    #[serde(default)]
    pub resource_required: bool,
    /// The resource's full name, with `{region}`, `{account}`, `{id}` and `{name}` to be filled in.
    #[serde(default)]
    pub resource_template: Option<String>,
    /// The condition keys that it has; what is not among them counts as absent.
    pub keys: Vec<String>,
    /// Whether the keys belong to the action itself and not to its resource.
    #[serde(default)]
    pub keys_without_resource: bool,
    /// Other names by which policies may call it: older ones, and those on which the vendor's pages disagree.
    pub aliases: Vec<String>,
    /// What the caller must be allowed besides.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// The operations that ask for it: method and path.
    pub operations: Vec<String>,
    /// Our own action that is the same right.
    pub native: Option<String>,
    /// Where the row is from: the vendor's documents, or how its other names go.
    pub source: String,
    /// Whether this version serves none of its operations.
    #[serde(default)]
    pub later: bool,
}

impl Action {
    /// The service that the name begins with.
    #[must_use]
    pub fn service(&self) -> &str {
        self.action.split(':').next().unwrap_or_default()
    }
}

/// A condition key of a vendor, and which fact it means.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Key {
    /// Its name; one that ends in `/` is followed by the key of a tag.
    pub key: String,
    /// The fact, in our words.
    pub fact: String,
    /// What its values are: `string`, `date`, `boolean`, `ip_address`.
    #[serde(rename = "type")]
    pub value_type: String,
    /// Whether it may have several values at once.
    pub multi: bool,
    /// Whether every action has it, without naming it.
    pub global: bool,
}

/// An operation that asks for no right of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Free {
    /// Method and path.
    pub operation: String,
    /// Why it may be so.
    pub why: String,
    /// Whether this version does not serve it.
    #[serde(default)]
    pub later: bool,
}

/// What the tables say about an operation.
#[derive(Clone, Copy, Debug)]
pub enum Bound<'a> {
    /// It asks for this.
    To(&'a Action),
    /// It asks for nothing.
    Free(&'a Free),
    /// They do not know it, which is a defect that a test shows.
    Nothing,
}

/// Which operations ask for our own actions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bindings {
    /// Of each action, method and path.
    operations: BTreeMap<String, Vec<String>>,
    /// Actions that no operation of this version asks for, of any dialect.
    later: BTreeSet<String>,
}

/// The tables of one dialect.
#[derive(Debug)]
pub struct Actions {
    rows: Vec<Action>,
    keys: Vec<Key>,
    free: Vec<Free>,
    /// Operations to places in `rows`; see [`spelled`].
    by_operation: BTreeMap<String, usize>,
}

impl Actions {
    /// Reads the texts of the three tables.
    ///
    /// # Errors
    /// `Internal` if a text is not such a table or binds one operation twice: a defect that the first start shows.
    pub fn read(actions: &str, keys: &str, free: &str) -> Result<Self> {
        Self::bound(table(actions)?, table(keys)?, table(free)?)
    }

    /// Our own actions, with the operations that a text binds them to.
    ///
    /// # Errors
    /// `Internal` if a text is not such a table or names an action that we do not have.
    pub fn own(operations: &str, free: &str) -> Result<Self> {
        let mut bindings: Bindings = table(operations)?;
        let words = Vocabulary::own();
        let row = |action: &own::Action| Action {
            action: action.name.to_owned(),
            level: level(action.level),
            resource: action.resource.map(str::to_owned),
            resource_required: action.resource.is_some(),
            resource_template: action
                .resource
                .map(|kind| format!("bailiwick:{{region}}:{{account}}:{kind}:{{id}}")),
            keys: words
                .keys()
                .iter()
                .filter(|key| action.facts.contains(&key.fact))
                .map(placeholder)
                .collect(),
            keys_without_resource: false,
            aliases: Vec::new(),
            dependencies: Vec::new(),
            operations: bindings.operations.remove(action.name).unwrap_or_default(),
            native: None,
            source: "ours".to_owned(),
            later: bindings.later.remove(action.name),
        };
        let rows = own::ACTIONS.iter().map(row).collect();
        if let Some(unknown) = bindings.operations.keys().chain(&bindings.later).next() {
            return Err(Error::internal(format!("`{unknown}` is not an action of ours")));
        }
        let keys = words.keys().iter().map(own_key).collect();
        Self::bound(rows, keys, table(free)?)
    }

    fn bound(rows: Vec<Action>, keys: Vec<Key>, free: Vec<Free>) -> Result<Self> {
        let mut by_operation = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            for operation in &row.operations {
                if by_operation.insert(spelled(operation), index).is_some() {
                    return Err(Error::internal(format!("{operation} has two actions")));
                }
            }
        }
        Ok(Self { rows, keys, free, by_operation })
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> &[Action] {
        &self.rows
    }

    /// The condition keys.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The operations that ask for no right.
    #[must_use]
    pub fn free(&self) -> &[Free] {
        &self.free
    }

    /// What an operation asks for.
    #[must_use]
    pub fn of(&self, operation: &Operation) -> Bound<'_> {
        let spelling = spelled(&format!("{} {}", operation.method, operation.path));
        if let Some(row) = self.by_operation.get(&spelling).and_then(|index| self.rows.get(*index)) {
            return Bound::To(row);
        }
        self.free.iter().find(|free| spelled(&free.operation) == spelling).map_or(Bound::Nothing, Bound::Free)
    }

    /// The rows of one service.
    pub fn of_service<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Action> {
        self.rows.iter().filter(move |row| row.service() == service)
    }
}

fn table<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

fn level(level: own::Level) -> Level {
    match level {
        own::Level::List => Level::List,
        own::Level::Read => Level::Read,
        own::Level::Write => Level::Write,
        own::Level::Permissions => Level::PermissionManagement,
    }
}

/// A key as tables write it: one that is followed by the key of a tag says so.
fn placeholder(key: &NamedKey) -> String {
    if key.key.ends_with('/') { format!("{}<tag-key>", key.key) } else { key.key.clone() }
}

fn own_key(key: &NamedKey) -> Key {
    let words = Fact::WORDS.iter();
    let word = words.clone().find(|(_, fact)| *fact == key.fact).map_or("", |(word, _)| word);
    let value_type = match key.fact {
        Fact::CurrentTime => "date",
        Fact::SourceIp => "ip_address",
        Fact::PrincipalId
        | Fact::PrincipalName
        | Fact::AccountId
        | Fact::AccountName
        | Fact::ProjectId
        | Fact::ClusterId
        | Fact::EnterpriseProjectId
        | Fact::ResourceTag
        | Fact::RequestTag
        | Fact::TagKeys
        | Fact::PrincipalTag
        | Fact::Unknown => "string",
    };
    Key {
        key: key.key.clone(),
        fact: word.to_owned(),
        value_type: value_type.to_owned(),
        multi: key.fact == Fact::TagKeys,
        global: key.fact.is_of_the_request(),
    }
}

/// A method and a path without the names of its parameters: they differ between documents and mean nothing.
#[must_use]
pub fn spelled(operation: &str) -> String {
    let without_name = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    operation.split('/').map(without_name).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"action": "a:b:c", "level": "permission_management", "resource": null, "keys": [],
        "aliases": [], "operations": ["GET /x/{id}"], "native": null, "source": "ours"}"#;

    #[test]
    fn names_of_parameters_do_not_tell_operations_apart() {
        assert_eq!(spelled("GET /x/{a}/y/{b_c}"), "GET /x/{}/y/{}");
        assert_ne!(spelled("GET /x/{a}"), spelled("GET /x/a"));
    }

    #[test]
    fn tables_with_unknown_fields_or_two_actions_for_one_operation_are_refused() {
        let read = |actions: &str| Actions::read(actions, "[]", "[]");
        let once = read(&format!("[{ROW}]")).unwrap();
        assert_eq!((once.rows()[0].level.as_str(), once.rows()[0].service()), ("permission_management", "a"));
        assert!(read(&format!("[{ROW}, {ROW}]")).is_err());
        assert!(read(&format!("[{}]", ROW.replace("\"level\"", "\"sort\": 1, \"level\""))).is_err());
        assert!(read(&format!("[{}]", ROW.replace("permission_management", "much"))).is_err());
        assert!(read("{}").is_err());
    }

    #[test]
    fn our_own_tables_are_what_is_asked_for_and_bind_nothing_else() {
        let own = |text: &str| Actions::own(text, "[]");
        let read =
            own(r#"{"operations": {"bailiwick:cluster:show": ["GET /c/{id}"]}, "later": []}"#).unwrap();
        let row = read.rows().iter().find(|row| row.action == "bailiwick:cluster:show").unwrap();
        assert_eq!(row.resource.as_deref(), Some("cluster"));
        assert!(row.keys.contains(&"bailiwick:ResourceTag/<tag-key>".to_owned()), "{:?}", row.keys);
        assert!(own(r#"{"operations": {"bailiwick:no:such": []}, "later": []}"#).is_err());
        assert!(own(r#"{"operations": {}, "later": ["bailiwick:no:such"]}"#).is_err());
    }
}
