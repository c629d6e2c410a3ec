//! Paths and queries of the native API, with names percent-encoded: a name may hold any character.

use percent_encoding::utf8_percent_encode;
use signing::RESERVED;

use crate::failure::Failure;

/// The native API's path for `parts` below its root, for example `["users", "ada"]`.
///
/// # Errors
/// Usage for an empty part, which would silently name something else: the whole collection.
pub fn native(parts: &[&str]) -> Result<String, Failure> {
    let mut path = "/bailiwick/v1".to_owned();
    for part in parts {
        if part.is_empty() {
            return Err(Failure::usage("a name or id must not be empty"));
        }
        path.push('/');
        path.extend(utf8_percent_encode(part, RESERVED));
    }
    Ok(path)
}

/// `path` with the query parameters that have a value.
#[must_use]
pub fn with_query(path: &str, query: &[(&str, Option<&str>)]) -> String {
    let pairs: Vec<String> = query
        .iter()
        .filter_map(|(key, value)| {
            value.map(|value| format!("{key}={}", utf8_percent_encode(value, RESERVED)))
        })
        .collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        assert_eq!(native(&["users", "a/b ?é"]).unwrap(), "/bailiwick/v1/users/a%2Fb%20%3F%C3%A9");
        assert_eq!(native(&["users", ""]).unwrap_err().code(), 2);
    }

    #[test]
    fn only_parameters_with_a_value_are_sent() {
        assert_eq!(with_query("/x", &[("user", Some("a&b")), ("cursor", None)]), "/x?user=a%26b");
        assert_eq!(with_query("/x", &[("cursor", None)]), "/x");
    }
}
