//! What stays behind in a cluster that we let go of, and how to be rid of it.

use domain::{ClusterId, InstallationId, Result, Timestamp};
use rbac::{ObjectName, Owner, Scope};
use store::ReadTx;

/// Bindings of ours that nobody looks after any more, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Those that are recorded as applied and were not seen to be gone.
    pub objects: Vec<ObjectName>,
    /// User names of client certificates that they bind, or may bind: nothing ends these before their own time but deleting
    /// the bindings.
    pub certificates: Vec<String>,
    /// What deletes them, run by somebody who may do that in that cluster.
    pub command: String,
}

impl Remains {
    /// Each object's kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = (&'static str, Option<&str>, &str)> {
        self.objects.iter().map(|object| {
            let namespace = match &object.scope {
                Scope::Cluster => None,
                Scope::Namespace(namespace) => Some(namespace.as_str()),
            };
            (object.kind(), namespace, object.name.as_str())
        })
    }

    /// What is recorded about a cluster.
    pub(crate) async fn read(
        tx: &mut ReadTx,
        installation: &InstallationId,
        cluster: &ClusterId,
        now: Timestamp,
    ) -> Result<Self> {
        let recorded = tx.applied_names(cluster).await?;
        let mut objects: Vec<ObjectName> = recorded.into_iter().map(crate::fleet::object_name).collect();
        objects.sort();
        let owner = Owner { installation: installation.clone(), cluster: cluster.clone() };
        let mark = Some(rbac::stamp::name(&owner)).filter(|mark| objects.contains(mark));
        // Who is bound by nothing of ours has nothing by a certificate.
        let certificates = match objects.is_empty() {
            true => Vec::new(),
            false => tx.certificates_left(cluster, now).await?,
        };
        Ok(Self { command: command(&owner, mark.as_ref()), objects, certificates })
    }
}

/// Deletes by our labels, so that it holds for what was relabelled back, too, and for nothing else.
fn command(owner: &Owner, mark: Option<&ObjectName>) -> String {
    let labels = rbac::labels(owner);
    let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mark =
        mark.map(|mark| format!(" && kubectl delete clusterrolebinding --ignore-not-found {}", mark.name));
    format!(
        "kubectl delete clusterrolebindings,rolebindings --all-namespaces --selector={}{}",
        selector.join(","),
        mark.unwrap_or_default()
    )
}
