"""The agent's webhook as a process beside a real API server, with no more rights there than its manifests give it."""

import base64
import pathlib
import shutil
import signal
import tempfile
import urllib.request

import yaml

from harness.apiserver import REPOSITORY
from harness.process import Ended, Process, clean_environment, free_port, until
from harness.server import program

SYSTEM = "bailiwick-pod-identity"
NAME = "bailiwick-pod-identity"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
URI = "http://169.254.170.25:8471/v1/credentials"
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


def manifest(name, **filled):
    """The objects of a manifest of deploy/pod-identity."""
    text = (REPOSITORY / f"deploy/pod-identity/{name}.yaml").read_text(encoding="utf-8")
    for key, value in {"NAMESPACE": SYSTEM, "SERVER_CA": '""', "CLUSTER": '"none"', **filled}.items():
        text = text.replace("{" + key + "}", value)
    return list(yaml.safe_load_all(text))


def call(server, method, path, body=None, status=200):
    return server.client().call(method, f"/bailiwick/v1{path}", body, status=status)


class Webhook:
    """What `install` makes, without what a kubelet would have to run; and the program itself, on this machine."""

    def __init__(self, server, api_server, cluster, *flags):
        self.server, self.api_server, self.cluster, self.flags = server, api_server, cluster, flags
        self.kube = api_server.client()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bailiwick-webhook-"))
        self.process = None

    def prepare(self):
        """The namespace, the rights, and the keys; the webhook's own is the keeper's."""
        made = call(self.server, "POST", f"/clusters/{self.cluster}/pod-identity/agent", {}, status=201)
        key = made["keeper"]
        encoded = {}
        for prefix, one in (("", made), ("KEEPER_", key)):
            for name, field in KEY_FIELDS.items():
                encoded[prefix + name] = base64.b64encode(one[field].encode()).decode()
        for thing in manifest("base") + manifest("key", **encoded):
            path = PATHS[thing["kind"]].format(SYSTEM)
            self.kube.apply(f"{path}/{thing['metadata']['name']}", thing)
        return self._credentials(key)

    def run_with(self, key):
        """Starts it with a key, where everything else was installed by somebody else."""
        return self._credentials(key).start()

    def _credentials(self, key):
        for field in KEY_FIELDS.values():
            (self.folder / field).write_text(key[field], encoding="utf-8")
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
        path = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/bailiwick-webhook/token"
        (self.folder / "token").write_text(self.kube.create(path, request)["status"]["token"], encoding="utf-8")
        return self

    def start(self):
        for attempt in range(3):
            self.port, self.observed = free_port(), free_port()
            try:
                return self._start()
            except Ended:
                if attempt == 2:
                    raise

    def _start(self):
        self.process = Process(
            [
                program().with_name("bailiwick-agent"),
                "webhook",
                f"--server={self.server.base}",
                f"--cluster={self.cluster}",
                f"--key-dir={self.folder}",
                f"--api-server={self.api_server.url}",
                f"--api-ca={self.api_server.authority.certificate}",
                f"--api-token={self.folder / 'token'}",
                f"--listen=127.0.0.1:{self.port}",
                f"--observe=127.0.0.1:{self.observed}",
                "--name=127.0.0.1",
                *([] if any(flag.startswith("--direct-url=") for flag in self.flags) else [f"--credentials-uri={URI}"]),
                *self.flags,
            ],
            log=self.folder / "log",
            env=clean_environment(),
        )
        self.process.wait_ready(lambda: self.get("/readyz") == "ok\n", 20, "the webhook is ready")
        return self

    def configure(self):
        """Applies the configuration as it is shipped, but for where the webhook is, and waits until it is believed."""
        (configuration,) = manifest("configuration")
        for webhook in configuration["webhooks"]:
            path = webhook["clientConfig"]["service"]["path"]
            webhook["clientConfig"] = {"url": f"https://127.0.0.1:{self.port}{path}"}
        self.kube.apply(f"{CONFIGURATIONS}/{NAME}", configuration)
        until(lambda: all(self.bundles()), 15, "the webhook says who vouches for it")
        return self

    def bundles(self):
        webhooks = self.kube.get(f"{CONFIGURATIONS}/{NAME}")["webhooks"]
        return [webhook["clientConfig"].get("caBundle") for webhook in webhooks]

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.observed}{path}", timeout=5) as answer:
            return answer.read().decode()

    def metric(self, name):
        lines = self.get("/metrics").splitlines()
        return next(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " "))

    def stop(self):
        if self.process:
            # By SIGTERM it would go on answering for a while.
            self.process.stop(timeout=10, by=signal.SIGINT)
            self.process = None

    def remove(self):
        """Whatever happened: the API server of others must not go on asking a webhook that is not there."""
        self.kube.delete(f"{CONFIGURATIONS}/{NAME}")
        self.stop()
        for kind in ("ClusterRoleBinding", "ClusterRole"):
            self.kube.delete(f"{PATHS[kind]}/bailiwick:pod-identity-webhook")
        self.kube.delete(f"/api/v1/namespaces/{SYSTEM}")
        until(lambda: self.kube.request("GET", f"/api/v1/namespaces/{SYSTEM}")[0] == 404, 30, "the namespace is gone")
        shutil.rmtree(self.folder, ignore_errors=True)


KEY_FIELDS = {"ACCESS_KEY_ID": "accessKeyId", "SECRET_ACCESS_KEY": "secretAccessKey"}
