"""Servers killed at random moments with writes in flight: what was acknowledged holds, and the cluster agrees.

Clients write without pause while servers are killed and started again. Whatever was acknowledged must be so afterwards;
what was not answered may have happened or not. In the end the cluster must hold exactly what the database says.
"""

import collections
import http.client
import itertools
import json
import random
import secrets
import signal
import threading
import time

import pytest

from harness.kube import subjects
from harness.process import until

STEPS = 2_000
WRITERS = 6
ROLES = {
    "viewer": ("view", "get", "pods"),
    "developer": ("edit", "create", "configmaps"),
    "operator": ("bailiwick:operator", "create", "rolebindings"),
}


class Writers:
    """Clients that create, change and delete grants, and remember what they were told."""

    def __init__(self, servers, seed, cluster, users, namespaces):
        self.servers, self.cluster, self.users, self.namespaces = servers, cluster, users, namespaces
        self.steps = iter(range(STEPS))
        self.lock = threading.Lock()
        self.done = 0
        self.acknowledged = 0
        self.errors = []
        self.known = {}
        """By grant: what was acknowledged last (`None` if deleted), and what was asked since without an answer."""
        self.unanswered_creates = []
        self.threads = [threading.Thread(target=self._work, args=(random.Random(seed + n), n)) for n in range(WRITERS)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def running(self):
        return any(thread.is_alive() for thread in self.threads)

    def _work(self, chance, number):
        own = []
        try:
            while True:
                with self.lock:
                    if next(self.steps, None) is None:
                        return
                    self.done += 1
                self._step(chance, number, own)
        except Exception as error:
            self.errors.append(error)

    def _spec(self, chance):
        return {
            "name": f"crash-{secrets.token_hex(4)}",
            "role": chance.choice(list(ROLES)),
            "principals": {"type": "user", "ids": chance.sample(self.users, chance.randint(1, 3))},
            "clusters": [self.cluster],
            "namespaces": sorted(chance.sample(self.namespaces, chance.randint(1, 3))),
        }

    def _step(self, chance, number, own):
        kind = "create" if len(own) < 4 else chance.choice(["create", "update", "update", "delete", "delete"])
        body = None if kind == "delete" else self._spec(chance)
        if kind == "create":
            grant, method, path, good = None, "POST", "/bailiwick/v1/grants", 201
        else:
            grant = chance.choice(own)
            method, path = ("PUT", "DELETE")[kind == "delete"], f"/bailiwick/v1/grants/{grant}"
            good = 204 if kind == "delete" else 200
        answer = self._ask(number, method, path, body)
        if kind == "create" and answer is None:
            self.unanswered_creates.append(body)
        elif kind == "create":
            assert answer.status == good, f"{method} {path}: {answer.status} {answer.body!r}"
            own.append(answer.json()["id"])
            self.known[own[-1]] = (body, [])
        elif answer is None:
            self.known[grant][1].append(body)
        else:
            # An earlier delete that was not answered may have happened.
            may_be_gone = None in self.known[grant][1]
            assert answer.status == good or (answer.status == 404 and may_be_gone), f"{answer.status} {answer.body!r}"
            self.known[grant] = (body if answer.status == good else None, [])
        if grant and (body is None or (answer and answer.status == 404)):
            own.remove(grant)
        self.acknowledged += answer is not None

    def _ask(self, number, method, path, body):
        """One request to a server that takes it. `None` if it was sent and no answer came."""
        deadline = time.monotonic() + 60
        for turn in itertools.count(number):
            assert time.monotonic() < deadline, "no server took a request for a minute"
            client = self.servers[turn % len(self.servers)].client()
            try:
                answer = client.raw(method, path, json.dumps(body).encode() if body else b"")
            except ConnectionRefusedError:
                time.sleep(0.02)
                continue
            except (OSError, http.client.HTTPException):
                return None
            return None if answer is None or answer.status == 503 else answer

    def left(self, actual):
        """What contradicts the acknowledgements among the grants that there are, by id."""
        wrong = []
        for grant, (last, unanswered) in self.known.items():
            possible = [spec and comparable(spec) for spec in (last, *unanswered)]
            found = actual.get(grant) and comparable(actual[grant])
            if found not in possible:
                wrong.append(f"{grant}: is {found}, may be one of {possible}")
        possible = [comparable(spec) for spec in self.unanswered_creates]
        for grant in actual.keys() - self.known.keys():
            if comparable(actual[grant]) not in possible:
                wrong.append(f"{grant}: nobody asked for {actual[grant]}")
        return wrong


def comparable(grant):
    return grant["name"], grant["role"], sorted(grant["principals"]["ids"]), sorted(grant["namespaces"])


def expected_bindings(grants):
    """{(ClusterRole, namespace): users} as the grants say it."""
    expected = collections.defaultdict(set)
    for grant in grants:
        for namespace in grant["namespaces"]:
            expected[ROLES[grant["role"]][0], namespace] |= set(grant["principals"]["ids"])
    return expected


def actual_bindings(kube, cluster):
    actual = collections.defaultdict(set)
    for binding in kube.bindings(f"bailiwick.dev/cluster={cluster}"):
        if subjects(binding):
            actual[binding["roleRef"]["name"], binding["metadata"].get("namespace")] |= set(subjects(binding))
    return actual


def wrong_answers(kube, grants, users, namespaces):
    """Every question to which the cluster gives another answer than the grants do."""
    order, held = list(ROLES), collections.defaultdict(set)
    for grant in grants:
        for user, namespace in itertools.product(grant["principals"]["ids"], grant["namespaces"]):
            held[user, namespace].add(order.index(grant["role"]))
    wrong = []
    for user, namespace, role in itertools.product(users, namespaces, order):
        _, verb, resource = ROLES[role]
        group = "rbac.authorization.k8s.io" if resource == "rolebindings" else ""
        expected = any(level >= order.index(role) for level in held[user, namespace])
        if kube.allowed(user, verb, resource, namespace, group=group) is not expected:
            wrong.append((user, verb, resource, namespace, expected))
    return wrong


@pytest.mark.parametrize(("kind", "servers"), [("sqlite", 1), ("postgres", 1), ("postgres", 2)])
def test_what_was_acknowledged_survives_kills_and_the_cluster_agrees(
    new_server, database_url, api_server, kube, kind, servers
):
    seed = secrets.randbits(32)
    chance = random.Random(seed)
    first = new_server(database=database_url(kind)).start()
    cluster = first.add_cluster(api_server)
    users = [first.add_user() for _ in range(10)]
    namespaces = [kube.create_namespace(f"crash-{secrets.token_hex(3)}-{number}") for number in range(5)]
    fleet = [first] + [first.another().start() for _ in range(servers - 1)]
    writers = Writers(fleet, seed, cluster, users, namespaces).start()
    try:
        kills = 0
        for at in sorted(chance.sample(range(STEPS // 20, STEPS - 50), 8)):
            while writers.done < at and writers.running():
                time.sleep(0.001)
            victim = chance.choice(fleet)
            victim.process.popen.send_signal(signal.SIGKILL)
            victim.process.popen.wait()
            kills += 1
            victim.start()
        until(lambda: not writers.running(), 120, "the writers are done")
        assert not writers.errors, f"seed {seed}: {writers.errors}"
        assert kills == 8 and writers.acknowledged > STEPS * 0.9, f"seed {seed}: {writers.acknowledged}"

        client = fleet[0].client()
        grants = client.all("/bailiwick/v1/grants")
        wrong = writers.left({grant["id"]: grant for grant in grants})
        assert not wrong, f"seed {seed}: {wrong}"
        expected = expected_bindings(grants)
        until(lambda: actual_bindings(kube, cluster) == expected, 60, f"seed {seed}: the cluster is as the database")
        assert not wrong_answers(kube, grants, users, namespaces), f"seed {seed}"
        for grant in grants:
            fleet[0].until_state(grant["id"], cluster, "effective")
    finally:
        for server in fleet[1:]:
            server.remove()
