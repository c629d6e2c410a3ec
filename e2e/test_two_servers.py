"""Several servers on one database: they share the clusters, and none works for one that is another's by now."""

import secrets
import signal
import time

import pytest

from harness.kube import BindingWatch, path_of, subjects
from harness.process import until

SIDE_BY_SIDE = 8
"""How many changes a worker makes at the same time."""


@pytest.fixture
def pair(new_server, database_url):
    """Two servers on one PostgreSQL database; the first was there before."""
    first = new_server(database=database_url("postgres")).start()
    second = first.another()
    yield first, second
    second.remove()


def epochs(server):
    """The clusters that a server took, from its log: {cluster: epoch of the last worker}."""
    lines = [line for line in server.process.output().splitlines() if "fleet.worker.started" in line]
    fields = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines]
    return {line["cluster"]: int(line["epoch"]) for line in fields}


def test_two_servers_share_the_clusters_and_each_follows_what_the_other_writes(pair, api_server, kube, namespace):
    first, second = pair
    clusters = [first.add_cluster(api_server) for _ in range(4)]
    assert set(epochs(first)) == set(clusters)
    second.start()
    until(lambda: len(epochs(second)) == 2, 20, "the second server works for two of the four")
    user = first.add_user()
    for server in (first, second):
        policy = server.policies().create(clusters=clusters, namespaces=[namespace], ids=[user]).policy_id
        for cluster in clusters:
            server.until_state(policy, cluster, "effective")
        assert len(kube.bindings_naming(user)) == len(clusters)
        server.policies().delete(policy)
        kube.until_refused(user, "get", "pods", namespace)
        until(lambda: not kube.bindings_naming(user), 10, "no binding names the user")


def test_when_a_server_stops_the_other_takes_over_at_once(pair, api_server, kube, namespace):
    first, second = pair
    cluster = first.add_cluster(api_server)
    second.start()
    assert first.stop() == 0
    user = second.add_user()
    second.policies().create(clusters=[cluster], namespaces=[namespace], ids=[user])
    kube.until_allowed(user, "get", "pods", namespace, timeout=8)


def test_when_a_server_is_killed_the_other_takes_over_and_repairs(pair, api_server, kube, namespace):
    first, second = pair
    cluster, user = first.add_cluster(api_server), first.add_user()
    policy = first.policies().create(clusters=[cluster], namespaces=[namespace], ids=[user]).policy_id
    kube.until_allowed(user, "get", "pods", namespace)
    second.start()
    first.process.stop(by=signal.SIGKILL)
    [binding] = kube.bindings_naming(user)
    kube.delete(path_of(binding))
    # The API server answers from its own copy for a moment: only the new binding says that somebody repaired.
    repaired = until(lambda: kube.bindings_naming(user), 25, "a new binding")
    assert [one["metadata"]["uid"] for one in repaired] != [binding["metadata"]["uid"]]
    assert epochs(second)[cluster] == 2
    kube.until_allowed(user, "get", "pods", namespace)
    second.policies().delete(policy)
    kube.until_refused(user, "get", "pods", namespace)
    second.until_state(policy, cluster, "revoked")


def test_a_worker_that_slept_through_a_revoke_brings_nothing_back(pair, api_server, kube):
    first, second = pair
    namespaces = [kube.create_namespace(f"asleep-{secrets.token_hex(3)}-{number}") for number in range(200)]
    cluster, user = first.add_cluster(api_server), first.add_user()
    second.start()
    policy = first.policies().create(clusters=[cluster], namespaces=namespaces, ids=[user]).policy_id
    until(lambda: len(kube.bindings_naming(user)) > 10, 10, "the plan is being carried out", interval=0)
    first.process.popen.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        done = len(kube.bindings_naming(user))
        assert done < len(namespaces), "it was stopped in the middle"
        second.policies().delete(policy)
        until(lambda: not kube.bindings_naming(user), 29, "the other server took over and revoked")
        second.until_state(policy, cluster, "revoked")
        time.sleep(max(0, stopped + 30 - time.monotonic()))
        with BindingWatch(api_server) as watch:
            first.process.popen.send_signal(signal.SIGCONT)
            time.sleep(5)
            assert not any(kube.allowed(user, "get", "pods", namespace) for namespace in namespaces)
            assert kube.bindings_naming(user) == []
            states = list(watch.states())
    finally:
        first.process.popen.send_signal(signal.SIGCONT)
    # Only what was on its way when it was stopped may have arrived afterwards, and it was taken back.
    late = {key for _, bindings in states for key, binding in bindings.items() if user in subjects(binding)}
    assert len(late) <= SIDE_BY_SIDE, late
    assert second.state(policy, cluster)["state"] == "revoked"
    until(lambda: "fleet.worker.ended" in first.process.output(), 10, "the first server knows that it lost the cluster")
