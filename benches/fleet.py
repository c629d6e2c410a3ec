"""`make bench`, the part that needs real clusters: reconciling, memory, clusters that do not answer.

    python benches/fleet.py SERVER BENCHES [--bindings N] [PART…]

SERVER and BENCHES are the two release builds. Parts: reconcile, compare, memory, dead, check, probe; all of them unless
some are named. Everything runs against the API server of `e2e/harness`. Figures are printed with their peer's; nothing is judged.
"""

import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import apiserver  # noqa: E402
from harness.kube import RBAC  # noqa: E402
from harness.process import until  # noqa: E402
from harness.server import Server  # noqa: E402

PATH = "/api/v3/access-policies"
ROLES = ("CCEViewPolicy", "CCEEditPolicy", "CCEAdminPolicy", "CCEClusterAdminPolicy")
NAMESPACES = 500
ROUNDS = 5
CLUSTERS = 200
IDLE_SECONDS = 60
QUOTAS = "[quotas]\ngrants = 1000000\nclusters = 10000\nbindings_per_cluster = 1000000\n"


def show(title, figures, unit=""):
    middle, low, high = statistics.median(figures), min(figures), max(figures)
    print(f"{title}: median {middle:.3g} {unit} (min {low:.3g}, max {high:.3g})", flush=True)


def cpu_seconds(server):
    stat = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text(encoding="utf-8")
    fields = stat.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(**options):
    server = Server(config=QUOTAS, **options)
    try:
        yield server.start()
    finally:
        server.stop()


def policy(cluster, namespaces, user, role=ROLES[0]):
    return {
        "name": "bench",
        "clusters": [cluster],
        "accessScope": {"namespaces": namespaces},
        "policyType": role,
        "principal": {"type": "user", "ids": [user]},
    }


def make_namespaces(api_server, prefix, count):
    local = threading.local()

    def make(number):
        if not hasattr(local, "kube"):
            local.kube = api_server.client()
        return local.kube.create_namespace(f"{prefix}-{number}")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(make, range(count)))


def bare_folder(api_server):
    """The files that the bare client reads."""
    folder = pathlib.Path(api_server.folder) / "bare"
    folder.mkdir(exist_ok=True)
    certificate, key = api_server.admin
    for name, source in (("ca.crt", api_server.authority.certificate), ("client.crt", certificate), ("client.key", key)):
        (folder / name).write_bytes(pathlib.Path(source).read_bytes())
    return folder


def reconcile(api_server, benches):
    """One policy over many namespaces, beside a client that writes the same bindings."""
    kube, folder = api_server.client(), bare_folder(api_server)
    make_namespaces(api_server, "reconcile", NAMESPACES)
    namespaces = [f"reconcile-{number}" for number in range(NAMESPACES)]
    ours, theirs, ratios, cpu = [], [], [], []
    with running() as server:
        cluster, user, client = server.add_cluster(api_server), server.add_user(), server.client()
        for _ in range(ROUNDS):
            command = [benches, "apply", f"127.0.0.1:{api_server.port}", folder, "reconcile", str(NAMESPACES)]
            bare = float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            used, began = cpu_seconds(server), time.monotonic()
            made = client.call("POST", PATH, policy(cluster, namespaces, user), status=201)["policyId"]
            server.until_state(made, cluster, "applied", "effective", timeout=120)
            took = time.monotonic() - began
            cpu.append((cpu_seconds(server) - used) / NAMESPACES * 1e6)
            theirs.append(NAMESPACES / bare)
            ours.append(NAMESPACES / took)
            ratios.append(bare / took)
            written = kube.get(f"{RBAC}/rolebindings?labelSelector=bailiwick.dev/cluster={cluster}")["items"]
            assert len(written) == NAMESPACES, len(written)
            client.call("DELETE", f"{PATH}/{made}", status=204)
            server.until_state(made, cluster, "revoked", timeout=120)
            for namespace in namespaces:
                kube.delete(f"{RBAC}/namespaces/{namespace}/rolebindings/bare-client:viewer:0000000000000000")
    show(f"reconcile, bare client, {NAMESPACES} bindings, 8 at a time", theirs, "bindings/s")
    show("reconcile, one policy, from POST until the state says so", ours, "bindings/s")
    show("reconcile, ratio", ratios)
    show("reconcile, server CPU per binding", cpu, "µs")


def versions(kube):
    """A digest of the resource versions of all bindings, and how many there are. Lists as a worker does, page by page."""
    digest, count, token = hashlib.sha256(), 0, ""
    while True:
        answer = kube.get(f"{RBAC}/rolebindings?limit=500&continue={token}", raw=True)
        page = json.loads(answer)
        for item in page["items"]:
            digest.update(f"{item['metadata']['uid']} {item['metadata']['resourceVersion']}\n".encode())
        count += len(page["items"])
        token = page["metadata"].get("continue", "")
        if not token:
            return digest.hexdigest(), count


def list_seconds(kube):
    """How long the bare client needs for the same lists, reading nothing of them but where the next page begins."""
    began, token = time.monotonic(), ""
    while True:
        answer = kube.get(f"{RBAC}/rolebindings?limit=500&continue={token}", raw=True)
        found = re.search(rb'"continue":"([^"]*)"', answer[:2000])
        token = found[1].decode() if found else ""
        if not token:
            return time.monotonic() - began


def passes(server):
    """What the log says about passes since the start."""
    return re.findall(r".*fleet\.pass\.done.*", server.process.output())


def compare(api_server, bindings):
    """The full comparison that a start makes, when nothing changed meanwhile."""
    kube = api_server.client()
    kube.connection.timeout = 60
    count = max(1, bindings // len(ROLES))
    make_namespaces(api_server, "compare", count)
    names = [f"compare-{number}" for number in range(count)]
    with running(environment={"BAILIWICK_LOG": "info,fleet=debug"}) as server:
        cluster, user, client = server.add_cluster(api_server), server.add_user(), server.client()
        began, made = time.monotonic(), []
        for role in ROLES:
            for start in range(0, count, NAMESPACES):
                part = policy(cluster, names[start : start + NAMESPACES], user, role)
                made.append(client.call("POST", PATH, part, status=201)["policyId"])
        for one in made:
            server.until_state(one, cluster, "applied", "effective", timeout=600)
        took = time.monotonic() - began
        before, found = versions(kube)
        print(f"compare, {found} RoleBindings, written at {len(ROLES) * count / took:.0f} a second", flush=True)
        spent, lists, ratios, cpu = [], [], [], []
        for _ in range(ROUNDS):
            lists.append(list_seconds(kube))
            server.stop()
            began = time.monotonic()
            server.start()
            passed = until(lambda: passes(server), 120, "a pass is done")
            spent.append(time.monotonic() - began)
            cpu.append(cpu_seconds(server))
            ratios.append(lists[-1] / spent[-1])
            assert all("grown=0" in line and "shrunk=0" in line for line in passed), passed
        after, _ = versions(kube)
        print(f"compare, writes when nothing changed: {'0' if before == after else 'SOME'}", flush=True)
        show("compare, bare lists one after another", lists, "s")
        show("compare, from the start of the program until the pass is done", spent, "s")
        show("compare, ratio", ratios)
        show("compare, CPU of the program by then", cpu, "s")
        print(f"compare, resident memory: {server.resident_bytes() / 2**20:.0f} MiB", flush=True)


def add(server, kubeconfigs, wanted):
    """Registers clusters and waits until `wanted` says that they have settled."""
    local = threading.local()

    def one(numbered):
        number, kubeconfig = numbered
        if not hasattr(local, "client"):
            local.client = server.client()
        body = {"name": f"many-{number}", "kubeconfig": kubeconfig}
        return local.client.call("POST", "/bailiwick/v1/clusters", body, status=201)["id"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(one, enumerate(kubeconfigs)))
    states = {}

    def settled():
        for cluster in made:
            if not states.get(cluster) == wanted:
                states[cluster] = server.cluster(cluster)["state"]
        return all(state == wanted for state in states.values())

    until(settled, 180, f"{len(made)} clusters are {wanted}")
    return made


def idle_share(server):
    """CPU time in percent of one core while nothing is asked for."""
    used = cpu_seconds(server)
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds(server) - used) / IDLE_SECONDS * 100


def memory(api_server):
    """What a connected cluster costs while nothing happens."""
    with running() as server:
        server.add_cluster(api_server)
        time.sleep(5)
        before = server.resident_bytes()
        add(server, [api_server.kubeconfig] * CLUSTERS, "connected")
        time.sleep(20)
        after = server.resident_bytes()
        print(f"memory, {CLUSTERS} clusters: {(after - before) / CLUSTERS / 2**20:.2f} MiB each", flush=True)
        print(f"memory, CPU while they are idle: {idle_share(server):.2f} % of one core", flush=True)


@contextlib.contextmanager
def dead_addresses():
    """Ports of loopback: one that refuses, one that accepts and says nothing, one that does not even accept."""
    with contextlib.ExitStack() as stack:

        def listening(backlog):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(backlog)
            return listener

        refusing = socket.socket()
        refusing.bind(("127.0.0.1", 0))
        stack.enter_context(refusing)
        silent, full = listening(4096), listening(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield [port.getsockname()[1] for port in (refusing, silent, full)]


def felt(server, kube, cluster, place, count=20):
    """From a grant's POST to the cluster's yes."""
    client, seconds = server.client(), []
    for _ in range(count):
        user = server.add_user()
        began = time.monotonic()
        client.call("POST", PATH, policy(cluster, [place], user), status=201)
        kube.until_allowed(user, "get", "pods", place, timeout=30)
        seconds.append((time.monotonic() - began) * 1e3)
    return seconds


def dead(api_server):
    """What clusters that do not answer cost, and whom they slow."""
    kube = api_server.client()
    place = kube.create_namespace("dead")
    with running() as server, dead_addresses() as ports:
        cluster = server.add_cluster(api_server)
        show("dead, POST to first yes without them", felt(server, kube, cluster, place), "ms")
        alone = idle_share(server)
        kubeconfig = api_server.kubeconfig
        configs = [kubeconfig.replace(f":{api_server.port}", f":{ports[n % 3]}") for n in range(CLUSTERS)]
        add(server, configs, "unreachable")
        time.sleep(90)
        beside = idle_share(server)
        show(f"dead, POST to first yes beside {CLUSTERS} dead ones", felt(server, kube, cluster, place), "ms")
        print(f"dead, CPU while idle: {alone:.2f} % of one core alone, {beside:.2f} % beside them", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server")
    parser.add_argument("benches")
    parser.add_argument("--bindings", type=int, default=20_000)
    parser.add_argument("parts", nargs="*", default=[])
    chosen = parser.parse_args()
    os.environ["BAILIWICK_BIN"] = chosen.server
    # It takes its tools from here.
    import check

    parts = {
        "reconcile": lambda cluster: reconcile(cluster, chosen.benches),
        "compare": lambda cluster: compare(cluster, chosen.bindings),
        "memory": memory,
        "dead": dead,
        "check": lambda cluster: check.check(cluster, chosen.benches),
        "probe": check.probe,
    }
    for name in chosen.parts or parts:
        cluster = apiserver.ApiServer(apiserver.programs())
        try:
            parts[name](cluster)
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
