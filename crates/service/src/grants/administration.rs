//! Who administers a cluster, or a namespace of one. A policy that allows changing grants is not enough to change them: whoever gives
//! rights in a place must have all of them there. Otherwise the right to write grants would be every right there is. The
//! same goes for saying who owns a cluster, which makes its administrator.

use domain::{
    ClusterId, ClusterScope, Denial, Error, GrantSpec, Missing, Namespace, NamespaceScope, Permission, Place,
    Result, Role,
};
use store::{Administered, AdministeredNamespaces, ReadTx, WriteTx};

use crate::call::Call;
use crate::service::Service;

/// What changing a grant takes beside a policy that allows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantRequires {
    /// To administer each place that the grant is or was about.
    #[default]
    Administration,
    /// Nothing: whoever a policy lets write grants may give anybody everything, themselves included.
    Policy,
}

/// Places that have to be administered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Territory<'a> {
    clusters: &'a ClusterScope,
    /// Nothing but these of each; `None` is the whole of each.
    namespaces: Option<&'a [Namespace]>,
}

impl<'a> Territory<'a> {
    /// Clusters as a whole.
    pub(crate) fn clusters(clusters: &'a ClusterScope) -> Self {
        Self { clusters, namespaces: None }
    }

    /// What it takes to write a grant. A role of the cluster's own takes its administrator even in a namespace: what it
    /// allows is not known here, and it may not be there yet.
    pub(crate) fn of_grant(spec: &'a GrantSpec) -> Self {
        let namespaces = match (&spec.namespaces, &spec.role) {
            (NamespaceScope::All, _) | (NamespaceScope::Listed(_), Role::Custom(_)) => None,
            (
                NamespaceScope::Listed(names),
                Role::Administrator
                | Role::AdministratorView
                | Role::Operator
                | Role::Developer
                | Role::Viewer,
            ) => Some(names.as_slice()),
        };
        Self { clusters: &spec.clusters, namespaces }
    }
}

/// What somebody administers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Administration {
    clusters: Administered,
    namespaces: AdministeredNamespaces,
}

impl Administration {
    /// All there is.
    pub(crate) fn everything() -> Self {
        let clusters = Administered { all: true, ..Administered::default() };
        Self { clusters, ..Self::default() }
    }

    /// Whether they administer a cluster as a whole; without one, all clusters.
    pub(crate) fn covers_cluster(&self, cluster: Option<&ClusterId>) -> bool {
        self.clusters.all || cluster.is_some_and(|id| self.clusters.clusters.contains(id))
    }

    /// Whether they administer a place.
    pub(crate) fn covers(&self, place: &Place) -> bool {
        self.covers_cluster(place.cluster())
            || place
                .cluster()
                .zip(place.namespace())
                .is_some_and(|(cluster, name)| self.covers_namespace(cluster, name))
    }

    /// Whether they may give this, or take it away. A role of the cluster's own takes its administrator: what it allows is
    /// not known here, and it may not be there yet.
    pub(crate) fn may_give(&self, permission: &Permission) -> bool {
        match &permission.role {
            Role::Custom(_) => self.covers_cluster(permission.place.cluster()),
            Role::Administrator
            | Role::AdministratorView
            | Role::Operator
            | Role::Developer
            | Role::Viewer => self.covers(&permission.place),
        }
    }

    fn covers_namespace(&self, cluster: &ClusterId, namespace: &Namespace) -> bool {
        self.namespaces.everywhere.contains(namespace)
            || self.namespaces.of_clusters.contains(&(cluster.clone(), namespace.clone()))
    }

    /// The first of the clusters in which they do not administer all of the territory.
    fn first_outside(&self, territory: &Territory<'_>) -> Option<String> {
        let within = |covers: &dyn Fn(&Namespace) -> bool| {
            territory.namespaces.is_some_and(|names| names.iter().all(covers))
        };
        match territory.clusters {
            ClusterScope::All => {
                let all =
                    self.covers_cluster(None) || within(&|name| self.namespaces.everywhere.contains(name));
                (!all).then(|| "cluster/*".to_owned())
            }
            ClusterScope::Listed(ids) => {
                let is_outside = |id: &&ClusterId| {
                    !self.covers_cluster(Some(id)) && !within(&|name| self.covers_namespace(id, name))
                };
                ids.iter().find(is_outside).map(|id| format!("cluster/{id}"))
            }
        }
    }
}

impl Service {
    /// Lets the call pass if its caller administers all of `territories`: the root user and the members of
    /// `administrators` do, owners of a cluster do, and who holds a grant of the role administrator there does.
    ///
    /// # Errors
    /// `Forbidden` naming the first cluster that they do not administer.
    pub(crate) async fn require_administration(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        action: &str,
        territories: &[Territory<'_>],
    ) -> Result<()> {
        match self.not_administered(tx, call, territories).await? {
            Some(resource) => Err(refused(action, &resource)),
            None => Ok(()),
        }
    }

    /// The first cluster in which the caller would have to administer more than they do, to change grants there.
    pub(crate) async fn not_administered(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        territories: &[Territory<'_>],
    ) -> Result<Option<String>> {
        let administration = self.administration(tx, call).await?;
        Ok(territories.iter().find_map(|territory| administration.first_outside(territory)))
    }

    /// What the caller administers, as far as changing grants goes.
    pub(crate) async fn administration(&self, tx: &mut ReadTx, call: &Call) -> Result<Administration> {
        match self.settings.grant_requires {
            GrantRequires::Policy => Ok(Administration::everything()),
            GrantRequires::Administration => self.own_administration(tx, call).await,
        }
    }

    /// What the caller administers, whatever changing grants takes.
    pub(crate) async fn own_administration(&self, tx: &mut ReadTx, call: &Call) -> Result<Administration> {
        let caller = &call.caller;
        if caller.root || caller.is_unlimited_administrator() {
            return Ok(Administration::everything());
        }
        let clusters = tx.administered(call.account(), &caller.principal).await?;
        let namespaces = match clusters.all {
            true => AdministeredNamespaces::default(),
            false => tx.administered_namespaces(call.account(), &caller.principal).await?,
        };
        Ok(Administration { clusters, namespaces })
    }
}

/// The refusal of who does not administer a thing.
pub(crate) fn refused(action: &str, resource: &str) -> Error {
    let reasons = "a policy allows it, but the caller does not administer the cluster";
    let denial = Denial {
        action: action.to_owned(),
        resource: resource.to_owned(),
        reasons: reasons.to_owned(),
        missing: Missing::Administration,
    };
    Error::denied(denial).with_hint(
        "changing a cluster's grants, owner, labels or names of people takes administering it: its owner does, and who holds a grant of the role \
         administrator on all its namespaces; who holds one on some namespaces may grant predefined roles in these",
    )
}
