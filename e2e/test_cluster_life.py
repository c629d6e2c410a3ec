"""The life of a cluster's connection: another one in its place, and its end."""

import re
import secrets
import shlex
import subprocess

import pytest

from harness.apiserver import ApiServer, programs
from harness.kube import RBAC, BindingWatch, cluster_role_binding, path_of, role_binding, subjects
from harness.process import clean_environment, until


@pytest.fixture
def user(bailiwick):
    return bailiwick.add_user()


def grant_to(bailiwick, user, cluster, namespace, role="viewer", kind="user"):
    asked = {
        "role": role,
        "principals": {"type": kind, "ids": [user]},
        "clusters": [cluster],
        "namespaces": [namespace],
    }
    return bailiwick.client().call("POST", "/bailiwick/v1/grants", asked, status=201)["id"]


def another_admin(api_server):
    """A kubeconfig of the same cluster with another credential."""
    name = f"admin-{secrets.token_hex(3)}"
    return api_server.kubeconfig_for(name, api_server.authority.client(name, "system:masters"))


def rotate(bailiwick, cluster, kubeconfig, *arguments, **options):
    file = bailiwick.folder / f"rotated-{secrets.token_hex(3)}"
    file.write_text(kubeconfig, encoding="utf-8")
    return bailiwick.run("cluster", "rotate", cluster, "--kubeconfig", file, *arguments, **options)


def applied(kube, cluster):
    return kube.bindings(f"bailiwick.dev/cluster={cluster}")


# --- rotation ---------------------------------------------------------------------------------------------------


def until_identified(bailiwick, cluster):
    """The worker has learned which cluster it is: a rotation has something to compare with."""
    until(lambda: bailiwick.cluster(cluster).get("identifiedAt"), 15, "the cluster's identity is known")


def test_a_new_credential_of_the_same_cluster_takes_over_and_nobody_notices(
    bailiwick, api_server, kube, namespace, user
):
    cluster = bailiwick.add_cluster(api_server)
    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    until_identified(bailiwick, cluster)
    before = bailiwick.state(grant, cluster)
    mark = f"mark-{secrets.token_hex(4)}"
    with BindingWatch(api_server) as watch:
        done = rotate(bailiwick, cluster, another_admin(api_server))
        assert done.returncode == 0, done.stderr
        assert "same cluster" in done.stdout
        other = bailiwick.add_user()
        later = grant_to(bailiwick, other, cluster, namespace)
        bailiwick.until_state(later, cluster, "effective")
        kube.create(f"{RBAC}/namespaces/{namespace}/rolebindings", role_binding(mark, namespace, "view", "x"))
        kube.create(f"{RBAC}/clusterrolebindings", cluster_role_binding(mark, "view", "x"))
        watch.wait_for(mark)
    kube.delete(f"{RBAC}/clusterrolebindings/{mark}")
    for event, bindings in watch.states():
        assert any(user in subjects(binding) for binding in bindings.values()), event
    assert bailiwick.state(grant, cluster)["state"] == "effective"
    assert bailiwick.state(grant, cluster)["since"] == before["since"], "it never was anything else"
    bailiwick.do("cluster", "remove", cluster)


def test_a_connection_to_another_cluster_is_refused_and_nothing_changes(
    bailiwick, api_server, other_api_server, kube, namespace, user
):
    cluster = bailiwick.add_cluster(api_server)
    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    until_identified(bailiwick, cluster)
    elsewhere = other_api_server.client()
    elsewhere.create_namespace(namespace)

    nobody = bailiwick.add_key(bailiwick.add_user())
    body = {"kubeconfig": other_api_server.kubeconfig}
    path = f"/bailiwick/v1/clusters/{cluster}/connection"
    assert bailiwick.client(nobody).request("PUT", path, body).status == 403
    assert bailiwick.client(nobody).request("PUT", path, {**body, "replace": True}).status == 403

    answer = bailiwick.client().request("PUT", path, body)
    assert answer.status == 409
    assert "kube-system" in answer.json()["error"]["message"]
    refusal = rotate(bailiwick, cluster, other_api_server.kubeconfig)
    assert refusal.returncode == 1
    assert "replace" in refusal.stderr

    shown = bailiwick.cluster(cluster)
    assert (shown["server"], shown["state"]) == (api_server.url, "connected")
    assert bailiwick.state(grant, cluster)["state"] == "effective"
    later = grant_to(bailiwick, bailiwick.add_user(), cluster, namespace)
    bailiwick.until_state(later, cluster, "effective")
    assert applied(elsewhere, cluster) == []
    bailiwick.do("cluster", "remove", cluster)


def test_a_replaced_clusters_grants_are_suspended_until_somebody_resumes_them(
    bailiwick, api_server, other_api_server, kube, namespace, user
):
    cluster = bailiwick.add_cluster(api_server)
    name = bailiwick.cluster(cluster)["name"]
    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    until_identified(bailiwick, cluster)
    elsewhere = other_api_server.client()
    elsewhere.create_namespace(namespace)
    [left] = applied(kube, cluster)
    # A copy of the cluster holds copies of our bindings: whose they are is for somebody to say.
    copy = role_binding(left["metadata"]["name"], namespace, "edit", "someone", left["metadata"]["labels"])
    copied = elsewhere.create(f"{RBAC}/namespaces/{namespace}/rolebindings", copy)

    done = rotate(bailiwick, cluster, other_api_server.kubeconfig, "--replace")
    assert done.returncode == 0, done.stderr
    assert left["metadata"]["name"] in done.stdout
    assert f"bailiwick cluster resume {cluster}" in done.stdout
    until(lambda: bailiwick.cluster(cluster)["state"] == "connected", 30, "the new connection works")
    assert bailiwick.cluster(cluster)["suspendedAt"]
    assert "suspended" in bailiwick.do("cluster", "list")
    row = bailiwick.state(grant, cluster)
    assert row["state"] == "pending"
    assert f"bailiwick cluster resume {name}" in row["reason"]

    # Nothing is written there meanwhile: neither what is there nor what comes nor what goes.
    later = grant_to(bailiwick, bailiwick.add_user(), cluster, namespace)
    short = grant_to(bailiwick, bailiwick.add_user(), cluster, namespace)
    bailiwick.client().call("DELETE", f"/bailiwick/v1/grants/{short}", status=204)
    assert bailiwick.state(later, cluster)["state"] == "pending"
    [kept] = applied(elsewhere, cluster)
    assert kept["metadata"]["resourceVersion"] == copied["metadata"]["resourceVersion"]
    assert kube.allowed(user, "get", "pods", namespace), "what stays in the former one was named, not deleted"

    # The line that was printed deletes what stays in the former cluster, and nothing else.
    command = re.search(r"^deleted by: (kubectl .*)$", done.stdout, re.MULTILINE)[1]
    foreign = kube.bindings()
    kubectl(api_server, bailiwick, command)
    assert applied(kube, cluster) == []
    assert len(kube.bindings()) == len(foreign) - 2, "the grant's binding, and the mark that we leave in a cluster"

    bailiwick.do("cluster", "resume", cluster)
    for one in (grant, later):
        bailiwick.until_state(one, cluster, "effective")
    elsewhere.until_allowed(user, "get", "pods", namespace)
    until(lambda: not elsewhere.bindings_naming("someone"), 10, "what we did not grant is taken back")
    assert bailiwick.run("cluster", "resume", cluster).returncode == 1, "it is not suspended any more"
    bailiwick.do("cluster", "remove", cluster)
    assert applied(elsewhere, cluster) == []


def test_what_stays_in_a_replaced_cluster_is_not_called_revoked(
    bailiwick, api_server, other_api_server, kube, namespace, user
):
    cluster = bailiwick.add_cluster(api_server)
    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    until_identified(bailiwick, cluster)
    [left] = applied(kube, cluster)
    assert rotate(bailiwick, cluster, other_api_server.kubeconfig, "--replace").returncode == 0
    bailiwick.client().call("DELETE", f"/bailiwick/v1/grants/{grant}", status=204)
    row = bailiwick.state(grant, cluster)
    assert row["state"] == "pending"
    assert "not revoked in the cluster as it was" in row["reason"]
    refusal = bailiwick.run("cluster", "remove", cluster)
    assert refusal.returncode == 1
    assert left["metadata"]["name"] in refusal.stderr
    assert "--abandon" in refusal.stderr
    assert kube.allowed(user, "get", "pods", namespace)

    # It was the same cluster, after all.
    assert rotate(bailiwick, cluster, api_server.kubeconfig, "--replace").returncode == 0
    bailiwick.do("cluster", "resume", cluster)
    bailiwick.until_state(grant, cluster, "revoked", timeout=30)
    assert not kube.allowed(user, "get", "pods", namespace)
    bailiwick.do("cluster", "remove", cluster)
    assert applied(kube, cluster) == []


def kubectl(api_server, bailiwick, command):
    config = bailiwick.folder / f"kubectl-{secrets.token_hex(3)}"
    config.write_text(api_server.kubeconfig, encoding="utf-8")
    env = clean_environment(HOME=bailiwick.home, KUBECONFIG=config)
    for part in command.split(" && "):
        words = shlex.split(part)
        assert words[0] == "kubectl"
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env, check=False)
        assert done.returncode == 0, done.stderr


def test_an_endpoint_that_cannot_be_compared_is_taken_only_with_replace(bailiwick, api_server, namespace, user):
    # Somebody who may read neither the namespace nor the keys, in what may well be the same cluster.
    cluster = bailiwick.add_cluster(api_server)
    until_identified(bailiwick, cluster)
    refusal = rotate(bailiwick, cluster, api_server.kubeconfig_for(f"nobody-{secrets.token_hex(3)}"))
    assert refusal.returncode == 1
    assert "cannot be told" in refusal.stderr
    assert bailiwick.cluster(cluster)["state"] == "connected"
    bailiwick.do("cluster", "remove", cluster)


def test_an_endpoint_that_does_not_answer_does_not_take_over(bailiwick, api_server, namespace, user):
    cluster = bailiwick.add_cluster(api_server)
    until_identified(bailiwick, cluster)
    dead = api_server.kubeconfig.replace(str(api_server.port), "1")
    for arguments in ([], ["--replace"]):
        refusal = rotate(bailiwick, cluster, dead, *arguments)
        assert refusal.returncode == 1
        assert "does not answer" in refusal.stderr
    assert bailiwick.cluster(cluster)["server"] == api_server.url
    bailiwick.do("cluster", "remove", cluster)


def test_a_cluster_that_was_never_reached_takes_any_connection_and_says_so(
    bailiwick, api_server, kube, namespace, user
):
    detached = bailiwick.add_cluster()
    grant = grant_to(bailiwick, user, detached, namespace)
    bailiwick.until_state(grant, detached, "recorded")
    done = rotate(bailiwick, detached, api_server.kubeconfig)
    assert done.returncode == 0, done.stderr
    assert "nothing to compare" in done.stdout
    bailiwick.until_state(grant, detached, "effective")
    kube.until_allowed(user, "get", "pods", namespace)
    bailiwick.do("cluster", "remove", detached)


def test_a_credential_that_may_less_shows_in_the_states(bailiwick, api_server, kube, namespace, user):
    cluster = bailiwick.add_cluster(api_server)
    until_identified(bailiwick, cluster)
    weak = f"weak-{secrets.token_hex(3)}"
    bindings = f"{RBAC}/clusterrolebindings"
    kube.create(bindings, cluster_role_binding(weak, "view", weak))
    roles = f"{RBAC}/clusterroles"
    rules = [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": weak}}
    kube.create(roles, {**role, "rules": rules})
    kube.create(bindings, cluster_role_binding(f"{weak}-rbac", weak, weak))
    try:
        assert rotate(bailiwick, cluster, api_server.kubeconfig_for(weak)).returncode == 0
        grant = grant_to(bailiwick, user, cluster, namespace)
        row = bailiwick.until_state(grant, cluster, "failed", timeout=30)
        assert "may not bind" in row["reason"]
        assert rotate(bailiwick, cluster, api_server.kubeconfig).returncode == 0
        bailiwick.until_state(grant, cluster, "effective", timeout=30)
    finally:
        for binding in (weak, f"{weak}-rbac"):
            kube.delete(f"{bindings}/{binding}")
        kube.delete(f"{roles}/{weak}")
    bailiwick.do("cluster", "remove", cluster)


def test_a_connector_gets_another_token(bailiwick, api_server, kube, namespace, user):
    cluster = bailiwick.add_cluster_by_context(api_server)
    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    until_identified(bailiwick, cluster)
    kube.delete("/api/v1/namespaces/bailiwick-system/secrets/bailiwick-connector")
    env = {"KUBECONFIG": str(bailiwick.folder / "operator.kubeconfig")}
    assert "same cluster" in bailiwick.do("cluster", "rotate", cluster, "--context", "e2e", env=env)
    other = bailiwick.add_user()
    later = grant_to(bailiwick, other, cluster, namespace)
    bailiwick.until_state(later, cluster, "effective", timeout=30)
    assert bailiwick.state(grant, cluster)["state"] == "effective"
    bailiwick.do("cluster", "remove", cluster)


# --- the end ----------------------------------------------------------------------------------------------------


def test_removing_waits_until_nothing_of_ours_is_left(bailiwick, api_server, kube, namespace, user):
    cluster = bailiwick.add_cluster(api_server)
    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    removed = bailiwick.cli("cluster", "remove", cluster)
    assert (removed["state"], removed["remaining"]) == ("done", [])
    assert applied(kube, cluster) == []
    assert not kube.allowed(user, "get", "pods", namespace)
    assert bailiwick.client().request("GET", f"/bailiwick/v1/clusters/{cluster}").status == 404
    assert bailiwick.run("cluster", "remove", cluster).returncode == 1


@pytest.mark.timeout(240)
def test_a_cluster_that_is_gone_is_named_and_given_up(bailiwick, namespace, user):
    gone = ApiServer(programs())
    try:
        kube = gone.client()
        kube.create_namespace(namespace)
        cluster = bailiwick.add_cluster(gone)
        grant = grant_to(bailiwick, user, cluster, namespace)
        bailiwick.until_state(grant, cluster, "effective")
        [ours] = applied(kube, cluster)
        gone.stop_api()

        late = bailiwick.run("cluster", "remove", cluster, "--timeout", "3")
        assert late.returncode == 1
        assert ours["metadata"]["name"] in late.stderr
        assert f"bailiwick cluster remove {cluster} --abandon" in late.stderr
        removal = f"/bailiwick/v1/clusters/{cluster}/removal"
        shown = bailiwick.client().call("GET", removal)
        assert shown["state"] == "revoking"

        given_up = bailiwick.do("cluster", "remove", cluster, "--abandon")
        assert ours["metadata"]["name"] in given_up
        assert bailiwick.client().call("GET", removal)["state"] == "done"
        gone.start_api()
        [left] = applied(kube, cluster)
        assert left["metadata"]["uid"] == ours["metadata"]["uid"], "nothing is done there any more"
        kubectl(gone, bailiwick, re.search(r"^deleted by: (kubectl .*)$", given_up, re.MULTILINE)[1])
        assert applied(kube, cluster) == []
        assert bailiwick.run("cluster", "remove", cluster, "--abandon").returncode == 1
    finally:
        gone.stop()


def test_bindings_are_kept_where_that_is_wanted(bailiwick, api_server, kube, namespace, user):
    cluster = bailiwick.add_cluster(api_server)
    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    kept = bailiwick.cli("cluster", "remove", cluster, "--keep-bindings")
    assert kept["state"] == "done"
    [binding] = applied(kube, cluster)
    # The mark that we leave in a cluster stays as well, and is named.
    names = [one["name"] for one in kept["remaining"] if not one["name"].startswith("bailiwick:stamp:")]
    assert names == [binding["metadata"]["name"]]
    assert kube.allowed(user, "get", "pods", namespace)
    kube.delete(path_of(binding))


def test_an_unknown_way_of_removing_removes_nothing(bailiwick):
    cluster = bailiwick.add_cluster()
    for query in ("mode=forget", "mod=abandon"):
        answer = bailiwick.client().request("DELETE", f"/bailiwick/v1/clusters/{cluster}?{query}")
        assert answer.status == 400, query
    assert bailiwick.cluster(cluster)["state"] == "detached"
