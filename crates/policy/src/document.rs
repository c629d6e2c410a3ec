//! A document: read once, asked often.

use crate::grammar::Grammar;
use crate::json::{self, Value};
use crate::problem::Problem;
use crate::quoted;
use crate::reader::{Reader, take};
use crate::statement::{Does, Statement};

/// A policy document, taken apart so that asking it is fast.
#[derive(Clone, Debug)]
pub struct Document {
    name: String,
    grammar: Option<Grammar>,
    pub(crate) statements: Vec<Statement>,
    dependencies: Vec<Dependency>,
    problems: Vec<Problem>,
}

/// Another role without which a role is of little use. It grants nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The service that the role belongs to.
    pub catalog: String,
    /// The role's name.
    pub display_name: String,
}

impl Document {
    /// Reads a document that somebody wants to keep. `name` is how decisions call it; `grammars` are those that are
    /// welcome here.
    ///
    /// # Errors
    /// `Invalid` naming the first field that is wrong, and what would be right.
    pub fn parse(name: &str, text: &str, grammars: &[Grammar]) -> domain::Result<Self> {
        let document = Self::read(name, text, grammars);
        match document.problems.first() {
            None => Ok(document),
            Some(problem) => Err(problem.clone().into()),
        }
    }

    /// Reads a document that is kept. It was in order when it was stored; if it is not now (another
    /// program wrote it, or a rule became stricter), what is broken grants nothing, and denies whatever it could have
    /// meant to deny. [`Document::problems`] says what that is.
    #[must_use]
    pub fn stored(name: &str, text: &str, grammars: &[Grammar]) -> Self {
        Self::read(name, text, grammars)
    }

    fn read(name: &str, text: &str, grammars: &[Grammar]) -> Self {
        match statements(text, grammars) {
            Ok(read) => Self { name: name.to_owned(), ..read },
            Err(problems) => Self {
                name: name.to_owned(),
                grammar: None,
                statements: vec![Statement::of_unreadable_document()],
                dependencies: Vec::new(),
                problems,
            },
        }
    }

    /// What the document denies, without what it allows.
    #[must_use]
    pub fn denials(&self) -> Self {
        let mut denials = self.clone();
        denials.statements.retain(|statement| statement.does == Does::Deny);
        denials
    }

    /// Whether it denies anything to anybody.
    #[must_use]
    pub fn denies_anything(&self) -> bool {
        self.statements.iter().any(|statement| statement.does == Does::Deny)
    }

    /// How decisions call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its language. `None` if it could not be read at all.
    #[must_use]
    pub fn grammar(&self) -> Option<Grammar> {
        self.grammar
    }

    /// Roles that it says are needed besides.
    #[must_use]
    pub fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    /// What is wrong with it. Always empty for a document from [`Document::parse`].
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// Reads a document, or says why nothing of it can be trusted: whatever stands beside its statements might have
/// changed what they mean.
fn statements(text: &str, grammars: &[Grammar]) -> Result<Document, Vec<Problem>> {
    let whole = |message: String| vec![Problem::new("", message)];
    let mut fields = match json::read(text).map_err(whole)? {
        Value::Object(fields) => fields,
        other => return Err(whole(format!("must be a JSON object, not {}", other.kind()))),
    };
    let grammar = grammar(take(&mut fields, "Version"), grammars)?;
    let mut reader = Reader::new(grammar);
    let dependencies = match take(&mut fields, "Depends") {
        Some(value) if grammar == Grammar::Role => reader.dependencies(value),
        Some(_) => return Err(vec![Problem::new("Depends", "is known in version `1.0` only")]),
        None => Vec::new(),
    };
    let entries = match take(&mut fields, "Statement") {
        Some(Value::List(entries)) => entries,
        Some(other) => {
            let message = format!("must be a list of statements, not {}", other.kind());
            return Err(vec![Problem::new("Statement", message)]);
        }
        None => return Err(vec![Problem::new("Statement", "is required")]),
    };
    if let Some((other, _)) = fields.first() {
        return Err(vec![Problem::new(
            quoted(other),
            "is not known here: a document has `Version` and `Statement`",
        )]);
    }
    let beside = reader.problems.len();
    let statements = reader.statements(entries);
    if beside > 0 || statements.is_empty() {
        return Err(reader.problems);
    }
    Ok(Document {
        name: String::new(),
        grammar: Some(grammar),
        statements,
        dependencies,
        problems: reader.problems,
    })
}

fn grammar(version: Option<Value>, grammars: &[Grammar]) -> Result<Grammar, Vec<Problem>> {
    let versions: Vec<String> = grammars.iter().map(|grammar| format!("`{}`", grammar.version())).collect();
    let versions = versions.join(" or ");
    let message = match version {
        Some(Value::Text(text)) => match grammars.iter().find(|grammar| grammar.version() == text) {
            Some(grammar) => return Ok(*grammar),
            None => format!("must be {versions}, not `{}`", quoted(&text)),
        },
        Some(other) => format!("must be the text {versions}, not {}", other.kind()),
        None => format!("is required: {versions}"),
    };
    Err(vec![Problem::new("Version", message)])
}
