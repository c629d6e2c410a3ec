//! The `bailiwick` program: the server (`bailiwick serve`) and the command line for people.
//!
//! This file reads the arguments, hands them to [`cli`], and turns the outcome into an exit code: 0 done, 1 refused
//! or failed, 2 usage. Everything that belongs to the process alone (environment, clock, standard streams) enters
//! here and is a parameter from then on.

mod cli;
mod client;
mod environment;
mod failure;
mod output;
mod serve;
mod system;

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::process::ExitCode;

use cli::World;
use environment::Environment;
use system::SystemClock;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut world = World {
        environment: &Environment::read(),
        clock: &SystemClock,
        pause: &system::pause,
        stdin: &mut stdin().lock(),
        stdin_is_terminal: stdin().is_terminal(),
        out: &mut stdout().lock(),
        out_is_terminal: stdout().is_terminal(),
        err: &mut stderr(),
    };
    let outcome = cli::run(cli, &mut world).and_then(|()| Ok(world.out.flush()?));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&mut stderr()),
    }
}

/// Prints clap's help or complaint. A closed pipe is no reason to complain about the complaint.
fn usage(error: &clap::Error) -> ExitCode {
    drop(error.print());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
