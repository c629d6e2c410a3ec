//! Where the server is and with which key to call it: flags, then the environment, then a profile of the file
//! `~/.config/bailiwick/config.toml`.
//!
//! ```toml
//! [profiles.default]
//! server = "https://access.example.com:8470"
//! access_key_id = "…"
//! secret_access_key = "…"
//! ca_file = "/etc/bailiwick/ca.pem"
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use domain::Secret;
use serde::Deserialize;

use super::server::{self, Server};
use crate::environment::Environment;
use crate::failure::Failure;
use signing::AccessKey;

/// The flags that say where to call and as whom.
#[derive(Default)]
pub struct Flags {
    /// `--server`.
    pub server: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--ca-file`.
    pub ca_file: Option<PathBuf>,
}

/// What a call needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The server.
    pub server: Server,
    /// Who said so, for error messages.
    pub server_from: String,
    /// The key to sign with, if there is one.
    pub key: Option<AccessKey>,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    server: Option<String>,
    access_key_id: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    secret_access_key: Option<Secret>,
    ca_file: Option<PathBuf>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    String::deserialize(deserializer).map(|text| Some(Secret::new(text)))
}

impl Settings {
    /// Decides for each setting who has said it first: the flag, the environment, the profile.
    ///
    /// `--profile` on the command line is the nearer word and wins over the environment's server and key.
    ///
    /// # Errors
    /// If the profile's file may not or cannot be used, or a setting is not what it must be.
    pub fn resolve(flags: Flags, environment: &Environment) -> Result<Self, Failure> {
        let name = flags.profile.as_deref().or(environment.profile.as_deref());
        let profile = read_profile(environment, name)?;
        let place = format!("profile `{}`", name.unwrap_or("default"));
        let said_by_environment = (environment.server.clone(), "BAILIWICK_SERVER".to_owned());
        let said_by_profile = (profile.server.clone(), place.clone());
        let mut sources = [said_by_environment, said_by_profile];
        let mut keys = [environment_key(environment)?, profile_key(&profile, &place)?];
        if flags.profile.is_some() {
            sources.reverse();
            keys.reverse();
        }
        let (server, server_from) = std::iter::once((flags.server, "--server".to_owned()))
            .chain(sources)
            .find_map(|(server, from)| server.map(|server| (server, from)))
            .unwrap_or_else(|| (server::DEFAULT.to_owned(), "the default".to_owned()));
        Ok(Self {
            server: Server::parse(&server)
                .map_err(|wrong| wrong.hint(format!("it comes from {server_from}")))?,
            server_from,
            key: keys.into_iter().flatten().next(),
            ca_file: flags
                .ca_file
                .or_else(|| environment.ca_file.clone())
                .or(profile.ca_file)
                .or_else(|| environment.system_ca_file.clone()),
        })
    }
}

fn environment_key(environment: &Environment) -> Result<Option<AccessKey>, Failure> {
    let names = ("BAILIWICK_ACCESS_KEY_ID", "BAILIWICK_SECRET_ACCESS_KEY", "the environment");
    whole_key(environment.access_key_id.as_ref(), environment.secret_access_key.as_ref(), names)
}

fn profile_key(profile: &Profile, place: &str) -> Result<Option<AccessKey>, Failure> {
    let names = ("access_key_id", "secret_access_key", place);
    whole_key(profile.access_key_id.as_ref(), profile.secret_access_key.as_ref(), names)
}

/// A key's two halves must come from the same place: halves of two keys would only give a riddle of a 401.
fn whole_key(
    id: Option<&String>,
    secret: Option<&Secret>,
    (id_name, secret_name, place): (&str, &str, &str),
) -> Result<Option<AccessKey>, Failure> {
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Some(AccessKey { id: id.clone(), secret: secret.clone() })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(half(id_name, secret_name, place)),
        (None, Some(_)) => Err(half(secret_name, id_name, place)),
    }
}

fn half(present: &str, missing: &str, place: &str) -> Failure {
    Failure::usage(format!("{place} has `{present}` and must have `{missing}` with it"))
}

/// The named profile. Without a name the profile `default`, which need not exist.
fn read_profile(environment: &Environment, name: Option<&str>) -> Result<Profile, Failure> {
    let missing =
        |place: &str| Failure::usage(format!("there is no profile `{}`{place}", name.unwrap_or_default()));
    let Some(path) = environment.profile_file() else {
        return name.map_or_else(|| Ok(Profile::default()), |_| Err(missing(": HOME is not set")));
    };
    let profiles = read_file(&path)?.map(|file| file.profiles).unwrap_or_default();
    let found = profiles.into_iter().find(|(key, _)| key == name.unwrap_or("default"));
    match (found, name) {
        (Some((_, profile)), _) => Ok(profile),
        (None, None) => Ok(Profile::default()),
        (None, Some(_)) => Err(missing(&format!(" in `{}`", path.display()))),
    }
}

/// The file, if there is one. One that holds a secret must be for its owner's eyes only.
fn read_file(path: &Path) -> Result<Option<ProfileFile>, Failure> {
    let unreadable =
        |error: io::Error| Failure::refused(format!("cannot read `{}`: {error}", path.display()));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut text = zeroize::Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(unreadable)?;
    let parsed = parse(path, &text)?;
    let holds_secret = parsed.profiles.values().any(|profile| profile.secret_access_key.is_some());
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if holds_secret && mode & 0o077 != 0 {
        return Err(Failure::refused(format!(
            "`{}` holds a secret and must be readable by you alone; its mode is {:03o}",
            path.display(),
            mode & 0o777
        ))
        .hint(format!("run: chmod 600 '{}'", path.display())));
    }
    Ok(Some(parsed))
}

/// The parser's own message quotes the line, which may hold the secret; only its reason and the line's number pass.
fn parse(path: &Path, text: &str) -> Result<ProfileFile, Failure> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(before).filter(|byte| *byte == b'\n').count();
        let reason = error.message().lines().next().unwrap_or_default();
        Failure::refused(format!("`{}` line {line}: {reason}", path.display()))
            .hint("it must hold [profiles.NAME] with server, access_key_id, secret_access_key and ca_file")
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    const TEXT: &str = "[profiles.default]\nserver = \"https://a.example\"\n\n\
        [profiles.prod]\nserver = \"https://prod.example\"\naccess_key_id = \"AKPROD\"\nsecret_access_key = \"s3cret\"\n";

    fn home(text: &str, mode: u32) -> (tempfile::TempDir, Environment) {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/bailiwick");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), text).unwrap();
        fs::set_permissions(folder.join("config.toml"), Permissions::from_mode(mode)).unwrap();
        let environment = Environment { home: Some(home.path().to_owned()), ..Environment::default() };
        (home, environment)
    }

    fn profile(name: &str) -> Flags {
        Flags { profile: Some(name.into()), ..Flags::default() }
    }

    #[test]
    fn without_anything_the_server_is_the_local_one_and_there_is_no_key() {
        let settings = Settings::resolve(Flags::default(), &Environment::default()).unwrap();
        assert_eq!(
            (settings.server.as_str(), settings.server_from.as_str()),
            (server::DEFAULT, "the default")
        );
        assert!(settings.key.is_none());
    }

    #[test]
    fn a_file_with_a_secret_that_others_may_read_is_refused() {
        for mode in [0o644, 0o640, 0o604, 0o660] {
            let (_home, environment) = home(TEXT, mode);
            let failure = Settings::resolve(Flags::default(), &environment).unwrap_err();
            let text = format!("{failure:?}");
            assert!(text.contains("chmod 600") && text.contains("readable by you alone"), "{text}");
        }
        let (_home, environment) = home(TEXT, 0o600);
        assert!(Settings::resolve(profile("prod"), &environment).is_ok());
        let (_home, environment) = home("[profiles.default]\nserver = \"https://a.example\"\n", 0o644);
        assert!(Settings::resolve(Flags::default(), &environment).is_ok());
    }

    #[test]
    fn flags_win_over_the_environment_and_the_environment_over_the_default_profile() {
        let (_home, mut environment) = home(TEXT, 0o600);
        let server = |flags: Flags, environment: &Environment| {
            Settings::resolve(flags, environment).unwrap().server.as_str().to_owned()
        };
        assert_eq!(server(Flags::default(), &environment), "https://a.example");
        environment.server = Some("http://env.example".into());
        assert_eq!(server(Flags::default(), &environment), "http://env.example");
        assert_eq!(server(profile("prod"), &environment), "https://prod.example");
        let both = Flags { server: Some("http://flag.example".into()), ..profile("prod") };
        assert_eq!(server(both, &environment), "http://flag.example");
    }

    #[test]
    fn half_a_key_is_refused_naming_the_other_half() {
        let environment = Environment { access_key_id: Some("AK".into()), ..Environment::default() };
        let failure = Settings::resolve(Flags::default(), &environment).unwrap_err();
        assert!(format!("{failure:?}").contains("BAILIWICK_SECRET_ACCESS_KEY"));
        assert_eq!(failure.code(), 2);
    }

    #[test]
    fn an_unknown_profile_is_refused_and_a_missing_file_is_not() {
        let (_home, environment) = home(TEXT, 0o600);
        assert!(Settings::resolve(profile("nope"), &environment).is_err());
        let empty = tempfile::tempdir().unwrap();
        let environment = Environment { home: Some(empty.path().to_owned()), ..Environment::default() };
        assert!(Settings::resolve(Flags::default(), &environment).is_ok());
        assert!(Settings::resolve(profile("nope"), &environment).is_err());
    }

    #[test]
    fn a_broken_file_is_named_with_its_line_but_never_quoted() {
        for text in [
            "[profiles.p]\nsecret_access_key = \"hunter2\" x\n",
            "[profiles.p]\nsecret_access_key = [\"hunter2\"]\n",
            "[profiles.p]\nsecret_acces_key = \"hunter2\"\n",
            "[profiles.p]\naccess_key_id = hunter2\n",
        ] {
            let (_home, environment) = home(text, 0o600);
            let said = format!("{:?}", Settings::resolve(Flags::default(), &environment).unwrap_err());
            assert!(said.contains("line 2") && !said.contains("hunter2"), "{said}");
        }
    }
}
