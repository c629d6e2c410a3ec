"""What grants become in a real cluster, and what is left of them afterwards.

Repairs are recognised by uid and resource version: an access review says yes before and after, and so proves nothing.
"""

import secrets
import subprocess

import pytest

from harness.kube import RBAC, BindingWatch, cluster_role_binding, path_of, role_binding, subjects, uid
from harness.process import clean_environment, until
from harness.slow import SlowLine

WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
}


@pytest.fixture(scope="module")
def policies(bailiwick):
    return bailiwick.policies()


@pytest.fixture
def user(bailiwick):
    return bailiwick.add_user()


# --- who, and where ---------------------------------------------------------------------------------------------


def test_a_user_granted_a_namespace_may_act_there_and_nowhere_else(bailiwick, policies, kube, cluster, namespace, user):
    policy = policies.create(
        clusters=[cluster], namespaces=[namespace], policy_type="CCEEditPolicy", ids=[user]
    ).policy_id
    kube.until_allowed(user, "create", "deployments", namespace, group="apps")
    assert not kube.allowed(user, "get", "pods", "default")
    assert not kube.allowed(user, "get", "pods")
    bailiwick.until_state(policy, cluster, "effective")
    shown = bailiwick.cli("grant", "show", policy)
    assert [(row["clusterId"], row["state"]) for row in shown["states"]] == [(cluster, "effective")]

    policies.delete(policy)
    kube.until_refused(user, "create", "deployments", namespace, group="apps")
    bailiwick.until_state(policy, cluster, "revoked")
    assert kube.bindings_naming(user) == []


def test_all_namespaces_include_those_that_are_created_later(policies, kube, cluster, user):
    policy = policies.create(ids=[user]).policy_id
    kube.until_allowed(user, "list", "pods")
    later = kube.create_namespace(f"later-{secrets.token_hex(4)}")
    assert kube.allowed(user, "get", "pods", later)
    assert [binding["kind"] for binding in kube.bindings_naming(user)] == ["ClusterRoleBinding"]
    policies.delete(policy)
    kube.until_refused(user, "list", "pods")
    until(lambda: not kube.bindings_naming(user), 10, "no binding names the user")


def test_a_group_gives_to_whoever_presents_it(bailiwick, policies, kube, cluster, namespace, user):
    group = bailiwick.add_group(user)
    policy = policies.create(clusters=[cluster], namespaces=[namespace], kind="group", ids=[group]).policy_id
    kube.until_allowed("anybody", "get", "pods", namespace, groups=[group])
    assert not kube.allowed("anybody", "get", "pods", namespace)
    policies.delete(policy)
    kube.until_refused("anybody", "get", "pods", namespace, groups=[group])
    until(lambda: not kube.bindings_naming(group), 10, "no binding names the group")


def test_an_agency_is_a_user_of_the_cluster(bailiwick, policies, kube, cluster, namespace):
    agency = bailiwick.add_agency()
    policy = policies.create(clusters=[cluster], namespaces=[namespace], kind="agency", ids=[agency]).policy_id
    kube.until_allowed(agency, "get", "pods", namespace)
    policies.delete(policy)
    kube.until_refused(agency, "get", "pods", namespace)
    until(lambda: not kube.bindings_naming(agency), 10, "no binding names the agency")


def test_kubectl_with_a_persons_own_certificate_feels_the_grant_and_the_revoke(
    policies, api_server, kube, cluster, namespace, user, tmp_path
):
    config = tmp_path / "kubeconfig"
    config.write_text(api_server.kubeconfig_for(user), encoding="utf-8")

    def kubectl(*arguments):
        return subprocess.run(
            ["kubectl", "--kubeconfig", config, "-n", namespace, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(HOME=tmp_path),
            check=False,
        )

    assert "Forbidden" in kubectl("get", "pods").stderr
    policy = policies.create(
        clusters=[cluster], namespaces=[namespace], policy_type="CCEEditPolicy", ids=[user]
    ).policy_id
    kube.until_allowed(user, "create", "configmaps", namespace)
    made = kubectl("create", "configmap", "by-kubectl")
    assert made.returncode == 0, made.stderr
    assert kubectl("get", "pods").returncode == 0
    policies.delete(policy)
    kube.until_refused(user, "create", "configmaps", namespace)
    refusal = kubectl("get", "pods")
    assert refusal.returncode != 0
    assert f'User "{user}" cannot list' in refusal.stderr


def test_a_missing_namespace_is_named_and_gets_its_binding_when_it_appears(
    bailiwick, policies, kube, cluster, namespace, user
):
    missing = f"missing-{secrets.token_hex(4)}"
    policy = policies.create(clusters=[cluster], namespaces=[namespace, missing], ids=[user]).policy_id
    kube.until_allowed(user, "get", "pods", namespace)
    row = bailiwick.until_state(policy, cluster, "effective", "applied", "pending")
    until(lambda: missing in bailiwick.state(policy, cluster)["reason"], 10, "the state names the missing namespace")
    assert namespace not in row["reason"]

    kube.create_namespace(missing)
    kube.until_allowed(user, "get", "pods", missing)
    until(lambda: missing not in bailiwick.state(policy, cluster)["reason"], 10, "the state names it no longer")


def test_a_namespace_that_was_deleted_and_made_again_gets_its_binding_again(policies, kube, cluster, namespace, user):
    policies.create(clusters=[cluster], namespaces=[namespace], ids=[user])
    kube.until_allowed(user, "get", "pods", namespace)
    [first] = kube.bindings_naming(user)
    kube.delete(f"/api/v1/namespaces/{namespace}")
    until(lambda: kube.request("GET", f"/api/v1/namespaces/{namespace}")[0] == 404, 30, "the namespace is gone")
    kube.create_namespace(namespace)
    kube.until_allowed(user, "get", "pods", namespace)
    assert uid(kube.bindings_naming(user)[0]) != uid(first)


def test_a_detached_cluster_only_records(bailiwick, policies, user):
    detached = bailiwick.add_cluster()
    policy = policies.create(clusters=[detached], ids=[user]).policy_id
    bailiwick.until_state(policy, detached, "recorded")


def test_one_api_server_registered_twice_adds_up(bailiwick, policies, api_server, kube, cluster, namespace, user):
    again = bailiwick.add_cluster(api_server)
    first, second = (
        policies.create(clusters=[one], namespaces=[namespace], ids=[user]).policy_id for one in (cluster, again)
    )
    for policy, one in ((first, cluster), (second, again)):
        bailiwick.until_state(policy, one, "effective")
    assert len(kube.bindings_naming(user)) == 2
    policies.delete(first)
    until(lambda: len(kube.bindings_naming(user)) == 1, 10, "one registration's binding is gone")
    assert kube.allowed(user, "get", "pods", namespace)
    policies.delete(second)
    kube.until_refused(user, "get", "pods", namespace)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_whole_way_is_the_same_on_both_databases(new_server, database_url, api_server, kube, namespace, kind):
    server = new_server(database=database_url(kind)).start()
    cluster, user, policies = server.add_cluster(api_server), server.add_user(), server.policies()
    asked = {"clusters": [cluster], "namespaces": [namespace], "ids": [user]}
    policy = policies.create(policy_type="CCEViewPolicy", **asked).policy_id
    kube.until_allowed(user, "get", "pods", namespace)
    policies.update(policy, policy_type="CCEEditPolicy", **asked)
    kube.until_allowed(user, "create", "pods", namespace)
    server.until_state(policy, cluster, "effective")
    policies.delete(policy)
    kube.until_refused(user, "get", "pods", namespace)
    server.until_state(policy, cluster, "revoked")
    assert kube.bindings_naming(user) == []


# --- what the roles hold ----------------------------------------------------------------------------------------


def test_the_operator_reads_nodes_and_volumes_but_changes_only_what_is_namespaced(policies, kube, cluster, user):
    policies.create(clusters=[cluster], policy_type="CCEAdminPolicy", ids=[user])
    kube.until_allowed(user, "list", "nodes")
    for resource in ("nodes", "persistentvolumes", "namespaces", "resourcequotas"):
        for verb in ("get", "list", "watch"):
            kube.until_allowed(user, verb, resource)
    kube.until_allowed(user, "list", "storageclasses", group="storage.k8s.io")
    kube.until_allowed(user, "create", "deployments", group="apps")
    for verb, resource in (
        ("patch", "nodes"),
        ("delete", "persistentvolumes"),
        ("create", "namespaces"),
        ("get", "nodes/proxy"),
    ):
        resource, _, subresource = resource.partition("/")
        assert not kube.allowed(user, verb, resource, subresource=subresource), f"{verb} {resource}/{subresource}"


def test_the_administrator_may_do_everything(unbound, kube):
    server, cluster = unbound
    user = server.add_user()
    server.policies().create(clusters=[cluster], policy_type="CCEClusterAdminPolicy", ids=[user])
    kube.until_allowed(user, "delete", "nodes")
    assert kube.allowed(user, "*", "*", group="*")


# What no role that only reads may hold: reading a secret is using it, and these "reads" run commands.
EXECUTES = [
    "secrets",
    "nodes/proxy",
    "pods/exec",
    "pods/attach",
    "pods/portforward",
    "pods/proxy",
    "services/proxy",
    "serviceaccounts/token",
]


READS = ("get", "list", "watch")
CHANGES = ("create", "update", "patch", "delete", "deletecollection", "bind", "escalate", "impersonate", "approve", "sign")


def served(kube):
    """Every resource and subresource that the cluster serves: (group, resource, subresource)."""
    versions = [("", "/api/v1")]
    for group in kube.get("/apis")["groups"]:
        versions += [(group["name"], f"/apis/{version['groupVersion']}") for version in group["versions"]]
    found = set()
    for group, path in versions:
        for resource in kube.get(path)["resources"]:
            name, _, subresource = resource["name"].partition("/")
            found.add((group, name, subresource))
    return sorted(found)


@pytest.mark.parametrize("role", ["administrator-view", "viewer"])
def test_a_role_that_reads_only_reads_whatever_the_cluster_serves(bailiwick, kube, cluster, namespace, user, role):
    principals = {"type": "user", "ids": [user]}
    asked = {"name": "reads", "role": role, "principals": principals, "clusters": [cluster], "namespaces": ["*"]}
    grant = bailiwick.client().call("POST", "/bailiwick/v1/grants", asked, status=201)["id"]
    bailiwick.until_state(grant, cluster, "effective")
    everything, readable = served(kube), 0
    assert len(everything) > 80
    for group, resource, subresource in everything:
        what = f"{resource}/{subresource}".rstrip("/")
        powerful = what in EXECUTES or subresource in ("exec", "attach", "portforward", "proxy", "token")
        for verb in CHANGES + (READS if powerful else ()):
            refused = not kube.allowed(user, verb, resource, namespace, group=group, subresource=subresource)
            assert refused, f"{role} may {verb} {what} of {group or 'core'}"
        readable += kube.allowed(user, "get", resource, namespace, group=group, subresource=subresource)
    assert readable > 20, "there is something that it may read"


@pytest.mark.parametrize("role", ["administrator-view", "viewer"])
def test_a_role_that_reads_neither_reads_secrets_nor_executes(
    bailiwick, api_server, kube, cluster, namespace, user, role
):
    bailiwick.client().call(
        "POST",
        "/bailiwick/v1/grants",
        {
            "name": "reads",
            "role": role,
            "principals": {"type": "user", "ids": [user]},
            "clusters": [cluster],
            "namespaces": ["*"],
        },
        status=201,
    )
    kube.until_allowed(user, "list", "pods", namespace)
    kube.until_allowed(user, "get", "pods", namespace, subresource="log")
    for what in EXECUTES:
        resource, _, subresource = what.partition("/")
        for verb in ("get", "list", "watch", "create"):
            assert not kube.allowed(user, verb, resource, namespace, subresource=subresource), f"{verb} {what}"
    if role == "administrator-view":
        kube.until_allowed(user, "list", "nodes")
        kube.until_allowed(user, "list", "clusterroles", group="rbac.authorization.k8s.io")
    for verb, resource in (("create", "pods"), ("delete", "configmaps"), ("patch", "nodes")):
        assert not kube.allowed(user, verb, resource, namespace)
    # A GET that upgrades to WebSocket is a command in a container, whatever its method says.
    person = api_server.client_as(user)
    for action in ("exec?command=id&stdout=1", "attach?stdout=1", "portforward?ports=80"):
        status, _ = person.request("GET", f"/api/v1/namespaces/{namespace}/pods/p/{action}", headers=WEBSOCKET)
        assert status == 403, action


def test_a_developer_may_execute_so_the_refusals_above_mean_something(
    policies, api_server, kube, cluster, namespace, user
):
    policies.create(clusters=[cluster], namespaces=[namespace], policy_type="CCEEditPolicy", ids=[user])
    kube.until_allowed(user, "get", "pods", namespace, subresource="exec")
    status, _ = api_server.client_as(user).request(
        "GET", f"/api/v1/namespaces/{namespace}/pods/p/exec?command=id&stdout=1", headers=WEBSOCKET
    )
    assert status == 404


# --- drift ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["one namespace", "all namespaces"])
def binding(request, bailiwick, policies, kube, cluster, namespace, user):
    """A viewer's binding in the cluster, settled: (the binding, a question that only this binding answers)."""
    # Two people, so that there is somebody to remove.
    other = bailiwick.add_user()
    scope = [namespace] if request.param == "one namespace" else ["*"]
    policy = policies.create(clusters=[cluster], namespaces=scope, ids=[user, other]).policy_id
    bailiwick.until_state(policy, cluster, "effective")
    [found] = kube.bindings_naming(user)
    yield found
    policies.delete(policy)
    until(lambda: not kube.bindings_naming(user), 15, "the binding is gone after the revoke")


def current(kube, binding):
    return {**kube.get(path_of(binding)), "kind": binding["kind"]}


def same(one, other):
    """Whether two bindings say the same, whoever stored them."""

    def said(binding):
        return (binding["roleRef"], sorted(subjects(binding)), binding["metadata"].get("labels"))

    return said(one) == said(other)


def test_a_deleted_binding_is_made_again(kube, binding):
    kube.delete(path_of(binding))
    repaired = until(lambda: current(kube, binding), 15, "a new binding")
    assert same(repaired, binding)
    assert uid(repaired) != uid(binding)


def test_a_subject_that_somebody_added_is_taken_out(kube, binding):
    added = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}
    edited = kube.merge(path_of(binding), {"subjects": [*binding["subjects"], added]})
    repaired = until(lambda: _repaired(kube, binding), 15, "mallory is taken out")
    assert uid(repaired) == uid(binding)
    assert repaired["metadata"]["resourceVersion"] != edited["metadata"]["resourceVersion"]
    kube.until_refused("mallory", "get", "pods", binding["metadata"].get("namespace", ""))


def test_a_subject_that_somebody_removed_is_put_back(kube, binding):
    kube.merge(path_of(binding), {"subjects": binding["subjects"][1:]})
    assert uid(until(lambda: _repaired(kube, binding), 15, "everybody is back")) == uid(binding)


def test_all_subjects_replaced_by_another_are_put_back(kube, binding):
    robot = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    kube.merge(path_of(binding), {"subjects": [robot]})
    assert uid(until(lambda: _repaired(kube, binding), 15, "everybody is back, and nobody else")) == uid(binding)


def test_stripped_labels_come_back(kube, binding):
    edited = kube.merge(path_of(binding), {"metadata": {"labels": None}})
    assert not edited["metadata"].get("labels")
    assert uid(until(lambda: _repaired(kube, binding), 15, "the labels are back")) == uid(binding)


def test_a_relabelled_and_edited_binding_stays_ours(kube, binding):
    labels = {name: "somebody" for name in binding["metadata"]["labels"]}
    added = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "mallory"}
    kube.merge(path_of(binding), {"metadata": {"labels": labels}, "subjects": [added]})
    assert uid(until(lambda: _repaired(kube, binding), 15, "labels and subjects are back")) == uid(binding)


@pytest.mark.parametrize("labels", ["with our labels", "without labels"])
def test_a_binding_made_anew_with_another_role_is_replaced(kube, binding, labels):
    meta = binding["metadata"]
    bad = {
        **binding,
        "roleRef": {**binding["roleRef"], "name": "cluster-admin"},
        "metadata": {key: meta[key] for key in ("name", "namespace", "labels") if key in meta},
    }
    if labels == "without labels":
        del bad["metadata"]["labels"]
    collection = path_of(binding).rsplit("/", 1)[0]

    def usurp():
        kube.delete(path_of(binding))
        return kube.create(collection, bad)

    # The server repairs the deletion too, and may be faster than the usurper.
    usurped = until(usurp, 10, "the usurper gets the name")
    repaired = until(lambda: _repaired(kube, binding), 15, "the right role is bound again")
    assert uid(repaired) not in (uid(binding), uid(usurped))
    person = subjects(binding)[0]
    kube.until_refused(person, "delete", "pods", meta.get("namespace", ""))


@pytest.fixture(params=["before the revoke", "on what is being deleted"])
def kept_binding(request, bailiwick, policies, kube, cluster, namespace, user):
    """(policy, its binding, which a finalizer keeps when it is deleted, whether its deletion has begun)."""
    policy = policies.create(clusters=[cluster], namespaces=[namespace], ids=[user]).policy_id
    bailiwick.until_state(policy, cluster, "effective")
    [found] = kube.bindings_naming(user)
    kube.merge(path_of(found), {"metadata": {"finalizers": ["example.com/keep"]}})
    if request.param == "on what is being deleted":
        kube.delete(path_of(found))
    yield policy, found
    if not _is_gone(kube, found):
        kube.merge(path_of(found), {"metadata": {"finalizers": None}})
    until(lambda: _is_gone(kube, found), 10, "the binding is gone")


def _is_gone(kube, binding):
    return kube.request("GET", path_of(binding))[0] == 404


def test_a_finalizer_does_not_keep_what_was_revoked(bailiwick, policies, kube, cluster, namespace, user, kept_binding):
    policy, binding = kept_binding
    if current(kube, binding)["metadata"].get("deletionTimestamp"):
        until(lambda: not subjects(current(kube, binding)), 10, "the ending binding names nobody")
        kube.until_allowed(user, "get", "pods", namespace)
    policies.delete(policy)
    kube.until_refused(user, "get", "pods", namespace)
    bailiwick.until_state(policy, cluster, "revoked")
    kept = current(kube, binding)
    assert kept["metadata"]["deletionTimestamp"]
    assert not subjects(kept)

    # Whoever may change it may name people in it as long as it is there; not for long.
    kube.merge(path_of(binding), {"subjects": [{"apiGroup": RBAC.split("/")[2], "kind": "User", "name": user}]})
    until(lambda: not subjects(current(kube, binding)), 10, "the binding names nobody again")
    kube.until_refused(user, "get", "pods", namespace)


def _repaired(kube, binding):
    now = current(kube, binding)
    return now if same(now, binding) else None


# --- what is not ours -------------------------------------------------------------------------------------------


def test_foreign_bindings_are_never_touched_and_named_when_they_still_grant(
    bailiwick, policies, kube, cluster, namespace, user
):
    other_installation = {
        "app.kubernetes.io/managed-by": "bailiwick",
        "bailiwick.dev/installation": "0" * 32,
        "bailiwick.dev/cluster": cluster,
    }
    foreign = [
        kube.create(f"{RBAC}/namespaces/{namespace}/rolebindings", role_binding("theirs", namespace, "view", user)),
        kube.create(
            f"{RBAC}/namespaces/{namespace}/rolebindings",
            role_binding("bailiwick:viewer:0123456789abcdef0123", namespace, "view", user, other_installation),
        ),
        kube.create(
            f"{RBAC}/clusterrolebindings",
            cluster_role_binding(f"theirs-{namespace}", "view", f"x-{user}", other_installation),
        ),
    ]
    try:
        policy = policies.create(clusters=[cluster], namespaces=[namespace], ids=[user]).policy_id
        bailiwick.until_state(policy, cluster, "effective")
        assert len(kube.bindings_naming(user)) == 3
        policies.delete(policy)
        row = bailiwick.until_state(policy, cluster, "revoked-residual")
        assert "theirs" in row["reason"] or "0123456789abcdef0123" in row["reason"]
        now = {uid(binding): binding["metadata"]["resourceVersion"] for binding in kube.bindings()}
        for binding in foreign:
            assert now[uid(binding)] == binding["metadata"]["resourceVersion"]
        assert len(kube.bindings_naming(user)) == 2
    finally:
        kube.delete(f"{RBAC}/clusterrolebindings/theirs-{namespace}")


def test_a_huge_binding_in_one_namespace_stops_nothing_elsewhere(
    bailiwick, policies, api_server, kube, cluster, namespace, user
):
    policy = policies.create(clusters=[cluster], namespaces=[namespace], ids=[user]).policy_id
    bailiwick.until_state(policy, cluster, "effective")
    tenants = kube.create_namespace(f"huge-{secrets.token_hex(4)}")
    try:
        for number in range(8):
            # As JSON, each of these characters takes six bytes.
            binding = role_binding(f"huge-{number}", tenants, "view", "<" * 1_200_000)
            kube.create(f"{RBAC}/namespaces/{tenants}/rolebindings", binding)
        policies.delete(policy)
        kube.until_refused(user, "get", "pods", namespace)
        bailiwick.until_state(policy, cluster, "revoked")
        # Another connection begins with a list that has them in it.
        again = bailiwick.add_cluster(api_server)
        listed = policies.create(clusters=[again], namespaces=[namespace], ids=[user]).policy_id
        bailiwick.until_state(listed, again, "effective", timeout=30)
        policies.delete(listed)
        kube.until_refused(user, "get", "pods", namespace)
    finally:
        kube.delete(f"/api/v1/namespaces/{tenants}")


def test_a_squatted_binding_name_is_left_alone_and_another_is_used(bailiwick, policies, kube, cluster, namespace, user):
    asked = {"clusters": [cluster], "namespaces": [namespace], "ids": [user]}
    policy = policies.create(**asked).policy_id
    bailiwick.until_state(policy, cluster, "effective")
    [ours] = kube.bindings_naming(user)
    policies.delete(policy)
    bailiwick.until_state(policy, cluster, "revoked")
    # Whoever administers the namespace can foresee the name: it does not change.
    squat = kube.create(
        f"{RBAC}/namespaces/{namespace}/rolebindings",
        role_binding(ours["metadata"]["name"], namespace, "view", "squatter"),
    )

    again = policies.create(**asked).policy_id
    kube.until_allowed(user, "get", "pods", namespace)
    [elsewhere] = kube.bindings_naming(user)
    assert elsewhere["metadata"]["name"] != ours["metadata"]["name"]
    assert current(kube, ours)["metadata"]["resourceVersion"] == squat["metadata"]["resourceVersion"]
    row = bailiwick.until_state(again, cluster, "effective")
    # Whoever granted it learns of it.
    assert "name taken" in row["reason"]
    assert ours["metadata"]["name"] in row["reason"]
    kube.delete(path_of(ours))
    until(lambda: not bailiwick.state(again, cluster)["reason"], 10, "the state names it no longer")


# --- changes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["one namespace", "all namespaces"])
@pytest.mark.parametrize(
    "start, end", [("CCEViewPolicy", "CCEEditPolicy"), ("CCEEditPolicy", "CCEViewPolicy")], ids=["up", "down"]
)
def test_a_role_change_never_takes_away_what_both_roles_allow(
    bailiwick, policies, api_server, kube, cluster, namespace, user, scope, start, end
):
    roles = {"CCEViewPolicy": "view", "CCEEditPolicy": "edit"}
    asked = {"clusters": [cluster], "namespaces": [namespace] if scope == "one namespace" else ["*"], "ids": [user]}
    policy = policies.create(policy_type=start, **asked).policy_id
    bailiwick.until_state(policy, cluster, "effective")
    mark = f"mark-{secrets.token_hex(4)}"
    with BindingWatch(api_server) as watch:
        policies.update(policy, policy_type=end, **asked)
        bailiwick.until_state(policy, cluster, "effective")
        until(lambda: _roles_of(user, kube.bindings()) == [roles[end]], 10, "only the new role is bound")
        kube.create(f"{RBAC}/namespaces/{namespace}/rolebindings", role_binding(mark, namespace, "view", "x"))
        kube.create(f"{RBAC}/clusterrolebindings", cluster_role_binding(mark, "view", "x"))
        watch.wait_for(mark)
    kube.delete(f"{RBAC}/clusterrolebindings/{mark}")
    seen = [(event, _roles_of(user, bindings.values())) for event, bindings in watch.states()]
    assert all(held for _, held in seen), f"{seen}"
    assert ["edit", "view"] in [held for _, held in seen], "the new role comes before the old one goes"


def _roles_of(user, bindings):
    return sorted(binding["roleRef"]["name"] for binding in bindings if user in subjects(binding))


def test_a_grant_is_not_effective_any_more_when_its_cluster_role_is_deleted(unbound, kube, namespace):
    server, cluster = unbound
    user = server.add_user()
    name = f"custom-{secrets.token_hex(4)}"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    kube.create(f"{RBAC}/clusterroles", {**role, "rules": rules})
    asked = {"name": name, "role": f"custom:{name}", "principals": {"type": "user", "ids": [user]}}
    asked |= {"clusters": [cluster], "namespaces": [namespace]}
    grant = server.client().call("POST", "/bailiwick/v1/grants", asked, status=201)["id"]
    server.until_state(grant, cluster, "effective")
    kube.delete(f"{RBAC}/clusterroles/{name}")
    assert name in server.until_state(grant, cluster, "failed")["reason"]
    assert kube.bindings_naming(user) == []
    kube.create(f"{RBAC}/clusterroles", {**role, "rules": rules})
    server.until_state(grant, cluster, "effective")
    kube.delete(f"{RBAC}/clusterroles/{name}")


def test_taking_one_person_out_of_a_policy_leaves_the_others(bailiwick, policies, kube, cluster, namespace, user):
    stays = bailiwick.add_user()
    asked = {"clusters": [cluster], "namespaces": [namespace]}
    policy = policies.create(ids=[user, stays], **asked).policy_id
    kube.until_allowed(user, "get", "pods", namespace)
    before = kube.bindings_naming(stays)
    policies.update(policy, ids=[stays], **asked)
    kube.until_refused(user, "get", "pods", namespace)
    assert kube.allowed(stays, "get", "pods", namespace)
    assert [uid(binding) for binding in kube.bindings_naming(stays)] == [uid(binding) for binding in before]


def test_revoking_one_of_two_overlapping_policies_leaves_the_other_in_force(
    bailiwick, policies, kube, cluster, namespace, user
):
    asked = {"clusters": [cluster], "namespaces": [namespace], "ids": [user]}
    first, second = (policies.create(**asked).policy_id for _ in range(2))
    bailiwick.until_state(second, cluster, "effective")
    [binding] = kube.bindings_naming(user)
    policies.delete(first)
    bailiwick.until_state(first, cluster, "revoked", "revoked-residual")
    assert [uid(found) for found in kube.bindings_naming(user)] == [uid(binding)]
    policies.delete(second)
    kube.until_refused(user, "get", "pods", namespace)


# --- outages ----------------------------------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_a_cluster_that_was_down_catches_up_with_grants_and_revokes(
    bailiwick, policies, other_api_server, kube, cluster, namespace
):
    down = bailiwick.add_cluster(other_api_server)
    elsewhere = other_api_server.client()
    place = elsewhere.create_namespace(f"ns-{secrets.token_hex(4)}")
    loses, gains, unaffected = (bailiwick.add_user() for _ in range(3))
    asked = {"clusters": [down], "namespaces": [place]}
    revoked = policies.create(ids=[loses], **asked).policy_id
    elsewhere.until_allowed(loses, "get", "pods", place)
    bailiwick.until_state(revoked, down, "effective")

    other_api_server.stop_api()
    granted = policies.create(ids=[gains], **asked).policy_id
    policies.delete(revoked)
    for policy in (granted, revoked):
        row = bailiwick.until_state(policy, down, "unreachable", timeout=30)
        assert row["reason"]
    # A dead cluster costs nobody else anything.
    policies.create(clusters=[cluster], namespaces=[namespace], ids=[unaffected])
    kube.until_allowed(unaffected, "get", "pods", namespace, timeout=3)

    other_api_server.start_api()
    elsewhere.until_allowed(gains, "get", "pods", place, timeout=75)
    elsewhere.until_refused(loses, "get", "pods", place, timeout=75)
    bailiwick.until_state(granted, down, "effective", timeout=30)
    bailiwick.until_state(revoked, down, "revoked", timeout=30)
    assert elsewhere.bindings_naming(loses) == []


def test_what_changed_in_the_cluster_while_the_server_was_down_is_repaired(new_server, api_server, kube, namespace):
    server = new_server().start()
    cluster, (first, second) = server.add_cluster(api_server), (server.add_user() for _ in range(2))
    policy = server.policies().create(clusters=[cluster], namespaces=[namespace], ids=[first, second]).policy_id
    server.until_state(policy, cluster, "effective")
    [binding] = kube.bindings_naming(first)
    assert server.stop() == 0
    kube.merge(path_of(binding), {"subjects": binding["subjects"][1:]})
    server.start()
    assert uid(until(lambda: _repaired(kube, binding), 30, "the binding is repaired")) == uid(binding)


# --- emptied scopes, ids ----------------------------------------------------------------------------------------


def test_a_policy_whose_last_user_is_deleted_gives_nobody_anything(bailiwick, policies, kube, cluster, user):
    policy = policies.create(clusters=[cluster], ids=[user]).policy_id
    kube.until_allowed(user, "list", "pods")
    bailiwick.client().call("DELETE", f"/bailiwick/v1/users/{user}", status=204)
    kube.until_refused(user, "list", "pods")
    until(lambda: not kube.bindings_naming(user), 10, "no binding names the user")
    assert policies.get(policy).principal.ids == []
    assert not kube.bindings_naming("*")
    assert not kube.bindings_naming("")
    assert not kube.allowed("anybody", "list", "pods")


def test_a_policy_whose_last_cluster_is_removed_does_not_reach_the_others(
    bailiwick, policies, api_server, kube, cluster, namespace, user
):
    leaving = bailiwick.add_cluster(api_server)
    policy = policies.create(clusters=[leaving], namespaces=[namespace], ids=[user]).policy_id
    kube.until_allowed(user, "get", "pods", namespace)
    bailiwick.do("cluster", "remove", leaving)
    kube.until_refused(user, "get", "pods", namespace, timeout=30)
    until(lambda: not kube.bindings(f"bailiwick.dev/cluster={leaving}"), 15, "what we made there is revoked")
    shown = policies.get(policy)
    assert shown.clusters == []
    assert policy not in policies.ids(cluster)
    assert bailiwick.client().request("GET", f"/bailiwick/v1/clusters/{leaving}").status == 404


def test_an_id_is_never_given_twice(bailiwick, policies):
    client = bailiwick.client()
    for noun, others in (("users", "groups"), ("groups", "agencies"), ("agencies", "users")):
        chosen = f"id-{secrets.token_hex(6)}"
        client.call("POST", f"/bailiwick/v1/{noun}", {"id": chosen, "name": chosen}, status=201)
        client.call("DELETE", f"/bailiwick/v1/{noun}/{chosen}", status=204)
        for again in (noun, others):
            answer = client.request("POST", f"/bailiwick/v1/{again}", {"id": chosen, "name": f"{chosen}-{again}"})
            assert (answer.status, answer.json()["error"]["code"]) == (409, "conflict")
    chosen = f"id-{secrets.token_hex(6)}"
    bailiwick.cli("cluster", "add", "short-lived", "--id", chosen)
    bailiwick.do("cluster", "remove", "short-lived")
    refusal = bailiwick.run("cluster", "add", "another", "--id", chosen)
    assert refusal.returncode == 1
    assert chosen in refusal.stderr + refusal.stdout


def test_a_revoke_does_not_wait_for_a_long_plan_of_somebody_elses_grant(new_server, api_server, kube, namespace):
    many = [kube.create_namespace(f"far-{secrets.token_hex(3)}-{number}") for number in range(240)]
    server = new_server().start()
    with SlowLine(api_server.port, delay=0.15) as line:
        far = api_server.kubeconfig.replace(f":{api_server.port}", f":{line.port}")
        cluster = server.add_cluster(kubeconfig=far)
        leaving, coming, policies = server.add_user(), server.add_user(), server.policies()
        former = policies.create(clusters=[cluster], namespaces=[namespace], ids=[leaving]).policy_id
        kube.until_allowed(leaving, "get", "pods", namespace)
        policies.create(clusters=[cluster], namespaces=many, ids=[coming])
        until(lambda: kube.bindings_naming(coming), 10, "the long plan is being carried out")
        policies.delete(former)
        kube.until_refused(leaving, "get", "pods", namespace, timeout=2)
        assert len(kube.bindings_naming(coming)) < len(many), "the long plan was not over before"
        until(lambda: len(kube.bindings_naming(coming)) == len(many), 30, "and goes on afterwards")
