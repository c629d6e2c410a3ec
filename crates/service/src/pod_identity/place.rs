//! The cluster that a request about associations means, and what is said of one that is not there.

use domain::{Cluster, ClusterId, Error, Result};
use store::ReadTx;

use crate::authz::{Right, Thing};
use crate::call::Call;
use crate::clusters::certificates::WhichCluster;
use crate::clusters::named_among;

/// The account's cluster of that name or id, in the project that the request names.
///
/// # Errors
/// For one that is not there `Forbidden` if the right would not hold in it, else `NotFound`: an id of another account, or of
/// another project, is none.
pub(super) async fn cluster(
    tx: &mut ReadTx,
    call: &Call,
    right: &Right<'_>,
    which: WhichCluster<'_>,
) -> Result<Cluster> {
    let all = tx.clusters(call.account()).await?;
    let (text, found) = match which {
        WhichCluster::IdOrName(text) => (text, named_among(all, text)),
        WhichCluster::Id(id) => (id, all.into_iter().find(|one| one.id.as_str() == id)),
        WhichCluster::InProject { project, id } => {
            let is_it = |one: &Cluster| one.id.as_str() == id && one.project.as_str() == project;
            (id, all.into_iter().find(is_it))
        }
    };
    match found {
        Some(found) => Ok(found),
        None => {
            right.on(&Thing::associations_in_unknown(&ClusterId::stored(text)))?;
            Err(Error::not_found("cluster", text))
        }
    }
}
