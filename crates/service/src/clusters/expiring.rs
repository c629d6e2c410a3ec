//! Which clusters' credentials end soon. They are opened once for each version of a connection, and only what they are and
//! the instant of their end is kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use domain::{ClusterId, Result, Timestamp};
use store::ClusterRow;

use crate::clusters::connection::{Connection, Credential, expiry};
use crate::installation::seal::Record;
use crate::service::Service;

const DAY: i64 = 24 * 3600;

/// How soon something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Soon {
    /// Within fourteen days.
    TwoWeeks,
    /// Within seven days.
    Week,
    /// Within a day.
    Day,
    /// It ended.
    Expired,
}

impl Soon {
    /// All of them, the least pressing first.
    pub const ALL: [Self; 4] = [Self::TwoWeeks, Self::Week, Self::Day, Self::Expired];

    /// A short name of it, for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TwoWeeks => "14d",
            Self::Week => "7d",
            Self::Day => "1d",
            Self::Expired => "expired",
        }
    }

    /// How soon `end` is; `None` if it is further away than two weeks.
    #[must_use]
    pub fn of(end: Timestamp, now: Timestamp) -> Option<Self> {
        [(0, Self::Expired), (DAY, Self::Day), (7 * DAY, Self::Week), (14 * DAY, Self::TwoWeeks)]
            .into_iter()
            .find(|(seconds, _)| end <= now.plus_seconds(*seconds))
            .map(|(_, soon)| soon)
    }
}

/// What a cluster's credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client certificate.
    Certificate,
    /// A bearer token.
    Token,
}

impl Kind {
    fn of(credential: &Credential) -> Self {
        match credential {
            Credential::Certificate { .. } => Self::Certificate,
            Credential::Token(_) => Self::Token,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Token => "token",
        }
    }
}

/// A credential that ends soon, or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// What it is.
    pub kind: Kind,
    /// When it ends.
    pub end: Timestamp,
    /// How soon that is.
    pub soon: Soon,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, kind, end, soon } = self;
        let kind = kind.as_str();
        match soon {
            Soon::Expired => write!(
                f,
                "the {kind} for cluster {cluster} ended on {end}: nothing can be granted or revoked there until it gets \
                 another credential"
            ),
            Soon::TwoWeeks | Soon::Week | Soon::Day => write!(
                f,
                "the {kind} for cluster {cluster} ends on {end}: give the cluster another credential before"
            ),
        }
    }
}

/// What is known about the credentials.
#[derive(Default)]
pub(crate) struct Credentials {
    known: Mutex<HashMap<ClusterId, Known>>,
}

struct Known {
    version: i64,
    end: Option<(Kind, Timestamp)>,
    /// When it was last said that it ends.
    said: Option<Timestamp>,
}

impl Known {
    /// How soon it ends, if that is to be said now: once a day.
    fn due(&self, now: Timestamp) -> Option<Soon> {
        let (_, end) = self.end?;
        let soon = Soon::of(end, now)?;
        self.said.is_none_or(|said| said.plus_seconds(DAY) <= now).then_some(soon)
    }
}

impl Service {
    /// Looks at the credentials of clusters that are new or have another connection, and says in the log which end within
    /// two weeks or have ended: of each once a day, and once after each start of the server. Returns what it said.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn survey_credentials(&self) -> Result<Vec<Ending>> {
        let rows = self.store.connected_clusters().await?;
        let now = self.now();
        let mut said = Vec::new();
        let mut known = self.credentials.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut former = std::mem::take(&mut *known);
        for row in rows.into_iter().filter(|row| !row.removed) {
            let mut entry = match former.remove(&row.id) {
                Some(entry) if entry.version == row.connection_version => entry,
                Some(_) | None => {
                    Known { version: row.connection_version, end: self.credential_end(&row), said: None }
                }
            };
            if let (Some(soon), Some((kind, end))) = (entry.due(now), entry.end) {
                entry.said = Some(now);
                said.push(Ending { cluster: row.id.clone(), kind, end, soon });
            }
            known.insert(row.id, entry);
        }
        drop(known);
        said.iter().for_each(warn);
        Ok(said)
    }

    /// A connection that does not open is its worker's trouble, which says so.
    fn credential_end(&self, row: &ClusterRow) -> Option<(Kind, Timestamp)> {
        let record = Record { kind: "connection", id: row.id.as_str(), account: &row.account };
        let plain = self.master_key.open(&record, &row.sealed_connection).ok()?;
        let credential = Connection::from_json_bytes(&plain).ok()?.credential;
        Some((Kind::of(&credential), expiry::of_credential(&credential)?))
    }

    /// How many clusters' credentials end how soon. What ends within a day ends within a week, too.
    pub(crate) fn expiring_credentials(&self) -> Vec<(Soon, i64)> {
        let now = self.now();
        let known = self.credentials.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found: Vec<Soon> = known.values().filter_map(|entry| Soon::of(entry.end?.1, now)).collect();
        let counts = Soon::ALL.map(|soon| {
            let counted = found.iter().filter(|other| match soon {
                Soon::Expired => **other == Soon::Expired,
                Soon::TwoWeeks | Soon::Week | Soon::Day => **other >= soon && **other != Soon::Expired,
            });
            (soon, i64::try_from(counted.count()).unwrap_or(i64::MAX))
        });
        counts.to_vec()
    }
}

fn warn(ending: &Ending) {
    let Ending { cluster, kind, end, soon } = ending;
    match soon {
        Soon::Expired => tracing::error!(%cluster, kind = kind.as_str(), %end, "{ending}"),
        Soon::TwoWeeks | Soon::Week | Soon::Day => {
            tracing::warn!(%cluster, kind = kind.as_str(), %end, "{ending}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_soon_something_ends_is_said_at_the_moment_it_becomes_true() {
        let now = Timestamp::from_millis(1_795_293_660_000);
        for (seconds, soon) in [
            (-1, Some(Soon::Expired)),
            (0, Some(Soon::Expired)),
            (1, Some(Soon::Day)),
            (DAY, Some(Soon::Day)),
            (DAY + 1, Some(Soon::Week)),
            (14 * DAY, Some(Soon::TwoWeeks)),
            (14 * DAY + 1, None),
        ] {
            assert_eq!(Soon::of(now.plus_seconds(seconds), now), soon, "{seconds}");
        }
    }
}
