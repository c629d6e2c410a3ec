//! Under which names people arrive in a cluster: what its authenticator calls them, which a binding must call them, too.

use std::fmt;

use crate::{Error, Principal, PrincipalKind, Result};

/// The most templates for one kind of name.
pub const MAX_TEMPLATES: usize = 5;
/// The longest template, and the longest name that may come of one, in bytes.
const MAX_LENGTH: usize = 512;
/// What no name may begin with: the cluster's own identities, and ours.
const RESERVED: [&str; 2] = ["system:", "bailiwick:"];

/// How one name of a principal is made: text with placeholders.
///
/// `{id}` and `{name}` are what they say; `{external.ISSUER}` is what that issuer calls the principal, one name for
/// each external id of that issuer. A principal without one has no name by that template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    Id,
    Name,
    External(String),
}

impl NameTemplate {
    /// `{id}`.
    #[must_use]
    pub fn by_id() -> Self {
        Self { text: "{id}".to_owned(), parts: vec![Part::Id] }
    }

    /// Reads a template.
    ///
    /// # Errors
    /// `Invalid` naming `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let invalid = |rule: String| Error::invalid(field, rule);
        if text.is_empty() || text.len() > MAX_LENGTH || text.chars().any(char::is_control) {
            return Err(invalid(format!("must be 1 to {MAX_LENGTH} bytes without control characters")));
        }
        if let Some(reserved) = reserved(text) {
            return Err(invalid(format!(
                "must not begin with `{reserved}`: such names are the cluster's own"
            )));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (placeholder, after) =
                after.split_once('}').ok_or_else(|| invalid("has a `{` without `}`".to_owned()))?;
            if !before.is_empty() {
                parts.push(Part::Text(literal(field, before)?));
            }
            parts.push(Part::parse(field, placeholder)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(literal(field, rest)?));
        }
        let count = |wanted: fn(&Part) -> bool| parts.iter().filter(|part| wanted(part)).count();
        if count(|part| matches!(part, Part::External(_))) > 1 {
            return Err(invalid("must have at most one `{external.…}`".to_owned()));
        }
        if count(|part| !matches!(part, Part::Text(_))) == 0 {
            return Err(invalid(
                "must hold `{id}`, `{name}` or `{external.ISSUER}`, or everybody would share one name"
                    .to_owned(),
            ));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Whether it is `{id}` and nothing else.
    #[must_use]
    pub fn is_by_id(&self) -> bool {
        self.parts == [Part::Id]
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of `principal` by this template; each may be refused, with the reason as the end of a sentence.
    pub fn names(&self, principal: &Principal) -> Vec<Result<String, String>> {
        let issuer = self.parts.iter().find_map(|part| match part {
            Part::External(issuer) => Some(issuer),
            Part::Text(_) | Part::Id | Part::Name => None,
        });
        let Some(issuer) = issuer else { return vec![self.name(principal, "")] };
        let of_issuer = principal.external_ids.iter().filter(|external| external.issuer == *issuer);
        of_issuer.map(|external| self.name(principal, &external.subject)).collect()
    }

    fn name(&self, principal: &Principal, external: &str) -> Result<String, String> {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Id => principal.id.as_str().to_owned(),
            Part::Name => principal.name.clone(),
            Part::External(_) => external.to_owned(),
        };
        let name: String = self.parts.iter().map(text).collect();
        if let Some(reserved) = reserved(&name) {
            return Err(format!("a name that begins with `{reserved}` is the cluster's own"));
        }
        if name.trim().is_empty() || name.chars().any(char::is_control) || name.len() > MAX_LENGTH {
            return Err(format!("by `{self}` the name would be empty, too long or unprintable"));
        }
        Ok(name)
    }
}

impl Part {
    fn parse(field: &str, placeholder: &str) -> Result<Self> {
        match placeholder.split_once('.') {
            None if placeholder == "id" => Ok(Self::Id),
            None if placeholder == "name" => Ok(Self::Name),
            Some(("external", issuer)) if !issuer.is_empty() => Ok(Self::External(issuer.to_owned())),
            None | Some(_) => {
                let message = format!(
                    "knows the placeholders `{{id}}`, `{{name}}` and `{{external.ISSUER}}`, not `{{{placeholder}}}`"
                );
                Err(Error::invalid(field, message))
            }
        }
    }
}

fn literal(field: &str, text: &str) -> Result<String> {
    if text.contains('}') {
        return Err(Error::invalid(field, "has a `}` without `{`"));
    }
    Ok(text.to_owned())
}

/// What `name` begins with and may not, because such names are the cluster's own, or ours.
pub(crate) fn reserved(name: &str) -> Option<&'static str> {
    RESERVED.into_iter().find(|reserved| name.starts_with(reserved))
}

impl fmt::Display for NameTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a group's grant binds in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupMembers {
    /// The group: who presents it when they arrive has it.
    #[default]
    AsPresented,
    /// The group and each of its members: for clusters whose people arrive by certificates, which name no groups.
    Bound,
}

impl GroupMembers {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::AsPresented, Self::Bound];

    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsPresented => "as-presented",
            Self::Bound => "bind",
        }
    }

    /// Reads [`GroupMembers::as_str`].
    ///
    /// # Errors
    /// `Invalid` naming `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|members| members.as_str() == text);
        found.ok_or_else(|| Error::invalid(field, "must be `as-presented` or `bind`"))
    }
}

/// Under which names people arrive in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The names of users and agencies; never empty.
    pub users: Vec<NameTemplate>,
    /// The names of groups; never empty.
    pub groups: Vec<NameTemplate>,
    /// What a group's grant binds.
    pub members: GroupMembers,
}

impl Default for Arrival {
    fn default() -> Self {
        let by_id = || vec![NameTemplate::by_id()];
        Self { users: by_id(), groups: by_id(), members: GroupMembers::default() }
    }
}

impl Arrival {
    /// Reads the templates of one kind; none means `{id}`.
    ///
    /// # Errors
    /// `Invalid` naming `field`.
    pub fn templates(field: &str, texts: &[String]) -> Result<Vec<NameTemplate>> {
        if texts.len() > MAX_TEMPLATES {
            return Err(Error::invalid(field, format!("must be at most {MAX_TEMPLATES}")));
        }
        if texts.is_empty() {
            return Ok(vec![NameTemplate::by_id()]);
        }
        let mut read =
            texts.iter().map(|text| NameTemplate::parse(field, text)).collect::<Result<Vec<_>>>()?;
        read.sort();
        read.dedup();
        Ok(read)
    }

    /// Whether everybody is named by their id, and nobody else's names must be known.
    #[must_use]
    pub fn is_by_id(&self) -> bool {
        let by_id = |templates: &[NameTemplate]| templates.iter().all(NameTemplate::is_by_id);
        by_id(&self.users) && by_id(&self.groups) && self.members == GroupMembers::AsPresented
    }

    /// The names of `principal`, and why it has not all of them, or none.
    #[must_use]
    pub fn names(&self, principal: &Principal) -> (Vec<String>, Option<String>) {
        let templates = match principal.kind {
            PrincipalKind::User | PrincipalKind::Agency => &self.users,
            PrincipalKind::Group => &self.groups,
        };
        let (mut names, mut refusal) = (Vec::new(), None);
        for made in templates.iter().flat_map(|template| template.names(principal)) {
            match made {
                Ok(name) => names.push(name),
                Err(why) => refusal = Some(why),
            }
        }
        names.sort();
        names.dedup();
        if names.is_empty() && refusal.is_none() {
            refusal = Some(format!("`{}` gives it no name", join(templates)));
        }
        (names, refusal)
    }

    /// How people log in, in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let groups = match self.members {
            GroupMembers::AsPresented => "who presents a group has what it was granted",
            GroupMembers::Bound => "members have what their groups were granted, without presenting a group",
        };
        format!(
            "users and agencies arrive as `{}`, groups as `{}`; {groups}",
            join(&self.users),
            join(&self.groups)
        )
    }
}

fn join(templates: &[NameTemplate]) -> String {
    templates.iter().map(NameTemplate::as_str).collect::<Vec<_>>().join("` or `")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, ExternalId, PrincipalId, Timestamp};

    fn ada() -> Principal {
        let external =
            |issuer: &str, subject: &str| ExternalId { issuer: issuer.into(), subject: subject.into() };
        Principal {
            id: PrincipalId::stored("u1"),
            account: AccountId::stored("a"),
            kind: PrincipalKind::User,
            name: "ada@example.org".into(),
            enabled: true,
            root: false,
            external_ids: vec![
                external("https://login.example/x", "ada"),
                external("corp", "1001"),
                external("corp", "1001-17"),
                external("evil", "system:masters"),
            ],
            description: String::new(),
            password_set_at: None,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
        }
    }

    fn names(templates: &[&str]) -> (Vec<String>, Option<String>) {
        let texts: Vec<String> = templates.iter().map(|text| (*text).to_owned()).collect();
        Arrival { users: Arrival::templates("f", &texts).unwrap(), ..Arrival::default() }.names(&ada())
    }

    #[test]
    fn a_principal_has_a_name_for_each_template_and_each_external_id() {
        for (templates, expected) in [
            (&["{id}"][..], &["u1"][..]),
            (&[], &["u1"]),
            (&["oidc:{name}"], &["oidc:ada@example.org"]),
            (&["{external.https://login.example/x}"], &["ada"]),
            (&["{external.corp}"], &["1001", "1001-17"]),
            (&["{id}", "{external.corp}@{id}", "{id}"], &["1001-17@u1", "1001@u1", "u1"]),
            (&["{external.nobody}", "{id}"], &["u1"]),
        ] {
            assert_eq!(
                names(templates),
                (expected.iter().map(|n| (*n).to_owned()).collect(), None),
                "{templates:?}"
            );
        }
    }

    #[test]
    fn nobody_becomes_an_identity_of_the_clusters_own() {
        for bad in ["system:{id}", "system:masters", "bailiwick:{name}"] {
            assert!(NameTemplate::parse("f", bad).is_err(), "{bad}");
        }
        let (found, refusal) = names(&["{external.evil}"]);
        assert!(found.is_empty() && refusal.unwrap().contains("`system:`"));
        let (found, refusal) = names(&["{external.evil}", "{id}"]);
        assert!(found == ["u1"] && refusal.is_some(), "the other name stays, and it is said");
    }

    #[test]
    fn who_has_no_name_is_told_why() {
        let (found, refusal) = names(&["{external.nobody}"]);
        assert!(found.is_empty() && refusal.unwrap().contains("{external.nobody}"));
        let blank = Principal { name: " ".into(), ..ada() };
        let template = NameTemplate::parse("f", "{name}").unwrap();
        assert!(template.names(&blank)[0].is_err());
    }

    #[test]
    fn templates_that_mean_nothing_or_two_things_are_refused() {
        for bad in [
            "",
            "everybody",
            "{id",
            "id}",
            "{}",
            "{Id}",
            "{external}",
            "{external.}",
            "{email}",
            "{id}\n",
            "{external.a}{external.b}",
            &"x".repeat(600),
        ] {
            assert_eq!(NameTemplate::parse("f", bad).unwrap_err().field(), Some("f"), "{bad}");
        }
        assert!(Arrival::templates("f", &vec!["{id}".to_owned(); 6]).is_err());
    }

    #[test]
    fn only_the_default_needs_no_names() {
        assert!(Arrival::default().is_by_id());
        let bound = Arrival { members: GroupMembers::Bound, ..Arrival::default() };
        let named =
            Arrival { users: vec![NameTemplate::parse("f", "{name}").unwrap()], ..Arrival::default() };
        assert!(!bound.is_by_id() && !named.is_by_id());
        assert!(bound.sentence().contains("without presenting") && named.sentence().contains("`{name}`"));
    }
}
