//! Clusters that sign client certificates, as they should or otherwise.

use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Error, Namespace, Result};
use service::clusters::connection::contact::{Ours, Reviewed, SigningRequest, Unasked};
use service::clusters::connection::prober::Pending;
use service::clusters::connection::{Connection, Contact};

/// What a cluster signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signs {
    /// What was asked for, until the year 2028.
    #[default]
    AsAsked,
    /// What was asked for, but for a few minutes.
    Briefly,
    /// A certificate of a key of its own.
    AnotherKey,
    /// With a group beside the name.
    AGroup,
    /// Nothing: it says why.
    Nothing,
}

/// A cluster's authority.
#[derive(Default)]
pub struct Signer {
    /// What it signs.
    pub signs: Mutex<Signs>,
    /// The binding of somebody else that names this user: (user, what is said).
    pub foreign: Mutex<Option<(String, String)>>,
    /// What it was asked for.
    pub asked: Mutex<Vec<SigningRequest>>,
}

impl Contact for Signer {
    fn sign<'a>(&'a self, _: &'a Connection, request: &'a SigningRequest) -> Pending<'a, Result<String>> {
        self.asked.lock().unwrap().push(request.clone());
        let signs = *self.signs.lock().unwrap();
        Box::pin(async move { signed(signs, &request.csr_pem) })
    }

    fn foreign_users<'a>(
        &'a self,
        _: &'a Connection,
        _: &'a Ours,
        users: &'a [String],
    ) -> Pending<'a, Result<Option<String>>> {
        let found = self.foreign.lock().unwrap().clone();
        let found = found.filter(|(user, _)| users.contains(user)).map(|(_, said)| said);
        Box::pin(async move { Ok(found) })
    }

    fn namespaces<'a>(&'a self, _: &'a Connection) -> Pending<'a, Result<Vec<Namespace>>> {
        Box::pin(async { Ok(vec![Namespace::stored("default")]) })
    }

    fn review<'a>(
        &'a self,
        _: &'a Connection,
        _: &'a [rbac::probe::Probe],
    ) -> Pending<'a, Result<Reviewed, Unasked>> {
        Box::pin(async { Err(Unasked("it only signs".to_owned())) })
    }
}

fn signed(signs: Signs, csr_pem: &str) -> Result<String> {
    let body: String = csr_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let request = STANDARD.decode(body).unwrap();
    let whole = elements(&request)[0].1;
    let info = elements(whole)[0].1;
    let [_, (_, name), (_, key), _] = elements(info)[..] else { panic!("a request for a certificate") };
    let (mut name, mut key) = (name.to_vec(), key.to_vec());
    let until: &[u8] = if signs == Signs::Briefly { b"261121204500Z" } else { b"281122000000Z" };
    match signs {
        Signs::AsAsked | Signs::Briefly => {}
        Signs::AnotherKey => *key.last_mut().unwrap() ^= 1,
        Signs::AGroup => {
            let kind = [0x06, 0x03, 0x55, 0x04, 0x0a];
            let group = element(0x30, &[&kind, &element(0x0c, &[b"system:masters"])]);
            name.extend(element(0x31, &[&group]));
        }
        Signs::Nothing => return Err(Error::conflict("the cluster did not sign")),
    }
    let validity = element(0x30, &[&element(0x17, &[b"261121203600Z"]), &element(0x17, &[until])]);
    let head = [0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x07, 0x30, 0x00, 0x30, 0x00];
    let body = element(0x30, &[&head, &validity, &element(0x30, &[&name]), &element(0x30, &[&key])]);
    let certificate = element(0x30, &[&body, &[0x30, 0x00, 0x03, 0x01, 0x00]]);
    Ok(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(certificate)))
}

/// The elements that stand one after the other in a DER text: tag and content.
fn elements(mut der: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let [tag, length, rest @ ..] = der {
        let (length, rest) = match length {
            0x81 => (usize::from(rest[0]), &rest[1..]),
            0x82 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), &rest[2..]),
            short => (usize::from(*short), rest),
        };
        found.push((*tag, &rest[..length]));
        der = &rest[length..];
    }
    found
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], &content].concat()
}
