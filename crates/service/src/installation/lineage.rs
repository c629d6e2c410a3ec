//! Older copies of a database are noticed and held: nothing is applied from them and nobody is let in, until the
//! server's operator has looked and says that this copy counts. What is noticed by is in [`domain::lineage`].

use domain::{ClusterId, Error, GrantId, Id, LineageKind, Result, Stamp, Standing, Timestamp, lineage};
use serde::{Deserialize, Serialize};
use store::{AuditEvent, HeldPlan, Hold, Outcome, ReadTx};

use crate::grants::history;
use crate::installation::bootstrap::Bootstrap;
use crate::installation::seal::Record;
use crate::service::Service;

/// The most lines of a plan that are kept.
pub const MAX_LINES: usize = 200;

/// What a worker would do if there were no hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanView {
    /// How many changes add.
    pub grows: usize,
    /// How many changes take away.
    pub shrinks: usize,
    /// The first [`MAX_LINES`] of them, in order.
    pub lines: Vec<String>,
}

/// What a confirmation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The hold that ended.
    pub hold: Hold,
    /// How many tokens and temporary keys ended.
    pub tokens: u64,
    /// How many client certificates ended.
    pub certificates: u64,
}

/// What came of looking at the stamp of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What it says about the database.
    pub standing: Standing,
    /// How far the database had come by it; `None` if it is none of ours.
    pub sum: Option<i64>,
}

/// A stamp as it lies in a cluster or a file.
#[derive(Serialize, Deserialize)]
struct Written {
    lineage: String,
    sum: i64,
    at: i64,
}

/// A stamp as text.
///
/// # Errors
/// `Internal` if it cannot be written, which is a defect.
pub fn stamp_to_json(stamp: &Stamp) -> Result<String> {
    let written = Written { lineage: stamp.lineage.clone(), sum: stamp.sum, at: stamp.at.as_millis() };
    serde_json::to_string(&written).map_err(Error::internal)
}

/// Reads what [`stamp_to_json`] wrote; `None` if it is something else.
#[must_use]
pub fn stamp_from_json(text: &[u8]) -> Option<Stamp> {
    let written: Written = serde_json::from_slice(text).ok()?;
    let at = Timestamp::from_millis(written.at);
    Some(Stamp { lineage: written.lineage, sum: written.sum, at })
}

async fn judge(tx: &mut ReadTx, stamp: &Stamp) -> Result<Standing> {
    Ok(lineage::judge(&tx.lineage().await?, tx.revision_sum().await?, stamp))
}

impl Service {
    /// Holds the installation, unless it is held already.
    pub(crate) async fn begin_hold(&self, reason: String) -> Result<()> {
        let _turn = self.gate.turn().await;
        self.begin_hold_in_turn(reason).await
    }

    /// The same for who has the gate's turn.
    pub(crate) async fn begin_hold_in_turn(&self, reason: String) -> Result<()> {
        let hold = Hold { since: self.now(), reason };
        if self.store.insert_hold(&hold).await? {
            tell(&hold);
        }
        self.gate.set_hold(Some(hold));
        self.poke();
        Ok(())
    }

    /// How far the database has come, for whoever keeps that outside of it; `None` while it is held, because then
    /// what is known outside counts for more.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn stamp(&self) -> Result<Option<Stamp>> {
        let mut tx = self.store.read().await?;
        let held = tx.hold().await?.is_some();
        let stamp = tx.stamp(self.now()).await?;
        tx.end().await?;
        Ok(stamp.filter(|_| !held))
    }

    /// A stamp in the form in which it is left in a cluster. Sealed, so that who rules one cluster cannot make one up
    /// and have the whole installation held.
    ///
    /// # Errors
    /// `NotFound` if the cluster has no connection.
    pub async fn fleet_seal_stamp(&self, id: &ClusterId, stamp: &Stamp) -> Result<String> {
        let account = self.account_of(id).await?;
        let record = Record { kind: "stamp", id: id.as_str(), account: &account };
        self.stamp_key().await?.seal(&*self.entropy, &record, stamp_to_json(stamp)?.as_bytes())
    }

    /// Looks at the stamp that was found in a cluster, before anything is written there. If it says that this database
    /// is an older copy, the installation is held from now on.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer: then nothing may be applied.
    pub async fn fleet_check_stamp(&self, id: &ClusterId, sealed: &str) -> Result<Looked> {
        let account = self.account_of(id).await?;
        let record = Record { kind: "stamp", id: id.as_str(), account: &account };
        let plain = self.stamp_key().await?.open(&record, sealed).ok();
        let Some(stamp) = plain.and_then(|plain| stamp_from_json(&plain)) else {
            tracing::warn!(cluster = %id, "the stamp in cluster {id} is none of ours; it is taken for none");
            return Ok(Looked { standing: Standing::Consistent, sum: None });
        };
        let mut tx = self.store.read().await?;
        let standing = judge(&mut tx, &stamp).await?;
        tx.end().await?;
        if standing == Standing::Older {
            let reason = format!(
                "cluster {id} was written to, at {}, by a later or another state of this database",
                stamp.at.rfc3339_seconds()
            );
            self.begin_hold(reason).await?;
        }
        Ok(Looked { standing, sum: Some(stamp.sum) })
    }

    /// Keeps what a worker would do, for whoever is to confirm it.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn fleet_held_plan(&self, id: &ClusterId, plan: PlanView) -> Result<()> {
        let mut tx = self.store.write_observed(&self.account_of(id).await?).await?;
        // One that is confirmed meanwhile leaves nothing behind.
        if tx.hold().await?.is_some() {
            let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            tx.put_held_plan(&HeldPlan {
                cluster: id.clone(),
                at: self.now(),
                grows: number(plan.grows),
                shrinks: number(plan.shrinks),
                lines: plan.lines,
            })
            .await?;
        }
        tx.commit().await
    }
}

impl Bootstrap {
    /// Looks at a stamp that was kept outside the database. If it says that this database is an older copy, the
    /// installation is held from now on.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn check_stamp(&self, stamp: &Stamp) -> Result<Standing> {
        let mut tx = self.store.read().await?;
        let standing = judge(&mut tx, stamp).await?;
        tx.end().await?;
        if standing == Standing::Older {
            let at = stamp.at.rfc3339_seconds();
            self.hold(format!(
                "a server of this machine saw a later or another state of this database at {at}"
            ))
            .await?;
        }
        Ok(standing)
    }

    /// Holds the installation, unless it is held already.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn hold(&self, reason: String) -> Result<()> {
        let hold = Hold { since: self.clock.now(), reason };
        if self.store.insert_hold(&hold).await? {
            tell(&hold);
        }
        Ok(())
    }

    /// Adds the entry of this start to the lineage, and to the history what an older program did not write there.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn begin_lineage(&self) -> Result<()> {
        let mut tx = self.store.write_all().await?;
        for (account, grant) in tx.grants_without_history().await? {
            if let Some(grant) = tx.grant(&account, grant.as_str()).await? {
                history::record_unattributed(&mut tx, &grant).await?;
            }
        }
        tx.insert_lineage(&self.lineage_id(), LineageKind::Start, self.clock.now()).await?;
        tx.commit().await
    }

    fn lineage_id(&self) -> String {
        GrantId::random_hex(&*self.entropy).as_str().to_owned()
    }

    /// The hold and what the workers would do; `None` if there is none.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn show_hold(&self) -> Result<Option<(Hold, Vec<HeldPlan>)>> {
        let mut tx = self.store.read().await?;
        let hold = tx.hold().await?;
        let plans = tx.held_plans().await?;
        tx.end().await?;
        Ok(hold.map(|hold| (hold, plans)))
    }

    /// Ends the hold: this database counts from now on. Every token, temporary key and client certificate ends,
    /// because some of them may have been revoked since the copy was made; access keys stay as they are.
    ///
    /// # Errors
    /// `Conflict` if there is no hold.
    pub async fn confirm_hold(&self) -> Result<Confirmed> {
        let mut tx = self.store.write_all().await?;
        let hold = tx.hold().await?.ok_or_else(|| Error::conflict("the installation is not held"))?;
        tx.delete_hold().await?;
        let tokens = tx.delete_all_sessions(self.clock.now()).await?;
        let now = self.clock.now();
        let certificates = tx.revoke_every_certificate(now).await?;
        // First, so that the commit of the confirmation does not count as one of what was before it.
        tx.insert_lineage(&self.lineage_id(), LineageKind::Confirm, now).await?;
        tx.advance_all().await?;
        let id: Id<()> = Id::random_hex(&*self.entropy);
        let event = AuditEvent {
            id: id.as_str().to_owned(),
            at: now,
            actor: None,
            actor_name: String::new(),
            action: "bailiwick:installation:confirm".to_owned(),
            resource: "installation".to_owned(),
            outcome: Outcome::Done,
            occurrences: 1,
            explanation: None,
            request_id: String::new(),
            source: "server operator".to_owned(),
        };
        tx.audit(&event).await?;
        tx.commit().await?;
        Ok(Confirmed { hold, tokens, certificates })
    }
}

fn tell(hold: &Hold) {
    tracing::error!(
        reason = hold.reason,
        "the installation is held: {}; nothing is applied and nobody is let in until `bailiwick hold confirm`",
        hold.reason
    );
}
