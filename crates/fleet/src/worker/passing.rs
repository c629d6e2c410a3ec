//! One pass: read what should be, compare, carry out, note what came of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rbac::{Change, ObjectName, Owner, Slot, Subject};
use service::fleet::FleetDesired;
use tokio::time::Instant;

use super::stamping::{Checked, outcomes};
use super::{LATE, MIN_INTERVAL, NOTICED, REPORT_DELAY, Worker};
use crate::apply::{Applier, News, Outcome};
use crate::client::ApiClient;
use crate::failure::Failure;
use crate::inquiry;
use crate::pass::{self, Facts, Look};
use crate::roles;
use crate::states::Leftover;
use crate::tracker::Aim;
use crate::view::kind_of;

impl Worker {
    /// Makes the cluster follow.
    pub(super) async fn pass(
        &mut self,
        client: &Arc<ApiClient>,
        version: Option<String>,
    ) -> domain::Result<()> {
        let began = Instant::now();
        self.last_pass = Some(began);
        let news = News::since_now(self.shared.service.changes());
        if self.check_stamp(client, began).await? == Checked::Later {
            return Ok(());
        }
        let mut fleet = self.wanted().await?;
        if fleet.hold.is_none() && !self.stamping.is_checked() {
            // The hold has just ended, and this server has yet to hear of it: the mark was not looked at.
            self.due = began + NOTICED;
            return Ok(());
        }
        if fleet.suspended {
            // Whose objects these are is not known before somebody says so.
            self.facts = None;
            self.reporter.connected(version);
            return self.report().await;
        }
        if let Some(stays) = fleet.stays_for {
            self.due = self.due.min(Instant::now() + stays.max(MIN_INTERVAL));
        }
        let owner = Owner { installation: fleet.installation.clone(), cluster: self.cluster.clone() };
        let read = Instant::now();
        let mut look = pass::look(&owner, &fleet, &self.observer.view());
        if fleet.hold.is_some() {
            return self.tell_plan(&look, version).await;
        }
        self.hold_back(&owner, &fleet, &mut look).await?;
        let planned = Instant::now();
        for taken in &look.plan.taken {
            tracing::warn!(cluster = %self.cluster, object = %taken.object, "fleet.name.taken");
        }
        self.record(&look, &mut fleet).await?;
        self.observer.view().know_ours(&owner, &fleet.recorded);
        let held = std::mem::take(&mut self.held);
        let applier = Applier { client, owner: &owner, observer: &self.observer, held: &held, news };
        // Who only loses does not wait for anything.
        let mut shrunk = applier.shrink(&look.plan.revoke).await;
        let role_failures = roles::ensure(client, &look.lacking, &held.roles).await;
        let grown = applier.grow(&look.plan.grow).await;
        // Whatever became of growing: who changes to a role that is refused loses the old one nevertheless. A right that
        // nothing grants any more is taken away even if that leaves somebody with none.
        shrunk.extend(applier.shrink(&look.plan.shrink).await);
        self.observer.view().expect_nothing();
        tracing::debug!(
            cluster = %self.cluster,
            revision = fleet.revision,
            grown = grown.len(),
            shrunk = shrunk.len(),
            read_us = read.duration_since(began).as_micros(),
            plan_us = planned.duration_since(read).as_micros(),
            write_us = planned.elapsed().as_micros(),
            "fleet.pass.done"
        );
        self.held.hold(&look.plan.grow, &grown);
        self.held.hold(&look.plan.revoke, &shrunk);
        self.held.hold(&look.plan.shrink, &shrunk);
        self.held.roles.clone_from(&role_failures);
        self.retry_after(grown.values().chain(shrunk.values()), role_failures.values());
        self.stamping.after_pass(&fleet, outcomes(&grown, &shrunk), began);
        self.forget(&fleet, &grown).await?;

        let troubles = pass::troubles(&look, &grown, &role_failures);
        let leftovers = self.leftovers(&owner, &fleet, &look, &shrunk);
        let added = std::mem::take(&mut look.added);
        let facts = Facts::new(fleet, owner, look, troubles, leftovers);
        self.track(&facts, &added);
        let changed = self.observer.view().take_changed_roles();
        self.tracker.doubt(inquiry::bound_to(&facts, &changed).into_iter(), Instant::now());
        if std::mem::take(&mut self.in_doubt) {
            self.tracker.doubt(facts.fleet.grants.iter().map(|grant| &grant.id), Instant::now());
        }
        self.facts = Some(facts);
        self.reporter.connected(version);
        self.reporter.note(self.about_waiting());
        self.ask();
        self.mind_others();
        // While the cluster thinks about the reviews. Whoever reads that something is done may copy the database.
        self.renew_stamp().await;
        let now = Instant::now();
        if self.reviews.is_empty() || *self.report_at.get_or_insert(now + REPORT_DELAY) <= now {
            return self.report().await;
        }
        Ok(())
    }

    /// Who is still named beyond what is desired; looked for only where something was taken away.
    fn leftovers(
        &self,
        owner: &Owner,
        fleet: &FleetDesired,
        look: &Look,
        shrunk: &BTreeMap<ObjectName, Outcome>,
    ) -> Vec<Leftover> {
        if fleet.revoked.is_empty() && shrunk.is_empty() {
            return Vec::new();
        }
        pass::leftovers(owner, &look.desired, &self.observer.view(), &fleet.recorded, shrunk)
    }

    /// Writes down the names that will be applied, before they are: whatever happens then, they are known as ours. And
    /// those of objects that are ours by their labels: labels can be taken away. And what custom roles that are bound for
    /// the first time allow.
    async fn record(&self, look: &Look, fleet: &mut FleetDesired) -> domain::Result<()> {
        self.shared.service.fleet_accept(&self.lease, &look.judged.new).await?;
        let applied =
            look.plan.changes().filter(|change| matches!(change, Change::Apply(_))).map(Change::object);
        let new: BTreeSet<ObjectName> = applied
            .chain(look.labelled.iter())
            .filter(|name| !fleet.recorded.contains(name))
            .cloned()
            .collect();
        if !new.is_empty() {
            let names: Vec<ObjectName> = new.iter().cloned().collect();
            self.shared.service.fleet_record(&self.lease, &names).await?;
            fleet.recorded.extend(new);
        }
        Ok(())
    }

    /// Forgets the names of objects that are gone. What was applied in this pass is not looked for: a list that was
    /// read meanwhile may be older. What was not answered may still appear, so it is looked for in a later list.
    async fn forget(
        &mut self,
        fleet: &FleetDesired,
        grown: &BTreeMap<ObjectName, Outcome>,
    ) -> domain::Result<()> {
        let now = Instant::now();
        for (name, outcome) in grown {
            if matches!(outcome, Outcome::Failed(Failure::Unreachable(_) | Failure::Unreadable(_))) {
                self.unsure.insert(name.clone(), now + LATE);
            }
        }
        if let Some(latest) = self.unsure.values().max() {
            self.observer.want_list_since(*latest);
        }
        let gone: Vec<ObjectName> = {
            let view = self.observer.view();
            self.unsure.retain(|name, at| view.listed_at(kind_of(name)).is_none_or(|listed| listed < *at));
            let unsure = &self.unsure;
            let is_gone = |name: &&ObjectName| {
                view.binding(name).is_none() && !grown.contains_key(*name) && !unsure.contains_key(*name)
            };
            fleet.recorded.iter().filter(is_gone).cloned().collect()
        };
        if gone.is_empty() { Ok(()) } else { self.shared.service.fleet_forget(&self.lease, &gone).await }
    }

    /// Plans the next attempt if something did not succeed.
    fn retry_after<'a>(
        &mut self,
        outcomes: impl Iterator<Item = &'a Outcome>,
        role_failures: impl Iterator<Item = &'a Failure>,
    ) {
        let mut again = false;
        let mut pause = None;
        // Only one that is busy altogether is left alone; trouble with one object must not delay the others.
        let mut failed = |failure: &Failure| {
            pause = pause.max(failure.retry_after().filter(|_| failure.stops_everything()))
        };
        for outcome in outcomes {
            match outcome {
                Outcome::Done | Outcome::NamespaceGone => continue,
                Outcome::Moved => {}
                Outcome::Failed(failure) | Outcome::Skipped(failure) => failed(failure),
            }
            again = true;
        }
        for failure in role_failures {
            failed(failure);
            again = true;
        }
        let now = Instant::now();
        self.not_before = pause.map(|pause| now + pause);
        if !again {
            self.retry_at = None;
            self.backoff.reset();
            return;
        }
        // A pass in between, for something else, must not put the next attempt off.
        let at = match self.retry_at.filter(|at| *at > now) {
            Some(at) => at,
            None => now + self.backoff.next(),
        };
        let at = self.not_before.map_or(at, |until| at.max(until));
        self.retry_at = Some(at);
        self.due = self.due.min(at);
    }

    /// Notes what the pass means for what is known about each grant.
    fn track(&mut self, facts: &Facts, added: &HashMap<Slot, BTreeSet<Subject>>) {
        let present = facts.grants().map(|(grant, _, _)| &grant.id).collect();
        self.tracker.retain(&present);
        self.reporter.retain(&present);
        for (grant, aim, placement) in facts.grants() {
            self.tracker.see(grant, aim, &placement.slots);
            if added.is_empty() || aim == Aim::Revoked {
                continue;
            }
            let subjects: Vec<Subject> = facts.fleet.names.subjects(&grant.spec.principals).collect();
            let gains = |slot: &&Slot| {
                added.get(slot).is_some_and(|new| subjects.iter().any(|subject| new.contains(subject)))
            };
            let changed: Vec<Slot> = placement.slots.iter().filter(gains).cloned().collect();
            if !changed.is_empty() {
                self.tracker.changed(&grant.id, changed);
            }
        }
    }
}
