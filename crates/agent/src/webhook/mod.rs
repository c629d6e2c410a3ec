//! `bailiwick-agent webhook`: tells new pods where their credentials are.

/// How it is started.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which server to ask, and as whom.
    #[command(flatten)]
    server: crate::server::Arguments,
}

/// Runs until told to stop.
///
/// # Errors
/// A sentence if it cannot begin.
pub async fn run(arguments: Arguments) -> Result<(), String> {
    let clock = std::sync::Arc::new(crate::clock::System);
    let _server = crate::server::Server::open(arguments.server, clock)?;
    Err("the webhook is not there yet".to_owned())
}
