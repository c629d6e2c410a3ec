//! Questions about several things at once: each must be allowed.

use crate::decision::{Decision, Effect, decide};
use crate::document::Document;
use crate::request::Request;

/// The answer to several questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// Allow if there is a question and each is allowed; an explicit deny if one is denied; else a default deny.
    pub effect: Effect,
    /// The answers, in the order of the questions.
    pub each: Vec<Decision>,
}

impl Decisions {
    fn of(each: Vec<Decision>) -> Self {
        let has = |effect| each.iter().any(|decision| decision.effect == effect);
        let effect = if has(Effect::ExplicitDeny) {
            Effect::ExplicitDeny
        } else if has(Effect::DefaultDeny) || each.is_empty() {
            // A list that became empty allows nothing.
            Effect::DefaultDeny
        } else {
            Effect::Allow
        };
        Self { effect, each }
    }

    /// Whether the answer is yes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.effect == Effect::Allow
    }

    /// The questions that were answered with no, by their places.
    pub fn refused(&self) -> impl Iterator<Item = (usize, &Decision)> {
        self.each.iter().enumerate().filter(|(_, decision)| !decision.is_allowed())
    }
}

/// What a question ranges over.
#[derive(Clone, Copy, Debug)]
pub enum Over<'a> {
    /// These values, one by one. None at all are not allowed.
    Each(&'a [String]),
    /// Every value, also those that will be there one day.
    Every,
}

/// Decides several questions, all of which must be allowed.
#[must_use]
pub fn decide_all(documents: &[&Document], requests: &[Request]) -> Decisions {
    Decisions::of(requests.iter().map(|request| decide(documents, request)).collect())
}

/// Decides one question for several values of a condition key, say the id of a cluster.
///
/// The key is never just left out, which would meet `StringNotEquals` and everything that ends in `IfExists`: with
/// [`Over::Each`] the question is asked with each value by itself; with [`Over::Every`] only an allow counts that holds
/// for every value (it does not look at the key, or takes `*`), and a deny counts that holds for any.
#[must_use]
pub fn decide_over(documents: &[&Document], request: &Request, key: &str, over: Over<'_>) -> Decisions {
    let mut request = request.clone();
    match over {
        Over::Every => {
            request.context_mut().every(key);
            Decisions::of(vec![decide(documents, &request)])
        }
        Over::Each(values) => {
            let mut one = |value: &String| {
                request.context_mut().set(key, value);
                decide(documents, &request)
            };
            Decisions::of(values.iter().map(&mut one).collect())
        }
    }
}
