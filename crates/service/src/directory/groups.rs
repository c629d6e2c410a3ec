//! Who is in which group.

use domain::{Error, Principal, PrincipalId, PrincipalKind, Result};

use crate::authz;
use crate::call::Call;
use crate::directory::which::Which;
use crate::service::Service;

pub(crate) const ADD: &str = "bailiwick:group:addMember";
pub(crate) const REMOVE: &str = "bailiwick:group:removeMember";

impl Service {
    /// The members of a group, id and name, by name.
    ///
    /// # Errors
    /// `NotFound` if there is no such group.
    pub async fn list_members(
        &self,
        call: &Call,
        group: impl Into<Which<'_>> + Send,
    ) -> Result<Vec<(PrincipalId, String)>> {
        authz::require(call, "bailiwick:group:listMembers")?;
        let mut tx = self.store.read().await?;
        let found = group.into().find(&mut tx, call.account(), PrincipalKind::Group).await?;
        let members = tx.members(&found.id).await?;
        tx.end().await?;
        Ok(members)
    }

    /// The users of a group, by creation time and id.
    ///
    /// # Errors
    /// `NotFound` if there is no such group.
    pub async fn list_users_of(&self, call: &Call, group: Which<'_>) -> Result<Vec<Principal>> {
        authz::require(call, "bailiwick:group:listMembers")?;
        let mut tx = self.store.read().await?;
        let found = group.find(&mut tx, call.account(), PrincipalKind::Group).await?;
        let users = tx.users_in(call.account(), &found.id).await?;
        tx.end().await?;
        Ok(users)
    }

    /// Lets pass if a user is in a group.
    ///
    /// # Errors
    /// `NotFound` if they are not, or if there is no such group or user.
    pub async fn show_member(&self, call: &Call, group: Which<'_>, user: Which<'_>) -> Result<()> {
        authz::require(call, "bailiwick:group:listMembers")?;
        let mut tx = self.store.read().await?;
        let (group, member) = both(&mut tx, call, group, user).await?;
        let is_member = tx.is_member(&group, &member).await?;
        tx.end().await?;
        if is_member { Ok(()) } else { Err(Error::not_found("member", user.text())) }
    }

    /// The groups of a user, by creation time and id.
    ///
    /// # Errors
    /// `NotFound` if there is no such user.
    pub async fn list_groups_of(&self, call: &Call, user: Which<'_>) -> Result<Vec<Principal>> {
        authz::require(call, "bailiwick:user:listGroups")?;
        let mut tx = self.store.read().await?;
        let found = user.find(&mut tx, call.account(), PrincipalKind::User).await?;
        let groups = tx.groups_with(call.account(), &found.id).await?;
        tx.end().await?;
        Ok(groups)
    }

    /// A user with their groups.
    ///
    /// # Errors
    /// `NotFound` if there is no such user.
    pub async fn show_user(&self, call: &Call, user: Which<'_>) -> Result<(Principal, Vec<Principal>)> {
        authz::require(call, "bailiwick:user:show")?;
        let mut tx = self.store.read().await?;
        let found = user.find(&mut tx, call.account(), PrincipalKind::User).await?;
        let groups = tx.groups_with(call.account(), &found.id).await?;
        tx.end().await?;
        Ok((found, groups))
    }

    /// Puts a user into a group; doing it again changes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is no such group or user.
    pub async fn add_member<'a>(
        &self,
        call: &Call,
        group: impl Into<Which<'a>> + Send,
        user: impl Into<Which<'a>> + Send,
    ) -> Result<()> {
        authz::require(call, ADD)?;
        let (group, user) = (group.into(), user.into());
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.joined(call, group, user).await,
        };
        let (group, user) = both(&mut tx, call, group, user).await?;
        // Whoever comes into a group gets what it may do: that is a grant of the group's rights.
        self.may_change(&mut tx, call, &group).await?;
        tx.insert_member(&group, &user).await?;
        self.commit_membership(tx, call, ADD, &group, &user).await
    }

    /// Takes a user out of a group.
    ///
    /// # Errors
    /// `NotFound` if there is no such group or user, or they are not in it.
    pub async fn remove_member<'a>(
        &self,
        call: &Call,
        group: impl Into<Which<'a>> + Send,
        user: impl Into<Which<'a>> + Send,
    ) -> Result<()> {
        authz::require(call, REMOVE)?;
        let (group, user) = (group.into(), user.into());
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.left(call, group, user).await,
        };
        let (group, member) = both(&mut tx, call, group, user).await?;
        self.may_change(&mut tx, call, &group).await?;
        self.may_end_group(&mut tx, call, &group).await?;
        if !tx.delete_member(&group, &member).await? {
            return Err(Error::not_found("member", user.text()));
        }
        self.commit_membership(tx, call, REMOVE, &group, &member).await
    }

    /// Who is in which group matters to clusters only where members are bound, or come by certificates.
    async fn commit_membership(
        &self,
        mut tx: store::WriteTx,
        call: &Call,
        action: &str,
        group: &PrincipalId,
        user: &PrincipalId,
    ) -> Result<()> {
        let resource = format!("group/{group}/member/{user}");
        let arrives = tx.has_certificate(user, self.now()).await?;
        if arrives || tx.binds_members(call.account()).await? {
            return self.commit_for_fleet(tx, call, action, &resource).await;
        }
        self.commit(tx, call, action, &resource).await
    }
}

pub(crate) async fn both(
    tx: &mut store::ReadTx,
    call: &Call,
    group: Which<'_>,
    user: Which<'_>,
) -> Result<(PrincipalId, PrincipalId)> {
    let group = group.find(tx, call.account(), PrincipalKind::Group).await?;
    let user = user.find(tx, call.account(), PrincipalKind::User).await?;
    Ok((group.id, user.id))
}
