//! Parameters of queries. Those that an operation does not know are ignored: the older SDK adds one to each request.

use domain::{Error, Result};

use crate::head::Head;
use crate::operation::Input;

/// A switch; absent means off. One of the SDKs writes `True`.
///
/// # Errors
/// `Invalid` naming it if it is neither true nor false.
pub(super) fn switch(input: &Input, name: &str) -> Result<bool> {
    match input.head.query(name).map(str::to_ascii_lowercase).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Error::invalid(name, "must be `true` or `false`")),
    }
}

/// A whole number from 1 to `most`.
///
/// # Errors
/// `Invalid` naming it if it is something else.
pub(super) fn number(input: &Input, name: &str, default: usize, most: usize) -> Result<usize> {
    let Some(text) = input.head.query(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| Error::invalid(name, format!("must be a whole number from 1 to {most}")))
}

/// A list, joined by commas as the SDKs send it, or as `name.1`, `name.2`, … as the vendor's descriptions have it. `None`
/// if there is none of it.
///
/// # Errors
/// `Invalid` naming it if it is there in both ways, or one of its entries is empty: a variable that was not set must not
/// make a request about everything.
pub(super) fn list(head: &Head, name: &str) -> Result<Option<Vec<String>>> {
    let is_numbered = |key: &str| {
        let number = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let joined = head.query(name);
    let numbered = head.query.iter().filter(|(key, _)| is_numbered(key)).map(|(_, value)| value.clone());
    let numbered: Vec<String> = numbered.collect();
    let entries = match joined {
        Some(_) if !numbered.is_empty() => {
            return Err(Error::invalid(name, "must be given in one way: joined by commas, or numbered"));
        }
        Some(joined) => joined.split(',').map(|entry| entry.trim().to_owned()).collect(),
        None if numbered.is_empty() => return Ok(None),
        None => numbered,
    };
    if entries.iter().any(String::is_empty) {
        return Err(Error::invalid(name, "must not have empty entries; leave it out for all"));
    }
    Ok(Some(entries))
}
