//! `/bailiwick/v1/projects` and `/bailiwick/v1/enterprise-projects`.

use domain::{EnterpriseProject, Project, Result};
use http::StatusCode;
use serde::Serialize;
use service::Call;

use super::{items, page};
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const PROJECTS: &str = "/bailiwick/v1/projects";
const ENTERPRISE_PROJECTS: &str = "/bailiwick/v1/enterprise-projects";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            PROJECTS,
            "projects.list",
            "Lists projects.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            PROJECTS,
            "projects.create",
            "Creates a project.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ENTERPRISE_PROJECTS,
            "enterpriseProjects.list",
            "Lists enterprise projects.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list_enterprise(app, call, input))),
        ),
        row(
            "POST",
            ENTERPRISE_PROJECTS,
            "enterpriseProjects.create",
            "Creates an enterprise project.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create_enterprise(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    items(app.service.list_projects(&call, &page(&input, &[])?).await?, |project: Project| {
        Wire::from(&project)
    })
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let (id, name) = read(&input)?;
    let project = app.service.create_project(&call, id.as_deref(), &name).await?;
    Reply::json(StatusCode::CREATED, &Wire::from(&project))
}

async fn list_enterprise(app: &App, call: Call, input: Input) -> Result<Reply> {
    let paged = app.service.list_enterprise_projects(&call, &page(&input, &[])?).await?;
    items(paged, |project: EnterpriseProject| Wire::from(&project))
}

async fn create_enterprise(app: &App, call: Call, input: Input) -> Result<Reply> {
    let (id, name) = read(&input)?;
    let project = app.service.create_enterprise_project(&call, id.as_deref(), &name).await?;
    Reply::json(StatusCode::CREATED, &Wire::from(&project))
}

fn read(input: &Input) -> Result<(Option<String>, String)> {
    let mut body = input.json()?;
    let read = (body.optional_text("id")?, body.text("name")?);
    body.finish()?;
    Ok(read)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    id: String,
    name: String,
    created_at: String,
}

impl From<&Project> for Wire {
    fn from(project: &Project) -> Self {
        Self {
            id: project.id.to_string(),
            name: project.name.clone(),
            created_at: project.created_at.rfc3339_seconds(),
        }
    }
}

impl From<&EnterpriseProject> for Wire {
    fn from(project: &EnterpriseProject) -> Self {
        Self {
            id: project.id.to_string(),
            name: project.name.clone(),
            created_at: project.created_at.rfc3339_seconds(),
        }
    }
}
