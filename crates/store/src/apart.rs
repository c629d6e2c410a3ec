//! Ids and names of things of one kind are kept apart: many places take either, and whoever may choose an id could
//! otherwise put a thing of theirs in the place of one that people call by that name.

use domain::{AccountId, Error, PrincipalKind, Result};
use sqlx::Row;

use crate::error::database;
use crate::transaction::WriteTx;

/// The things that are called by id or by name.
#[derive(Clone, Copy)]
pub(crate) enum Called {
    Principal(PrincipalKind),
    Cluster,
    Policy,
    Project,
    EnterpriseProject,
}

impl Called {
    /// Whose name the id is, or whose id the name is; of the account, and not of the thing itself.
    fn question(self) -> &'static str {
        match self {
            Self::Principal(PrincipalKind::User) => {
                "SELECT name FROM principals WHERE account_id = $1 AND kind = 'user' AND id <> $2 \
                 AND (name = $2 OR id = $3) LIMIT 1"
            }
            Self::Principal(PrincipalKind::Group) => {
                "SELECT name FROM principals WHERE account_id = $1 AND kind = 'group' AND id <> $2 \
                 AND (name = $2 OR id = $3) LIMIT 1"
            }
            Self::Principal(PrincipalKind::Agency) => {
                "SELECT name FROM principals WHERE account_id = $1 AND kind = 'agency' AND id <> $2 \
                 AND (name = $2 OR id = $3) LIMIT 1"
            }
            Self::Cluster => {
                "SELECT name FROM clusters WHERE account_id = $1 AND id <> $2 AND removed_at IS NULL \
                 AND (name = $2 OR id = $3) LIMIT 1"
            }
            Self::Policy => {
                "SELECT name FROM policies WHERE account_id = $1 AND id <> $2 AND (name = $2 OR id = $3) LIMIT 1"
            }
            Self::Project => {
                "SELECT name FROM projects WHERE account_id = $1 AND id <> $2 AND (name = $2 OR id = $3) LIMIT 1"
            }
            Self::EnterpriseProject => {
                "SELECT name FROM enterprise_projects WHERE account_id = $1 AND id <> $2 \
                 AND (name = $2 OR id = $3) LIMIT 1"
            }
        }
    }
}

impl WriteTx {
    /// Refuses an id that is the name of another thing of the account, and a name that is the id of one.
    pub(crate) async fn keep_apart(
        &mut self,
        called: Called,
        account: &AccountId,
        id: &str,
        name: &str,
    ) -> Result<()> {
        let row = sqlx::query(called.question())
            .bind(account.as_str())
            .bind(id)
            .bind(name)
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        let Some(row) = row else { return Ok(()) };
        let other: String = row.try_get("name").map_err(database)?;
        Err(Error::conflict(if other == id {
            format!("the id `{id}` is the name of another one: ids and names are kept apart")
        } else {
            format!("the name `{name}` is the id of another one: ids and names are kept apart")
        }))
    }
}
