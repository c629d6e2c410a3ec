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
    if passing {
        return Error::unavailable("the database does not answer; try again", error);
    }
    Error::internal(error)
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
