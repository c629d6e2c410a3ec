//! `auth.identity` and `auth.scope`: how a body says who asks, and for what. Tokens and temporary keys share it.

use domain::{Error, Result, Secret};
use service::{Assumption, Login, Scope};

use crate::json::Object;

/// One of the ways to say who asks.
pub(super) enum Identity {
    /// A name and a password.
    Password(Login),
    /// A token in the body.
    Token(Secret),
    /// Both halves of an access key in the body.
    KeyPair {
        /// The public half.
        access: String,
        /// The half that signs.
        secret: Secret,
    },
    /// An agency, by whoever proves who they are in the request's headers.
    Agency(Box<Assumption>),
}

/// Reads the one method of an identity; `welcome` are those that are known here.
pub(super) fn method(identity: &mut Object, welcome: &[&str]) -> Result<String> {
    let methods = identity.texts("methods")?;
    match methods.as_slice() {
        [one] if welcome.contains(&one.as_str()) => Ok(one.clone()),
        _ => {
            let known: Vec<String> = welcome.iter().map(|one| format!("[\"{one}\"]")).collect();
            Err(Error::invalid("auth.identity.methods", format!("must be {}", known.join(" or "))))
        }
    }
}

/// Reads an identity for a token.
pub(super) fn read(auth: &mut Object) -> Result<Identity> {
    let mut identity = auth.object("identity")?;
    match method(&mut identity, &["password", "token", "hw_ak_sk", "assume_role"])?.as_str() {
        "password" => Ok(Identity::Password(login(&mut identity)?)),
        "token" => Ok(Identity::Token(Secret::new(identity.object("token")?.text("id")?))),
        "hw_ak_sk" => {
            let mut pair = identity.object("hw_ak_sk")?;
            let access = pair.object("access")?.text("key")?;
            Ok(Identity::KeyPair { access, secret: Secret::new(pair.object("secret")?.text("key")?) })
        }
        _ => Ok(Identity::Agency(Box::new(agency(&mut identity.object("assume_role")?)?))),
    }
}

fn login(identity: &mut Object) -> Result<Login> {
    let mut user = identity.object("password")?.object("user")?;
    let password = Secret::new(user.text("password")?);
    if let Some(id) = user.optional_text("id")? {
        return Ok(Login::Id { user: id, password });
    }
    let name = user.text("name")?;
    let mut domain = user.object("domain")?;
    let (account_id, account_name) = (domain.optional_text("id")?, domain.optional_text("name")?);
    if account_id.is_none() && account_name.is_none() {
        return Err(Error::invalid("auth.identity.password.user.domain", "must hold `name` or `id`"));
    }
    Ok(Login::Name { account_id, account_name, user: name, password })
}

/// Reads which agency is to be assumed. `xrole_name` is an older spelling of its name.
pub(super) fn agency(role: &mut Object) -> Result<Assumption> {
    let agency = match role.optional_text("agency_name")? {
        Some(name) => name,
        None => role.optional_text("xrole_name")?.ok_or_else(|| role.missing("agency_name"))?,
    };
    let (account_id, account_name) = (role.optional_text("domain_id")?, role.optional_text("domain_name")?);
    if account_id.is_none() && account_name.is_none() {
        let message = "must hold `domain_id` or `domain_name`: the account of the agency";
        return Err(Error::invalid("auth.identity.assume_role", message));
    }
    Ok(Assumption { agency, account_id, account_name, ..Assumption::default() })
}

/// Reads the scope. A project wins over a domain; neither means the whole account.
pub(super) fn scope(auth: &mut Object) -> Result<Scope> {
    let Some(mut scope) = auth.optional_object("scope")? else { return Ok(Scope::Account { named: None }) };
    if let Some(mut project) = scope.optional_object("project")? {
        let named = match project.optional_text("id")? {
            Some(id) => id,
            None => project.text("name")?,
        };
        return Ok(Scope::Project { named });
    }
    match scope.optional_object("domain")? {
        None => Ok(Scope::Account { named: None }),
        Some(mut domain) => {
            let named = match domain.optional_text("id")? {
                Some(id) => id,
                None => domain.text("name")?,
            };
            Ok(Scope::Account { named: Some(named) })
        }
    }
}

/// An error of a use case, with the field's name as bodies have it.
pub(super) fn field_names(error: Error) -> Error {
    match error.field() {
        Some("scope.account") => error.at_field("auth.scope.domain"),
        Some("scope.project") => error.at_field("auth.scope.project"),
        Some("seconds") => error.at_field("auth.identity.assume_role.duration_seconds"),
        Some(field) if field == "policy" || field.starts_with("policy.") => {
            let field = format!("auth.identity.{field}");
            error.at_field(&field)
        }
        Some(_) | None => error,
    }
}
