//! Whom somebody could become. An agency that trusts them lends them its rights, and those of the agencies that trust
//! that one, and so on. Who could act as the first is on their way to the last.

use std::collections::BTreeSet;

use domain::{Principal, PrincipalKind, Result};
use policy::{ActsAs, Document, Grammar, Naming};
use store::WriteTx;

use crate::authz::ladder::above;
use crate::authz::{Rights, trust};
use crate::call::Call;
use crate::service::Service;

/// An agency and whom it trusts.
struct Trusting {
    agency: Principal,
    trust: Document,
}

impl Service {
    /// Lets pass who may do already all that the agencies may that `first`, who has the rights `theirs`, could assume
    /// because they trust it.
    ///
    /// Only trust is looked at: what somebody may assume because their own policies allow it, the caller has to be allowed
    /// as well before we come here. That holds too for agencies that trust a whole account without a condition: they
    /// trust the caller no less.
    pub(crate) async fn may_become(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        first: Principal,
        theirs: Rights,
    ) -> Result<()> {
        let caller = &call.caller;
        let everything = Rights::everything(&self.settings.vocabulary);
        if caller.is_unlimited_administrator() && caller.rights.first_missing(&everything).is_none() {
            return Ok(());
        }
        let agencies = trusting(tx, call).await?;
        let mut seen = BTreeSet::from([first.id.clone()]);
        let mut ways = vec![(first, theirs)];
        while let Some((from, theirs)) = ways.pop() {
            let may_assume = theirs.may_allow(trust::ACTION)?;
            for Trusting { agency, trust } in &agencies {
                let is_foreign = agency.account != from.account;
                let could = match trust.may_trust(from.account.as_str(), acts_as(&from)) {
                    Naming::NotAtAll => false,
                    Naming::Conditionally => may_assume,
                    Naming::ByName => may_assume || !is_foreign,
                };
                if !could || !seen.insert(agency.id.clone()) {
                    continue;
                }
                if is_foreign {
                    may_become_foreign(call, &from)?;
                    continue;
                }
                let rights = self.rights_of(tx, agency).await?;
                self.may_do_as(tx, call, agency, &rights).await?;
                ways.push((agency.clone(), rights));
            }
        }
        Ok(())
    }
}

/// Nobody here can compare rights that another account gave.
fn may_become_foreign(call: &Call, from: &Principal) -> Result<()> {
    if call.caller.is_unlimited_administrator() {
        return Ok(());
    }
    Err(above(from, "an agency of another account trusts it"))
}

async fn trusting(tx: &mut WriteTx, call: &Call) -> Result<Vec<Trusting>> {
    let found = tx.trusting(call.account()).await?;
    let read = |found: store::Trusting| Trusting {
        trust: Document::stored("trust policy", &found.trust_policy, &Grammar::TRUST),
        agency: found.agency,
    };
    Ok(found.into_iter().map(read).collect())
}

/// As whom trust policies know a principal. Sessions may be called anything.
pub(crate) fn acts_as(principal: &Principal) -> ActsAs<'_> {
    match principal.kind {
        PrincipalKind::User | PrincipalKind::Group => ActsAs::User(&principal.name),
        PrincipalKind::Agency => ActsAs::Agency { name: &principal.name, session: "" },
    }
}
