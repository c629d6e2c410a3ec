//! What clusters are asked: rows that an operator may replace by a file, and the dangers that are always looked for.

use domain::{Error, Result};
use rbac::check::{Answers, Danger, Row, all_questions, dangers};
use rbac::cluster_roles::Rule;
use rbac::probe::Probe;
use serde_json::{Map, Value};

use super::{CheckedRow, Found, Missing, Surplus};

/// The most rows.
const MAX_ROWS: usize = 100;
/// The most that a cluster is asked at a time.
const MAX_QUESTIONS: usize = 1000;
/// The most words in a list of a row.
const MAX_WORDS: usize = 64;
/// The longest function and set, in characters.
const MAX_NAME: usize = 64;
/// The longest advice, in characters.
const MAX_ADVICE: usize = 128;
/// What everybody who is let in may do anyway, so that asking for it tells nothing.
const EVERYBODYS: [&str; 4] = [
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
    "selfsubjectreviews",
    "selfsubjectattributesreviews",
];

/// What clusters are asked about the credentials of their connections.
#[derive(Clone, Debug)]
pub struct Checklist {
    rows: Vec<Row>,
    dangers: Vec<Danger>,
}

impl Default for Checklist {
    /// No rows: only the dangers.
    fn default() -> Self {
        Self { rows: Vec::new(), dangers: dangers() }
    }
}

impl Checklist {
    /// Reads rows: a JSON object `{"rows": [{"api_groups", "resources", "verbs", "function", "advice", "set"}]}`, where a row may
    /// have `resource_names`, too.
    ///
    /// # Errors
    /// `Invalid` naming `field`, the row and what is wrong in it.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let invalid = |message: String| Error::invalid(field, message);
        let value: Value =
            serde_json::from_str(text).map_err(|error| invalid(format!("must be JSON: {error}")))?;
        let rows = match value {
            Value::Object(mut map) if map.len() == 1 => map.remove("rows"),
            _ => None,
        };
        let Some(Value::Array(rows)) = rows else {
            return Err(invalid("must be an object with `rows`, a list, and nothing else".to_owned()));
        };
        if rows.is_empty() || rows.len() > MAX_ROWS {
            return Err(invalid(format!("`rows` must be 1 to {MAX_ROWS}, and are {}", rows.len())));
        }
        let read = |(at, value): (usize, &Value)| {
            read_row(value).map_err(|what| invalid(format!("row {}: {what}", at + 1)))
        };
        let rows: Vec<Row> = rows.iter().enumerate().map(read).collect::<Result<_>>()?;
        let checklist = Self { rows, dangers: dangers() };
        let asked = all_questions(&checklist.rows, &[]).len();
        if asked > MAX_QUESTIONS {
            return Err(invalid(format!(
                "`rows` must ask at most {MAX_QUESTIONS} questions, and ask {asked}"
            )));
        }
        Ok(checklist)
    }

    /// The rows, in their order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// All that must be asked.
    pub(crate) fn questions(&self) -> Vec<Probe> {
        all_questions(&self.rows, &self.dangers)
    }

    /// What the answers mean.
    pub(super) fn judge(&self, answers: &Answers, identity: Option<String>) -> Result<Found> {
        let row = |row: &Row| {
            let missing = row.missing(answers).ok_or_else(|| Error::internal("a row was not asked"))?;
            Ok(CheckedRow {
                function: row.function.clone(),
                api_groups: row.rule.api_groups.clone(),
                resources: row.rule.resources.clone(),
                authorized: missing.is_empty(),
                missing: missing.into_iter().map(missing_right).collect(),
                advice: row.advice.clone(),
                set: row.set.clone(),
            })
        };
        let held = self.dangers.iter().filter_map(|danger| danger.held(answers));
        Ok(Found {
            identity,
            rows: self.rows.iter().map(row).collect::<Result<_>>()?,
            surplus: held.map(|held| Surplus { what: held.what, why: held.why }).collect(),
        })
    }
}

fn missing_right(probe: Probe) -> Missing {
    Missing { verb: probe.verb, group: probe.group, resource: probe.resource, name: probe.name }
}

/// A row, or what is wrong with it.
fn read_row(value: &Value) -> Result<Row, String> {
    const KEYS: [&str; 7] =
        ["api_groups", "resources", "verbs", "resource_names", "function", "advice", "set"];
    let map = value.as_object().ok_or("must be an object")?;
    if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("`{}` is not a known field", key.escape_debug()));
    }
    let resource_names =
        if map.contains_key("resource_names") { list(map, "resource_names", is_name)? } else { Vec::new() };
    let row = Row {
        rule: Rule {
            api_groups: list(map, "api_groups", |word| word.is_empty() || is_name(word))?,
            resources: list(map, "resources", is_resource)?,
            verbs: list(map, "verbs", is_verb)?,
            resource_names,
            ..Rule::default()
        },
        function: text(map, "function", MAX_NAME)?,
        advice: text(map, "advice", MAX_ADVICE)?,
        set: text(map, "set", MAX_NAME)?,
    };
    if let Some(word) = row.rule.resources.iter().find(|word| EVERYBODYS.contains(&word.as_str())) {
        return Err(format!("`resources`: `{word}` is what everybody who is let in may do anyway"));
    }
    Ok(row)
}

fn list(map: &Map<String, Value>, key: &str, is_right: impl Fn(&str) -> bool) -> Result<Vec<String>, String> {
    let wrong = || format!("`{key}` must be a list of 1 to {MAX_WORDS} different texts");
    let items = map.get(key).and_then(Value::as_array).ok_or_else(wrong)?;
    if items.is_empty() || items.len() > MAX_WORDS {
        return Err(wrong());
    }
    let mut words: Vec<String> = Vec::new();
    for item in items {
        let word = item.as_str().ok_or_else(wrong)?;
        if !is_right(word) {
            return Err(format!("`{key}`: `{}` is not written as Kubernetes writes it", word.escape_debug()));
        }
        if words.iter().any(|known| known == word) {
            return Err(format!("`{key}`: `{word}` stands there twice"));
        }
        words.push(word.to_owned());
    }
    Ok(words)
}

fn text(map: &Map<String, Value>, key: &str, longest: usize) -> Result<String, String> {
    let wrong = || format!("`{key}` must be a text of 1 to {longest} characters on one line");
    let text = map.get(key).and_then(Value::as_str).ok_or_else(wrong)?;
    let length = text.chars().count();
    if length == 0 || length > longest || text.chars().any(char::is_control) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

/// The name of a group or an object.
fn is_name(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b);
    word == "*" || (!word.is_empty() && word.len() <= 253 && word.bytes().all(plain))
}

/// A resource, with a subresource after a slash.
fn is_resource(word: &str) -> bool {
    let (resource, subresource) = word.split_once('/').unwrap_or((word, "x"));
    is_name(resource) && is_name(subresource)
}

fn is_verb(word: &str) -> bool {
    word == "*" || (!word.is_empty() && word.len() <= 63 && word.bytes().all(|b| b.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(change: (&str, Value)) -> String {
        let mut row = serde_json::json!({
            "api_groups": [""], "resources": ["pods"], "verbs": ["get"],
            "function": "Looking", "advice": "Ask somebody.", "set": "first",
        });
        row.as_object_mut().unwrap().insert(change.0.to_owned(), change.1);
        serde_json::json!({"rows": [row]}).to_string()
    }

    fn refused(text: &str) -> String {
        let error = Checklist::parse("rows_file", text).unwrap_err();
        assert_eq!(error.field(), Some("rows_file"));
        error.to_string()
    }

    #[test]
    fn rows_are_read_as_they_are_written() {
        let text = one(("resource_names", serde_json::json!(["view", "bailiwick:operator"])));
        let checklist = Checklist::parse("rows_file", &text).unwrap();
        let [row] = checklist.rows() else { panic!("one row") };
        assert_eq!(row.rule.resource_names, ["view", "bailiwick:operator"]);
        assert_eq!((row.function.as_str(), row.set.as_str()), ("Looking", "first"));
        assert!(checklist.questions().len() > 2, "dangers are asked about, too");
    }

    #[test]
    fn a_wrong_row_is_refused_by_its_number_and_field() {
        let wrong = [
            ("api_groups", serde_json::json!([])),
            ("api_groups", serde_json::json!(["Apps"])),
            ("resources", serde_json::json!("pods")),
            ("resources", serde_json::json!(["pods/"])),
            ("resources", serde_json::json!(["pods", "pods"])),
            ("resources", serde_json::json!(["selfsubjectaccessreviews"])),
            ("verbs", serde_json::json!(["GET"])),
            ("verbs", serde_json::json!([1])),
            ("resource_names", serde_json::json!([])),
            ("function", serde_json::json!("")),
            ("function", serde_json::json!("x".repeat(65))),
            ("advice", serde_json::json!("two\nlines")),
            ("set", Value::Null),
            ("colour", serde_json::json!("red")),
        ];
        for (field, value) in wrong {
            let message = refused(&one((field, value.clone())));
            assert!(
                message.contains("row 1: ") && message.contains(&format!("`{field}`")),
                "{value}: {message}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_table_or_too_large_is_refused() {
        let rows = |n: usize| serde_json::json!({"rows": vec![serde_json::json!({}); n]}).to_string();
        for (text, says) in [
            ("rows: []".to_owned(), "must be JSON"),
            ("[]".to_owned(), "an object with `rows`"),
            (r#"{"rows":[],"more":1}"#.to_owned(), "an object with `rows`"),
            (rows(0), "1 to 100"),
            (rows(101), "1 to 100, and are 101"),
            (rows(100), "row 1: "),
        ] {
            let message = refused(&text);
            assert!(message.contains(says), "{message}");
        }
        let many: Vec<String> = (0..64).map(|n| format!("x{n}")).collect();
        let verbs: Vec<String> = ('a'..='z').map(String::from).collect();
        let mut value: Value = serde_json::from_str(&one(("resources", serde_json::json!(many)))).unwrap();
        value["rows"][0]["verbs"] = serde_json::json!(verbs);
        assert!(refused(&value.to_string()).contains("at most 1000 questions, and ask 1664"));
    }
}
