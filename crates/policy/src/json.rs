//! JSON of documents in one reading: no repeated keys, bounded size, depth and number of values.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// The longest document, in bytes.
pub const MAX_BYTES: usize = 32 * 1024;

/// Deeper documents are refused. The grammars need five levels.
const MAX_DEPTH: usize = 8;

/// Documents with more values are refused.
const MAX_VALUES: usize = 10_000;

/// A JSON value whose objects have each key once. Documents hold texts; of other scalars only the kind matters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Bool,
    /// Any number.
    Number,
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object, its fields as they were written.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Reads a whole document, or says why it is none.
pub(crate) fn read(text: &str) -> Result<Value, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("must have at most {MAX_BYTES} bytes, not {}", text.len()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let left = Cell::new(MAX_VALUES);
    Strict { depth: 0, left: &left }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| format!("must be JSON: {error}"))
}

/// Deserializes into [`Value`], refusing what has two readings.
struct Strict<'a> {
    depth: usize,
    /// How many more values there may be in the whole document.
    left: &'a Cell<usize>,
}

impl Strict<'_> {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| E::custom(format!("more than {MAX_VALUES} values")))?);
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, left: self.left })
    }
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

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Bool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_element_seed(self.deeper()?)? {
            entries.push(entry);
        }
        Ok(Value::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        let mut known = std::collections::BTreeSet::new();
        while let Some(key) = access.next_key_seed(Key)? {
            if !known.insert(key.clone()) {
                access.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom(format!("the key `{}` is given twice", crate::quoted(&key))));
            }
            fields.push((key, access.next_value_seed(self.deeper()?)?));
        }
        Ok(Value::Object(fields))
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_with_two_readings_or_none_are_refused() {
        let (deep, lists) = ("{\"a\":".repeat(5_000), "[".repeat(5_000));
        let just_too_deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
        let many = format!("[{}1]", "1,".repeat(15_000));
        let long = format!("\"{}\"", "x".repeat(MAX_BYTES));
        let twice = r#"{"a":{"b":1,"b":1}}"#;
        for bad in [
            "",
            "{",
            "{} {}",
            "{\"a\":1,}",
            "NaN",
            "\u{feff}{}",
            twice,
            &deep,
            &lists,
            &just_too_deep,
            &many,
            &long,
        ] {
            assert!(read(bad).is_err(), "{bad:.40}");
        }
        assert!(read(&("[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH))).is_ok());
        assert!(read(twice).unwrap_err().contains("`b` is given twice"));
    }

    #[test]
    fn fields_keep_the_order_in_which_they_were_written() {
        let fields = vec![("b".to_owned(), Value::Number), ("a".to_owned(), Value::Null)];
        assert_eq!(read(r#"{"b":1.5,"a":null}"#), Ok(Value::Object(fields)));
    }
}
