//! What may stand in a PostgreSQL URL, and what of it may be shown.

use domain::{Error, Result};
use url::Url;

use crate::open::Location;

/// The parameters that the driver knows, with the name that PostgreSQL's own tools have for each of those that may be
/// shown. None is a secret.
const PARAMETERS: [(&str, Option<&str>); 18] = [
    ("sslmode", Some("sslmode")),
    ("ssl-mode", Some("sslmode")),
    ("sslrootcert", Some("sslrootcert")),
    ("ssl-root-cert", Some("sslrootcert")),
    ("ssl-ca", Some("sslrootcert")),
    ("sslcert", Some("sslcert")),
    ("ssl-cert", Some("sslcert")),
    ("sslkey", Some("sslkey")),
    ("ssl-key", Some("sslkey")),
    ("host", Some("host")),
    ("hostaddr", Some("hostaddr")),
    ("port", Some("port")),
    ("user", Some("user")),
    ("dbname", Some("dbname")),
    ("password", None),
    ("application_name", None),
    ("statement-cache-capacity", None),
    ("options", None),
];

/// Reads a URL as the driver does, which logs what it does not know together with its value.
///
/// # Errors
/// `Invalid` naming `field`. Nothing of the URL is repeated: with a `?` or `&` in a password, even a parameter's name
/// may be a part of it.
pub(crate) fn parse(field: &str, text: &str) -> Result<Url> {
    let url = Url::parse(text)
        .map_err(|_| Error::invalid(field, "is no URL of the form `postgres://user@host/database`"))?;
    let is_known = |key: &str| {
        let session = key.strip_prefix("options[").is_some_and(|rest| rest.ends_with(']'));
        session || PARAMETERS.iter().any(|(known, _)| *known == key)
    };
    if url.query_pairs().all(|(key, _)| is_known(&key)) {
        return Ok(url);
    }
    let known: Vec<&str> = PARAMETERS.iter().map(|(known, _)| *known).collect();
    let message = format!(
        "has a parameter that is not known; known are {} (a `?`, `&` or `#` in a password is written `%3F`, `%26`, `%23`)",
        known.join(", ")
    );
    Err(Error::invalid(field, message))
}

impl Location {
    /// The URL as PostgreSQL's own tools take it, with what it takes to reach the database, and without password or
    /// anything else that is not needed for it. `None` for a file.
    ///
    /// # Errors
    /// `Invalid` if the URL is none.
    pub fn url_for_tools(&self) -> Result<Option<String>> {
        let Self::Postgres(text) = self else { return Ok(None) };
        let mut url = parse("database", text)?;
        let kept: Vec<(&str, String)> =
            url.query_pairs().filter_map(|(key, value)| Some((shown(&key, &value)?, value.into()))).collect();
        // Only a URL without a host refuses it, and that has no password either.
        if url.set_password(None).is_err() && url.password().is_some() {
            return Err(Error::invalid("database", "has a password without a host"));
        }
        url.set_fragment(None);
        url.set_query(None);
        if !kept.is_empty() {
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
            // A space as a form has it is a plus to those tools.
            url.set_query(Some(&query.replace('+', "%20")));
        }
        Ok(Some(url.into()))
    }
}

/// What a parameter that may be shown is called. Instead of a file's name there may be the file's text.
fn shown(key: &str, value: &str) -> Option<&'static str> {
    let (_, name) = PARAMETERS.iter().find(|(known, _)| *known == key)?;
    name.filter(|_| !value.contains("-----BEGIN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_for_other_tools_says_how_to_reach_the_database_and_holds_no_password() {
        for (url, shown) in [
            ("postgres://u@db:5432/b", "postgres://u@db:5432/b"),
            ("postgres://u:hunter2@db:5432/b?password=hunter2", "postgres://u@db:5432/b"),
            ("postgres://u@db?password=hunter2&sslmode=verify-full", "postgres://u@db?sslmode=verify-full"),
            ("postgres://?host=/run/pg&password=hunter2", "postgres://?host=%2Frun%2Fpg"),
            (
                "postgres://u:hunter2@db/b?sslmode=verify-full&sslrootcert=/etc/a b/ca.pem&pass%77ord=hunter2",
                "postgres://u@db/b?sslmode=verify-full&sslrootcert=%2Fetc%2Fa%20b%2Fca.pem",
            ),
            (
                "postgres:///?hostaddr=127.0.0.1&port=5433&user=u&dbname=b&sslcert=/c&sslkey=/k",
                "postgres:///?hostaddr=127.0.0.1&port=5433&user=u&dbname=b&sslcert=%2Fc&sslkey=%2Fk",
            ),
            (
                "postgres://db/b?ssl-mode=verify-full&ssl-ca=/c",
                "postgres://db/b?sslmode=verify-full&sslrootcert=%2Fc",
            ),
            ("postgres://u@%2Frun%2Fpg/b#hunter2", "postgres://u@%2Frun%2Fpg/b"),
            ("postgres://u:hun%2Fter2@db/b?options=hunter2&application_name=hunter2", "postgres://u@db/b"),
            ("postgres://u@db/b?options[search_path]=hunter2", "postgres://u@db/b"),
            ("postgres://u@db/b?sslkey=-----BEGIN%20PRIVATE%20KEY-----hunter2", "postgres://u@db/b"),
            ("postgres://u:hunter2@[::1]:5432/b", "postgres://u@[::1]:5432/b"),
        ] {
            let found = Location::parse("database", url).unwrap().url_for_tools().unwrap();
            assert_eq!(found.as_deref(), Some(shown), "{url}");
        }
        assert_eq!(Location::parse("database", "sqlite:/b.db").unwrap().url_for_tools().unwrap(), None);
    }

    #[test]
    fn a_parameter_that_the_driver_would_log_is_refused_and_not_repeated() {
        for url in [
            "postgres://u@127.0.0.1/b?sslpassword=hunter2",
            "postgres://u@127.0.0.1/b?sslmode=disable&hunter2",
            "postgres://u@127.0.0.1/b?PASSWORD=hunter2",
            "postgres://u@127.0.0.1/b?passw%6Frd2=hunter2",
            "postgres://u@127.0.0.1/b?options[hunter2=x",
            "postgres://u@127.0.0.1?hunter2@db/b",
        ] {
            let location = Location::parse("database", url).unwrap();
            for error in [location.check_transport("database"), location.host_and_port().map(drop)] {
                let error = error.unwrap_err();
                assert_eq!(error.field(), Some("database"), "{url}");
                assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
            }
        }
        let known =
            "postgres://u@127.0.0.1/b?options[search_path]=x&application_name=y&statement-cache-capacity=9";
        assert!(Location::parse("database", known).unwrap().check_transport("database").is_ok());
    }
}
