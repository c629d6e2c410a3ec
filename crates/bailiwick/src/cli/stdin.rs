//! What commands read from standard input and from files named on the command line.

use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::World;
use crate::failure::Failure;

/// The most that is read: the server takes no larger body.
const MAX_INPUT: u64 = 16 << 20;

/// A password: standard input without the line break at its end. Never asked for, so that nothing echoes it.
///
/// # Errors
/// Usage, if a person would have to type it or nothing is there.
pub fn password(world: &mut World<'_>) -> Result<Zeroizing<String>, Failure> {
    secret(world, "password").map_err(|failure| match world.stdin_is_terminal {
        true => failure.hint("for example: bailiwick user set-password ada < password.txt"),
        false => failure,
    })
}

/// A secret, called `what`: standard input without the line break at its end.
///
/// # Errors
/// Usage, if a person would have to type it or nothing is there.
pub fn secret(world: &mut World<'_>, what: &str) -> Result<Zeroizing<String>, Failure> {
    if world.stdin_is_terminal {
        return Err(Failure::usage(format!("the {what} must come through a pipe or from a file")));
    }
    let text = Zeroizing::new(standard_input(world)?);
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err(Failure::usage(format!("the {what} on standard input must not be empty")));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// The text of a file, or of standard input for `-`.
///
/// # Errors
/// If it cannot be read or is not UTF-8.
pub fn file(world: &mut World<'_>, path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        return standard_input(world);
    }
    std::fs::read_to_string(path)
        .map_err(|error| Failure::refused(format!("cannot read `{}`: {error}", path.display())))
}

/// All of standard input.
///
/// # Errors
/// If it cannot be read, is not UTF-8 or too much.
pub fn standard_input(world: &mut World<'_>) -> Result<String, Failure> {
    let mut text = String::new();
    let read = (&mut *world.stdin)
        .take(MAX_INPUT + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::refused(format!("cannot read standard input: {error}")))?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_INPUT) {
        return Err(Failure::usage("standard input must be at most 16 MiB"));
    }
    Ok(text)
}
