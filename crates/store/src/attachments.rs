//! Who holds which policy, as lists and numbers for people.

use std::collections::BTreeMap;

use domain::{AccountId, Attachment, PolicyId, PolicyScope, PrincipalId, PrincipalKind, Result, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::{corrupt, database};
use crate::transaction::{Page, ReadTx};

/// Who holds a policy, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Whether it is a user, a group or an agency.
    pub kind: PrincipalKind,
    /// Their name.
    pub name: String,
    /// What is held, and where.
    pub attachment: Attachment,
}

impl Holder {
    /// What orders holders of one policy that hold it since the same instant.
    #[must_use]
    pub fn key(&self) -> String {
        let (principal, scope) = (&self.attachment.principal, &self.attachment.scope);
        format!("{principal}/{}/{}", scope.kind(), scope.id())
    }
}

impl ReadTx {
    /// How often each policy is held in the account. Those that nobody holds are not there.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn attachment_counts(&mut self, account: &AccountId) -> Result<BTreeMap<PolicyId, i64>> {
        let rows = sqlx::query(
            "SELECT policy_id, COUNT(*) AS n FROM attachments WHERE account_id = $1 GROUP BY policy_id",
        )
        .bind(account.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get("policy_id").map_err(database)?;
                Ok((PolicyId::stored(&id), row.try_get("n").map_err(database)?))
            })
            .collect()
    }

    /// A page of those who hold a policy in the account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn holders_page(
        &mut self,
        account: &AccountId,
        policy: &PolicyId,
        page: &Page,
    ) -> Result<Vec<Holder>> {
        let rows = sqlx::query(
            "SELECT a.principal_id AS principal_id, a.policy_id AS policy_id, a.scope AS scope, \
             a.scope_id AS scope_id, a.created_at AS created_at, p.kind AS kind, p.name AS name \
             FROM attachments a JOIN principals p ON p.id = a.principal_id \
             WHERE a.account_id = $1 AND a.policy_id = $2 AND (a.created_at > $3 \
             OR (a.created_at = $3 AND a.principal_id || '/' || a.scope || '/' || a.scope_id > $4)) \
             ORDER BY a.created_at, a.principal_id || '/' || a.scope || '/' || a.scope_id LIMIT $5",
        )
        .bind(account.as_str())
        .bind(policy.as_str())
        .bind(page.after_millis())
        .bind(page.after_id())
        .bind(page.limit)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(holder).collect()
    }
}

fn holder(row: &AnyRow) -> Result<Holder> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(database);
    let (principal, policy) = (text("principal_id")?, text("policy_id")?);
    let kind = PrincipalKind::parse("kind", &text("kind")?)
        .map_err(|_| corrupt("principals", "kind", &principal))?;
    let scope = PolicyScope::parse(&text("scope")?, &text("scope_id")?);
    Ok(Holder {
        kind,
        name: text("name")?,
        attachment: Attachment {
            scope: scope.map_err(|_| corrupt("attachments", "scope", &policy))?,
            principal: PrincipalId::stored(&principal),
            policy: PolicyId::stored(&policy),
            created_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
        },
    })
}
