//! Which server works for which cluster. Several servers may share a PostgreSQL database; they share the clusters
//! evenly, and what one does not care for any more the others take over.
//!
//! No clocks are compared: who waits takes over when the holder's counters stood still for [`STANDS_STILL`] of their
//! own monotonic clock. An embedded database has one server, which holds everything.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::{ClusterId, Entropy, Error, ErrorKind, Result};
use store::{LeaseRow, WriteTx};
use tokio::time::Instant;

use crate::fleet::FleetCluster;
use crate::service::Service;

/// How often a server shows that it lives.
pub const BEAT: Duration = Duration::from_secs(2);
/// For how long a lease that was confirmed may be relied on without asking again. With the time that a request to a
/// cluster may take it has to stay below [`STANDS_STILL`].
pub const CONFIRMED_FOR: Duration = Duration::from_secs(2);
/// How long counters must stand still until others take over.
pub const STANDS_STILL: Duration = Duration::from_secs(10);
/// How long until a server that stands still is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// The right to work for a cluster, until somebody else takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// For which cluster.
    pub cluster: ClusterId,
    /// Grows whenever the lease changes hands.
    pub epoch: i64,
    /// Which version of the cluster's connection it is for. Behind another one there may be another cluster.
    pub connection_version: i64,
}

/// What this server should work for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The leases that it holds and should keep.
    pub held: HashMap<ClusterId, Lease>,
    /// Those that it should give back, once its workers have ended, because others have fewer.
    pub surplus: Vec<Lease>,
}

/// What this server knows of the others.
pub(crate) struct Leases {
    /// This server, for as long as it runs.
    server: String,
    seen: Mutex<Seen>,
}

/// What was seen, and since when it looks like that.
#[derive(Default)]
struct Seen {
    servers: HashMap<String, (i64, Instant)>,
    leases: HashMap<ClusterId, (LeaseRow, Instant)>,
}

impl Leases {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        Self { server: hex::encode(domain::entropy::bytes::<16>(entropy)), seen: Mutex::default() }
    }
}

impl Seen {
    /// Takes in what the database says. Returns how many servers live, `own` among them, and those to be forgotten.
    fn look_at_servers(
        &mut self,
        own: &str,
        servers: &[(String, i64)],
        now: Instant,
    ) -> (usize, Vec<(String, i64)>) {
        self.servers.retain(|id, _| servers.iter().any(|(known, _)| known == id));
        let (mut alive, mut gone) = (1, Vec::new());
        for (id, counter) in servers.iter().filter(|(id, _)| id != own) {
            let entry = self.servers.entry(id.clone()).or_insert((*counter, now));
            if entry.0 != *counter {
                *entry = (*counter, now);
            }
            let still = now.duration_since(entry.1);
            if still < STANDS_STILL {
                alive += 1;
            } else if still >= FORGET {
                gone.push((id.clone(), *counter));
            }
        }
        (alive, gone)
    }

    /// Whether a lease of somebody else may be taken.
    fn is_free(&mut self, row: &LeaseRow, now: Instant) -> bool {
        if row.server.is_empty() {
            return true;
        }
        match self.leases.get(&row.cluster) {
            Some((known, since)) if known == row => now.duration_since(*since) >= STANDS_STILL,
            Some(_) | None => {
                self.leases.insert(row.cluster.clone(), (row.clone(), now));
                false
            }
        }
    }
}

impl Service {
    /// Shows that this server lives, takes leases of `clusters` that are free as far as they are its fair share, and
    /// says what it holds now.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer: what was held may be lost soon.
    pub async fn fleet_share(&self, clusters: &[FleetCluster]) -> Result<Share> {
        let versions: HashMap<&ClusterId, i64> =
            clusters.iter().map(|cluster| (&cluster.id, cluster.connection_version)).collect();
        let lease = |cluster: ClusterId, epoch| {
            let connection_version = versions.get(&cluster).copied().unwrap_or_default();
            Lease { cluster, epoch, connection_version }
        };
        if !self.store.is_shared() {
            let held = clusters.iter().map(|cluster| (cluster.id.clone(), lease(cluster.id.clone(), 0)));
            return Ok(Share { held: held.collect(), surplus: Vec::new() });
        }
        self.store.beat(&self.leases.server).await?;
        let servers = self.store.servers().await?;
        let rows = self.store.leases().await?;
        let now = Instant::now();
        let (alive, gone, free) = {
            let mut seen = self.leases.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let (alive, gone) = seen.look_at_servers(&self.leases.server, &servers, now);
            let others = rows.iter().filter(|row| row.server != self.leases.server);
            let free: Vec<LeaseRow> = others.filter(|row| seen.is_free(row, now)).cloned().collect();
            (alive, gone, free)
        };
        for (server, counter) in gone {
            self.store.forget_server(&server, counter).await?;
        }
        let fair = rows.len().div_ceil(alive);
        let own = rows.into_iter().filter(|row| row.server == self.leases.server);
        let mut leases: Vec<Lease> = own.map(|row| lease(row.cluster, row.epoch)).collect();
        for row in free {
            if leases.len() < fair && self.store.take_lease(&self.leases.server, &row).await? {
                tracing::info!(cluster = %row.cluster, epoch = row.epoch + 1, "fleet.lease.taken");
                leases.push(lease(row.cluster, row.epoch + 1));
            }
        }
        let surplus = leases.split_off(fair.min(leases.len()));
        Ok(Share { held: leases.into_iter().map(|lease| (lease.cluster.clone(), lease)).collect(), surplus })
    }

    /// Whether this server still holds a lease. To be asked before anything is written to the cluster, unless it was
    /// confirmed within [`CONFIRMED_FOR`].
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer: then nothing may be written.
    pub async fn fleet_confirm(&self, lease: &Lease) -> Result<bool> {
        if self.store.connection_version(&lease.cluster).await? != Some(lease.connection_version) {
            return Ok(false);
        }
        if !self.store.is_shared() {
            return Ok(true);
        }
        self.store.confirm_lease(&self.leases.server, &lease.cluster, lease.epoch).await
    }

    /// Gives a lease back. The worker must have ended.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; others take it then after a while.
    pub async fn fleet_release(&self, lease: &Lease) -> Result<()> {
        if !self.store.is_shared() {
            return Ok(());
        }
        tracing::info!(cluster = %lease.cluster, epoch = lease.epoch, "fleet.lease.released");
        self.store.release_lease(&self.leases.server, &lease.cluster, lease.epoch).await
    }

    /// Gives everything back: this server stops working for clusters. The workers must have ended.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; others take over then after a while.
    pub async fn fleet_leave(&self) -> Result<()> {
        if !self.store.is_shared() {
            return Ok(());
        }
        self.store.leave(&self.leases.server).await
    }

    /// Begins writing what was seen, for whoever still holds the lease and has the connection that it is for.
    pub(crate) async fn write_observed(&self, lease: &Lease) -> Result<WriteTx> {
        let account = self.account_of(&lease.cluster).await?;
        let mut tx = self.store.write_observed(&account).await?;
        if self.store.is_shared() && !tx.holds_lease(&self.leases.server, &lease.cluster, lease.epoch).await?
        {
            let message = format!("another server works for cluster `{}` now", lease.cluster);
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if !tx.holds_connection(&lease.cluster, lease.connection_version).await? {
            // The cluster was removed, or its connection replaced.
            return Err(Error::not_found("cluster", lease.cluster.as_str()));
        }
        Ok(tx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(server: &str, counter: i64, server_counter: i64) -> LeaseRow {
        LeaseRow {
            cluster: ClusterId::stored("c"),
            server: server.to_owned(),
            epoch: 1,
            counter,
            server_counter,
        }
    }

    #[test]
    fn a_lease_is_free_when_it_and_its_holder_stood_still_for_ten_seconds_of_ones_own_clock() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut seen = Seen::default();
        assert!(!seen.is_free(&row("a", 1, 1), began), "seen for the first time");
        assert!(!seen.is_free(&row("a", 1, 1), after(9)));
        assert!(!seen.is_free(&row("a", 1, 2), after(11)), "its server lives");
        assert!(!seen.is_free(&row("a", 2, 2), after(20)), "the holder made sure of it");
        assert!(!seen.is_free(&row("a", 2, 2), after(29)));
        assert!(seen.is_free(&row("a", 2, 2), after(30)));
        assert!(!seen.is_free(&row("b", 3, 1), after(31)), "somebody else took it");
        assert!(seen.is_free(&row("", 4, -1), after(32)), "it was given back");
    }

    #[test]
    fn servers_that_stand_still_do_not_count_and_are_forgotten_after_a_minute() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let servers = |a, b| vec![("own".to_owned(), 7), ("a".to_owned(), a), ("b".to_owned(), b)];
        let mut seen = Seen::default();
        assert_eq!(seen.look_at_servers("own", &servers(1, 1), began), (3, vec![]));
        assert_eq!(seen.look_at_servers("own", &servers(2, 1), after(10)), (2, vec![]));
        assert_eq!(seen.look_at_servers("own", &servers(3, 1), after(59)).1, vec![]);
        let (alive, gone) = seen.look_at_servers("own", &servers(4, 1), after(60));
        assert_eq!((alive, gone), (2, vec![("b".to_owned(), 1)]));
        assert_eq!(seen.look_at_servers("own", &servers(5, 2), after(61)).0, 3, "it woke up");
    }
}
