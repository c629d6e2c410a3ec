//! `/v3/projects`, `/v3/auth/projects`, `/v3/auth/domains`. The SDKs ask for them by themselves: for the project of
//! a region while a client is built, for the account of a global credential.

use domain::{Account, Project, Result};
use http::StatusCode;
use serde::Serialize;
use service::{Call, PageRequest};

use super::part::Part;
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = |path, name, summary, handler| Operation {
        method: "GET",
        path,
        name,
        summary,
        body: BodyRule::None,
        handler,
    };
    vec![
        row(
            "/v3/projects",
            "iam.keystoneListProjects",
            "Lists the account's projects.",
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "/v3/auth/projects",
            "iam.keystoneListAuthProjects",
            "Lists the projects that the caller may use.",
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "/v3/auth/domains",
            "iam.keystoneListAuthDomains",
            "Lists the accounts that the caller may use: their own.",
            Handler::Authenticated(|app, call, input| Box::pin(domains(app, call, input))),
        ),
    ]
}

/// The longest page that can be asked for.
const LONGEST: usize = 5000;

pub(super) async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let part = Part::read(&input.head, LONGEST)?;
    let mut request = PageRequest { limit: Some(1000), cursor: None };
    let mut found = Vec::new();
    loop {
        let page = app.service.list_projects(&call, &request).await?;
        found.extend(page.items);
        request.cursor = page.next;
        if request.cursor.is_none() {
            break;
        }
    }
    let query = |key: &str| input.head.query(key).filter(|value| !value.is_empty());
    let wanted = |project: &&Project| {
        query("name").is_none_or(|name| name == project.name)
            && query("domain_id").is_none_or(|id| id == project.account.as_str())
            && query("parent_id").is_none_or(|id| id == project.account.as_str())
            && query("enabled").is_none_or(|enabled| enabled == "true")
            && query("is_domain").is_none_or(|is_domain| is_domain == "false")
    };
    let wanted: Vec<&Project> = found.iter().filter(wanted).collect();
    let projects = part.of(&wanted).iter().map(|project| wire(project)).collect();
    Reply::json(StatusCode::OK, &Projects { projects, links: Links::to(&input.head.path) })
}

async fn domains(app: &App, call: Call, input: Input) -> Result<Reply> {
    let account = app.service.show_account(&call).await?;
    let links = Links::to(&input.head.path);
    Reply::json(StatusCode::OK, &Domains { domains: vec![domain(&account)], links })
}

#[derive(Serialize)]
struct Projects<'a> {
    projects: Vec<Wire<'a>>,
    links: Links<'a>,
}

#[derive(Serialize)]
struct Domains<'a> {
    domains: Vec<Domain<'a>>,
    links: Links<'a>,
}

#[derive(Serialize)]
struct Links<'a> {
    #[serde(rename = "self")]
    this: &'a str,
    previous: Option<&'a str>,
    next: Option<&'a str>,
}

impl<'a> Links<'a> {
    fn to(path: &'a str) -> Self {
        Self { this: path, previous: None, next: None }
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    name: &'a str,
    domain_id: &'a str,
    parent_id: &'a str,
    is_domain: bool,
    enabled: bool,
    description: &'static str,
    links: SelfLink,
}

#[derive(Serialize)]
struct Domain<'a> {
    id: &'a str,
    name: &'a str,
    enabled: bool,
    description: &'static str,
    links: SelfLink,
}

#[derive(Serialize)]
struct SelfLink {
    #[serde(rename = "self")]
    this: String,
}

fn wire(project: &Project) -> Wire<'_> {
    Wire {
        id: project.id.as_str(),
        name: &project.name,
        domain_id: project.account.as_str(),
        parent_id: project.account.as_str(),
        is_domain: false,
        enabled: true,
        description: "",
        links: SelfLink { this: format!("/v3/projects/{}", project.id) },
    }
}

fn domain(account: &Account) -> Domain<'_> {
    Domain {
        id: account.id.as_str(),
        name: &account.name,
        enabled: true,
        description: "",
        links: SelfLink { this: format!("/v3/domains/{}", account.id) },
    }
}
