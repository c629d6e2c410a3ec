//! What an agency is beside a principal: whom it trusts, and how long its sessions may be.

use domain::{AccountId, Principal, PrincipalId, Result, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

/// An agency that says in a document of its own whom it trusts.
#[derive(Clone, Debug)]
pub struct Trusting {
    /// The agency, without its external ids.
    pub agency: Principal,
    /// The document.
    pub trust_policy: String,
}

/// The facts about an agency that other principals do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgencyDetails {
    /// The document that says who may assume it, as it was written.
    pub trust_policy: Option<String>,
    /// An account all of whose users it trusts, if their own policies let them.
    pub trusted_account: Option<AccountId>,
    /// The longest session, in seconds.
    pub max_session_seconds: i64,
    /// A note.
    pub description: String,
    /// Where it is filed; a part of some of its names.
    pub path: String,
    /// From when on it cannot be assumed, and its sessions are over.
    pub expires_at: Option<Timestamp>,
}

impl Default for AgencyDetails {
    /// An agency that trusts nobody.
    fn default() -> Self {
        Self {
            trust_policy: None,
            trusted_account: None,
            max_session_seconds: 3600,
            description: String::new(),
            path: String::new(),
            expires_at: None,
        }
    }
}

impl WriteTx {
    /// Says all about an agency of the account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn set_agency_details(&mut self, agency: &PrincipalId, details: &AgencyDetails) -> Result<()> {
        sqlx::query(
            "INSERT INTO agency_details \
             (agency_id, trust_policy, trusted_account_id, max_session_seconds, description, path, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (agency_id) DO UPDATE SET trust_policy = $2, trusted_account_id = $3, \
             max_session_seconds = $4, description = $5, path = $6, expires_at = $7",
        )
        .bind(agency.as_str())
        .bind(details.trust_policy.as_deref().map(str::to_owned))
        .bind(details.trusted_account.as_ref().map(|id| id.as_str().to_owned()))
        .bind(details.max_session_seconds)
        .bind(details.description.as_str())
        .bind(details.path.as_str())
        .bind(details.expires_at.map(Timestamp::as_millis))
        .execute(self.connection())
        .await
        .map_err(database)?;
        Ok(())
    }
}

impl ReadTx {
    /// What was said about an agency; the default if nothing was.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn agency_details(&mut self, agency: &PrincipalId) -> Result<AgencyDetails> {
        let row = sqlx::query(
            "SELECT trust_policy, trusted_account_id, max_session_seconds, description, path, expires_at \
             FROM agency_details WHERE agency_id = $1",
        )
        .bind(agency.as_str())
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        let Some(row) = row else { return Ok(AgencyDetails::default()) };
        let account: Option<String> = row.try_get("trusted_account_id").map_err(database)?;
        let expires_at: Option<i64> = row.try_get("expires_at").map_err(database)?;
        Ok(AgencyDetails {
            trust_policy: row.try_get("trust_policy").map_err(database)?,
            trusted_account: account.as_deref().map(AccountId::stored),
            max_session_seconds: row.try_get("max_session_seconds").map_err(database)?,
            description: row.try_get("description").map_err(database)?,
            path: row.try_get("path").map_err(database)?,
            expires_at: expires_at.map(Timestamp::from_millis),
        })
    }
    /// Agencies whose trust policies may speak of principals of the account: the account's own, and those of others in
    /// whose documents its id occurs.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn trusting(&mut self, account: &AccountId) -> Result<Vec<Trusting>> {
        let rows = sqlx::query(
            "SELECT p.id, p.account_id, p.kind, p.name, p.enabled, p.root, p.description, p.password_set_at, \
             p.created_at, p.updated_at, d.trust_policy \
             FROM agency_details d JOIN principals p ON p.id = d.agency_id \
             WHERE d.trust_policy IS NOT NULL AND (p.account_id = $1 OR d.trust_policy LIKE $2) ORDER BY p.id",
        )
        .bind(account.as_str())
        .bind(format!("%{account}%"))
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        let read = |row: &AnyRow| {
            let trust_policy = row.try_get("trust_policy").map_err(database)?;
            Ok(Trusting { agency: crate::principals::principal(row)?, trust_policy })
        };
        rows.iter().map(read).collect()
    }
}
