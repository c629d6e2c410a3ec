//! Who is in which group.

use domain::{Error, PrincipalId, PrincipalKind, Result};

use crate::authz;
use crate::call::Call;
use crate::service::Service;

impl Service {
    /// The members of a group, id and name, by name.
    ///
    /// # Errors
    /// `NotFound` if there is no such group.
    pub async fn list_members(&self, call: &Call, group: &str) -> Result<Vec<(PrincipalId, String)>> {
        authz::require(call, "bailiwick:group:show")?;
        let mut tx = self.store.read().await?;
        let found = tx
            .principal_named(call.account(), PrincipalKind::Group, group)
            .await?
            .ok_or_else(|| Error::not_found("group", group))?;
        let members = tx.members(&found.id).await?;
        tx.end().await?;
        Ok(members)
    }

    /// Puts a user into a group; doing it again changes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is no such group or user.
    pub async fn add_member(&self, call: &Call, group: &str, user: &str) -> Result<()> {
        authz::require(call, "bailiwick:group:addMember")?;
        let mut tx = self.begin(call).await?;
        let (group, user) = both(&mut tx, call, group, user).await?;
        tx.insert_member(&group, &user).await?;
        self.commit_membership(tx, call, "bailiwick:group:addMember", &group, &user).await
    }

    /// Takes a user out of a group.
    ///
    /// # Errors
    /// `NotFound` if there is no such group or user, or they are not in it.
    pub async fn remove_member(&self, call: &Call, group: &str, user: &str) -> Result<()> {
        authz::require(call, "bailiwick:group:removeMember")?;
        let mut tx = self.begin(call).await?;
        let (group, member) = both(&mut tx, call, group, user).await?;
        if !tx.delete_member(&group, &member).await? {
            return Err(Error::not_found("member", user));
        }
        self.commit_membership(tx, call, "bailiwick:group:removeMember", &group, &member).await
    }

    /// Who is in which group matters to clusters only where members are bound.
    async fn commit_membership(
        &self,
        mut tx: store::WriteTx,
        call: &Call,
        action: &str,
        group: &PrincipalId,
        user: &PrincipalId,
    ) -> Result<()> {
        let resource = format!("group/{group}/member/{user}");
        if tx.binds_members(call.account()).await? {
            return self.commit_for_fleet(tx, call, action, &resource).await;
        }
        self.commit(tx, call, action, &resource).await
    }
}

async fn both(
    tx: &mut store::WriteTx,
    call: &Call,
    group: &str,
    user: &str,
) -> Result<(PrincipalId, PrincipalId)> {
    let group = tx
        .principal_named(call.account(), PrincipalKind::Group, group)
        .await?
        .ok_or_else(|| Error::not_found("group", group))?;
    let user = tx
        .principal_named(call.account(), PrincipalKind::User, user)
        .await?
        .ok_or_else(|| Error::not_found("user", user))?;
    Ok((group.id, user.id))
}
