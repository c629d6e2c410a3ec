//! Pod identity: which agency the pods of a service account act as, and credentials for those that prove to be such pods.

pub mod agents;
pub mod associations;
pub(crate) mod direct;
pub mod feed;
pub(crate) mod holding;
pub(crate) mod keys;
mod messenger;
pub(crate) mod minting;
mod place;
pub(crate) mod refusal;
pub(crate) mod session;
pub(crate) mod standing;
mod tags;
pub(crate) mod together;
mod trial;
pub mod trust;
mod vending;
pub mod watching;
pub mod workloads;

pub use refusal::Refusal;
pub use trial::{Trial, Tried};
pub use vending::{Vended, VendedKey};

/// How pods prove who they are, and what they are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIdentity {
    /// What trust policies call it. Not a setting: another word would leave out what they say.
    pub principal: String,
    /// For whom the tokens of service accounts must be made.
    pub audience: String,
    /// The environment variable by which a pod learns where its credentials are.
    pub uri_variable: String,
    /// The environment variable by which it learns where its token is.
    pub token_file_variable: String,
    /// How long credentials live, in seconds.
    pub lifetime_seconds: i64,
    /// Whether only tokens that are bound to a pod are good.
    pub require_bound_pod: bool,
    /// Whether pods may ask this server themselves, with nothing but their token.
    pub direct: bool,
    /// So many agents may wait at once for something to change, of all clusters together.
    pub most_waiting: usize,
}

/// The shortest life of credentials, in seconds: clients fetch new ones when less than 40 minutes remain, each time that
/// they call anything.
pub const SHORTEST_LIFE: i64 = 3600;

/// The longest, in seconds.
pub const LONGEST_LIFE: i64 = store::LONGEST_VENDED;

impl Default for PodIdentity {
    fn default() -> Self {
        Self {
            principal: "bailiwick.pods".to_owned(),
            audience: "bailiwick.pods".to_owned(),
            uri_variable: "BAILIWICK_CREDENTIALS_URI".to_owned(),
            token_file_variable: "BAILIWICK_TOKEN_FILE".to_owned(),
            lifetime_seconds: 7200,
            require_bound_pod: false,
            direct: false,
            most_waiting: 2_048,
        }
    }
}
