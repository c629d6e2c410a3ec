//! What should be in the cluster, with what is accepted of custom roles that are not the same any more.

use service::fleet::FleetDesired;

use super::Worker;
use crate::custom;

impl Worker {
    /// What should be in the cluster.
    pub(super) async fn wanted(&self) -> domain::Result<FleetDesired> {
        let mut fleet = self.shared.service.fleet_desired(&self.cluster).await?;
        self.learn_accepted(&mut fleet).await?;
        Ok(fleet)
    }

    /// Learns what was accepted of those roles that are not the same any more.
    async fn learn_accepted(&self, fleet: &mut FleetDesired) -> domain::Result<()> {
        let differing = custom::differing(fleet, &self.observer.view());
        if differing.is_empty() {
            return Ok(());
        }
        let rules = self.shared.service.fleet_accepted_rules(&self.cluster, &differing).await?;
        for accepted in fleet.accepted.values_mut() {
            accepted.rules = rules.get(&accepted.digest).cloned();
        }
        Ok(())
    }
}
