//! Whom a document names. Not who is trusted now, which takes a request, but who could come to be: conditions may be met
//! another time, and a deny may be taken back.

use crate::asker::{ActsAs, Asker};
use crate::document::Document;
use crate::principals::Principals;
use crate::request::{Context, Request};
use crate::resource::Resource;
use crate::statement::{Does, Reading, Statement};

/// The kind of principals that are services.
pub(crate) const SERVICE: &str = "Service";

/// How a trust policy speaks about somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Naming {
    /// Not at all, or not otherwise than about everybody of their account.
    NotAtAll,
    /// About those of their account who meet its conditions.
    Conditionally,
    /// By their own name, or it leaves others out by theirs.
    ByName,
}

impl Document {
    /// How the allows of this trust policy speak about somebody, at most. Of an agency every session counts.
    #[must_use]
    pub fn may_trust(&self, account: &str, acts_as: ActsAs<'_>) -> Naming {
        let names = Names::of(account, acts_as);
        let allows = self.statements.iter().filter(|one| one.does == Does::Allow);
        let whole = allows.filter(|one| one.reading == Reading::Whole);
        whole.map(|statement| names.in_statement(statement)).max().unwrap_or(Naming::NotAtAll)
    }

    /// Whether any statement of this trust policy, a deny as well, calls somebody by their own name.
    #[must_use]
    pub fn names_somebody(&self, account: &str, acts_as: ActsAs<'_>) -> bool {
        let names = Names::of(account, acts_as);
        self.statements.iter().any(|statement| match &statement.principals {
            Principals::In(listed) | Principals::NotIn(listed) => {
                listed.iter().any(|name| names.are_own(name))
            }
            Principals::Attached | Principals::Unreadable => false,
        })
    }

    /// Whether an allow of this trust policy is about the service of that name, whatever its actions and conditions, and
    /// also if the rest of it cannot be read.
    #[must_use]
    pub fn allows_name_service(&self, service: &str) -> bool {
        let allows = self.statements.iter().filter(|one| one.does == Does::Allow);
        allows.into_iter().any(|statement| match &statement.principals {
            Principals::In(listed) => listed.iter().any(|(kind, name)| kind == SERVICE && name == service),
            Principals::Attached | Principals::NotIn(_) | Principals::Unreadable => false,
        })
    }

    /// Whether a condition compares `key` with something that `text` meets, be it to allow, to deny, or negated.
    #[must_use]
    pub fn compares(&self, key: &str, text: &str) -> bool {
        let mut conditions = self.statements.iter().flat_map(|statement| &statement.conditions);
        conditions.any(|condition| condition.compares(key, text))
    }
}

/// What somebody is called in trust policies.
struct Names {
    own: Vec<(String, String)>,
    account: Vec<(String, String)>,
}

impl Names {
    fn of(account: &str, acts_as: ActsAs<'_>) -> Self {
        let names = |acts_as| {
            let request = Request::new("", Resource::none(), Context::new());
            request.asked_by_somebody(&Asker { account, acts_as }).principals
        };
        let session_of_any_name = match acts_as {
            ActsAs::User(_) => acts_as,
            ActsAs::Agency { name, .. } => ActsAs::Agency { name, session: "" },
        };
        // Nobody has an empty name: what is left are names of the whole account.
        let nobody = names(ActsAs::User(""));
        let (account, own) = names(session_of_any_name).into_iter().partition(|name| nobody.contains(name));
        Self { own, account }
    }

    fn are_own(&self, (kind, name): &(String, String)) -> bool {
        self.own.iter().any(|(own_kind, own)| {
            let is_session = own.ends_with('/') && name.starts_with(own.as_str());
            own_kind == kind && (own == name || is_session)
        })
    }

    fn in_statement(&self, statement: &Statement) -> Naming {
        match &statement.principals {
            Principals::In(listed) if listed.iter().any(|name| self.are_own(name)) => Naming::ByName,
            Principals::In(listed) if listed.iter().any(|name| self.account.contains(name)) => {
                if statement.conditions.is_empty() { Naming::NotAtAll } else { Naming::Conditionally }
            }
            Principals::In(_) | Principals::Unreadable => Naming::NotAtAll,
            Principals::NotIn(_) | Principals::Attached => Naming::ByName,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grammar;

    const ADA: ActsAs<'_> = ActsAs::User("ada");
    const BUILD: ActsAs<'_> = ActsAs::Agency { name: "build", session: "" };

    fn trust(principal: &str, condition: &str) -> Document {
        let text = format!(
            r#"{{"Version": "5.0", "Statement": [{{"Effect": "Allow", "Action": ["sts:agencies:assume"],
                "Principal": {{"IAM": ["{principal}"]}}{condition}}}]}}"#
        );
        Document::parse("trust", &text, &Grammar::TRUST).unwrap()
    }

    #[test]
    fn somebody_is_named_by_their_own_name_or_that_of_a_session_whatever_the_conditions() {
        let never = r#", "Condition": {"DateLessThan": {"g:CurrentTime": ["2001-01-01T00:00:00Z"]}}"#;
        for (principal, ada, build) in [
            ("iam::acc:user:ada", Naming::ByName, Naming::NotAtAll),
            ("iam::acc:agency:build", Naming::NotAtAll, Naming::ByName),
            ("sts::acc:assumed-agency:build/s1", Naming::NotAtAll, Naming::ByName),
            ("sts::acc:assumed-agency:builder/s1", Naming::NotAtAll, Naming::NotAtAll),
            ("iam::other:user:ada", Naming::NotAtAll, Naming::NotAtAll),
            ("acc", Naming::Conditionally, Naming::Conditionally),
            ("iam::acc:root", Naming::Conditionally, Naming::Conditionally),
        ] {
            let document = trust(principal, never);
            let found = (document.may_trust("acc", ADA), document.may_trust("acc", BUILD));
            assert_eq!(found, (ada, build), "{principal}");
        }
        assert_eq!(trust("acc", "").may_trust("acc", ADA), Naming::NotAtAll);
    }

    #[test]
    fn a_service_is_named_by_allows_that_list_it_and_by_nothing_else() {
        let named = |effect: &str, principal: &str| {
            let text = format!(
                r#"{{"Version": "5.0", "Statement": [{{"Effect": "{effect}", "Action": ["*"], {principal}}}]}}"#
            );
            Document::parse("trust", &text, &Grammar::TRUST).unwrap().allows_name_service("service.pods")
        };
        assert!(named("Allow", r#""Principal": {"IAM": ["acc"], "Service": ["other", "service.pods"]}"#));
        for (effect, principal) in [
            ("Allow", r#""Principal": {"Service": ["service.pod"]}"#),
            ("Allow", r#""Principal": {"IAM": ["service.pods"]}"#),
            ("Deny", r#""Principal": {"Service": ["service.pods"]}"#),
            ("Deny", r#""NotPrincipal": {"Service": ["service.pods"]}"#),
        ] {
            assert!(!named(effect, principal), "{effect} {principal}");
        }
        let broken = r#"{"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["*"],
            "Principal": {"Service": ["service.pods"]}, "Condition": {"Nonsense": {"k": ["v"]}}}]}"#;
        assert!(Document::stored("trust", broken, &Grammar::TRUST).allows_name_service("service.pods"));
    }

    #[test]
    fn a_name_is_compared_by_conditions_whether_they_are_negated_or_patterns() {
        for (operator, value) in [
            ("StringEquals", "ci"),
            ("StringNotEquals", "ci"),
            ("StringMatch", "c*"),
            ("StringEqualsIgnoreCase", "CI"),
        ] {
            let condition = format!(r#", "Condition": {{"{operator}": {{"g:UserName": ["{value}"]}}}}"#);
            let document = trust("acc", &condition);
            assert!(document.compares("g:username", "ci"), "{operator}");
            assert!(!document.compares("g:UserName", "other"), "{operator}");
            assert!(!document.compares("g:UserId", "ci"), "{operator}");
        }
    }
}
