"""Two parts of `fleet.py`: asking a cluster what a credential may do there, and learning how many clusters stand."""

import json
import os
import pathlib
import subprocess
import time

from fleet import CLUSTERS, add, bare_folder, dead_addresses, running, show

from harness import hostile
from harness.kube import RBAC
from harness.process import until
from harness.server import REPOSITORY

ROUNDS = 21
COLD = 7
PATH = "/bailiwick/v1/clusters"
ROWS = json.loads((REPOSITORY / "crates/api/src/dialects/huawei/hss/rows.json").read_text(encoding="utf-8"))["rows"]
NEEDED = {
    (group, resource, name, verb)
    for row in ROWS
    for group in row["api_groups"]
    for resource in row["resources"]
    for name in row.get("resource_names", [""])
    for verb in row["verbs"]
}
"""What the rows need: (group, resource, name, verb)."""


def load():
    """What else the machine does."""
    print(f"load average: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)


def questions(api_server, server):
    """The reviews that a check asks for, as they are sent: written down by an API server that says yes to all of them."""
    seen = {}

    def answer(handler):
        if handler.path.endswith("/selfsubjectaccessreviews"):
            seen[handler.body.decode()] = None
        said = {"kind": "SelfSubjectAccessReview", "status": {"allowed": True}}
        hostile.says(201, json.dumps(said).encode(), [("Connection", "keep-alive")])(handler)

    listening = hostile.HostileServer(api_server.authority.server("listening"), answer)
    try:
        cluster = server.add_cluster(kubeconfig=api_server.kubeconfig.replace(api_server.url, listening.url))
        assert server.client().call("POST", f"{PATH}/{cluster}/check", {})["authorized"]
        server.do("cluster", "remove", cluster, "--abandon")
    finally:
        listening.stop()
    return list(seen)


class Bare:
    """The peer: the same reviews over as many connections, and nothing else."""

    def __init__(self, benches, api_server, folder, reviews):
        file = folder / "reviews"
        file.write_text("\n".join(reviews), encoding="utf-8")
        command = [benches, "ask", f"127.0.0.1:{api_server.port}", folder, file]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self):
        """(seconds, a 1 or 0 for each review)."""
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        seconds, answers = self.popen.stdout.readline().split()
        return float(seconds), answers

    def end(self):
        self.popen.stdin.close()
        assert self.popen.wait(10) == 0


def somebody(api_server, kube, name):
    """Somebody who may read, in the cluster, most of what is not RBAC: their certificate."""
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    binding = {"kind": "ClusterRoleBinding", "metadata": {"name": name}, "roleRef": role, "subjects": [user]}
    kube.create(f"{RBAC}/clusterrolebindings", binding)
    return api_server.authority.client(name)


def identity_folder(api_server, identity):
    """The files that the bare client reads, for this identity."""
    folder = bare_folder(api_server) / pathlib.Path(identity[0]).stem
    folder.mkdir()
    for name, source in (("ca.crt", api_server.authority.certificate), ("client.crt", identity[0]), ("client.key", identity[1])):
        (folder / name).write_bytes(pathlib.Path(source).read_bytes())
    return folder


def compared(found, reviews, answers):
    """That both were told the same: what the check lacks is what the bare client was refused."""
    refused = set()
    for review, answer in zip(reviews, answers, strict=True):
        asked = json.loads(review)["spec"]["resourceAttributes"]
        if answer == "0" and not asked["namespace"]:
            resource = "/".join(filter(None, (asked["resource"], asked["subresource"])))
            refused.add((asked["group"], resource, asked["name"], asked["verb"]))
    lacking = {(m["group"], m["resource"], m.get("name", ""), m["verb"]) for row in found["rows"] for m in row["missing"]}
    assert "1" in answers and lacking and lacking == refused & NEEDED, "they were told different things"


def check(api_server, benches):
    """A check of the whole table, beside the same reviews by a bare client."""
    kube = api_server.client()
    with running(environment={"BAILIWICK_LOG": "warn"}) as server:
        client, reviews = server.client(), questions(api_server, server)
        print(f"check: {len(reviews)} reviews", flush=True)

        def ours(cluster):
            began = time.monotonic()
            found = client.call("POST", f"{PATH}/{cluster}/check", {})
            return time.monotonic() - began, found

        def figures(kind, pairs):
            load()
            show(f"check, bare client, {kind}", [bare * 1e3 for bare, _ in pairs], "ms")
            show(f"check, POST …/check, {kind}", [mine * 1e3 for _, mine in pairs], "ms")
            show(f"check, ratio, {kind}", [mine / bare for bare, mine in pairs])

        cold = []
        for number in range(COLD):
            identity = somebody(api_server, kube, f"bench-{number}")
            until(lambda n=number: kube.allowed(f"bench-{n}", "get", "pods", "default"), 10, "it is known")
            cluster = server.add_cluster(kubeconfig=api_server.kubeconfig_for(f"bench-{number}", identity))
            bare = Bare(benches, api_server, identity_folder(api_server, identity), reviews)
            theirs, answers = bare.ask()
            mine, found = ours(cluster)
            compared(found, reviews, answers)
            cold.append((theirs, mine))
            if number < COLD - 1:
                bare.end()
        figures("the first of a cluster", cold)
        warm = []
        for _ in range(ROUNDS):
            theirs, answers = bare.ask()
            mine, found = ours(cluster)
            compared(found, reviews, answers)
            warm.append((theirs, mine))
        bare.end()
        figures("again", warm)


def look(server, clusters):
    """Has them all looked at in one call: (seconds, how they stand)."""
    path = f"/v5/{server.project}/container/kubernetes/multi-cloud/clusters"
    body = {"data_list": [{"cluster_id": one} for one in clusters]}
    began = time.monotonic()
    server.client().call("POST", f"{path}/status-synchronize", body)
    took = time.monotonic() - began
    found = server.client().call("GET", f"{path}?limit=200")["data_list"]
    assert {one["cluster_id"] for one in found} == set(clusters)
    return took, {one["status"] for one in found}


def probe(api_server):
    """How long it takes to learn how 200 clusters stand. They are 200 registrations of one API server."""
    with running(environment={"BAILIWICK_LOG": "warn"}) as server:
        began = time.monotonic()
        alive = add(server, [api_server.kubeconfig] * CLUSTERS, "connected")
        print(f"probe, {CLUSTERS} clusters added, one by one, until all are connected: {time.monotonic() - began:.1f} s", flush=True)
        spent = []
        for _ in range(5):
            took, standing = look(server, alive)
            assert standing == {"connect_success"}, standing
            spent.append(took)
        load()
        show(f"probe, {CLUSTERS} clusters that answer, in one call", spent, "s")
    with running(environment={"BAILIWICK_LOG": "warn"}) as server, dead_addresses() as ports:
        configs = [api_server.kubeconfig.replace(f":{api_server.port}", f":{ports[1]}")] * CLUSTERS
        silent = add(server, configs, "unreachable")
        took, standing = look(server, silent)
        assert standing == {"connect_fail"}, standing
        load()
        print(f"probe, {CLUSTERS} clusters that accept and say nothing, in one call: {took:.1f} s", flush=True)
