//! What somebody holds: policies, from whom, and for which part of the account.

use std::sync::Arc;

use domain::{ClusterId, PolicyId, PolicyScope, PrincipalId, Result};
use policy::{Document, Known, Side, StatementRef, first_uncovered};
use store::{AgentRole, HeldPolicy, ReadTx};

use super::ADMINISTRATORS;
use super::vocabulary::{GRAMMARS, Vocabulary};
use crate::pod_identity::agents;

/// A policy that somebody holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its id; `None` for what the members of the group of administrators hold.
    pub policy: Option<PolicyId>,
    /// Its document, named like the policy.
    pub document: Arc<Document>,
    /// The document as text, to tell whether it changed.
    text: Arc<str>,
    /// Through which group; `None` if it is held directly.
    pub group: Option<String>,
    /// Where it holds.
    pub scope: PolicyScope,
    /// What of it counts where it holds only for a part of what is asked about.
    denials: Arc<Document>,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        let parts = |held: &Self| (held.policy.clone(), held.group.clone(), held.scope.clone());
        self.text == other.text && parts(self) == parts(other)
    }
}

impl Eq for Held {}

/// All that somebody may do by policies.
#[derive(Clone, Debug)]
pub struct Rights {
    /// What they hold.
    pub(crate) held: Vec<Held>,
    /// Their groups, id and name.
    pub(crate) groups: Vec<(PrincipalId, String)>,
    /// Limits of the session: of each set one document must allow as well, and each of them may deny.
    pub(crate) limits: Vec<Vec<Arc<Document>>>,
    /// What belonging to the account is enough for, unless a policy denies it.
    by_membership: &'static [&'static str],
    pub(crate) vocabulary: Arc<Vocabulary>,
}

impl PartialEq for Rights {
    fn eq(&self, other: &Self) -> bool {
        self.held == other.held && self.groups == other.groups
    }
}

impl Eq for Rights {}

impl Rights {
    /// No rights at all.
    #[must_use]
    pub fn none(vocabulary: Arc<Vocabulary>) -> Self {
        Self { held: Vec::new(), groups: Vec::new(), limits: Vec::new(), by_membership: &[], vocabulary }
    }

    /// What a principal holds, itself and through its groups.
    pub(crate) async fn read(
        tx: &mut ReadTx,
        vocabulary: &Arc<Vocabulary>,
        principal: &PrincipalId,
    ) -> Result<Self> {
        let groups = tx.groups_of(principal).await?;
        let mut held = Vec::new();
        for found in tx.held_policies(principal).await? {
            held.extend(read_held(vocabulary, found));
        }
        if groups.iter().any(|(_, name)| name == ADMINISTRATORS) {
            held.push(administration(vocabulary));
        }
        let rights = Self { held, groups, ..Self::none(Arc::clone(vocabulary)) };
        Ok(match tx.cluster_of_agent(principal).await? {
            None => rights,
            Some((cluster, role)) => rights.of_agent(&cluster, role),
        })
    }

    /// What an agent of pod identity of a cluster may do. It is also all that it may: whatever policies or groups it is
    /// given besides, it stays within that.
    fn of_agent(mut self, cluster: &ClusterId, role: AgentRole) -> Self {
        let text = agents::document(cluster, role);
        let document = Arc::new(Document::stored(agents::DOCUMENT, &text, &GRAMMARS));
        self.held.push(Held {
            policy: None,
            denials: Arc::new(document.denials()),
            document: Arc::clone(&document),
            text: Arc::from(text),
            group: None,
            scope: PolicyScope::Account,
        });
        self.limits = vec![vec![document]];
        self
    }

    /// What whoever may do everything has: a policy that allows it, which limits can limit.
    pub(crate) fn everything(vocabulary: &Arc<Vocabulary>) -> Self {
        Self::of(administration(vocabulary), vocabulary)
    }

    /// The same within limits.
    pub(crate) fn within(&self, limits: Vec<Vec<Arc<Document>>>) -> Self {
        let limits = self.limits.iter().cloned().chain(limits).collect();
        Self { limits, ..self.clone() }
    }

    /// The same where belonging to the account is enough for `actions`.
    pub(crate) fn by_membership(&self, actions: &'static [&'static str]) -> Self {
        Self { by_membership: actions, ..self.clone() }
    }

    /// Whether belonging to the account is enough for an action. In a session that is limited it is enough for nothing.
    pub(super) fn is_by_membership(&self, action: &str) -> bool {
        !self.is_limited() && self.by_membership.contains(&action)
    }

    /// Whether they are those of a session that may do less than whoever began it.
    pub(super) fn is_limited(&self) -> bool {
        !self.limits.is_empty()
    }

    /// One policy alone, as if somebody held nothing else.
    pub(crate) fn of(held: Held, vocabulary: &Arc<Vocabulary>) -> Self {
        Self { held: vec![held], ..Self::none(Arc::clone(vocabulary)) }
    }

    /// What a group gives to its members.
    pub(crate) async fn read_group(
        tx: &mut ReadTx,
        vocabulary: &Arc<Vocabulary>,
        (id, name): (&PrincipalId, &str),
    ) -> Result<Self> {
        let mut rights = Self::read(tx, vocabulary, id).await?;
        if name == ADMINISTRATORS {
            rights.held.push(administration(vocabulary));
        }
        Ok(rights)
    }

    /// The first statement by which `theirs` may do something that these rights do not hold; `None` if there is none,
    /// for certain. Limits of `theirs` are not looked at: they end with the session.
    #[must_use]
    pub fn first_missing(&self, theirs: &Self) -> Option<StatementRef> {
        let vocabulary = &self.vocabulary;
        let is_shared = |key: &str| vocabulary.is_of_the_thing(key);
        let known = Known { is_shared: &is_shared, operations: vocabulary.operations() };
        let own_denies: Vec<&Document> = self.held.iter().map(|held| &*held.document).collect();
        theirs.held.iter().find_map(|held| {
            let own = self.documents(|scope| scope.covers(&held.scope));
            let their_denies = theirs.documents(|scope| scope.covers(&held.scope));
            let wanted = [&*held.document];
            let their_side = Side { allows: &wanted, denies: &their_denies };
            let missing = first_uncovered(Side { allows: &own, denies: &own_denies }, their_side, known);
            missing.or_else(|| {
                self.limits.iter().find_map(|limit| {
                    let limit: Vec<&Document> = limit.iter().map(|document| &**document).collect();
                    first_uncovered(Side { allows: &limit, denies: &limit }, their_side, known)
                })
            })
        })
    }

    /// Whether an allow names the action, whatever else it asks for.
    ///
    /// # Errors
    /// `Internal` for an action that there is not.
    pub(crate) fn may_allow(&self, action: &str) -> Result<bool> {
        Ok(super::question::may_allow(self, super::known(action)?))
    }

    fn documents(&self, wanted: impl Fn(&PolicyScope) -> bool) -> Vec<&Document> {
        self.held.iter().filter(|held| wanted(&held.scope)).map(|held| &*held.document).collect()
    }
}

/// What a document attached to somebody gives them. A policy that is neither the account's nor shipped any more gives
/// nothing; nobody can tell what it denied.
pub(crate) fn read_held(vocabulary: &Vocabulary, found: HeldPolicy) -> Option<Held> {
    let (document, text) = match found.own {
        Some((name, text)) => (Arc::new(Document::stored(&name, &text, &GRAMMARS)), text),
        None => {
            let shipped = vocabulary.shipped_named(found.policy.as_str())?;
            (Arc::clone(&shipped.document), shipped.text.clone())
        }
    };
    Some(Held {
        policy: Some(found.policy),
        denials: Arc::new(document.denials()),
        document,
        text: Arc::from(text),
        group: found.group,
        scope: found.scope,
    })
}

fn administration(vocabulary: &Vocabulary) -> Held {
    Held {
        policy: None,
        denials: Arc::new(vocabulary.administration().denials()),
        document: Arc::clone(vocabulary.administration()),
        text: Arc::from(""),
        group: Some(ADMINISTRATORS.to_owned()),
        scope: PolicyScope::Account,
    }
}

impl Held {
    /// A document that nobody holds yet, to compare with what somebody holds.
    pub(crate) fn proposed(policy: &PolicyId, name: &str, text: &str, scope: PolicyScope) -> Self {
        let document = Document::stored(name, text, &GRAMMARS);
        Self {
            policy: Some(policy.clone()),
            denials: Arc::new(document.denials()),
            document: Arc::new(document),
            text: Arc::from(text),
            group: None,
            scope,
        }
    }

    pub(super) fn denials(&self) -> &Document {
        &self.denials
    }

    /// As explanations call it: which policy, attached where.
    #[must_use]
    pub fn describe(&self) -> String {
        let name = self.document.name();
        let through = match &self.group {
            None if self.policy.is_none() => return "being the agent of a cluster".to_owned(),
            Some(group) if self.policy.is_none() => return format!("membership in the group `{group}`"),
            Some(group) => format!("the group `{group}`"),
            None => "the principal itself".to_owned(),
        };
        match &self.scope {
            PolicyScope::Account => format!("policy `{name}` attached to {through}"),
            PolicyScope::Project(id) => format!("policy `{name}` attached to {through} for project `{id}`"),
            PolicyScope::EnterpriseProject(id) => {
                format!("policy `{name}` attached to {through} for enterprise project `{id}`")
            }
        }
    }
}
