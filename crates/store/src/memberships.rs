//! Which users are in which groups.

use domain::{PrincipalId, Result};
use sqlx::Row;

use crate::error::database;
use crate::transaction::{ReadTx, WriteTx};

impl WriteTx {
    /// Puts a user into a group; nothing happens if they are in it.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn insert_member(&mut self, group: &PrincipalId, user: &PrincipalId) -> Result<()> {
        sqlx::query("INSERT INTO memberships (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(group.as_str())
            .bind(user.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Takes a user out of a group. Returns whether they were in it.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn delete_member(&mut self, group: &PrincipalId, user: &PrincipalId) -> Result<bool> {
        let done = sqlx::query("DELETE FROM memberships WHERE group_id = $1 AND user_id = $2")
            .bind(group.as_str())
            .bind(user.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(done.rows_affected() == 1)
    }
}

impl ReadTx {
    /// The users of a group, id and name, by name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn members(&mut self, group: &PrincipalId) -> Result<Vec<(PrincipalId, String)>> {
        let rows = sqlx::query(
            "SELECT p.id AS id, p.name AS name FROM memberships m JOIN principals p ON p.id = m.user_id \
             WHERE m.group_id = $1 ORDER BY p.name",
        )
        .bind(group.as_str())
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get("id").map_err(database)?;
                Ok((PrincipalId::stored(&id), row.try_get("name").map_err(database)?))
            })
            .collect()
    }

    /// Whether a user is still enabled, and root or in the account's group of that name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn is_root_or_member(&mut self, user: &PrincipalId, group_name: &str) -> Result<bool> {
        let row = sqlx::query(
            "SELECT u.id FROM principals u WHERE u.id = $1 AND u.enabled = 1 AND (u.root = 1 OR EXISTS \
             (SELECT m.user_id FROM memberships m JOIN principals g ON g.id = m.group_id \
             WHERE m.user_id = u.id AND g.account_id = u.account_id AND g.kind = 'group' AND g.name = $2))",
        )
        .bind(user.as_str())
        .bind(group_name)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        Ok(row.is_some())
    }

    /// Whether a user is in the account's group of that name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn is_member_of_named(&mut self, user: &PrincipalId, group_name: &str) -> Result<bool> {
        let row = sqlx::query(
            "SELECT m.user_id FROM memberships m \
             JOIN principals g ON g.id = m.group_id \
             JOIN principals u ON u.id = m.user_id AND u.account_id = g.account_id \
             WHERE m.user_id = $1 AND g.kind = 'group' AND g.name = $2",
        )
        .bind(user.as_str())
        .bind(group_name)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        Ok(row.is_some())
    }
}
