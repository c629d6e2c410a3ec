//! What pods of a service account would get, without giving it: for people who wonder why they get nothing.

use domain::{Association, Namespace, Result, ServiceAccountName};

use super::associations::{LIST, SHOW};
use super::refusal::{Refusal, Stopped};
use super::trust::Pods;
use super::workloads::{Workload, WorkloadKind};
use crate::authz::{self, Thing};
use crate::call::Call;
use crate::clusters::certificates::WhichCluster;
use crate::service::Service;

/// What it takes to ask.
const TEST: &str = "bailiwick:podIdentity:test";

/// Whose pods somebody asks about.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// One of its pods, by name.
    pub pod: Option<String>,
}

/// What they would get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// For whom their tokens must be.
    pub audience: String,
    /// The agency as which they would act, by name; `None` if no association says it, or one that the caller may not see.
    pub agency: Option<String>,
    /// Why they get nothing; `None` if they get credentials.
    pub refusal: Option<Refusal>,
}

impl Service {
    /// What the pods of a service account would get now. Each step of vending is taken but the last.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`; `Invalid` naming what is not a name.
    pub async fn try_vending(&self, call: &Call, cluster: WhichCluster<'_>, tried: &Tried) -> Result<Trial> {
        let right = authz::require_somewhere(call, TEST)?;
        let cluster = self.certifying(call, &right, cluster).await?;
        Namespace::parse("namespace", &tried.namespace)?;
        ServiceAccountName::parse("serviceAccount", &tried.service_account)?;
        if let Some(pod) = &tried.pod {
            // Pods are called like service accounts: a DNS subdomain.
            ServiceAccountName::parse("pod", pod)?;
        }
        let mut agency = None;
        let refusal = match self.tried(call, &cluster, tried, &mut agency).await {
            Ok(()) => None,
            Err(Stopped::Refused(refusal)) => Some(refusal),
            Err(Stopped::Failed(error)) => return Err(error),
        };
        Ok(Trial { audience: self.settings.pod_identity.audience.clone(), agency, refusal })
    }

    async fn tried(
        &self,
        call: &Call,
        cluster: &domain::Cluster,
        tried: &Tried,
        agency: &mut Option<String>,
    ) -> Result<(), Stopped> {
        let mut tx = self.store.read().await?;
        let reached = self.reached(&mut tx, cluster).await;
        // Whatever is wrong with the cluster, the association says as whom they would act.
        let pods = Pods { cluster, namespace: &tried.namespace, service_account: &tried.service_account };
        let entitled = self.entitled(&mut tx, &pods).await;
        tx.end().await?;
        if let Ok(entitled) = &entitled
            && may_see(call, &entitled.association, cluster)
        {
            *agency = Some(entitled.agency_name.clone());
        }
        let (reached, _) = reached?;
        // As a check does: other people need the cluster, too.
        self.limiter.check(&cluster.id)?;
        let _turn = self.turns.take(&cluster.id).await?;
        self.keys_of(&reached).await?;
        self.narrowed(&entitled?, &pods)?;
        let account =
            Some(&tried.service_account).map(|name| (WorkloadKind::ServiceAccount, name, "service account"));
        let pod = tried.pod.as_ref().map(|name| (WorkloadKind::Pod, name, "pod"));
        for (kind, name, what) in account.into_iter().chain(pod) {
            let workload = Workload { kind, namespace: tried.namespace.clone(), name: name.clone() };
            let uid = self.workloads.uid(&reached, &workload).await.map_err(Stopped::by_cluster)?;
            if uid.is_none() {
                return Err(Refusal::Missing(what).into());
            }
        }
        Ok(())
    }
}

/// Whether somebody may know what an association says.
fn may_see(call: &Call, association: &Association, cluster: &domain::Cluster) -> bool {
    let thing = Thing::association(association, cluster);
    [SHOW, LIST]
        .into_iter()
        .any(|action| authz::require_somewhere(call, action).is_ok_and(|right| right.holds_for(&thing)))
}
