//! How answers are shown: as a table for people, as JSON or YAML for programs, or as bare ids for shell loops.
//!
//! JSON and YAML carry what the API answered, key for key. Only tables choose, order and escape.

mod table;
mod text;

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::Value;

pub use table::{Column, View, computed, field};
pub use text::escape;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// JSON with the API's keys
    Json,
    /// The same as YAML
    Yaml,
}

/// What to print: everything, or ids only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// In this format.
    Full(Format),
    /// One id a line.
    Ids,
}

/// Prints one thing.
///
/// # Errors
/// If `out` cannot be written to.
pub fn one(out: &mut dyn Write, style: Style, view: &View, thing: &Value) -> io::Result<()> {
    match style {
        Style::Ids => id(out, view, thing),
        Style::Full(Format::Table) => out.write_all(table::details(view, thing).as_bytes()),
        Style::Full(Format::Json) => json(out, thing),
        Style::Full(Format::Yaml) => yaml(out, thing),
    }
}

/// Prints a list. Programs get `{"items": […]}`, as the API gives it.
///
/// # Errors
/// If `out` cannot be written to.
pub fn many(out: &mut dyn Write, style: Style, view: &View, things: Vec<Value>) -> io::Result<()> {
    match style {
        Style::Ids => things.iter().try_for_each(|thing| id(out, view, thing)),
        Style::Full(Format::Table) => out.write_all(table::rows(view, &things).as_bytes()),
        Style::Full(Format::Json) => json(out, &serde_json::json!({ "items": things })),
        Style::Full(Format::Yaml) => yaml(out, &serde_json::json!({ "items": things })),
    }
}

fn id(out: &mut dyn Write, view: &View, thing: &Value) -> io::Result<()> {
    writeln!(out, "{}", escape(thing.get(view.id).and_then(Value::as_str).unwrap_or_default()))
}

/// Prints indented JSON.
///
/// # Errors
/// If `out` cannot be written to.
pub fn json(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{value:#}")
}

fn yaml(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    let text = serde_saphyr::to_string(value).map_err(io::Error::other)?;
    writeln!(out, "{}", text.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const VIEW: View = View {
        id: "id",
        plural: "things",
        columns: &[field("ID", "id"), field("NAME", "name")],
        details: &[field("ID", "id"), field("NAME", "name"), field("LABELS", "labels")],
    };

    fn printed(style: Style, things: Vec<Value>) -> String {
        let mut out = Vec::new();
        many(&mut out, style, &VIEW, things).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn sample() -> Vec<Value> {
        vec![json!({"name": "ada\u{1b}[31m\u{202e}", "id": "u1"}), json!({"id": "u-long", "name": null})]
    }

    #[test]
    fn tables_align_escape_and_mark_what_is_empty() {
        assert_eq!(
            printed(Style::Full(Format::Table), sample()),
            "ID      NAME\nu1      ada\\u{1b}[31m\\u{202e}\nu-long  -\n"
        );
    }

    #[test]
    fn quiet_prints_one_id_a_line() {
        assert_eq!(printed(Style::Ids, sample()), "u1\nu-long\n");
    }

    #[test]
    fn json_is_the_page_the_api_gives() {
        let text = printed(Style::Full(Format::Json), sample());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, json!({"items": sample()}));
    }

    #[test]
    fn yaml_reads_back_as_the_same_values_even_where_yaml_has_opinions() {
        let awkward = [
            "yes", "no", "null", "~", "0123", "1e3", "1_000", "", " x", "a: b", "- a", "#x", "a\nb\n",
            "é\u{1b}",
        ];
        let things = vec![json!({"id": "1", "texts": awkward, "n": 7, "b": true, "none": null, "empty": {}})];
        let text = printed(Style::Full(Format::Yaml), things.clone());
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, json!({ "items": things }), "{text}");
    }

    #[test]
    fn one_thing_is_shown_field_by_field() {
        let mut out = Vec::new();
        let thing = json!({"id": "c1", "name": "prod", "labels": {"tier": "1", "zone": "a"}});
        one(&mut out, Style::Full(Format::Table), &VIEW, &thing).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ID      c1\nNAME    prod\nLABELS  tier=1, zone=a\n");
    }
}
