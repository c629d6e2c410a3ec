//! Rights with which whoever holds them can get more, or see what others keep secret. A connection that holds one does no
//! harm by itself; one that is stolen does.

use super::Danger;
use crate::RBAC_GROUP;
use crate::cluster_roles::Rule;

type Words = &'static [&'static str];

/// A row of the table: groups, resources, verbs, names, namespace, why.
struct Line(Words, Words, Words, Words, Option<&'static str>, &'static str);

const SECRETS: &str = "secrets hold the tokens of service accounts and everybody's passwords";
const WEBHOOKS: &str = "a webhook sees and changes whatever anybody writes in the cluster";
const WORKLOADS: &str =
    "a workload runs as any service account of its namespace, and may mount its secrets and the node";
const SIGNING: &str =
    "a certificate that the cluster signs is whoever it names, its own controllers included";
const SIGNER: Words = &["kubernetes.io/kube-apiserver-client"];

const DANGERS: &[Line] = &[
    Line(
        &["*"],
        &["*"],
        &["*"],
        &[],
        None,
        "it is everything, in every namespace, of every kind there will be",
    ),
    Line(&[""], &["*"], &["*"], &[], None, "it includes secrets, and running programs"),
    Line(&["*"], &["*"], &["get", "list", "watch"], &[], None, "reading everything includes secrets"),
    Line(&[""], &["secrets"], &["get", "list", "watch"], &[], None, SECRETS),
    Line(&[""], &["secrets"], &["get", "list", "watch"], &[], Some("kube-system"), SECRETS),
    Line(
        &[RBAC_GROUP],
        &["clusterroles", "roles"],
        &["escalate"],
        &[],
        None,
        "whoever may escalate can write a role with rights that they do not have, and so has them all",
    ),
    Line(
        &[RBAC_GROUP],
        &["clusterroles", "roles"],
        &["bind"],
        &[],
        None,
        "whoever may bind every role can give any of them to anybody, themselves included",
    ),
    Line(
        &[RBAC_GROUP],
        &["clusterroles"],
        &["bind"],
        &["cluster-admin"],
        None,
        "whoever may bind cluster-admin can give it to anybody, themselves included",
    ),
    Line(
        &[""],
        &["users", "groups", "serviceaccounts"],
        &["impersonate"],
        &[],
        None,
        "whoever may impersonate acts as anybody",
    ),
    Line(
        &["certificates.k8s.io"],
        &["certificatesigningrequests/approval"],
        &["update", "patch"],
        &[],
        None,
        SIGNING,
    ),
    Line(&["certificates.k8s.io"], &["signers"], &["approve", "sign"], &[], None, SIGNING),
    Line(&["certificates.k8s.io"], &["signers"], &["approve", "sign"], SIGNER, None, SIGNING),
    Line(
        &[""],
        &["serviceaccounts/token"],
        &["create"],
        &[],
        None,
        "whoever may make tokens of service accounts acts as any of them",
    ),
    Line(
        &["admissionregistration.k8s.io"],
        &["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
        &["create", "update", "patch"],
        &[],
        None,
        WEBHOOKS,
    ),
    Line(&[""], &["pods", "replicationcontrollers"], &["create", "update", "patch"], &[], None, WORKLOADS),
    Line(
        &["apps"],
        &["daemonsets", "deployments", "replicasets", "statefulsets"],
        &["create", "update", "patch"],
        &[],
        None,
        WORKLOADS,
    ),
    Line(&["batch"], &["cronjobs", "jobs"], &["create", "update", "patch"], &[], None, WORKLOADS),
    Line(&[""], &["pods"], &["create"], &[], Some("kube-system"), WORKLOADS),
    Line(
        &[""],
        &["pods/exec", "pods/attach"],
        &["get", "create"],
        &[],
        None,
        "it runs commands in containers, with all that those can reach",
    ),
    Line(
        &[""],
        &["nodes/proxy"],
        &["get", "create"],
        &[],
        None,
        "a node's own interface runs commands in each of its containers, past the API server's log",
    ),
];

/// All of them.
#[must_use]
pub fn dangers() -> Vec<Danger> {
    let owned = |words: Words| words.iter().map(|word| (*word).to_owned()).collect();
    let danger = |Line(groups, resources, verbs, names, namespace, why): &Line| Danger {
        rule: Rule {
            api_groups: owned(groups),
            resources: owned(resources),
            verbs: owned(verbs),
            resource_names: owned(names),
            ..Rule::default()
        },
        namespace: namespace.map(str::to_owned),
        why: (*why).to_owned(),
    };
    DANGERS.iter().map(danger).collect()
}
