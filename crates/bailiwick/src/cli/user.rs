//! `bailiwick user`: people and programs with credentials of their own.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::permissions::{self, CleanArgs, PermissionArgs, SetArgs};
use super::{Paging, Session, stdin};
use crate::client::path;
use crate::failure::Failure;
use crate::output::{View, computed, field};

const USERS: &str = "users";

const VIEW: View = View {
    id: "id",
    plural: "users",
    columns: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("ENABLED", "enabled"),
        field("ROOT", "root"),
        field("CREATED", "createdAt"),
    ],
    details: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("ENABLED", "enabled"),
        field("ROOT", "root"),
        field("HAS PASSWORD", "hasPassword"),
        field("DESCRIPTION", "description"),
        computed("GROUPS", groups),
        field("EXTERNAL IDS", "externalIds"),
        field("CREATED", "createdAt"),
        field("CHANGED", "updatedAt"),
    ],
};

/// The verbs of `bailiwick user`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a user
    ///
    /// A user without password calls with access keys only: `bailiwick key create`.
    #[command(after_help = "Examples:\n  bailiwick user create ada\n  \
        bailiwick user create --description 'nightly builds' builder\n  \
        bailiwick user create --id 5f2c0a1e --password-stdin ada < password.txt")]
    Create {
        /// Id to keep, from a cloud that knows the user already [default: a new one]
        #[arg(long)]
        id: Option<String>,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        /// What the user is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Name, unique among the account's users
        name: String,
    },

    /// Change a user's name, description or names in other systems
    #[command(after_help = "Examples:\n  bailiwick user update ada --name 'Ada Lovelace'\n  \
        bailiwick user update ada --external-id https://login.example=ada@example.org")]
    Update {
        #[command(flatten)]
        changes: Changes,
        /// The user's id or name
        user: String,
    },

    /// Let a disabled user in again; tokens that ended stay ended
    #[command(after_help = "Example:\n  bailiwick user enable ada")]
    Enable {
        /// The user's id or name
        user: String,
    },

    /// Refuse a user's password and keys from now on, and end what they began
    ///
    /// Grants stay as they are: whoever arrives in a cluster without asking this server still has them there. To take
    /// those away, delete the user or the grants.
    #[command(after_help = "Example:\n  bailiwick user disable ada")]
    Disable {
        /// The user's id or name
        user: String,
    },

    /// Set a user's password, read from standard input
    #[command(after_help = "Example:\n  bailiwick user set-password ada < password.txt")]
    SetPassword {
        /// Accepted for symmetry with `create`: the password always comes from standard input
        #[arg(long, hide = true)]
        password_stdin: bool,
        /// The user's id or name
        user: String,
    },

    /// Change your own password: standard input holds the old one and the new one, each on a line
    #[command(after_help = "Example:\n  bailiwick user change-password ada < old-and-new.txt")]
    ChangePassword {
        /// Your own id or name
        user: String,
    },

    /// Take a user's password away: they can only sign with access keys then
    #[command(after_help = "Example:\n  bailiwick user remove-password builder")]
    RemovePassword {
        /// The user's id or name
        user: String,
    },

    /// List users
    #[command(after_help = "Examples:\n  bailiwick user list\n  bailiwick user list -o json")]
    List {
        #[command(flatten)]
        paging: Paging,
    },

    /// Show a user
    #[command(after_help = "Example:\n  bailiwick user show ada")]
    Show {
        /// The user's id or name
        user: String,
    },

    /// Show what a user holds in which clusters, and from where
    ///
    /// Each line is one way in which it is held: `direct` by a grant that says this and nothing else, `shared` by a grant
    /// that says more, `group` by a group, `owner` by owning the cluster. Everybody may see their own.
    #[command(
        after_help = "Examples:\n  bailiwick user permissions ada\n  bailiwick user permissions ada -o json"
    )]
    Permissions {
        /// The user's id or name
        user: String,
    },

    /// Grant a user one role in one place
    ///
    /// A predefined role takes the place of another predefined one that was granted directly there.
    #[command(after_help = "Examples:\n  \
        bailiwick user add-permission ada --role developer --cluster prod -n shop\n  \
        bailiwick user add-permission ada --role viewer --all-clusters --all-namespaces")]
    AddPermission(PermissionArgs),

    /// Take one role in one place away from a user
    ///
    /// Only what was granted directly: what comes from a group or a shared grant is changed there.
    #[command(after_help = "Example:\n  \
        bailiwick user remove-permission ada --role developer --cluster prod -n shop")]
    RemovePermission(PermissionArgs),

    /// Make direct permissions exactly those of a file, as far as you administer their places
    #[command(after_help = "Example:\n  bailiwick user set-permissions ada --file permissions.json")]
    SetPermissions(SetArgs),

    /// Take everything away from a user, for those who leave
    ///
    /// Refused if something would stay, by a group or by owning a cluster; and without --force if they were active in one
    /// of these clusters in the last 7 days, or that is not known: `bailiwick cluster import-audit-log` makes it known.
    #[command(after_help = "Examples:\n  bailiwick user clean ada\n  \
        bailiwick user clean ada --cluster prod --cluster staging --force")]
    Clean(CleanArgs),

    /// Delete a user: the keys die, the grants forget the user, the id is never given again
    #[command(after_help = "Example:\n  bailiwick user delete ada")]
    Delete {
        /// The user's id or name
        user: String,
    },
}

/// What can be changed about a user or a group; at least one of them.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub struct Changes {
    /// Another name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Another description; an empty text removes it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Name in another system; those given replace all that there are
    #[arg(long = "external-id", value_name = "ISSUER=SUBJECT", value_parser = external_id)]
    external_ids: Vec<(String, String)>,
}

/// Issuers are addresses, which may hold a `=`; subjects hold none more often.
fn external_id(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((issuer, subject)) if !issuer.is_empty() && !subject.is_empty() => {
            Ok((issuer.to_owned(), subject.to_owned()))
        }
        Some(_) | None => Err("must be ISSUER=SUBJECT".to_owned()),
    }
}

impl Changes {
    /// The body of the request.
    pub fn body(&self) -> Value {
        let external = |(issuer, subject): &(String, String)| json!({ "issuer": issuer, "subject": subject });
        let external_ids: Vec<Value> = self.external_ids.iter().map(external).collect();
        let external_ids = (!external_ids.is_empty()).then_some(external_ids);
        json!({ "name": self.name, "description": self.description, "externalIds": external_ids })
    }
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Create { id, password_stdin, description, name } => {
            let password = if password_stdin { Some(stdin::password(session.world)?) } else { None };
            let password = password.as_deref();
            let body = json!({ "id": id, "name": name, "password": password, "description": description });
            session.create(USERS, &VIEW, body)
        }
        Command::Update { changes, user } => session.update(USERS, &VIEW, &user, changes.body()),
        Command::Enable { user } => session.update(USERS, &VIEW, &user, json!({ "enabled": true })),
        Command::Disable { user } => session.update(USERS, &VIEW, &user, json!({ "enabled": false })),
        Command::SetPassword { password_stdin: _, user } => {
            let password = stdin::password(session.world)?;
            let path = path::native(&[USERS, &user, "password"])?;
            session.client.write("PUT", &path, json!({ "password": password.as_str() }))?;
            session.say(&format!("set the password of {user}"))
        }
        Command::ChangePassword { user } => {
            let both = stdin::password(session.world)?;
            let Some((old, new)) = both.split_once('\n') else {
                return Err(Failure::usage(
                    "standard input must hold two lines: the old password and the new one",
                ));
            };
            let old = old.strip_suffix('\r').unwrap_or(old);
            let path = path::native(&[USERS, &user, "password"])?;
            session.client.write("POST", &path, json!({ "oldPassword": old, "password": new }))?;
            session.say(&format!("changed the password of {user}"))
        }
        Command::RemovePassword { user } => {
            session.client.act("DELETE", &path::native(&[USERS, &user, "password"])?)?;
            session.say(&format!("removed the password of {user}"))
        }
        Command::List { paging } => session.list(USERS, &VIEW, &[], &paging),
        Command::Show { user } => session.show(USERS, &VIEW, &user),
        Command::Permissions { user } => permissions::list(USERS, &user, session),
        Command::AddPermission(args) => permissions::change(USERS, "add", args, session),
        Command::RemovePermission(args) => permissions::change(USERS, "remove", args, session),
        Command::SetPermissions(args) => permissions::set(USERS, &args, session),
        Command::Clean(args) => permissions::clean(USERS, &args, session),
        Command::Delete { user } => session.delete(USERS, &user),
    }
}

fn groups(user: &Value) -> String {
    let groups = user.get("groups").and_then(Value::as_array);
    let names = groups.into_iter().flatten().filter_map(|group| group.get("name")?.as_str());
    names.collect::<Vec<_>>().join(", ")
}
