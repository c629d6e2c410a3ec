//! What may go wrong between us and an API server, and how it is told to people.
//!
//! A cluster's operator controls what his API server says, and whoever registers a cluster controls where we connect.
//! So its texts are cleaned before they are stored or shown, and everything that happens before the server proved who
//! it is has one and the same text: otherwise registering clusters would be a way to scan our network.

use std::fmt;
use std::time::Duration;

use crate::right::Right;

/// The longest text of a cluster that is passed on, in characters.
const MAX_TEXT: usize = 300;

/// A request that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No answer from whom we trust. The detail is for the log only.
    Unreachable(String),
    /// The API server does not accept our credential.
    Unauthorized,
    /// The API server refused.
    Refused(Refusal),
    /// The API server answered something that we cannot or will not read.
    Unreadable(&'static str),
    /// It was not sent, because the cluster is another server's by now, or nobody could say whose it is.
    Superseded,
}

/// An API server's answer that is not a success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What the API server says, cleaned.
    pub(crate) message: String,
    /// Whether the cause is that the namespace does not exist any more, or is about to end.
    pub(crate) namespace_gone: bool,
    /// How long it asks us to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// An answer larger than it may be.
    pub(crate) const TOO_LARGE: Self = Self::Unreadable("it is too large");

    /// Whether further requests make sense now, or would only meet the same.
    pub(crate) fn stops_everything(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unauthorized | Self::Superseded => true,
            Self::Refused(refusal) => refusal.status == 429 || refusal.status == 503,
            Self::Unreadable(_) => false,
        }
    }

    /// How long the API server asks us to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Unreachable(_) | Self::Unauthorized | Self::Unreadable(_) | Self::Superseded => None,
        }
    }

    /// Whether the API server said `status`.
    pub(crate) fn is(&self, status: u16) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == status)
    }

    /// The failure in a sentence for people, about what was to be done. The remedy comes before the API server's own
    /// words, which may be long and are cut.
    pub(crate) fn sentence(&self, right: &Right) -> String {
        let Right { action, given_by } = right;
        let text = match self {
            Self::Unreachable(_) => {
                "the API server does not answer, or does not prove to be the one that was registered"
                    .to_owned()
            }
            Self::Unauthorized => "the API server does not accept the connector's credential".to_owned(),
            Self::Refused(Refusal { status: 403, message, .. }) => {
                format!(
                    "the connector may not {action} in this cluster; it may after {given_by}; the API server says: {message}"
                )
            }
            Self::Refused(Refusal { status: 429 | 503, .. }) => {
                "the API server is busy; it is tried again".to_owned()
            }
            Self::Refused(Refusal { status, message, .. }) => {
                format!("the API server refuses to {action} with status {status}; it says: {message}")
            }
            Self::Unreadable(what) => format!("the API server's answer is unreadable: {what}"),
            Self::Superseded => "another server of this installation works for the cluster now".to_owned(),
        };
        clean(&text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(detail) => write!(f, "unreachable: {detail}"),
            Self::Unauthorized => f.write_str("unauthorized"),
            Self::Refused(refusal) => {
                write!(f, "refused with status {}: {}", refusal.status, refusal.message)
            }
            Self::Unreadable(what) => write!(f, "unreadable: {what}"),
            Self::Superseded => f.write_str("superseded"),
        }
    }
}

/// A text of a cluster without what could disturb a terminal, a log or a page, and cut to a bearable length.
pub(crate) fn clean(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c });
    let mut cleaned: String = spaced.take(MAX_TEXT).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        cleaned.pop();
        cleaned.push('…');
    }
    cleaned.trim().to_owned()
}

/// Characters that reorder or hide text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_clusters_are_cleaned_and_cut() {
        assert_eq!(clean("a\u{1b}[31mred\nline\u{202e}x\0"), "a [31mred line x");
        let long = clean(&"ä".repeat(10_000));
        assert_eq!(long.chars().count(), MAX_TEXT);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn what_happens_before_the_server_proved_itself_has_one_text() {
        let texts: Vec<String> = ["connection refused", "certificate unknown", "address not allowed"]
            .into_iter()
            .map(|detail| Failure::Unreachable(detail.to_owned()).sentence(&Right::base("list namespaces")))
            .collect();
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    }

    #[test]
    fn a_refusal_says_what_the_connector_may_not_do_and_what_lets_it() {
        let refusal = Refusal { status: 403, message: "no\nway".into(), ..Refusal::default() };
        assert_eq!(
            Failure::Refused(refusal).sentence(&Right::base("list namespaces")),
            "the connector may not list namespaces in this cluster; it may after applying \
             deploy/connector/base.yaml; the API server says: no way"
        );
        let long = Refusal { status: 403, message: "x".repeat(10_000), ..Refusal::default() };
        let right = Right::binding("bind cluster-admin".into(), "cluster-admin");
        assert!(Failure::Refused(long).sentence(&right).contains("deploy/connector/administrator.yaml"));
    }
}
