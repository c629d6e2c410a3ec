"""`make bench`, the part about pods: how fast credentials are vended, beside moto's AssumeRole in the same run.

    python benches/vending.py SERVER BENCHES [--pods N] [PART…]

SERVER and BENCHES are the two release builds; the agent's lies beside them. Parts: burst (pods that start one after the
other), moto (beside its AssumeRole), agents (all pods at once, through the agents of their nodes), killed (the same, and the
server dies amid it); all of them unless some are named. Pods and their tokens are real ones of the API server of `e2e/harness`; what is vended to the first of them is used before anything is timed. Figures are printed with their peer's; nothing is
judged.
"""

import argparse
import asyncio
import concurrent.futures
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from harness import apiserver, signer  # noqa: E402
from harness.pods import NodeAgent  # noqa: E402
from harness.process import free_port, until  # noqa: E402
from harness.server import Server  # noqa: E402

# Every agent has an address of its own elsewhere than on one machine.
CONFIG = "[limits]\nconnections_per_source = 4096\nrequests_per_source = { per_second = 0 }\nrequests_per_principal = { per_second = 0 }\n"
SECONDS = 40
ROUNDS = 5
PLACE = "vending"
PARTS = ("burst", "moto", "agents", "killed")
# No node has five thousand pods.
AGENTS = 10
IN_FLIGHT = 64
# An agent in a crowd asks for 64 pods at a time, with four requests.
TOGETHER = 16


def show(title, figures, unit=""):
    middle, low, high = statistics.median(figures), min(figures), max(figures)
    print(f"{title}: median {middle:.3g} {unit} (min {low:.3g}, max {high:.3g})", flush=True)


def cpu_seconds(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    fields = stat.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bound_tokens(api_server, audience, pods):
    """Makes so many pods of one service account, and a token for each."""
    kube = api_server.client()
    kube.create_namespace(PLACE)
    accounts = f"/api/v1/namespaces/{PLACE}/serviceaccounts"
    kube.create(accounts, {"metadata": {"name": "app"}, "automountServiceAccountToken": False})
    local = threading.local()

    def make(number):
        if not hasattr(local, "kube"):
            local.kube = api_server.client()
        name = f"pod-{number}"
        pod = {
            "metadata": {"name": name},
            "spec": {
                "serviceAccountName": "app",
                "automountServiceAccountToken": False,
                "nodeName": "node-1",
                "containers": [{"name": "main", "image": "example"}],
            },
        }
        made = local.kube.create(f"/api/v1/namespaces/{PLACE}/pods", pod)
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": made["metadata"]["uid"]}
        asked = {"spec": {"audiences": [audience], "expirationSeconds": 7200, "boundObjectRef": bound}}
        return local.kube.create(f"{accounts}/app/token", asked)["status"]["token"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(make, range(pods)))


def agent_key(server, cluster):
    return server.client().call("POST", f"/bailiwick/v1/clusters/{cluster}/pod-identity/agent", {}, status=201)


def http(method, target, headers, body):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{method} {target} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}"


def vend_requests(server, cluster, key, tokens, offset=0, together=1):
    """What an agent of the cluster sends, with so many tokens in each request."""
    host = urllib.parse.urlsplit(server.base).netloc
    target = f"/bailiwick/v1/clusters/{cluster}/pod-identity/credentials"
    date = signer.now(offset)
    made = []
    for first in range(0, len(tokens), together):
        body = json.dumps({"tokens": tokens[first : first + together]})
        headers = [("Host", host), ("Content-Type", "application/json"), ("X-Sdk-Date", date)]
        signature = signer.authorization(key["accessKeyId"], key["secretAccessKey"], "POST", target, headers, body.encode())
        made.append(http("POST", target, [*headers, ("Authorization", signature)], body))
    return made


def assume_requests(address, count):
    """What a vendor's SDK would send to moto, which does not look at the signature."""
    form = urllib.parse.urlencode({
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::123456789012:role/app",
        "RoleSessionName": "app",
    })
    headers = [
        ("Host", address),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0"),
    ]
    return [http("POST", "/", headers, form)] * count


def paced(benches, address, requests, per_second, connections):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(requests, file)
        file.flush()
        ran = subprocess.run(
            [benches, "paced", address, file.name, str(per_second), str(connections)],
            check=True,
            capture_output=True,
            text=True,
        )
    return json.loads(ran.stdout)


@contextlib.contextmanager
def moto():
    process = subprocess.Popen([sys.executable, HERE / "moto.py"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = process.stdout.readline().strip().removeprefix("listening on http://")
        host, port = address.split(":")
        until(lambda: port_answers(host, int(port)), 120, "moto answers")
        yield process.pid, address
    finally:
        process.kill()


def port_answers(host, port):
    import socket

    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("benches")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART")
    parser.add_argument("--pods", type=int, default=5000)
    arguments = parser.parse_args()
    os.environ["BAILIWICK_BIN"] = arguments.server
    api_server = apiserver.ApiServer(apiserver.programs())
    # It comes back at the address where it was.
    server = Server(config=CONFIG, arguments=("--listen", f"127.0.0.1:{free_port()}"))
    try:
        server.start()
        measure(arguments, api_server, server)
    finally:
        server.remove()
        api_server.stop()


def measure(arguments, api_server, server):
    cluster = server.add_cluster_as_root(api_server)
    agency = server.add_agency("app")
    server.do(
        "pod-identity", "create", "--cluster", cluster, "-n", PLACE, "--service-account", "app", "--agency", agency
    )
    tokens = bound_tokens(api_server, "service.cce.pods", arguments.pods)
    print(f"{len(tokens)} pods of one service account, load {os.getloadavg()[0]:.1f}", flush=True)
    address = urllib.parse.urlsplit(server.base).netloc
    key = agent_key(server, cluster)
    checked(server, cluster, key, tokens[:TOGETHER])
    parts = arguments.parts or PARTS
    with lively(api_server):
        measure_parts(arguments, server, cluster, key, tokens, address, parts)


@contextlib.contextmanager
def lively(api_server):
    """Where there are kubelets, something always happens to some pod; here one is labelled anew now and then."""
    ended = threading.Event()

    def run():
        kube = api_server.client()
        number = 0
        while not ended.wait(5):
            number += 1
            kube.merge(f"/api/v1/namespaces/{PLACE}/pods/pod-0", {"metadata": {"labels": {"at": str(number)}}})

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def measure_parts(arguments, server, cluster, key, tokens, address, parts):
    if "burst" in parts:
        burst(arguments, server, cluster, key, tokens, address)
    if "moto" in parts:
        compare(arguments, server, cluster, key, tokens, address)
    if "agents" in parts:
        through_agents(server, cluster, tokens)
    if "killed" in parts:
        killed(server, cluster, tokens)


def burst(arguments, server, cluster, key, tokens, address):
    done = paced(arguments.benches, address, vend_requests(server, cluster, key, tokens), len(tokens) / SECONDS, 32)
    assert done["credentials"] == len(tokens), done
    print(
        f"vending to {done['count']} pods in {done['seconds']:.1f} s: p50 {done['p50']:.2f} ms,"
        f" p99 {done['p99']:.2f} ms, longest {done['max']:.1f} ms (aim: p99 at most 20)",
        flush=True,
    )


def checked(server, cluster, key, tokens):
    """One answer is looked at, so that what is timed is what it says."""
    (request,) = vend_requests(server, cluster, key, tokens, offset=-600, together=len(tokens))
    import http.client

    host = urllib.parse.urlsplit(server.base).netloc
    head, _, body = request.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    connection = http.client.HTTPConnection(host)
    connection.request("POST", first.split()[1], body, dict(line.split(": ", 1) for line in lines))
    answer = connection.getresponse()
    told = json.loads(answer.read())
    assert answer.status == 200 and [one["status"] for one in told["answers"]] == [200] * len(tokens), told
    for one in told["answers"]:
        vended = one["body"]
        assert vended["subject"] == {"namespace": PLACE, "serviceAccount": "app"}, vended
        assert vended["credentials"]["securityToken"] and vended["credentials"]["secretAccessKey"]


def compare(arguments, server, cluster, key, tokens, address):
    """Each with as many connections as serve it best; a round has as many of ours as take as long as some of theirs."""
    with moto() as (pid, moto_address):
        ways = {
            "moto 5.2 AssumeRole": (pid, moto_address, lambda _: assume_requests(moto_address, 1000), 1, 8),
            "bailiwick, a pod a request": ours(server, cluster, key, tokens, address, 1, 256),
            f"bailiwick, {TOGETHER} pods a request": ours(server, cluster, key, tokens, address, TOGETHER, 32),
        }
        cpu, rate = {name: [] for name in ways}, {name: [] for name in ways}
        for number in range(ROUNDS):
            for name, (process, where, requests, together, connections) in ways.items():
                # Signed at another second each time, or they would be refused as repeated.
                sent = requests(-60 * (2 * number + 1) - together)
                before = cpu_seconds(process)
                done = paced(arguments.benches, where, sent, 0, connections)
                vended = done["count"] * together
                assert name.startswith("moto") or done["credentials"] == vended, done
                cpu[name].append((cpu_seconds(process) - before) / vended * 1e6)
                rate[name].append(vended / done["seconds"])
    moto_name, *our_names = ways
    show(f"{moto_name}: server CPU", cpu[moto_name], "us")
    show(f"{moto_name}: a second", rate[moto_name])
    for name in our_names:
        show(f"{name}: server CPU each", cpu[name], "us")
        show(f"{name}: a second", rate[name])
        show("  beside moto, by CPU (aim: at least 50)", [t / o for o, t in zip(cpu[name], cpu[moto_name])])
        show("  beside moto, by rate (aim: at least 50)", [o / t for o, t in zip(rate[name], rate[moto_name])])


def ours(server, cluster, key, tokens, address, together, connections):
    whole = tokens[: len(tokens) // together * together]
    return (
        server.process.pid,
        address,
        lambda offset: vend_requests(server, cluster, key, whole, offset, together),
        together,
        connections,
    )


def through_agents(server, cluster, tokens):
    """What first fetches of all pods cost the server, however many of them the agents put into one request."""
    with node_agents(server, cluster) as agents:
        before = cpu_seconds(server.process.pid)
        fetched, _ = asyncio.run(storm(server, agents, tokens, kill_after=None))
        cpu = (cpu_seconds(server.process.pid) - before) / fetched * 1e6
        requests = total(agents, "bailiwick_agent_upstream_requests_total")
    print(
        f"{fetched} first fetches at once by {AGENTS} agents: {cpu:.0f} us of the server's CPU each,"
        f" {fetched / requests:.1f} pods a request",
        flush=True,
    )


def killed(server, cluster, tokens):
    """All pods ask at once, through the agents of their nodes, and the server is killed when a tenth has credentials."""
    with node_agents(server, cluster) as agents:
        fetched, questions = asyncio.run(storm(server, agents, tokens, kill_after=len(tokens) // 10))
    bound = len(tokens) * 1.05 + 2 * IN_FLIGHT * AGENTS
    print(
        f"server killed amid {len(tokens)} first fetches by {AGENTS} agents: {fetched} pods have credentials,"
        f" {questions:.0f} questions to the server (aim: all pods, at most {bound:.0f})",
        flush=True,
    )


@contextlib.contextmanager
def node_agents(server, cluster):
    key = agent_key(server, cluster)
    agents = [NodeAgent(server.base, cluster, key) for _ in range(AGENTS)]
    try:
        for agent in agents:
            agent.start()
        yield agents
    finally:
        for agent in agents:
            agent.stop()


async def storm(server, agents, tokens, kill_after):
    before, keys = asked(agents), set()

    async def pod(number, token):
        address = agents[number % len(agents)].address
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError, IndexError):
                status, body = await post(address, token)
                if status == 200:
                    keys.add(json.loads(body)["credentials"]["accessKeyId"])
                    return
            await asyncio.sleep(1)

    async def kill():
        while len(keys) < kill_after:
            await asyncio.sleep(0.01)
        server.process.popen.kill()
        server.process.popen.wait()
        await asyncio.to_thread(server.start)

    pods = [pod(number, token) for number, token in enumerate(tokens)]
    await asyncio.wait_for(asyncio.gather(*([] if kill_after is None else [kill()]), *pods), 600)
    return len(keys), asked(agents) - before


async def post(address, token):
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(
            f"POST /v1/credentials HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}".encode()
        )
        answer = await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def asked(agents):
    return total(agents, "bailiwick_agent_upstream_total")


def total(agents, name):
    lines = [line for agent in agents for line in agent.get("/metrics")[1].splitlines()]
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
