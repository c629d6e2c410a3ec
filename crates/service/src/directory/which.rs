//! How a request names a principal or a key. People write names or ids; the vendors' paths hold ids and nothing else: a stale id
//! must never hit somebody who was given it as a name.

use domain::{AccountId, Error, Principal, PrincipalKind, Result};
use store::{AccessKey, ReadTx};

/// What a request names a principal by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// By id alone.
    Id(&'a str),
    /// By id, else by name.
    IdOrName(&'a str),
}

impl<'a> From<&'a str> for Which<'a> {
    fn from(text: &'a str) -> Self {
        Self::IdOrName(text)
    }
}

impl<'a> From<&'a String> for Which<'a> {
    fn from(text: &'a String) -> Self {
        Self::IdOrName(text)
    }
}

/// What a request names an access key by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhichKey<'a> {
    /// The key's id.
    pub id: &'a str,
    /// The id of the user whose key it must be, where the request says so.
    pub user: Option<&'a str>,
}

impl<'a> From<&'a str> for WhichKey<'a> {
    fn from(id: &'a str) -> Self {
        Self { id, user: None }
    }
}

impl WhichKey<'_> {
    /// The account's key.
    ///
    /// # Errors
    /// `NotFound` if there is none, or it is another user's.
    pub(crate) async fn find(self, tx: &mut ReadTx, account: &AccountId) -> Result<AccessKey> {
        let found = tx.access_key(self.id).await?.filter(|key| key.account == *account);
        found
            .filter(|key| self.user.is_none_or(|user| user == key.user.as_str()))
            .ok_or_else(|| Error::not_found("access key", self.id))
    }
}

impl<'a> Which<'a> {
    /// The text of the request.
    #[must_use]
    pub fn text(self) -> &'a str {
        match self {
            Self::Id(text) | Self::IdOrName(text) => text,
        }
    }

    /// The account's principal of that kind.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub(crate) async fn find(
        self,
        tx: &mut ReadTx,
        account: &AccountId,
        kind: PrincipalKind,
    ) -> Result<Principal> {
        let found = match self {
            Self::Id(id) => tx.principal_by_id(account, kind, id).await?,
            Self::IdOrName(text) => tx.principal_named(account, kind, text).await?,
        };
        found.ok_or_else(|| Error::not_found(kind.as_str(), self.text()))
    }
}
