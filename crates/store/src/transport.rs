//! What may travel between this program and its database: on this machine anything, beyond it only TLS with a verified
//! host.

use std::net::IpAddr;
use std::str::FromStr;

use domain::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::open::Location;

impl Location {
    /// Refuses a database on another machine unless it is reached by TLS and proves its name.
    ///
    /// Less than `verify-full` would not do: `require` takes any certificate, and `verify-ca` any host's, of every
    /// authority that is known.
    ///
    /// # Errors
    /// `Invalid` naming `field`. The URL is not repeated, it may hold a password.
    pub fn check_transport(&self, field: &str) -> Result<()> {
        let Self::Postgres(url) = self else { return Ok(()) };
        let options = options(field, url)?;
        let here = options.get_socket().is_some() || is_this_machine(options.get_host());
        if here || matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) {
            return Ok(());
        }
        let message = "is on another machine: add `sslmode=verify-full` to the URL, and \
                       `sslrootcert=FILE` for an authority of your own; secrets are sealed in the database, but \
                       whoever reads or changes its traffic decides who may do what";
        Err(Error::invalid(field, message))
    }
}

impl Location {
    /// Host and port of a database that is reached over the network.
    ///
    /// # Errors
    /// `Invalid` if the URL is none.
    pub fn host_and_port(&self) -> Result<Option<(String, u16)>> {
        let Self::Postgres(url) = self else { return Ok(None) };
        let options = options("database", url)?;
        let socket = options.get_socket().is_some() || options.get_host().starts_with('/');
        let host = options.get_host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok((!socket).then(|| (host, options.get_port())))
    }
}

fn options(field: &str, url: &str) -> Result<PgConnectOptions> {
    crate::database_url::parse(field, url)?;
    PgConnectOptions::from_str(url)
        .map_err(|_| Error::invalid(field, "is no URL of the form `postgres://user@host/database`"))
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_on_another_machine_is_only_reached_by_tls_that_verifies_its_name() {
        for url in [
            "postgres://u@127.0.0.1:5432/b",
            "postgres://u@127.8.9.1/b",
            "postgres://u@[::1]:5432/b",
            "postgres://u@localhost/b?sslmode=disable",
            "postgres://u@%2Fvar%2Frun%2Fpostgresql/b",
            "postgres:///b?host=/var/run/postgresql",
            "postgres://u@db.example/b?sslmode=verify-full",
            "postgres://u@192.0.2.1/b?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        ] {
            let checked = Location::parse("database", url).unwrap().check_transport("database");
            assert!(checked.is_ok(), "{url}: {checked:?}");
        }
        for url in [
            "postgres://u:hunter2@db.example/b",
            "postgres://u:hunter2@192.0.2.1/b?sslmode=require",
            "postgres://u:hunter2@db.example/b?sslmode=verify-ca&sslrootcert=/etc/ca.pem",
            "postgres://u:hunter2@db.example/b?sslmode=prefer",
            "postgres://u:hunter2@localhost.example/b",
            "postgres://u:hunter2@127.0.0.1/b?host=db.example",
            "postgres://u:hunter2@localhost/b?hostaddr=192.0.2.1",
            "postgres://u:hunter2@db.example/b?sslmode=verify-full&sslmode=disable",
            "postgres://u:hunter2@db.example/b?sslmode=verify",
            "postgres://u:hunter2@[::ffff:192.0.2.1]/b",
        ] {
            let error = Location::parse("database", url).unwrap().check_transport("database").unwrap_err();
            assert_eq!(error.field(), Some("database"), "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
