"""One model, two dialects, one API server: what the second vendor's clients grant is what the first vendor's SDK lists,
the other way round, and what the cluster says. And rows that no client of the second vendor made: groups', shared ones,
owners'."""

import json
import secrets

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness.ack import Refused, SyncClient, granted, shown

BOTH = pytest.mark.parametrize("bailiwick", ["sqlite", "postgres"], indirect=True, scope="module")

ROLES = {
    "admin": "CCEClusterAdminPolicy",
    "ops": "CCEAdminPolicy",
    "dev": "CCEEditPolicy",
    "restricted": "CCEViewPolicy",
}
"""The same roles in both vendors' words."""


@pytest.fixture(scope="module")
def cluster(bailiwick, api_server):
    """The shared cluster, with a connector that may bind whatever there is."""
    return bailiwick.add_cluster_as_root(api_server)


@pytest.fixture(scope="module")
def policies(bailiwick):
    return bailiwick.policies()


@pytest.fixture
def ack(ack_client):
    return ack_client()


@pytest.fixture
def one(bailiwick):
    """One client, where it does not matter which."""
    return SyncClient(bailiwick.base, (bailiwick.key_id, bailiwick.secret))


@pytest.fixture
def user(bailiwick):
    return bailiwick.add_user()


def listed(policies, cluster, user):
    """What the first vendor's SDK lists about a user, as (type, clusters, namespaces)."""
    found = policies.list(cluster).access_policy_list
    return sorted(
        (policy.policy_type, tuple(policy.clusters), tuple(policy.access_scope.namespaces))
        for policy in found
        if user in policy.principal.ids
    )


def described(client, uid):
    return client.describe_user_permission(uid).body


@BOTH
def test_what_one_vendors_client_grants_the_other_lists_and_the_cluster_obeys(
    ack, policies, kube, cluster, namespace, user
):
    ack.grant_permissions(user, [granted((cluster, namespace), "dev")])
    assert listed(policies, cluster, user) == [("CCEEditPolicy", (cluster,), (namespace,))]
    kube.until_allowed(user, "create", "deployments", namespace, group="apps")
    assert not kube.allowed(user, "get", "pods", "default")

    ack.update_user_permissions(user, [granted((cluster, namespace), "restricted")], "patch")
    assert listed(policies, cluster, user) == [("CCEViewPolicy", (cluster,), (namespace,))]
    kube.until_refused(user, "create", "deployments", namespace, group="apps")
    kube.until_allowed(user, "get", "pods", namespace)

    ack.clean_user_permissions(user, force=True)
    assert listed(policies, cluster, user) == []
    kube.until_refused(user, "get", "pods", namespace)
    assert kube.bindings_naming(user) == []


@BOTH
def test_what_the_other_vendors_sdk_grants_is_described_and_taken_away(ack, policies, kube, cluster, namespace, user):
    policy = policies.create(clusters=[cluster], namespaces=[namespace], policy_type="CCEEditPolicy", ids=[user])
    assert described(ack, user) == [shown((cluster, namespace), "dev")]
    kube.until_allowed(user, "create", "deployments", namespace, group="apps")
    ack.update_user_permissions(user, [granted((cluster, namespace), "dev")], "delete")
    with pytest.raises(ClientRequestException) as caught:
        policies.get(policy.policy_id)
    assert caught.value.status_code == 404
    kube.until_refused(user, "create", "deployments", namespace, group="apps")

    policy = policies.create(clusters=[cluster], ids=[user]).policy_id
    assert described(ack, user) == [shown(cluster, "restricted")]
    policies.update(policy, clusters=[cluster], ids=[user], policy_type="CCEAdminPolicy")
    assert described(ack, user) == [shown(cluster, "ops")]
    ack.grant_permissions(user, [])
    assert listed(policies, cluster, user) == []
    kube.until_refused(user, "list", "pods")


@BOTH
def test_every_role_is_the_same_role_in_both_dialects(bailiwick, one, policies, kube, cluster, user):
    probes = {"admin": ("escalate", "clusterroles"), "ops": ("list", "nodes"), "dev": ("create", "services")}
    for role, policy_type in ROLES.items():
        one.grant_permissions(user, [granted(cluster, role)])
        assert listed(policies, cluster, user) == [(policy_type, (cluster,), ("*",))], role
        kube.until_allowed(user, *probes.get(role, ("list", "pods")))
    kube.until_refused(user, "list", "nodes")
    name = f"reader-{secrets.token_hex(3)}"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    kube.create(
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
    )
    one.grant_permissions(user, [granted(cluster, name, is_custom=True), granted(cluster, "admin-view")])
    types = ["custom:bailiwick:administrator-view", f"custom:{name}"]
    assert listed(policies, cluster, user) == [(policy_type, (cluster,), ("*",)) for policy_type in types]
    kube.until_allowed(user, "get", "configmaps")
    kube.until_allowed(user, "list", "nodes")
    one.clean_cluster_user_permissions(cluster, user, force=True)
    kube.until_refused(user, "get", "configmaps")
    kube.until_refused(user, "list", "nodes")


@BOTH
def test_rows_of_groups_and_shared_policies_are_shown_merged_and_stay(ack, bailiwick, policies, user):
    one, two = sorted([bailiwick.add_cluster(), bailiwick.add_cluster()])
    name = f"oncall-{secrets.token_hex(3)}"
    group, other = bailiwick.add_group(user, name=name), bailiwick.add_user()
    product = policies.create(
        clusters=[one, two], namespaces=["b", "a"], policy_type="CCEEditPolicy", ids=[user, other]
    ).policy_id
    of_group = policies.create(
        clusters=[two], namespaces=["a"], policy_type="CCEEditPolicy", kind="group", ids=[group]
    ).policy_id
    ack.grant_permissions(user, [granted((two, "a"), "dev"), granted(one, "restricted")])
    everything = [
        shown(one, "restricted"),
        shown((one, "a"), "dev"),
        shown((one, "b"), "dev"),
        shown((two, "a"), "dev"),
        shown((two, "b"), "dev"),
    ]
    assert described(ack, user) == everything
    assert described(ack, other) == everything[1:]

    # What comes from elsewhere is not taken away from the user alone, and it is said where it comes from.
    for row in (granted((one, "b"), "dev"), granted((two, "a"), "dev")):
        with pytest.raises(Refused) as refused:
            ack.update_user_permissions(user, [granted(one, "restricted"), row], "delete")
        assert (refused.value.status, refused.value.code) == (409, "Conflict")
        assert product in refused.value.message
        assert described(ack, user) == everything
    with pytest.raises(Refused) as refused:
        ack.clean_user_permissions(user, force=True)
    assert (refused.value.status, refused.value.code) == (409, "Conflict")
    assert group in refused.value.message
    assert described(ack, user) == everything
    # Replacing leaves standing what is not the user's own.
    ack.grant_permissions(user, [])
    assert described(ack, user) == everything[1:]
    assert described(ack, other) == everything[1:]
    policies.delete(product)
    assert described(ack, user) == [everything[3]]
    with pytest.raises(Refused) as refused:
        ack.update_user_permissions(user, [granted((two, "a"), "dev")], "delete")
    for source in (of_group, group, name):
        assert source in refused.value.message
    bailiwick.do("group", "remove-member", group, user)
    assert described(ack, user) == []


@BOTH
def test_an_owners_right_is_real_and_is_not_changed_by_asking(ack, bailiwick, api_server, kube, user):
    # Not by the connector: what it may do in this API server is other tests' matter, too.
    cluster = bailiwick.add_cluster_as_root(api_server)
    bailiwick.client().call("PATCH", f"/bailiwick/v1/clusters/{cluster}", {"owner": user})
    row = shown(cluster, "admin", owner=1)
    assert described(ack, user) == [row]
    kube.until_allowed(user, "escalate", "clusterroles")
    for change in (
        lambda: ack.grant_permissions(user, []),
        lambda: ack.grant_permissions(user, [granted(cluster, "restricted")]),
        lambda: ack.update_user_permissions(user, [granted(cluster, "admin")], "delete"),
        lambda: ack.update_user_permissions(user, [granted(cluster, "dev")], "patch"),
    ):
        assert change().status == 200
        assert described(ack, user) == [row]
    assert kube.allowed(user, "escalate", "clusterroles")
    bailiwick.do("cluster", "remove", cluster)
    assert described(ack, user) == []
    kube.until_refused(user, "escalate", "clusterroles")


@BOTH
def test_namespaces_are_those_that_the_caller_may_see(ack_client, bailiwick, kube, cluster, namespace, user):
    everything = ack_client().describe_user_cluster_namespaces(cluster)
    assert everything.status == 200
    assert everything.body == sorted(everything.body)
    assert {"default", "kube-system", namespace} <= set(everything.body)
    document = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "cs:Describe*", "Resource": "*"}]}
    name = f"reader-{secrets.token_hex(3)}"
    bailiwick.do("policy", "create", name, "--document", "-", text=json.dumps(document))
    bailiwick.do("policy", "attach", name, "--user", user)
    mine = ack_client(bailiwick.add_key(user))
    with pytest.raises(Refused) as refused:
        mine.describe_user_cluster_namespaces(cluster)
    assert (refused.value.status, refused.value.code) == (403, "ForbiddenQueryClusterNamespace")
    ack_client().grant_permissions(user, [granted((cluster, namespace), "restricted")])
    assert mine.describe_user_cluster_namespaces(cluster).body == [namespace]
    ack_client().grant_permissions(user, [granted(cluster, "restricted")])
    assert set(mine.describe_user_cluster_namespaces(cluster).body) >= {"default", namespace}
