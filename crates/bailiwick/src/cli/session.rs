//! What every noun's commands share: a client, a way to print, and the four verbs that are the same for all of them.

use std::io::{Read, Write};
use std::time::Duration;

use clap::Args;
use domain::Clock;
use serde_json::Value;

use super::ClientArgs;
use crate::client::profile::Flags;
use crate::client::{Client, Settings, path};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::{self, Format, Style, View};

/// Everything outside the program that a command may touch.
pub struct World<'a> {
    /// The environment variables.
    pub environment: &'a Environment,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// Waits.
    pub pause: &'a dyn Fn(Duration),
    /// Standard input.
    pub stdin: &'a mut dyn Read,
    /// Whether a person would have to type what is read.
    pub stdin_is_terminal: bool,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Whether a person reads the output.
    pub out_is_terminal: bool,
    /// Standard error, for what is not the answer.
    pub err: &'a mut dyn Write,
}

/// `--limit` of every list.
#[derive(Args, Debug)]
pub struct Paging {
    /// Stop after this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl Paging {
    /// The most things that are wanted.
    pub(super) fn limit(&self) -> Option<usize> {
        self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

/// A command that talks to the server.
pub struct Session<'s, 'w> {
    /// The server.
    pub client: Client<'w>,
    /// How to print.
    pub style: Style,
    /// Everything else.
    pub world: &'s mut World<'w>,
}

impl Drop for Session<'_, '_> {
    /// Reminds last, so that the answer comes first; nobody reading it is no failure of the command.
    fn drop(&mut self) {
        if self.client.is_reminded() {
            drop(writeln!(
                self.world.err,
                "warning: the server's data folder still holds bootstrap.env, with what its first start made up: move it \
                 to a safe place"
            ));
        }
    }
}

impl<'s, 'w> Session<'s, 'w> {
    /// Reads the settings. Nothing is sent yet.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn open(args: ClientArgs, world: &'s mut World<'w>) -> Result<Self, Failure> {
        let style = args.style();
        let flags = Flags { server: args.server, profile: args.profile, ca_file: args.ca_file };
        let settings = Settings::resolve(flags, world.environment)?;
        if !settings.server.is_encrypted() && !settings.server.is_local() {
            let server = output::escape(settings.server.as_str());
            writeln!(world.err, "warning: what is sent to `{server}` crosses the network unencrypted")?;
        }
        let client = Client::new(settings, world.environment, world.clock)?;
        Ok(Self { client, style, world })
    }

    /// Makes a thing and prints it.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn create(&mut self, collection: &str, view: &View, body: Value) -> Result<(), Failure> {
        let made = self.client.write("POST", &path::native(&[collection])?, body)?;
        self.print(view, &made)
    }

    /// Prints a list.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn list(
        &mut self,
        collection: &str,
        view: &View,
        query: &[(&str, Option<&str>)],
        paging: &Paging,
    ) -> Result<(), Failure> {
        self.list_at(&[collection], view, query, paging)
    }

    /// Prints a list that lies below something.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn list_at(
        &mut self,
        parts: &[&str],
        view: &View,
        query: &[(&str, Option<&str>)],
        paging: &Paging,
    ) -> Result<(), Failure> {
        let things = self.client.list(&path::native(parts)?, query, paging.limit())?;
        if things.is_empty() && self.style == Style::Full(Format::Table) {
            writeln!(self.world.err, "no {}", view.plural)?;
            return Ok(());
        }
        Ok(output::many(self.world.out, self.style, view, things)?)
    }

    /// Prints one thing.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn show(&mut self, collection: &str, view: &View, name: &str) -> Result<(), Failure> {
        let thing = self.client.get(&path::native(&[collection, name])?)?;
        self.print(view, &thing)
    }

    /// Changes a thing and prints it.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn update(&mut self, collection: &str, view: &View, name: &str, body: Value) -> Result<(), Failure> {
        let changed = self.client.write("PATCH", &path::native(&[collection, name])?, body)?;
        self.print(view, &changed)
    }

    /// Deletes a thing and says so.
    ///
    /// # Errors
    /// If the server refuses or does not answer.
    pub fn delete(&mut self, collection: &str, name: &str) -> Result<(), Failure> {
        self.client.act("DELETE", &path::native(&[collection, name])?)?;
        self.say(&format!("deleted {name}"))
    }

    /// Prints one thing.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn print(&mut self, view: &View, thing: &Value) -> Result<(), Failure> {
        Ok(output::one(self.world.out, self.style, view, thing)?)
    }

    /// Tells a person what was done. Programs have the exit code.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn say(&mut self, what: &str) -> Result<(), Failure> {
        if self.style == Style::Full(Format::Table) {
            writeln!(self.world.out, "{}", output::escape(what))?;
        }
        Ok(())
    }
}
