//! Vending: for a token that proves to be a pod's, credentials of the agency that its service account is associated with.
//!
//! Who asks is a messenger, an agent of the cluster as a rule: what counts is the token. So the session that begins is not
//! derived from the messenger's key, which is changed now and then while pods go on, nor does it end with it. It is derived
//! from the agency, the association, the service account and the messenger itself: whoever ends everything that an agent
//! began, because somebody may have stolen its key, ends what was vended through it as well.

use std::sync::Arc;
use std::time::Duration;

use domain::{AccessKeyId, AccountId, Association, ClusterId, Error, Result, Secret, Timestamp};
use futures::future::join_all;
use podidentity::Claims;
use tokio::time::{Instant, timeout_at};

use super::holding::UnderWay;
use super::messenger::Messenger;
use super::minting::Mint;
use super::refusal::{Refusal, Stopped};
use super::session;
use super::standing::{Place, pods};
use super::together::{Asked, Given};
use super::trust::Narrowed;
use super::workloads::{Reached, Workload, WorkloadKind};
use crate::authz;
use crate::cache::Copy;
use crate::call::Call;
use crate::clusters::certificates::WhichCluster;
use crate::service::Service;

/// What it takes to be given credentials for a token.
pub(super) const VEND: &str = store::VENDED;

/// Of several tokens, those that a cluster takes longer for are given up: the others wait for them so long, and their agents
/// twice as long for all of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Credentials for a pod.
#[derive(Debug)]
pub struct Vended {
    /// By which association.
    pub association: Association,
    /// As which agency: its name.
    pub agency_name: String,
    /// What the session is called.
    pub session_name: String,
    /// For whom the token was, if the agency's own trust names pods.
    pub audience: Option<String>,
    /// The key.
    pub key: VendedKey,
}

/// A temporary key that was just made: the only time its secrets are shown.
#[derive(Debug)]
pub struct VendedKey {
    /// The public half.
    pub id: AccessKeyId,
    /// The half that signs.
    pub secret: Secret,
    /// What each request with it must show.
    pub security_token: Secret,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Somebody who proved what they are, and is entitled to something; nobody forgets meanwhile for whom it is.
struct Ready<'a> {
    asked: Asked,
    under_way: UnderWay<'a>,
}

impl Service {
    /// Credentials for a token of one of the cluster's service accounts.
    ///
    /// # Errors
    /// `Forbidden` for who may not vend for this cluster; a [`Refusal`] with its word for a token that is refused.
    pub async fn vend(
        self: &Arc<Self>,
        call: &Call,
        cluster: WhichCluster<'_>,
        token: &str,
    ) -> Result<Vended> {
        let vended = self.vend_within(call, cluster, &[token], None).await?;
        vended.into_iter().next().unwrap_or_else(|| Err(lost()))
    }

    /// The same for several tokens, in their order. They are looked at side by side and written together; what is wrong with
    /// one of them is its own answer.
    ///
    /// # Errors
    /// What has nothing to do with any of the tokens, as [`Service::vend`] has it; `Limited` if they are too many for who
    /// brings them.
    pub async fn vend_each(
        self: &Arc<Self>,
        call: &Call,
        cluster: WhichCluster<'_>,
        tokens: &[&str],
    ) -> Result<Vec<Result<Vended>>> {
        self.vend_within(call, cluster, tokens, Some(Instant::now() + PATIENCE)).await
    }

    async fn vend_within(
        self: &Arc<Self>,
        call: &Call,
        cluster: WhichCluster<'_>,
        tokens: &[&str],
        until: Option<Instant>,
    ) -> Result<Vec<Result<Vended>>> {
        // Each of them costs what a request of its own does.
        tokens.iter().skip(1).try_for_each(|_| self.admit_caller(&call.caller))?;
        let place = self.place_to_vend(call, cluster).await?;
        let each = tokens.iter().enumerate().map(|(nth, token)| {
            let ready = self.ready_by(call, &place, token, nth);
            async move {
                match until {
                    Some(until) => timeout_at(until, ready).await.unwrap_or_else(|_| Err(late().into())),
                    None => ready.await,
                }
            }
        });
        let ready = join_all(each).await;
        let cluster = &place.value.cluster;
        let vended = self.vended(&cluster.account, ready).await?;
        vended.iter().for_each(|one| self.counters.vended(one));
        let mut refused: Vec<&Stopped> = vended.iter().filter_map(|one| one.as_ref().err()).collect();
        // Equal ones side by side: the audit counts them as one.
        refused.sort_by_key(|stopped| stopped.word());
        refused.into_iter().for_each(|stopped| self.note_stopped(call, &cluster.id, stopped));
        Ok(vended.into_iter().map(|one| Ok(one?)).collect())
    }

    /// The cluster for which the caller may vend.
    async fn place_to_vend(
        self: &Arc<Self>,
        call: &Call,
        cluster: WhichCluster<'_>,
    ) -> Result<Arc<Copy<Place>>> {
        if let Some(place) = self.known_place(call, cluster)? {
            return Ok(place);
        }
        let right = authz::require_somewhere(call, VEND)?;
        let cluster = self.certifying(call, &right, cluster).await?;
        let id = cluster.id.clone();
        let place = self.load_place(cluster).await;
        Ok(place.inspect_err(|stopped| self.note_stopped(call, &id, stopped))?)
    }

    fn note_stopped(&self, call: &Call, cluster: &ClusterId, stopped: &Stopped) {
        if let Some(word) = stopped.word() {
            let what = format!("cluster/{cluster}/refused/{word}");
            self.note_refusal(&call.caller, &call.origin, VEND, &what);
        }
    }

    /// What the token proves that is at that place in the caller's request.
    async fn ready_by(
        &self,
        call: &Call,
        place: &Arc<Copy<Place>>,
        token: &str,
        nth: usize,
    ) -> Result<Ready<'_>, Stopped> {
        let claims = self.proved(&place.value, token).await?;
        self.ready(Messenger::Caller(call.clone(), nth), place, claims).await
    }

    /// Credentials for what was proved.
    pub(super) async fn vended_for(
        self: &Arc<Self>,
        messenger: Messenger,
        place: &Arc<Copy<Place>>,
        claims: Claims,
    ) -> Result<Vended, Stopped> {
        let ready = self.ready(messenger, place, claims).await?;
        let vended = self.vended(&place.value.cluster.account, vec![Ok(ready)]).await?;
        vended.into_iter().next().unwrap_or_else(|| Err(lost().into()))
    }

    /// Whether what was proved entitles to anything, and is still so.
    async fn ready(
        &self,
        messenger: Messenger,
        place: &Arc<Copy<Place>>,
        claims: Claims,
    ) -> Result<Ready<'_>, Stopped> {
        let cluster = &place.value.cluster;
        if claims.pod.is_none() && self.settings.pod_identity.require_bound_pod {
            return Err(Refusal::Unbound.into());
        }
        let under_way = self.holding.begin(&cluster.id, &claims.service_account.uid);
        // Before the cluster is asked: pods without an association must not cost it anything.
        let prospect = self.prospect(&messenger, cluster, &claims).await?;
        self.narrowed(&prospect.value.entitled, &pods(cluster, &claims))?;
        self.alive(&place.value.reached, &claims).await?;
        Ok(Ready { asked: Asked { messenger, place: Arc::clone(place), prospect, claims }, under_way })
    }

    /// Credentials for those who are ready; for the others why they are not.
    async fn vended(
        self: &Arc<Self>,
        account: &AccountId,
        all: Vec<Result<Ready<'_>, Stopped>>,
    ) -> Result<Vec<Result<Vended, Stopped>>> {
        // Before anything is written: what cannot be made a key of helps nobody.
        let mint = self.mint().await?;
        let (mut asked, mut under_way) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        let all: Vec<Result<(), Stopped>> = all
            .into_iter()
            .map(|one| {
                one.map(|ready| {
                    asked.push(ready.asked);
                    under_way.push(ready.under_way);
                })
            })
            .collect();
        let mut written = self.written(account, asked).await.into_iter();
        drop(under_way);
        let mut given = || written.next().unwrap_or_else(|| Err(lost().into()));
        let mut shown = |one: Result<(), Stopped>| Ok(self.shown(one.and_then(|()| given())?, mint));
        Ok(all.into_iter().map(&mut shown).collect())
    }

    /// What is shown of it, once.
    fn shown(&self, given: Given, mint: &Mint) -> Vended {
        let Given { session, agency_name, association, narrowed } = given;
        let (id, expires_at) = (session.id.as_str(), session.expires_at);
        let key = VendedKey {
            id: AccessKeyId::stored(id),
            secret: mint.secret(id),
            security_token: mint.security_token(id),
            expires_at,
        };
        let named = narrowed == Narrowed::Allowed;
        let audience = named.then(|| self.settings.pod_identity.audience.clone());
        Vended { association, agency_name, session_name: session::name(&session.to), audience, key }
    }

    /// Whether what the token names is still there, with the same uid.
    async fn alive(&self, reached: &Reached, claims: &Claims) -> Result<(), Stopped> {
        let account = (WorkloadKind::ServiceAccount, Some(&claims.service_account), "service account");
        let pod = (WorkloadKind::Pod, claims.pod.as_ref(), "pod");
        for (kind, named, what) in [account, pod] {
            let Some(named) = named else { continue };
            let workload = Workload { kind, namespace: claims.namespace.clone(), name: named.name.clone() };
            let alive = self.workloads.is_alive(reached, &workload, &named.uid).await;
            if !alive.map_err(Stopped::by_cluster)? {
                return Err(Refusal::Gone(what).into());
            }
        }
        Ok(())
    }
}

fn lost() -> Error {
    Error::internal("what was vended has no answer")
}

fn late() -> Error {
    Error::unavailable("it took longer than 2 seconds; try again", "time limit of a token among several")
}
