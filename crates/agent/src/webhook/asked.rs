//! Whom pods are told to ask: the agent of their node, or the server itself.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use podidentity::feed::Verification;

/// Whom pods are told to ask: one of the two.
#[derive(clap::Args)]
#[group(id = "asked", required = true, multiple = false)]
pub struct Arguments {
    /// URL that pods are told to fetch credentials from: of the agent of their node
    #[arg(long, value_name = "URL")]
    credentials_uri: Option<String>,
    /// URL of the server as pods reach it: they are told to ask it themselves, which the server's setting
    /// `pod_identity.direct` allows, and no agents are needed on nodes
    #[arg(long, value_name = "URL")]
    direct_url: Option<String>,
}

impl Arguments {
    /// Whom the pods of a cluster ask.
    ///
    /// # Errors
    /// A sentence if that can be no address of it.
    pub fn read(self, cluster: &str) -> Result<Asked, String> {
        if let Some(url) = &self.direct_url {
            return Asked::server(url, cluster);
        }
        let uri = self.credentials_uri.unwrap_or_default();
        if !uri.starts_with("http://") && !uri.starts_with("https://") {
            return Err("--credentials-uri must be an http or https URL".to_owned());
        }
        Ok(Asked { uri, who: Who::Node })
    }
}

/// Whom pods are told to ask, and where.
pub struct Asked {
    uri: String,
    who: Who,
}

enum Who {
    Node,
    /// With whether it was said that the server does not let them.
    Server(AtomicBool),
}

impl Asked {
    fn server(url: &str, cluster: &str) -> Result<Self, String> {
        let refused = || {
            "--direct-url must be https://HOST or https://HOST:PORT: what pods send there proves them"
                .to_owned()
        };
        let (scheme, host) = url.trim_end_matches('/').split_once("://").ok_or_else(refused)?;
        // Nothing that the kubelet or a client would read as something else than a host and a port.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        let is_guarded = scheme == "https" || (scheme == "http" && is_loopback(host));
        if !is_guarded || host.is_empty() || !host.bytes().all(is_plain) {
            return Err(refused());
        }
        let uri = format!("{scheme}://{host}/bailiwick/v1/clusters/{cluster}/pod-identity/pod");
        Ok(Self { uri, who: Who::Server(AtomicBool::new(false)) })
    }

    /// The URL.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether it is the agent of their node.
    #[must_use]
    pub fn is_node(&self) -> bool {
        match self.who {
            Who::Node => true,
            Who::Server(_) => false,
        }
    }

    /// Says, once each time that it becomes so, that the server does not let pods do what they are told.
    pub fn compare(&self, verification: &Verification) {
        let Who::Server(said) = &self.who else { return };
        if !said.swap(!verification.direct, Ordering::Relaxed) && !verification.direct {
            tracing::error!(
                uri = self.uri,
                "the server refuses pods that ask by themselves: its setting `pod_identity.direct` is off"
            );
        }
    }
}

/// Whether a host, perhaps with a port, is this machine itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        asked: Arguments,
    }

    fn read(arguments: &[&str]) -> Result<Asked, String> {
        let line = Line::try_parse_from([&["webhook"], arguments].concat());
        line.map_err(|error| error.to_string())?.asked.read("c1")
    }

    #[test]
    fn pods_are_told_their_nodes_agent_or_the_server_and_never_both() {
        let node = read(&["--credentials-uri=http://169.254.170.25:8471/v1/credentials"]).ok().unwrap();
        assert!(node.is_node() && node.uri() == "http://169.254.170.25:8471/v1/credentials");
        let server = read(&["--direct-url=https://bailiwick.example:8470/"]).ok().unwrap();
        assert!(!server.is_node());
        assert_eq!(server.uri(), "https://bailiwick.example:8470/bailiwick/v1/clusters/c1/pod-identity/pod");
        assert!(read(&[]).is_err());
        assert!(read(&["--credentials-uri=http://a", "--direct-url=https://b"]).is_err());
    }

    #[test]
    fn tokens_are_sent_in_the_clear_to_nobody_but_this_machine() {
        for good in
            ["http://127.0.0.1:8470", "http://localhost:1", "http://[::1]:8470", "https://[2001:db8::1]:8470"]
        {
            assert!(read(&["--direct-url", good]).is_ok(), "{good}");
        }
        for wrong in [
            "http://bailiwick.example",
            "http://127.0.0.1.example:8470",
            "http://localhost.example",
            "http://10.0.0.1:8470",
            "https://",
            "bailiwick.example",
            "https://somebody@bailiwick.example",
            "https://bailiwick.example/below",
            "https://bailiwick.example?a=b",
            "https://$(HOST)",
            "ftp://127.0.0.1",
        ] {
            assert!(read(&["--direct-url", wrong]).is_err(), "{wrong}");
        }
    }
}
