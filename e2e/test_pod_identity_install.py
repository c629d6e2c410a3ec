"""`bailiwick pod-identity install` and `uninstall`, by kubectl, in a real API server without nodes."""

import base64
import os
import shutil
import subprocess
import threading

import pytest
import yaml

from harness import apiserver
from harness.kube import RBAC
from harness.process import clean_environment, until
from harness.webhook import CONFIGURATIONS, NAME, SYSTEM, Webhook, call

IMAGE = "registry.example/bailiwick-agent:test"
CONNECTOR = "bailiwick-connector"


@pytest.fixture(scope="module")
def own_api_server():
    """An API server of this file alone: what is left of a webhook that refuses would be in everybody's way."""
    running = apiserver.ApiServer(apiserver.programs())
    yield running
    running.stop()


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
    again = threading.Thread(
        target=lambda: answers.append(run("install", cluster, "--image", IMAGE, "--timeout", "60"))
    )
    try:
        # There is no kubelet: nothing runs, and that is said.
        done = run("install", cluster, "--image", IMAGE, "--timeout", "1")
        assert done.returncode == 1 and "does not answer after 1 seconds" in done.stderr, done.stderr
        assert "everything is applied" in done.stderr
        assert len(everything(kube)) == 4
        first = kube.get(f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-agent-key")["data"]
        again.start()
        # The kubelet's part, by hand: what `install` applied is what the program gets.
        other = lambda: kube.get(f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-agent-key")["data"] != first  # noqa: E731
        until(other, 30, "repeating it makes another key")
        secret = kube.get(f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-agent-key")["data"]
        key = {name: base64.b64decode(value).decode() for name, value in secret.items()}
        running.run_with(key)
        status = {"status": {"replicas": 2, "readyReplicas": 1}}
        path = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/bailiwick-webhook"
        kube.merge(f"{path}/status", status)
        again.join(60)
        assert answers and answers[0].returncode == 0, answers
        assert rights(kube, own_api_server) == before
        arguments = written.read_text(encoding="utf-8")
        assert "apply --server-side" in arguments
        for text in (key["secretAccessKey"], secret["secretAccessKey"]):
            assert text not in arguments and text not in answers[0].stdout + answers[0].stderr
        for thing in kube.get(f"/apis/apps/v1/namespaces/{SYSTEM}/daemonsets")["items"]:
            pod = thing["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] and pod["containers"][0]["image"] == IMAGE
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
    printed = run("install", cluster, "--image", IMAGE, "--print")
    assert printed.returncode == 0 and everything(kube) == []
    secret = next(one for one in yaml.safe_load_all(printed.stdout) if one["metadata"]["name"] == "bailiwick-agent-key")
    assert secret["stringData"] == {"accessKeyId": "", "secretAccessKey": ""} and "data" not in secret
    call(bailiwick, "DELETE", f"/clusters/{cluster}/pod-identity/agent", status=404)
    printed = run("install", cluster, "--image", IMAGE, "--print", "--with-key")
    secret = next(one for one in yaml.safe_load_all(printed.stdout) if one["metadata"]["name"] == "bailiwick-agent-key")
    assert base64.b64decode(secret["data"]["secretAccessKey"])
    assert "{" not in "".join(line for line in printed.stdout.splitlines() if "image:" in line)
    manifest = printed.stdout.replace("apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n")
    try:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", tmp_path / "kubeconfig", "apply", "-f", "-"],
            input=manifest,
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(HOME=str(tmp_path)),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(everything(kube)) == 4
    finally:
        gone = run("uninstall", cluster)
    assert gone.returncode == 0 and everything(kube) == [], gone.stderr


def test_what_cannot_be_meant_is_refused_before_anything_is_done(operator, kube, cluster):
    run, _ = operator
    for arguments, what in (
        (("--image", IMAGE, "--namespace", "kube-system"), "a namespace of its own"),
        (("--image", IMAGE, "--server-url", "https://bailiwick.example"), "--server-ca"),
        ((), "--image"),
    ):
        done = run("install", cluster, *arguments)
        assert done.returncode == 2 and what in done.stderr, done.stderr
    assert everything(kube) == []
