//! Accounts, projects and enterprise projects.

use domain::{
    Account, AccountId, EnterpriseProject, EnterpriseProjectId, Error, Project, ProjectId, Result, Timestamp,
};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::apart::Called;
use crate::error::{database, unless_taken};
use crate::open::Store;
use crate::transaction::{Page, ReadTx, WriteTx};

impl Store {
    /// Begins making an account. Accounts are made one after the other, by all servers of the database.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn begin_account(&self, id: &AccountId) -> Result<WriteTx> {
        let mut tx = self.begin_write(id, 1).await?;
        // The empty account's row is the lock.
        sqlx::query(
            "INSERT INTO revision (account_id, n) VALUES ('', 1) \
             ON CONFLICT (account_id) DO UPDATE SET n = revision.n + 1",
        )
        .execute(tx.connection())
        .await
        .map_err(database)?;
        Ok(tx)
    }
}

impl WriteTx {
    /// Adds the account that this transaction was begun for.
    ///
    /// # Errors
    /// `Conflict` if the id was ever used or the name is taken.
    pub async fn insert_account(&mut self, account: &Account) -> Result<()> {
        self.take_id("account", "account", account.id.as_str()).await?;
        let inserted = sqlx::query("INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, $3)")
            .bind(account.id.as_str())
            .bind(account.name.as_str())
            .bind(account.created_at.as_millis())
            .execute(self.connection())
            .await;
        unless_taken(inserted, || Error::conflict(format!("an account named `{}` exists", account.name)))?;
        sqlx::query("INSERT INTO revision (account_id, n) VALUES ($1, 1)")
            .bind(account.id.as_str())
            .execute(self.connection())
            .await
            .map_err(database)?;
        Ok(())
    }

    /// Adds a project.
    ///
    /// # Errors
    /// `Conflict` if the id or the name is taken.
    pub async fn insert_project(&mut self, project: &Project) -> Result<()> {
        self.take_id("project", "project", project.id.as_str()).await?;
        self.keep_apart(Called::Project, &project.account, project.id.as_str(), &project.name).await?;
        let inserted =
            sqlx::query("INSERT INTO projects (id, account_id, name, created_at) VALUES ($1, $2, $3, $4)")
                .bind(project.id.as_str())
                .bind(project.account.as_str())
                .bind(project.name.as_str())
                .bind(project.created_at.as_millis())
                .execute(self.connection())
                .await;
        unless_taken(inserted, || Error::conflict(format!("a project named `{}` exists", project.name)))?;
        Ok(())
    }

    /// Adds an enterprise project.
    ///
    /// # Errors
    /// `Conflict` if the id or the name is taken.
    pub async fn insert_enterprise_project(&mut self, project: &EnterpriseProject) -> Result<()> {
        self.take_id("enterprise-project", "enterprise project", project.id.as_str()).await?;
        self.keep_apart(Called::EnterpriseProject, &project.account, project.id.as_str(), &project.name)
            .await?;
        let inserted = sqlx::query(
            "INSERT INTO enterprise_projects (id, account_id, name, created_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(project.id.as_str())
        .bind(project.account.as_str())
        .bind(project.name.as_str())
        .bind(project.created_at.as_millis())
        .execute(self.connection())
        .await;
        unless_taken(inserted, || {
            Error::conflict(format!("an enterprise project named `{}` exists", project.name))
        })?;
        Ok(())
    }
}

impl ReadTx {
    /// Whether there is any account.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn any_account(&mut self) -> Result<bool> {
        let row = sqlx::query("SELECT id FROM accounts LIMIT 1").fetch_optional(self.connection()).await;
        Ok(row.map_err(database)?.is_some())
    }

    /// The account with that id.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn account(&mut self, id: &AccountId) -> Result<Option<Account>> {
        let row = sqlx::query("SELECT id, name, created_at FROM accounts WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        row.as_ref().map(account).transpose()
    }

    /// The account with that name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn account_by_name(&mut self, name: &str) -> Result<Option<Account>> {
        let row = sqlx::query("SELECT id, name, created_at FROM accounts WHERE name = $1")
            .bind(name)
            .fetch_optional(self.connection())
            .await
            .map_err(database)?;
        row.as_ref().map(account).transpose()
    }

    /// A page of the account's projects.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn projects(&mut self, account: &AccountId, page: &Page) -> Result<Vec<Project>> {
        let rows = sqlx::query(
            "SELECT id, account_id, name, created_at FROM projects \
             WHERE account_id = $1 AND (created_at > $2 OR (created_at = $2 AND id > $3)) \
             ORDER BY created_at, id LIMIT $4",
        )
        .bind(account.as_str())
        .bind(page.after_millis())
        .bind(page.after_id())
        .bind(page.limit)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(project).collect()
    }

    /// The account's project with that id, else the one with that name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn project(&mut self, account: &AccountId, id_or_name: &str) -> Result<Option<Project>> {
        let row = sqlx::query(
            "SELECT id, account_id, name, created_at FROM projects WHERE account_id = $1 AND (id = $2 OR name = $2) \
             ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1",
        )
        .bind(account.as_str())
        .bind(id_or_name)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(project).transpose()
    }

    /// A page of the account's enterprise projects.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn enterprise_projects(
        &mut self,
        account: &AccountId,
        page: &Page,
    ) -> Result<Vec<EnterpriseProject>> {
        let rows = sqlx::query(
            "SELECT id, account_id, name, created_at FROM enterprise_projects \
             WHERE account_id = $1 AND (created_at > $2 OR (created_at = $2 AND id > $3)) \
             ORDER BY created_at, id LIMIT $4",
        )
        .bind(account.as_str())
        .bind(page.after_millis())
        .bind(page.after_id())
        .bind(page.limit)
        .fetch_all(self.connection())
        .await
        .map_err(database)?;
        rows.iter().map(enterprise_project).collect()
    }

    /// The account's enterprise project with that id, else the one with that name.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn enterprise_project(
        &mut self,
        account: &AccountId,
        id_or_name: &str,
    ) -> Result<Option<EnterpriseProject>> {
        let row = sqlx::query(
            "SELECT id, account_id, name, created_at FROM enterprise_projects \
             WHERE account_id = $1 AND (id = $2 OR name = $2) \
             ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1",
        )
        .bind(account.as_str())
        .bind(id_or_name)
        .fetch_optional(self.connection())
        .await
        .map_err(database)?;
        row.as_ref().map(enterprise_project).transpose()
    }
}

fn account(row: &AnyRow) -> Result<Account> {
    let id: String = row.try_get("id").map_err(database)?;
    Ok(Account {
        id: AccountId::stored(&id),
        name: row.try_get("name").map_err(database)?,
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
    })
}

fn project(row: &AnyRow) -> Result<Project> {
    let id: String = row.try_get("id").map_err(database)?;
    let account: String = row.try_get("account_id").map_err(database)?;
    Ok(Project {
        id: ProjectId::stored(&id),
        account: AccountId::stored(&account),
        name: row.try_get("name").map_err(database)?,
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
    })
}

fn enterprise_project(row: &AnyRow) -> Result<EnterpriseProject> {
    let id: String = row.try_get("id").map_err(database)?;
    let account: String = row.try_get("account_id").map_err(database)?;
    Ok(EnterpriseProject {
        id: EnterpriseProjectId::stored(&id),
        account: AccountId::stored(&account),
        name: row.try_get("name").map_err(database)?,
        created_at: Timestamp::from_millis(row.try_get("created_at").map_err(database)?),
    })
}
