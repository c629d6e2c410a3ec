//! Twenty statements and a table of requests, each written down in both languages, and how both are asked.
//!
//! Cedar gets what it is best at: actions in groups, resources as entities with attributes, requests and entities that are
//! built beforehand. Ours gets documents and requests that are built beforehand as well.

use std::error::Error;

use cedar_policy::{Authorizer, Decision, Entities, EntityUid, PolicySet};
use policy::{Document, Effect, Grammar, Resource};
use serde_json::{Value, json};

/// How many teams there are, each with four statements.
const TEAMS: usize = 5;

/// The account of everything.
const ACCOUNT: &str = "acct";

/// A question, before it is put into words.
struct Question {
    /// `type:operation`.
    action: &'static str,
    /// Type and path of the resource; without it, the action has none.
    resource: Option<(&'static str, String)>,
    /// Condition keys: as ours spells them, as Cedar's context does, and the value.
    keys: Vec<(&'static str, &'static str, String)>,
}

/// Ours, ready to be asked.
pub struct Ours {
    documents: Vec<Document>,
    requests: Vec<policy::Request>,
}

/// Cedar, ready to be asked.
pub struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    requests: Vec<cedar_policy::Request>,
}

/// Both, with the same statements and the same questions.
pub fn both() -> Result<(Ours, Cedar), Box<dyn Error>> {
    let questions = questions();
    let documents: Result<Vec<Document>, _> = (0..TEAMS)
        .map(|team| Document::parse(&format!("team-{team}"), &document(team).to_string(), &[Grammar::Identity]))
        .collect();
    let ours = Ours { documents: documents?, requests: questions.iter().map(our_request).collect() };
    let text: String = (0..TEAMS).map(cedar_policies).collect();
    let requests: Result<Vec<cedar_policy::Request>, Box<dyn Error>> =
        questions.iter().enumerate().map(|(at, question)| cedar_request(at, question)).collect();
    let cedar = Cedar {
        authorizer: Authorizer::new(),
        policies: text.parse()?,
        entities: Entities::from_json_value(Value::Array(entities(&questions)), None)?,
        requests: requests?,
    };
    Ok((ours, cedar))
}

impl Ours {
    /// How many questions there are.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether each question is allowed.
    pub fn answers(&self) -> Vec<bool> {
        let documents: Vec<&Document> = self.documents.iter().collect();
        self.requests.iter().map(|request| policy::effect(&documents, request) == Effect::Allow).collect()
    }

    /// Asks every question once, for the answer alone.
    pub fn ask(&self) -> usize {
        let documents: Vec<&Document> = self.documents.iter().collect();
        self.requests.iter().filter(|request| policy::effect(&documents, request) == Effect::Allow).count()
    }

    /// Asks every question once, for the answer and its reasons.
    pub fn ask_why(&self) -> usize {
        let documents: Vec<&Document> = self.documents.iter().collect();
        self.requests.iter().filter(|request| policy::decide(&documents, request).is_allowed()).count()
    }
}

impl Cedar {
    /// Whether each question is allowed.
    pub fn answers(&self) -> Vec<bool> {
        self.requests.iter().map(|request| self.is_allowed(request)).collect()
    }

    /// Asks every question once; its answer comes with reasons.
    pub fn ask(&self) -> usize {
        self.requests.iter().filter(|request| self.is_allowed(request)).count()
    }

    fn is_allowed(&self, request: &cedar_policy::Request) -> bool {
        self.authorizer.is_authorized(request, &self.policies, &self.entities).decision() == Decision::Allow
    }
}

/// One team's statements in our language.
fn document(team: usize) -> Value {
    json!({"Version": "5.0", "Statement": [
        {"Effect": "Allow", "Action": ["cce:accessPolicy:list", "cce:accessPolicy:get"], "Resource": ["*"],
         "Condition": {"StringEquals": {"g:ProjectName": [format!("region-{team}")]}}},
        {"Effect": "Allow", "Action": ["cce:podIdentityAssociation:*"],
         "Resource": [format!("cce:*:{ACCOUNT}:podidentityassociation:*")],
         "Condition": {"StringEquals": {"cce:ClusterId": [format!("c-{team}-0"), format!("c-{team}-1")]}}},
        {"Effect": "Allow", "Action": ["cce:cluster:getCluster", "cce:cluster:update"],
         "Resource": [format!("cce:*:{ACCOUNT}:cluster:team-{team}-*")],
         "Condition": {"StringEquals": {"g:EnterpriseProjectId": [format!("ep-{team}")]}}},
        {"Effect": "Deny", "Action": ["cce:podIdentityAssociation:delete"], "Resource": ["*"],
         "Condition": {"StringEquals": {"g:ResourceTag/env": [format!("prod-{team}")]}}}
    ]})
}

/// The same in Cedar's.
fn cedar_policies(team: usize) -> String {
    format!(
        r#"
        permit(principal, action in [Action::"accessPolicy:list", Action::"accessPolicy:get"], resource)
        when {{ context has projectName && context.projectName == "region-{team}" }};
        permit(principal, action in Action::"podIdentityAssociation", resource)
        when {{ resource.account == "{ACCOUNT}" && resource.type == "podidentityassociation"
            && context has clusterId && ["c-{team}-0", "c-{team}-1"].contains(context.clusterId) }};
        permit(principal, action in [Action::"cluster:getCluster", Action::"cluster:update"], resource)
        when {{ resource.account == "{ACCOUNT}" && resource.type == "cluster" && resource.path like "team-{team}-*"
            && context has enterpriseProject && context.enterpriseProject == "ep-{team}" }};
        forbid(principal, action == Action::"podIdentityAssociation:delete", resource)
        when {{ context has env && context.env == "prod-{team}" }};
        "#
    )
}

/// Questions of every outcome: allowed by the first and the last team's statements, for another team's things, without
/// the key, denied, and for an action that nobody names.
fn questions() -> Vec<Question> {
    let mut found = Vec::new();
    let project = |name: String| vec![("g:ProjectName", "projectName", name)];
    let cluster = |id: String| ("cce:ClusterId", "clusterId", id);
    let enterprise = |id: String| vec![("g:EnterpriseProjectId", "enterpriseProject", id)];
    let env = |value: String| ("g:ResourceTag/env", "env", value);
    let pod = || Some(("podidentityassociation", "a1b2".to_owned()));
    for team in [0, TEAMS - 1, TEAMS] {
        let named = |prefix: &str| format!("{prefix}-{team}");
        let at = |action, resource, keys| Question { action, resource, keys };
        found.extend([
            at("accessPolicy:list", None, project(named("region"))),
            at("accessPolicy:post", None, project(named("region"))),
            at("podIdentityAssociation:list", pod(), vec![cluster(format!("c-{team}-1"))]),
            at("podIdentityAssociation:list", pod(), vec![]),
            at("podIdentityAssociation:delete", pod(), vec![cluster(format!("c-{team}-0")), env("dev".into())]),
            at("podIdentityAssociation:delete", pod(), vec![cluster(format!("c-{team}-0")), env(named("prod"))]),
            at("cluster:getCluster", Some(("cluster", format!("team-{team}-7f3a"))), enterprise(named("ep"))),
            at("cluster:getCluster", Some(("cluster", "team-x-7f3a".into())), enterprise(named("ep"))),
        ]);
    }
    found
}

fn our_request(question: &Question) -> policy::Request {
    let resource = match &question.resource {
        None => Resource::none(),
        Some((kind, path)) => Resource::new(["cce", "region-0", ACCOUNT, kind, path]),
    };
    let context = question
        .keys
        .iter()
        .fold(policy::Context::new(), |context, (key, _, value)| context.with(key, value.as_str()));
    policy::Request::new(&format!("cce:{}", question.action), resource, context)
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, Box<dyn Error>> {
    Ok(EntityUid::from_json(json!({"type": kind, "id": id}))?)
}

fn cedar_request(at: usize, question: &Question) -> Result<cedar_policy::Request, Box<dyn Error>> {
    let context: serde_json::Map<String, Value> =
        question.keys.iter().map(|(_, key, value)| ((*key).to_owned(), json!(value))).collect();
    let context = cedar_policy::Context::from_json_value(Value::Object(context), None)?;
    let (action, resource) = (uid("Action", question.action)?, uid("Thing", &at.to_string())?);
    Ok(cedar_policy::Request::new(uid("User", "ada")?, action, resource, context, None)?)
}

/// The caller, the actions in their groups, and the resource of each question.
fn entities(questions: &[Question]) -> Vec<Value> {
    let entity = |kind: &str, id: &str, attributes: Value, parents: Value| {
        json!({"uid": {"type": kind, "id": id}, "attrs": attributes, "parents": parents})
    };
    let mut found = vec![entity("User", "ada", json!({}), json!([]))];
    let mut actions: Vec<&str> = questions.iter().map(|question| question.action).collect();
    actions.sort_unstable();
    actions.dedup();
    for action in actions {
        let group = action.split(':').next().unwrap_or_default();
        found.push(entity("Action", action, json!({}), json!([{"type": "Action", "id": group}])));
    }
    for (at, question) in questions.iter().enumerate() {
        let attributes = question.resource.as_ref().map_or_else(
            || json!({}),
            |(kind, path)| json!({"account": ACCOUNT, "type": kind, "path": path}),
        );
        found.push(entity("Thing", &at.to_string(), attributes, json!([])));
    }
    found
}
