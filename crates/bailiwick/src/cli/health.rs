//! `bailiwick health`: asks a server whether it is ready, for containers and scripts that have no other client.

use super::Session;
use crate::client::Request;
use crate::failure::Failure;

/// Shown below the help.
pub const EXAMPLES: &str = "Examples:\n  bailiwick health\n  \
    bailiwick health --server https://access.example.com:8470 --ca-file ca.pem";

/// Prints `ok`, or fails with what the server said.
///
/// # Errors
/// If the server is not ready or does not answer.
pub fn run(session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let request = Request {
        method: "GET".to_owned(),
        target: "/readyz".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    let answer = session.client.send(&request)?;
    if answer.is_success() {
        return Ok(writeln!(session.world.out, "ok")?);
    }
    let server = session.client.server().as_str();
    Err(Failure::refused(format!("`{server}` is not ready: it answered {} {}", answer.status, answer.reason)))
}
