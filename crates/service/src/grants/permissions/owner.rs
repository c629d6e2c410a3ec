//! The right of a cluster's owner: a grant like any other, so that it is real in the cluster and has its state, but it comes
//! and goes with being the owner.

use domain::{
    Cluster, ClusterId, ClusterScope, Grant, GrantId, GrantSpec, NamespaceScope, PrincipalKind, Principals,
    Result, Role,
};
use store::WriteTx;

use crate::authz::{self, Thing};
use crate::call::Call;
use crate::grants::history;
use crate::service::Service;

/// The name of such grants.
const GRANT_NAME: &str = "cluster-owner";

impl Service {
    /// Makes the owner of a cluster its administrator there, and nobody else by having been its owner.
    pub(crate) async fn grant_to_owner(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        cluster: &Cluster,
    ) -> Result<()> {
        let thing = Thing::cluster(cluster);
        authz::require_not_denied(call, "bailiwick:grant:create", &thing)?;
        if let Some(old) = self.revoke_owners_grant(tx, &cluster.id).await? {
            authz::require_not_denied(call, "bailiwick:grant:delete", &thing)?;
            history::record_changed(tx, call, &[old]).await?;
        }
        let Some(owner) = &cluster.owner else { return Ok(()) };
        self.room_for_grant(tx).await?;
        let now = self.now();
        let grant = Grant {
            id: GrantId::random_uuid(&*self.entropy),
            account: cluster.account.clone(),
            spec: GrantSpec {
                name: GRANT_NAME.to_owned(),
                role: Role::Administrator,
                principals: Principals { kind: PrincipalKind::User, ids: vec![owner.clone()] },
                clusters: ClusterScope::Listed(vec![cluster.id.clone()]),
                namespaces: NamespaceScope::All,
            },
            generation: 1,
            created_at: now,
            updated_at: now,
            of_owner: true,
            revoked_at: None,
        };
        tx.insert_grant(&grant).await?;
        history::record(tx, call, &grant).await
    }

    /// Ends the right that somebody has as a cluster's owner. Recording that is left to the caller.
    pub(crate) async fn revoke_owners_grant(
        &self,
        tx: &mut WriteTx,
        cluster: &ClusterId,
    ) -> Result<Option<GrantId>> {
        let Some(id) = tx.grant_of_owner(cluster).await? else { return Ok(None) };
        let account = tx.account().clone();
        if let Some(grant) = tx.grant(&account, id.as_str()).await? {
            tx.expect_grant_states(&grant, self.now()).await?;
        }
        tx.revoke_grant(&id, self.now()).await?;
        Ok(Some(id))
    }
}
