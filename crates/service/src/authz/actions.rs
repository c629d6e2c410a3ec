//! Our own actions: what each use case asks for. Dialects have names of their own for many of them; policies may use
//! either, see [`super::Vocabulary`].

use super::fact::Fact;

/// What an action does, as the authorization tables of clouds tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Says which things there are.
    List,
    /// Tells about things.
    Read,
    /// Changes things.
    Write,
    /// Changes who may do what.
    Permissions,
}

impl Level {
    /// The level in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Write => "write",
            Self::Permissions => "permissions",
        }
    }
}

/// One of our actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// `bailiwick:<noun>:<verb>`.
    pub name: &'static str,
    /// What it does.
    pub level: Level,
    /// The type of the resource that statements may name; `None` if it has none, and needs `"Resource": ["*"]`.
    pub resource: Option<&'static str>,
    /// What is known about the thing that it is performed on, and can be asked by conditions.
    pub facts: &'static [Fact],
}

const CLUSTER: &[Fact] = &[Fact::ClusterId, Fact::EnterpriseProjectId, Fact::ResourceTag];
const NEW_TAGGED: &[Fact] = &[Fact::ClusterId, Fact::EnterpriseProjectId, Fact::RequestTag, Fact::TagKeys];
const CLUSTERS: &[Fact] = &[Fact::ClusterId, Fact::EnterpriseProjectId];

const fn plain(name: &'static str, level: Level) -> Action {
    Action { name, level, resource: None, facts: &[] }
}

const fn on(name: &'static str, level: Level, resource: &'static str) -> Action {
    Action { name, level, resource: Some(resource), facts: &[] }
}

const fn cluster(name: &'static str, level: Level) -> Action {
    Action { name, level, resource: Some("cluster"), facts: CLUSTER }
}

const fn association(name: &'static str, level: Level) -> Action {
    Action { name, level, resource: Some("podidentityassociation"), facts: CLUSTER }
}

const fn grant(name: &'static str, level: Level) -> Action {
    Action { name, level, resource: None, facts: CLUSTERS }
}

use Level::{List, Permissions, Read, Write};

/// All of them, by name.
pub const ACTIONS: &[Action] = &[
    plain("bailiwick:accessKey:create", Permissions),
    plain("bailiwick:accessKey:delete", Permissions),
    plain("bailiwick:accessKey:list", List),
    plain("bailiwick:accessKey:show", Read),
    plain("bailiwick:accessKey:update", Permissions),
    plain("bailiwick:account:show", Read),
    cluster("bailiwick:activity:import", Write),
    on("bailiwick:agency:assume", Write, "agency"),
    plain("bailiwick:agency:create", Permissions),
    plain("bailiwick:agency:delete", Permissions),
    plain("bailiwick:agency:list", List),
    on("bailiwick:agency:pass", Permissions, "agency"),
    plain("bailiwick:agency:setTrustPolicy", Permissions),
    plain("bailiwick:agency:show", Read),
    plain("bailiwick:agency:update", Permissions),
    plain("bailiwick:audit:list", List),
    plain("bailiwick:authorization:ask", Read),
    plain("bailiwick:authorizationMessage:decode", Read),
    cluster("bailiwick:certificate:issue", Write),
    cluster("bailiwick:certificate:list", List),
    cluster("bailiwick:certificate:revoke", Write),
    cluster("bailiwick:certificate:setLifetime", Write),
    cluster("bailiwick:cluster:check", Read),
    cluster("bailiwick:cluster:confirmRemovals", Write),
    Action {
        name: "bailiwick:cluster:create",
        level: Write,
        resource: None,
        facts: &[Fact::EnterpriseProjectId],
    },
    cluster("bailiwick:cluster:delete", Write),
    cluster("bailiwick:cluster:list", List),
    cluster("bailiwick:cluster:listRemovals", List),
    cluster("bailiwick:cluster:probe", Write),
    cluster("bailiwick:cluster:resume", Write),
    cluster("bailiwick:cluster:rotate", Write),
    cluster("bailiwick:cluster:show", Read),
    cluster("bailiwick:cluster:showConnector", Read),
    cluster("bailiwick:cluster:update", Write),
    plain("bailiwick:enterpriseProject:create", Write),
    plain("bailiwick:enterpriseProject:list", List),
    grant("bailiwick:grant:create", Permissions),
    grant("bailiwick:grant:delete", Permissions),
    grant("bailiwick:grant:list", List),
    grant("bailiwick:grant:show", Read),
    grant("bailiwick:grant:update", Permissions),
    plain("bailiwick:group:addMember", Permissions),
    plain("bailiwick:group:create", Permissions),
    plain("bailiwick:group:delete", Permissions),
    plain("bailiwick:group:list", List),
    plain("bailiwick:group:listMembers", List),
    plain("bailiwick:group:removeMember", Permissions),
    plain("bailiwick:group:show", Read),
    plain("bailiwick:group:update", Permissions),
    plain("bailiwick:metrics:show", Read),
    cluster("bailiwick:namespace:list", List),
    Action {
        name: "bailiwick:podIdentity:create",
        level: Write,
        resource: Some("podidentityassociation"),
        facts: NEW_TAGGED,
    },
    association("bailiwick:podIdentity:delete", Write),
    cluster("bailiwick:podIdentity:follow", Read),
    cluster("bailiwick:podIdentity:issueAgentKey", Permissions),
    association("bailiwick:podIdentity:list", List),
    cluster("bailiwick:podIdentity:renewAgentKey", Write),
    association("bailiwick:podIdentity:show", Read),
    cluster("bailiwick:podIdentity:test", Read),
    association("bailiwick:podIdentity:update", Write),
    cluster("bailiwick:podIdentity:vend", Write),
    on("bailiwick:policy:attach", Permissions, "policy"),
    plain("bailiwick:policy:create", Permissions),
    on("bailiwick:policy:delete", Permissions, "policy"),
    on("bailiwick:policy:detach", Permissions, "policy"),
    plain("bailiwick:policy:list", List),
    on("bailiwick:policy:show", Read, "policy"),
    on("bailiwick:policy:update", Permissions, "policy"),
    plain("bailiwick:project:create", Write),
    plain("bailiwick:project:list", List),
    plain("bailiwick:revocation:create", Permissions),
    plain("bailiwick:schema:list", List),
    plain("bailiwick:schema:show", Read),
    plain("bailiwick:token:revoke", Permissions),
    plain("bailiwick:token:show", Read),
    plain("bailiwick:user:create", Permissions),
    plain("bailiwick:user:delete", Permissions),
    plain("bailiwick:user:list", List),
    plain("bailiwick:user:listGroups", List),
    plain("bailiwick:user:setPassword", Permissions),
    plain("bailiwick:user:show", Read),
    plain("bailiwick:user:update", Permissions),
];

/// The action of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.binary_search_by(|action| action.name.cmp(name)).ok().and_then(|at| ACTIONS.get(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_found_by_its_name() {
        for action in ACTIONS {
            assert_eq!(find(action.name), Some(action), "the table is not sorted at {}", action.name);
        }
        assert_eq!(find("bailiwick:no:such"), None);
    }
}
