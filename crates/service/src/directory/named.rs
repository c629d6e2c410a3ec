//! Names that mean something. Trust policies and conditions call people by their names, and names are free to be given:
//! whoever takes a name that is written somewhere takes what is written about it, and whoever lays theirs down is no
//! longer denied what is.

use domain::{Error, Principal, PrincipalKind, Result};
use policy::{Document, Grammar};
use store::WriteTx;

use crate::authz::ladder::refused;
use crate::authz::reach::acts_as;
use crate::authz::{Fact, GRAMMARS};
use crate::call::Call;
use crate::service::Service;

impl Service {
    /// Lets a new principal have its name.
    ///
    /// # Errors
    /// `Forbidden` if a trust policy or a condition names it, unless for the root user and administrators.
    pub(crate) async fn may_be_called(&self, tx: &mut WriteTx, call: &Call, new: &Principal) -> Result<()> {
        if call.caller.root || call.caller.is_unlimited_administrator() {
            return Ok(());
        }
        // Nothing calls a group by its name but the rule about administrators, whose name is taken.
        if new.kind == PrincipalKind::Group || !self.is_written_somewhere(tx, call, &[new]).await? {
            return Ok(());
        }
        Err(is_named(new))
    }

    /// Lets a principal change its name, or keep it. Doing so to oneself is no different.
    ///
    /// # Errors
    /// `Forbidden` if a trust policy or a condition names either, unless for the root user and administrators.
    pub(crate) async fn may_be_renamed(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        before: &Principal,
        after: &Principal,
    ) -> Result<()> {
        let is_free = call.caller.root || call.caller.is_unlimited_administrator();
        if is_free || before.name == after.name || before.kind == PrincipalKind::Group {
            return Ok(());
        }
        match self.is_written_somewhere(tx, call, &[before, after]).await? {
            true => Err(is_named(before)),
            false => Ok(()),
        }
    }

    async fn is_written_somewhere(&self, tx: &mut WriteTx, call: &Call, all: &[&Principal]) -> Result<bool> {
        let keys: Vec<&str> = self.settings.vocabulary.keys().iter().filter_map(key_of_names).collect();
        let compares = |document: &Document| {
            all.iter().any(|one| keys.iter().any(|key| document.compares(key, &one.name)))
        };
        for found in tx.trusting(call.account()).await? {
            let trust = Document::stored("trust policy", &found.trust_policy, &Grammar::TRUST);
            let named = |one: &&Principal| trust.names_somebody(one.account.as_str(), acts_as(one));
            if all.iter().any(named) || compares(&trust) {
                return Ok(true);
            }
        }
        let own = tx.policy_documents(call.account()).await?;
        Ok(own.iter().any(|text| compares(&Document::stored("policy", text, &GRAMMARS))))
    }
}

fn key_of_names(key: &crate::authz::NamedKey) -> Option<&str> {
    (key.fact == Fact::PrincipalName).then_some(key.key.as_str())
}

fn is_named(principal: &Principal) -> Error {
    refused(
        &format!("{}/{}", principal.kind, principal.id),
        "a trust policy or a condition of a policy names it by a name that it has, or is to have",
        "who is called by that name has rights by it: only the root user and administrators may give or take it",
    )
}
