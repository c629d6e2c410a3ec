//! Which clusters a request is about, and which part of a list it wants: the project of its path, its enterprise project,
//! `offset` and `limit`.

use domain::{Error, ProjectId, Result};
use service::{Call, Within};

use super::settings::EnterpriseProjects;
use crate::App;
use crate::dialects::huawei::path_project;
use crate::head::Head;
use crate::operation::Input;

/// The key of the query.
const KEY: &str = "enterprise_project_id";
/// The id that the vendor gives to the default enterprise project.
const DEFAULT: &str = "0";
const ALL: &str = "all_granted_eps";

/// Where clusters are looked for.
pub(super) struct Scope {
    pub(super) project: ProjectId,
    pub(super) within: Within,
}

impl Scope {
    /// Of a request about many clusters: without an enterprise project, the default one is meant.
    pub(super) fn of_many(app: &App, call: &Call, input: &Input) -> Result<Self> {
        Self::read(app, call, input, Within::Default)
    }

    /// Of a request that names its cluster: what is left out narrows nothing.
    pub(super) fn of_one(app: &App, call: &Call, input: &Input) -> Result<Self> {
        Self::read(app, call, input, Within::Everywhere)
    }

    fn read(app: &App, call: &Call, input: &Input, unsaid: Within) -> Result<Self> {
        let project = path_project(call, input)?;
        let said = said(&input.head)?;
        let within = match (app.settings.dialects.huawei.hss.enterprise_projects, said) {
            (EnterpriseProjects::Unused, _) => Within::Everywhere,
            (EnterpriseProjects::Used, None) => unsaid,
            (EnterpriseProjects::Used, Some(DEFAULT)) => Within::Default,
            (EnterpriseProjects::Used, Some(ALL)) => Within::Granted,
            (EnterpriseProjects::Used, Some(id)) => Within::One(id.to_owned()),
        };
        Ok(Self { project, within })
    }
}

/// The enterprise project in which something is to be made; `None` is the default one.
pub(super) fn of_new(app: &App, head: &Head) -> Result<Option<String>> {
    match (app.settings.dialects.huawei.hss.enterprise_projects, said(head)?) {
        (EnterpriseProjects::Unused, _) | (EnterpriseProjects::Used, None | Some(DEFAULT)) => Ok(None),
        (EnterpriseProjects::Used, Some(ALL)) => {
            Err(Error::invalid(KEY, "must be one enterprise project, or `0` for the default one"))
        }
        (EnterpriseProjects::Used, Some(id)) => Ok(Some(id.to_owned())),
    }
}

fn said(head: &Head) -> Result<Option<&str>> {
    length(KEY, head.query(KEY), 256)
}

/// A text that has to have some length if it is there. The SDK leaves out what is not set; an empty value is a mistake.
pub(super) fn length<'a>(field: &str, text: Option<&'a str>, most: usize) -> Result<Option<&'a str>> {
    match text {
        Some(text) if text.is_empty() || text.chars().count() > most => {
            Err(Error::invalid(field, format!("must be 1 to {most} characters")))
        }
        text => Ok(text),
    }
}

/// The cluster that a path names.
pub(super) fn cluster_id(input: &Input) -> Result<&str> {
    let id = input.parameters.get("cluster_id");
    length("cluster_id", Some(id), 64).map(|_| id)
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    offset: usize,
    limit: usize,
}

impl Part {
    /// Reads `offset` and `limit`.
    pub(super) fn read(head: &Head) -> Result<Self> {
        Ok(Self {
            offset: number(head, "offset", (0, 2_000_000), 0)?,
            limit: number(head, "limit", (10, 200), 10)?,
        })
    }

    /// That part.
    pub(super) fn of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let rest = all.get(self.offset..).unwrap_or_default();
        rest.get(..self.limit).unwrap_or(rest)
    }
}

fn number(head: &Head, key: &str, (least, most): (usize, usize), unsaid: usize) -> Result<usize> {
    let Some(text) = head.query(key) else { return Ok(unsaid) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (least..=most).contains(number));
    number.ok_or_else(|| Error::invalid(key, format!("must be a number from {least} to {most}")))
}
