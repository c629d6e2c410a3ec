//! The environment variables that the command line reads, all of them, once.
//!
//! The settings of `bailiwick serve` are flags with a variable each; clap reads those. Secrets are only ever read
//! here: a flag would show them to everybody who can list processes.

use std::ffi::OsString;
use std::path::PathBuf;

use domain::Secret;
use service::installation::bootstrap::AccountSpec;

/// What the environment says. Empty variables count as unset.
#[derive(Default)]
pub struct Environment {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `KUBECONFIG`, a list of files as in `PATH`.
    pub kubeconfig: Option<OsString>,
    /// `BAILIWICK_SERVER`.
    pub server: Option<String>,
    /// `BAILIWICK_PROFILE`.
    pub profile: Option<String>,
    /// `BAILIWICK_CA_FILE`.
    pub ca_file: Option<PathBuf>,
    /// `BAILIWICK_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `BAILIWICK_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<Secret>,
    /// `SSL_CERT_FILE`, which replaces the system's certificate authorities.
    pub system_ca_file: Option<PathBuf>,
    /// `HTTPS_PROXY` and its kin.
    pub proxy: Option<ureq::Proxy>,
}

impl Environment {
    /// Reads the process's environment.
    #[must_use]
    pub fn read() -> Self {
        Self {
            home: path("HOME"),
            config_home: path("XDG_CONFIG_HOME"),
            kubeconfig: variable("KUBECONFIG"),
            server: text("BAILIWICK_SERVER"),
            profile: text("BAILIWICK_PROFILE"),
            ca_file: path("BAILIWICK_CA_FILE"),
            access_key_id: text("BAILIWICK_ACCESS_KEY_ID"),
            secret_access_key: text("BAILIWICK_SECRET_ACCESS_KEY").map(Secret::new),
            system_ca_file: path("SSL_CERT_FILE"),
            proxy: ureq::Proxy::try_from_env(),
        }
    }

    /// `~/.config/bailiwick/config.toml`, or where `XDG_CONFIG_HOME` puts it.
    #[must_use]
    pub fn profile_file(&self) -> Option<PathBuf> {
        let home = || self.home.as_ref().map(|home| home.join(".config"));
        let base = self.config_home.clone().filter(|path| path.is_absolute()).or_else(home)?;
        Some(base.join("bailiwick").join("config.toml"))
    }

    /// The kubeconfig files, strongest first: those of `KUBECONFIG`, else `~/.kube/config`.
    #[must_use]
    pub fn kubeconfig_files(&self) -> Vec<PathBuf> {
        match &self.kubeconfig {
            Some(list) => std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => self.home.iter().map(|home| home.join(".kube").join("config")).collect(),
        }
    }
}

/// What the environment says to the server beyond its flags.
#[derive(Default)]
pub struct ServerEnvironment {
    /// `BAILIWICK_MASTER_KEY`: the key itself.
    pub master_key: Option<Secret>,
    /// `BAILIWICK_MASTER_KEY_FILE`.
    pub master_key_file: Option<PathBuf>,
    /// `~/.config/bailiwick/master.key`, or where `XDG_CONFIG_HOME` puts it.
    pub default_master_key_file: Option<PathBuf>,
    /// `BAILIWICK_LOG`: what to log, for example `info` or `debug,sqlx=warn`.
    pub log: Option<String>,
    /// `NOTIFY_SOCKET`: where systemd wants to be told that the server is ready.
    pub notify_socket: Option<PathBuf>,
    /// `BAILIWICK_BOOTSTRAP_…`.
    pub bootstrap: AccountSpec,
}

impl ServerEnvironment {
    /// Reads the process's environment.
    #[must_use]
    pub fn read() -> Self {
        Self {
            master_key: text("BAILIWICK_MASTER_KEY").map(Secret::new),
            master_key_file: path("BAILIWICK_MASTER_KEY_FILE"),
            default_master_key_file: Environment::read()
                .profile_file()
                .map(|file| file.with_file_name("master.key")),
            log: text("BAILIWICK_LOG"),
            notify_socket: path("NOTIFY_SOCKET"),
            bootstrap: AccountSpec {
                account_id: text("BAILIWICK_BOOTSTRAP_ACCOUNT_ID"),
                account_name: text("BAILIWICK_BOOTSTRAP_ACCOUNT_NAME"),
                project_id: text("BAILIWICK_BOOTSTRAP_PROJECT_ID"),
                project_name: text("BAILIWICK_BOOTSTRAP_PROJECT_NAME"),
                user_id: text("BAILIWICK_BOOTSTRAP_USER_ID"),
                user_name: text("BAILIWICK_BOOTSTRAP_USER_NAME"),
                password: text("BAILIWICK_BOOTSTRAP_PASSWORD").map(Secret::new),
                access_key_id: text("BAILIWICK_BOOTSTRAP_ACCESS_KEY_ID"),
                secret_access_key: text("BAILIWICK_BOOTSTRAP_SECRET_ACCESS_KEY").map(Secret::new),
            },
        }
    }

    /// The settings of one section of the settings file: `BAILIWICK_<SECTION>_<KEY>`.
    #[must_use]
    pub fn section(&self, name: &str) -> toml::Table {
        let prefix = format!("BAILIWICK_{}_", name.to_uppercase());
        let entry = |(key, value): (OsString, OsString)| {
            let key = key.to_str()?.strip_prefix(&prefix)?.to_lowercase();
            Some((key, toml::Value::String(value.to_str()?.to_owned())))
        };
        std::env::vars_os().filter_map(entry).collect()
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Text that is not UTF-8 is kept readable rather than dropped: what it breaks then names it.
pub fn text(name: &str) -> Option<String> {
    variable(name).map(|value| value.to_string_lossy().into_owned())
}

fn path(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_xdg_config_home_is_ignored_as_its_standard_says() {
        let environment = Environment {
            home: Some("/home/ada".into()),
            config_home: Some("config".into()),
            ..Environment::default()
        };
        assert_eq!(
            environment.profile_file(),
            Some(PathBuf::from("/home/ada/.config/bailiwick/config.toml"))
        );
    }

    #[test]
    fn kubeconfig_may_list_several_files() {
        let environment = Environment { kubeconfig: Some("/a::/b".into()), ..Environment::default() };
        assert_eq!(environment.kubeconfig_files(), [PathBuf::from("/a"), PathBuf::from("/b")]);
    }
}
