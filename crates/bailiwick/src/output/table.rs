//! Tables: which columns a noun has, in which order, and what stands in a cell.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use super::escape;

/// How one noun is shown.
pub struct View {
    /// The key that holds its id.
    pub id: &'static str,
    /// What several are called.
    pub plural: &'static str,
    /// The columns of a list.
    pub columns: &'static [Column],
    /// The lines that show one.
    pub details: &'static [Column],
}

/// A column of a list, or a line of the details.
pub struct Column {
    title: &'static str,
    source: Source,
}

enum Source {
    Key(&'static str),
    Computed(fn(&Value) -> String),
}

/// A column that shows the value of a key.
#[must_use]
pub const fn field(title: &'static str, key: &'static str) -> Column {
    Column { title, source: Source::Key(key) }
}

/// A column that is worked out from the whole thing.
#[must_use]
pub const fn computed(title: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { title, source: Source::Computed(cell) }
}

impl Column {
    fn cell(&self, thing: &Value) -> String {
        let text = match self.source {
            Source::Key(key) => thing.get(key).map(shown).unwrap_or_default(),
            Source::Computed(cell) => cell(thing),
        };
        // An empty cell would shift the columns of whoever cuts the line at blanks.
        if text.is_empty() { "-".to_owned() } else { escape(&text) }
    }
}

/// A value in a few words.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            map.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The most characters of a cell in a list; `show` and the other formats have the whole.
const LIST_CELL: usize = 120;

/// A list with one line each and a head.
pub(super) fn rows(view: &View, things: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(view.columns.iter().map(|column| column.title));
    for thing in things {
        table.add_row(view.columns.iter().map(|column| shorten(column.cell(thing))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn shorten(cell: String) -> String {
    if cell.chars().count() <= LIST_CELL {
        return cell;
    }
    cell.chars().take(LIST_CELL - 1).chain(['…']).collect()
}

/// One thing, a line for each of its fields.
pub(super) fn details(view: &View, thing: &Value) -> String {
    let width = view.details.iter().map(|column| column.title.len()).max().unwrap_or_default();
    view.details.iter().map(|column| format!("{:width$}  {}\n", column.title, column.cell(thing))).collect()
}
