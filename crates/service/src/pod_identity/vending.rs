//! Vending: for a token that proves to be a pod's, credentials of the agency that its service account is associated with.
//!
//! Who asks is a messenger, an agent of the cluster as a rule: what counts is the token. So the session that begins is not
//! derived from the messenger's key, which is changed now and then while pods go on, nor does it end with it. It is derived
//! from the agency, the association, the service account and the messenger itself: whoever ends everything that an agent
//! began, because somebody may have stolen its key, ends what was vended through it as well.

use domain::{AccessKeyId, Association, Cluster, Error, Result, Secret, Timestamp};
use podidentity::Claims;
use store::{AgencyDetails, Ancestor, ReadTx, WriteTx};

use super::holding::vended_to;
use super::messenger::Messenger;
use super::refusal::{Refusal, Stopped};
use super::session;
use super::trust::{Narrowed, Pods};
use super::workloads::{Reached, Workload, WorkloadKind};
use crate::authz;
use crate::call::Call;
use crate::clusters::certificates::WhichCluster;
use crate::service::Service;
use crate::sessions::{NewSession, SessionKind};

/// What it takes to be given credentials for a token.
pub(super) const VEND: &str = "bailiwick:podIdentity:vend";

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

/// What somebody is entitled to by an association.
pub(super) struct Entitled {
    pub(super) association: Association,
    pub(super) agency_name: String,
    pub(super) details: AgencyDetails,
    pub(super) agency: Ancestor,
    /// What the agency's own trust says of these pods; never that it refuses them.
    pub(super) narrowed: Narrowed,
}

/// What a token showed.
pub(super) struct Shown {
    /// The account's revision at which it was looked at.
    revision: i64,
    /// The way to the cluster that signed it.
    reached: Reached,
    /// What it proves.
    pub(super) claims: Claims,
}

impl Service {
    /// Credentials for a token of one of the cluster's service accounts.
    ///
    /// # Errors
    /// `Forbidden` for who may not vend for this cluster; a [`Refusal`] with its word for a token that is refused.
    pub async fn vend(&self, call: &Call, cluster: WhichCluster<'_>, token: &str) -> Result<Vended> {
        let right = authz::require_somewhere(call, VEND)?;
        let cluster = self.certifying(call, &right, cluster).await?;
        let vended = match self.shown(&cluster, token).await {
            Ok(shown) => self.vended_for(&Messenger::Caller(call.clone()), &cluster, shown).await,
            Err(stopped) => Err(stopped),
        };
        match vended {
            Ok(vended) => Ok(vended),
            Err(stopped) => {
                if let Stopped::Refused(refusal) = &stopped {
                    let what = format!("cluster/{}/refused/{}", cluster.id, refusal.word());
                    self.note_refusal(&call.caller, &call.origin, VEND, &what);
                }
                Err(stopped.into())
            }
        }
    }

    /// What a token proves about a workload of the cluster.
    pub(super) async fn shown(&self, cluster: &Cluster, token: &str) -> Result<Shown, Stopped> {
        let mut tx = self.store.read().await?;
        let revision = tx.revision(&cluster.account).await?;
        let (reached, facts) = self.reached(&mut tx, cluster).await?;
        tx.end().await?;
        let claims = self.proved(&reached, facts.as_ref(), token).await?;
        Ok(Shown { revision, reached, claims })
    }

    /// Credentials for what was proved.
    pub(super) async fn vended_for(
        &self,
        messenger: &Messenger,
        cluster: &Cluster,
        shown: Shown,
    ) -> Result<Vended, Stopped> {
        let Shown { revision, reached, claims } = shown;
        if claims.pod.is_none() && self.settings.pod_identity.require_bound_pod {
            return Err(Refusal::Unbound.into());
        }
        // Before the cluster is asked: pods without an association must not cost it anything.
        let mut tx = self.store.read().await?;
        let place = (claims.namespace.as_str(), claims.service_account.name.as_str());
        let entitled = self.entitled(&mut tx, cluster, place).await?;
        let uid = &claims.service_account.uid;
        let under_way = self.holding.begin(&cluster.id, uid);
        let ended = tx.service_account_ended(&cluster.id, uid).await?;
        tx.end().await?;
        self.alive(&reached, &claims).await?;
        let mut tx = self.begin_for(messenger, cluster).await?;
        // Again, now that nobody else can change it, if anything but grants and sessions changed in the account at all.
        let unchanged = tx.directory().is_some_and(|directory| directory <= revision);
        let entitled = match unchanged {
            true => entitled,
            false => self.still_entitled(&mut tx, cluster, (&reached, &claims, ended)).await?,
        };
        let vended = self.begin_vended(tx, messenger, cluster, (&claims, ended), entitled).await?;
        drop(under_way);
        Ok(vended)
    }

    /// The way to a cluster that may be believed, and which cluster it is known to be.
    pub(super) async fn reached(
        &self,
        tx: &mut ReadTx,
        cluster: &Cluster,
    ) -> Result<(Reached, Option<domain::ClusterIdentity>), Stopped> {
        let row = tx.cluster_row(&cluster.id).await?.filter(|row| !row.removed);
        let row = row.ok_or(Refusal::Detached)?;
        if row.suspended {
            return Err(Refusal::Suspended.into());
        }
        let identity = tx.connection_facts(&cluster.id).await?.and_then(|facts| facts.identity);
        let connection = self.open_connection(&row.id, &row.account, &row.sealed_connection)?;
        Ok((Reached { cluster: row.id, version: row.connection_version, connection }, identity))
    }

    /// What the pods of a service account are entitled to now.
    pub(super) async fn entitled(
        &self,
        tx: &mut ReadTx,
        cluster: &Cluster,
        (namespace, service_account): (&str, &str),
    ) -> Result<Entitled, Stopped> {
        let association = tx.association_of(&cluster.id, namespace, service_account).await?;
        let association = association.ok_or(Refusal::NoAssociation)?;
        let agency = tx.principal_as_ancestor(&cluster.account, &association.agency).await?;
        let found = tx.principal(&cluster.account, association.agency.as_str()).await?;
        let (Some(agency), Some(found)) = (agency, found) else { return Err(Refusal::NoAgency.into()) };
        let details = tx.agency_details(&association.agency).await?;
        if details.expires_at.is_some_and(|end| end <= self.now()) {
            return Err(Refusal::NoAgency.into());
        }
        let pods = Pods { cluster, namespace, service_account };
        let narrowed = self.trust_in_pods(&details, &pods);
        match narrowed {
            Narrowed::Refused => Err(Refusal::Untrusted.into()),
            Narrowed::Allowed | Narrowed::Silent => {
                Ok(Entitled { association, agency_name: found.name, details, agency, narrowed })
            }
        }
    }

    /// What the pods are entitled to after something changed.
    async fn still_entitled(
        &self,
        tx: &mut ReadTx,
        cluster: &Cluster,
        (reached, claims, ended): (&Reached, &Claims, i64),
    ) -> Result<Entitled, Stopped> {
        let (now, _) = self.reached(tx, cluster).await?;
        if now.version != reached.version {
            return Err(Error::conflict("the cluster's connection changed meanwhile: try again").into());
        }
        if tx.service_account_ended(&cluster.id, &claims.service_account.uid).await? != ended {
            // It was seen to be gone after it was asked for, perhaps by another server.
            return Err(Refusal::Gone("service account").into());
        }
        let place = (claims.namespace.as_str(), claims.service_account.name.as_str());
        self.entitled(tx, cluster, place).await
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

    async fn begin_vended(
        &self,
        mut tx: WriteTx,
        messenger: &Messenger,
        cluster: &Cluster,
        (claims, ended): (&Claims, i64),
        entitled: Entitled,
    ) -> Result<Vended> {
        let Entitled { association, agency_name, details, agency, narrowed } = entitled;
        let caller = messenger.ancestor(&mut tx).await?;
        let mut ancestors = session::ancestors(cluster, claims, &association, ended);
        ancestors.extend(caller.into_iter().chain([agency]));
        let until = self.now().plus_seconds(self.settings.pod_identity.lifetime_seconds);
        let new = NewSession {
            kind: SessionKind::TemporaryKey,
            account: cluster.account.clone(),
            principal: association.agency.clone(),
            project: None,
            name: session::name(cluster, claims),
            methods: vec![session::METHOD.to_owned()],
            assumer: None,
            limits: Vec::new(),
            tags: session::tags(cluster, claims),
            source_identity: String::new(),
            expires_at: details.expires_at.map_or(until, |end| end.min(until)),
        };
        let session_name = new.name.clone();
        let to = vended_to(cluster, claims);
        self.room_for_vended(&mut tx, &to).await?;
        let begun = self.begin_session(&mut tx, new, &ancestors).await?;
        tx.insert_vended(&begun.session.id, &to, begun.session.expires_at).await?;
        let resource = session::resource(cluster, claims, &association, begun.session.id.as_str());
        self.commit_event(tx, &self.event_for(messenger, claims, (VEND, &resource))).await?;
        let key = VendedKey {
            id: AccessKeyId::stored(begun.session.id.as_str()),
            secret: begun.secret.ok_or_else(|| Error::internal("a temporary key without secret"))?,
            security_token: begun.proof,
            expires_at: begun.session.expires_at,
        };
        let named = narrowed == Narrowed::Allowed;
        let audience = named.then(|| self.settings.pod_identity.audience.clone());
        Ok(Vended { association, agency_name, session_name, audience, key })
    }
}
