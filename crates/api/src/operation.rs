//! Operations as data: one row per method and path. Dispatch, the documents and the tests that walk every operation
//! all read the same rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use domain::{Error, Result};
use matchit::Router;
use service::Call;

use crate::App;
use crate::head::{Head, Plus};
use crate::metrics::Counts;
use crate::reply::{HttpResponse, Reply};

/// A future that a handler returns.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a handler is given.
pub struct Input {
    /// The request's head.
    pub head: Head,
    /// The parameters of the path, decoded.
    pub parameters: Parameters,
    /// The body.
    pub body: Bytes,
}

impl Input {
    /// The body as a JSON object.
    ///
    /// # Errors
    /// `UnsupportedMediaType` or `Invalid`.
    pub fn json(&self) -> Result<crate::json::Object> {
        crate::json::object(self.head.header("content-type"), &self.body)
    }
}

/// The parameters of a path.
#[derive(Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameter of that name; empty if the path has none, which the row's path rules out.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Whether an operation takes a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// JSON: an object, or whatever the operation says.
    Json,
    /// Nothing that is looked at.
    None,
}

/// What carries an operation out.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Anybody may call it; it proves who is calling by itself, or tells nothing.
    Open(for<'a> fn(&'a App, Input) -> Pending<'a, Result<Reply>>),
    /// Only with exactly one valid credential.
    Authenticated(for<'a> fn(&'a App, Call, Input) -> Pending<'a, Result<Reply>>),
}

/// One row.
#[derive(Clone, Copy)]
pub struct Operation {
    /// The method.
    pub method: &'static str,
    /// The path, with `{name}` for parameters.
    pub path: &'static str,
    /// A stable name for logs, metrics and documents.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Whether it takes a body.
    pub body: BodyRule,
    /// What carries it out.
    pub handler: Handler,
}

impl Operation {
    /// A row, its parts in the order in which they are read.
    #[must_use]
    pub fn new(
        method: &'static str,
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        body: BodyRule,
        handler: Handler,
    ) -> Self {
        Self { method, path, name, summary, body, handler }
    }
}

/// A way of speaking to us: how a caller proves who they are, how operations are spelled, how failures look.
///
/// A trait because there are several, and dispatch must not know which.
pub trait Dialect: Send + Sync {
    /// A stable name for logs and metrics.
    fn name(&self) -> &'static str;

    /// Whether a request is in this dialect, and what says so. Headers count before the path, so that an unknown path,
    /// too, is answered in words that the caller's program can read.
    fn claims(&self, headers: &http::HeaderMap, uri: &http::Uri) -> Claim;

    /// What a `+` in a query is.
    fn plus(&self) -> Plus {
        Plus::Plus
    }

    /// Where in the table a request's operation is: at its path, unless the dialect tells operations apart by something
    /// else.
    ///
    /// # Errors
    /// `Invalid` if the request names two.
    fn place<'a>(&self, head: &'a Head) -> Result<Cow<'a, str>> {
        Ok(Cow::Borrowed(&head.path))
    }

    /// What every answer of the dialect carries.
    fn stamp(&self, _response: &mut HttpResponse, _request_id: &str) {}

    /// The rows, ready to be searched.
    fn table(&self) -> &Table;

    /// Who is calling.
    fn authenticate<'a>(&self, app: &'a App, input: &'a Input, rule: BodyRule) -> Pending<'a, Result<Call>>;

    /// Whether its clients know refusals that carry their reasons sealed, to be shown to somebody who may read them.
    fn knows_sealed_reasons(&self) -> bool {
        false
    }

    /// The failure in the dialect's shape. `path` is the one asked for, because some vendors' services differ.
    fn fault(&self, path: &str, error: &Error, request_id: &str) -> HttpResponse;
}

/// What says that a request is in a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing does.
    No,
    /// Its path, as long as no header speaks for another dialect.
    Path,
    /// Its headers.
    Headers,
}

/// The rows of one dialect, searchable by path.
pub struct Table {
    rows: Vec<Operation>,
    /// Of each row, in the same order.
    counts: Vec<Counts>,
    of_nothing: Counts,
    router: Router<BTreeMap<&'static str, usize>>,
}

/// What a search for a method and path found.
pub enum Found<'a> {
    /// The row and the path's parameters.
    Operation(&'a Operation, &'a Counts, Parameters),
    /// The path exists with these methods only.
    OtherMethods(Vec<&'static str>),
    /// There is no such path.
    Nothing,
}

impl Table {
    /// Makes the rows searchable.
    ///
    /// # Errors
    /// `Internal` if two rows share method and path.
    pub fn new(rows: Vec<Operation>) -> Result<Self> {
        let mut by_path: BTreeMap<&'static str, BTreeMap<&'static str, usize>> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            if by_path.entry(row.path).or_default().insert(row.method, index).is_some() {
                return Err(Error::internal(format!("two operations are {} {}", row.method, row.path)));
            }
        }
        let mut router = Router::new();
        for (path, methods) in by_path {
            router.insert(path, methods).map_err(Error::internal)?;
        }
        let counts = rows.iter().map(|_| Counts::default()).collect();
        Ok(Self { rows, counts, of_nothing: Counts::default(), router })
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> &[Operation] {
        &self.rows
    }

    /// All rows with what was counted of them.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (&Operation, &Counts)> {
        self.rows.iter().zip(&self.counts)
    }

    /// What was counted of requests that led to no row.
    pub(crate) fn of_nothing(&self) -> &Counts {
        &self.of_nothing
    }

    /// The row for a method and a decoded path.
    #[must_use]
    pub fn find(&self, method: &str, path: &str) -> Found<'_> {
        let Ok(matched) = self.router.at(path) else { return Found::Nothing };
        let found = matched.value.get(method);
        match found.and_then(|index| Some((self.rows.get(*index)?, self.counts.get(*index)?))) {
            Some((row, counts)) => {
                let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
                Found::Operation(row, counts, Parameters(matched.params.iter().map(own).collect()))
            }
            None => Found::OtherMethods(matched.value.keys().copied().collect()),
        }
    }
}
