//! Tests of the project as a whole: its architecture, its sources, its documents.
//!
//! A rule that nobody checks is a wish. Each test here reads the repository's own files and names the file and line
//! that break a rule, and next to each search stands a test that it finds what it looks for.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod check_config;
#[cfg(test)]
mod connector;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod repository;
#[cfg(test)]
mod sources;
