//! The namespaces of a cluster that somebody has rights in: asked of the cluster, and cut to what grants say.

use std::collections::BTreeSet;

use domain::{ClusterId, Denial, Error, Missing, Namespace, NamespaceScope, Result};

use crate::authz;
use crate::call::Call;
use crate::service::Service;

/// What it takes to see namespaces.
const LIST: &str = "bailiwick:namespace:list";

impl Service {
    /// The namespaces, by name, in which the caller holds a role; of a cluster by its id, for names are no ids here.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster; `Forbidden`, also if the caller holds no role there; `Conflict` with a sentence
    /// for people if the cluster has no connection or does not answer.
    pub async fn list_namespaces(&self, call: &Call, id: &str) -> Result<Vec<Namespace>> {
        let right = authz::require_somewhere(call, LIST)?;
        let cluster = self.cluster_for(call, &right, id).await?;
        if cluster.id.as_str() != id {
            return Err(Error::not_found("cluster", id));
        }
        let mut tx = self.store.read().await?;
        let administration = self.own_administration(&mut tx, call).await?;
        let held = tx.held_grants(call.account(), &call.caller.principal).await?;
        let row = tx.cluster_row(&cluster.id).await?;
        tx.end().await?;
        let mut own = BTreeSet::new();
        let mut holds_all = administration.covers_cluster(Some(&cluster.id));
        for grant in held.grants.iter().filter(|grant| grant.covers(&cluster.id)) {
            match &grant.spec.namespaces {
                NamespaceScope::All => holds_all = true,
                NamespaceScope::Listed(names) => own.extend(names.iter().cloned()),
            }
        }
        if !holds_all && own.is_empty() {
            return Err(nothing_there(&cluster.id));
        }
        let row = row.ok_or_else(|| {
            Error::conflict(format!(
                "cluster `{}` has no connection: nobody knows its namespaces",
                cluster.name
            ))
        })?;
        let connection = self.open_connection(&row.id, &row.account, &row.sealed_connection)?;
        let mut there = self.contact.namespaces(&connection).await?;
        there.retain(|name| holds_all || own.contains(name));
        there.sort();
        Ok(there)
    }
}

fn nothing_there(cluster: &ClusterId) -> Error {
    let denial = Denial {
        action: LIST.to_owned(),
        resource: format!("cluster/{cluster}"),
        reasons: "a policy allows it, but the caller holds no role there".to_owned(),
        missing: Missing::Administration,
    };
    Error::denied(denial).with_hint("you hold no role in any of its namespaces")
}
