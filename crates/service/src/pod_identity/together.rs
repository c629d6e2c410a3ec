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

/// So many are written with one commit at most, or what one request asks for: who came first waits for the work of who came
/// last.
const MOST: usize = 128;

/// Those who wait, by account.
#[derive(Default)]
pub(crate) struct Crowds {
    waiting: Mutex<HashMap<AccountId, Vec<Waiting>>>,
}

/// A request with those who proved what they are. It waits for what they get.
struct Waiting {
    asked: Vec<Asked>,
    reply: oneshot::Sender<Vec<Outcome>>,
}

/// What comes of what was asked.
pub(super) type Outcome = Result<Given, Stopped>;

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
        let mut asked = 0;
        let fits = |one: &&Waiting| {
            let is_first = asked == 0;
            asked += one.asked.len();
            is_first || asked <= MOST
        };
        let count = crowd.iter().take_while(fits).count();
        let first: Vec<Waiting> = crowd.drain(..count).collect();
        if first.is_empty() {
            all.remove(account);
        }
        first
    }
}

impl Service {
    /// Writes what is vended, with what is vended to others meanwhile: an outcome for each that is asked for, in their order.
    /// If this future is dropped, it is written nevertheless.
    pub(super) async fn written(self: &Arc<Self>, account: &AccountId, asked: Vec<Asked>) -> Vec<Outcome> {
        if asked.is_empty() {
            return Vec::new();
        }
        let count = asked.len();
        let (reply, answer) = oneshot::channel();
        if self.crowds.join(account, Waiting { asked, reply }) {
            tokio::spawn(Arc::clone(self).write_for(account.clone()));
        }
        let ended = |_| (0..count).map(|_| Err(Error::internal("who wrote broke off").into())).collect();
        answer.await.unwrap_or_else(ended)
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

    async fn write_together(&self, account: &AccountId, mut crowd: Vec<Waiting>) {
        // Who gave up while they waited would never know.
        crowd.retain(|one| !one.reply.is_closed());
        let asked: Vec<&Asked> = crowd.iter().flat_map(|one| &one.asked).collect();
        let outcomes = match self.commit_together(account, &asked).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // What was counted is not there, or perhaps it is.
                let clusters: HashSet<&ClusterId> =
                    asked.iter().map(|one| &one.place.value.cluster.id).collect();
                clusters.into_iter().for_each(|cluster| self.holding.forget_of(cluster));
                asked.iter().map(|_| Err(unwritten(&error).into())).collect()
            }
        };
        let mut outcomes = outcomes.into_iter();
        for Waiting { asked, reply } in crowd {
            let own: Vec<Outcome> = outcomes.by_ref().take(asked.len()).collect();
            // Whoever gave up meanwhile does not hear how it went.
            drop(reply.send(own));
        }
    }

    /// Writes what the crowd gets. Returns an outcome for each.
    async fn commit_together(&self, account: &AccountId, asked: &[&Asked]) -> Result<Vec<Outcome>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.store.write_sessions(account).await?;
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(asked.len());
        for one in asked {
            outcomes.push(self.entitled_still(&mut tx, one).await);
        }
        // Before anything is written: what is written now is counted one by one.
        for given in outcomes.iter().flatten() {
            self.count_held(&mut tx, account, &given.session.to.cluster).await?;
        }
        let sessions: Vec<&VendedSession> = outcomes.iter().flatten().map(|given| &given.session).collect();
        let mut added = tx.insert_vended(&sessions).await?;
        let (mut notes, mut too_much) = (Vec::new(), Vec::new());
        for outcome in &mut outcomes {
            let Ok(Given { session, .. }) = outcome else { continue };
            // The credentials that the first of equal requests got are shown to nobody twice.
            let refused = if added.remove(session.id.as_str()) {
                match self.room_for_vended(session) {
                    Ok(()) => {
                        notes.extend(self.noted_for(&tx, session));
                        continue;
                    }
                    Err(error) => {
                        too_much.push(session.id.clone());
                        error
                    }
                }
            } else {
                replay::repeated().because("repeated")
            };
            *outcome = Err(refused.into());
        }
        tx.take_vended_back(&too_much).await?;
        tx.note_vended_for(&latest(notes)).await?;
        tx.commit().await?;
        Ok(outcomes)
    }

    /// What somebody gets, looked at where nobody else changes it.
    async fn entitled_still(&self, tx: &mut WriteTx, asked: &Asked) -> Result<Given, Stopped> {
        let Asked { messenger, place, prospect, claims } = asked;
        let cluster = &place.value.cluster;
        if let Messenger::Caller(call, _) = messenger {
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

/// Everybody hears why nothing was written.
fn unwritten(error: &Error) -> Error {
    let cause = format!("{error:?}");
    match error.kind() == ErrorKind::Unavailable {
        true => Error::unavailable(error.message().to_owned(), cause),
        false => Error::internal(cause),
    }
}
