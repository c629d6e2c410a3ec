"""One API server, several owners: two installations side by side, and one registered twice. Each makes its own bindings
true and never touches another's."""

import random
import re
import secrets
import threading

from harness.kube import MANAGED, path_of, subjects
from harness.process import until

STEPS = 500
ROLES = {"viewer": "view", "developer": "edit", "operator": "bailiwick:operator"}


class Actor:
    """Changes one installation's grants at random, and remembers what should come of it."""

    def __init__(self, server, cluster, users, namespaces, seed):
        self.server, self.cluster, self.users, self.namespaces = server, cluster, users, namespaces
        self.random = random.Random(seed)
        self.client = server.client()
        self.grants = {}
        self.failure = None

    def run(self, kube):
        try:
            for _ in range(STEPS):
                self.step(kube)
        except BaseException as error:
            self.failure = error
            raise

    def step(self, kube):
        dice = self.random.random()
        if dice < 0.04:
            self.drift(kube)
        elif dice < 0.45 and len(self.grants) < 30 or not self.grants:
            spec = self.spec()
            made = self.client.call("POST", "/bailiwick/v1/grants", spec, status=201)
            self.grants[made["id"]] = spec
        elif dice < 0.75:
            grant, spec = self.random.choice(sorted(self.grants)), self.spec()
            self.client.call("PUT", f"/bailiwick/v1/grants/{grant}", spec)
            self.grants[grant] = spec
        else:
            grant = self.random.choice(sorted(self.grants))
            self.client.call("DELETE", f"/bailiwick/v1/grants/{grant}", status=204)
            del self.grants[grant]

    def spec(self):
        scope = self.random.sample(self.namespaces, self.random.randint(1, 3))
        return {
            "name": "random",
            "role": self.random.choice(sorted(ROLES)),
            "principals": {"type": "user", "ids": self.random.sample(self.users, self.random.randint(1, 3))},
            "clusters": [self.cluster],
            "namespaces": ["*"] if self.random.random() < 0.2 else scope,
        }

    def drift(self, kube):
        """Somebody with a client of their own spoils one of this installation's bindings."""
        mine = kube.bindings(f"bailiwick.dev/cluster={self.cluster}")
        if not mine:
            return
        victim = self.random.choice(sorted(mine, key=path_of))
        status, _ = kube.request("GET", path_of(victim))
        if status != 200:
            return
        if self.random.random() < 0.5:
            kube.request("DELETE", path_of(victim))
            return
        mallory = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}
        change = {"subjects": [mallory], "metadata": {"labels": {"bailiwick.dev/installation": "somebody"}}}
        content = "application/merge-patch+json"
        kube.request("PATCH", path_of(victim), change, content_type=content)

    def wanted(self):
        """(role, scope) to the users that should hold it."""
        wanted = {}
        for spec in self.grants.values():
            for scope in spec["namespaces"]:
                wanted.setdefault((ROLES[spec["role"]], scope), set()).update(spec["principals"]["ids"])
        return wanted


def held(kube, cluster):
    found = {}
    for binding in kube.bindings(f"{MANAGED},bailiwick.dev/cluster={cluster}"):
        place = (binding["roleRef"]["name"], binding["metadata"].get("namespace", "*"))
        found.setdefault(place, set()).update(subjects(binding))
    return found


def written(server):
    """The objects that a server wrote or deleted, by its log."""
    pattern = r"fleet\.binding\.(?:applied|deleted|kept_by_finalizers) object=(\S+ \S+)"
    return set(re.findall(pattern, server.process.output()))


def test_two_installations_on_one_api_server_never_touch_each_other(new_server, other_api_server):
    api_server = other_api_server
    kube = api_server.client()
    seed = secrets.randbits(32)
    namespaces = [kube.create_namespace(f"two-{secrets.token_hex(4)}") for _ in range(4)]
    shared = [f"shared-{secrets.token_hex(4)}" for _ in range(4)]
    actors = []
    for number in range(2):
        server = new_server().start()
        # The same people in both: their bindings differ by owner and by nothing else.
        users = [server.add_user(user_id=one) for one in shared] + [server.add_user() for _ in range(2)]
        cluster = server.add_cluster(api_server)
        actors.append(Actor(server, cluster, users, namespaces, seed + number))
    threads = [threading.Thread(target=actor.run, args=(api_server.client(),)) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [actor.failure for actor in actors] == [None, None], f"seed {seed}"
    for actor in actors:
        until(
            lambda actor=actor: held(kube, actor.cluster) == actor.wanted(),
            30,
            f"installation {actor.cluster} holds what it should (seed {seed})",
        )
    # Every write is a line of the log of who made it, deletions too.
    first, second = (written(actor.server) for actor in actors)
    assert len(first) > 10 < len(second), f"the logs do not show what was written (seed {seed})"
    assert not first & second, f"an object was written by both (seed {seed})"
    assert not kube.bindings_naming("mallory"), f"seed {seed}"


def test_one_api_server_registered_by_two_accounts_and_twice_by_one_adds_up(new_server, api_server, kube):
    server = new_server().start()
    namespace = kube.create_namespace(f"sum-{secrets.token_hex(4)}")
    made = server.cli("account", "create", "--data-dir", server.data, f"acme-{secrets.token_hex(3)}")
    key = (made["accessKeyId"], made["secretAccessKey"])
    file = server.folder / "again.kubeconfig"
    file.write_text(api_server.kubeconfig, encoding="utf-8")
    clusters = [(server.add_cluster(api_server), None), (server.add_cluster(api_server), None)]
    theirs = server.cli("cluster", "add", "theirs", "--kubeconfig", file, key=key)["id"]
    server.clusters.append((theirs, api_server))
    clusters.append((theirs, key))
    user, their_user = server.add_user(), server.cli("user", "create", "ann", key=key)["id"]

    def grant(cluster, key, who):
        body = {
            "role": "viewer",
            "principals": {"type": "user", "ids": [who]},
            "clusters": [cluster],
            "namespaces": [namespace],
        }
        return server.client(key).call("POST", "/bailiwick/v1/grants", body, status=201)["id"]

    grants = [grant(cluster, key, their_user if key else user) for cluster, key in clusters]
    until(lambda: [len(kube.bindings(f"bailiwick.dev/cluster={one}")) for one, _ in clusters] == [1, 1, 1], 15, "three")
    kube.until_allowed(user, "get", "pods", namespace)
    kube.until_allowed(their_user, "get", "pods", namespace)

    def settled():
        states = [
            server.client(key).call("GET", f"/bailiwick/v1/grants/{one}")["states"]
            for one, (_, key) in zip(grants, clusters, strict=True)
        ]
        # A grant has a state in each cluster that it covers.
        return all(rows and rows[0]["state"] == "effective" for rows in states)

    until(settled, 15, "all are effective")
    before = {path_of(one): one["metadata"]["resourceVersion"] for one in kube.bindings()}
    # Each revoke takes away its own and wakes everybody; the others stay as they are.
    server.client().call("DELETE", f"/bailiwick/v1/grants/{grants[0]}", status=204)
    until(lambda: not kube.bindings(f"bailiwick.dev/cluster={clusters[0][0]}"), 15, "the first is gone")
    assert kube.allowed(user, "get", "pods", namespace), "the second registration still grants it"
    for one, _ in clusters[1:]:
        (binding,) = kube.bindings(f"bailiwick.dev/cluster={one}")
        assert binding["metadata"]["resourceVersion"] == before[path_of(binding)], "they fight"
    server.client().call("DELETE", f"/bailiwick/v1/grants/{grants[1]}", status=204)
    kube.until_refused(user, "get", "pods", namespace)
    assert kube.allowed(their_user, "get", "pods", namespace)
