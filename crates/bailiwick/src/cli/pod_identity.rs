//! `bailiwick pod-identity`: credentials for pods, without a secret of their own.

use clap::Subcommand;

use super::{Session, pod_identity_test};
use crate::failure::Failure;

/// The verbs of `bailiwick pod-identity`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell what the pods of a service account would get, and if nothing, why
    ///
    /// Takes each step of vending but the last: nothing is issued. Fails if they would get nothing.
    #[command(after_help = pod_identity_test::EXAMPLES)]
    Test(pod_identity_test::TestArgs),
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Test(args) => pod_identity_test::run(&args, session),
    }
}
