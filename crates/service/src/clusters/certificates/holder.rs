//! Whose certificate it is, and who may have to do with those of others.

use domain::{Denial, Error, Missing, Principal, PrincipalKind, Result};
use store::ReadTx;

use crate::call::Call;
use crate::directory::which::Which;

/// Whose.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// Who calls.
    Caller,
    /// Somebody of the account, who may be the caller.
    Named {
        /// User or agency; either, where a request does not say.
        kind: Option<PrincipalKind>,
        /// Which one.
        which: Which<'a>,
    },
}

/// Who may do it for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForOthers {
    /// The account's root user, and nobody else even for themselves.
    RootAlone,
    /// The account's root user.
    Root,
    /// The root user and the members of `administrators`.
    Administrators,
}

impl Holder<'_> {
    /// The user or agency.
    ///
    /// # Errors
    /// `NotFound` naming `holder` if there is none; `Conflict` if a user and an agency have that name.
    pub(super) async fn find(self, tx: &mut ReadTx, call: &Call) -> Result<Principal> {
        let account = call.account();
        let (kind, which) = match self {
            Self::Caller => (Some(call.caller.kind), Which::Id(call.caller.principal.as_str())),
            Self::Named { kind, which } => (kind, which),
        };
        let missing = |error: Error| error.at_field("holder");
        if let Some(kind) = kind {
            return which.find(tx, account, kind).await.map_err(missing);
        }
        let user = which.find(tx, account, PrincipalKind::User).await;
        let agency = which.find(tx, account, PrincipalKind::Agency).await;
        match (user, agency) {
            (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
            (Err(_), Err(_)) => Err(missing(Error::not_found("user or agency", which.text()))),
            (Ok(_), Ok(_)) => Err(Error::conflict(format!(
                "a user and an agency are called `{}`: name one by its id",
                which.text()
            ))),
        }
    }

    /// Whether the request means the caller without having to look.
    pub(super) fn is_caller(self, call: &Call) -> bool {
        match self {
            Self::Caller => true,
            Self::Named { which, .. } => which.text() == call.caller.principal.as_str(),
        }
    }
}

impl ForOthers {
    /// Lets the call pass if it is about the caller, or the caller may do so for others.
    ///
    /// # Errors
    /// `Forbidden`. It does not tell whether there is such a holder.
    pub(super) fn allow(self, call: &Call, holder: Holder<'_>, action: &str) -> Result<()> {
        let caller = &call.caller;
        let may = match self {
            Self::RootAlone | Self::Root => caller.root,
            Self::Administrators => caller.root || caller.is_unlimited_administrator(),
        };
        let is_own = self != Self::RootAlone && holder.is_caller(call);
        if may || is_own {
            return Ok(());
        }
        let resource = match holder {
            Holder::Caller => String::new(),
            Holder::Named { which, .. } => format!("principal/{}", which.text()),
        };
        let who = match self {
            Self::RootAlone | Self::Root => "only the root user may",
            Self::Administrators => "only the root user and administrators may",
        };
        let what =
            if self == Self::RootAlone { "do this" } else { "have to do with the certificates of others" };
        let reasons = format!("{who} {what}");
        let denial = Denial { action: action.to_owned(), resource, reasons, missing: Missing::Person };
        Err(Error::denied(denial).with_hint(&format!("{who} {what}")))
    }
}
