//! Assuming an agency: a session that acts as it, of its account, derived from whoever asks.

use std::sync::Arc;

use domain::{AccountId, Error, Principal, PrincipalKind, Result, Timestamp};
use policy::Document;
use store::{AgencyDetails, Ancestor, ReadTx, WriteTx};

use crate::authz::GRAMMARS;
use crate::authz::trust::{self, Wish};
use crate::call::{Call, Caller, Tag};
use crate::service::Service;
use crate::sessions::session_tags;
use crate::sessions::temporary_keys::TemporaryKey;
use crate::sessions::tokens::{IssuedToken, LIFETIME_SECONDS, Scope, named_account, scoped_project};
use crate::sessions::{NewSession, SessionKind, ancestors, ended, no_later_than};

/// The longest session that begins with a temporary key, in seconds.
pub const LONGEST_CHAINED: i64 = 3600;

/// A wish to assume an agency.
#[derive(Clone, Debug, Default)]
pub struct Assumption {
    /// The id of the agency's account, if it was given by id.
    pub account_id: Option<String>,
    /// The name of the agency's account, if it was given by name.
    pub account_name: Option<String>,
    /// The agency's name.
    pub agency: String,
    /// What the session is to be called.
    pub session_name: String,
    /// How long it is to be; as long as the agency and the caller's own session let it if nothing is said.
    pub seconds: Option<i64>,
    /// Texts of policies that limit it, of which at least one must allow; none if it is not to be limited.
    pub limits: Vec<String>,
    /// Ids or names of policies of the agency's account that limit it as well, as if their texts were given.
    pub policies: Vec<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Who is behind it.
    pub source_identity: Option<String>,
    /// A word by which the agency's trust may know for whom it is asked.
    pub external_id: Option<String>,
}

/// An agency that was assumed.
#[derive(Debug)]
pub struct Assumed {
    /// The agency.
    pub agency: Principal,
    /// What the session is called.
    pub session_name: String,
    /// Who is behind it; empty if nobody said so.
    pub source_identity: String,
    /// The key.
    pub key: TemporaryKey,
}

impl Service {
    /// A temporary key of an agency, perhaps of another account. It ends with everything that the caller's credential
    /// ends with.
    ///
    /// # Errors
    /// `Forbidden` if there is no such agency or it may not be assumed; `Invalid` naming what is wrong with the wish.
    pub async fn assume_agency(&self, call: &Call, wish: &Assumption) -> Result<Assumed> {
        let mut begun = self.begin_assuming(call, wish, SessionKind::TemporaryKey, LONGEST_CHAINED).await?;
        let (agency, new) = (begun.agency, begun.new);
        let (session_name, source_identity) = (new.name.clone(), new.source_identity.clone());
        let session = self.begin_session(&mut begun.tx, new, &begun.ancestors).await?;
        let resource = format!("agency/{}/temporary-key/{}", agency.id, session.session.id);
        let key = self.key_of(&mut begun.tx, session).await?;
        self.commit(begun.tx, call, trust::ACTION, &resource).await?;
        self.note_abroad(call, &agency, &resource).await?;
        Ok(Assumed { agency, session_name, source_identity, key })
    }

    /// A token of an agency. The scope names things of the agency's account.
    ///
    /// # Errors
    /// As [`Service::assume_agency`].
    pub async fn assume_agency_for_token(
        &self,
        call: &Call,
        wish: &Assumption,
        scope: &Scope,
    ) -> Result<IssuedToken> {
        let mut begun = self.begin_assuming(call, wish, SessionKind::Token, LIFETIME_SECONDS).await?;
        let agency = self.caller(&mut begun.tx, &begun.agency.account, &begun.agency.id).await?;
        let agency = agency.ok_or_else(ended)?;
        begun.new.project = scoped_project(&mut begun.tx, &agency, scope).await?.map(|project| project.id);
        let issued = self.store_token(begun.tx, call, begun.new, &begun.ancestors).await?;
        let resource = format!("agency/{}/token/{}", begun.agency.id, issued.view.id);
        self.note_abroad(call, &begun.agency, &resource).await?;
        Ok(issued)
    }

    /// Everything up to the point where the session begins: it is allowed, and known what it comes from.
    async fn begin_assuming(
        &self,
        call: &Call,
        wish: &Assumption,
        kind: SessionKind,
        seconds: i64,
    ) -> Result<Begun> {
        // Before anything is looked up: what is wrong with them must not tell whether there is such an agency.
        let traits = Traits::new(&call.caller, wish)?;
        let mut tx = self.store.read().await?;
        let account =
            named_account(&mut tx, wish.account_id.as_deref(), wish.account_name.as_deref()).await?;
        let Some(account) = account.map(|account| account.id) else {
            return Err(trust::unknown(&call.caller, None, &wish.agency));
        };
        let wished = Wished { account: &account, wish, traits: &traits, kind, seconds };
        // Only who may come takes a turn among the writers of the account, which may be another one.
        self.decided(&mut tx, call, &wished).await?;
        tx.end().await?;
        let mut tx = self.store.write_grants(&account).await?;
        let (agency, new, ancestors) = self.decided(&mut tx, call, &wished).await?;
        self.once(&mut tx, call).await?;
        Ok(Begun { tx, agency, new, ancestors })
    }

    /// The agency, the session as which it may be assumed as far as `tx` sees, and what that comes from.
    async fn decided(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        wished: &Wished<'_>,
    ) -> Result<(Principal, NewSession, Vec<Ancestor>)> {
        let Wished { account, wish, traits, kind, seconds } = *wished;
        let unknown = || trust::unknown(&call.caller, Some(account), &wish.agency);
        let now = self.now();
        let mut all = ancestors(tx, &call.caller, now).await?;
        let call = self.again(tx, call).await?;
        let found = tx.principal_by_name(account, PrincipalKind::Agency, &wish.agency).await?;
        let agency = found.ok_or_else(unknown)?;
        let details = tx.agency_details(&agency.id).await?;
        if details.expires_at.is_some_and(|end| end <= now) {
            return Err(unknown());
        }
        let external_id = wish.external_id.as_deref();
        trust::require(&Wish { call: &call, agency: &agency, details: &details, traits, external_id })?;
        all.push(tx.principal_as_ancestor(account, &agency.id).await?.ok_or_else(unknown)?);
        let new = NewSession {
            kind,
            account: account.clone(),
            principal: agency.id.clone(),
            project: None,
            name: traits.name.clone(),
            methods: vec!["assume_role".to_owned()],
            assumer: Some(call.caller.principal.clone()),
            limits: self.limits(tx, account, wish).await?,
            tags: traits.tags.clone(),
            source_identity: traits.source_identity.clone(),
            expires_at: self.end(&call.caller, wish, &details, seconds)?,
        };
        Ok((agency, new, all))
    }

    /// When the session ends at the latest.
    fn end(
        &self,
        caller: &Caller,
        wish: &Assumption,
        details: &AgencyDetails,
        seconds: i64,
    ) -> Result<Timestamp> {
        let longest = details.max_session_seconds;
        if wish.seconds.is_some_and(|seconds| seconds > longest) {
            let message = format!("must be at most {longest}, the longest session of this agency");
            return Err(Error::invalid("seconds", message));
        }
        let is_chained = caller.session().is_some_and(|parent| parent.kind == SessionKind::TemporaryKey);
        if is_chained && wish.seconds.is_some_and(|seconds| seconds > LONGEST_CHAINED) {
            let message = format!("must be at most {LONGEST_CHAINED} when a temporary key asks");
            return Err(Error::invalid("seconds", message));
        }
        let until = self.now().plus_seconds(wish.seconds.unwrap_or(seconds).min(longest));
        let until = details.expires_at.map_or(until, |end| end.min(until));
        Ok(no_later_than(caller, until))
    }

    /// The texts that limit the session. Policies of the account are taken as they are now: a session is not widened by
    /// who changes them later.
    async fn limits(
        &self,
        tx: &mut ReadTx,
        account: &AccountId,
        wish: &Assumption,
    ) -> Result<Vec<Vec<String>>> {
        let mut set = wish.limits.clone();
        for named in &wish.policies {
            let text = match self.settings.vocabulary.shipped_named(named) {
                Some(shipped) => Some(shipped.text.clone()),
                None => policy_text(tx, account, named).await?,
            };
            set.push(
                text.ok_or_else(|| Error::invalid("policy_ids", format!("policy `{named}` does not exist")))?,
            );
        }
        check_limits(&set)?;
        Ok(if set.is_empty() { Vec::new() } else { vec![set] })
    }

    /// The call with the rights that its caller has now: they may have lost some while the request was waiting.
    async fn again(&self, tx: &mut ReadTx, call: &Call) -> Result<Call> {
        let (former, proof) = (&call.caller, call.caller.proof.clone());
        let now = self.caller(tx, &former.account, &former.principal).await?.ok_or_else(ended)?;
        let now = now.within(former.rights.limits.clone());
        Ok(Call { caller: Arc::new(Caller { proof, ..now }), ..call.clone() })
    }

    /// Writes down in the caller's own account that they went into another one. If that cannot be written, nobody is
    /// told what was issued.
    async fn note_abroad(&self, call: &Call, agency: &Principal, resource: &str) -> Result<()> {
        if agency.account == *call.account() {
            return Ok(());
        }
        let resource = format!("account/{}/{resource}", agency.account);
        let event = self.event(call, trust::ACTION, &resource);
        self.store.append_audit(&[(Some(call.account().clone()), event)]).await
    }
}

async fn policy_text(tx: &mut ReadTx, account: &AccountId, named: &str) -> Result<Option<String>> {
    let Some(policy) = tx.policy_named(account, named).await? else { return Ok(None) };
    let versions = tx.policy_versions(&policy.id).await?;
    let counts = versions.into_iter().find(|version| version.version == policy.default_version);
    Ok(counts.map(|version| version.document))
}

/// Refuses texts that are no policies: one that cannot be read denies everything, which nobody means.
pub(crate) fn check_limits(texts: &[String]) -> Result<()> {
    for text in texts {
        Document::parse("session policy", text, &GRAMMARS).map_err(|error| {
            let field = match error.field() {
                None | Some("") => "policy".to_owned(),
                Some(field) => format!("policy.{field}"),
            };
            error.at_field(&field)
        })?;
    }
    Ok(())
}

/// What a session will have that is chosen or inherited, and that conditions may ask about.
pub(crate) struct Traits {
    /// What it is called; empty if nothing.
    pub(crate) name: String,
    /// Its tags, inherited ones included.
    pub(crate) tags: Vec<Tag>,
    /// Who is behind it; empty if nobody ever said so.
    pub(crate) source_identity: String,
}

impl Traits {
    fn new(caller: &Caller, wish: &Assumption) -> Result<Self> {
        let inherited = caller.session().map(|parent| parent.tags.as_slice()).unwrap_or_default();
        Ok(Self {
            name: wish.session_name.clone(),
            tags: session_tags::of(inherited, &wish.tags)?,
            source_identity: source_identity(caller, wish)?,
        })
    }
}

/// A wish of which it is known about which account it is.
#[derive(Clone, Copy)]
struct Wished<'a> {
    account: &'a AccountId,
    wish: &'a Assumption,
    traits: &'a Traits,
    kind: SessionKind,
    seconds: i64,
}

/// A session that may begin.
struct Begun {
    tx: WriteTx,
    agency: Principal,
    new: NewSession,
    ancestors: Vec<Ancestor>,
}

/// Who is behind the session. Once it was said it stays so, down the whole chain.
fn source_identity(caller: &Caller, wish: &Assumption) -> Result<String> {
    let said = caller.session().map(|session| session.source_identity.as_str()).unwrap_or_default();
    match &wish.source_identity {
        None => Ok(said.to_owned()),
        Some(wanted) if said.is_empty() || wanted == said => Ok(wanted.clone()),
        Some(_) => Err(Error::invalid("source_identity", "must stay what the caller's own session says")),
    }
}
