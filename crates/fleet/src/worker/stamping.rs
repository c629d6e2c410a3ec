//! The mark in the cluster that says how far our database had come when we last wrote there: looked at before anything
//! is written, renewed after what was, so that an older copy of the database is known by it. See [`domain::lineage`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{Stamp, Standing};
use rbac::{Change, ObjectName, Owner, stamp};
use service::fleet::FleetDesired;
use service::installation::lineage::{MAX_LINES, PlanView};
use tokio::time::Instant;

use super::Worker;
use crate::apply::Outcome;
use crate::client::{ApiClient, MAX_ANSWER, segment};
use crate::pass::Look;
use crate::wire::{self, StampObject};

/// A busy cluster's mark is renewed no more often than that.
const PAUSE: Duration = Duration::from_secs(1);
/// When it is tried again after it was refused.
const AGAIN: Duration = Duration::from_secs(60);

/// What a worker knows about the mark in its cluster.
#[derive(Default)]
pub(super) struct Stamping {
    /// When it was last looked at, and found in order.
    checked_at: Option<Instant>,
    /// Whether somebody confirmed that our database counts more than what the mark says. Then what is taken away
    /// needs no other reason, until the mark is renewed.
    confirmed: bool,
    /// How far the database had come by the mark.
    written: Option<i64>,
    /// Whether its name is among those that were applied.
    recorded: bool,
    /// When it is to be renewed.
    pub(super) due: Option<Instant>,
    /// Before that it is not renewed.
    not_before: Option<Instant>,
    /// The plan that was told last while the installation was held.
    told: Option<PlanView>,
}

/// Whether a pass may go on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// The mark is in order, or there is none.
    Fine,
    /// The cluster did not show it.
    Later,
}

impl Stamping {
    /// Whether what is taken away needs no reason beyond the operator's confirmation.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether the mark was looked at since the installation was last held.
    pub(super) fn is_checked(&self) -> bool {
        self.checked_at.is_some()
    }

    /// Notes what a pass did.
    pub(super) fn after_pass<'a>(
        &mut self,
        fleet: &FleetDesired,
        outcomes: impl Iterator<Item = &'a Outcome>,
        began: Instant,
    ) {
        let (mut changed, mut failed) = (false, false);
        for outcome in outcomes {
            match outcome {
                Outcome::Done => changed = true,
                Outcome::NamespaceGone | Outcome::Moved => {}
                Outcome::Failed(_) | Outcome::Skipped(_) => failed = true,
            }
        }
        if fleet.removed {
            self.due = None;
            return;
        }
        let Some(now) = &fleet.stamp else { return };
        let moved = self.written != Some(now.sum);
        let looked_anew = self.checked_at == Some(began);
        // A confirmation counts until all that it was about is done.
        let wanted = match self.confirmed {
            true => !failed,
            // Where nothing of ours is, nothing is left to show that we were there.
            false => changed || (looked_anew && moved && !fleet.recorded.is_empty()),
        };
        if wanted {
            let earliest = self.not_before.unwrap_or_else(Instant::now);
            self.due.get_or_insert(earliest);
        }
    }
}

impl Worker {
    /// Looks at the mark, the first time and then from time to time. If it says that our database is an older copy,
    /// the installation is held from now on, which the desired state that is read next will say.
    pub(super) async fn check_stamp(&mut self, client: &ApiClient, now: Instant) -> domain::Result<Checked> {
        let fresh = self.stamping.checked_at.is_some_and(|at| now < at + self.shared.resync);
        if fresh || self.shared.service.hold().is_some() {
            return Ok(Checked::Fine);
        }
        let found: Result<StampObject, _> = client.get(&path(&stamp::name(&self.owner())), MAX_ANSWER).await;
        let sealed = match found {
            Ok(object) => object.stamp(),
            Err(failure) if failure.is(404) => None,
            // Who may not read it cannot be told by it.
            Err(failure) if failure.is(403) => {
                tracing::warn!(cluster = %self.cluster, failure = %failure, "fleet.stamp.unreadable");
                None
            }
            Err(failure) => {
                tracing::warn!(cluster = %self.cluster, failure = %failure, "fleet.stamp.unread");
                self.due = self.due.min(Instant::now() + self.backoff.next());
                return Ok(Checked::Later);
            }
        };
        if let Some(sealed) = sealed {
            let looked = self.shared.service.fleet_check_stamp(&self.cluster, &sealed).await?;
            self.stamping.written = looked.sum;
            match looked.standing {
                Standing::Consistent => {}
                Standing::Confirmed => self.stamping.confirmed = true,
                Standing::Older => return Ok(Checked::Fine),
            }
        }
        self.stamping.checked_at = Some(now);
        self.shared.service.fleet_asked(&self.cluster);
        Ok(Checked::Fine)
    }

    /// Tells what would be done, and does none of it.
    pub(super) async fn tell_plan(&mut self, look: &Look, version: Option<String>) -> domain::Result<()> {
        let changes: Vec<&Change> = look.plan.changes().collect();
        let plan = PlanView {
            grows: look.plan.grow.len(),
            shrinks: look.plan.removals().count(),
            lines: changes.iter().take(MAX_LINES).map(ToString::to_string).collect(),
        };
        self.stamping.checked_at = None;
        self.reporter.connected(version);
        self.reporter.tell(Vec::new()).await?;
        if self.stamping.told.as_ref() != Some(&plan) {
            tracing::warn!(
                cluster = %self.cluster,
                grows = plan.grows,
                shrinks = plan.shrinks,
                "fleet.pass.held: the installation is held, nothing is written"
            );
            self.shared.service.fleet_held_plan(&self.cluster, plan.clone()).await?;
            self.stamping.told = Some(plan);
        }
        Ok(())
    }

    /// Renews the mark if it is time. It says what the last pass had read.
    pub(super) async fn renew_stamp(&mut self) {
        let now = Instant::now();
        if self.stamping.due.is_none_or(|due| due > now) || self.shared.service.hold().is_some() {
            return;
        }
        let last = self.facts.as_ref().and_then(|facts| facts.fleet.stamp.clone());
        let (Some(stamp), Some(client)) = (last, self.client.clone()) else { return };
        match self.write_stamp(&client, &stamp).await {
            Ok(()) => {
                self.stamping.confirmed = false;
                self.stamping.told = None;
                self.stamping.written = Some(stamp.sum);
                self.stamping.due = None;
                self.stamping.not_before = Some(now + PAUSE);
            }
            Err(reason) => {
                tracing::warn!(cluster = %self.cluster, reason, "fleet.stamp.not_written");
                self.stamping.due = Some(now + AGAIN);
            }
        }
    }

    async fn write_stamp(&mut self, client: &Arc<ApiClient>, stamp: &Stamp) -> Result<(), String> {
        let owner = self.owner();
        let name = stamp::name(&owner);
        if !self.stamping.recorded {
            let recorded = self.shared.service.fleet_record(&self.lease, std::slice::from_ref(&name)).await;
            recorded.map_err(|error| error.to_string())?;
            self.stamping.recorded = true;
        }
        let sealed = self.shared.service.fleet_seal_stamp(&self.cluster, stamp).await;
        let body = wire::stamp(&name, &stamp::labels(&owner), &sealed.map_err(|error| error.to_string())?);
        let written: Result<StampObject, _> = client.apply(&path(&name), &body).await;
        written.map(drop).map_err(|failure| failure.to_string())
    }

    pub(super) fn owner(&self) -> Owner {
        Owner { installation: self.shared.service.installation().clone(), cluster: self.cluster.clone() }
    }
}

fn path(object: &ObjectName) -> String {
    format!("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{}", segment(&object.name))
}

/// What became of every object of a pass.
pub(super) fn outcomes<'a>(
    grown: &'a BTreeMap<ObjectName, Outcome>,
    shrunk: &'a BTreeMap<ObjectName, Outcome>,
) -> impl Iterator<Item = &'a Outcome> {
    grown.values().chain(shrunk.values())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::{InstallationId, Timestamp};

    use super::*;
    use crate::failure::Failure;

    fn fleet(sum: i64, recorded: bool) -> FleetDesired {
        let installation = InstallationId::stored("i");
        let owner = Owner { installation: installation.clone(), cluster: domain::ClusterId::stored("c") };
        FleetDesired {
            revision: 1,
            installation,
            grants: Vec::new(),
            revoked: Vec::new(),
            recorded: if recorded { BTreeSet::from([stamp::name(&owner)]) } else { BTreeSet::new() },
            names: rbac::SubjectNames::default(),
            stays_for: None,
            suspended: false,
            removed: false,
            stamp: Some(Stamp { lineage: "l".into(), sum, at: Timestamp::from_millis(0) }),
            hold: None,
            most_bindings: 100,
            accepted: std::collections::HashMap::new(),
            role_growth: service::RoleGrowth::Hold,
        }
    }

    fn is_due(stamping: &mut Stamping, fleet: &FleetDesired, outcomes: &[Outcome], began: Instant) -> bool {
        stamping.after_pass(fleet, outcomes.iter(), began);
        stamping.due.take().is_some()
    }

    #[test]
    fn a_stamp_is_due_after_a_change_and_where_nothing_changed_only_if_the_database_moved_on() {
        let (checked, later) = (Instant::now(), Instant::now() + PAUSE);
        let mut stamping = Stamping { checked_at: Some(checked), written: Some(7), ..Stamping::default() };
        assert!(is_due(&mut stamping, &fleet(7, true), &[Outcome::Done], later));
        assert!(!is_due(&mut stamping, &fleet(9, true), &[], later), "an idle cluster costs no writes");
        assert!(!is_due(&mut stamping, &fleet(7, true), &[], checked), "and none when it is looked at anew");
        assert!(is_due(&mut stamping, &fleet(9, true), &[], checked));
        assert!(!is_due(&mut stamping, &fleet(9, false), &[], checked), "nothing of ours is there");
        let removed = FleetDesired { removed: true, ..fleet(9, true) };
        assert!(!is_due(&mut stamping, &removed, &[Outcome::Done], later));
    }

    #[test]
    fn a_confirmation_counts_until_all_that_it_was_about_is_done() {
        let later = Instant::now();
        let mut stamping = Stamping { confirmed: true, ..Stamping::default() };
        let failed = Outcome::Failed(Failure::Unauthorized);
        assert!(!is_due(&mut stamping, &fleet(7, true), &[Outcome::Done, failed], later));
        assert!(stamping.is_confirmed());
        assert!(is_due(&mut stamping, &fleet(7, true), &[Outcome::Done], later));
    }

    #[test]
    fn a_busy_cluster_is_stamped_no_more_often_than_once_a_second() {
        let now = Instant::now();
        let mut stamping = Stamping { not_before: Some(now + PAUSE), ..Stamping::default() };
        stamping.after_pass(&fleet(7, true), [Outcome::Done].iter(), now);
        assert_eq!(stamping.due, Some(now + PAUSE));
    }
}
