//! What `bailiwick --help` looks like: the nouns in groups, and no flags where they mean nothing.

use std::fmt::Write;

use clap::{Arg, Command};

/// The nouns in the order in which someone new meets them.
const GROUPS: [(&str, &[&str]); 4] = [
    (
        "Server (on its own machine)",
        &["serve", "check-config", "account", "master-key", "recover", "backup", "restore", "hold"],
    ),
    (
        "Tenancy and directory",
        &["project", "enterprise-project", "user", "group", "agency", "key", "policy", "revoke"],
    ),
    ("Fleet", &["cluster", "grant", "kubeconfig", "pod-identity", "audit"]),
    ("Tools", &["call", "health", "completion"]),
];

const CONNECTION: [&str; 3] = ["server", "profile", "ca_file"];
const OUTPUT: [&str; 2] = ["output", "quiet"];

/// Commands for which some of the common flags mean nothing.
const LOCAL: [(&str, &[&[&str]]); 10] = [
    ("serve", &[&CONNECTION, &OUTPUT]),
    ("check-config", &[&CONNECTION, &OUTPUT]),
    ("completion", &[&CONNECTION, &OUTPUT]),
    ("account", &[&CONNECTION]),
    ("health", &[&OUTPUT]),
    ("master-key", &[&CONNECTION]),
    ("recover", &[&CONNECTION]),
    ("backup", &[&CONNECTION]),
    ("restore", &[&CONNECTION]),
    ("hold", &[&CONNECTION]),
];

/// The command tree with its help in order.
pub fn arrange(command: Command) -> Command {
    let groups = groups(&command);
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} bailiwick <NOUN> <VERB> [OPTIONS]\n\n\
         {groups}Connection and output:\n{{options}}{{after-help}}"
    );
    LOCAL
        .into_iter()
        .fold(command, |command, (name, flags)| hide(command, name, &flags.concat()))
        .help_template(template)
        .subcommand_value_name("NOUN")
        .after_help(
            "Examples:\n  bailiwick user create ada\n  \
             bailiwick grant create --user ada --role viewer --cluster prod -n shop --wait\n\n\
             The access key is read from BAILIWICK_ACCESS_KEY_ID and BAILIWICK_SECRET_ACCESS_KEY, or from a profile.\n\
             `bailiwick help NOUN VERB` says more. Exit codes: 0 done, 1 refused or failed, 2 usage.",
        )
}

fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (title, names) in GROUPS {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{title}:");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            let _ = writeln!(text, "  {name:19} {}", about.unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

/// Gives one command hidden doubles of the flags: they are still accepted, for whoever has them in an alias.
fn hide(command: Command, name: &str, flags: &[&str]) -> Command {
    let doubles: Vec<Arg> = command
        .get_arguments()
        .filter(|arg| flags.contains(&arg.get_id().as_str()))
        .map(|arg| arg.clone().hide(true))
        .collect();
    command.mut_subcommand(name, |subcommand| subcommand.args(doubles))
}

#[cfg(test)]
mod tests {
    use crate::cli::command;

    #[test]
    fn every_noun_stands_in_one_group() {
        let mut grouped: Vec<&str> =
            super::GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = command();
        let mut nouns: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        grouped.sort_unstable();
        nouns.sort_unstable();
        assert_eq!(grouped, nouns);
    }

    #[test]
    fn the_help_shows_groups_and_the_serve_help_no_flags_of_the_client() {
        let help = command().render_help().to_string();
        for part in ["Fleet:\n  cluster ", "Usage: bailiwick <NOUN> <VERB>", "--server <URL>", "Exit codes"] {
            assert!(help.contains(part), "{part} in:\n{help}");
        }
        let mut command = command();
        command.build();
        let serve = command.find_subcommand_mut("serve").unwrap().render_help().to_string();
        assert!(serve.contains("--listen") && !serve.contains("--server"), "{serve}");
    }
}
