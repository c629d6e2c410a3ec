//! What is vended at the same time is written together: one commit for all who wait, while the next ones gather. A commit
//! costs the same whether one session is in it or a hundred, and pods come in crowds.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{
    AccountId, Association, ClusterId, Error, ErrorKind, PrincipalId, Result, SessionId, Timestamp,
};
use podidentity::Claims;
use store::{VendedSession, VendedTo, WriteTx};
use tokio::sync::oneshot;

use super::messenger::Messenger;
use super::minting;
use super::refusal::{Refusal, Stopped};
use super::standing::{Place, Prospect, pods};
use super::trust::Narrowed;
use crate::cache::Copy;
use crate::replay;
use crate::service::Service;

/// So many are written with one commit at most: who came first waits for the work of who came last.
const MOST: usize = 128;

/// Those who wait, by account.
#[derive(Default)]
pub(crate) struct Crowds {
    waiting: Mutex<HashMap<AccountId, Vec<Waiting>>>,
}

/// Somebody who proved what they are, and waits for what they get.
struct Waiting {
    asked: Asked,
    reply: oneshot::Sender<Result<Given, Stopped>>,
}

/// What is asked for.
pub(super) struct Asked {
    pub(super) messenger: Messenger,
    pub(super) place: Arc<Copy<Place>>,
    pub(super) prospect: Arc<Copy<Prospect>>,
    pub(super) claims: Claims,
}

/// What is given.
pub(super) struct Given {
    pub(super) session: VendedSession,
    pub(super) agency_name: String,
    pub(super) association: Association,
    pub(super) narrowed: Narrowed,
}

/// Somebody writes for an account. Should that break off, nobody waits for it in vain.
struct Writing<'a> {
    crowds: &'a Crowds,
    account: &'a AccountId,
    goes_on: bool,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.goes_on {
            self.crowds.lock().remove(self.account);
        }
    }
}

impl Crowds {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins those who wait. Returns whether nobody writes for the account.
    fn join(&self, account: &AccountId, one: Waiting) -> bool {
        match self.lock().entry(account.clone()) {
            Entry::Occupied(mut crowd) => {
                crowd.get_mut().push(one);
                false
            }
            Entry::Vacant(crowd) => {
                crowd.insert(vec![one]);
                true
            }
        }
    }

    /// Takes those who came first. If nobody waits, nobody writes any more.
    fn next(&self, account: &AccountId) -> Vec<Waiting> {
        let mut all = self.lock();
        let Some(crowd) = all.get_mut(account) else { return Vec::new() };
        let first: Vec<Waiting> = crowd.drain(..crowd.len().min(MOST)).collect();
        if first.is_empty() {
            all.remove(account);
        }
        first
    }
}

impl Service {
    /// Writes what is vended, with what is vended to others meanwhile. If this future is dropped, it is written
    /// nevertheless.
    pub(super) async fn written(
        self: &Arc<Self>,
        account: &AccountId,
        asked: Asked,
    ) -> Result<Given, Stopped> {
        let (reply, answer) = oneshot::channel();
        if self.crowds.join(account, Waiting { asked, reply }) {
            tokio::spawn(Arc::clone(self).write_for(account.clone()));
        }
        answer.await.unwrap_or_else(|ended| Err(Stopped::Failed(Error::internal(ended))))
    }

    async fn write_for(self: Arc<Self>, account: AccountId) {
        let mut writing = Writing { crowds: &self.crowds, account: &account, goes_on: true };
        while writing.goes_on {
            let crowd = self.crowds.next(&account);
            writing.goes_on = !crowd.is_empty();
            if writing.goes_on {
                self.write_together(&account, crowd).await;
            }
        }
    }

    async fn write_together(&self, account: &AccountId, crowd: Vec<Waiting>) {
        let clusters: HashSet<ClusterId> =
            crowd.iter().map(|one| one.asked.place.value.cluster.id.clone()).collect();
        let mut given = Vec::with_capacity(crowd.len());
        let mut told = Vec::with_capacity(crowd.len());
        match self.commit_together(account, crowd, &mut told, &mut given).await {
            Ok(()) => {
                for (reply, given) in told.into_iter().zip(given) {
                    tell(reply, Ok(given));
                }
            }
            Err(error) => {
                // What was counted is not there, or perhaps it is.
                clusters.iter().for_each(|cluster| self.holding.forget_of(cluster));
                for reply in told {
                    tell(reply, Err(unwritten(&error).into()));
                }
            }
        }
    }

    /// Writes what the crowd gets. Who is refused is told at once; whom to tell of the rest, and what, stands in `told` and
    /// `given`.
    async fn commit_together(
        &self,
        account: &AccountId,
        crowd: Vec<Waiting>,
        told: &mut Vec<oneshot::Sender<Result<Given, Stopped>>>,
        given: &mut Vec<Given>,
    ) -> Result<()> {
        let mut tx = match self.store.write_sessions(account).await {
            Ok(tx) => tx,
            Err(error) => {
                told.extend(crowd.into_iter().map(|one| one.reply));
                return Err(error);
            }
        };
        let mut asked_for = Vec::with_capacity(crowd.len());
        for Waiting { asked, reply } in crowd {
            if reply.is_closed() {
                // They gave up while they waited, and would never know.
                continue;
            }
            match self.entitled_still(&mut tx, &asked).await {
                Ok(one) => {
                    asked_for.push(one);
                    told.push(reply);
                }
                Err(stopped) => tell(reply, Err(stopped)),
            }
        }
        // Before anything is written: what is written now is counted one by one.
        for one in &asked_for {
            self.count_held(&mut tx, account, &one.session.to.cluster).await?;
        }
        let sessions: Vec<VendedSession> = asked_for.iter().map(|one| one.session.clone()).collect();
        let mut added = tx.insert_vended(&sessions).await?;
        let (mut notes, mut too_much) = (Vec::new(), Vec::new());
        for (one, reply) in asked_for.into_iter().zip(std::mem::take(told)) {
            // The credentials that the first of equal requests got are shown to nobody twice.
            if !added.remove(one.session.id.as_str()) {
                tell(reply, Err(replay::repeated().because("repeated").into()));
                continue;
            }
            match self.room_for_vended(&one.session) {
                Ok(()) => {
                    notes.extend(self.noted_for(&tx, &one.session));
                    told.push(reply);
                    given.push(one);
                }
                Err(error) => {
                    too_much.push(one.session.id);
                    tell(reply, Err(error.into()));
                }
            }
        }
        tx.take_vended_back(&too_much).await?;
        tx.note_vended_for(&latest(notes)).await?;
        tx.commit().await
    }

    /// What somebody gets, looked at where nobody else changes it.
    async fn entitled_still(&self, tx: &mut WriteTx, asked: &Asked) -> Result<Given, Stopped> {
        let Asked { messenger, place, prospect, claims } = asked;
        let cluster = &place.value.cluster;
        if let Messenger::Caller(call) = messenger {
            self.may_still(tx, call).await?;
        }
        if messenger.signed().is_some() {
            self.limiter.signed_change(&cluster.account)?;
        }
        let read_at = place.revision.min(prospect.revision);
        let unchanged = tx.directory().is_some_and(|directory| directory <= read_at);
        let reread;
        let prospect = match unchanged {
            true => &prospect.value,
            false => {
                reread = self.still_entitled(tx, asked).await?;
                &reread
            }
        };
        let entitled = &prospect.entitled;
        let narrowed = self.narrowed(entitled, &pods(cluster, claims))?;
        let now = self.now();
        let until = now.plus_seconds(self.settings.pod_identity.lifetime_seconds);
        let (pod, origin) = (claims.pod.as_ref(), messenger.origin());
        let session = VendedSession {
            id: SessionId::stored(&minting::new_id(messenger.signed(), &*self.entropy, now)),
            account: cluster.account.clone(),
            agency: (entitled.association.agency.clone(), entitled.agency.epoch),
            messenger: prospect.messenger.as_ref().map(|by| (PrincipalId::stored(&by.id), by.epoch)),
            association: (entitled.association.id.clone(), entitled.association.ended),
            to: VendedTo {
                cluster: cluster.id.clone(),
                cluster_name: cluster.name.to_string(),
                namespace: claims.namespace.clone(),
                service_account: claims.service_account.name.clone(),
                service_account_uid: claims.service_account.uid.clone(),
                service_account_ended: prospect.ended,
                pod: pod.map(|pod| (pod.name.clone(), pod.uid.clone())),
            },
            issued_at: now,
            expires_at: entitled.details.expires_at.map_or(until, |end| end.min(until)),
            actor_name: messenger.actor_name(claims),
            request_id: origin.request_id.to_string(),
            source: origin.source.to_string(),
        };
        let (agency_name, association) = (entitled.agency_name.clone(), entitled.association.clone());
        Ok(Given { session, agency_name, association, narrowed })
    }

    /// What the pods are entitled to after something changed.
    async fn still_entitled(&self, tx: &mut WriteTx, asked: &Asked) -> Result<Prospect, Stopped> {
        let Asked { messenger, place, prospect, claims } = asked;
        let cluster = &place.value.cluster;
        let (now, _) = self.reached(tx, cluster).await?;
        if now.version != place.value.reached.version {
            return Err(Error::conflict("the cluster's connection changed meanwhile: try again").into());
        }
        let reread = self.read_prospect(tx, messenger, cluster, claims).await?;
        if reread.ended != prospect.value.ended {
            // It was seen to be gone after it was asked for, perhaps by another server.
            return Err(Refusal::Gone("service account").into());
        }
        Ok(reread)
    }
}

/// Of several notes about one service account the latest.
fn latest(mut notes: Vec<(ClusterId, String, Timestamp)>) -> Vec<(ClusterId, String, Timestamp)> {
    notes.sort_by(|a, b| (a.0.as_str(), &a.1, b.2).cmp(&(b.0.as_str(), &b.1, a.2)));
    notes.dedup_by(|later, first| (&later.0, &later.1) == (&first.0, &first.1));
    notes
}

/// Whoever gave up meanwhile does not hear how it went.
fn tell(reply: oneshot::Sender<Result<Given, Stopped>>, outcome: Result<Given, Stopped>) {
    drop(reply.send(outcome));
}

/// Everybody hears why nothing was written.
fn unwritten(error: &Error) -> Error {
    let cause = format!("{error:?}");
    match error.kind() == ErrorKind::Unavailable {
        true => Error::unavailable(error.message().to_owned(), cause),
        false => Error::internal(cause),
    }
}
