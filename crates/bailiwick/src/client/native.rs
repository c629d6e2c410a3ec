//! The native API's conventions: JSON both ways, errors with a code and a sentence, lists in pages.

use domain::Timestamp;
use serde_json::{Map, Value};

use super::path::with_query;
use super::{Answer, Client, Request};
use crate::failure::Failure;

/// The most items the server gives in one page.
const PAGE: usize = 1000;
/// How far clocks may be apart before the server refuses signatures.
const MAX_SKEW_MINUTES: i64 = 15;

impl Client<'_> {
    /// Reads one thing.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json("GET", path, None)
    }

    /// Reads one thing, if it is there.
    ///
    /// # Errors
    /// If the server refuses for another reason, or does not answer.
    pub fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.asked("GET", path, None)? {
            Asked::Done(value) => Ok(Some(value)),
            Asked::Refused(answer) if answer.status == 404 => Ok(None),
            Asked::Refused(answer) => Err(refusal(self, &answer)),
        }
    }

    /// Deletes. Whether it was there.
    ///
    /// # Errors
    /// If the server refuses for another reason, or does not answer.
    pub fn delete(&self, path: &str) -> Result<bool, Failure> {
        match self.asked("DELETE", path, None)? {
            Asked::Done(_) => Ok(true),
            Asked::Refused(answer) if answer.status == 404 => Ok(false),
            Asked::Refused(answer) => Err(refusal(self, &answer)),
        }
    }

    /// Sends `body` without its nulls, which stand for options that were not given.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn write(&self, method: &str, path: &str, body: Value) -> Result<Value, Failure> {
        self.json(method, path, Some(without_nulls(body)))
    }

    /// Sends a request without body.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn act(&self, method: &str, path: &str) -> Result<(), Failure> {
        self.json(method, path, None).map(drop)
    }

    /// Reads a list, page after page, to its end or to `limit`.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn list(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
        limit: Option<usize>,
    ) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        self.each(path, query, limit, &mut |item| {
            items.push(item);
            Ok(())
        })?;
        Ok(items)
    }

    /// Hands on a list's items as they come, page after page, to its end or to `limit`.
    ///
    /// # Errors
    /// If the server refuses or does not answer, or an item cannot be taken.
    pub fn each(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
        limit: Option<usize>,
        take: &mut dyn FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut taken = 0;
        let mut cursor: Option<String> = None;
        loop {
            let wanted = limit.map_or(PAGE, |limit| limit.saturating_sub(taken));
            if wanted == 0 {
                return Ok(());
            }
            let size = wanted.min(PAGE).to_string();
            let mut query = query.to_vec();
            query.extend([("limit", Some(size.as_str())), ("cursor", cursor.as_deref())]);
            let mut page = self.get(&with_query(path, &query))?;
            let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) else {
                return Err(not_ours(self, "a list without `items`"));
            };
            for item in more.into_iter().take(wanted) {
                take(item)?;
                taken += 1;
            }
            let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if next.is_none() {
                return Ok(());
            }
            if next == cursor {
                return Err(not_ours(self, "a list that goes on for ever"));
            }
            cursor = next;
        }
    }

    /// Sends a request and reads what it answers; null for an empty answer.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn json(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        match self.asked(method, path, body)? {
            Asked::Done(value) => Ok(value),
            Asked::Refused(answer) => Err(refusal(self, &answer)),
        }
    }

    fn asked(&self, method: &str, path: &str, body: Option<Value>) -> Result<Asked, Failure> {
        if self.key().is_none() {
            return Err(Failure::usage("no access key to sign with").hint(
                "set BAILIWICK_ACCESS_KEY_ID and BAILIWICK_SECRET_ACCESS_KEY, or write a profile to \
                 ~/.config/bailiwick/config.toml",
            ));
        }
        let request = Request {
            method: method.to_owned(),
            target: path.to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        };
        let answer = self.send(&request)?;
        if !answer.is_success() {
            return Ok(Asked::Refused(answer));
        }
        if answer.body.is_empty() {
            return Ok(Asked::Done(Value::Null));
        }
        let read = serde_json::from_slice(&answer.body);
        read.map(Asked::Done).map_err(|_| not_ours(self, "something that is not JSON"))
    }
}

/// What the server made of a request.
enum Asked {
    Done(Value),
    Refused(Answer),
}

fn without_nulls(body: Value) -> Value {
    match body {
        Value::Object(map) => {
            map.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

fn not_ours(client: &Client<'_>, what: &str) -> Failure {
    Failure::refused(format!("`{}` answered with {what}", client.server().as_str()))
        .hint("is it a bailiwick server?")
}

/// What the server says against a request, in its own words where it has some.
#[must_use]
pub fn refusal(client: &Client<'_>, answer: &Answer) -> Failure {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = body.get("error");
    let text = |key: &str| error.and_then(|error| error.get(key)).and_then(Value::as_str);
    let failure = match (text("field"), text("message")) {
        (Some(field), Some(message)) => Failure::refused(format!("`{field}` {message}")),
        (None, Some(message)) => Failure::refused(message),
        (_, None) => Failure::refused(format!(
            "`{}` answered {} {}",
            client.server().as_str(),
            answer.status,
            answer.reason
        )),
    };
    let failure = advise(failure, client, answer);
    let failure = match text("explanation") {
        Some(id) => failure
            .hint(format!("whoever may read the audit finds why: bailiwick audit list --explanation {id}")),
        None => failure,
    };
    // Refusals are the caller's business; only a failure of the server leaves more in its log.
    match text("requestId").or(answer.header("x-request-id")).filter(|_| answer.status >= 500) {
        Some(id) => failure.hint(format!("the server's log has more under request id {id}")),
        None => failure,
    }
}

fn advise(failure: Failure, client: &Client<'_>, answer: &Answer) -> Failure {
    match answer.status {
        401 => match skew_minutes(client, answer) {
            Some(minutes) => failure.hint(format!(
                "this machine's clock is {minutes} minutes away from the server's: set it right"
            )),
            None => failure.hint(match client.key() {
                Some(key) => {
                    format!("it was signed with access key `{}`; is it the right one, and enabled?", key.id)
                }
                None => "no access key was used".to_owned(),
            }),
        },
        300..=399 => failure.hint("redirects are not followed: name the server's own address with --server"),
        429 | 503 => failure.hint("trying again later may help"),
        _ => failure,
    }
}

/// How far this clock and the server's are apart, if that alone explains a refused signature.
fn skew_minutes(client: &Client<'_>, answer: &Answer) -> Option<i64> {
    let date = jiff::fmt::rfc2822::parse(answer.header("date")?).ok()?;
    let server = Timestamp::from_millis(date.timestamp().as_millisecond());
    let minutes = (client.clock().now().as_millis() - server.as_millis()).abs() / 60_000;
    (minutes >= MAX_SKEW_MINUTES).then_some(minutes)
}
