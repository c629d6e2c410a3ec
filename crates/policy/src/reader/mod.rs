//! From JSON to statements. One reader serves both who writes a document, and is told what is wrong, and who finds one
//! in the database, and makes of it what is safe.

mod conditions;
mod principals;

use crate::document::Dependency;
use crate::glob::Glob;
use crate::grammar::Grammar;
use crate::json::Value;
use crate::problem::{MAX_PROBLEMS, Problem};
use crate::quoted;
use crate::resource::{Pattern, Resources};
use crate::statement::{Actions, Does, Reading, Statement};
use crate::suggestion::nearest;

/// The most statements of a document.
const MAX_STATEMENTS: usize = 200;

/// The longest pattern, key or value, in bytes.
const MAX_TEXT: usize = 1500;

/// What was read, and what was wrong with it.
pub(crate) struct Reader {
    grammar: Grammar,
    pub(crate) problems: Vec<Problem>,
}

type Fields = Vec<(String, Value)>;

impl Reader {
    pub(crate) fn new(grammar: Grammar) -> Self {
        Self { grammar, problems: Vec::new() }
    }

    /// Whether so much is wrong that nothing more is collected. Looking for remedies stops too: it takes time.
    fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    fn report(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if !self.is_full() {
            self.problems.push(Problem::new(path, message));
        }
    }

    fn report_unknown(&mut self, path: String, field: &str, known: &[&str]) {
        if self.is_full() {
            return;
        }
        let version = self.grammar.version();
        let message = match nearest(field, known.iter().copied()) {
            Some(meant) => format!("is not known in version `{version}`: did you mean `{meant}`?"),
            None => format!("is not known in version `{version}`, which has {} here", known.join(", ")),
        };
        self.report(path, message);
    }

    /// Reads the entries of `Statement`.
    pub(crate) fn statements(&mut self, entries: Vec<Value>) -> Vec<Statement> {
        if entries.is_empty() {
            self.report("Statement", "must hold at least one statement");
        }
        if entries.len() > MAX_STATEMENTS {
            self.report("Statement", format!("must hold at most {MAX_STATEMENTS} statements"));
            return Vec::new();
        }
        entries.into_iter().enumerate().map(|(index, entry)| self.statement(index, entry)).collect()
    }

    fn statement(&mut self, index: usize, entry: Value) -> Statement {
        let (path, before) = (format!("Statement[{index}]"), self.problems.len());
        let Value::Object(mut fields) = entry else {
            self.report(path, format!("must be an object, not {}", entry.kind()));
            return Statement { index: Some(index), ..Statement::of_unreadable_document() };
        };
        // What was not looked at because there is too much wrong already is not well either.
        let full = self.is_full();
        self.refuse_unknown(&path, &fields);
        let statement = Statement {
            index: Some(index),
            sid: self.sid(&path, &mut fields),
            does: self.effect(&path, &mut fields),
            principals: self.principals(&path, &mut fields),
            actions: self.actions(&path, &mut fields),
            resources: self.resources(&path, &mut fields),
            conditions: self.conditions(&path, &mut fields),
            reading: Reading::Whole,
        };
        self.refuse_trust_in_everybody_else(&path, &statement);
        let whole = !full && self.problems.len() == before;
        Statement { reading: if whole { Reading::Whole } else { Reading::Broken }, ..statement }
    }

    fn refuse_unknown(&mut self, path: &str, fields: &Fields) {
        let known = self.grammar.rules().fields;
        for (field, _) in fields.iter().filter(|(field, _)| !known.contains(&field.as_str())) {
            let path = format!("{path}.{}", quoted(field));
            if field == "Principal" || field == "NotPrincipal" {
                self.report(
                    path,
                    "belongs into trust policies: whom this policy is attached to is its principal",
                );
            } else {
                self.report_unknown(path, field, known);
            }
        }
    }

    fn sid(&mut self, path: &str, fields: &mut Fields) -> Option<String> {
        match take(fields, "Sid")? {
            Value::Text(sid) if sid.chars().count() <= 128 => Some(sid),
            Value::Text(_) => {
                self.report(format!("{path}.Sid"), "must have at most 128 characters");
                None
            }
            other => {
                self.report(format!("{path}.Sid"), format!("must be a text, not {}", other.kind()));
                None
            }
        }
    }

    /// What cannot be read might have been a deny.
    fn effect(&mut self, path: &str, fields: &mut Fields) -> Does {
        let path = format!("{path}.Effect");
        match take(fields, "Effect") {
            Some(Value::Text(text)) if text == "Allow" => return Does::Allow,
            Some(Value::Text(text)) if text == "Deny" => {}
            Some(Value::Text(text)) => {
                self.report(path, format!("must be `Allow` or `Deny`, not `{}`", quoted(&text)));
            }
            Some(other) => self.report(path, format!("must be `Allow` or `Deny`, not {}", other.kind())),
            None => self.report(path, "is required: `Allow` or `Deny`"),
        }
        Does::Deny
    }

    fn actions(&mut self, path: &str, fields: &mut Fields) -> Actions {
        let negation = self.grammar.rules().fields.contains(&"NotAction");
        match (take(fields, "Action"), take(fields, "NotAction")) {
            (Some(actions), None) => {
                self.globs(&format!("{path}.Action"), actions).map_or(Actions::Unreadable, Actions::In)
            }
            (None, Some(actions)) => {
                self.globs(&format!("{path}.NotAction"), actions).map_or(Actions::Unreadable, Actions::NotIn)
            }
            (Some(_), Some(_)) => {
                self.report(format!("{path}.NotAction"), "cannot stand beside `Action`: use one of them");
                Actions::Unreadable
            }
            (None, None) => {
                let alternative = if negation { " (or `NotAction`)" } else { "" };
                self.report(format!("{path}.Action"), format!("is required{alternative}"));
                Actions::Unreadable
            }
        }
    }

    fn globs(&mut self, path: &str, value: Value) -> Option<Vec<Glob>> {
        let texts = self.texts(path, value)?;
        if let Some(most) =
            self.grammar.rules().limits.map(|limits| limits.actions).filter(|most| texts.len() > *most)
        {
            self.report(path, format!("must hold at most {most} actions"));
            return None;
        }
        let mut globs = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            if !self.is_action(text) {
                let form = self.grammar.rules().action_form;
                let message =
                    format!("must be {form}, with `*` and `?` as wildcards, not `{}`", quoted(text));
                self.report(entry(path, at), message);
                return None;
            }
            globs.push(Glob::new(&text.to_ascii_lowercase()));
        }
        Some(globs)
    }

    /// A text that can mean no action at all is a mistake somebody should see.
    fn is_action(&self, text: &str) -> bool {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.*?".contains(c);
        let parts: Vec<&str> = text.split(':').collect();
        let most = self.grammar.rules().action_parts;
        let short = parts.len() < most;
        parts.first().is_some_and(|service| !service.is_empty())
            && parts.last().is_some_and(|operation| !operation.is_empty())
            && parts.iter().all(|part| part.chars().all(is_part))
            && parts.len() <= most
            && (!short || text.contains('*'))
    }

    fn resources(&mut self, path: &str, fields: &mut Fields) -> Resources {
        let known = self.grammar.rules().fields;
        let positive = take(fields, "Resource").filter(|_| known.contains(&"Resource"));
        let negative = take(fields, "NotResource").filter(|_| known.contains(&"NotResource"));
        match (positive, negative) {
            (Some(value), None) => {
                self.patterns(&format!("{path}.Resource"), value).map_or(Resources::Unreadable, Resources::In)
            }
            (None, Some(value)) => self
                .patterns(&format!("{path}.NotResource"), value)
                .map_or(Resources::Unreadable, Resources::NotIn),
            (Some(_), Some(_)) => {
                self.report(format!("{path}.NotResource"), "cannot stand beside `Resource`: use one of them");
                Resources::Unreadable
            }
            (None, None) if self.grammar.rules().demands_resource => {
                self.report(format!("{path}.Resource"), "is required; `*` means all");
                Resources::Unreadable
            }
            (None, None) => Resources::All,
        }
    }

    fn patterns(&mut self, path: &str, value: Value) -> Option<Vec<Pattern>> {
        let value = match value {
            Value::Object(fields) if self.grammar == Grammar::RolePolicy => return self.uris(path, fields),
            other => other,
        };
        let texts = self.texts(path, value)?;
        self.check_resource_limits(path, &texts)?;
        let mut patterns = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            let Some(pattern) = Pattern::parse(text) else {
                let rule = "must be `*` or have five parts separated by `:`";
                self.report(entry(path, at), format!("{rule}, not `{}`", quoted(text)));
                return None;
            };
            patterns.push(pattern);
        }
        Some(patterns)
    }

    /// `{"uri": ["/…"]}`, by which version 1.1 names what has an address.
    fn uris(&mut self, path: &str, mut fields: Fields) -> Option<Vec<Pattern>> {
        let uris = take(&mut fields, "uri");
        if let Some((other, _)) = fields.iter().find(|(field, _)| field != "uri") {
            self.report_unknown(format!("{path}.{}", quoted(other)), other, &["uri"]);
            return None;
        }
        let Some(uris) = uris else {
            self.report(format!("{path}.uri"), "is required");
            return None;
        };
        let texts = self.texts(&format!("{path}.uri"), uris)?;
        self.check_resource_limits(path, &texts)?;
        Some(texts.iter().map(|text| Pattern::Uri(Glob::new(text))).collect())
    }

    fn check_resource_limits(&mut self, path: &str, texts: &[String]) -> Option<()> {
        let Some(limits) = self.grammar.rules().limits else { return Some(()) };
        if texts.len() > limits.resources {
            self.report(path, format!("must hold at most {} resources", limits.resources));
            return None;
        }
        if let Some(at) = texts.iter().position(|text| text.chars().count() > limits.resource_length) {
            self.report(entry(path, at), format!("must have at most {} characters", limits.resource_length));
            return None;
        }
        Some(())
    }

    /// A list of texts, or a single one where the grammar takes that.
    fn texts(&mut self, path: &str, value: Value) -> Option<Vec<String>> {
        let entries = match value {
            Value::List(entries) => entries,
            single @ Value::Text(_) if self.grammar.rules().takes_single_texts => vec![single],
            other => {
                self.report(path, format!("must be a list of texts, not {}", other.kind()));
                return None;
            }
        };
        if entries.is_empty() {
            self.report(path, "must not be empty");
            return None;
        }
        let mut texts = Vec::with_capacity(entries.len());
        for (at, value) in entries.into_iter().enumerate() {
            match text(value) {
                Ok(text) => texts.push(text),
                Err(message) => {
                    self.report(entry(path, at), message);
                    return None;
                }
            }
        }
        Some(texts)
    }

    /// Reads `Depends` of a role.
    pub(crate) fn dependencies(&mut self, value: Value) -> Vec<Dependency> {
        let Value::List(entries) = value else {
            self.report("Depends", format!("must be a list, not {}", value.kind()));
            return Vec::new();
        };
        let numbered = entries.into_iter().enumerate();
        numbered.filter_map(|(at, value)| self.dependency(&entry("Depends", at), value)).collect()
    }

    fn dependency(&mut self, path: &str, value: Value) -> Option<Dependency> {
        let Value::Object(mut fields) = value else {
            self.report(path, format!("must be an object, not {}", value.kind()));
            return None;
        };
        let known = ["catalog", "display_name"];
        if let Some((other, _)) = fields.iter().find(|(field, _)| !known.contains(&field.as_str())) {
            self.report_unknown(format!("{path}.{}", quoted(other)), other, &known);
            return None;
        }
        match (take(&mut fields, "catalog"), take(&mut fields, "display_name")) {
            (Some(Value::Text(catalog)), Some(Value::Text(display_name))) => {
                Some(Dependency { catalog, display_name })
            }
            (Some(_) | None, Some(_) | None) => {
                self.report(path, "must have `catalog` and `display_name`, both texts");
                None
            }
        }
    }
}

/// Takes a field; it is there at most once.
pub(crate) fn take(fields: &mut Fields, name: &str) -> Option<Value> {
    let at = fields.iter().position(|(field, _)| field == name)?;
    Some(fields.remove(at).1)
}

fn entry(path: &str, at: usize) -> String {
    format!("{path}[{at}]")
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Text(text) if text.len() > MAX_TEXT => Err(format!("must have at most {MAX_TEXT} bytes")),
        Value::Text(text) if text.contains("${") => {
            Err("must not hold `${`: variables are not known here".to_owned())
        }
        Value::Text(text) if text.chars().any(char::is_control) => {
            Err("must not hold control characters".to_owned())
        }
        Value::Text(text) => Ok(text),
        other => {
            Err(format!("must be a text, not {}: numbers and booleans are written as texts", other.kind()))
        }
    }
}
