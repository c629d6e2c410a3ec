"""`bailiwick pod-identity install` and `uninstall`, by kubectl, in a real API server without nodes."""

import base64
import os
import shutil
import subprocess
import threading
import time

import pytest
import yaml

from harness import apiserver
from harness.kube import RBAC
from harness.process import clean_environment, until
from harness.webhook import CONFIGURATIONS, NAME, SYSTEM, Webhook, call

IMAGE = "registry.example/bailiwick-agent:test"
PODS = ("--image", IMAGE, "--pod-range", "10.244.0.0/16")
CONNECTOR = "bailiwick-connector"


@pytest.fixture(scope="module")
def kube(own_api_server):
    return own_api_server.client()


@pytest.fixture(scope="module")
def cluster(bailiwick, own_api_server):
    return bailiwick.add_cluster(own_api_server)


@pytest.fixture
def operator(bailiwick, own_api_server, tmp_path):
    """Runs the command as an operator does, and writes down what kubectl is told: (run, file of the arguments)."""
    config = tmp_path / "kubeconfig"
    config.write_text(own_api_server.kubeconfig, encoding="utf-8")
    written = tmp_path / "arguments"
    script = tmp_path / "kubectl"
    script.write_text(f'#!/bin/sh\necho "$@" >> {written}\nexec {shutil.which("kubectl")} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(verb, cluster, *arguments):
        line = ("pod-identity", verb, "--cluster", cluster, "--context", "e2e", "--kubeconfig", config, *arguments)
        return bailiwick.run(*line, env=env)

    return run, written


def rights(kube, own_api_server):
    """What the connector may do: all that names it, and what the API server says it may."""
    token = kube.get(f"/api/v1/namespaces/bailiwick-system/secrets/{CONNECTOR}")["data"]["token"]
    own = own_api_server.client_with_token(base64.b64decode(token).decode())
    review = {"spec": {"namespace": SYSTEM}}
    status = own.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)["status"]
    bindings = [binding["metadata"]["name"] for binding in kube.bindings_naming(CONNECTOR)]
    return sorted(map(str, status["resourceRules"])), sorted(bindings)


def is_gone(kube, path):
    return kube.request("GET", path)[0] == 404


def everything(kube):
    """Whatever of it is in the cluster."""
    paths = (
        f"/api/v1/namespaces/{SYSTEM}",
        f"{CONFIGURATIONS}/{NAME}",
        f"{RBAC}/clusterroles/bailiwick:pod-identity-webhook",
        f"{RBAC}/clusterrolebindings/bailiwick:pod-identity-webhook",
    )
    return [path for path in paths if not is_gone(kube, path)]


def test_install_goes_on_where_it_stopped_and_uninstall_leaves_nothing(
    operator, kube, bailiwick, own_api_server, cluster
):
    run, written = operator
    before = rights(kube, own_api_server)
    running = Webhook(bailiwick, own_api_server, cluster)
    answers = []
    again = threading.Thread(target=lambda: answers.append(run("install", cluster, *PODS, "--timeout", "60")))
    agent_key = f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-agent-key"
    keeper_key = f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-keeper-key"
    try:
        # There is no kubelet: nothing runs, and that is said.
        done = run("install", cluster, *PODS, "--timeout", "1")
        assert done.returncode == 1 and "is not ready after 1 seconds" in done.stderr, done.stderr
        assert "what pods are told is as before" in done.stderr
        assert f"{CONFIGURATIONS}/{NAME}" not in everything(kube) and len(everything(kube)) == 3
        first = kube.get(keeper_key)["data"]
        again.start()
        # The kubelet's part, by hand: what `install` applied is what the program gets.
        until(lambda: kube.get(keeper_key)["data"] != first, 30, "repeating it makes other keys")
        secret = kube.get(keeper_key)["data"]
        key = {name: base64.b64decode(value).decode() for name, value in secret.items()}
        nodes = {name: base64.b64decode(value).decode() for name, value in kube.get(agent_key)["data"].items()}
        assert nodes["accessKeyId"] != key["accessKeyId"]
        running.run_with(key)
        path = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/bailiwick-webhook"
        for ready in (1, 2):
            assert is_gone(kube, f"{CONFIGURATIONS}/{NAME}"), "nothing is asked before all replicas answer"
            status = {"observedGeneration": 9, "replicas": 2, "updatedReplicas": 2, "readyReplicas": ready}
            kube.merge(f"{path}/status", {"status": status})
            time.sleep(1)
        again.join(60)
        assert answers and answers[0].returncode == 0, answers
        assert rights(kube, own_api_server) == before
        arguments = written.read_text(encoding="utf-8")
        assert "apply --server-side" in arguments
        for text in (key["secretAccessKey"], secret["secretAccessKey"], nodes["secretAccessKey"]):
            assert text not in arguments and text not in answers[0].stdout + answers[0].stderr
        for thing in kube.get(f"/apis/apps/v1/namespaces/{SYSTEM}/daemonsets")["items"]:
            pod = thing["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] and pod["containers"][0]["image"] == IMAGE
            (container,) = pod["containers"]
            assert "--listen=169.254.170.25:8471" in container["args"]
            assert "--allow-from=10.244.0.0/16" in container["args"]
            # A hostPort that is declared is nobody else's.
            assert 8471 in [port["hostPort"] for port in container["ports"]]
            (address,) = pod["initContainers"]
            assert address["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    finally:
        running.stop()
        if again.ident:
            again.join(70)
        gone = run("uninstall", cluster)
    assert gone.returncode == 0, gone.stderr
    assert "pods that run keep their environment" in gone.stderr
    assert everything(kube) == []
    assert rights(kube, own_api_server) == before
    refused = bailiwick.client((key["accessKeyId"], key["secretAccessKey"]))
    refused.call("GET", f"/bailiwick/v1/clusters/{cluster}/pod-identity/feed?after=0&wait=0", status=401)
    once_more = run("uninstall", cluster)
    assert once_more.returncode == 0, once_more.stderr


def test_what_is_printed_can_be_applied_and_holds_the_key_only_if_asked(
    operator, kube, bailiwick, own_api_server, cluster, tmp_path
):
    run, _ = operator
    without = run("install", cluster, *PODS, "--print")
    assert without.returncode == 0 and everything(kube) == []
    assert not [one for one in yaml.safe_load_all(without.stdout) if one["metadata"]["name"].endswith("-key")]
    call(bailiwick, "DELETE", f"/clusters/{cluster}/pod-identity/agent", status=404)
    printed = run("install", cluster, *PODS, "--print", "--with-key")
    for name in ("bailiwick-agent-key", "bailiwick-keeper-key"):
        secret = next(one for one in yaml.safe_load_all(printed.stdout) if one["metadata"]["name"] == name)
        assert base64.b64decode(secret["data"]["secretAccessKey"])
    assert "{" not in "".join(line for line in printed.stdout.splitlines() if "image:" in line)

    def apply(text):
        done = subprocess.run(
            ["kubectl", "--kubeconfig", tmp_path / "kubeconfig", "apply", "-f", "-"],
            input=text.replace("apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n"),
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(HOME=str(tmp_path)),
            check=False,
        )
        assert done.returncode == 0, done.stderr

    try:
        apply(printed.stdout)
        assert len(everything(kube)) == 4
        keys = kube.get(f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-keeper-key")["data"]
        apply(without.stdout)
        assert kube.get(f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-keeper-key")["data"] == keys
    finally:
        gone = run("uninstall", cluster)
    assert gone.returncode == 0 and everything(kube) == [], gone.stderr


def test_what_cannot_be_meant_is_refused_before_anything_is_done(operator, kube, cluster):
    run, _ = operator
    for arguments, what in (
        ((*PODS, "--namespace", "kube-system"), "a namespace of its own"),
        ((*PODS, "--server-url", "https://bailiwick.example"), "--server-ca"),
        ((), "--image"),
        (("--image", IMAGE), "--pod-range"),
    ):
        done = run("install", cluster, *arguments)
        assert done.returncode == 2 and what in done.stderr, done.stderr
    assert everything(kube) == []


def test_a_context_of_another_cluster_is_refused(operator, kube, bailiwick, cluster):
    run, _ = operator
    elsewhere = bailiwick.client().call("GET", f"/bailiwick/v1/clusters/{cluster}")
    uid = kube.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    assert elsewhere["identity"] == {"uid": uid}
    another = apiserver.ApiServer(apiserver.programs())
    try:
        other = bailiwick.add_cluster(another)
        for verb, arguments in (("install", PODS), ("uninstall", ())):
            done = run(verb, other, *arguments)
            assert done.returncode == 1 and "does not lead to the cluster" in done.stderr, done.stderr
    finally:
        another.stop()
    assert everything(kube) == []


def test_what_is_not_ours_is_neither_changed_nor_deleted(operator, kube, bailiwick, cluster):
    run, _ = operator
    name = "somebodys"
    kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    for verb, arguments in (("install", PODS), ("uninstall", ())):
        done = run(verb, cluster, *arguments, "--namespace", name)
        assert done.returncode == 1 and "was not made by this command" in done.stderr, done.stderr
    kube.merge(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"bailiwick.dev/cluster": "another"}}})
    done = run("uninstall", cluster, "--namespace", name)
    assert done.returncode == 1 and "is there for cluster another" in done.stderr, done.stderr
    found = kube.get(f"/api/v1/namespaces/{name}")
    assert found["status"]["phase"] == "Active" and everything(kube) == []
    call(bailiwick, "DELETE", f"/clusters/{cluster}/pod-identity/agent", status=404)


def test_nodes_say_where_pods_are(operator, kube, cluster):
    run, _ = operator
    for number in (1, 2):
        node = {"metadata": {"name": f"node-{number}"}, "spec": {"podCIDRs": [f"10.99.{number}.0/24"]}}
        kube.create("/api/v1/nodes", {**node, "spec": {**node["spec"], "podCIDR": node["spec"]["podCIDRs"][0]}})
    try:
        printed = run("install", cluster, "--image", IMAGE, "--print")
        assert printed.returncode == 0, printed.stderr
        assert "--allow-from=10.99.0.0/16" in printed.stdout and "10.99.0.0/16" in printed.stderr
    finally:
        for number in (1, 2):
            kube.delete(f"/api/v1/nodes/node-{number}")
