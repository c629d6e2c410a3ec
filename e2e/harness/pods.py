"""Service accounts and pods of a real API server, their tokens, and the agent of the node where they would run."""

import http.client
import json
import os
import pathlib
import re
import secrets
import subprocess
import tempfile

from harness.process import Process, clean_environment
from harness.server import REPOSITORY, program

AUDIENCE = "service.cce.pods"
MANIFEST = REPOSITORY / "deploy/connector/pod-identity.yaml"


def agent_program():
    """The agent under test: beside the server, or where `BAILIWICK_AGENT_BIN` says."""
    return pathlib.Path(os.environ.get("BAILIWICK_AGENT_BIN", program().with_name("bailiwick-agent"))).resolve()


def agent_with_test_clock():
    """The same, built so that `BAILIWICK_TEST_NOW` tells it the time; `BAILIWICK_AGENT_TEST_CLOCK_BIN` names one elsewhere."""
    beside = program().with_name("bailiwick-agent-test-clock")
    return pathlib.Path(os.environ.get("BAILIWICK_AGENT_TEST_CLOCK_BIN", beside)).resolve()


def connector_reads_pods(api_server, verb, folder):
    """Applies or deletes the connector's manifest for pod identity, as the cluster's operator."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(api_server.kubeconfig, encoding="utf-8")
    command = ["kubectl", f"--kubeconfig={kubeconfig}", verb, "-f", MANIFEST]
    subprocess.run(command, check=True, capture_output=True, env=clean_environment(HOME=str(folder)))


class Account:
    """A service account, perhaps with pods."""

    def __init__(self, kube, namespace, name=None):
        self.kube, self.namespace = kube, namespace
        self.name = name or f"sa-{secrets.token_hex(3)}"
        self.path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.create()

    def create(self):
        self.kube.create(self.path, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self.name}})

    def delete(self):
        self.kube.delete(f"{self.path}/{self.name}")

    def pod(self):
        """A pod of it on a node that there is not: no kubelet is needed for it to be there."""
        spec = {
            "serviceAccountName": self.name,
            "automountServiceAccountToken": False,
            "nodeName": "nowhere",
            "containers": [{"name": "c", "image": "none.invalid/none"}],
            "terminationGracePeriodSeconds": 0,
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{secrets.token_hex(4)}"}, "spec": spec}
        return self.kube.create(f"/api/v1/namespaces/{self.namespace}/pods", pod)

    def delete_pod(self, pod):
        self.kube.delete(f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}")

    def token(self, pod=None, audience=AUDIENCE, seconds=3600):
        """A token as a projected volume has it."""
        spec = {"audiences": [audience], "expirationSeconds": seconds}
        if pod:
            names = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", **names}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return self.kube.create(f"{self.path}/{self.name}/token", request)["status"]["token"]


class NodeAgent:
    """`bailiwick-agent node` with the key of one cluster."""

    def __init__(self, base, cluster, key, binary=None, arguments=(), environment=None, listen="127.0.0.1:0"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bailiwick-agent-e2e-"))
        self.base, self.cluster = base, cluster
        self.binary, self.arguments = binary or agent_program(), list(arguments)
        self.environment, self.listen = environment or {}, listen
        self.write_key(key)
        self.process = self.address = self.status = None

    def write_key(self, key):
        for name in ("accessKeyId", "secretAccessKey"):
            (self.folder / name).write_text(key[name], encoding="utf-8")

    def start(self):
        command = [self.binary, "node", "--server", self.base, "--cluster", self.cluster, "--key-dir", self.folder]
        command += ["--listen", self.listen, "--status-listen", "127.0.0.1:0", *self.arguments]
        environment = clean_environment(HOME=self.folder, **self.environment)
        self.process = Process(command, log=self.folder / "log", env=environment, cwd=self.folder)
        self.address, self.status = self.process.wait_ready(self._announced, 15, "`agent.listening`")
        self.process.wait_ready(lambda: self.get("/readyz")[0] == 200, 15, "/readyz answers 200")
        return self

    def _announced(self):
        for line in self.process.output().splitlines():
            found = re.search(r"agent\.listening.*", line) and json.loads(line)["fields"]
            if found:
                return found["address"], found["status"]
        return None

    def get(self, path):
        """Status and text of the agent's own page."""
        connection = http.client.HTTPConnection(self.status, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name):
        """The value of one line of the metrics."""
        lines = self.get("/metrics")[1].splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"bailiwick_agent_{name} "))

    @property
    def url(self):
        return f"http://{self.address}/v1/credentials"

    def ask(self, token, timeout=6):
        """Status and JSON of one request as the SDK makes it."""
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            headers = {"Authorization": token, "Content-Type": "application/json"}
            connection.request("POST", "/v1/credentials", body="{}", headers=headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def stop(self):
        return self.process.stop() if self.process else None
