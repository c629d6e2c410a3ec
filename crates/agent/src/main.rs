//! The program `bailiwick-agent`: it runs in a cluster, once on every node and once as a webhook.
//!
//! `node` is the local endpoint where pods fetch credentials; `webhook` tells pods where that is. Both know one server,
//! with a credential that vends for this cluster only. Neither knows a cloud.

use std::process::ExitCode;

use agent::{node, webhook};
use clap::{Parser, Subcommand};

/// Pod identity inside a cluster.
#[derive(Parser)]
#[command(name = "bailiwick-agent", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hands out credentials to the pods of this node.
    Node(Box<node::Arguments>),
    /// Tells new pods where their credentials are.
    Webhook(Box<webhook::Arguments>),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .json()
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let done = runtime.block_on(async {
        match Arguments::parse().command {
            Command::Node(arguments) => node::run(*arguments).await,
            Command::Webhook(arguments) => webhook::run(*arguments).await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(sentence: &str) -> ExitCode {
    tracing::error!(error = sentence, "agent.failed");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_one_that_can_be_read() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
