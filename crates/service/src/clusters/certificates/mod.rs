//! Client certificates for people: having one signed by the cluster itself, and handing it out as a kubeconfig.
//!
//! A certificate names nobody but its own serial and holder, and no groups. It gives nothing by itself: its name is bound
//! beside the holder's other names, while it lives, wherever grants say so. So ending it is taking one name out of
//! bindings, and does not need the cluster to know of revoked certificates, which none does.

mod holder;
mod kubeconfig;
mod listing;
mod place;
mod request;
mod revoking;
mod signed;
mod standing;

use domain::{Cluster, Error, ErrorKind, Principal, PrincipalKind, Result, Timestamp, certificate};
use rbac::Owner;
use store::{AskedWith, Certificate, ReadTx};

pub use holder::{ForOthers, Holder};
pub use kubeconfig::Kubeconfig;
pub use listing::{CertificateState, IssuedCertificate};
pub use place::WhichCluster;
pub use standing::{InCluster, OfHolder, Presence};

use crate::authz;
use crate::call::{Call, Proof, SessionFacts};
use crate::clusters::connection::Connection;
use crate::clusters::connection::contact::{Ours, SigningRequest};
use crate::fleet::object_name;
use crate::quotas::room;
use crate::service::Service;
use crate::sessions::SessionKind;

/// What it takes to have a certificate.
const ISSUE: &str = "bailiwick:certificate:issue";
/// How long a lasting certificate is good where nobody chose: three years.
const USUAL_HOURS: i64 = 3 * 365 * 24;
/// The longest lifetime that can be asked for: a hundred years.
pub const MAX_HOURS: i64 = 876_000;
/// The shortest, in seconds.
pub const MIN_SECONDS: i64 = 5;
/// A certificate that is not signed after so many seconds never will be.
const SIGNED_WITHIN: i64 = 60;

/// How long a certificate is to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as was chosen for its holder there, or the usual time.
    Lasting,
    /// For so many seconds.
    Seconds(i64),
    /// Until then.
    Until(Timestamp),
}

/// What to do about bindings of others that name the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Refuse: whom others mean by that name may be somebody else.
    Refuse,
    /// Issue it nevertheless.
    Adopt,
}

/// A certificate that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whose it is to be.
    pub holder: Holder<'a>,
    /// Who may ask for somebody else's.
    pub for_others: ForOthers,
    /// How long it is to be good.
    pub lifetime: Lifetime,
    /// What to do about bindings of others.
    pub foreign: Foreign,
}

/// What was found before anything was written.
struct Prepared {
    cluster: Cluster,
    holder: Principal,
    connection: Connection,
    connection_version: i64,
}

impl Service {
    /// Has a certificate signed by the cluster and hands it out with its key, which is kept nowhere.
    ///
    /// # Errors
    /// `Forbidden`, also for somebody else's; `NotFound`; `Invalid` naming `lifetime`; `Conflict` with a sentence for people
    /// if the cluster is detached, refuses or signs something else, if others' bindings name the holder, or there would
    /// be too many.
    pub async fn issue_certificate(
        &self,
        call: &Call,
        cluster: impl Into<WhichCluster<'_>> + Send,
        wanted: Wanted<'_>,
    ) -> Result<Kubeconfig> {
        let right = authz::require_somewhere(call, ISSUE)?;
        let cluster = self.certifying(call, &right, cluster.into()).await?;
        wanted.for_others.allow(call, wanted.holder, ISSUE)?;
        let prepared = self.prepare(call, cluster, wanted).await?;
        let begun = self.begin_certificate(call, &prepared, wanted).await?;
        let asked = begun.expires_at;
        let done = self.sign(&prepared, &begun).await;
        let (signed, key_pem) = match done {
            Ok(done) => done,
            Err(error) => {
                self.take_back(call, &begun).await?;
                return Err(error);
            }
        };
        let certificate = Certificate {
            expires_at: asked.min(signed.not_after),
            not_after: Some(signed.not_after),
            ..begun
        };
        self.finish(&certificate).await?;
        let Connection { server, ca_pem, tls_server_name, credential: _ } = prepared.connection;
        Ok(Kubeconfig {
            certificate,
            cluster: prepared.cluster,
            server,
            ca_pem,
            tls_server_name,
            certificate_pem: signed.pem,
            key_pem,
        })
    }

    /// Looks at everything that may stand in the way, in the cluster too.
    async fn prepare(&self, call: &Call, cluster: Cluster, wanted: Wanted<'_>) -> Result<Prepared> {
        let mut tx = self.store.read().await?;
        let holder = wanted.holder.find(&mut tx, call).await?;
        let row = tx.cluster_row(&cluster.id).await?;
        let recorded = tx.applied_names(&cluster.id).await?.into_iter().map(object_name).collect();
        tx.end().await?;
        may_hold(&holder)?;
        let row = row.ok_or_else(|| {
            Error::conflict(format!("cluster `{}` has no connection: nobody could sign", cluster.name))
        })?;
        not_suspended(&cluster)?;
        let connection = self.open_connection(&row.id, &row.account, &row.sealed_connection)?;
        if wanted.foreign == Foreign::Refuse {
            let owner = Owner { installation: self.installation.clone(), cluster: cluster.id.clone() };
            let (mut users, _) = cluster.arrival.names(&holder);
            users.push(holder.id.as_str().to_owned());
            let ours = Ours { owner, recorded };
            if let Some(found) = self.contact.foreign_users(&connection, &ours, &users).await? {
                return Err(Error::conflict(format!(
                    "{found}, and is not ours: somebody else may be meant by that name; `bailiwick kubeconfig issue --adopt` \
                     says that it is `{}`",
                    holder.id
                )));
            }
        }
        Ok(Prepared { cluster, holder, connection, connection_version: row.connection_version })
    }

    /// Writes the certificate down before there is one: its name is bound from then on. Until it is signed it ends soon,
    /// so that one that never is takes itself away. `expires_at` of what is returned is when it is to end once it is.
    async fn begin_certificate(
        &self,
        call: &Call,
        prepared: &Prepared,
        wanted: Wanted<'_>,
    ) -> Result<Certificate> {
        let Prepared { cluster, holder, .. } = prepared;
        let id = certificate::serial(&*self.entropy);
        let user_name = certificate::user_name(&holder.id, &id)?;
        let mut tx = self.begin(call).await?;
        // Again, now that nobody else can change it.
        let holder_now = tx.principal(call.account(), holder.id.as_str()).await?;
        may_hold(&holder_now.ok_or_else(|| Error::not_found(holder.kind.as_str(), holder.id.as_str()))?)?;
        let row = tx.cluster_row(&cluster.id).await?;
        if row.is_none_or(|row| {
            row.removed || row.suspended || row.connection_version != prepared.connection_version
        }) {
            return Err(Error::conflict("the cluster changed meanwhile; look at it and try again"));
        }
        let now = self.now();
        let have = tx.count_certificates_of(&cluster.id, &holder.id, now).await?;
        room(
            "certificates of one holder in one cluster",
            have,
            self.settings.quotas.certificates_per_principal,
        )
        .map_err(|full| {
            full.with_hint("those that nobody needs can be revoked, one by its serial or all of them")
        })?;
        let expires_at = self.end_of_certificate(&mut tx, call, prepared, wanted.lifetime, now).await?;
        let new = Certificate {
            account: call.account().clone(),
            cluster: cluster.id.clone(),
            principal: holder.id.clone(),
            kind: holder.kind,
            principal_name: holder.name.clone(),
            user_name,
            lasting: wanted.lifetime == Lifetime::Lasting,
            issued_at: now,
            issued_by: call.caller.principal.clone(),
            source_ended: false,
            expires_at,
            not_after: None,
            revoked_at: None,
            id,
        };
        let soon = expires_at.min(now.plus_seconds(SIGNED_WITHIN));
        let asked = asked_with(&mut tx, call).await?;
        tx.insert_certificate(&Certificate { expires_at: soon, ..new.clone() }, &asked).await?;
        // Those of the last week are asked for, however soon the audit forgets.
        let kept = i64::from(self.settings.audit_retention_days.max(8)).saturating_mul(24 * 3600);
        tx.forget_certificates(now.plus_seconds(-kept)).await?;
        self.commit_for_fleet(tx, call, ISSUE, &resource(&new)).await?;
        Ok(new)
    }

    /// When it is to end.
    async fn end_of_certificate(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        prepared: &Prepared,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<Timestamp> {
        let end = match lifetime {
            Lifetime::Lasting => {
                let chosen = tx.certificate_lifetime(&prepared.cluster.id, &prepared.holder.id).await?;
                now.plus_seconds(chosen.unwrap_or(USUAL_HOURS) * 3600)
            }
            Lifetime::Seconds(seconds) => now.plus_seconds(seconds),
            Lifetime::Until(end) => end,
        };
        if end < now.plus_seconds(MIN_SECONDS) || end > now.plus_seconds(MAX_HOURS * 3600) {
            let rule = format!("must be at least {MIN_SECONDS} seconds and at most {MAX_HOURS} hours");
            return Err(Error::invalid("lifetime", rule));
        }
        // What somebody was given for a while must not become theirs for ever by a certificate.
        let lent = call.caller.session().filter(|session| is_lent(call, session));
        Ok(lent.map_or(end, |session| end.min(session.expires_at)))
    }

    async fn sign(
        &self,
        prepared: &Prepared,
        begun: &Certificate,
    ) -> Result<(signed::Signed, domain::Secret)> {
        self.open_for_requests()?;
        let asked = request::new(&begun.user_name)?;
        let request = SigningRequest {
            name: format!("bailiwick-{}", begun.id),
            csr_pem: asked.csr_pem,
            seconds: begun.expires_at.as_millis().saturating_sub(begun.issued_at.as_millis()) / 1000,
        };
        let answer = self.contact.sign(&prepared.connection, &request).await?;
        let signed = signed::check(&answer, &asked.public_key, &begun.user_name, self.now()).map_err(|what| {
            tracing::warn!(cluster = %begun.cluster, certificate = %begun.id, what, "a certificate was refused");
            Error::conflict(format!("the cluster signed {what}: it was thrown away"))
        })?;
        Ok((signed, asked.key_pem))
    }

    /// The certificate is signed: from now on it ends when it is to end.
    async fn finish(&self, certificate: &Certificate) -> Result<()> {
        let mut tx = self.store.write_observed(&certificate.account).await?;
        let not_after = certificate.not_after.unwrap_or(certificate.expires_at);
        let counts = tx.note_signed(&certificate.id, not_after, certificate.expires_at).await?;
        if !counts {
            return Err(Error::conflict("the certificate was revoked while it was signed: ask for another"));
        }
        tx.commit().await?;
        self.poke();
        Ok(())
    }

    /// The certificate never came to be.
    async fn take_back(&self, call: &Call, begun: &Certificate) -> Result<()> {
        let mut tx = self.store.write(&begun.account).await?;
        tx.revoke_certificate(&begun.id, self.now()).await?;
        self.commit_for_fleet(tx, call, "bailiwick:certificate:revoke", &resource(begun)).await
    }
}

/// Whether a session gives somebody something for a while. Who logged in by a password has more than their token.
fn is_lent(call: &Call, session: &SessionFacts) -> bool {
    let caller = &call.caller;
    session.kind == SessionKind::TemporaryKey
        || caller.kind == PrincipalKind::Agency
        || !caller.rights.limits.is_empty()
}

/// With what the call asks, as it is now.
async fn asked_with(tx: &mut ReadTx, call: &Call) -> Result<AskedWith> {
    let over =
        || Error::new(ErrorKind::Unauthenticated, "the credential ended while the request was waiting");
    let account = call.account();
    match &call.caller.proof {
        Proof::Server => Ok(AskedWith::Nothing),
        Proof::AccessKey(id) => {
            let key = tx.key_as_ancestor(account, id.as_str()).await?.ok_or_else(over)?;
            Ok(AskedWith::AccessKey { id: key.id, epoch: key.epoch })
        }
        Proof::Session(session) if is_lent(call, session) => {
            Ok(AskedWith::Lent { id: session.id.as_str().to_owned() })
        }
        Proof::Session(session) => {
            let user = tx.principal_as_ancestor(account, &call.caller.principal).await?.ok_or_else(over)?;
            Ok(AskedWith::Token { id: session.id.as_str().to_owned(), epoch: user.epoch })
        }
    }
}

/// As the audit calls it.
fn resource(certificate: &Certificate) -> String {
    let Certificate { cluster, kind, principal, id, .. } = certificate;
    format!("cluster/{cluster}/{kind}/{principal}/certificate/{id}")
}

fn may_hold(holder: &Principal) -> Result<()> {
    if holder.enabled {
        return Ok(());
    }
    Err(Error::conflict(format!("{} `{}` is disabled", holder.kind, holder.name)))
}

fn not_suspended(cluster: &Cluster) -> Result<()> {
    if cluster.suspended_at.is_none() {
        return Ok(());
    }
    Err(Error::conflict(format!("the grants of cluster `{}` are suspended", cluster.name)))
}
