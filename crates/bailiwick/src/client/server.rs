//! Which server: its URL, taken apart once and then known to be whole.

use ureq::http::Uri;

use crate::failure::Failure;

/// Where a server listens when nobody said otherwise.
pub const DEFAULT: &str = "http://127.0.0.1:8470";

/// A server's scheme and authority. A path would be part of every signature and is therefore not possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    base: String,
    host_header: String,
    host: String,
    encrypted: bool,
}

impl Server {
    /// Reads `http://host[:port]` or `https://host[:port]`.
    ///
    /// # Errors
    /// Usage, if it is something else.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!(
                "server `{text}` must be a URL without path, such as https://access.example.com:8470"
            ))
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong());
        };
        let (encrypted, default_port) = match scheme {
            "https" => (true, ":443"),
            "http" => (false, ":80"),
            _ => return Err(wrong()),
        };
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('#');
        if !bare || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        let host_header = authority.as_str().strip_suffix(default_port).unwrap_or(authority.as_str());
        Ok(Self {
            base: format!("{scheme}://{authority}"),
            host_header: host_header.to_owned(),
            host: authority.host().to_owned(),
            encrypted,
        })
    }

    /// `scheme://host[:port]`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// The value of the `Host` header: without the port if it is the scheme's own.
    #[must_use]
    pub fn host_header(&self) -> &str {
        &self.host_header
    }

    /// Whether the way there is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether the server is on this machine, so that nothing crosses a network.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        address == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_url_without_path() {
        for (text, base, host) in [
            ("http://127.0.0.1:8470", "http://127.0.0.1:8470", "127.0.0.1:8470"),
            ("https://a.example/", "https://a.example", "a.example"),
            ("https://a.example:443", "https://a.example:443", "a.example"),
            ("http://a.example:443", "http://a.example:443", "a.example:443"),
            ("http://[::1]:80", "http://[::1]:80", "[::1]"),
        ] {
            let server = Server::parse(text).unwrap();
            assert_eq!((server.as_str(), server.host_header()), (base, host));
        }
        for bad in [
            "",
            "a.example",
            "a.example:8470",
            "ftp://a",
            "http://a/b",
            "http://a?b",
            "http://u:p@a",
            "http://a#b",
        ] {
            assert_eq!(Server::parse(bad).unwrap_err().code(), 2, "{bad}");
        }
    }

    #[test]
    fn loopback_addresses_are_local() {
        for (text, local) in [
            ("http://127.9.9.9", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://localhost.evil.example", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(Server::parse(text).unwrap().is_local(), local, "{text}");
        }
    }
}
