//! Which cluster a request means. People write ids or names; the vendors' paths hold ids and nothing else, and one of them
//! the project of the cluster, too.

use domain::{Cluster, ClusterId, Error, Result};

use crate::authz::{Right, Thing};
use crate::call::Call;
use crate::service::Service;

/// What a request names a cluster by.
#[derive(Clone, Copy, Debug)]
pub enum WhichCluster<'a> {
    /// By id, else by name.
    IdOrName(&'a str),
    /// By id alone.
    Id(&'a str),
    /// By id, in that project and no other.
    InProject {
        /// The project's id.
        project: &'a str,
        /// The cluster's id.
        id: &'a str,
    },
}

impl<'a> From<&'a str> for WhichCluster<'a> {
    fn from(text: &'a str) -> Self {
        Self::IdOrName(text)
    }
}

impl Service {
    /// The cluster, on which the right must hold. Whether there is one is told to those only who would be let in.
    pub(crate) async fn certifying(
        &self,
        call: &Call,
        right: &Right<'_>,
        which: WhichCluster<'_>,
    ) -> Result<Cluster> {
        let (id, project) = match which {
            WhichCluster::IdOrName(text) => return self.cluster_for(call, right, text).await,
            WhichCluster::Id(id) => (id, None),
            WhichCluster::InProject { project, id } => (id, Some(project)),
        };
        let mut tx = self.store.read().await?;
        let found = tx.cluster(call.account(), id).await?;
        tx.end().await?;
        match found {
            Some(found) => {
                right.on(&Thing::cluster(&found))?;
                let is_there = project.is_none_or(|project| found.project.as_str() == project);
                is_there.then_some(found).ok_or_else(|| Error::not_found("cluster", id))
            }
            None => {
                right.on(&Thing::unknown_cluster(&ClusterId::stored(id)))?;
                Err(Error::not_found("cluster", id))
            }
        }
    }
}
