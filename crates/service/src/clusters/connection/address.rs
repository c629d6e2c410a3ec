//! Which addresses an API server may have.
//!
//! Whoever may register a cluster chooses an address that this server then connects to from inside the operator's
//! network. So addresses that only make sense from there are refused: link-local ones, the metadata services of
//! clouds, our own listener and database. The rule is asked twice: about a literal address at registration, and
//! about what a name resolved to at every single connect, because a name may change its mind.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use domain::{Error, ErrorKind};

use super::server::{Host, Server};

/// Services on fixed addresses that hand out credentials to whoever asks from inside a cloud. Those in
/// 169.254.0.0/16 are covered by the rule about link-local addresses.
const METADATA: [IpAddr; 8] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0023)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x0042)),
];

/// What may be connected to.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    /// Whether clusters may live on this machine's loopback.
    pub allow_loopback: bool,
    /// Sockets of our own: the listener, the database. An unspecified address stands for this machine, of which
    /// only the loopback can be recognised here: add the machine's other addresses where that matters.
    pub denied: Vec<SocketAddr>,
    /// Networks in which API servers must be; empty for anywhere that is not refused.
    pub allowed_networks: Vec<(IpAddr, u8)>,
}

/// An address that may not be connected to. Its text is the same for every rule, so that answers cannot be used to
/// look around in our network; [`Refused::rule`] is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    rule: &'static str,
}

impl Refused {
    /// Which rule refused. Not for the caller.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address of the API server is not allowed")
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::new(ErrorKind::Invalid, refused.to_string())
    }
}

impl AddressPolicy {
    /// Whether `address` may be connected to.
    ///
    /// # Errors
    /// [`Refused`] if not.
    pub fn check(&self, address: SocketAddr) -> Result<(), Refused> {
        let readings = readings(address.ip());
        for ip in &readings {
            self.check_reading(SocketAddr::new(*ip, address.port()))?;
        }
        let allowed =
            |ip: &IpAddr| self.allowed_networks.iter().any(|(net, bits)| contains(*net, *bits, *ip));
        if self.allowed_networks.is_empty() || readings.iter().all(allowed) {
            return Ok(());
        }
        Err(Refused { rule: "outside the allowed networks" })
    }

    /// Checks a server's URL as far as it can be done without a resolver: when its host is an address.
    ///
    /// # Errors
    /// [`Refused`] if the address may not be connected to, or if the URL is not one of an API server.
    pub fn check_literal(&self, server: &str) -> Result<(), Refused> {
        let server =
            Server::parse("server", server).map_err(|_| Refused { rule: "not the URL of an API server" })?;
        match server.host {
            Host::Address(ip) => self.check(SocketAddr::new(ip, server.port)),
            Host::Name(name) if is_localhost(&name) && !self.allow_loopback => {
                Err(Refused { rule: "a name of the loopback" })
            }
            Host::Name(_) => Ok(()),
        }
    }

    fn check_reading(&self, address: SocketAddr) -> Result<(), Refused> {
        let refuse = |rule| Err(Refused { rule });
        let ip = address.ip();
        if METADATA.contains(&ip) {
            return refuse("metadata service of a cloud");
        }
        if self.denied.iter().any(|denied| is_denied(*denied, address)) {
            return refuse("a socket of our own");
        }
        match ip {
            IpAddr::V4(v4) if v4.octets().starts_with(&[0]) => refuse("unspecified"),
            IpAddr::V6(v6) if v6.is_unspecified() => refuse("unspecified"),
            _ if ip.is_multicast() => refuse("multicast"),
            IpAddr::V4(v4) if v4.is_broadcast() => refuse("broadcast"),
            IpAddr::V4(v4) if v4.is_link_local() => refuse("link-local"),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => refuse("link-local"),
            _ if ip.is_loopback() && !self.allow_loopback => refuse("loopback"),
            IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
        }
    }
}

/// All that an address may mean: itself, and the IPv4 addresses that its form carries. Which of them a packet
/// reaches depends on translators in the network, so each must be allowed.
fn readings(ip: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = ip else { return vec![ip] };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    let embedded = match [a, b, c, d, e, f] {
        // IPv4-mapped: the kernel itself speaks IPv4 then, and there is no other reading.
        [0, 0, 0, 0, 0, 0xffff] => return vec![v4(g, h)],
        // IPv4-compatible. `::` and `::1` are what they are.
        [0, 0, 0, 0, 0, 0] if g != 0 => vec![v4(g, h)],
        // IPv4-translated, NAT64 (well-known and local prefixes), 6to4.
        [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] | [0x64, 0xff9b, 1, _, _, _] => vec![v4(g, h)],
        [0x2002, high, low, ..] => vec![v4(high, low)],
        // Teredo: the server's address, and the client's with its bits flipped.
        [0x2001, 0, high, low, ..] => vec![v4(high, low), v4(!g, !h)],
        // ISATAP.
        [_, _, _, _, 0 | 0x200, 0x5efe] => vec![v4(g, h)],
        _ => Vec::new(),
    };
    std::iter::once(ip).chain(embedded).collect()
}

fn is_denied(denied: SocketAddr, address: SocketAddr) -> bool {
    let same = |ip: IpAddr| {
        ip == address.ip()
            || (ip.is_unspecified() && (address.ip().is_loopback() || address.ip().is_unspecified()))
    };
    denied.port() == address.port() && readings(denied.ip()).into_iter().any(same)
}

fn contains(network: IpAddr, bits: u8, ip: IpAddr) -> bool {
    let (network, ip, width) = match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            (u128::from(network.to_bits()), u128::from(ip.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => (network.to_bits(), ip.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let host_bits = width - u32::from(bits).min(width);
    let prefix = |bits: u128| bits.checked_shr(host_bits).unwrap_or(0);
    prefix(network) == prefix(ip)
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> AddressPolicy {
        AddressPolicy {
            allow_loopback: false,
            denied: vec!["10.9.9.9:8470".parse().unwrap(), "0.0.0.0:5432".parse().unwrap()],
            allowed_networks: Vec::new(),
        }
    }

    #[test]
    fn addresses_that_only_make_sense_from_inside_are_refused_in_every_spelling() {
        for (url, rule) in [
            ("https://127.0.0.1:6443", "loopback"),
            ("https://127.200.3.4", "loopback"),
            ("https://[::1]:6443", "loopback"),
            ("https://[::ffff:127.0.0.1]:6443", "loopback"),
            ("https://[::ffff:7f00:1]", "loopback"),
            ("https://[::127.0.0.1]", "loopback"),
            ("https://[64:ff9b::127.0.0.1]", "loopback"),
            ("https://[64:ff9b:1::7f00:1]", "loopback"),
            ("https://[2002:7f00:1::1]", "loopback"),
            ("https://localhost:6443", "a name of the loopback"),
            ("https://LOCALHOST.", "a name of the loopback"),
            ("https://a.localhost", "a name of the loopback"),
            ("https://169.254.169.254", "link-local"),
            ("https://169.254.170.2", "link-local"),
            ("https://[::ffff:169.254.169.254]", "link-local"),
            ("https://[::169.254.169.254]", "link-local"),
            ("https://[64:ff9b::a9fe:a9fe]", "link-local"),
            ("https://[2002:a9fe:a9fe::]", "link-local"),
            ("https://[2001:0:a9fe:a9fe::1]", "link-local"),
            ("https://[2001:0:808:808::5601:5601]", "link-local"),
            ("https://[::ffff:0:169.254.169.254]", "link-local"),
            ("https://[2a00::5efe:a9fe:a9fe]", "link-local"),
            ("https://[fe80::1]", "link-local"),
            ("https://[febf::1]", "link-local"),
            ("https://100.100.100.200", "metadata service of a cloud"),
            ("https://[::ffff:100.100.100.200]", "metadata service of a cloud"),
            ("https://168.63.129.16", "metadata service of a cloud"),
            ("https://192.0.0.192", "metadata service of a cloud"),
            ("https://[fd00:ec2::254]", "metadata service of a cloud"),
            ("https://[fd20:ce::254]", "metadata service of a cloud"),
            ("https://0.0.0.0:6443", "unspecified"),
            ("https://0.1.2.3", "unspecified"),
            ("https://[::]:6443", "unspecified"),
            ("https://[::ffff:0.0.0.0]", "unspecified"),
            ("https://224.0.0.1", "multicast"),
            ("https://239.255.255.255", "multicast"),
            ("https://[ff02::1]", "multicast"),
            ("https://255.255.255.255", "broadcast"),
            ("https://10.9.9.9:8470", "a socket of our own"),
            ("https://[::ffff:10.9.9.9]:8470", "a socket of our own"),
            ("https://[64:ff9b::a09:909]:8470", "a socket of our own"),
            ("https://127.0.0.1:5432", "a socket of our own"),
            ("https://[::1]:5432", "a socket of our own"),
            ("https://2130706433", "not the URL of an API server"),
            ("https://127.1", "not the URL of an API server"),
            ("https://0x7f000001", "not the URL of an API server"),
            ("http://10.0.0.1", "not the URL of an API server"),
            ("https://user@10.0.0.1", "not the URL of an API server"),
        ] {
            let refused = policy().check_literal(url).expect_err(url);
            assert_eq!(refused.rule(), rule, "{url}");
            assert_eq!(refused.to_string(), "the address of the API server is not allowed");
        }
    }

    #[test]
    fn ordinary_addresses_and_names_are_allowed() {
        for url in [
            "https://10.0.0.1:6443",
            "https://10.9.9.9:6443",
            "https://192.168.1.10",
            "https://100.100.100.201",
            "https://203.0.113.7:5432",
            "https://[fd00::1]:6443",
            "https://[2a00:1450::1]",
            "https://[64:ff9b::a00:1]",
            "https://k8s.example:6443",
        ] {
            assert_eq!(policy().check_literal(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn loopback_is_allowed_by_choice_but_never_our_own_sockets_there() {
        let policy = AddressPolicy { allow_loopback: true, ..policy() };
        for url in ["https://127.0.0.1:6443", "https://[::1]:6443", "https://[::ffff:127.0.0.1]:6443"] {
            assert_eq!(policy.check_literal(url), Ok(()), "{url}");
        }
        for url in ["https://127.0.0.1:5432", "https://[::1]:5432", "https://[::ffff:127.0.0.1]:5432"] {
            assert!(policy.check_literal(url).is_err(), "{url}");
        }
    }

    #[test]
    fn with_allowed_networks_everything_else_is_refused_and_refusals_still_hold() {
        let networks = [("10.0.0.0", 8), ("fd00::", 16), ("169.254.0.0", 16)];
        let policy = AddressPolicy {
            allowed_networks: networks.map(|(net, bits)| (net.parse().unwrap(), bits)).to_vec(),
            ..policy()
        };
        for url in ["https://10.255.0.1", "https://[fd00::1]", "https://[::ffff:10.0.0.1]"] {
            assert_eq!(policy.check_literal(url), Ok(()), "{url}");
        }
        for url in [
            "https://11.0.0.1",
            "https://[fd01::1]",
            "https://169.254.169.254",
            "https://[fd00:ec2::254]",
            // An allowed address written into one that is not: each reading must be allowed.
            "https://[2001:db8::5efe:10.0.0.1]",
            "https://[2002:a00:1::dead:beef]",
            "https://[2001:0:a00:1::1]",
            "https://[64:ff9b:1:1:2:3:a00:1]",
        ] {
            assert!(policy.check_literal(url).is_err(), "{url}");
        }
        let anywhere = AddressPolicy { allowed_networks: vec![("0.0.0.0".parse().unwrap(), 0)], ..policy };
        assert_eq!(anywhere.check_literal("https://11.0.0.1"), Ok(()));
    }
}
