//! How trust policies call somebody who wants to assume what they belong to.
//!
//! Whoever asks is given their names in every language at once: a statement that denies must hold also if the question
//! came in the words of another language.

use crate::naming::SERVICE;
use crate::request::Request;

/// Somebody with credentials.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Their account.
    pub account: &'a str,
    /// As whom they act.
    pub acts_as: ActsAs<'a>,
}

/// As whom somebody acts.
#[derive(Clone, Copy, Debug)]
pub enum ActsAs<'a> {
    /// A user with this name.
    User(&'a str),
    /// An agency or role that they assumed.
    Agency {
        /// Its name.
        name: &'a str,
        /// What the session is called.
        session: &'a str,
    },
}

impl Request {
    /// Who asks, by all names that trust policies may use.
    ///
    /// Every name holds the account. An id alone would not do: whoever makes a user may choose its id, and could choose
    /// one that is a trusted account's.
    #[must_use]
    pub fn asked_by_somebody(self, asker: &Asker<'_>) -> Self {
        let account = asker.account;
        self.asked_by("IAM", account)
            .asked_by("IAM", &format!("iam::{account}:root"))
            .asked_by("RAM", account)
            .asked_by("RAM", &format!("acs:ram::{account}:root"))
            .asked_by_that_very(asker)
    }

    /// A service asks, which is not somebody with credentials.
    #[must_use]
    pub fn asked_by_service(self, name: &str) -> Self {
        self.asked_by(SERVICE, name)
    }

    /// Who asks, by those names alone that nobody else of the account has.
    #[must_use]
    pub fn asked_by_that_very(mut self, asker: &Asker<'_>) -> Self {
        for (kind, name) in asker.acts_as.names(asker.account) {
            self = self.asked_by(kind, &name);
        }
        self
    }
}

impl ActsAs<'_> {
    fn names(self, account: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::User(name) => vec![
                ("IAM", format!("iam::{account}:user:{name}")),
                ("RAM", format!("acs:ram::{account}:user/{name}")),
            ],
            Self::Agency { name, session } => vec![
                ("IAM", format!("iam::{account}:agency:{name}")),
                ("IAM", format!("sts::{account}:assumed-agency:{name}/{session}")),
                ("RAM", format!("acs:ram::{account}:role/{name}")),
                ("RAM", format!("acs:ram::{account}:assumed-role/{name}/{session}")),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Document, Effect, Grammar, Resource, effect};

    fn asked(document: &str, acts_as: ActsAs<'_>) -> Effect {
        let document = Document::parse("trust", document, &Grammar::TRUST).unwrap();
        let request = Request::new("sts:agencies:assume", Resource::none(), Context::new());
        effect(&[&document], &request.asked_by_somebody(&Asker { account: "acc", acts_as }))
    }

    fn trust(effect: &str, principal: &str) -> String {
        format!(
            r#"{{"Version": "5.0", "Statement": [{{"Effect": "{effect}", "Action": ["sts:agencies:assume"],
                "Principal": {{"IAM": ["{principal}"]}}}}]}}"#
        )
    }

    #[test]
    fn somebody_is_known_by_account_and_by_their_own_name_and_by_no_other() {
        let (ada, build) = (ActsAs::User("ada"), ActsAs::Agency { name: "build", session: "s1" });
        for (name, as_ada, as_build) in [
            ("acc", Effect::Allow, Effect::Allow),
            ("iam::acc:root", Effect::Allow, Effect::Allow),
            ("iam::acc:user:ada", Effect::Allow, Effect::DefaultDeny),
            ("iam::acc:user:build", Effect::DefaultDeny, Effect::DefaultDeny),
            ("iam::acc:agency:build", Effect::DefaultDeny, Effect::Allow),
            ("sts::acc:assumed-agency:build/s1", Effect::DefaultDeny, Effect::Allow),
            ("sts::acc:assumed-agency:build/s2", Effect::DefaultDeny, Effect::DefaultDeny),
            ("iam::other:user:ada", Effect::DefaultDeny, Effect::DefaultDeny),
            ("ada", Effect::DefaultDeny, Effect::DefaultDeny),
        ] {
            let document = trust("Allow", name);
            assert_eq!((asked(&document, ada), asked(&document, build)), (as_ada, as_build), "{name}");
        }
    }

    #[test]
    fn a_deny_in_one_language_holds_whichever_language_the_question_came_in() {
        let classic = r#"{"Version": "1", "Statement": [{"Effect": "Deny", "Action": "*",
            "Principal": {"RAM": ["acs:ram::acc:user/ada"]}}]}"#;
        assert_eq!(asked(classic, ActsAs::User("ada")), Effect::ExplicitDeny);
        assert_eq!(asked(classic, ActsAs::User("eve")), Effect::DefaultDeny);
    }
}
