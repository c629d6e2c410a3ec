//! What should be in the cluster, with what is accepted of custom roles that are not the same any more.

use std::collections::HashMap;

use domain::GrantId;
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
        // Many grants of one role were mostly made of the same one: one of them is asked about.
        let mut first: HashMap<(String, String), GrantId> = HashMap::new();
        for grant in &differing {
            if let Some(accepted) = fleet.accepted.get(grant) {
                let same = (accepted.cluster_role.clone(), accepted.digest.clone());
                first.entry(same).or_insert_with(|| grant.clone());
            }
        }
        if first.is_empty() {
            return Ok(());
        }
        let asked: Vec<GrantId> = first.values().cloned().collect();
        let rules = self.shared.service.fleet_accepted_rules(&self.cluster, &asked).await?;
        for grant in &differing {
            if let Some(accepted) = fleet.accepted.get_mut(grant) {
                let same = (accepted.cluster_role.clone(), accepted.digest.clone());
                accepted.rules = first.get(&same).and_then(|first| rules.get(first)).cloned();
            }
        }
        Ok(())
    }
}
