//! A signed request that comes again. Signatures count for some minutes and hold nothing that makes each unique: whoever
//! records one that created something could bring it back after it was deleted, and two equal requests within one second
//! are byte for byte the same.
//!
//! So each change that a signature asked for remembers it in its own commit. While what the first left is as it was left,
//! the same request again gets the first one's answer; after that it is refused, and nothing changes. Where an answer
//! cannot be given again (it held a secret) or is not worth it, it is refused at once. Reads are not looked at, and neither
//! are requests that changed nothing because they were refused.

use domain::{
    Cluster, ClusterId, Error, ErrorKind, Grant, GrantId, Permission, Principal, PrincipalKind, Result,
    Timestamp,
};
use sha2::{Digest, Sha256};
use store::{AccessKey, FirstOutcome, SignedRow, WriteTx};

use crate::authz::{self, Right};
use crate::call::Call;
use crate::directory::agencies::{self, Agency};
use crate::directory::groups;
use crate::directory::which::Which;
use crate::pod_identity::associations::{self, AssociationView};
use crate::service::Service;

/// So many old requests are forgotten at once, so that no commit waits long for it.
const FORGOTTEN_AT_ONCE: i64 = 5_000;

/// Another server's clock may be so far behind: it still takes what has ended for us.
const SKEW_SECONDS: i64 = 5 * 60;

/// What a caller reads whose request was sent before.
const REPEATED: &str = "the same signed request was carried out before, and what it left has changed since or cannot be \
                        shown again; nothing was changed now; requests repeated within one second are equal: sign again";

/// A signed request that may change something, as it is recognised when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    digest: [u8; 16],
    valid_until: Timestamp,
}

impl SignedRequest {
    /// The request with this access key and this signature. The signature must be the one that the server computed, not
    /// the text that was sent: what can be written in two ways would be two requests. `valid_until` must be a function of
    /// what is signed.
    #[must_use]
    pub fn new(access_key: &str, signature: &[u8], valid_until: Timestamp) -> Self {
        let mut digest = [0; 16];
        let whole =
            Sha256::new().chain_update(access_key).chain_update([0]).chain_update(signature).finalize();
        digest.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        Self { digest, valid_until }
    }

    /// When its signature ends.
    pub(crate) fn valid_until(&self) -> Timestamp {
        self.valid_until
    }

    /// A number by which the `nth` of what it asks for is told from the others, and from all that other requests of its
    /// second ask for.
    pub(crate) fn number(&self, nth: usize) -> u64 {
        let whole = u128::from_be_bytes(self.digest);
        #[expect(clippy::cast_possible_truncation, reason = "one half and then the other")]
        let (first, step) = ((whole >> 64) as u64, whole as u64 | 1);
        // Whatever number of low bits is looked at, an odd step comes back to none of them before it was at all.
        first.wrapping_add(step.wrapping_mul(u64::try_from(nth).unwrap_or(u64::MAX)))
    }

    fn row(&self) -> SignedRow {
        SignedRow { digest: hex::encode(self.digest), valid_until: self.valid_until }
    }
}

/// Remembers the call's signature in `tx`.
///
/// # Errors
/// `Conflict` if it came before; [`Service::repeated`] may find its answer.
pub(crate) async fn remember(tx: &mut WriteTx, call: &Call) -> Result<()> {
    let Some(signed) = &call.signed else { return Ok(()) };
    let row = signed.row();
    if tx.remember_signed(&row).await? {
        return Ok(());
    }
    // One request may be carried out in several commits.
    let first = tx.first_outcome(&row).await?;
    if first.is_some_and(|first| first.request_id == *call.origin.request_id) {
        Ok(())
    } else {
        Err(repeated())
    }
}

/// The refusal of a request that came before.
pub(crate) fn repeated() -> Error {
    Error::conflict(REPEATED)
}

/// A request that came again, looked at where nobody else writes. It changes nothing.
pub(crate) struct Repeated {
    tx: WriteTx,
    first: FirstOutcome,
}

impl Service {
    /// Remembers a signed request that issues a session, for those who do not begin their change as others do. It
    /// shows a secret, so it is not answered a second time.
    ///
    /// # Errors
    /// `Conflict` if it came before; `Limited` if the account changes too much.
    pub(crate) async fn once(&self, tx: &mut WriteTx, call: &Call) -> Result<()> {
        if call.signed.is_some() {
            self.limiter.signed_change(call.account())?;
            remember(tx, call).await?;
        }
        Ok(())
    }

    /// Looks at the first of the equal requests of which `error` says that there was one.
    ///
    /// # Errors
    /// `error` itself if it says something else.
    pub(crate) async fn repeated(&self, call: &Call, error: Error) -> Result<Repeated> {
        let Some(signed) = call.signed.filter(|_| is_repeated(&error)) else { return Err(error) };
        let mut tx = self.store.write_observed(call.account()).await?;
        let first = tx.first_outcome(&signed.row()).await?.ok_or(error)?;
        Ok(Repeated { tx, first })
    }

    /// Forgets requests whose signatures have ended. Returns how many.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_signed_requests(&self) -> Result<u64> {
        self.store.forget_signed(self.now().plus_seconds(-SKEW_SECONDS), FORGOTTEN_AT_ONCE).await
    }
}

/// Whether a request was refused because an equal one was carried out.
pub(crate) fn is_repeated(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.message() == REPEATED
}

impl Repeated {
    /// The grant that the first request made.
    pub(crate) async fn created_grant(
        self,
        call: &Call,
        service: &Service,
        right: &Right<'_>,
    ) -> Result<Grant> {
        let id = self.made("bailiwick:grant:create", "grant")?;
        self.grant(call, &id, service, right).await
    }

    /// The grant as the first request left it, revoked or not.
    pub(crate) async fn grant(
        mut self,
        call: &Call,
        id: &str,
        service: &Service,
        right: &Right<'_>,
    ) -> Result<Grant> {
        let left = self.tx.grant_generation_at(&GrantId::stored(id), self.first.revision).await?;
        let grant = self.tx.grant(call.account(), id).await?;
        let grant = grant.filter(|grant| Some(grant.generation) == left);
        if let Some(grant) = &grant {
            service.may_write(&mut self.tx, call, right, &[&grant.spec]).await?;
        }
        self.end(grant).await
    }

    /// The direct permissions of a holder as the first request left them.
    pub(crate) async fn permissions(
        mut self,
        call: &Call,
        holder: &Principal,
        service: &Service,
    ) -> Result<Vec<Permission>> {
        let untouched =
            self.tx.permissions_revision(call.account(), &holder.id).await? <= self.first.revision;
        let held = self.tx.held_grants(call.account(), &holder.id).await?;
        let permissions = service.shown_permissions(&mut self.tx, call, holder, &held).await?;
        self.end(untouched.then_some(permissions)).await
    }

    /// That the first request took everything from a holder, who was given nothing directly since.
    pub(crate) async fn cleaned(mut self, call: &Call, holder: &str) -> Result<()> {
        let holder = crate::grants::permissions::find_holder(&mut self.tx, call, holder).await?;
        let untouched =
            self.tx.permissions_revision(call.account(), &holder.id).await? <= self.first.revision;
        let done = (untouched && self.first.action == "bailiwick:grant:delete").then_some(());
        self.end(done).await
    }

    /// The cluster that the first request registered.
    pub(crate) async fn created_cluster(mut self, call: &Call) -> Result<Cluster> {
        let id = ClusterId::stored(&self.untouched("bailiwick:cluster:create", "cluster").await?);
        let clusters = self.tx.clusters(call.account()).await?;
        self.end(clusters.into_iter().find(|cluster| cluster.id == id)).await
    }

    /// The principal that the first request made or changed.
    pub(crate) async fn principal(
        mut self,
        call: &Call,
        kind: PrincipalKind,
        action: &str,
    ) -> Result<Principal> {
        let id = self.untouched(action, kind.as_str()).await?;
        let found = self.tx.principal(call.account(), &id).await?;
        self.end(found).await
    }

    /// The agency that the first request made or changed.
    pub(crate) async fn agency(mut self, call: &Call, action: &str) -> Result<Agency> {
        let id = self.untouched(action, "agency").await?;
        let found = match self.tx.principal(call.account(), &id).await? {
            Some(principal) => Some(agencies::agency(&mut self.tx, principal).await?),
            None => None,
        };
        self.end(found).await
    }

    /// The association that the first request made or changed.
    pub(crate) async fn association(mut self, call: &Call, action: &str) -> Result<AssociationView> {
        let id = self.untouched(action, authz::ASSOCIATION).await?;
        let found = match self.tx.association(call.account(), &id).await? {
            Some(found) => Some(associations::view(&mut self.tx, found).await?),
            None => None,
        };
        self.end(found).await
    }

    /// That the user whom the first request put into a group is in it.
    pub(crate) async fn joined(mut self, call: &Call, group: Which<'_>, user: Which<'_>) -> Result<()> {
        let is_member = self.is_member(call, group, user).await?;
        let done = (self.first.action == groups::ADD && is_member).then_some(());
        self.end(done).await
    }

    /// That the user whom the first request took out of a group is not in it.
    pub(crate) async fn left(mut self, call: &Call, group: Which<'_>, user: Which<'_>) -> Result<()> {
        let is_member = self.is_member(call, group, user).await?;
        let done = (self.first.action == groups::REMOVE && !is_member).then_some(());
        self.end(done).await
    }

    async fn is_member(&mut self, call: &Call, group: Which<'_>, user: Which<'_>) -> Result<bool> {
        let (group, user) = groups::both(&mut self.tx, call, group, user).await?;
        self.tx.is_member(&group, &user).await
    }

    /// The access key that the first request changed.
    pub(crate) async fn access_key(mut self, action: &str) -> Result<AccessKey> {
        let id = self.untouched(action, "access-key").await?;
        let found = self.tx.access_key(&id).await?;
        self.end(found).await
    }

    /// That the first request deleted something, which nobody can undo.
    pub(crate) async fn deleted(self, action: &str) -> Result<()> {
        let done = (self.first.action == action).then_some(());
        self.end(done).await
    }

    /// The id of what the first request made or changed, if nothing was done to it since.
    async fn untouched(&mut self, action: &str, noun: &str) -> Result<String> {
        let id = self.made(action, noun)?;
        if self.tx.changed_since(&self.first.resource, self.first.revision).await? {
            return Err(repeated());
        }
        Ok(id)
    }

    fn made(&self, action: &str, noun: &str) -> Result<String> {
        let id = self.first.resource.strip_prefix(noun).and_then(|rest| rest.strip_prefix('/'));
        id.filter(|_| self.first.action == action).map(str::to_owned).ok_or_else(repeated)
    }

    /// Answers when the first request is durable: its work may be in a transaction that is not committed yet.
    async fn end<T>(self, found: Option<T>) -> Result<T> {
        self.tx.commit().await?;
        found.ok_or_else(repeated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_key_and_signature() {
        let until = Timestamp::from_millis(1);
        let one = SignedRequest::new("AK", b"0123", until);
        assert_eq!(one, SignedRequest::new("AK", b"0123", until));
        assert_ne!(one, SignedRequest::new("AK0", b"123", until));
        assert_ne!(one, SignedRequest::new("AK", b"0124", until));
    }
}
