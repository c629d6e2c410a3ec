//! Who may assume an agency: what its trust policy says, and what the policies of whoever asks say.
//!
//! The trust must allow it, always. So must the policies of who asks, but for one case: within the account, a trust that
//! names that very user or agency is enough by itself. One that names the whole account says that its administrators may
//! choose who; and a session within limits does nothing that they do not allow. A deny on either side refuses. The root user
//! of the agency's own account is bound by neither.

use domain::{Denial, Error, Principal, PrincipalKind, Result};
use policy::{ActsAs, Asker, Document, Effect, Grammar, Request};
use store::AgencyDetails;

use super::question;
use super::thing::Thing;
use crate::call::{Call, Caller};

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
    /// Condition keys of this request, and their values.
    pub(crate) facts: &'a [(String, String)],
}

/// Lets the wish pass.
///
/// # Errors
/// `Forbidden`, in the same words as [`refused`] says it of an agency that does not exist.
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
    let reasons = match is_own {
        true => {
            format!("the caller's policies {}, those of the agency's trust {}", named(theirs), named(its))
        }
        // Whom another account trusts is not for the caller's account to read.
        false => format!("the caller's policies {}; the other account decides too", named(theirs)),
    };
    Err(refused(&wish.agency.name, reasons))
}

/// The refusal of an agency that was called `name`.
pub(crate) fn refused(name: &str, reasons: String) -> Error {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    Error::denied(Denial { action: ACTION.to_owned(), resource: format!("agency/{shown}"), reasons })
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
    for (key, value) in wish.facts {
        request.context_mut().add(key, value.as_str());
    }
    Ok(request)
}

fn acts_as(caller: &Caller) -> ActsAs<'_> {
    let session = caller.session().map_or("", |session| session.name.as_str());
    match caller.kind {
        PrincipalKind::User | PrincipalKind::Group => ActsAs::User(&caller.name),
        PrincipalKind::Agency => ActsAs::Agency { name: &caller.name, session },
    }
}
