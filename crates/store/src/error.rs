//! Database errors as domain errors. Driver texts name tables and constraints: they go to the log only.

use domain::{Error, Result};

/// What a failed statement means to a caller who can do nothing about it.
pub(crate) fn database(error: sqlx::Error) -> Error {
    let passing = matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    );
    if passing || error.as_database_error().is_some_and(|error| is_passing(error.code().as_deref())) {
        return Error::unavailable("the database does not answer; try again", error);
    }
    Error::internal(error)
}

/// SQLite's "busy", and PostgreSQL's deadlocks, serialization failures and shutdowns.
fn is_passing(code: Option<&str>) -> bool {
    code.is_some_and(|code| {
        ["5", "517", "40P01", "40001", "57P01", "57P02", "57P03", "53300"].contains(&code)
    })
}

/// Turns the violation of a uniqueness rule into `conflict`, anything else into what it is.
pub(crate) fn unless_taken<T>(
    result: std::result::Result<T, sqlx::Error>,
    conflict: impl FnOnce() -> Error,
) -> Result<T> {
    result.map_err(|error| match error.as_database_error() {
        Some(found) if found.is_unique_violation() => conflict(),
        _ => database(error),
    })
}

/// A stored value that this program would never have written.
pub(crate) fn corrupt(table: &str, column: &str, key: &str) -> Error {
    Error::internal(format!("row `{key}` of table {table} has an impossible {column}"))
}
