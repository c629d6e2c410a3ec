//! `/v5/agencies/assume`: a temporary key of an agency. Every field is checked against the limits that the vendor
//! documents, and the error names them; a field that is not known is refused, because a misspelt `policy` would limit
//! nothing.

use domain::{Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::{Assumed, Assumption, Call, Tag};

use super::identity::assumed_urn;
use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const DURATION: std::ops::RangeInclusive<i64> = 900..=43_200;
const MOST_POLICIES: usize = 20;
const MOST_TAGS: usize = 20;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "POST",
        "/v5/agencies/assume",
        "sts.assumeAgency",
        "Issues a temporary access key of an agency.",
        BodyRule::Json,
        Handler::Authenticated(|app, call, input| Box::pin(assume(app, call, input))),
    )]
}

async fn assume(app: &App, call: Call, input: Input) -> Result<Reply> {
    let wish = read(input.json()?)?;
    let assumed = app.service.assume_agency(&call, &wish).await.map_err(|error| match error.field() {
        Some("seconds") => error.at_field("duration_seconds"),
        Some(_) | None => error,
    })?;
    Reply::json(StatusCode::OK, &Body::new(&assumed))
}

fn read(mut body: Object) -> Result<Assumption> {
    let (account, agency) = urn(&body.text("agency_urn")?)?;
    let session_name = body.text("agency_session_name")?;
    check("agency_session_name", &session_name, 2..=128, "_+=,.@-")?;
    let seconds = body.optional_integer("duration_seconds")?;
    if seconds.is_some_and(|seconds| !DURATION.contains(&seconds)) {
        return Err(Error::invalid("duration_seconds", "must be 900 to 43200"));
    }
    let external_id = body.optional_text("external_id")?;
    if let Some(id) = &external_id {
        check("external_id", id, 2..=1224, "_+=,.@:/-")?;
    }
    let source_identity = body.optional_text("source_identity")?;
    if let Some(identity) = &source_identity {
        check("source_identity", identity, 2..=64, "_+=,.@-")?;
    }
    let limits = policy(&mut body)?;
    let policies = policy_ids(&mut body)?;
    let tags = tags(&mut body)?;
    for refused in ["serial_number", "token_code", "provided_contexts"] {
        if body.take(refused).is_some() {
            return Err(Error::invalid(refused, "must be left out: it is not supported"));
        }
    }
    body.finish()?;
    Ok(Assumption {
        account_id: Some(account),
        account_name: None,
        agency,
        session_name,
        seconds,
        limits,
        policies,
        tags,
        source_identity,
        external_id,
    })
}

/// The account and the name of an agency: `iam::<account>:agency:<name>`, the name perhaps behind a path.
fn urn(text: &str) -> Result<(String, String)> {
    let wrong =
        || Error::invalid("agency_urn", "must be `iam::<account id>:agency:<name>`, at most 1500 long");
    let parts: Vec<&str> = text.splitn(5, ':').collect();
    let [service, region, account, kind, name] = parts.as_slice() else { return Err(wrong()) };
    if text.len() > 1500 || *service != "iam" || !region.is_empty() || *kind != "agency" {
        return Err(wrong());
    }
    let name = name.rsplit('/').next().unwrap_or_default();
    if account.is_empty() || account.len() > 64 || name.is_empty() {
        return Err(wrong());
    }
    Ok(((*account).to_owned(), name.to_owned()))
}

/// Letters, digits and `others`, so many of them.
fn check(field: &str, text: &str, length: std::ops::RangeInclusive<usize>, others: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    if length.contains(&text.chars().count()) && text.chars().all(allowed) {
        return Ok(());
    }
    let (from, to) = (length.start(), length.end());
    Err(Error::invalid(field, format!("must be {from} to {to} letters, digits or `{others}`")))
}

/// The session policy, a JSON document in a text.
fn policy(body: &mut Object) -> Result<Vec<String>> {
    let Some(text) = body.optional_text("policy")? else { return Ok(Vec::new()) };
    if (2..=4096).contains(&text.chars().count()) {
        return Ok(vec![text]);
    }
    Err(Error::invalid("policy", "must be a policy document of 2 to 4096 characters"))
}

fn policy_ids(body: &mut Object) -> Result<Vec<String>> {
    let ids = body.optional_texts("policy_ids")?.unwrap_or_default();
    let valid = ids.len() <= MOST_POLICIES && ids.iter().all(|id| (1..=64).contains(&id.len()));
    if valid {
        return Ok(ids);
    }
    Err(Error::invalid("policy_ids", format!("must be at most {MOST_POLICIES}, each 1 to 64 characters")))
}

fn tags(body: &mut Object) -> Result<Vec<Tag>> {
    let transitive = body.optional_texts("transitive_tag_keys")?.unwrap_or_default();
    let mut tags = Vec::new();
    for mut tag in body.objects("tags")? {
        let (key, value) = (tag.text("key")?, tag.optional_text("value")?.unwrap_or_default());
        tag.finish()?;
        let plain = |text: &str| !text.chars().any(char::is_control) && text.trim() == text;
        if !(1..=128).contains(&key.chars().count()) || !plain(&key) {
            return Err(Error::invalid("tags", "must have keys of 1 to 128 characters"));
        }
        if value.chars().count() > 255 || !plain(&value) {
            return Err(Error::invalid("tags", "must have values of at most 255 characters"));
        }
        tags.push(Tag { transitive: transitive.contains(&key), key, value });
    }
    if tags.len() > MOST_TAGS || transitive.len() > MOST_TAGS {
        return Err(Error::invalid("tags", format!("must be at most {MOST_TAGS}")));
    }
    match transitive.iter().find(|key| tags.iter().all(|tag| tag.key != **key)) {
        None => Ok(tags),
        Some(unknown) => {
            let message = format!("must name keys of `tags`, unlike `{unknown}`");
            Err(Error::invalid("transitive_tag_keys", message))
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    source_identity: &'a str,
    assumed_agency: AssumedAgency,
    credentials: Credentials<'a>,
}

#[derive(Serialize)]
struct AssumedAgency {
    urn: String,
    id: String,
}

#[derive(Serialize)]
struct Credentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    security_token: &'a str,
    expiration: String,
}

impl<'a> Body<'a> {
    fn new(assumed: &'a Assumed) -> Self {
        let (agency, session, key) = (&assumed.agency, &assumed.session_name, &assumed.key);
        Self {
            source_identity: &assumed.source_identity,
            assumed_agency: AssumedAgency {
                urn: assumed_urn(agency.account.as_str(), &agency.name, session),
                id: format!("{}:{session}", agency.id),
            },
            credentials: Credentials {
                access_key_id: key.id.as_str(),
                secret_access_key: key.secret.expose(),
                security_token: key.security_token.expose(),
                expiration: key.expires_at.format("%Y-%m-%dT%H:%M:%S.%3fZ"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::object;

    fn wish(more: &str) -> Result<Assumption> {
        let text = format!(
            r#"{{"agency_urn":"iam::acc:agency:build","agency_session_name":"s1"{}{more}}}"#,
            if more.is_empty() { "" } else { "," }
        );
        read(object(Some("application/json"), text.as_bytes()).unwrap())
    }

    #[test]
    fn every_field_that_breaks_its_documented_limits_is_named() {
        assert_eq!(wish("").unwrap().seconds, None);
        let long = |n: usize| "x".repeat(n);
        for (more, field) in [
            (r#""duration_seconds":899"#.to_owned(), "duration_seconds"),
            (r#""duration_seconds":43201"#.to_owned(), "duration_seconds"),
            (r#""duration_seconds":"900""#.to_owned(), "duration_seconds"),
            (r#""external_id":"x""#.to_owned(), "external_id"),
            (format!(r#""external_id":"{}""#, long(1225)), "external_id"),
            (r#""source_identity":"x""#.to_owned(), "source_identity"),
            (r#""policy":"x""#.to_owned(), "policy"),
            (format!(r#""policy":"{}""#, long(4097)), "policy"),
            (format!(r#""policy_ids":["{}"]"#, long(65)), "policy_ids"),
            (format!(r#""policy_ids":[{}"x"]"#, r#""x","#.repeat(20)), "policy_ids"),
            (r#""tags":[{"key":"","value":"v"}]"#.to_owned(), "tags"),
            (format!(r#""tags":[{{"key":"k","value":"{}"}}]"#, long(256)), "tags"),
            (r#""transitive_tag_keys":["k"]"#.to_owned(), "transitive_tag_keys"),
            (r#""serial_number":"123456789","token_code":"123456""#.to_owned(), "serial_number"),
            (r#""provided_contexts":[{}]"#.to_owned(), "provided_contexts"),
            (r#""Policy":"{}""#.to_owned(), "Policy"),
        ] {
            assert_eq!(wish(&more).unwrap_err().field(), Some(field), "{more:.60}");
        }
    }

    #[test]
    fn the_name_of_an_agency_says_which_account_it_is_of() {
        assert_eq!(urn("iam::acc:agency:build").unwrap(), ("acc".into(), "build".into()));
        assert_eq!(urn("iam::acc:agency:team/build").unwrap(), ("acc".into(), "build".into()));
        for bad in [
            "",
            "build",
            "iam::acc:user:build",
            "iam:eu:acc:agency:x",
            "sts::acc:agency:x",
            "iam:::agency:x",
            "iam::acc:agency:",
        ] {
            assert_eq!(urn(bad).unwrap_err().field(), Some("agency_urn"), "{bad}");
        }
    }
}
