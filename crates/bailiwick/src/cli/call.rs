//! `bailiwick call`: any operation of any API of the server, signed. The path goes out exactly as it was given.

use std::io::Write;
use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{Session, World, call_print, stdin};
use crate::client::{Answer, Request, native};
use crate::failure::Failure;
use crate::output;

/// Shown below the help.
pub const EXAMPLES: &str = "Examples:\n  bailiwick call GET /bailiwick/v1/users\n  \
    bailiwick call POST /bailiwick/v1/groups --data '{\"name\": \"developers\"}'\n  \
    bailiwick call PUT /bailiwick/v1/users/ada/password --data @password.json --include\n  \
    bailiwick call GET '/bailiwick/v1/grants?limit=5' --print curl";

/// What `bailiwick call` takes.
#[derive(Args, Debug)]
pub struct CallArgs {
    /// HTTP method, for example GET
    #[arg(value_parser = method)]
    method: String,
    /// Path and query, percent-encoded where needed
    #[arg(value_parser = target)]
    path: String,
    /// Body: JSON, or @FILE, or - for standard input. Arguments are visible to others: put secrets in a file
    #[arg(short, long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,
    /// Header; may be repeated. With Authorization or X-Auth-Token the call is not signed
    #[arg(short = 'H', long = "header", value_name = "KEY=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Send nothing; print the signed call as a curl command, or a Python script that signs by itself
    #[arg(long, value_enum, value_name = "curl|python", hide_possible_values = true)]
    print: Option<Print>,
    /// Print the status and the headers of the answer too
    #[arg(short, long, conflicts_with = "print")]
    include: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Print {
    Curl,
    Python,
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer. Its answer is printed before.
pub fn run(args: CallArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let request = request(&args, session.world)?;
    let signs = session.client.key().is_some();
    let script = match args.print {
        None => return send(&request, &args, session),
        Some(_) if !signs => {
            return Err(Failure::usage("no access key to sign with")
                .hint("set BAILIWICK_ACCESS_KEY_ID and BAILIWICK_SECRET_ACCESS_KEY, or use a profile"));
        }
        Some(Print::Curl) => call_print::curl(&session.client, &request)?,
        Some(Print::Python) => call_print::python(&session.client, &request)?,
    };
    Ok(session.world.out.write_all(script.as_bytes())?)
}

fn request(args: &CallArgs, world: &mut World<'_>) -> Result<Request, Failure> {
    let body = match args.data.as_deref() {
        None => String::new(),
        Some("-") => stdin::standard_input(world)?,
        Some(data) => match data.strip_prefix('@') {
            Some(file) => stdin::file(world, Path::new(file))?,
            None => data.to_owned(),
        },
    };
    let mut headers = args.headers.clone();
    if !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    Ok(Request { method: args.method.clone(), target: args.path.clone(), headers, body: body.into_bytes() })
}

fn send(request: &Request, args: &CallArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    if session.client.key().is_none() && args.headers.is_empty() {
        writeln!(session.world.err, "note: there is no access key, so the call is not signed")?;
    }
    let answer = session.client.send(request)?;
    if args.include {
        print_head(&answer, session.world.out)?;
    }
    print_body(&answer, session.world)?;
    if answer.is_success() { Ok(()) } else { Err(native::refusal(&session.client, &answer)) }
}

fn print_head(answer: &Answer, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "{}", format!("HTTP/1.1 {} {}", answer.status, answer.reason).trim_end())?;
    for (name, value) in &answer.headers {
        writeln!(out, "{name}: {}", output::escape(value))?;
    }
    Ok(writeln!(out)?)
}

/// Programs get the bytes; people get indented JSON, and nothing that steers their terminal.
fn print_body(answer: &Answer, world: &mut World<'_>) -> Result<(), Failure> {
    if answer.body.is_empty() {
        return Ok(());
    }
    if !world.out_is_terminal {
        return Ok(world.out.write_all(&answer.body)?);
    }
    let text = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(value) => format!("{value:#}"),
        Err(_) => String::from_utf8_lossy(&answer.body).into_owned(),
    };
    for line in text.lines() {
        writeln!(world.out, "{}", output::escape(line))?;
    }
    Ok(())
}

fn method(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Ok(text.to_ascii_uppercase());
    }
    Err("must be an HTTP method such as GET".to_owned())
}

fn target(text: &str) -> Result<String, String> {
    // A fragment would be cut off on the way, and signed all the same.
    let sendable = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if text.starts_with('/') && text.bytes().all(sendable) {
        return Ok(text.to_owned());
    }
    Err("must begin with `/` and have blanks, `#` and letters beyond ASCII percent-encoded".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match text.split_once('=') {
        Some((name, value))
            if !name.is_empty() && name.bytes().all(token) && !value.contains(char::is_control) =>
        {
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        }
        Some(_) | None => Err("must be KEY=VALUE, on one line".to_owned()),
    }
}
