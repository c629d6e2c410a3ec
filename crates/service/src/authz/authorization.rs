//! May somebody do something, and why: the answer that an operation would get, with the statements that make it.

use std::sync::Arc;

use domain::{
    Cluster, ClusterId, ClusterScope, Error, PolicyId, PolicyScope, Principal, PrincipalId, PrincipalKind,
    Result,
};
use policy::{Decision, Effect, StatementRef};
use store::ReadTx;

use crate::authz::actions::Action;
use crate::authz::inquiry::{self, Supposed, Whose};
use crate::authz::{self, Thing};
use crate::call::Call;
use crate::grants::administration::Territory;
use crate::service::Service;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Inquiry {
    /// About whom, a user or an agency by id or name; `None` is who asks.
    pub principal: Option<(PrincipalKind, String)>,
    /// Which action, under any name that policies know it by.
    pub action: String,
    /// On what: `cluster/<id or name>`, `policy/…`, `user/…`, a name as policies write it, or `*`. Nothing means
    /// everything that the action could be about.
    pub resource: Option<String>,
    /// Condition keys, and values that are supposed for them.
    pub conditions: Vec<(String, Vec<String>)>,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether it is allowed.
    pub allowed: bool,
    /// What the policies say: `allow`, `explicit-deny` or `default-deny`.
    pub effect: &'static str,
    /// About whom.
    pub principal: Asked,
    /// Our own name of the action.
    pub action: &'static str,
    /// What it was decided for; empty if the action is about nothing in particular.
    pub resource: String,
    /// The statements that made it.
    pub statements: Vec<Ground>,
    /// Allows that name the action and do not allow it, with what keeps each.
    pub nearest: Vec<(Ground, String)>,
    /// All of it in words.
    pub reasons: String,
}

/// About whom something was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// User or agency.
    pub kind: PrincipalKind,
    /// The id.
    pub id: PrincipalId,
    /// The name.
    pub name: String,
}

/// A statement of a policy that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The policy's id; `None` for what the members of the group of administrators hold, and for the limits of a session.
    pub policy: Option<PolicyId>,
    /// The policy's name.
    pub name: String,
    /// The statement's place, counted from 0; `None` if the policy cannot be read.
    pub statement: Option<usize>,
    /// What the statement calls itself.
    pub sid: Option<String>,
    /// Through which group it is held; `None` if it is held directly.
    pub group: Option<String>,
    /// Where it holds.
    pub scope: PolicyScope,
}

impl Service {
    /// Says whether somebody may do something. Everybody may ask about themselves.
    ///
    /// # Errors
    /// `Forbidden` for a question about others; `NotFound` if there is nobody like that in the account; `Invalid` naming
    /// the field.
    pub async fn authorize(&self, call: &Call, inquiry: &Inquiry) -> Result<Verdict> {
        let whose = whose(call, inquiry);
        if whose == Whose::Other {
            authz::require(call, "bailiwick:authorization:ask")?;
        }
        let action = self.settings.vocabulary.action_named(&inquiry.action);
        let action = action.ok_or_else(|| {
            Error::invalid("action", format!("`{}` is not the name of an operation here", inquiry.action))
        })?;
        let mut tx = self.store.read().await?;
        let asked = match (&inquiry.principal, whose) {
            (Some(principal), Whose::Other) => self.call_of(&mut tx, call, principal).await?,
            (Some(_) | None, Whose::Asker | Whose::Other) => call.clone(),
        };
        let target = self.target(&mut tx, call, action, inquiry.resource.as_deref()).await?;
        let scope = target.clusters();
        let lacks = match scope.filter(|_| is_change_of_grants(action)) {
            Some(scope) => self.not_administered(&mut tx, &asked, &[Territory::clusters(&scope)]).await?,
            None => None,
        };
        tx.end().await?;
        let supposed = Supposed { conditions: inquiry.conditions.clone(), origin: whose };
        let decision = inquiry::decide(&asked, action, &target.thing(), &supposed)?;
        Ok(verdict(&asked, action, &target, decision, lacks))
    }

    /// Somebody else of the account, as if they called.
    async fn call_of(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        (kind, id_or_name): &(PrincipalKind, String),
    ) -> Result<Call> {
        if *kind == PrincipalKind::Group {
            return Err(Error::invalid("principal", "must be a user or an agency: groups do not act"));
        }
        let found = tx.principal_named(call.account(), *kind, id_or_name).await?;
        let found = found.ok_or_else(|| Error::not_found(kind.as_str(), id_or_name))?;
        let caller = self.caller(tx, call.account(), &found.id).await?;
        let caller = caller.ok_or_else(|| {
            Error::conflict(format!("{kind} `{id_or_name}` is disabled and may do nothing"))
        })?;
        Ok(Call { caller: Arc::new(caller), project: None, origin: call.origin.clone(), signed: None })
    }

    /// What is asked about. A name that nothing has is decided like any other.
    async fn target(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        action: &'static Action,
        resource: Option<&str>,
    ) -> Result<Target> {
        let is_about_clusters = action.resource == Some("cluster") || is_of_grants(action);
        let (kind, id) = match resource {
            None | Some("*") if is_about_clusters => return Ok(Target::Every("cluster")),
            None | Some("*") => return Ok(action.resource.map_or(Target::Nothing, Target::Every)),
            Some(text) => parts(text)?,
        };
        let account = call.account();
        if kind == "cluster" {
            let all = tx.clusters(account).await?;
            let found =
                all.iter().find(|c| c.id.as_str() == id).or_else(|| all.iter().find(|c| c.name == id));
            return match (found, id) {
                (_, "*") => Ok(Target::Every("cluster")),
                (Some(cluster), _) => Ok(Target::Cluster(Box::new(cluster.clone()))),
                (None, _) => Ok(Target::UnknownCluster(ClusterId::parse("resource", id)?)),
            };
        }
        if let Ok(kind) = PrincipalKind::parse("resource", kind) {
            return Ok(match tx.principal_named(account, kind, id).await? {
                Some(principal) => Target::Principal(Box::new(principal)),
                None => Target::Other(kind.as_str().to_owned(), id.to_owned()),
            });
        }
        if kind == "policy"
            && let Ok(found) = self.policy_named(tx, call, id.into()).await
        {
            return Ok(Target::Policy(found.id().clone(), found.name().to_owned()));
        }
        Ok(Target::Other(kind.to_owned(), id.to_owned()))
    }
}

/// What is asked about, once it is known.
enum Target {
    Nothing,
    Every(&'static str),
    Cluster(Box<Cluster>),
    UnknownCluster(ClusterId),
    Principal(Box<Principal>),
    Policy(PolicyId, String),
    Other(String, String),
}

impl Target {
    fn thing(&self) -> Thing<'_> {
        match self {
            Self::Nothing => Thing::none(),
            Self::Every("cluster") => Thing::every_cluster(),
            Self::Every(kind) => Thing::every(kind),
            Self::Cluster(cluster) => Thing::cluster(cluster),
            Self::UnknownCluster(id) => Thing::unknown_cluster(id),
            Self::Principal(principal) => Thing::principal(principal),
            Self::Policy(id, name) => Thing::policy(id, name),
            Self::Other(kind, id) => Thing::named(kind, id),
        }
    }

    fn clusters(&self) -> Option<ClusterScope> {
        match self {
            Self::Every("cluster") => Some(ClusterScope::All),
            Self::Cluster(cluster) => Some(ClusterScope::Listed(vec![cluster.id.clone()])),
            Self::UnknownCluster(id) => Some(ClusterScope::Listed(vec![id.clone()])),
            Self::Nothing | Self::Every(_) | Self::Principal(_) | Self::Policy(..) | Self::Other(..) => None,
        }
    }
}

fn is_of_grants(action: &Action) -> bool {
    action.name.starts_with("bailiwick:grant:")
}

fn is_change_of_grants(action: &Action) -> bool {
    ["bailiwick:grant:create", "bailiwick:grant:update", "bailiwick:grant:delete"].contains(&action.name)
}

fn whose(call: &Call, inquiry: &Inquiry) -> Whose {
    let caller = &call.caller;
    match &inquiry.principal {
        Some((kind, id))
            if *kind != caller.kind || (id != caller.principal.as_str() && *id != caller.name) =>
        {
            Whose::Other
        }
        Some(_) | None => Whose::Asker,
    }
}

/// `kind/id`, or the five parts of a name as policies write it, whose last may be `kind/id` itself.
fn parts(text: &str) -> Result<(&str, &str)> {
    let mut pieces = text.splitn(5, ':').skip(3);
    let found = match (pieces.next(), pieces.next()) {
        (Some(kind), Some(id)) => {
            id.split_once('/').filter(|_| kind.is_empty() || id.contains('/')).or(Some((kind, id)))
        }
        _ => text.split_once('/'),
    };
    found.filter(|(kind, id)| !kind.is_empty() && !id.is_empty()).ok_or_else(|| {
        Error::invalid("resource", "must be `*`, `cluster/<id or name>`, or five parts separated by colons")
    })
}

fn verdict(
    call: &Call,
    action: &'static Action,
    target: &Target,
    decision: Decision,
    lacks: Option<String>,
) -> Verdict {
    let caller = &call.caller;
    let effect = if caller.root { Effect::Allow } else { decision.effect };
    let reasons = match lacks.as_deref().filter(|_| effect == Effect::Allow) {
        _ if caller.root => "the root user may do everything".to_owned(),
        Some(cluster) => format!(
            "{}; but changing grants takes administering the cluster as well, and `{cluster}` is not administered",
            authz::reasons(call, &decision)
        ),
        None => authz::reasons(call, &decision),
    };
    let grounds = |statement: &StatementRef| grounds(call, statement);
    Verdict {
        allowed: effect == Effect::Allow && lacks.is_none(),
        effect: effect.as_str(),
        principal: Asked { kind: caller.kind, id: caller.principal.clone(), name: caller.name.clone() },
        action: action.name,
        resource: target.thing().label(),
        statements: match caller.root {
            true => Vec::new(),
            false => decision.statements.iter().flat_map(grounds).collect(),
        },
        nearest: decision
            .nearest
            .iter()
            .flat_map(|miss| {
                grounds(&miss.statement).into_iter().map(|ground| (ground, miss.why.to_string()))
            })
            .filter(|_| !caller.root)
            .collect(),
        reasons,
    }
}

/// The statement with each place in which its policy is held.
fn grounds(call: &Call, statement: &StatementRef) -> Vec<Ground> {
    let held = call.caller.rights.held.iter().filter(|held| held.document.name() == statement.document);
    let ground = |policy, group, scope| Ground {
        policy,
        name: statement.document.clone(),
        statement: statement.index,
        sid: statement.sid.clone(),
        group,
        scope,
    };
    let mut found: Vec<Ground> =
        held.map(|held| ground(held.policy.clone(), held.group.clone(), held.scope.clone())).collect();
    if found.is_empty() {
        found.push(ground(None, None, PolicyScope::Account));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_named_shortly_or_as_policies_name_them() {
        for (text, expected) in [
            ("cluster/prod", ("cluster", "prod")),
            ("x:*:acc:cluster:c1", ("cluster", "c1")),
            ("x::acc:user:ada", ("user", "ada")),
            ("x:y:*:acc:cluster/c1", ("cluster", "c1")),
        ] {
            assert_eq!(parts(text).unwrap(), expected, "{text}");
        }
        for text in ["", "cluster", "cluster/", "/x", "a:b:c"] {
            assert_eq!(parts(text).unwrap_err().field(), Some("resource"), "{text}");
        }
    }
}
