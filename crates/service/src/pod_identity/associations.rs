//! Associations: which agency the pods of a service account act as.
//!
//! Whoever can run pods under the service account becomes the agency. So making one, and giving it another agency, takes the
//! right to pass that agency beside the right to the association; and the agency is kept by its id, so that another one
//! that gets its name later is given to nobody.

use std::collections::BTreeMap;

use domain::{
    Association, AssociationId, Cluster, Error, Namespace, Principal, PrincipalKind, Result,
    ServiceAccountName,
};
use store::{ReadTx, WriteTx};

use super::place::cluster;
use super::tags;
use super::trust::{Narrowed, Pods};
use crate::authz::{self, ASSOCIATION, Right, Thing};
use crate::call::Call;
use crate::clusters::certificates::WhichCluster;
use crate::directory::which::Which;
use crate::quotas::room;
use crate::service::{PageRequest, Paged, Service};

pub(crate) const CREATE: &str = "bailiwick:podIdentity:create";
pub(crate) const UPDATE: &str = "bailiwick:podIdentity:update";
pub(crate) const DELETE: &str = "bailiwick:podIdentity:delete";
pub(super) const LIST: &str = "bailiwick:podIdentity:list";
pub(super) const SHOW: &str = "bailiwick:podIdentity:show";
/// Of associations that end with something else so many are named in the audit.
const MOST_NAMED: usize = 100;
/// What it takes to let others act as an agency.
const PASS: &str = "bailiwick:agency:pass";

/// An association to be made.
#[derive(Debug)]
pub struct NewAssociation<'a> {
    /// The service account's namespace. Neither need be there yet.
    pub namespace: &'a str,
    /// The service account.
    pub service_account: &'a str,
    /// The agency, of the caller's account.
    pub agency: Which<'a>,
    /// Tags, keys and values.
    pub tags: Vec<(String, String)>,
}

/// An association with the name that its agency has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociationView {
    /// The association.
    pub association: Association,
    /// The agency's name.
    pub agency_name: String,
}

/// Which associations of a cluster are wanted. What is `None` may be anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AssociationFilter<'a> {
    /// In this namespace.
    pub namespace: Option<&'a str>,
    /// Of service accounts with this name.
    pub service_account: Option<&'a str>,
    /// With the agency of this id or name.
    pub agency: Option<&'a str>,
}

impl AssociationFilter<'_> {
    fn matches(&self, view: &AssociationView) -> bool {
        let AssociationView { association, agency_name } = view;
        let is = |wanted: Option<&str>, have: &str| wanted.is_none_or(|wanted| wanted == have);
        is(self.namespace, association.namespace.as_str())
            && is(self.service_account, association.service_account.as_str())
            && self.agency.is_none_or(|agency| agency == association.agency.as_str() || agency == agency_name)
    }
}

impl Service {
    /// Lets the pods of a service account act as an agency.
    ///
    /// # Errors
    /// `Invalid` naming the field; `NotFound` if there is no such cluster; `Forbidden` for whoever may not pass the agency;
    /// `Conflict` if the service account has an association, the agency's trust excludes it, or the cluster may have no
    /// more.
    pub async fn create_association(
        &self,
        call: &Call,
        which: WhichCluster<'_>,
        new: NewAssociation<'_>,
    ) -> Result<AssociationView> {
        let right = authz::require_somewhere(call, CREATE)?;
        let namespace = Namespace::parse("namespace", new.namespace)?;
        let service_account = ServiceAccountName::parse("serviceAccount", new.service_account)?;
        let tags = tags::checked(&new.tags)?;
        self.may_make(call, &right, which, &tags, new.agency).await?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.association(call, CREATE).await,
        };
        // Again, now that nobody else can change it.
        let cluster = cluster(&mut tx, call, &right, which).await?;
        right.on(&Thing::associations_in(&cluster).wanting_tags(&tags))?;
        let agency = passed(&mut tx, call, new.agency).await?;
        let have = tx.count_associations_of(&cluster.id).await?;
        room("pod identity associations of a cluster", have, self.settings.quotas.associations_per_cluster)?;
        let now = self.now();
        let association = Association {
            id: AssociationId::random_uuid(&*self.entropy),
            account: call.account().clone(),
            cluster: cluster.id.clone(),
            namespace,
            service_account,
            agency: agency.id.clone(),
            tags,
            epoch: 1,
            ended: 0,
            revision: tx.revision(),
            created_at: now,
            modified_at: now,
        };
        let known = tx
            .association_of(&cluster.id, association.namespace.as_str(), association.service_account.as_str())
            .await?;
        if let Some(known) = known {
            return Err(taken(&known));
        }
        self.trusts(&mut tx, &agency, &cluster, &association).await?;
        tx.insert_association(&association).await?;
        self.commit_for_fleet(tx, call, CREATE, &resource(&association)).await?;
        Ok(AssociationView { association, agency_name: agency.name })
    }

    /// What can be known before the account's lock is taken, which whoever may not do it need not wait for.
    async fn may_make(
        &self,
        call: &Call,
        right: &Right<'_>,
        which: WhichCluster<'_>,
        tags: &BTreeMap<String, String>,
        agency: Which<'_>,
    ) -> Result<()> {
        let mut tx = self.store.read().await?;
        let cluster = cluster(&mut tx, call, right, which).await?;
        right.on(&Thing::associations_in(&cluster).wanting_tags(tags))?;
        passed(&mut tx, call, agency).await?;
        tx.end().await
    }

    /// The associations of a cluster that the caller may see, by namespace and service account.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster; `Forbidden` for whoever may see none.
    pub async fn list_associations(
        &self,
        call: &Call,
        which: WhichCluster<'_>,
        filter: AssociationFilter<'_>,
    ) -> Result<Vec<AssociationView>> {
        let right = authz::require_somewhere(call, LIST)?;
        let mut tx = self.store.read().await?;
        let cluster = cluster(&mut tx, call, &right, which).await?;
        let found = tx.associations_of_cluster(&cluster.id, 0).await?;
        let names = tx.agency_names_of_cluster(&cluster.id).await?;
        tx.end().await?;
        let visible = |one: &Association| right.holds_for(&Thing::association(one, &cluster));
        let visible: Vec<AssociationView> = found
            .into_iter()
            .filter(visible)
            .map(|association| {
                let agency_name = names.get(&association.agency).cloned().unwrap_or_default();
                AssociationView { association, agency_name }
            })
            .collect();
        if visible.is_empty() {
            right.on(&Thing::associations_in(&cluster))?;
        }
        Ok(visible.into_iter().filter(|view| filter.matches(view)).collect())
    }

    /// A page of them, oldest first.
    ///
    /// # Errors
    /// As [`Service::list_associations`]; `Invalid` naming `limit` or `cursor`.
    pub async fn page_associations(
        &self,
        call: &Call,
        which: WhichCluster<'_>,
        filter: AssociationFilter<'_>,
        page: &PageRequest,
    ) -> Result<Paged<AssociationView>> {
        let all = self.list_associations(call, which, filter).await?;
        page.slice(&all, |view| (view.association.created_at, view.association.id.as_str().to_owned()))
    }

    /// An association of a cluster.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn show_association(
        &self,
        call: &Call,
        which: WhichCluster<'_>,
        id: &str,
    ) -> Result<AssociationView> {
        let right = authz::require_somewhere(call, SHOW)?;
        let mut tx = self.store.read().await?;
        let cluster = cluster(&mut tx, call, &right, which).await?;
        let association = found(&mut tx, &right, &cluster, id).await?;
        let shown = view(&mut tx, association).await?;
        tx.end().await?;
        Ok(shown)
    }

    /// Gives an association another agency.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Forbidden` for whoever may not pass the agency; `Conflict` if the agency's trust
    /// excludes the service account.
    pub async fn update_association(
        &self,
        call: &Call,
        which: WhichCluster<'_>,
        id: &str,
        agency: Which<'_>,
        before: VendedBefore,
    ) -> Result<AssociationView> {
        let right = authz::require_somewhere(call, UPDATE)?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => {
                let repeated = self.repeated(call, error).await?;
                return repeated.association(call, UPDATE).await;
            }
        };
        let cluster = cluster(&mut tx, call, &right, which).await?;
        let known = found(&mut tx, &right, &cluster, id).await?;
        let agency = passed(&mut tx, call, agency).await?;
        if known.agency == agency.id && before == VendedBefore::GoesOn {
            if call.signed.is_some() {
                // It must be known when it comes again, after somebody changed the association.
                tx.commit().await?;
            }
            return Ok(AssociationView { association: known, agency_name: agency.name });
        }
        self.trusts(&mut tx, &agency, &cluster, &known).await?;
        let now = self.now();
        let ends = match before {
            VendedBefore::GoesOn => 0,
            VendedBefore::Ends => 1,
        };
        tx.set_association_agency(&known.id, (&agency.id, ends), now).await?;
        let after = Association {
            agency: agency.id,
            epoch: known.epoch + 1,
            ended: known.ended + ends,
            revision: tx.revision(),
            modified_at: now,
            ..known
        };
        self.commit_for_fleet(tx, call, UPDATE, &resource(&after)).await?;
        Ok(AssociationView { association: after, agency_name: agency.name })
    }

    /// Ends an association, and with it at once all that was vended by it.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn delete_association(&self, call: &Call, which: WhichCluster<'_>, id: &str) -> Result<()> {
        let right = authz::require_somewhere(call, DELETE)?;
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => return self.repeated(call, error).await?.deleted(DELETE).await,
        };
        let cluster = cluster(&mut tx, call, &right, which).await?;
        let association = found(&mut tx, &right, &cluster, id).await?;
        tx.delete_association(&association.id, self.now()).await?;
        self.commit_for_fleet(tx, call, DELETE, &resource(&association)).await
    }

    /// Lets an agency be associated that does not say itself that it does not want to.
    async fn trusts(
        &self,
        tx: &mut WriteTx,
        agency: &Principal,
        cluster: &Cluster,
        association: &Association,
    ) -> Result<()> {
        let details = tx.agency_details(&agency.id).await?;
        let (namespace, service_account) =
            (association.namespace.as_str(), association.service_account.as_str());
        match self.trust_in_pods(&details, &Pods { cluster, namespace, service_account }) {
            Narrowed::Allowed | Narrowed::Silent => Ok(()),
            Narrowed::Refused => Err(Error::conflict(format!(
                "the trust policy of agency `{}` excludes service account `{namespace}/{service_account}` in this \
                 cluster: change the trust policy, or choose another agency",
                agency.name
            ))),
        }
    }

    /// Lets an agency be deleted that has no association, or whose associations are to end with it.
    ///
    /// # Errors
    /// `Conflict` if there are some and they are to stay; `Forbidden` for whoever may not end one of them.
    pub(crate) async fn may_end_with(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        agency: &Principal,
        associations: Associations,
    ) -> Result<()> {
        let theirs = tx.associations_of_agency(&agency.id).await?;
        match (associations, theirs.len()) {
            (_, 0) => Ok(()),
            (Associations::Stay, count) => Err(Error::conflict(format!(
                "agency `{}` has {count} pod identity association(s), and pods would lose their credentials at once: \
                 delete those first, or delete the agency with `force`, which ends them",
                agency.name
            ))),
            (Associations::End, _) => {
                let right = authz::require_somewhere(call, DELETE)?;
                let clusters = tx.clusters(call.account()).await?;
                for association in &theirs {
                    match clusters.iter().find(|cluster| cluster.id == association.cluster) {
                        Some(cluster) => right.on(&Thing::association(association, cluster))?,
                        None => right.on(&Thing::associations_in_unknown(&association.cluster))?,
                    }
                }
                self.audit_ends(tx, call, &theirs).await
            }
        }
    }
}

impl Service {
    /// Writes down which associations end with something else: the first each by itself, and how many more there are.
    pub(crate) async fn audit_ends(&self, tx: &mut WriteTx, call: &Call, all: &[Association]) -> Result<()> {
        for association in all.iter().take(MOST_NAMED) {
            tx.audit(&self.event(call, DELETE, &resource(association))).await?;
        }
        let more = all.len().saturating_sub(MOST_NAMED);
        if more > 0 {
            tx.audit(&self.event(call, DELETE, &format!("{ASSOCIATION}/and-{more}-more"))).await?;
        }
        Ok(())
    }
}

/// What becomes of what was vended by an association before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VendedBefore {
    /// It goes on to its own end: pods fetch what is new in their own time.
    GoesOn,
    /// It ends at once.
    Ends,
}

/// What becomes of an agency's associations when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Associations {
    /// They stay, and the agency with them.
    Stay,
    /// They end.
    End,
}

/// The association of that id in that cluster, on which the right must hold. Whether there is one is told to those only who
/// would be let in.
async fn found(tx: &mut ReadTx, right: &Right<'_>, cluster: &Cluster, id: &str) -> Result<Association> {
    let found = tx.association(&cluster.account, id).await?.filter(|found| found.cluster == cluster.id);
    match found {
        Some(found) => {
            right.on(&Thing::association(&found, cluster))?;
            Ok(found)
        }
        None => {
            right.on(&Thing::associations_in(cluster))?;
            Err(Error::not_found("pod identity association", id))
        }
    }
}

/// The account's agency of that name or id, which the caller may pass.
async fn passed(tx: &mut ReadTx, call: &Call, which: Which<'_>) -> Result<Principal> {
    let right = authz::require_somewhere(call, PASS)?;
    let text = which.text();
    match which.find(tx, call.account(), PrincipalKind::Agency).await {
        Ok(agency) => {
            right.on(&Thing::principal(&agency).asked_for(text))?;
            Ok(agency)
        }
        Err(error) if error.kind() == domain::ErrorKind::NotFound => {
            right.on(&Thing::named(PrincipalKind::Agency.as_str(), text))?;
            Err(Error::invalid("agency", format!("names no agency of the account: `{text}`")))
        }
        Err(error) => Err(error),
    }
}

/// An association as others see it.
pub(crate) async fn view(tx: &mut ReadTx, association: Association) -> Result<AssociationView> {
    let agency = tx.principal(&association.account, association.agency.as_str()).await?;
    Ok(AssociationView { association, agency_name: agency.map(|agency| agency.name).unwrap_or_default() })
}

fn taken(known: &Association) -> Error {
    Error::conflict(format!(
        "service account `{}/{}` has an association in this cluster already: change its agency, or delete it first",
        known.namespace, known.service_account
    ))
}

fn resource(association: &Association) -> String {
    format!("{ASSOCIATION}/{}", association.id)
}
