//! What an action is performed on, as far as policies can ask about it.

use std::collections::BTreeMap;

use domain::{
    AccountId, Association, Cluster, ClusterId, EnterpriseProjectId, PolicyId, Principal, PrincipalKind,
    ProjectId,
};

/// The kind of pod identity associations, as policies and the audit call it.
pub(crate) const ASSOCIATION: &str = "podidentityassociation";

/// Something that exists, or is only named by a caller: a name that nothing has is decided like any other, so that the
/// answer does not tell whether it exists.
#[derive(Clone, Copy, Debug)]
pub struct Thing<'a> {
    pub(super) id: Id<'a>,
    pub(super) name: &'a str,
    pub(super) region: &'a str,
    /// Whose it is, if it may be another account's.
    pub(super) account: Option<&'a AccountId>,
    pub(super) project: Option<&'a ProjectId>,
    pub(super) enterprise_project: Known<&'a EnterpriseProjectId>,
    pub(super) cluster: Known<&'a ClusterId>,
    pub(super) tags: Option<&'a BTreeMap<String, String>>,
    /// Tags that the request wants to give it.
    pub(super) wanted_tags: Option<&'a BTreeMap<String, String>>,
    pub(super) kind: &'a str,
    /// A user, group or agency that it is about as well: policies may name either.
    pub(super) principal: Option<(PrincipalKind, &'a str, &'a str)>,
    /// By what it was asked for, if not by its id.
    asked_for: Option<&'a str>,
}

/// Which thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id<'a> {
    /// None: the action is about nothing in particular.
    None,
    /// This one.
    One(&'a str),
    /// Every one of its type, also those that will be there one day.
    Every,
}

/// A fact about a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known<T> {
    /// It has none.
    Absent,
    /// It has this one.
    Is(T),
    /// It stands for every value there may be.
    Every,
}

impl<'a> Thing<'a> {
    /// Nothing in particular.
    #[must_use]
    pub fn none() -> Self {
        Self {
            id: Id::None,
            name: "",
            region: "",
            account: None,
            project: None,
            enterprise_project: Known::Absent,
            cluster: Known::Absent,
            tags: None,
            wanted_tags: None,
            kind: "",
            principal: None,
            asked_for: None,
        }
    }

    /// A thing that is known by its id alone.
    #[must_use]
    pub fn named(kind: &'a str, id: &'a str) -> Self {
        Self { kind, id: Id::One(id), name: id, ..Self::none() }
    }

    /// A user, group or agency.
    #[must_use]
    pub fn principal(principal: &'a Principal) -> Self {
        let account = Some(&principal.account);
        Self { name: &principal.name, account, ..Self::named(principal.kind.as_str(), principal.id.as_str()) }
    }

    /// An identity policy.
    #[must_use]
    pub fn policy(id: &'a PolicyId, name: &'a str) -> Self {
        Self { name, ..Self::named("policy", id.as_str()) }
    }

    /// The same together with a user, group or agency.
    #[must_use]
    pub fn with(self, principal: &'a Principal) -> Self {
        Self { principal: Some((principal.kind, principal.id.as_str(), &principal.name)), ..self }
    }

    /// A cluster.
    #[must_use]
    pub fn cluster(cluster: &'a Cluster) -> Self {
        Self {
            name: &cluster.name,
            region: &cluster.region,
            project: Some(&cluster.project),
            enterprise_project: cluster.enterprise_project.as_ref().map_or(Known::Absent, Known::Is),
            cluster: Known::Is(&cluster.id),
            tags: Some(&cluster.labels),
            ..Self::named("cluster", cluster.id.as_str())
        }
    }

    /// A cluster that is to be registered there.
    #[must_use]
    pub fn new_cluster(project: &'a ProjectId, enterprise_project: Option<&'a EnterpriseProjectId>) -> Self {
        Self {
            project: Some(project),
            enterprise_project: enterprise_project.map_or(Known::Absent, Known::Is),
            ..Self::none()
        }
    }

    /// A cluster that is known by its id alone.
    #[must_use]
    pub fn unknown_cluster(id: &'a ClusterId) -> Self {
        Self { cluster: Known::Is(id), ..Self::named("cluster", id.as_str()) }
    }

    /// All clusters, those of the future included.
    #[must_use]
    pub fn every_cluster() -> Self {
        Self {
            kind: "cluster",
            id: Id::Every,
            enterprise_project: Known::Every,
            cluster: Known::Every,
            ..Self::none()
        }
    }

    /// What there is of pod identity associations in a cluster, as if it were one that nothing is known of.
    #[must_use]
    pub fn associations_in(cluster: &'a Cluster) -> Self {
        Self { id: Id::None, name: "", kind: ASSOCIATION, tags: None, ..Self::cluster(cluster) }
    }

    /// The same of a cluster that is known by its id alone.
    #[must_use]
    pub fn associations_in_unknown(cluster: &'a ClusterId) -> Self {
        Self { cluster: Known::Is(cluster), kind: ASSOCIATION, ..Self::none() }
    }

    /// A pod identity association of a cluster.
    #[must_use]
    pub fn association(association: &'a Association, cluster: &'a Cluster) -> Self {
        let id = Id::One(association.id.as_str());
        Self { id, tags: Some(&association.tags), ..Self::associations_in(cluster) }
    }

    /// The same with tags that it is to get.
    #[must_use]
    pub fn wanting_tags(self, tags: &'a BTreeMap<String, String>) -> Self {
        Self { wanted_tags: Some(tags), ..self }
    }

    /// Everything of one kind, what will be there one day included.
    #[must_use]
    pub fn every(kind: &'a str) -> Self {
        Self { kind, id: Id::Every, ..Self::none() }
    }

    /// The same, asked for by that text: a refusal repeats it, so that a name does not give away the id behind it.
    #[must_use]
    pub(crate) fn asked_for(self, text: &'a str) -> Self {
        Self { asked_for: Some(text), ..self }
    }

    /// As refusals and the audit call it.
    pub(crate) fn label(&self) -> String {
        match self.id {
            Id::None => String::new(),
            Id::One(id) => {
                let id = self.asked_for.unwrap_or(id);
                match self.principal {
                    None => format!("{}/{id}", self.kind),
                    Some((kind, principal, _)) => format!("{}/{id}/{kind}/{principal}", self.kind),
                }
            }
            Id::Every => format!("{}/*", self.kind),
        }
    }
}
