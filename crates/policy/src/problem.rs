//! What is wrong with a document, and where.

use std::fmt;

/// The most problems that are collected from one document.
pub(crate) const MAX_PROBLEMS: usize = 50;

/// Something in a document that is not as its grammar wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// The field, statements counted from 0: `Statement[2].Condition.StringEquals`. Empty for the whole document.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong and what would be right.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "the document {}", self.message);
        }
        write!(f, "`{}` {}", self.path, self.message)
    }
}

impl From<Problem> for domain::Error {
    fn from(problem: Problem) -> Self {
        if problem.path.is_empty() {
            return Self::new(domain::ErrorKind::Invalid, problem.to_string());
        }
        Self::invalid(&problem.path, problem.message)
    }
}
