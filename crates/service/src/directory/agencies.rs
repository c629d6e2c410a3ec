//! Agencies: whom they trust, how long their sessions may be, until when they can be assumed.

use domain::{AccountId, Error, Principal, PrincipalKind, Result, Timestamp};
use policy::{Document, Grammar};
pub use store::AgencyDetails;
use store::ReadTx;

use crate::authz;
use crate::call::Call;
use crate::directory::principals::{MAX_DESCRIPTION, NewPrincipal, PrincipalUpdate};
use crate::directory::which::Which;
use crate::quotas::room;
use crate::service::{PageRequest, Paged, Service};

/// The languages of trust policies.
const GRAMMARS: [Grammar; 2] = [Grammar::IdentityTrust, Grammar::ClassicTrust];

const CREATE: &str = "bailiwick:agency:create";
const UPDATE: &str = "bailiwick:agency:update";
const SET_TRUST: &str = "bailiwick:agency:setTrustPolicy";

/// How long the longest session of an agency may be, in seconds.
const SESSION_SECONDS: std::ops::RangeInclusive<i64> = 900..=43_200;

/// An agency as others see it.
#[derive(Clone, Debug)]
pub struct Agency {
    /// What it shares with all principals.
    pub principal: Principal,
    /// What it has besides.
    pub details: AgencyDetails,
    /// The name of the account that it trusts, if that is an account of this installation.
    pub trusted_account_name: Option<String>,
}

/// An account that an agency is to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedAccount {
    /// By id. Whether there is such an account is not asked.
    Id(String),
    /// By name.
    Name(String),
}

/// What is to change about an agency, or to be said of a new one. What is `None` stays as it is; of a new one it is what
/// an agency has that trusts nobody.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AgencyUpdate {
    /// The document that says who may assume it; `Some(None)` for none any more.
    pub trust_policy: Option<Option<String>>,
    /// The account whose users may assume it; `Some(None)` for none any more.
    pub trusted_account: Option<Option<TrustedAccount>>,
    /// The longest session, in seconds.
    pub max_session_seconds: Option<i64>,
    /// A note.
    pub description: Option<String>,
    /// Where it is filed.
    pub path: Option<String>,
    /// From when on it cannot be assumed; `Some(None)` for never.
    pub expires_at: Option<Option<Timestamp>>,
}

impl AgencyUpdate {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What it takes: a trust policy alone, or in place of the trusted account, has an action of its own, and beside
    /// anything else takes both.
    fn action(&self, common: &PrincipalUpdate) -> &'static str {
        let Self { trust_policy, trusted_account, max_session_seconds, description, path, expires_at } = self;
        let more = matches!(trusted_account, Some(Some(_)))
            || (trusted_account.is_some() && trust_policy.is_none())
            || max_session_seconds.is_some()
            || description.is_some()
            || path.is_some()
            || expires_at.is_some()
            || common.name.is_some()
            || common.external_ids.is_some();
        if trust_policy.is_some() && !more { SET_TRUST } else { UPDATE }
    }

    fn check(&self) -> Result<()> {
        if let Some(Some(document)) = &self.trust_policy {
            Document::parse("trustPolicy", document, &GRAMMARS).map_err(inside_the_policy)?;
        }
        if let Some(Some(TrustedAccount::Id(id))) = &self.trusted_account {
            AccountId::parse("trustedAccount", id)?;
        }
        if self.max_session_seconds.is_some_and(|seconds| !SESSION_SECONDS.contains(&seconds)) {
            let (shortest, longest) = (SESSION_SECONDS.start(), SESSION_SECONDS.end());
            return Err(Error::invalid("maxSessionSeconds", format!("must be {shortest} to {longest}")));
        }
        if let Some(path) = &self.path {
            check_path(path)?;
        }
        let description = self.description.as_deref().unwrap_or_default();
        crate::directory::names::check_text("description", description, MAX_DESCRIPTION)
    }

    async fn apply(self, tx: &mut ReadTx, details: &mut AgencyDetails) -> Result<()> {
        if let Some(document) = self.trust_policy {
            details.trust_policy = document;
        }
        if let Some(account) = self.trusted_account {
            details.trusted_account = match account {
                Some(account) => Some(named_account(tx, account).await?),
                None => None,
            };
        }
        details.max_session_seconds = self.max_session_seconds.unwrap_or(details.max_session_seconds);
        if let Some(description) = self.description {
            details.description = description;
        }
        if let Some(path) = self.path {
            details.path = path;
        }
        details.expires_at = self.expires_at.unwrap_or(details.expires_at);
        Ok(())
    }
}

impl Service {
    /// Creates an agency with all that is said of it.
    ///
    /// # Errors
    /// As [`Service::create_principal`]; `Invalid` naming what breaks a rule.
    pub async fn create_agency(
        &self,
        call: &Call,
        new: NewPrincipal,
        update: AgencyUpdate,
    ) -> Result<Agency> {
        authz::require(call, CREATE)?;
        update.check()?;
        let (principal, _) = self.prepare_principal(call, new).await?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.agency(call, CREATE).await,
        };
        let have = tx.count_principals_of(call.account()).await?;
        room("users, groups and agencies together", have, self.settings.quotas.principals)?;
        self.may_be_called(&mut tx, call, &principal).await?;
        tx.insert_principal(&principal, None).await?;
        let mut details = AgencyDetails::default();
        update.apply(&mut tx, &mut details).await?;
        tx.set_agency_details(&principal.id, &details).await?;
        let agency = agency(&mut tx, principal).await?;
        let resource = format!("agency/{}", agency.principal.id);
        self.commit(tx, call, CREATE, &resource).await?;
        Ok(agency)
    }

    /// Changes an agency. Another trust changes who may assume it from then on; sessions that exist go on to their end.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Invalid` naming what breaks a rule; `Forbidden` for whoever has less rights than the
    /// agency.
    pub async fn update_agency(
        &self,
        call: &Call,
        which: Which<'_>,
        common: PrincipalUpdate,
        update: AgencyUpdate,
    ) -> Result<Agency> {
        let action = update.action(&common);
        authz::require(call, action)?;
        if update.trust_policy.is_some() {
            authz::require(call, SET_TRUST)?;
        }
        crate::directory::principals::check_update(PrincipalKind::Agency, &common)?;
        update.check()?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.agency(call, action).await,
        };
        let before = which.find(&mut tx, call.account(), PrincipalKind::Agency).await?;
        self.may_change(&mut tx, call, &before.id).await?;
        let after = self.with_update(&before, common)?;
        self.may_be_renamed(&mut tx, call, &before, &after).await?;
        tx.update_principal(&after).await?;
        if after.external_ids != before.external_ids {
            tx.replace_external_ids(&after).await?;
        }
        let mut details = tx.agency_details(&after.id).await?;
        update.apply(&mut tx, &mut details).await?;
        tx.set_agency_details(&after.id, &details).await?;
        let agency = agency(&mut tx, after).await?;
        let resource = format!("agency/{}", agency.principal.id);
        self.commit_for_fleet(tx, call, action, &resource).await?;
        Ok(agency)
    }

    /// An agency with all that is said of it.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn show_agency(&self, call: &Call, which: Which<'_>) -> Result<Agency> {
        authz::require(call, "bailiwick:agency:show")?;
        let mut tx = self.store.read().await?;
        let found = which.find(&mut tx, call.account(), PrincipalKind::Agency).await?;
        let found = agency(&mut tx, found).await?;
        tx.end().await?;
        Ok(found)
    }

    /// A page of the account's agencies.
    ///
    /// # Errors
    /// `Invalid` naming `limit` or `cursor`.
    pub async fn list_agencies(&self, call: &Call, page: &PageRequest) -> Result<Paged<Agency>> {
        authz::require(call, "bailiwick:agency:list")?;
        let mut tx = self.store.read().await?;
        let found = tx.principals(call.account(), PrincipalKind::Agency, &page.to_page()?).await?;
        let found = page.paged(found, |one| (one.created_at, one.id.as_str().to_owned()))?;
        let mut items = Vec::with_capacity(found.items.len());
        for principal in found.items {
            items.push(agency(&mut tx, principal).await?);
        }
        tx.end().await?;
        Ok(Paged { items, next: found.next })
    }
}

pub(crate) async fn agency(tx: &mut ReadTx, principal: Principal) -> Result<Agency> {
    let details = tx.agency_details(&principal.id).await?;
    let trusted_account_name = match &details.trusted_account {
        Some(id) => tx.account(id).await?.map(|account| account.name),
        None => None,
    };
    Ok(Agency { principal, details, trusted_account_name })
}

async fn named_account(tx: &mut ReadTx, named: TrustedAccount) -> Result<AccountId> {
    match named {
        TrustedAccount::Id(id) => AccountId::parse("trustedAccount", &id),
        TrustedAccount::Name(name) => match tx.account_by_name(&name).await? {
            Some(account) => Ok(account.id),
            None => Err(Error::invalid("trustedAccount", format!("names no account: `{name}`"))),
        },
    }
}

/// A path is empty, or parts that end in a slash: `team/backup/`.
fn check_path(path: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".,+@=_-".contains(c);
    let part = |part: &str| !part.is_empty() && part.chars().all(allowed);
    let valid = path.strip_suffix('/').is_some_and(|parts| parts.split('/').all(part));
    if path.is_empty() || (valid && path.len() <= 512) {
        return Ok(());
    }
    Err(Error::invalid(
        "path",
        "must be empty, or like `team/backup/`: parts of letters, digits or `. , + @ = _ -`",
    ))
}

/// The mistake in a trust policy, as one of the field that holds it.
fn inside_the_policy(error: Error) -> Error {
    let message = error.to_string();
    Error::invalid("trustPolicy", format!("is not acceptable: {message}"))
}
