"""From the API's answer to the cluster's: how long until a grant is felt, and until a revoke is.

Every question goes over one connection that is kept open, so that what is measured is not the cost of connecting. The
bare client in the same run says what the cluster itself needs.
"""

import concurrent.futures
import secrets
import threading
import time

import pytest

from harness import figures
from harness.kube import RBAC, role_binding

COUNT = 200
LIMIT_SECONDS = 0.300
LIMIT_TIMES_BARE = 20
PATH = "/api/v3/access-policies"


@pytest.fixture(scope="module")
def place(kube):
    return kube.create_namespace(f"latency-{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def bare_p99(kube, place):
    """The same by a plain client: server-side apply of a binding, then reviews until the first yes."""
    grants, revokes, binding = [], [], f"{RBAC}/namespaces/{place}/rolebindings"
    for number in range(COUNT):
        user, name = f"bare-{number}", f"bare-{number}"
        begin = time.monotonic()
        kube.apply(f"{binding}/{name}", role_binding(name, place, "view", user))
        grants.append(kube.until_allowed(user, "get", "pods", place) - begin)
    for number in range(COUNT):
        begin = time.monotonic()
        kube.delete(f"{binding}/bare-{number}")
        revokes.append(kube.until_refused(f"bare-{number}", "get", "pods", place) - begin)
    return (
        figures.milliseconds("bare client, apply to first yes", grants),
        figures.milliseconds("bare client, delete to first no", revokes),
    )


@pytest.fixture(scope="module")
def users(bailiwick):
    return [bailiwick.add_user() for _ in range(COUNT)]


def body(cluster, place, user):
    return {
        "name": "latency",
        "clusters": [cluster],
        "accessScope": {"namespaces": [place]},
        "policyType": "CCEViewPolicy",
        "principal": {"type": "user", "ids": [user]},
    }


def check(title, seconds, bare):
    p99 = figures.milliseconds(title, seconds)
    figures.note(f"    p99 is {p99 / bare:.1f} × bare (at most {LIMIT_TIMES_BARE}), limit {LIMIT_SECONDS * 1e3:.0f} ms")
    assert p99 <= LIMIT_SECONDS
    assert p99 <= LIMIT_TIMES_BARE * bare


def test_grants_and_revokes_by_the_sdk_are_felt_at_once(bailiwick, kube, cluster, place, users, bare_p99):
    policies, grants, calls, revokes, made = bailiwick.policies(), [], [], [], []
    for user in users:
        begin = time.monotonic()
        made.append(policies.create(clusters=[cluster], namespaces=[place], ids=[user]).policy_id)
        answered = time.monotonic()
        calls.append(answered - begin)
        grants.append(kube.until_allowed(user, "get", "pods", place) - answered)
    for user, policy in zip(users, made, strict=True):
        policies.delete(policy)
        answered = time.monotonic()
        revokes.append(kube.until_refused(user, "get", "pods", place) - answered)
    figures.milliseconds("SDK, create call itself", calls)
    check("SDK, 201 to first yes, one after another", grants, bare_p99[0])
    check("SDK, 204 to first no, one after another", revokes, bare_p99[1])


def test_grants_and_revokes_over_one_connection_are_felt_at_once(bailiwick, kube, cluster, place, users, bare_p99):
    client, grants, revokes, made = bailiwick.client(), [], [], []
    for user in users:
        made.append(client.call("POST", PATH, body(cluster, place, user), status=201)["policyId"])
        answered = time.monotonic()
        grants.append(kube.until_allowed(user, "get", "pods", place) - answered)
    for user, policy in zip(users, made, strict=True):
        client.call("DELETE", f"{PATH}/{policy}", status=204)
        answered = time.monotonic()
        revokes.append(kube.until_refused(user, "get", "pods", place) - answered)
    check("kept-open connection, 201 to first yes", grants, bare_p99[0])
    check("kept-open connection, 204 to first no", revokes, bare_p99[1])


def test_two_hundred_at_once_all_arrive(bailiwick, kube, cluster, place, users):
    local, answered, made = threading.local(), {}, {}

    def call(method, path, what, user):
        if not hasattr(local, "client"):
            local.client = bailiwick.client()
        answer = local.client.call(method, path, what)
        answered[user] = time.monotonic()
        return answer

    def grant(user):
        made[user] = call("POST", PATH, body(cluster, place, user), user)["policyId"]

    def revoke(user):
        call("DELETE", f"{PATH}/{made[user]}", None, user)

    for title, one, wanted in (("201 to first yes", grant, True), ("204 to first no", revoke, False)):
        answered.clear()
        begin, seconds, waiting = time.monotonic(), [], set(users)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            done = [pool.submit(one, user) for user in users]
            while waiting and time.monotonic() - begin < 60:
                for user in [user for user in waiting if user in answered]:
                    if kube.allowed(user, "get", "pods", place) is wanted:
                        seconds.append(max(0.0, time.monotonic() - answered[user]))
                        waiting.discard(user)
            for future in done:
                future.result()
        assert not waiting, f"{len(waiting)} of {COUNT} did not arrive"
        figures.milliseconds(f"{COUNT} at once over 16 connections, {title}", seconds)
        figures.note(f"    all {COUNT} done after {time.monotonic() - begin:.2f} s")
