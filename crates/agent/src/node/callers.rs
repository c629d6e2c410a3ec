//! Who may ask: processes of this node, and its pods.
//!
//! An address proves little, and a token is wanted from everybody. But a token that was carried off to another machine is
//! not answered there, and nobody else can flood this endpoint.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// So long counts what the node said of its own addresses.
const OWN_LASTS: Duration = Duration::from_secs(10);

/// A range of addresses, such as `10.244.3.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: IpAddr,
    bits: u32,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` must be a range of addresses such as 10.244.3.0/24");
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().map_err(|_| wrong())?;
        // "Everybody" would be no rule at all, and is hardly ever what was meant.
        if bits == 0 || bits > width(address) {
            return Err(wrong());
        }
        Ok(Self { first: address, bits })
    }
}

impl Range {
    fn has(self, address: IpAddr) -> bool {
        let rest = width(self.first).saturating_sub(self.bits);
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => first.to_bits() >> rest == address.to_bits() >> rest,
            (IpAddr::V6(first), IpAddr::V6(address)) => first.to_bits() >> rest == address.to_bits() >> rest,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Where a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// On this node itself: many may share its address.
    Node,
    /// In a range of the node's pods.
    Pod,
    /// Elsewhere.
    Foreign,
}

/// The rule.
pub struct Callers {
    allowed: Vec<Range>,
    is_node_let_in: bool,
    own: Mutex<Option<(Instant, HashSet<IpAddr>)>>,
    read_own: fn() -> HashSet<IpAddr>,
}

impl Callers {
    /// Lets this node's own addresses in, and those ranges.
    #[must_use]
    pub fn new(allowed: Vec<Range>) -> Self {
        Self::with(allowed, own_addresses)
    }

    /// Lets those ranges in and nobody else: the node's own processes neither.
    #[must_use]
    pub fn only(allowed: Vec<Range>) -> Self {
        Self { is_node_let_in: false, ..Self::with(allowed, HashSet::new) }
    }

    fn with(allowed: Vec<Range>, read_own: fn() -> HashSet<IpAddr>) -> Self {
        Self { allowed, is_node_let_in: true, own: Mutex::new(None), read_own }
    }

    /// Where somebody with that address is.
    #[must_use]
    pub fn place(&self, address: IpAddr) -> Caller {
        let address = address.to_canonical();
        if self.allowed.iter().any(|range| range.has(address)) {
            Caller::Pod
        } else if !self.is_node_let_in {
            Caller::Foreign
        } else if address.is_loopback() || self.is_own(address) {
            Caller::Node
        } else {
            Caller::Foreign
        }
    }

    fn is_own(&self, address: IpAddr) -> bool {
        let mut own = self.own.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match own.as_ref().filter(|(at, _)| at.elapsed() < OWN_LASTS) {
            Some((_, addresses)) => addresses.contains(&address),
            None => {
                let addresses = (self.read_own)();
                let is_own = addresses.contains(&address);
                *own = Some((Instant::now(), addresses));
                is_own
            }
        }
    }
}

/// The addresses of this machine, as the kernel lists them. None where it does not.
fn own_addresses() -> HashSet<IpAddr> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut own = of_trie(&read("/proc/net/fib_trie"));
    own.extend(of_list(&read("/proc/net/if_inet6")));
    own
}

/// A leaf of the routing table is an address, and below it what it is: `/32 host LOCAL` is one of ours.
fn of_trie(text: &str) -> HashSet<IpAddr> {
    let mut found = HashSet::new();
    let mut leaf: Option<IpAddr> = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(leaf);
        }
    }
    found
}

/// Each line begins with an address in 32 hexadecimal digits.
fn of_list(text: &str) -> HashSet<IpAddr> {
    let address = |line: &str| {
        let digits = line.split_whitespace().next().filter(|digits| digits.len() == 32)?;
        u128::from_str_radix(digits, 16).ok().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> HashSet<IpAddr> {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\nLocal:\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 169.254.170.23\n        /32 host LOCAL\n";
        let list = "20010db8000000000000000000000007 02 40 00 80     eth0\nnonsense\n";
        of_trie(trie).into_iter().chain(of_list(list)).collect()
    }

    #[tokio::test]
    async fn only_this_node_and_its_pods_are_answered() {
        let allowed = vec!["10.244.3.0/24".parse().unwrap(), "fd00:3::/64".parse().unwrap()];
        let callers = Callers::with(allowed, own);
        for (address, place) in [
            ("127.0.0.1", Caller::Node),
            ("::1", Caller::Node),
            ("::ffff:127.0.0.1", Caller::Node),
            ("169.254.170.23", Caller::Node),
            ("169.254.170.24", Caller::Foreign),
            ("fe80::1", Caller::Foreign),
            ("10.0.0.7", Caller::Node),
            ("2001:db8::7", Caller::Node),
            ("10.244.3.255", Caller::Pod),
            ("::ffff:10.244.3.9", Caller::Pod),
            ("fd00:3::9", Caller::Pod),
            ("10.244.4.1", Caller::Foreign),
            ("10.0.0.8", Caller::Foreign),
            ("10.0.0.255", Caller::Foreign),
            ("10.0.0.0", Caller::Foreign),
            ("fd00:4::9", Caller::Foreign),
            ("2001:db8::8", Caller::Foreign),
            ("0.0.0.0", Caller::Foreign),
            ("8.8.8.8", Caller::Foreign),
        ] {
            assert_eq!(callers.place(address.parse().unwrap()), place, "{address}");
        }
    }

    #[test]
    fn a_range_is_an_address_and_how_much_of_it_counts() {
        for wrong in
            ["10.244.3.0", "10.244.3.0/33", "0.0.0.0/0", "::/0", "fd00::/129", "pods/24", "10.244.3/24"]
        {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_kernel_tells_an_address_of_this_machine() {
        assert!(own_addresses().contains(&"127.0.0.1".parse::<IpAddr>().unwrap()));
    }
}
