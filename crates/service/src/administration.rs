//! Who administers a cluster. A policy that allows changing grants is not enough to change them: whoever gives rights in
//! a cluster must have all of them there. Otherwise the right to write grants would be every right there is. The same
//! goes for saying who owns a cluster, which makes its administrator.

use domain::{ClusterScope, Denial, Error, Result};
use store::{ReadTx, WriteTx};

use crate::call::Call;
use crate::service::Service;

/// What changing a grant takes beside a policy that allows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantRequires {
    /// To administer each cluster that the grant is or was about.
    #[default]
    Administration,
    /// Nothing: whoever a policy lets write grants may give anybody everything, themselves included.
    Policy,
}

impl Service {
    /// Lets the call pass if its caller administers every cluster of `scopes`: the root user and the members of
    /// `administrators` do, owners of a cluster do, and who holds a grant of the role administrator on all of a cluster's
    /// namespaces does.
    ///
    /// # Errors
    /// `Forbidden` naming the first cluster that they do not administer.
    pub(crate) async fn require_administration(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        action: &str,
        scopes: &[&ClusterScope],
    ) -> Result<()> {
        match self.not_administered(tx, call, scopes).await? {
            Some(resource) => Err(refused(action, &resource)),
            None => Ok(()),
        }
    }

    /// The first cluster of `scopes` that the caller would have to administer to change its grants, and does not.
    pub(crate) async fn not_administered(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        scopes: &[&ClusterScope],
    ) -> Result<Option<String>> {
        let caller = &call.caller;
        let looser = self.settings.grant_requires == GrantRequires::Policy;
        if caller.root || caller.is_unlimited_administrator() || looser {
            return Ok(None);
        }
        let administered = tx.administered(call.account(), &caller.principal).await?;
        if administered.all {
            return Ok(None);
        }
        for scope in scopes {
            match scope {
                ClusterScope::All => return Ok(Some("cluster/*".to_owned())),
                ClusterScope::Listed(ids) => {
                    if let Some(other) = ids.iter().find(|id| !administered.clusters.contains(*id)) {
                        return Ok(Some(format!("cluster/{other}")));
                    }
                }
            }
        }
        Ok(None)
    }
}

fn refused(action: &str, resource: &str) -> Error {
    let reasons = "a policy allows it, but the caller does not administer the cluster";
    let denial =
        Denial { action: action.to_owned(), resource: resource.to_owned(), reasons: reasons.to_owned() };
    Error::denied(denial).with_hint(
        "changing a cluster's grants, owner, labels or names of people takes administering it: its owner does, and who holds a grant of the role \
         administrator on all its namespaces",
    )
}
