//! The sealed message in a refusal: what was refused and why, for those of the account who may read it.
//!
//! It says which statement of which policy decided. Whoever is refused may carry it to somebody who is allowed to know;
//! nobody else can read it, change it, or make one.

use domain::{Denial, Error, Result};
use serde::Serialize;

use crate::authz;
use crate::call::{Call, Caller, Origin};
use crate::installation::seal::Record;
use crate::service::Service;

/// What kind of record a message is sealed as: no value of the database opens as one.
const KIND: &str = "authorization-message";

/// Longer reasons are cut: a message must fit into a request.
const MAX_REASONS: usize = 2_000;

/// Messages have multiples of so many bytes; what is added is blank.
const PADDED_TO: usize = 1024;

/// The longest message that is opened.
pub const MAX_ENCODED: usize = 10_240;

#[derive(Serialize)]
struct Message<'a> {
    allowed: bool,
    action: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    resource: &'a str,
    reasons: String,
    principal: Principal<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    request_id: &'a str,
    source: &'a str,
    at: String,
}

#[derive(Serialize)]
struct Principal<'a> {
    kind: &'a str,
    id: &'a str,
    name: &'a str,
}

impl Service {
    /// The sealed message about a refusal. It can be read in the caller's account as long as the master key that seals
    /// today is held.
    ///
    /// # Errors
    /// `Internal` if no master key is held.
    pub fn authorization_message(&self, caller: &Caller, origin: &Origin, denial: &Denial) -> Result<String> {
        let message = Message {
            allowed: false,
            action: &denial.action,
            resource: &denial.resource,
            reasons: denial.reasons.chars().take(MAX_REASONS).collect(),
            principal: Principal {
                kind: caller.kind.as_str(),
                id: caller.principal.as_str(),
                name: &caller.name,
            },
            session: caller.session().map(|session| session.id.as_str()),
            request_id: &origin.request_id,
            source: &origin.source,
            at: self.now().rfc3339_seconds(),
        };
        let mut plain = serde_json::to_vec(&message).map_err(Error::internal)?;
        // How long the reasons are would tell something about them.
        plain.resize(plain.len().next_multiple_of(PADDED_TO), b' ');
        let id = self.master_key.first_id()?;
        let key = self.master_key.find(&id).ok_or_else(|| Error::internal("no master key is held"))?;
        key.seal(&*self.entropy, &Record { kind: KIND, id: "", account: &caller.account }, &plain)
    }

    /// What a sealed message of the caller's account says, as JSON.
    ///
    /// # Errors
    /// `Invalid` for whatever is not one: other accounts' messages, changed ones, those of a master key that is gone.
    pub async fn decode_authorization_message(&self, call: &Call, encoded: &str) -> Result<String> {
        authz::require(call, "bailiwick:authorizationMessage:decode")?;
        let unknown = || Error::invalid("encoded_message", "is not a message of this account");
        if encoded.len() > MAX_ENCODED {
            return Err(unknown());
        }
        let record = Record { kind: KIND, id: "", account: call.account() };
        let plain = self.master_key.open(&record, encoded).map_err(|_| unknown())?;
        let text = String::from_utf8(plain.to_vec()).map_err(|_| unknown())?;
        Ok(text.trim_end().to_owned())
    }
}
