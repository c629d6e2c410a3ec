//! Who may assume an agency: what its trust policy says, and what the policies of whoever asks say.
//!
//! The trust must allow it, always. So must the policies of who asks, but for one case: within the account, a trust that
//! names that very user or agency is enough by itself. One that names the whole account says that its administrators may
//! choose who; and a session within limits does nothing that they do not allow. A deny on either side refuses. The root user
//! of the agency's own account is bound by neither, unless their session has limits.

use domain::{AccountId, Denial, Error, Missing, Principal, PrincipalKind, Result};
use policy::{ActsAs, Asker, Context, Document, Effect, Grammar, Request};
use store::AgencyDetails;

use super::question;
use super::thing::Thing;
use crate::call::{Call, Caller};
use crate::sessions::assuming::Traits;

/// What it takes to assume an agency.
pub(crate) const ACTION: &str = "bailiwick:agency:assume";

/// A wish to assume an agency.
pub(crate) struct Wish<'a> {
    /// Who wishes it, with the rights that they have now.
    pub(crate) call: &'a Call,
    /// The agency.
    pub(crate) agency: &'a Principal,
    /// Whom it trusts.
    pub(crate) details: &'a AgencyDetails,
    /// What the session will have.
    pub(crate) traits: &'a Traits,
    /// A word by which the trust may know for whom it is asked.
    pub(crate) external_id: Option<&'a str>,
}

/// What is said of an agency of another account, whether there is one, trusts others, or denies it: nobody there learns
/// which.
const ABROAD: &str =
    "the agency would be another account's: its trust and the caller's policies must both allow it";

/// Lets the wish pass.
///
/// # Errors
/// `Forbidden`, in the same words as [`unknown`] says it of an agency that does not exist.
pub(crate) fn require(wish: &Wish<'_>) -> Result<()> {
    let caller = &wish.call.caller;
    let is_own = caller.account == wish.agency.account;
    if is_own && caller.root {
        return Ok(());
    }
    let (theirs, its) = (of_asker(wish)?, of_agency(wish, Names::All)?);
    let allowed = match (theirs, its) {
        (Effect::ExplicitDeny, _) | (_, Effect::ExplicitDeny | Effect::DefaultDeny) => false,
        (Effect::Allow, Effect::Allow) => true,
        (Effect::DefaultDeny, Effect::Allow) => {
            is_own && caller.rights.limits.is_empty() && of_agency(wish, Names::Own)? == Effect::Allow
        }
    };
    if allowed {
        return Ok(());
    }
    let named = |effect| match effect {
        Effect::Allow => "allow it",
        Effect::ExplicitDeny => "deny it",
        Effect::DefaultDeny => "do not allow it",
    };
    let reasons =
        format!("the caller's policies {}, those of the agency's trust {}", named(theirs), named(its));
    Err(refused(caller, &wish.agency.account, (&wish.agency.name, reasons)))
}

/// The refusal of an agency that does not exist, or is not one any more.
pub(crate) fn unknown(caller: &Caller, account: Option<&AccountId>, name: &str) -> Error {
    let own = "there is no such agency, or it ended".to_owned();
    refused(caller, account.unwrap_or(&AccountId::stored("")), (name, own))
}

/// The refusal of an agency that was called `name`, with the reasons if they are the account's own.
fn refused(caller: &Caller, account: &AccountId, (name, reasons): (&str, String)) -> Error {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    let reasons = if *account == caller.account { reasons } else { ABROAD.to_owned() };
    Error::denied(Denial {
        action: ACTION.to_owned(),
        resource: format!("agency/{shown}"),
        reasons,
        missing: Missing::Policy,
    })
}

/// What the policies of who asks say.
fn of_asker(wish: &Wish<'_>) -> Result<Effect> {
    if wish.call.caller.root {
        return Ok(Effect::Allow);
    }
    let thing = Thing::principal(wish.agency);
    Ok(question::effect_of(&wish.call.caller.rights, &thing, &request(wish, &thing)?))
}

/// By which names an agency may know who asks.
#[derive(Clone, Copy)]
enum Names {
    /// All of them, those of the account included.
    All,
    /// Those that nobody else has.
    Own,
}

/// What the agency's trust says to who asks under those names.
fn of_agency(wish: &Wish<'_>, names: Names) -> Result<Effect> {
    let details = wish.details;
    let thing = Thing::principal(wish.agency);
    let said = match &details.trust_policy {
        None => Effect::DefaultDeny,
        Some(text) => {
            let document = Document::stored("trust policy", text, &Grammar::TRUST);
            let caller = &wish.call.caller;
            let asker = Asker { account: caller.account.as_str(), acts_as: acts_as(caller) };
            let request = request(wish, &thing)?;
            let request = match names {
                Names::All => request.asked_by_somebody(&asker),
                Names::Own => request.asked_by_that_very(&asker),
            };
            policy::effect(&[&document], &request)
        }
    };
    let trusted = match names {
        Names::All => details.trusted_account.as_ref() == Some(&wish.call.caller.account),
        Names::Own => false,
    };
    Ok(if said == Effect::DefaultDeny && trusted { Effect::Allow } else { said })
}

fn request(wish: &Wish<'_>, thing: &Thing<'_>) -> Result<Request> {
    let mut request = question::request(wish.call, &wish.call.caller.rights, super::known(ACTION)?, thing);
    add_facts(request.context_mut(), wish);
    Ok(request)
}

/// What conditions may ask about the session that is to begin, in every language: what it will have, not what was asked
/// for, so that neither the door nor what is inherited makes a difference. What is empty is absent.
fn add_facts(context: &mut Context, wish: &Wish<'_>) {
    let session = wish.traits;
    let external_id = wish.external_id.unwrap_or_default();
    for (key, value) in [
        ("sts:AgencySessionName", session.name.as_str()),
        ("sts:RoleSessionName", session.name.as_str()),
        ("sts:SourceIdentity", session.source_identity.as_str()),
        ("sts:ExternalId", external_id),
    ] {
        if !value.is_empty() {
            context.add(key, value);
        }
    }
    for tag in &session.tags {
        for prefix in ["g:RequestTag/", "acs:RequestTag/"] {
            context.add(&format!("{prefix}{}", tag.key), tag.value.as_str());
        }
        context.add("g:TagKeys", tag.key.as_str());
        if tag.transitive {
            context.add("sts:TransitiveTagKeys", tag.key.as_str());
        }
    }
}

fn acts_as(caller: &Caller) -> ActsAs<'_> {
    let session = caller.session().map_or("", |session| session.name.as_str());
    match caller.kind {
        PrincipalKind::User | PrincipalKind::Group => ActsAs::User(&caller.name),
        PrincipalKind::Agency => ActsAs::Agency { name: &caller.name, session },
    }
}
