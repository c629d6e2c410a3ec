//! Pure decisions of identity policies: documents in, allow or deny with reasons out.
//!
//! A [`Document`] is read once, in one of the languages of [`Grammar`], into one model. [`decide`] answers a
//! [`Request`]; [`decide_all`] and [`decide_over`] answer questions about several things, each of which must be
//! allowed. Nothing here waits, reads a file or knows the time (a time of day is a condition key like any other), and
//! every function is total: hostile documents and requests get an answer in bounded time, and it is no.
//!
//! Which action an operation needs, which condition keys it has and what its resource is called are for the dialects
//! to say; this crate knows no vendor's words.

mod asker;
mod certainty;
mod condition;
mod covers;
mod decision;
mod document;
mod glob;
mod grammar;
mod json;
mod naming;
mod network;
mod operator;
mod principals;
mod problem;
mod reader;
mod request;
mod resource;
mod several;
mod statement;
mod suggestion;

#[cfg(test)]
mod condition_tests;
#[cfg(test)]
mod decision_properties;
#[cfg(test)]
mod decision_tests;
#[cfg(test)]
mod document_tests;
#[cfg(test)]
mod trust_tests;

pub use asker::{ActsAs, Asker};
pub use covers::{Known, Side, first_uncovered};
pub use decision::{Decision, Effect, Miss, StatementRef, Why, decide, effect};
pub use document::{Dependency, Document};
pub use grammar::Grammar;
pub use json::MAX_BYTES;
pub use naming::Naming;
pub use problem::Problem;
pub use request::{Context, Request};
pub use resource::Resource;
pub use several::{Decisions, Over, decide_all, decide_over};

/// The caller's words as messages repeat them: short, and without what could disturb a terminal.
fn quoted(text: &str) -> String {
    const MOST: usize = 64;
    let mut shown: String = text.chars().take(MOST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}
