//! What an agency's own trust says about pods. The association is the trust for exactly one service account; where the
//! agency's trust policy speaks of pods, both must agree.

use domain::{Cluster, Timestamp};
use policy::{Context, Document, Effect, Grammar, Request, Resource};
use store::AgencyDetails;

use crate::authz::{Fact, Vocabulary, trust};
use crate::pod_identity::PodIdentity;
use crate::service::Service;

/// The condition key that is the namespace.
const NAMESPACE: &str = "bailiwick:Namespace";
/// The condition key that is the name of the service account.
const SERVICE_ACCOUNT: &str = "bailiwick:ServiceAccount";

/// What a trust policy says about the pods of a service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrowed {
    /// It names pods, and these are among them.
    Allowed,
    /// It names pods and these are not among them, or it denies them.
    Refused,
    /// It does not speak of pods: the association is enough.
    Silent,
}

/// The pods of a service account.
#[derive(Clone, Copy, Debug)]
pub struct Pods<'a> {
    /// Where they run.
    pub cluster: &'a Cluster,
    /// Their namespace.
    pub namespace: &'a str,
    /// Their service account.
    pub service_account: &'a str,
}

impl Service {
    /// What the agency's trust policy says, now, about the pods of a service account of its own account.
    pub(crate) fn trust_in_pods(&self, details: &AgencyDetails, pods: &Pods<'_>) -> Narrowed {
        let settings = &self.settings;
        narrowed(details, pods, &settings.pod_identity, &settings.vocabulary, self.now())
    }
}

/// What a trust policy says about pods. A deny refuses also where it only might mean them.
#[must_use]
pub fn narrowed(
    details: &AgencyDetails,
    pods: &Pods<'_>,
    settings: &PodIdentity,
    vocabulary: &Vocabulary,
    now: Timestamp,
) -> Narrowed {
    let Some(text) = &details.trust_policy else { return Narrowed::Silent };
    let document = Document::stored("trust policy", text, &Grammar::TRUST);
    let request = request(pods, vocabulary, now).asked_by_service(&settings.principal);
    match policy::effect(&[&document], &request) {
        Effect::Allow => Narrowed::Allowed,
        Effect::ExplicitDeny => Narrowed::Refused,
        Effect::DefaultDeny if document.allows_name_service(&settings.principal) => Narrowed::Refused,
        Effect::DefaultDeny => Narrowed::Silent,
    }
}

fn request(pods: &Pods<'_>, vocabulary: &Vocabulary, now: Timestamp) -> Request {
    let mut context =
        Context::new().with(NAMESPACE, pods.namespace).with(SERVICE_ACCOUNT, pods.service_account);
    for named in vocabulary.keys() {
        put(&mut context, &named.key, named.fact, pods.cluster, now);
    }
    let mut request = Request::new(trust::ACTION, Resource::none(), context);
    for named in vocabulary.names(trust::ACTION) {
        request = request.also_called(&named.name);
        for alias in &named.aliases {
            request = request.also_called(alias);
        }
    }
    request
}

/// Pods are nobody with an id or an address here: conditions on those trust nobody, and deny.
fn put(context: &mut Context, key: &str, fact: Fact, cluster: &Cluster, now: Timestamp) {
    match fact {
        Fact::ClusterId => context.set(key, cluster.id.as_str()),
        Fact::ProjectId => context.set(key, cluster.project.as_str()),
        Fact::AccountId => context.set(key, cluster.account.as_str()),
        Fact::EnterpriseProjectId => {
            context.set(key, cluster.enterprise_project.as_ref().map_or("0", |id| id.as_str()));
        }
        Fact::CurrentTime => context.set(key, now.rfc3339_seconds()),
        Fact::ResourceTag | Fact::RequestTag | Fact::PrincipalTag => context.unknown(&format!("{key}*")),
        Fact::PrincipalId
        | Fact::PrincipalName
        | Fact::AccountName
        | Fact::SourceIp
        | Fact::TagKeys
        | Fact::Unknown => context.unknown(key),
    }
}
