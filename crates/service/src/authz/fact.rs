//! What conditions can ask about: facts about who asks, about the request, and about the thing it is about. Which key
//! means which fact is for vocabularies to say.

use domain::{Error, Result};

/// Something that is known about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The id of who asks.
    PrincipalId,
    /// The name of who asks.
    PrincipalName,
    /// The id of the account of who asks.
    AccountId,
    /// Its name.
    AccountName,
    /// The project of what it is about; of what has none, the project in which it is asked.
    ProjectId,
    /// When.
    CurrentTime,
    /// From which address.
    SourceIp,
    /// The id of the cluster that it is about.
    ClusterId,
    /// The enterprise project of what it is about.
    EnterpriseProjectId,
    /// A tag of what it is about; the key ends in `/` and the tag's own key.
    ResourceTag,
    /// A tag that the request wants to give; the key ends in `/` and the tag's own key.
    RequestTag,
    /// The keys of the tags that the request wants to give.
    TagKeys,
    /// A tag of the session in which it is asked; the key ends in `/` and the tag's own key.
    PrincipalTag,
    /// Something that is not known here: conditions on it grant nothing, and deny.
    Unknown,
}

impl Fact {
    /// Every fact with its word in vocabularies.
    pub const WORDS: [(&'static str, Self); 16] = [
        ("principal-id", Self::PrincipalId),
        ("principal-name", Self::PrincipalName),
        ("account-id", Self::AccountId),
        ("account-name", Self::AccountName),
        ("project-id", Self::ProjectId),
        ("current-time", Self::CurrentTime),
        ("source-ip", Self::SourceIp),
        ("cluster-id", Self::ClusterId),
        ("enterprise-project-id", Self::EnterpriseProjectId),
        ("resource-tag", Self::ResourceTag),
        ("request-tag", Self::RequestTag),
        ("tag-keys", Self::TagKeys),
        ("principal-tag", Self::PrincipalTag),
        ("project-name", Self::Unknown),
        ("secure-transport", Self::Unknown),
        ("unknown", Self::Unknown),
    ];

    /// Reads a fact's word.
    ///
    /// # Errors
    /// `Invalid` naming `fact` for any other word.
    pub fn parse(word: &str) -> Result<Self> {
        let found = Self::WORDS.iter().find(|(known, _)| *known == word);
        found.map(|(_, fact)| *fact).ok_or_else(|| Error::invalid("fact", format!("`{word}` is not known")))
    }

    /// Whether every request has it, whatever it is about.
    #[must_use]
    pub fn is_of_the_request(self) -> bool {
        match self {
            Self::PrincipalId
            | Self::PrincipalName
            | Self::AccountId
            | Self::AccountName
            | Self::ProjectId
            | Self::CurrentTime
            | Self::SourceIp
            | Self::PrincipalTag
            | Self::Unknown => true,
            Self::ClusterId
            | Self::EnterpriseProjectId
            | Self::ResourceTag
            | Self::RequestTag
            | Self::TagKeys => false,
        }
    }

    /// Whether it is the same whoever asks, because it is about the thing alone.
    #[must_use]
    pub fn is_of_the_thing(self) -> bool {
        matches!(self, Self::ClusterId | Self::EnterpriseProjectId | Self::ResourceTag)
    }
}
