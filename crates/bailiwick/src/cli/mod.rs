//! The command line for people: `bailiwick <noun> <verb>`, one file per noun.
//!
//! Commands are thin: they turn flags into one call of the native API and the answer into a table, JSON or YAML.
//! They decide nothing. Only `serve`, `check-config`, `account`, `master-key`, `recover`, `hold`, `backup` and `restore`
//! work on this machine without a server.

mod account;
mod activity;
mod agency;
mod audit;
mod backup;
mod call;
mod call_print;
mod check_config;
mod cluster;
mod cluster_check;
mod cluster_life;
mod completion;
mod connector;
mod enterprise_project;
mod grant;
mod grant_history;
mod grant_wait;
mod group;
mod health;
mod help;
mod hold;
mod issued;
mod key;
mod kubeconfig;
mod master_key;
mod permissions;
mod pod_identity;
mod pod_identity_direct;
mod pod_identity_install;
mod pod_identity_kubectl;
mod pod_identity_manifests;
mod pod_identity_test;
mod policy;
mod project;
mod recover;
mod removals;
mod revoke;
mod session;
mod stdin;
#[cfg(test)]
mod tests;
mod user;

use std::path::PathBuf;

use clap::{Args, FromArgMatches, Parser, Subcommand};

pub use session::{Paging, Session, World};

use crate::failure::Failure;
use crate::output::{Format, Style};
use crate::serve::{self, ServeArgs};

/// Says, and makes true, who may touch which Kubernetes cluster and namespace
#[derive(Debug, Parser)]
#[command(name = "bailiwick", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    client: ClientArgs,

    #[command(subcommand)]
    noun: Noun,
}

/// Flags of every command that talks to the server.
// The key is not among them: process arguments are visible to everybody on the machine.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection and output")]
pub struct ClientArgs {
    /// Server to call, else BAILIWICK_SERVER, else the profile's [default: http://127.0.0.1:8470]
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,

    /// Profile of ~/.config/bailiwick/config.toml, else BAILIWICK_PROFILE [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,

    /// Certificate authorities (PEM) that vouch for the server, else BAILIWICK_CA_FILE [default: the system's]
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// How to print the answer
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        hide_possible_values = true
    )]
    #[arg(help = "Print the answer as table, json or yaml")]
    output: Format,

    /// Print ids only, one a line
    #[arg(short, long, global = true)]
    quiet: bool,
}

impl ClientArgs {
    fn style(&self) -> Style {
        if self.quiet { Style::Ids } else { Style::Full(self.output) }
    }
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Run the server
    ///
    /// The first start on an empty database makes an account, a project and an administrator, and writes what it
    /// generated to bootstrap.env in the data folder.
    #[command(after_help = "Examples:\n  bailiwick serve\n  bailiwick serve --demo\n  \
        bailiwick serve --listen 0.0.0.0:8470 --tls-cert cert.pem --tls-key key.pem\n  \
        bailiwick serve --database 'postgres://db/bailiwick?sslmode=verify-full'")]
    Serve(ServeArgs),

    /// Check the server's settings and say what is in force
    #[command(after_help = "Example:\n  bailiwick check-config --config bailiwick.toml")]
    CheckConfig(ServeArgs),

    /// Accounts: the tenants of a server, made on its machine
    #[command(subcommand)]
    Account(account::Command),

    /// The master key that seals secrets in the database: which one is needed, and a new one in its place
    #[command(subcommand)]
    MasterKey(master_key::Command),

    /// Get back into an account: a new password and key for its root user
    ///
    /// Works on the server's data, not over the network: run it on the server's machine with the same data folder,
    /// database and master key as the server, which may be running. The former password and all tokens of the root user
    /// end within a second.
    #[command(after_help = recover::EXAMPLES)]
    Recover(recover::RecoverArgs),
    /// The hold on a restored or older database, seen and ended on the server's machine
    #[command(subcommand)]
    Hold(hold::Command),

    /// Copy the server's database while it runs, on its machine
    ///
    /// Writes the embedded database as it is at one instant, and beside it FILE.manifest.json. Of PostgreSQL the
    /// manifest alone is written, and the command is shown that makes the dump. The master key is in neither: keep
    /// it elsewhere.
    #[command(after_help = backup::BACKUP_EXAMPLES)]
    Backup(backup::BackupArgs),

    /// Put a backup in the place of the database, on the machine of a server that is stopped
    ///
    /// Afterwards the installation is held: nothing is applied and nobody is let in until `bailiwick hold confirm`.
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(backup::RestoreArgs),

    /// Projects: parts of the account, one for each region
    #[command(subcommand)]
    Project(project::Command),

    /// Enterprise projects: units of cost and ownership across regions
    #[command(subcommand)]
    EnterpriseProject(enterprise_project::Command),

    /// Users: people and programs with credentials of their own
    #[command(subcommand)]
    User(user::Command),

    /// Groups of users
    #[command(subcommand)]
    Group(group::Command),

    /// Agencies: identities without credentials, which others assume
    #[command(subcommand)]
    Agency(agency::Command),

    /// Access keys, with which users sign their calls
    #[command(subcommand)]
    Key(key::Command),

    /// Identity policies: who may perform which operations, and why
    #[command(subcommand)]
    Policy(policy::Command),

    /// Clusters of the fleet
    #[command(subcommand)]
    Cluster(cluster::Command),

    /// Grants: who may do what in which clusters and namespaces
    #[command(subcommand)]
    Grant(grant::Command),

    /// Kubeconfigs: ways into clusters by certificates, which can be revoked
    #[command(subcommand)]
    Kubeconfig(issued::Command),

    /// Pod identity: which agency the pods of a service account act as, without a secret of their own
    #[command(subcommand)]
    PodIdentity(pod_identity::Command),

    /// Credentials ended at once: of a principal, a key, a token
    #[command(subcommand)]
    Revoke(revoke::Command),

    /// The audit: what was done and what was refused
    #[command(subcommand)]
    Audit(audit::Command),

    /// Sign and send any call of the server's APIs
    #[command(after_help = call::EXAMPLES)]
    Call(call::CallArgs),

    /// Ask whether the server is ready
    #[command(after_help = health::EXAMPLES)]
    Health,

    /// Print the completion script of a shell
    #[command(after_help = completion::EXAMPLES)]
    Completion(completion::CompletionArgs),
}

/// The whole tree of commands, as help, completion and tests see it.
pub fn command() -> clap::Command {
    help::arrange(<Cli as clap::CommandFactory>::command())
}

/// Reads the process's arguments.
///
/// # Errors
/// clap's complaint, or the help that was asked for.
pub fn parse() -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Does what was asked.
///
/// # Errors
/// Why it was not done.
pub fn run(cli: Cli, world: &mut World<'_>) -> Result<(), Failure> {
    let client = cli.client;
    match cli.noun {
        Noun::Serve(args) => Ok(block_on(serve::run(args))??),
        Noun::CheckConfig(args) => check_config::run(&args, world),
        Noun::Account(command) => account::run(command, client.style(), world),
        Noun::MasterKey(command) => master_key::run(command, client.style(), world),
        Noun::Recover(args) => recover::run(&args, client.style(), world),
        Noun::Hold(command) => hold::run(command, client.style(), world),
        Noun::Backup(args) => backup::backup(&args, client.style(), world),
        Noun::Restore(args) => backup::restore(&args, client.style(), world),
        Noun::Project(command) => project::run(command, &mut Session::open(client, world)?),
        Noun::EnterpriseProject(command) => {
            enterprise_project::run(command, &mut Session::open(client, world)?)
        }
        Noun::User(command) => user::run(command, &mut Session::open(client, world)?),
        Noun::Group(command) => group::run(command, &mut Session::open(client, world)?),
        Noun::Agency(command) => agency::run(command, &mut Session::open(client, world)?),
        Noun::Key(command) => key::run(command, &mut Session::open(client, world)?),
        Noun::Policy(command) => policy::run(command, &mut Session::open(client, world)?),
        Noun::Cluster(command) => cluster::run(command, client, world),
        Noun::Grant(command) => grant::run(command, &mut Session::open(client, world)?),
        Noun::Kubeconfig(command) => issued::run(command, &mut Session::open(client, world)?),
        Noun::PodIdentity(command) => pod_identity::run(command, &mut Session::open(client, world)?),
        Noun::Revoke(command) => revoke::run(command, &mut Session::open(client, world)?),
        Noun::Audit(command) => audit::run(command, &mut Session::open(client, world)?),
        Noun::Call(args) => call::run(args, &mut Session::open(client, world)?),
        Noun::Health => health::run(&mut Session::open(client, world)?),
        Noun::Completion(args) => completion::run(&args, world),
    }
}

/// Runs the asynchronous part of the program: the server, and what works on its data.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map(|runtime| runtime.block_on(work))
        .map_err(|error| Failure::refused(format!("cannot start: {error}")))
}
