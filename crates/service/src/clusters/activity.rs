//! Who was active in clusters lately: read from their own audit logs, by whoever administers them, and asked before
//! everything is taken away from somebody.
//!
//! Nothing is the same as not knowing. That somebody was idle is said only of time that logs cover, and only while the
//! names in those logs mean who they mean today.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::activity::{Span, first_gap};
use domain::{
    Arrival, Cluster, ClusterId, ClusterScope, Error, NameTemplate, Principal, PrincipalId, PrincipalKind,
    Result, Timestamp, certificate,
};
use store::{Page, ReadTx, WriteTx};

use crate::authz::{self, Thing};
use crate::call::Call;
use crate::grants::administration::Territory;
use crate::service::Service;

/// For so long somebody must have been idle.
const IDLE_SECONDS: i64 = 7 * DAY_SECONDS;
/// Logs may end so long ago: whoever copies them once a day has none of today.
const FRESH_SECONDS: i64 = DAY_SECONDS;
/// Of time before this nothing is kept.
const KEPT_SECONDS: i64 = 30 * DAY_SECONDS;
/// The clocks of a cluster and of this server may be so far apart.
const SKEW_SECONDS: i64 = 60;
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// So many users fit in one report.
const MOST_USERS: usize = 5_000;
const PAGE: i64 = 1_000;

/// What a part of a log says.
#[derive(Clone, Debug, Default)]
pub struct ActivityReport {
    /// The time of which it is known now who was active. `None` for all parts but the last: before, something is missing.
    pub covered: Option<Span>,
    /// Who was seen last when, by the names that the cluster knows.
    pub seen: Vec<(String, Timestamp)>,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// So many names were of somebody who has something in the cluster.
    pub known: usize,
    /// So many were of others, or nobody's.
    pub unknown: usize,
}

impl Service {
    /// Takes in what a cluster's log says. What was known stays: nobody becomes less active by a report.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster; `Forbidden` for who does not administer it; `Invalid` naming the field
    /// for times that cannot be.
    pub async fn import_activity(
        &self,
        call: &Call,
        cluster: &str,
        report: &ActivityReport,
    ) -> Result<Imported> {
        let right = authz::require_somewhere(call, "bailiwick:activity:import")?;
        let found = self.cluster_for(call, &right, cluster).await?;
        self.check(report)?;
        // Before the account's turn is taken: a log names thousands.
        let mut tx = self.store.read().await?;
        let whose = whose(&mut tx, call, &found.arrival, &report.seen).await?;
        let granted = self.granted_in(&mut tx, call, &found.id).await?;
        tx.end().await?;
        let now = self.now();
        let (seen, known) = last_of_each(&whose, &granted, report, now);
        let mut tx = self.begin_grants(call).await?;
        let mut all = tx.clusters(call.account()).await?.into_iter();
        let same = all.find(|now| now.id == found.id).ok_or_else(|| Error::not_found("cluster", cluster))?;
        right.on(&Thing::cluster(&same).asked_for(cluster))?;
        if same.arrival != found.arrival {
            return Err(Error::conflict(
                "the names under which people arrive changed meanwhile; send it again",
            ));
        }
        let scope = ClusterScope::Listed(vec![found.id.clone()]);
        self.require_administration(&mut tx, call, right.action(), &[Territory::clusters(&scope)]).await?;
        tx.note_seen(&found.id, &seen).await?;
        if let Some(span) = report.covered {
            let span = Span { from: span.from.min(now), to: span.to.min(now) };
            tx.note_covered(&found.id, span, now.plus_seconds(-KEPT_SECONDS)).await?;
        }
        self.commit(tx, call, right.action(), &format!("cluster/{}", found.id)).await?;
        Ok(Imported { known, unknown: report.seen.len() - known })
    }

    /// Who has something in a cluster, by themselves or by a group.
    async fn granted_in(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        cluster: &ClusterId,
    ) -> Result<HashSet<PrincipalId>> {
        let revision = tx.revision(call.account()).await?;
        let all = self.grants_at(tx, call.account(), revision).await?;
        let mut granted = HashSet::new();
        for grant in all.grants.iter().filter(|grant| grant.covers(cluster)) {
            granted.extend(grant.spec.principals.ids.iter().cloned());
        }
        let memberships = tx.granted_memberships(call.account()).await?;
        let members = memberships.into_iter().filter(|(group, _)| granted.contains(group));
        let members: Vec<PrincipalId> = members.map(|(_, member)| member).collect();
        granted.extend(members);
        Ok(granted)
    }

    fn check(&self, report: &ActivityReport) -> Result<()> {
        if report.seen.len() > MOST_USERS {
            return Err(Error::invalid("users", format!("must be at most {MOST_USERS}: send them in parts")));
        }
        let latest = self.now().plus_seconds(SKEW_SECONDS);
        let check = |field: &str, at: Timestamp| {
            if at.as_millis() >= 0 && at <= latest {
                return Ok(());
            }
            Err(Error::invalid(field, format!("must be between 1970 and now, not {at}")))
        };
        if let Some(span) = report.covered {
            check("from", span.from)?;
            check("to", span.to)?;
            if span.from > span.to {
                return Err(Error::invalid("to", "must not be before `from`"));
            }
        }
        report.seen.iter().try_for_each(|(_, at)| check("users.lastSeen", *at))
    }

    /// Refuses to take everything away from somebody who was active in one of the clusters in the last 7 days, or of whom
    /// that is not known.
    ///
    /// # Errors
    /// `Conflict` saying which.
    pub(crate) async fn refuse_active(
        &self,
        tx: &mut WriteTx,
        holder: &Principal,
        clusters: &[Cluster],
    ) -> Result<()> {
        let now = self.now();
        let since = now.plus_seconds(-IDLE_SECONDS);
        for cluster in clusters {
            if let Some(sign) = last_sign(tx, &cluster.id, &holder.id).await?.filter(|sign| sign.at >= since)
            {
                return Err(active(holder, cluster, &sign));
            }
        }
        let wanted = Span { from: since, to: now.plus_seconds(-FRESH_SECONDS) };
        for cluster in clusters {
            if let Some(gap) = first_gap(tx.activity_coverage(&cluster.id).await?, &wanted) {
                return Err(not_covered(holder, cluster, gap));
            }
            let named = tx.named_since(&cluster.id, &holder.id).await?;
            if named > since {
                return Err(otherwise_named(holder, cluster, named));
            }
        }
        Ok(())
    }
}

/// Something that shows that somebody was active.
struct Sign {
    at: Timestamp,
    what: &'static str,
}

/// The last sign of somebody in a cluster. Whatever else shows that they were active there belongs here.
async fn last_sign(tx: &mut WriteTx, cluster: &ClusterId, holder: &PrincipalId) -> Result<Option<Sign>> {
    let seen = tx.last_seen(cluster, holder).await?;
    let seen = seen.map(|at| Sign { at, what: "its audit log names them" });
    let certified = tx.last_certified(cluster, holder).await?;
    let certified = certified.map(|at| Sign { at, what: "a kubeconfig was issued to them" });
    Ok([seen, certified].into_iter().flatten().max_by_key(|sign| sign.at))
}

/// Whose each name is.
type Whose<'a> = HashMap<&'a str, Vec<PrincipalId>>;

/// When each of them was last seen, and how many of the names are somebody's who has something in the cluster: whose ids
/// there are besides is nothing that an answer tells.
fn last_of_each(
    whose: &Whose<'_>,
    granted: &HashSet<PrincipalId>,
    report: &ActivityReport,
    now: Timestamp,
) -> (BTreeMap<PrincipalId, Timestamp>, usize) {
    let (mut seen, mut known) = (BTreeMap::new(), 0);
    for (name, at) in &report.seen {
        let ids = whose.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        known += usize::from(ids.iter().any(|id| granted.contains(id)));
        for id in ids {
            let last = seen.entry(id.clone()).or_insert(*at);
            *last = (*at).max(*last).min(now);
        }
    }
    (seen, known)
}

/// Whose the names are. Several may share one: then it may have been any of them.
async fn whose<'a>(
    tx: &mut ReadTx,
    call: &Call,
    arrival: &Arrival,
    seen: &'a [(String, Timestamp)],
) -> Result<Whose<'a>> {
    match arrival.users.iter().all(NameTemplate::is_by_id) {
        true => whose_by_id(tx, call, seen).await,
        false => whose_by_name(tx, call, arrival, seen).await,
    }
}

/// Where names are ids nobody else is looked at.
async fn whose_by_id<'a>(tx: &mut ReadTx, call: &Call, seen: &'a [(String, Timestamp)]) -> Result<Whose<'a>> {
    let mut whose = Whose::new();
    for (name, _) in seen {
        let found = tx.principal(call.account(), certified_holder(name).unwrap_or(name)).await?;
        let found = found.filter(|found| found.kind != PrincipalKind::Group);
        whose.insert(name, found.into_iter().map(|found| found.id).collect());
    }
    Ok(whose)
}

async fn whose_by_name<'a>(
    tx: &mut ReadTx,
    call: &Call,
    arrival: &Arrival,
    seen: &'a [(String, Timestamp)],
) -> Result<Whose<'a>> {
    let mut whose: Whose<'_> = seen.iter().map(|(name, _)| (name.as_str(), Vec::new())).collect();
    let mut certified: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, _) in seen {
        if let Some(holder) = certified_holder(name) {
            certified.entry(holder).or_default().push(name);
        }
    }
    for kind in [PrincipalKind::User, PrincipalKind::Agency] {
        let mut page = Page { after: None, limit: PAGE };
        loop {
            let principals = tx.principals(call.account(), kind, &page).await?;
            for principal in &principals {
                let (names, _) = arrival.names(principal);
                let certified = certified.get(principal.id.as_str()).into_iter().flatten().copied();
                for name in names.iter().map(String::as_str).chain(certified) {
                    if let Some(ids) = whose.get_mut(name).filter(|ids| ids.last() != Some(&principal.id)) {
                        ids.push(principal.id.clone());
                    }
                }
            }
            match principals.last() {
                Some(last) => page.after = Some((last.created_at, last.id.to_string())),
                None => break,
            }
        }
    }
    Ok(whose)
}

/// The id in the name of a certificate of ours: `<principal id>:<serial>`.
fn certified_holder(name: &str) -> Option<&str> {
    let (holder, serial) = name.split_once(':')?;
    certificate::is_serial(serial).then_some(holder)
}

fn active(holder: &Principal, cluster: &Cluster, sign: &Sign) -> Error {
    Error::conflict(format!(
        "{} `{}` was active in cluster `{}` less than 7 days ago, at {}: {}; force it to go on nevertheless; nothing was \
         changed",
        holder.kind,
        holder.id,
        cluster.name,
        sign.at.rfc3339_seconds(),
        sign.what
    ))
}

fn not_covered(holder: &Principal, cluster: &Cluster, gap: Span) -> Error {
    Error::conflict(format!(
        "it is not known whether {} `{}` was active in cluster `{}` in the last 7 days: no audit log covers {} to {}; \
         import it with `bailiwick cluster import-audit-log {} FILE`, or force it to go on without; nothing was changed",
        holder.kind,
        holder.id,
        cluster.name,
        gap.from.rfc3339_seconds(),
        gap.to.rfc3339_seconds(),
        cluster.name
    ))
}

fn otherwise_named(holder: &Principal, cluster: &Cluster, since: Timestamp) -> Error {
    Error::conflict(format!(
        "it is not known whether {} `{}` was active in cluster `{}` in the last 7 days: they have been called there as they \
         are only since {}, and logs from before name somebody else; wait, or force it to go on without; nothing was changed",
        holder.kind,
        holder.id,
        cluster.name,
        since.rfc3339_seconds()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_its_holder_before_the_colon() {
        for (name, holder) in [
            ("u1:0123456789abcdef", Some("u1")),
            ("u1:0123456789abcde", None),
            ("u1:0123456789ABCDEF", None),
            ("u1", None),
            ("u1:", None),
            ("oidc:ada", None),
            ("system:node:0a", None),
        ] {
            assert_eq!(certified_holder(name), holder, "{name}");
        }
    }
}
