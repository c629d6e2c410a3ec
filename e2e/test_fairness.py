"""One account that floods delays another a little, and never for long."""

import concurrent.futures
import contextlib
import random
import secrets
import threading
import time

import pytest

from harness import figures
from harness.process import until

PATH = "/api/v3/access-policies"
QUIET, UNDER_FLOOD = 15, 15
LIMIT_SECONDS = 3.0
"""Generous on purpose. That accounts take turns is proved in `store`; this shows that nothing else on the way from a request
to a cluster stands behind the other account's flood."""


def body(cluster, place, user, namespaces=()):
    return {
        "name": "fairness",
        "clusters": [cluster],
        "accessScope": {"namespaces": [place, *namespaces]},
        "policyType": "CCEViewPolicy",
        "principal": {"type": "user", "ids": [user]},
    }


@pytest.fixture
def other_account(bailiwick):
    """The key of another account's root user, with a cluster of theirs."""
    name = f"tenant-{secrets.token_hex(3)}"
    made = bailiwick.cli("account", "create", name, "--data-dir", bailiwick.data)
    return made["accessKeyId"], made["secretAccessKey"]


@contextlib.contextmanager
def flood(bailiwick, key, cluster, user):
    """Sixteen clients of an account that write without a pause. Counts what was done."""
    over, done = threading.Event(), []

    def write():
        client = bailiwick.client(key)
        while not over.is_set():
            # Of few names, so that the account stays below its quota of bindings.
            namespaces = [f"flood-{number}" for number in random.sample(range(400), 20)]
            client.call("POST", PATH, body(cluster, "default", user, namespaces), status=201)
            done.append(1)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        writers = [pool.submit(write) for _ in range(16)]
        try:
            until(lambda: len(done) > 50, 30, "the flood is under way")
            yield done
        finally:
            over.set()
    for writer in writers:
        writer.result()


def effective(bailiwick, kube, cluster, place, count, title):
    """From a request to the cluster's yes, one after another."""
    client, seconds = bailiwick.client(), []
    for _ in range(count):
        user = bailiwick.add_user()
        begin = time.monotonic()
        client.call("POST", PATH, body(cluster, place, user), status=201)
        kube.until_allowed(user, "get", "pods", place, timeout=60)
        seconds.append(time.monotonic() - begin)
    figures.milliseconds(title, seconds)
    return sorted(seconds)


def test_an_account_that_floods_does_not_keep_another_waiting(
    bailiwick, api_server, kube, cluster, namespace, other_account
):
    theirs = bailiwick.client(other_account)
    user = theirs.call("POST", "/bailiwick/v1/users", {"name": "noisy"}, status=201)["id"]
    made = theirs.call(
        "POST",
        "/bailiwick/v1/clusters",
        {"name": "noisy", "kubeconfig": api_server.kubeconfig},
        status=201,
    )["id"]
    bailiwick.clusters.append((made, api_server))
    quiet = effective(bailiwick, kube, cluster, namespace, QUIET, "one account alone, request to first yes")
    with flood(bailiwick, other_account, made, user) as done:
        before, began = len(done), time.monotonic()
        busy = effective(bailiwick, kube, cluster, namespace, UNDER_FLOOD, "beside an account that floods")
        rate = (len(done) - before) / (time.monotonic() - began)
    figures.note(f"    the flood wrote {rate:.0f} policies a second; median {busy[7] / quiet[7]:.1f} × the quiet one")
    assert busy[len(busy) // 2] <= LIMIT_SECONDS
