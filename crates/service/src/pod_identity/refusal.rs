//! Why nothing is vended: each reason has a word that does not change, for agents and for people who look into logs.

use domain::{Error, ErrorKind};
use podidentity::Rejected;

/// Why nothing is vended for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token proves nothing.
    Token(Rejected),
    /// What vended tokens are for is what the cluster issues all tokens for.
    EveryToken,
    /// It is not bound to a pod, and must be.
    Unbound,
    /// The service account or the pod that it names is gone, or another one has its name now.
    Gone(&'static str),
    /// There is no such service account, or no such pod.
    Missing(&'static str),
    /// Its service account has no association.
    NoAssociation,
    /// The association's agency is not there any more, or its time is over.
    NoAgency,
    /// The agency's trust leaves the service account out.
    Untrusted,
    /// The cluster's connection leads to another cluster than before, and nobody said yet that this is right.
    Suspended,
    /// The cluster has no connection.
    Detached,
    /// Behind the connection is another cluster than the one that was registered.
    OtherCluster,
    /// The cluster refuses to say it; why, in a sentence.
    Silent(String),
    /// The cluster does not answer; why, in a sentence.
    Unreachable(String),
    /// Pods may not ask by themselves.
    NotDirect,
    /// A stranger's token is not proved, whatever the reason, and whether or not there is such a cluster.
    Unproved,
}

impl Refusal {
    /// The word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Token(rejected) => match rejected {
                Rejected::Malformed => "malformed-token",
                Rejected::Algorithm => "wrong-algorithm",
                Rejected::UnknownKey(_) => "unknown-key",
                Rejected::Signature => "wrong-signature",
                Rejected::Issuer => "wrong-issuer",
                Rejected::Audience => "wrong-audience",
                Rejected::Expired => "expired",
                Rejected::NotYetValid => "not-yet-valid",
            },
            Self::EveryToken => "audience-of-every-token",
            Self::Unbound => "not-bound-to-a-pod",
            Self::Gone(_) => "gone",
            Self::Missing(_) => "missing",
            Self::NoAssociation => "no-association",
            Self::NoAgency => "no-agency",
            Self::Untrusted => "trust-refuses",
            Self::Suspended => "cluster-suspended",
            Self::Detached => "cluster-detached",
            Self::OtherCluster => "other-cluster",
            Self::Silent(_) => "cluster-refuses",
            Self::Unreachable(_) => "cluster-unreachable",
            Self::NotDirect => "not-direct",
            Self::Unproved => "unproved-token",
        }
    }

    /// Whose fault it is: a token that proves nothing is no credential; what it proves may give no right; and what could
    /// not be asked may be asked again.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Token(_) | Self::Unbound | Self::Gone(_) | Self::Missing(_) | Self::Unproved => {
                ErrorKind::Unauthenticated
            }
            Self::NoAssociation | Self::NoAgency | Self::Untrusted => ErrorKind::Forbidden,
            Self::EveryToken | Self::Suspended | Self::Detached | Self::OtherCluster | Self::NotDirect => {
                ErrorKind::Forbidden
            }
            Self::Silent(_) | Self::Unreachable(_) => ErrorKind::Unavailable,
        }
    }

    /// The sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Token(rejected) => rejected.to_string(),
            Self::EveryToken => {
                "`pod_identity.audience` is the cluster's issuer, for which every pod has a token: choose another one"
                    .to_owned()
            }
            Self::Unbound => "the token is not bound to a pod, and this installation takes no others".to_owned(),
            Self::Gone(what) => format!("the {what} that the token names is gone"),
            Self::Missing(what) => format!("there is no such {what} in the cluster"),
            Self::NoAssociation => "the service account has no pod identity association in this cluster".to_owned(),
            Self::NoAgency => "the agency of the association does not exist any more, or its time is over".to_owned(),
            Self::Untrusted => "the trust of the association's agency does not allow this service account".to_owned(),
            Self::Suspended => {
                "the cluster is suspended: its connection leads to another cluster than before; `bailiwick cluster resume` \
                 says that this is right"
                    .to_owned()
            }
            Self::Detached => "the cluster has no connection: nobody can be asked".to_owned(),
            Self::OtherCluster => {
                "behind the connection is another cluster than the one that was registered".to_owned()
            }
            Self::Silent(why) | Self::Unreachable(why) => why.clone(),
            Self::NotDirect => {
                "pods may not ask this server themselves, which `pod_identity.direct = true` would let them; the agent on \
                 their node is asked instead"
                    .to_owned()
            }
            Self::Unproved => {
                "there is no cluster of that id that is known to have signed the token, and that can be asked now".to_owned()
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind(), refusal.sentence()).because(refusal.word())
    }
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        Self::Token(rejected)
    }
}

/// A failure, or a refusal with its word: what was asked for was not done, and this is why.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// Vending was refused.
    Refused(Refusal),
    /// Something else went wrong: the database, the caller's rights.
    Failed(Error),
}

impl Stopped {
    /// The word for a refusal.
    pub(super) fn word(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => Some(refusal.word()),
            Self::Failed(_) => None,
        }
    }

    /// What a cluster said, or did not say.
    pub(crate) fn by_cluster(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Conflict => Self::Refused(Refusal::Silent(error.message().to_owned())),
            ErrorKind::Unavailable => Self::Refused(Refusal::Unreachable(error.message().to_owned())),
            ErrorKind::Invalid
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::MethodNotAllowed
            | ErrorKind::Contended
            | ErrorKind::TooLarge
            | ErrorKind::HeadTooLarge
            | ErrorKind::UnsupportedMediaType
            | ErrorKind::Limited
            | ErrorKind::Internal => Self::Failed(error),
        }
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Rejected> for Stopped {
    fn from(rejected: Rejected) -> Self {
        Self::Refused(rejected.into())
    }
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Refused(refusal) => refusal.into(),
            Stopped::Failed(error) => error,
        }
    }
}
