//! `bailiwick completion`: scripts that complete nouns, verbs and flags in a shell.

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use super::World;
use crate::failure::Failure;

/// Shown below the help.
pub const EXAMPLES: &str = "Examples:\n  bailiwick completion bash > ~/.local/share/bash-completion/completions/bailiwick\n  \
    bailiwick completion zsh > ~/.zfunc/_bailiwick\n  \
    bailiwick completion fish > ~/.config/fish/completions/bailiwick.fish";

/// What `bailiwick completion` takes.
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// The shell
    shell: KnownShell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KnownShell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
///
/// # Errors
/// If the output cannot be written.
pub fn run(args: &CompletionArgs, world: &mut World<'_>) -> Result<(), Failure> {
    let shell = match args.shell {
        KnownShell::Bash => Shell::Bash,
        KnownShell::Zsh => Shell::Zsh,
        KnownShell::Fish => Shell::Fish,
    };
    // Into memory first: the generator panics when its reader has gone.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "bailiwick", &mut script);
    Ok(world.out.write_all(&script)?)
}
