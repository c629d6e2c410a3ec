//! What a plan takes away must have been decided by somebody. Where that is not recorded and it is much, it waits.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use rbac::{Change, ObjectName, ObservedBinding, Owner, Subject};
use service::fleet::FleetDesired;

use super::Worker;
use crate::pass::Look;

/// How many subjects a line names.
const NAMED: usize = 5;

impl Worker {
    /// Takes out of the plan what no recorded revoke explains, if that is more than a few objects and nobody said that
    /// it may go. Asked only of plans that take much away.
    pub(super) async fn hold_back(
        &mut self,
        owner: &Owner,
        fleet: &FleetDesired,
        look: &mut Look,
    ) -> domain::Result<()> {
        let few = self.shared.unexplained_removals;
        let objects: BTreeSet<&ObjectName> = look.plan.removals().map(Change::object).collect();
        if objects.len() <= few || fleet.removed || self.stamping.is_confirmed() {
            return self.nothing_waits().await;
        }
        let roles = rbac::removed_roles(&look.plan, self.observer.view().bindings());
        let mut evidence = rbac::Evidence::about(&look.plan, self.observer.view().bindings());
        let mut take = |version: &rbac::RecordedVersion| {
            evidence.add(version, &fleet.names);
            // Those that stand come first, so all of them were seen before any that ended.
            match version.ended && evidence.knows_every_end() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        self.shared.service.fleet_versions(&self.cluster, &roles, &mut take).await?;
        let (mut waiting, lines) = {
            let view = self.observer.view();
            let (plan, desired, bindings) = (&look.plan, &look.desired, view.bindings());
            let mut found = rbac::unexplained(plan, desired, bindings, &view.namespaces(), &evidence);
            look.drop_withheld(&mut found, &view);
            let line = |(object, lost): (&ObjectName, &BTreeSet<Subject>)| {
                Some((object.clone(), line(view.binding(object)?, lost)))
            };
            let lines: BTreeMap<ObjectName, String> = found.iter().filter_map(line).collect();
            (found, lines)
        };
        if waiting.len() <= few {
            return self.nothing_waits().await;
        }
        let confirmed = self.shared.service.fleet_wait(&self.lease, &lines).await?;
        waiting.retain(|object, _| !confirmed.contains(object));
        if waiting.len() <= few {
            waiting.clear();
        }
        if self.waiting != Some(waiting.len()) {
            tracing::warn!(
                cluster = %self.cluster,
                count = waiting.len(),
                "fleet.removals.unexplained: {}",
                self.sentence(waiting.len())
            );
        }
        // A confirmation is for this once: the next pass with nothing to confirm forgets it.
        self.waiting = if confirmed.is_empty() { Some(waiting.len()) } else { None };
        let plan = std::mem::take(&mut look.plan);
        look.plan = rbac::hold_back(owner, plan, self.observer.view().bindings(), &waiting);
        Ok(())
    }

    /// What people should know about what waits; empty if nothing does.
    pub(super) fn about_waiting(&self) -> String {
        match self.waiting {
            None | Some(0) => String::new(),
            Some(count) => self.sentence(count),
        }
    }

    fn sentence(&self, count: usize) -> String {
        format!(
            "{count} bindings would go though no revoke of them is recorded; they wait: see `bailiwick cluster \
             removals {0}`, and let them go with `bailiwick cluster confirm-removals {0}`",
            self.cluster
        )
    }

    async fn nothing_waits(&mut self) -> domain::Result<()> {
        if self.waiting != Some(0) {
            self.shared.service.fleet_wait(&self.lease, &BTreeMap::new()).await?;
            self.waiting = Some(0);
        }
        Ok(())
    }
}

/// For example `view for User ann, User bob and 3 more`.
fn line(binding: &ObservedBinding, lost: &BTreeSet<Subject>) -> String {
    let names: Vec<String> = lost
        .iter()
        .take(NAMED)
        .map(|subject| format!("{} {}", subject.kind.as_str(), subject.name))
        .collect();
    let more = match lost.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!(" and {more} more"),
        Some(_) | None => String::new(),
    };
    crate::failure::clean(&format!("{} for {}{more}", binding.role_name, names.join(", ")))
}
