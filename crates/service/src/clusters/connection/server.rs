//! The URL of an API server, taken apart. Only `https://host[:port][/path]` is one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::{Error, Result};

const FORM: &str = "must be `https://host:port`, optionally with a path, and without user, query or fragment";

/// Where an API server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name or address.
    pub host: Host,
    /// Its port; 443 if the URL names none.
    pub port: u16,
    /// What precedes every path, for example behind a gateway; empty, or beginning with `/` and not ending with it.
    pub path: String,
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A DNS name in lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Server {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// `Invalid` naming `field` if it is not `https://host[:port][/path]`. The text itself is not repeated.
    pub fn parse(field: &str, url: &str) -> Result<Self> {
        let invalid = || Error::invalid(field, FORM);
        let scheme_end = "https://".len();
        let (scheme, rest) = url.split_at_checked(scheme_end).ok_or_else(invalid)?;
        // Everything that a URL parser might read differently from us is refused before anything is read.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]".contains(&b);
        if !scheme.eq_ignore_ascii_case("https://") || url.len() > 2048 || !rest.bytes().all(plain) {
            return Err(invalid());
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = split_port(authority).ok_or_else(invalid)?;
        let host = Host::parse(host).ok_or_else(invalid)?;
        let path = path.trim_end_matches('/');
        let odd = |part: &str| part.is_empty() || part == "." || part == "..";
        if path.contains([':', '[', ']']) || path.split('/').skip(1).any(odd) {
            return Err(invalid());
        }
        Ok(Self { host, port, path: path.to_owned() })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}:{}{}", self.host, self.port, self.path)
    }
}

impl Host {
    /// Reads a name or an address; `None` for what is neither.
    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|ip| Self::Address(ip.into()));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(ip.into()));
        }
        // `127.1`, `2130706433` and `0x7f.1` are addresses for the resolver of the C library but not for us.
        let last = text.strip_suffix('.').unwrap_or(text).rsplit('.').next().unwrap_or_default();
        let number =
            last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let name = text.strip_suffix('.').unwrap_or(text);
        (!number && name.len() <= 253 && name.split('.').all(label))
            .then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority.rfind(':').filter(|colon| *colon >= after_brackets) {
        None => Some((authority, 443)),
        Some(colon) => {
            let (host, port) = authority.split_at_checked(colon)?;
            let digits = port.strip_prefix(':').filter(|p| p.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse().ok().filter(|port| *port != 0).map(|port| (host, port))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_printed_in_one_form() {
        for (url, printed) in [
            ("https://k8s.example:6443", "https://k8s.example:6443"),
            ("https://K8s.Example", "https://k8s.example:443"),
            ("HTTPS://10.0.0.1:6443/", "https://10.0.0.1:6443"),
            ("https://[FD00::1]:6443/k8s/clusters/c-1/", "https://[fd00::1]:6443/k8s/clusters/c-1"),
            ("https://[fd00::1]", "https://[fd00::1]:443"),
            ("https://k8s.example./", "https://k8s.example.:443"),
        ] {
            assert_eq!(Server::parse("server", url).unwrap().to_string(), printed, "{url}");
        }
    }

    #[test]
    fn what_is_not_plainly_a_server_is_refused_without_repeating_it() {
        for url in [
            "",
            "https://",
            "http://k8s.example",
            "https:/k8s.example",
            "ftp://k8s.example",
            "//k8s.example",
            "https://user@k8s.example",
            "https://user:hunter2@k8s.example",
            "https://k8s.example?x=1",
            "https://k8s.example/#x",
            "https://k8s.example\\@evil",
            "https://k8s example",
            "https://k8s.example:0",
            "https://k8s.example:65536",
            "https://k8s.example:+1",
            "https://k8s.example:",
            "https://:6443",
            "https://k8s..example",
            "https://127.1",
            "https://2130706433",
            "https://0x7f000001",
            "https://0x7f.1",
            "https://127.0.0.1.",
            "https://0177.0.0.1",
            "https://[::1",
            "https://[fe80::1%25eth0]",
            "https://::1",
            "https://k8s.example/../x",
            "https://k8s.example//x",
            "https://k8s.example/%2e%2e",
            "https://ex\u{e4}mple",
            "https://k8s.example\r\nHost: x",
            "https://[127.0.0.1]",
            "https://[::1]x:1",
        ] {
            let error = Server::parse("server", url).expect_err(url);
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
