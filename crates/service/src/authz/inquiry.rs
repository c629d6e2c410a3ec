//! What would be decided if: the same question as an operation asks, with facts that somebody supposes.

use policy::{Context, Decision};

use super::actions::Action;
use super::fact::Fact;
use super::question;
use super::thing::Thing;
use crate::call::Call;
use domain::{Error, Result};

/// Facts that are supposed for a question.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supposed {
    /// Condition keys and their values.
    pub(crate) conditions: Vec<(String, Vec<String>)>,
    /// Whether the facts of the request that asks are those of the request that is asked about.
    pub(crate) origin: Whose,
}

/// From whom a request would come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Whose {
    /// From who asks.
    #[default]
    Asker,
    /// From somebody else: from where is not known.
    Other,
}

/// How it would be decided whether the caller may perform `action` on `thing`, with reasons.
///
/// # Errors
/// `Invalid` naming `conditions` for a condition key that the action does not have.
pub(crate) fn decide(
    call: &Call,
    action: &'static Action,
    thing: &Thing<'_>,
    supposed: &Supposed,
) -> Result<Decision> {
    let mut request = question::request(call, &call.caller.rights, action, thing);
    let context = request.context_mut();
    if supposed.origin == Whose::Other {
        keys_of(call, action, Fact::SourceIp).iter().for_each(|key| context.unknown(key));
    }
    for (key, values) in &supposed.conditions {
        suppose(call, action, context, key, values)?;
    }
    Ok(question::decide_request(call, thing, &request))
}

fn suppose(
    call: &Call,
    action: &'static Action,
    context: &mut Context,
    key: &str,
    values: &[String],
) -> Result<()> {
    let (base, tag) = match key.split_once('/') {
        Some((base, tag)) => (format!("{base}/"), tag),
        None => (key.to_owned(), ""),
    };
    let vocabulary = &call.caller.rights.vocabulary;
    let named = vocabulary.keys().iter().find(|named| named.key.eq_ignore_ascii_case(&base));
    let named = named.ok_or_else(|| Error::invalid("conditions", format!("`{key}` is no condition key")))?;
    let spellings = match named.fact {
        // Nothing here knows it, so that its spellings need not mean the same.
        Fact::Unknown => vec![named.key.clone()],
        fact => keys_of(call, action, fact),
    };
    if spellings.is_empty() {
        let message = format!("`{key}` is no condition key of `{}`", action.name);
        return Err(Error::invalid("conditions", message));
    }
    for spelling in spellings {
        let whole = format!("{spelling}{tag}");
        let mut values = values.iter();
        if let Some(first) = values.next() {
            context.set(&whole, first.as_str());
        }
        values.for_each(|value| context.add(&whole, value.as_str()));
    }
    Ok(())
}

/// The spellings of a fact that the action has.
fn keys_of(call: &Call, action: &'static Action, fact: Fact) -> Vec<String> {
    let vocabulary = &call.caller.rights.vocabulary;
    let names = vocabulary.names(action.name);
    let keys = vocabulary.keys().iter().filter(|named| named.fact == fact);
    keys.filter(|named| question::has_key(action, names, named)).map(|named| named.key.clone()).collect()
}
