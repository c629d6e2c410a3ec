//! Vending: for a token that proves to be a pod's, credentials of the agency that its service account is associated with.
//!
//! Who asks is a messenger, an agent of the cluster as a rule: what counts is the token. So the session that begins is not
//! derived from the messenger's key, which is changed now and then while pods go on, nor does it end with it. It is derived
//! from the agency, the association, the service account and the messenger itself: whoever ends everything that an agent
//! began, because somebody may have stolen its key, ends what was vended through it as well.

use std::sync::Arc;

use domain::{AccessKeyId, Association, Result, Secret, Timestamp};
use podidentity::Claims;

use super::messenger::Messenger;
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
        let right = authz::require_somewhere(call, VEND)?;
        let (id, outcome) = match self.known_place(call, &right, cluster)? {
            Some(place) => (place.value.cluster.id.clone(), self.vended_at(call, place, token).await),
            None => {
                let cluster = self.certifying(call, &right, cluster).await?;
                let id = cluster.id.clone();
                let outcome = match self.load_place(cluster).await {
                    Ok(place) => self.vended_at(call, place, token).await,
                    Err(stopped) => Err(stopped),
                };
                (id, outcome)
            }
        };
        if let Err(Stopped::Refused(refusal)) = &outcome {
            let what = format!("cluster/{id}/refused/{}", refusal.word());
            self.note_refusal(&call.caller, &call.origin, VEND, &what);
        }
        Ok(outcome?)
    }

    async fn vended_at(
        self: &Arc<Self>,
        call: &Call,
        place: Arc<Copy<Place>>,
        token: &str,
    ) -> Result<Vended, Stopped> {
        let claims = self.proved(&place.value, token).await?;
        self.vended_for(Messenger::Caller(call.clone()), place, claims).await
    }

    /// Credentials for what was proved.
    pub(super) async fn vended_for(
        self: &Arc<Self>,
        messenger: Messenger,
        place: Arc<Copy<Place>>,
        claims: Claims,
    ) -> Result<Vended, Stopped> {
        let cluster = &place.value.cluster;
        if claims.pod.is_none() && self.settings.pod_identity.require_bound_pod {
            return Err(Refusal::Unbound.into());
        }
        let under_way = self.holding.begin(&cluster.id, &claims.service_account.uid);
        // Before the cluster is asked: pods without an association must not cost it anything.
        let prospect = self.prospect(&messenger, cluster, &claims).await?;
        self.narrowed(&prospect.value.entitled, &pods(cluster, &claims))?;
        self.alive(&place.value.reached, &claims).await?;
        // Before anything is written: what cannot be made a key of helps nobody.
        let mint = self.mint().await?;
        let account = cluster.account.clone();
        let asked = Asked { messenger, place, prospect, claims };
        let Given { session, agency_name, association, narrowed } = self.written(&account, asked).await?;
        drop(under_way);
        let (id, expires_at) = (session.id.as_str(), session.expires_at);
        let key = VendedKey {
            id: AccessKeyId::stored(id),
            secret: mint.secret(id),
            security_token: mint.security_token(id),
            expires_at,
        };
        let named = narrowed == Narrowed::Allowed;
        let audience = named.then(|| self.settings.pod_identity.audience.clone());
        Ok(Vended { association, agency_name, session_name: session::name(&session.to), audience, key })
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
