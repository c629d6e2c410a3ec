//! JSON bodies in one reading: no repeated keys, bounded depth, and errors that name the field.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use domain::{Error, ErrorKind, Result};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Deeper bodies are refused. Ours are at most four levels deep.
const MAX_DEPTH: usize = 32;

/// Bodies with more values are refused: a mebibyte of `{"":1},` would become a hundred in memory. Ours have at most
/// some twelve hundred.
const MAX_VALUES: usize = 20_000;

/// Where a body is a list of so many entries, it may have so many values for each. Ours have six, and are one.
const MAX_VALUES_OF_ENTRY: usize = 8;

/// A JSON value whose objects have each key once.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// Any number, as written by the parser's own reading.
    Number(serde_json::Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object, its fields in the order of their keys.
    Object(Fields),
}

/// The fields of an object, sorted by key.
pub type Fields = Vec<(String, Value)>;

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Reads a body that must be a JSON object.
///
/// # Errors
/// `UnsupportedMediaType` if the content type is not JSON; `Invalid` saying where the body is not one.
pub fn object(content_type: Option<&str>, body: &[u8]) -> Result<Object> {
    check_type(content_type, body)?;
    let left = Cell::new(MAX_VALUES);
    match read(body, Strict { depth: 0, left: &left })? {
        Value::Object(fields) => Ok(Object { path: String::new(), fields }),
        other => Err(invalid(format!("the body must be a JSON object, not {}", other.kind()))),
    }
}

/// Reads a body that must be a list of at most `most` JSON objects. Their paths begin with their places: `[3].name`.
///
/// # Errors
/// `UnsupportedMediaType` if the content type is not JSON; `Invalid` saying where the body is not one.
pub fn objects(content_type: Option<&str>, body: &[u8], most: usize) -> Result<Vec<Object>> {
    check_type(content_type, body)?;
    let left = Cell::new(most.saturating_mul(MAX_VALUES_OF_ENTRY).max(MAX_VALUES));
    let (places, crowded) = (Cell::new(most), Cell::new(false));
    let list = List { entry: Strict { depth: 0, left: &left }, places: &places, crowded: &crowded };
    let entries = match read(body, list) {
        Err(_) if crowded.get() => {
            return Err(invalid(format!("the body must list at most {most} entries")));
        }
        read => read?,
    };
    let object = |(place, entry)| match entry {
        Value::Object(fields) => Ok(Object { path: format!("[{place}]"), fields }),
        other => {
            Err(Error::invalid(&format!("[{place}]"), format!("must be an object, not {}", other.kind())))
        }
    };
    entries.into_iter().enumerate().map(object).collect()
}

fn check_type(content_type: Option<&str>, body: &[u8]) -> Result<()> {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = "the body must be JSON: send `Content-Type: application/json`";
        return Err(Error::new(ErrorKind::UnsupportedMediaType, message));
    }
    match std::str::from_utf8(body) {
        Ok(_) => Ok(()),
        Err(_) => Err(invalid("the body must be UTF-8".to_owned())),
    }
}

fn read<'de, T>(body: &'de [u8], seed: impl DeserializeSeed<'de, Value = T>) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    seed.deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| invalid(format!("the body is not acceptable JSON: {error}")))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::Text(text) => Self::String(text),
            Value::List(entries) => Self::Array(entries.into_iter().map(Self::from).collect()),
            Value::Object(fields) => {
                Self::Object(fields.into_iter().map(|(key, value)| (key, Self::from(value))).collect())
            }
        }
    }
}

/// An object whose fields are taken one by one. It knows its own path, so errors name `accessScope.namespaces`.
#[derive(Debug)]
pub struct Object {
    path: String,
    fields: Fields,
}

impl Object {
    /// The whole path of one of its fields, for errors.
    #[must_use]
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Takes a field; `null` counts as absent.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        let at = self.fields.binary_search_by(|(known, _)| known.as_str().cmp(key)).ok()?;
        let (_, value) = self.fields.remove(at);
        Some(value).filter(|value| *value != Value::Null)
    }

    /// Whether a field is there, and not `null`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|(known, value)| known == key && *value != Value::Null)
    }

    /// Takes a text that may be absent, or `null` to say that there is to be none: that is `Some(None)`.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is something else.
    pub fn optional_text_or_none(&mut self, key: &str) -> Result<Option<Option<String>>> {
        if self.fields.iter().any(|(known, value)| known == key && *value == Value::Null) {
            self.take(key);
            return Ok(Some(None));
        }
        Ok(self.optional_text(key)?.map(Some))
    }

    /// Takes a text that may be absent.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is something else.
    pub fn optional_text(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "must be a text", &other)),
        }
    }

    /// Takes a text.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is absent or something else.
    pub fn text(&mut self, key: &str) -> Result<String> {
        self.optional_text(key)?.ok_or_else(|| self.missing(key))
    }

    /// Takes a boolean.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is absent or something else.
    pub fn boolean(&mut self, key: &str) -> Result<bool> {
        match self.take(key) {
            None => Err(self.missing(key)),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(self.wrong(key, "must be a boolean", &other)),
        }
    }

    /// Takes a whole number that may be absent.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is something else.
    pub fn optional_integer(&mut self, key: &str) -> Result<Option<i64>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Number(number)) => match number.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(Error::invalid(&self.path_of(key), "must be a whole number")),
            },
            Some(other) => Err(self.wrong(key, "must be a whole number", &other)),
        }
    }

    /// All that is left, as JSON: for documents that are kept as texts.
    #[must_use]
    pub fn into_json(self) -> serde_json::Value {
        serde_json::Value::from(Value::Object(self.fields))
    }

    /// Takes a boolean that may be absent.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is something else.
    pub fn optional_boolean(&mut self, key: &str) -> Result<Option<bool>> {
        if self.has(key) {
            return self.boolean(key).map(Some);
        }
        // `null` is absent, and known nevertheless.
        self.take(key);
        Ok(None)
    }

    /// Takes a list of texts that may be absent.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is something else.
    pub fn optional_texts(&mut self, key: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let Value::List(entries) = value else {
            return Err(self.wrong(key, "must be a list of texts", &value));
        };
        let text = |entry| match entry {
            Value::Text(text) => Ok(text),
            other => Err(self.wrong(key, "must be a list of texts", &other)),
        };
        entries.into_iter().map(text).collect::<Result<Vec<_>>>().map(Some)
    }

    /// Takes a list of texts.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is absent or something else.
    pub fn texts(&mut self, key: &str) -> Result<Vec<String>> {
        self.optional_texts(key)?.ok_or_else(|| self.missing(key))
    }

    /// Takes an object that may be absent.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is something else.
    pub fn optional_object(&mut self, key: &str) -> Result<Option<Self>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self { path: self.path_of(key), fields })),
            Some(other) => Err(self.wrong(key, "must be an object", &other)),
        }
    }

    /// Takes an object.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is absent or something else.
    pub fn object(&mut self, key: &str) -> Result<Self> {
        self.optional_object(key)?.ok_or_else(|| self.missing(key))
    }

    /// Takes a list of objects that may be absent.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is something else.
    pub fn objects(&mut self, key: &str) -> Result<Vec<Self>> {
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        let Value::List(entries) = value else {
            return Err(self.wrong(key, "must be a list of objects", &value));
        };
        let object = |entry| match entry {
            Value::Object(fields) => Ok(Self { path: self.path_of(key), fields }),
            other => Err(self.wrong(key, "must be a list of objects", &other)),
        };
        entries.into_iter().map(object).collect()
    }

    /// Takes an object whose values are texts; absent means empty.
    ///
    /// # Errors
    /// `Invalid` naming the field if it is something else.
    pub fn text_map(&mut self, key: &str) -> Result<BTreeMap<String, String>> {
        let Some(mut inner) = self.optional_object(key)? else { return Ok(BTreeMap::new()) };
        let keys: Vec<String> = inner.fields.iter().map(|(key, _)| key.clone()).collect();
        keys.into_iter().map(|name| inner.text(&name).map(|value| (name, value))).collect()
    }

    /// Refuses what was not taken: a misspelt key must not change what is granted.
    ///
    /// # Errors
    /// `Invalid` naming the first unknown field.
    pub fn finish(self) -> Result<()> {
        match self.fields.first() {
            None => Ok(()),
            Some((key, _)) => Err(Error::invalid(&self.path_of(key), "is not known here")),
        }
    }

    /// The error of a field that must be there.
    #[must_use]
    pub fn missing(&self, key: &str) -> Error {
        Error::invalid(&self.path_of(key), "is required")
    }

    fn wrong(&self, key: &str, rule: &str, found: &Value) -> Error {
        Error::invalid(&self.path_of(key), format!("{rule}, not {}", found.kind()))
    }
}

/// Deserializes into [`Value`], refusing what has two readings.
struct Strict<'a> {
    depth: usize,
    /// How many more values there may be in the whole body.
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        without_nul(value.to_owned()).map(Value::Text)
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        without_nul(value).map(Value::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_element_seed(self.deeper()?)? {
            entries.push(entry);
        }
        Ok(Value::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields: Fields = Vec::new();
        while let Some(key) = access.next_key_seed(Key)? {
            fields.push((key, access.next_value_seed(self.deeper()?)?));
        }
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        let twice = fields.iter().zip(fields.iter().skip(1)).find(|((one, _), (other, _))| one == other);
        if let Some(((key, _), _)) = twice {
            return Err(serde::de::Error::custom(format!("the key `{key}` is given twice")));
        }
        Ok(Value::Object(fields))
    }
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        self.left.set(
            self.left
                .get()
                .checked_sub(1)
                .ok_or_else(|| E::custom(format!("it holds more than {MAX_VALUES} values")))?,
        );
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, left: self.left })
    }
}

/// Deserializes a list of [`Value`]s, refusing more than there are places.
struct List<'a> {
    entry: Strict<'a>,
    places: &'a Cell<usize>,
    crowded: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_element_seed(self.entry.deeper()?)? {
            let Some(left) = self.places.get().checked_sub(1) else {
                self.crowded.set(true);
                return Err(serde::de::Error::custom("it lists too many entries"));
            };
            self.places.set(left);
            entries.push(entry);
        }
        Ok(entries)
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        without_nul(String::deserialize(deserializer)?)
    }
}

/// One of the databases takes no NUL in texts, so nobody gets that far.
fn without_nul<E: serde::de::Error>(text: String) -> Result<String, E> {
    if text.contains('\0') { Err(E::custom("a text holds the character U+0000")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Object> {
        object(Some("application/json"), text.as_bytes())
    }

    #[test]
    fn bodies_with_two_readings_or_none_are_refused() {
        let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        let many = format!("{{\"a\":[{}1]}}", "{\"\":1},".repeat(20_000));
        let lists = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for nul in [r#"{"a":"\u0000"}"#, r#"{"a":["x\u0000y"]}"#, r#"{"\u0000":1}"#] {
            assert_eq!(read(nul).unwrap_err().kind(), ErrorKind::Invalid, "{nul}");
        }
        for bad in [
            "",
            "{",
            "{\"a\":1,}",
            "[]",
            "null",
            "1",
            "{} {}",
            "{\"a\":1,\"a\":2}",
            "{\"x\":{\"a\":1,\"a\":1}}",
            "{\"a\":NaN}",
            deep.as_str(),
            many.as_str(),
            lists.as_str(),
        ] {
            assert_eq!(read(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad:.40}");
        }
        assert_eq!(
            object(Some("application/json"), b"{\"a\":\"\xff\"}").unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }

    #[test]
    fn a_list_has_one_reading_and_no_more_entries_than_there_may_be() {
        let read = |text: &str| objects(Some("application/json"), text.as_bytes(), 3);
        assert!(read("[]").unwrap().is_empty());
        let mut entries = read(r#"[{"a":1},{},{"b":{"c":2}}]"#).unwrap();
        assert_eq!(entries[0].text("a").unwrap_err().to_string(), "`[0].a` must be a text, not a number");
        assert_eq!(entries[2].object("b").unwrap().text("c").unwrap_err().field(), Some("[2].b.c"));
        assert_eq!(read("[{},1]").unwrap_err().to_string(), "`[1]` must be an object, not a number");
        let crowded = read("[{},{},{},{}").unwrap_err();
        assert_eq!(
            crowded.to_string(),
            "the body must list at most 3 entries",
            "before its end is looked for"
        );
        let many = format!("[{{\"a\":[{}1]}}]", "{\"\":1},".repeat(20_000));
        for bad in ["", "{}", "null", "1", "[", "[{}] []", "[{\"a\":1,\"a\":2}]", "[null]", many.as_str()] {
            assert_eq!(read(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad:.40}");
        }
        assert_eq!(objects(None, b"[]", 3).unwrap_err().kind(), ErrorKind::UnsupportedMediaType);
    }

    #[test]
    fn only_json_is_json() {
        for good in ["application/json", "application/json;charset=utf-8", "Application/JSON; charset=UTF-8"]
        {
            assert!(object(Some(good), b"{}").is_ok(), "{good}");
        }
        for bad in [None, Some(""), Some("text/plain"), Some("application/jsonp"), Some("application/yaml")] {
            assert_eq!(object(bad, b"{}").unwrap_err().kind(), ErrorKind::UnsupportedMediaType, "{bad:?}");
        }
    }

    #[test]
    fn errors_name_the_whole_path_of_a_field() {
        let mut body = read(r#"{"accessScope":{"namespaces":"*"},"principal":{},"n":1}"#).unwrap();
        let mut scope = body.object("accessScope").unwrap();
        assert_eq!(scope.texts("namespaces").unwrap_err().field(), Some("accessScope.namespaces"));
        let mut principal = body.object("principal").unwrap();
        assert_eq!(principal.texts("ids").unwrap_err().to_string(), "`principal.ids` is required");
        assert_eq!(body.text("n").unwrap_err().to_string(), "`n` must be a text, not a number");
        let left = read(r#"{"x":{"y":1}}"#).unwrap();
        assert_eq!(left.finish().unwrap_err().field(), Some("x"));
    }
}
