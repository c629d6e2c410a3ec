//! The head of a request, read once. What can be read in two ways is refused before anybody looks at credentials:
//! encoded slashes, dot segments, empty segments, repeated headers, repeated query keys.

use domain::{Error, ErrorKind, Result};
use http::request::Parts;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use service::Origin;

/// What a `+` in a query is. A dialect has one answer, so that a query has one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    /// A plus.
    Plus,
    /// A space, as in forms.
    Space,
}

/// A request's head in its one reading.
#[derive(Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The path as sent, still encoded.
    pub raw_path: String,
    /// The path decoded. No segment of it holds a slash.
    pub path: String,
    /// The query decoded, in the order sent, each key once.
    pub query: Vec<(String, String)>,
    /// The headers. Those that may not be repeated are not.
    pub headers: HeaderMap,
    /// Where the request came from, and its id.
    pub origin: Origin,
}

/// Path, query and headers together may be this long.
pub const MAX_HEAD: usize = 64 * 1024;

/// More query parameters than any operation has.
const MAX_PARAMETERS: usize = 64;

/// Headers that are lists by their nature, or that no reading of ours depends on.
const REPEATABLE: [&str; 13] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "cookie",
    "forwarded",
    "pragma",
    "te",
    "traceparent",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
];

impl Head {
    /// Reads the head.
    ///
    /// # Errors
    /// `Invalid` naming what has two readings; `HeadTooLarge` above [`MAX_HEAD`].
    pub fn read(parts: Parts, origin: Origin, plus: Plus) -> Result<Self> {
        check_size(&parts)?;
        let raw_path = parts.uri.path().to_owned();
        let path = decode_path(&raw_path)?;
        let query = decode_pairs(parts.uri.query().unwrap_or_default(), plus)?;
        check_headers(&parts.headers)?;
        Ok(Self { method: parts.method, raw_path, path, query, headers: parts.headers, origin })
    }

    /// A header's value, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A query parameter's value.
    #[must_use]
    pub fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

fn check_size(parts: &Parts) -> Result<()> {
    let target = parts.uri.path().len() + parts.uri.query().map_or(0, str::len);
    let headers =
        parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
    if target + headers <= MAX_HEAD {
        return Ok(());
    }
    let message = format!("path, query and headers must be at most {MAX_HEAD} bytes together");
    Err(Error::new(ErrorKind::HeadTooLarge, message))
}

fn decode_path(raw: &str) -> Result<String> {
    let bad = |message: &str| Error::new(ErrorKind::Invalid, format!("the path {message}"));
    let Some(relative) = raw.strip_prefix('/') else { return Err(bad("must begin with `/`")) };
    let mut path = String::with_capacity(raw.len());
    for segment in relative.split('/') {
        if segment.is_empty() && !relative.is_empty() {
            return Err(bad("must not have empty segments or end with `/`"));
        }
        let decoded = decode(segment).ok_or_else(|| bad("must be percent-encoded UTF-8"))?;
        if decoded == "." || decoded == ".." {
            return Err(bad("must not have dot segments"));
        }
        if decoded.contains(['/', '\\']) {
            return Err(bad("must not have encoded slashes or backslashes in a segment"));
        }
        if decoded.chars().any(char::is_control) {
            return Err(bad("must not hold control characters"));
        }
        path.push('/');
        path.push_str(&decoded);
    }
    Ok(path)
}

/// The pairs of a query, or of a form, in the order sent, each key once.
pub(crate) fn decode_pairs(raw: &str, plus: Plus) -> Result<Vec<(String, String)>> {
    let decode = |text: &str| match plus {
        Plus::Plus => decode(text),
        Plus::Space if text.contains('+') => decode(&text.replace('+', " ")),
        Plus::Space => decode(text),
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let bad = || {
            Error::new(
                ErrorKind::Invalid,
                "the query must be percent-encoded UTF-8 without control characters",
            )
        };
        let (key, value) = (decode(key).ok_or_else(bad)?, decode(value).ok_or_else(bad)?);
        if key.chars().chain(value.chars()).any(char::is_control) {
            return Err(bad());
        }
        if pairs.len() == MAX_PARAMETERS {
            let message = format!("the query must have at most {MAX_PARAMETERS} parameters");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if pairs.iter().any(|(known, _)| *known == key) {
            return Err(Error::invalid(&key, "must be given once in the query"));
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// Decodes once, strictly: every `%` begins two hex digits.
fn decode(text: &str) -> Option<String> {
    let mut rest = text.split('%');
    rest.next();
    let well_formed = |part: &str| part.len() >= 2 && part.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !rest.all(well_formed) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn check_headers(headers: &HeaderMap) -> Result<()> {
    if headers.len() == headers.keys_len() {
        return Ok(());
    }
    for name in headers.keys() {
        if headers.get_all(name).iter().nth(1).is_some() && !REPEATABLE.contains(&name.as_str()) {
            return Err(Error::new(ErrorKind::Invalid, format!("the header `{name}` must be given once")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_query(raw: &str) -> Result<Vec<(String, String)>> {
        decode_pairs(raw, Plus::Plus)
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for bad in [
            "/a%2Fb",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a/../b",
            "/a/./b",
            "/%2e%2e/b",
            "/a//b",
            "/a/",
            "/a%00",
            "/a%0Ab",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%ff",
            "a",
            "*",
            "//a",
        ] {
            assert_eq!(decode_path(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
        }
        assert_eq!(decode_path("/").unwrap(), "/");
        assert_eq!(decode_path("/a/%7Bproject_id%7D/b%20c").unwrap(), "/a/{project_id}/b c");
        assert_eq!(decode_path("/a%252Fb").unwrap(), "/a%2Fb", "decoded once");
    }

    #[test]
    fn a_repeated_query_key_is_refused_however_it_is_spelled() {
        assert!(decode_query("a=1&a=2").is_err());
        assert!(decode_query("a=1&%61=2").is_err());
        assert!(decode_query("a=%").is_err());
        assert!(decode_query("a=%00").is_err());
        let many: Vec<String> = (0..65).map(|n| format!("k{n}=1")).collect();
        assert!(decode_query(&many.join("&")).is_err() && decode_query(&many[1..].join("&")).is_ok());
        let pairs = decode_query("a=1&b&c=%20&d=x+y").unwrap();
        assert_eq!(
            pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
            ["a=1", "b=", "c= ", "d=x+y"]
        );
        let form = decode_pairs("a=x+y&b=x%2By", Plus::Space).unwrap();
        assert_eq!(form, [("a".to_owned(), "x y".to_owned()), ("b".to_owned(), "x+y".to_owned())]);
        assert!(decode_pairs("a+b=1&a%20b=2", Plus::Space).is_err());
    }

    #[test]
    fn a_repeated_header_is_refused_unless_it_is_a_list() {
        let mut headers = HeaderMap::new();
        headers.append("accept", "a".parse().unwrap());
        headers.append("accept", "b".parse().unwrap());
        assert!(check_headers(&headers).is_ok());
        headers.append("x-project-id", "a".parse().unwrap());
        assert!(check_headers(&headers).is_ok());
        headers.append("x-project-id", "a".parse().unwrap());
        assert!(check_headers(&headers).is_err());
    }
}
