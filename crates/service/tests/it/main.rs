//! The acceptance suite: every use case through the door, on a real database; with the feature `postgres-tests` on
//! PostgreSQL too. Together these tests run every statement of `store`.

mod accounts;
mod clusters;
mod concurrency;
mod directory;
mod grants;
mod rights;
mod secrets;
mod tokens;
mod world;
