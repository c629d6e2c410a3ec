//! Why a command did not do what it was asked, in one line and a hint, and the exit code that says so.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::output;

/// A command that was refused or failed.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The command was called wrongly.
    Usage,
    /// The server, or something on the way to it, said no.
    Refused,
    /// Whoever read our output has stopped reading, as `head` does. Nobody wants to hear about it.
    ReaderGone,
}

impl Failure {
    /// The command was called wrongly: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, message: message.into(), hints: Vec::new() }
    }

    /// The command was refused or failed: exit code 1.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, message: message.into(), hints: Vec::new() }
    }

    /// The same failure with a line that says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code: 1 refused or failed, 2 usage.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self.kind {
            Kind::Refused | Kind::ReaderGone => 1,
            Kind::Usage => 2,
        }
    }

    /// Writes `error: …` and the hints, and gives the exit code. What the server said is made harmless first.
    pub fn report(&self, err: &mut dyn Write) -> ExitCode {
        match self.kind {
            Kind::Usage | Kind::Refused => {
                // Standard error that cannot be written to leaves nobody to tell.
                drop(writeln!(err, "error: {}", output::escape(&self.message)));
                for hint in &self.hints {
                    drop(writeln!(err, "  hint: {}", output::escape(hint)));
                }
            }
            Kind::ReaderGone => {}
        }
        ExitCode::from(self.code())
    }
}

impl From<io::Error> for Failure {
    /// For failures of our own output.
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => Kind::ReaderGone,
            _ => Kind::Refused,
        };
        Self { kind, message: format!("cannot write the output: {error}"), hints: Vec::new() }
    }
}

impl From<domain::Error> for Failure {
    /// For the commands that run on the server's machine: whoever sits there may see the cause.
    fn from(error: domain::Error) -> Self {
        let failure = Self::refused(error.to_string());
        match error.cause() {
            Some(cause) => failure.hint(format!("cause: {cause}")),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_and_its_hints_and_cannot_move_the_cursor() {
        let mut err = Vec::new();
        let failure = Failure::refused("no `\u{1b}[2J`\nerror: forged").hint("try again");
        failure.report(&mut err);
        let text = String::from_utf8(err).unwrap();
        assert_eq!(text, "error: no `\\u{1b}[2J`\\nerror: forged\n  hint: try again\n");
        assert_eq!(failure.code(), 1);
        assert_eq!(Failure::usage("x").code(), 2);
    }
}
