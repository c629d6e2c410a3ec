//! Projects and enterprise projects of an account, and the account itself.

use domain::{Account, EnterpriseProject, Error, Project, Result};

use crate::authz;
use crate::call::Call;
use crate::service::{PageRequest, Paged, Service};

impl Service {
    /// The caller's account.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn show_account(&self, call: &Call) -> Result<Account> {
        authz::require(call, "bailiwick:account:show")?;
        let mut tx = self.store.read().await?;
        let found = tx.account(call.account()).await?;
        tx.end().await?;
        found.ok_or_else(|| Error::not_found("account", call.account().as_str()))
    }

    /// A page of the account's projects.
    ///
    /// # Errors
    /// `Invalid` naming `limit` or `cursor`.
    pub async fn list_projects(&self, call: &Call, page: &PageRequest) -> Result<Paged<Project>> {
        authz::require(call, "bailiwick:project:list")?;
        let mut tx = self.store.read().await?;
        let found = tx.projects(call.account(), &page.to_page()?).await?;
        tx.end().await?;
        page.paged(found, |project| (project.created_at, project.id.as_str().to_owned()))
    }

    /// Creates a project.
    ///
    /// # Errors
    /// `Conflict` if the id or the name is taken.
    pub async fn create_project(&self, call: &Call, id: Option<&str>, name: &str) -> Result<Project> {
        authz::require(call, "bailiwick:project:create")?;
        crate::directory::names::check("name", name)?;
        let project = Project {
            id: self.chosen_or_new(id)?,
            account: call.account().clone(),
            name: name.to_owned(),
            created_at: self.now(),
        };
        let mut tx = self.begin(call).await?;
        tx.insert_project(&project).await?;
        self.commit(tx, call, "bailiwick:project:create", &format!("project/{}", project.id)).await?;
        Ok(project)
    }

    /// A page of the account's enterprise projects.
    ///
    /// # Errors
    /// `Invalid` naming `limit` or `cursor`.
    pub async fn list_enterprise_projects(
        &self,
        call: &Call,
        page: &PageRequest,
    ) -> Result<Paged<EnterpriseProject>> {
        authz::require(call, "bailiwick:enterpriseProject:list")?;
        let mut tx = self.store.read().await?;
        let found = tx.enterprise_projects(call.account(), &page.to_page()?).await?;
        tx.end().await?;
        page.paged(found, |project| (project.created_at, project.id.as_str().to_owned()))
    }

    /// Creates an enterprise project.
    ///
    /// # Errors
    /// `Conflict` if the id or the name is taken.
    pub async fn create_enterprise_project(
        &self,
        call: &Call,
        id: Option<&str>,
        name: &str,
    ) -> Result<EnterpriseProject> {
        authz::require(call, "bailiwick:enterpriseProject:create")?;
        crate::directory::names::check("name", name)?;
        let project = EnterpriseProject {
            id: self.chosen_or_new(id)?,
            account: call.account().clone(),
            name: name.to_owned(),
            created_at: self.now(),
        };
        let mut tx = self.begin(call).await?;
        tx.insert_enterprise_project(&project).await?;
        self.commit(
            tx,
            call,
            "bailiwick:enterpriseProject:create",
            &format!("enterprise-project/{}", project.id),
        )
        .await?;
        Ok(project)
    }
}
