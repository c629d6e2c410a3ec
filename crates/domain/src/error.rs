//! What may go wrong, without a word about HTTP. Each dialect has one `fault.rs` that puts these into its shape.
//!
//! An error has a public text, which the caller sees, and an optional internal cause, which only the log sees.
//! Messages are lower case, without full stop, with the caller's own input in backticks.

use std::fmt;

/// A result of this workspace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is. Dialects match on it exhaustively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request says something that it may not say. The field is named where there is one.
    Invalid,
    /// The caller did not prove who they are.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// There is no such thing in the caller's account.
    NotFound,
    /// The path exists, the method on it does not.
    MethodNotAllowed,
    /// It clashes with what is there: a taken name or id, a thing in use, a concurrent change.
    Conflict,
    /// Somebody else changed the same while the request was on its way: trying again is right.
    Contended,
    /// The request's body is larger than the limit.
    TooLarge,
    /// The request's path and headers are larger than the limit.
    HeadTooLarge,
    /// The body is of a type that is not understood.
    UnsupportedMediaType,
    /// Too many requests, or too many things.
    Limited,
    /// Cannot be done now; trying again may help.
    Unavailable,
    /// A defect of ours, or of what we stand on.
    Internal,
}

/// A failure with its public text.
pub struct Error {
    kind: ErrorKind,
    field: Option<String>,
    reason: Option<&'static str>,
    message: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    denial: Option<Box<Denial>>,
    told: Option<Box<Told>>,
}

/// What a caller was refused, and why. The reasons are for the audit, not for the caller: they tell about policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The action, in our own words.
    pub action: String,
    /// On what, as `kind/id`; empty if the action is about nothing in particular.
    pub resource: String,
    /// Which statement denied it, or what was missing.
    pub reasons: String,
    /// What would have had to be there.
    pub missing: Missing,
}

/// What a refused caller lacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A policy that allows it.
    Policy,
    /// Nothing that could be added: a policy denies it outright.
    Nothing,
    /// To administer the cluster or the namespace that it is about.
    Administration,
    /// To be somebody else: the account's root user, or an administrator.
    Person,
}

/// What a refused caller is told besides: nothing of the reasons, but what leads an administrator to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The action in the words of the dialect in which it was asked.
    pub action: String,
    /// Whether it was asked with a token or a temporary key.
    pub in_session: bool,
    /// The id under which the audit has the reasons.
    pub explanation: String,
    /// The reasons, sealed: who is told them cannot read them, and shows them to somebody who can.
    pub sealed: Option<String>,
}

impl Error {
    /// An error of `kind` with the text that the caller will see.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            field: None,
            reason: None,
            message: message.into(),
            cause: None,
            denial: None,
            told: None,
        }
    }

    /// A request whose `field` breaks a rule; `message` says what would be right.
    #[must_use]
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(ErrorKind::Invalid, message) }
    }

    /// A thing that does not exist in the caller's account.
    #[must_use]
    pub fn not_found(noun: &str, id: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("{noun} `{id}` does not exist"))
    }

    /// A clash with what is there.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// A caller who may not do something.
    #[must_use]
    pub fn denied(denial: Denial) -> Self {
        let on = match denial.resource.as_str() {
            "" => String::new(),
            resource => format!(" on `{resource}`"),
        };
        let message = format!("you are not allowed to perform `{}`{on}", denial.action);
        Self { denial: Some(Box::new(denial)), ..Self::new(ErrorKind::Forbidden, message) }
    }

    /// A defect. The caller learns nothing but that; `cause` goes to the log.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(ErrorKind::Internal, "internal error; the request id finds it in the server's log")
        }
    }

    /// A failure that may pass. The caller sees `message`, the log sees `cause` too.
    #[must_use]
    pub fn unavailable(
        message: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(ErrorKind::Unavailable, message) }
    }

    /// The same error about another field: dialects spell fields their way.
    #[must_use]
    pub fn at_field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// The same error with a word for programs: which of the reasons that share its kind it is.
    #[must_use]
    pub fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// The same error with a sentence about what would help.
    #[must_use]
    pub fn with_hint(mut self, hint: &str) -> Self {
        self.message = format!("{}: {hint}", self.message);
        self
    }

    /// The same refusal with what its caller is told besides.
    #[must_use]
    pub fn telling(mut self, told: Told) -> Self {
        if let Some(denial) = &self.denial {
            let (ours, theirs) = (format!("`{}`", denial.action), format!("`{}`", told.action));
            self.message = self.message.replacen(&ours, &theirs, 1);
        }
        self.told = Some(Box::new(told));
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The field that broke a rule.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Which of the reasons that share its kind it is, in a word that does not change.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The text for the caller, without the field's name.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What was refused and why, if rights were the reason.
    #[must_use]
    pub fn denial(&self) -> Option<&Denial> {
        self.denial.as_deref()
    }

    /// What the refused caller is told besides.
    #[must_use]
    pub fn told(&self) -> Option<&Told> {
        self.told.as_deref()
    }

    /// What only the log may see.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync)> {
        self.cause.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "`{field}` {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)?;
        match &self.cause {
            Some(cause) => write!(f, " (cause: {cause})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_for_the_log_and_never_in_the_public_text() {
        let error = Error::internal("UNIQUE constraint failed: access_keys.id");
        assert!(!error.to_string().contains("access_keys"));
        assert!(format!("{error:?}").contains("access_keys"));
    }

    #[test]
    fn a_refusal_names_the_action_in_the_words_of_who_asked_and_never_the_reasons() {
        let denial = Denial {
            action: "bailiwick:grant:create".into(),
            resource: "cluster/c".into(),
            reasons: "policy `secret` denies it".into(),
            missing: Missing::Policy,
        };
        let told =
            Told { action: "x:grant:post".into(), in_session: false, explanation: "e1".into(), sealed: None };
        let error = Error::denied(denial).telling(told);
        assert_eq!(error.to_string(), "you are not allowed to perform `x:grant:post` on `cluster/c`");
        assert_eq!(error.told().map(|told| told.explanation.as_str()), Some("e1"));
        assert!(!format!("{error:?}").contains("secret"));
    }

    #[test]
    fn an_invalid_request_names_its_field() {
        let error = Error::invalid("accessScope.namespaces", "must not be empty");
        assert_eq!(error.to_string(), "`accessScope.namespaces` must not be empty");
    }
}
