//! Identity policies as things that people keep: creating, listing, showing, changing, deleting. Those that are shipped
//! are in every list and can be changed by nobody.

mod attachments;
mod versions;

use domain::{Error, Policy, PolicyId, Result, Timestamp};
use policy::Document;
use store::{Page, ReadTx, WriteTx};

pub use attachments::{AttachedPolicy, WhichPrincipal, WhichScope};
pub use store::Holder;
pub use versions::{Becomes, VersionView};

use crate::authz::{self, GRAMMARS, Right, Shipped, Thing};
use crate::call::Call;
use crate::directory::names;
use crate::directory::which::Which;
use crate::quotas::room;
use crate::service::{PageRequest, Paged, Service};

/// The longest description.
const MAX_DESCRIPTION: usize = 1000;
/// So many holders are named when a policy cannot be deleted because of them.
const NAMED_HOLDERS: i64 = 5;

/// Who wrote a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It comes with the program.
    Shipped,
    /// Somebody of the account.
    Own,
}

/// A policy without its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    /// Its id.
    pub id: PolicyId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who wrote it.
    pub origin: Origin,
    /// The version that counts.
    pub default_version: i64,
    /// How many hold it, counted once for each scope.
    pub attachments: i64,
    /// When it was created; `None` if it is shipped.
    pub created_at: Option<Timestamp>,
    /// When it was last changed; `None` if it is shipped.
    pub updated_at: Option<Timestamp>,
}

/// A policy to be created.
#[derive(Clone, Debug)]
pub struct NewPolicy {
    /// An id of one's own choice; 32 hex digits otherwise.
    pub id: Option<String>,
    /// Unique in the account, and no shipped policy's.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The document.
    pub document: String,
}

/// What is to change about a policy.
#[derive(Clone, Debug, Default)]
pub struct PolicyUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Another document, which becomes the default version.
    pub document: Option<String>,
}

/// Which policies a caller wants to see.
#[derive(Clone, Copy, Debug, Default)]
pub struct PolicyFilter {
    /// Only those.
    pub origin: Option<Origin>,
    /// Only those that somebody holds.
    pub attached: Option<Attached>,
}

/// That somebody holds a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached;

/// A policy that was found.
pub(crate) enum Found<'a> {
    /// One of the account's.
    Own(Policy),
    /// A shipped one.
    Shipped(&'a Shipped),
}

impl Found<'_> {
    pub(crate) fn id(&self) -> &PolicyId {
        match self {
            Self::Own(policy) => &policy.id,
            Self::Shipped(shipped) => &shipped.id,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Own(policy) => &policy.name,
            Self::Shipped(shipped) => &shipped.name,
        }
    }

    /// The policy, if it can be changed.
    fn own(self) -> Result<Policy> {
        match self {
            Self::Own(policy) => Ok(policy),
            Self::Shipped(shipped) => Err(Error::conflict(format!(
                "the policy `{}` is shipped and cannot be changed",
                shipped.name
            ))),
        }
    }

    fn view(&self, attachments: i64) -> PolicyView {
        match self {
            Self::Own(policy) => PolicyView {
                id: policy.id.clone(),
                name: policy.name.clone(),
                description: policy.description.clone(),
                origin: Origin::Own,
                default_version: policy.default_version,
                attachments,
                created_at: Some(policy.created_at),
                updated_at: Some(policy.updated_at),
            },
            Self::Shipped(shipped) => PolicyView {
                id: shipped.id.clone(),
                name: shipped.name.clone(),
                description: shipped.description.clone(),
                origin: Origin::Shipped,
                default_version: 1,
                attachments,
                created_at: None,
                updated_at: None,
            },
        }
    }
}

impl Service {
    /// Creates a policy with its first version. Nobody holds it yet.
    ///
    /// # Errors
    /// `Invalid` naming the field, also of the document; `Conflict` if the id was ever used, the name is taken, or the
    /// account may have no more.
    pub async fn create_policy(&self, call: &Call, new: NewPolicy) -> Result<PolicyView> {
        authz::require(call, "bailiwick:policy:create")?;
        self.check_name(&new.name)?;
        names::check_text("description", &new.description, MAX_DESCRIPTION)?;
        check_document(&new.name, &new.document)?;
        if let Some(id) = new.id.as_deref().filter(|id| self.settings.vocabulary.shipped_named(id).is_some())
        {
            return Err(Error::conflict(format!("`{id}` is a policy that is shipped")));
        }
        let now = self.now();
        let policy = Policy {
            id: self.chosen_or_new(new.id.as_deref())?,
            account: call.account().clone(),
            name: new.name,
            description: new.description,
            default_version: 1,
            last_version: 1,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.begin(call).await?;
        let have = tx.count_policies_of(call.account()).await?;
        room("policies", have, self.settings.quotas.policies)?;
        tx.insert_policy(&policy, &new.document).await?;
        self.commit(tx, call, "bailiwick:policy:create", &format!("policy/{}", policy.id)).await?;
        Ok(Found::Own(policy).view(0))
    }

    /// A page of the policies: those that are shipped, then those of the account.
    ///
    /// # Errors
    /// `Invalid` naming `limit` or `cursor`.
    pub async fn list_policies(
        &self,
        call: &Call,
        filter: PolicyFilter,
        page: &PageRequest,
    ) -> Result<Paged<PolicyView>> {
        authz::require(call, "bailiwick:policy:list")?;
        let mut tx = self.store.read().await?;
        let counts = tx.attachment_counts(call.account()).await?;
        let own = tx.policies(call.account(), &Page { after: None, limit: i64::MAX }).await?;
        tx.end().await?;
        let mut shipped: Vec<&Shipped> = self.settings.vocabulary.shipped().iter().collect();
        shipped.sort_by(|one, other| one.id.cmp(&other.id));
        let all = shipped.into_iter().map(Found::Shipped).chain(own.into_iter().map(Found::Own));
        let views = all.map(|found| found.view(counts.get(found.id()).copied().unwrap_or_default()));
        let wanted = |view: &PolicyView| {
            filter.origin.is_none_or(|origin| view.origin == origin)
                && (filter.attached.is_none() || view.attachments > 0)
        };
        let wanted: Vec<PolicyView> = views.filter(wanted).collect();
        page.slice(&wanted, |view| {
            (view.created_at.unwrap_or(Timestamp::from_millis(0)), view.id.as_str().to_owned())
        })
    }

    /// A policy by id or name, with the version that counts.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn show_policy(
        &self,
        call: &Call,
        id_or_name: impl Into<Which<'_>>,
    ) -> Result<(PolicyView, VersionView)> {
        let right = authz::require_somewhere(call, "bailiwick:policy:show")?;
        let mut tx = self.store.read().await?;
        let found = self.permitted_policy(&mut tx, call, &right, id_or_name.into()).await?;
        let attachments = tx.attachment_counts(call.account()).await?.get(found.id()).copied();
        let versions = versions::of(&mut tx, &found).await?;
        tx.end().await?;
        let version = versions.into_iter().find(|version| version.is_default);
        let version = version.ok_or_else(|| Error::internal("a policy has no default version"))?;
        Ok((found.view(attachments.unwrap_or_default()), version))
    }

    /// Changes a policy. Another document becomes the version that counts, for everybody who holds the policy.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Invalid` naming the field; `Conflict` for a shipped one, a taken name, or too many
    /// versions; `Forbidden` if the document would give somebody more than the caller has.
    pub async fn update_policy(
        &self,
        call: &Call,
        id_or_name: impl Into<Which<'_>>,
        update: PolicyUpdate,
    ) -> Result<PolicyView> {
        let right = authz::require_somewhere(call, "bailiwick:policy:update")?;
        if let Some(description) = &update.description {
            names::check_text("description", description, MAX_DESCRIPTION)?;
        }
        let mut tx = self.begin(call).await?;
        let mut policy = self.permitted_policy(&mut tx, call, &right, id_or_name.into()).await?.own()?;
        if let Some(name) = update.name.filter(|name| *name != policy.name) {
            self.check_name(&name)?;
            policy.name = name;
        }
        policy.description = update.description.unwrap_or(policy.description);
        policy.updated_at = self.now();
        match update.document {
            None => tx.update_policy(&policy).await?,
            Some(document) => {
                self.add_version(&mut tx, call, &mut policy, &document, versions::Becomes::Default).await?;
            }
        }
        let attachments = tx.attachment_counts(call.account()).await?.get(&policy.id).copied();
        self.commit(tx, call, "bailiwick:policy:update", &format!("policy/{}", policy.id)).await?;
        Ok(Found::Own(policy).view(attachments.unwrap_or_default()))
    }

    /// Deletes a policy that nobody holds, with its versions. The id is never given again.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` for a shipped one, and while somebody holds it.
    pub async fn delete_policy(&self, call: &Call, id_or_name: impl Into<Which<'_>>) -> Result<()> {
        let right = authz::require_somewhere(call, "bailiwick:policy:delete")?;
        let mut tx = self.begin(call).await?;
        let policy = self.permitted_policy(&mut tx, call, &right, id_or_name.into()).await?.own()?;
        unless_held(&mut tx, call, &policy).await?;
        tx.delete_policy(&policy.id).await?;
        self.commit(tx, call, "bailiwick:policy:delete", &format!("policy/{}", policy.id)).await
    }

    /// The policy of that id or name, the account's own first, if the right holds for it.
    pub(super) async fn permitted_policy(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        right: &Right<'_>,
        which: Which<'_>,
    ) -> Result<Found<'_>> {
        let found = self.policy_named(tx, call, which).await?;
        right.on(&Thing::policy(found.id(), found.name()))?;
        Ok(found)
    }

    /// The policy that is meant, the account's own first.
    pub(crate) async fn policy_named(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        which: Which<'_>,
    ) -> Result<Found<'_>> {
        let is_meant = |id: &PolicyId| match which {
            Which::Id(text) => id.as_str() == text,
            Which::IdOrName(_) => true,
        };
        let own = tx.policy_named(call.account(), which.text()).await?;
        if let Some(own) = own.filter(|policy| is_meant(&policy.id)) {
            return Ok(Found::Own(own));
        }
        let shipped = self.settings.vocabulary.shipped_named(which.text());
        let shipped = shipped.filter(|shipped| is_meant(&shipped.id));
        shipped.map(Found::Shipped).ok_or_else(|| Error::not_found("policy", which.text()))
    }

    fn check_name(&self, name: &str) -> Result<()> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || " _+=.,@-".contains(c);
        if name.is_empty() || name.len() > 128 || name.trim() != name || !name.chars().all(allowed) {
            return Err(Error::invalid(
                "name",
                "must be 1 to 128 letters, digits, spaces or `_ + = . , @ -`, without space at either end",
            ));
        }
        match self.settings.vocabulary.shipped_named(name) {
            Some(_) => Err(Error::conflict(format!("`{name}` is a policy that is shipped"))),
            None => Ok(()),
        }
    }
}

/// A document that is to be kept must be in order; the error names the field within it.
pub(super) fn check_document(name: &str, text: &str) -> Result<()> {
    match Document::parse(name, text, &GRAMMARS) {
        Ok(_) => Ok(()),
        Err(error) => {
            let field = match error.field() {
                Some(field) => format!("document.{field}"),
                None => "document".to_owned(),
            };
            Err(error.at_field(&field))
        }
    }
}

async fn unless_held(tx: &mut WriteTx, call: &Call, policy: &Policy) -> Result<()> {
    let page = Page { after: None, limit: NAMED_HOLDERS };
    let holders = tx.holders_page(call.account(), &policy.id, &page).await?;
    if holders.is_empty() {
        return Ok(());
    }
    let named: Vec<String> =
        holders.iter().map(|holder| format!("{} `{}`", holder.kind, holder.name)).collect();
    let count = tx.attachment_counts(call.account()).await?.get(&policy.id).copied().unwrap_or_default();
    let more = if count > NAMED_HOLDERS { " and others" } else { "" };
    Err(Error::conflict(format!(
        "the policy `{}` is attached to {}{more}: detach it first",
        policy.name,
        named.join(", ")
    )))
}
