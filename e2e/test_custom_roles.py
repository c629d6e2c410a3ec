"""Grants of ClusterRoles by name, against a real API server: one that is not there yet, and one that grows later."""

import json
import secrets

import pytest

from harness.kube import RBAC

SOON = 15  # seconds within which a cluster follows, on a busy machine


@pytest.fixture(scope="module")
def cluster(bailiwick, api_server):
    """The shared cluster, whose connector may bind whatever there is: the base connector has no `bind` on these roles."""
    return bailiwick.add_cluster_as_root(api_server)


@pytest.fixture
def user(bailiwick):
    return bailiwick.add_user()


class ClusterRole:
    """A ClusterRole of the cluster's own, as its people write it."""

    def __init__(self, kube):
        self.kube, self.name = kube, f"role-{secrets.token_hex(4)}"
        self.path = f"{RBAC}/clusterroles/{self.name}"

    def create(self, **verbs):
        self.kube.create(f"{RBAC}/clusterroles", {"metadata": {"name": self.name}, "rules": rules(verbs)})

    def write(self, **verbs):
        self.kube.merge(self.path, {"rules": rules(verbs)})


def rules(verbs):
    return [{"apiGroups": [""], "resources": [resource], "verbs": list(how)} for resource, how in verbs.items()]


@pytest.fixture
def role(kube):
    made = ClusterRole(kube)
    yield made
    kube.delete(made.path)


def grant(server, cluster, user, role, namespace="*", client=None, status=201):
    asked = {"role": f"custom:{role.name}", "principals": {"type": "user", "ids": [user]}}
    asked |= {"clusters": [cluster], "namespaces": [namespace]}
    answer = (client or server.client()).call("POST", "/bailiwick/v1/grants", asked, status=status)
    return answer["id"] if status == 201 else answer


def test_a_role_that_is_not_there_is_not_bound_and_comes_into_effect_when_it_appears(
    bailiwick, kube, cluster, namespace, user, role
):
    made = grant(bailiwick, cluster, user, role, namespace)
    row = bailiwick.until_state(made, cluster, "failed")
    assert f"ClusterRole {role.name} does not exist" in row["reason"]
    assert kube.bindings_naming(user) == [], "nothing waits there to spring into force"

    role.create(configmaps=["get"])
    bailiwick.until_state(made, cluster, "effective", timeout=SOON)
    assert kube.allowed(user, "get", "configmaps", namespace)

    kube.delete(role.path)
    bailiwick.until_state(made, cluster, "failed", timeout=SOON)
    assert kube.bindings_naming(user) == []
    # What was accepted once is remembered: the role does not come back with more.
    role.create(configmaps=["get"], secrets=["get"])
    row = bailiwick.until_state(made, cluster, "held", timeout=SOON)
    assert "get secrets" in row["reason"]
    assert kube.bindings_naming(user) == []


@pytest.mark.parametrize("place", ["namespace", "cluster"])
def test_a_role_that_grew_is_held_until_somebody_confirms_it(bailiwick, kube, cluster, namespace, user, role, place):
    role.create(configmaps=["get", "list"])
    made = grant(bailiwick, cluster, user, role, namespace if place == "namespace" else "*")
    bailiwick.until_state(made, cluster, "effective")

    role.write(configmaps=["get", "list"], secrets=["get"])
    kube.until_refused(user, "get", "secrets", namespace, timeout=SOON)
    kube.until_refused(user, "get", "configmaps", namespace, timeout=SOON)
    row = bailiwick.until_state(made, cluster, "held", timeout=SOON)
    assert row["reason"].startswith(f"role grew: ClusterRole {role.name} now also allows get secrets;")
    assert f"`bailiwick grant confirm {made}`" in row["reason"]
    assert kube.bindings_naming(user) == []

    before = json.loads(bailiwick.do("grant", "show", made, "-o", "json"))["generation"]
    bailiwick.do("grant", "confirm", made)
    bailiwick.until_state(made, cluster, "effective", timeout=SOON)
    assert kube.allowed(user, "get", "secrets", namespace) and kube.allowed(user, "list", "configmaps", namespace)
    assert json.loads(bailiwick.do("grant", "show", made, "-o", "json"))["generation"] == before + 1

    role.write(configmaps=["get"])
    kube.until_refused(user, "list", "configmaps", namespace, timeout=SOON)
    assert kube.allowed(user, "get", "configmaps", namespace)
    role.write(configmaps=["get"], secrets=["get"])
    kube.until_allowed(user, "get", "secrets", namespace, timeout=SOON)
    bailiwick.until_state(made, cluster, "effective")
    bailiwick.do("grant", "delete", made)
    bailiwick.until_state(made, cluster, "revoked", timeout=SOON)


def test_a_role_that_is_as_it_was_again_is_bound_again(bailiwick, kube, cluster, namespace, user, role):
    role.create(configmaps=["get"])
    made = grant(bailiwick, cluster, user, role, namespace)
    bailiwick.until_state(made, cluster, "effective")
    role.write(configmaps=["*"])
    bailiwick.until_state(made, cluster, "held", timeout=SOON)
    kube.until_refused(user, "get", "configmaps", namespace, timeout=SOON)
    role.write(configmaps=["get"])
    bailiwick.until_state(made, cluster, "effective", timeout=SOON)
    assert kube.allowed(user, "get", "configmaps", namespace)


def test_an_aggregated_role_counts_by_what_the_cluster_filled_in(bailiwick, kube, cluster, namespace, user, role):
    label = f"aggregate-to-{role.name}"
    parts = [ClusterRole(kube) for _ in range(2)]

    def part(made, resource):
        metadata = {"name": made.name, "labels": {label: "true"}}
        kube.create(f"{RBAC}/clusterroles", {"metadata": metadata, "rules": rules({resource: ["get"]})})

    made = grant(bailiwick, cluster, user, role, namespace)
    selectors = {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
    kube.create(f"{RBAC}/clusterroles", {"metadata": {"name": role.name}, "aggregationRule": selectors, "rules": []})
    # Empty until something is aggregated; nobody accepts that it stays so.
    assert "allows nothing" in bailiwick.until_state(made, cluster, "pending", timeout=SOON)["reason"]
    part(parts[0], "configmaps")
    bailiwick.until_state(made, cluster, "effective", timeout=SOON)
    part(parts[1], "secrets")
    try:
        row = bailiwick.until_state(made, cluster, "held", timeout=SOON)
        assert "get secrets" in row["reason"]
        kube.until_refused(user, "get", "configmaps", namespace, timeout=SOON)
    finally:
        for each in parts:
            kube.delete(each.path)


def test_a_role_that_grew_in_many_namespaces_does_not_wait_for_a_confirmation_of_removals(
    bailiwick, kube, cluster, user, role
):
    places = [kube.create_namespace(f"ns-{secrets.token_hex(4)}") for _ in range(8)]
    role.create(configmaps=["get"])
    asked = {"role": f"custom:{role.name}", "principals": {"type": "user", "ids": [user]}}
    asked |= {"clusters": [cluster], "namespaces": places}
    made = bailiwick.client().call("POST", "/bailiwick/v1/grants", asked, status=201)["id"]
    bailiwick.until_state(made, cluster, "effective")
    role.write(configmaps=["*"])
    for place in places:
        kube.until_refused(user, "get", "configmaps", place, timeout=SOON)
    bailiwick.until_state(made, cluster, "held", timeout=SOON)


def test_what_was_accepted_outlives_the_server_and_a_lost_principal_accepts_nothing(
    new_server, api_server, kube, namespace, role
):
    server = new_server().start()
    cluster, (stays, goes) = server.add_cluster_as_root(api_server), (server.add_user() for _ in range(2))
    role.create(configmaps=["get"])
    asked = {"role": f"custom:{role.name}", "principals": {"type": "user", "ids": [stays, goes]}}
    asked |= {"clusters": [cluster], "namespaces": [namespace]}
    made = server.client().call("POST", "/bailiwick/v1/grants", asked, status=201)["id"]
    server.until_state(made, cluster, "effective")

    assert server.stop() == 0
    role.write(configmaps=["*"])
    # Nobody is there to take it away; that is told in docs/threats.md.
    kube.until_allowed(stays, "delete", "configmaps", namespace)
    server.start()
    kube.until_refused(stays, "get", "configmaps", namespace, timeout=SOON)
    server.until_state(made, cluster, "held", timeout=SOON)

    server.do("user", "delete", goes)
    assert server.until_state(made, cluster, "held", timeout=SOON)["observedGeneration"] == 2
    assert not kube.allowed(stays, "get", "configmaps", namespace)


@pytest.mark.parametrize("place", ["everywhere", "one namespace"])
def test_whoever_does_not_administer_the_cluster_grants_no_custom_role_and_confirms_none(
    bailiwick, cluster, namespace, role, kube, place
):
    operator, friend = bailiwick.add_user(), bailiwick.add_user()
    policy = {"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["bailiwick:*:*"], "Resource": ["*"]}]}
    name = f"policy-{secrets.token_hex(4)}"
    bailiwick.do("policy", "create", name, "--document", "-", text=json.dumps(policy))
    bailiwick.do("policy", "attach", name, "--user", operator)
    # Whoever administers one namespace only may grant there what is known, and that is no role of the cluster's own.
    held, where = ("operator", "*") if place == "everywhere" else ("administrator", namespace)
    asked = {"role": held, "principals": {"type": "user", "ids": [operator]}}
    bailiwick.client().call(
        "POST", "/bailiwick/v1/grants", asked | {"clusters": [cluster], "namespaces": [where]}, status=201
    )
    key = bailiwick.add_key(operator)
    client = bailiwick.client(key)
    refused = grant(bailiwick, cluster, friend, role, namespace, client, status=403)
    assert "administer" in json.dumps(refused)

    role.create(configmaps=["get"])
    made = grant(bailiwick, cluster, friend, role, namespace)
    bailiwick.until_state(made, cluster, "effective")
    role.write(configmaps=["*"])
    bailiwick.until_state(made, cluster, "held", timeout=SOON)
    done = bailiwick.run("grant", "confirm", made, key=key)
    assert done.returncode != 0 and "administer" in done.stderr, done
    assert bailiwick.state(made, cluster)["state"] == "held"
    assert not kube.allowed(friend, "get", "configmaps", namespace)


def test_where_roles_may_grow_they_do(new_server, api_server, kube, namespace, role):
    server = new_server(config='[grants]\ncustom_role_growth = "follow"\n').start()
    cluster, user = server.add_cluster_as_root(api_server), server.add_user()
    role.create(configmaps=["get"])
    made = grant(server, cluster, user, role, namespace)
    server.until_state(made, cluster, "effective")
    role.write(configmaps=["get", "delete"])
    kube.until_allowed(user, "delete", "configmaps", namespace)
    server.until_state(made, cluster, "effective")
    assert len(kube.bindings_naming(user)) == 1
