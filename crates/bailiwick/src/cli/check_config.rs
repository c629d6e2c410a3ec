//! `bailiwick check-config`: reads the server's settings as the server would, and says what is in force.

use super::World;
use crate::failure::Failure;
use crate::serve::{self, ServeArgs};

/// Prints what is in force.
///
/// # Errors
/// If the settings would keep the server from starting.
pub fn run(args: &ServeArgs, world: &mut World<'_>) -> Result<(), Failure> {
    let report = serve::check_config(args)?;
    Ok(writeln!(world.out, "{}", report.trim_end())?)
}
