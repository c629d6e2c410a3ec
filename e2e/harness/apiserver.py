"""A real Kubernetes control plane without nodes: etcd, kube-apiserver, kube-controller-manager."""

import base64
import http.client
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile

import yaml

from harness.certificates import Authority
from harness.kube import Kube
from harness.process import Ended, Process, clean_environment, free_port, until

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CONTROLLERS = "clusterrole-aggregation,serviceaccount,serviceaccount-token,namespace,garbagecollector,csrsigning"


def programs():
    """The folder with kube-apiserver and kube-controller-manager; builds them when the cache is empty."""
    answer = subprocess.run([REPOSITORY / "scripts/build-kube"], check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(answer.stdout.strip().splitlines()[-1])


class ApiServer:
    """One cluster. `stop_api` and `start_api` play an outage: etcd keeps the objects, the port stays the same."""

    def __init__(self, bin_folder, *flags):
        self.bin, self.flags = bin_folder, flags
        self.folder = tempfile.mkdtemp(prefix="bailiwick-kube-")
        self.authority = Authority(self.folder)
        self.server_certificate = self.authority.server("kube-apiserver")
        self.service_account_key = self.authority.service_account_key()
        self.admin = self.authority.client("e2e-admin", "system:masters")
        self.etcd = self.api = self.manager = None
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        self._start_etcd()
        self._first_start_api()
        self.kubeconfig = self.kubeconfig_for("e2e-admin", self.admin)
        self._start_manager()
        until(self._default_roles_are_filled, 60, "the ClusterRoles admin, edit and view are filled")

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _start_etcd(self):
        for attempt in range(3):
            self.etcd_port, peers = free_port(), free_port()
            client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{peers}"
            self.etcd = Process(
                [
                    "etcd",
                    "--data-dir",
                    self._path(f"etcd-{attempt}"),
                    "--unsafe-no-fsync",
                    "--log-level=error",
                    "--listen-client-urls",
                    client,
                    "--advertise-client-urls",
                    client,
                    "--listen-peer-urls",
                    peer,
                    "--initial-advertise-peer-urls",
                    peer,
                    "--initial-cluster",
                    f"default={peer}",
                ],
                log=self._path("etcd.log"),
                env=clean_environment(ETCD_UNSUPPORTED_ARCH=""),
                cwd=self.folder,
            )
            try:
                self.etcd.wait_ready(lambda: _port_answers(self.etcd_port), 20, "etcd answers")
                return
            except Ended:
                if attempt == 2:
                    raise

    def _first_start_api(self):
        for attempt in range(3):
            self.port = free_port()
            try:
                self.start_api()
                return
            except Ended:
                if attempt == 2:
                    raise

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def start_api(self):
        """Starts the API server on its port and waits until it is ready."""
        certificate, key = self.server_certificate
        self.api = Process(
            [
                self.bin / "kube-apiserver",
                f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={self.port}",
                "--endpoint-reconciler-type=none",
                "--authorization-mode=RBAC",
                "--anonymous-auth=false",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
                f"--client-ca-file={self.authority.certificate}",
                f"--cert-dir={self._path('certs')}",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--api-audiences=https://kubernetes.default.svc",
                f"--service-account-signing-key-file={self.service_account_key}",
                f"--service-account-key-file={self.service_account_key}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--max-requests-inflight=1000",
                "--max-mutating-requests-inflight=500",
                "--profiling=false",
                "--v=1",
                *self.flags,
            ],
            log=self._path("kube-apiserver.log"),
            env=clean_environment(),
            cwd=self.folder,
        )
        self.api.wait_ready(lambda: self.client().get("/readyz", raw=True) == b"ok", 60, "kube-apiserver is ready")

    def stop_api(self):
        """Ends the API server at once, as a crash would: connections break, nothing is drained."""
        self.api.popen.kill()
        self.api.popen.wait()

    def _start_manager(self):
        config = self._path("manager.kubeconfig")
        with open(config, "w", encoding="utf-8") as out:
            out.write(self.kubeconfig)
        # Port 0 twice: it serves nothing, so any number of them fit on one machine.
        self.manager = Process(
            [
                self.bin / "kube-controller-manager",
                f"--kubeconfig={config}",
                f"--controllers={CONTROLLERS}",
                "--leader-elect=false",
                "--port=0",
                "--secure-port=0",
                f"--service-account-private-key-file={self.service_account_key}",
                f"--root-ca-file={self.authority.certificate}",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
                f"--cluster-signing-cert-file={self.authority.certificate}",
                f"--cluster-signing-key-file={self.authority.key}",
            ],
            log=self._path("kube-controller-manager.log"),
            env=clean_environment(),
            cwd=self.folder,
        )

    def _default_roles_are_filled(self):
        kube = self.client()
        names = ("admin", "edit", "view")
        roles = [kube.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}") for name in names]
        return self.manager.running() and all(role.get("rules") for role in roles)

    def client(self):
        """A new connection as administrator."""
        return Kube(self.port, self._tls(self.admin))

    def client_as(self, user):
        """A new connection with a real certificate of `user`."""
        return Kube(self.port, self._tls(self.authority.client(user)))

    def client_with_token(self, token):
        """A new connection with a bearer token and nothing else."""
        return Kube(self.port, self._tls(), token)

    def _tls(self, identity=None):
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if identity:
            context.load_cert_chain(*identity)
        return context

    def kubeconfig_for(self, user, identity=None):
        """A kubeconfig with everything embedded, as people have it."""
        certificate, key = identity or self.authority.client(user)
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "e2e",
                "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": user}}],
                "clusters": [
                    {
                        "name": "e2e",
                        "cluster": {
                            "server": self.url,
                            "certificate-authority-data": _encoded(self.authority.certificate),
                        },
                    }
                ],
                "users": [
                    {
                        "name": user,
                        "user": {"client-certificate-data": _encoded(certificate), "client-key-data": _encoded(key)},
                    }
                ],
            }
        )

    def stop(self):
        for process in (self.manager, self.api, self.etcd):
            if process:
                process.stop(timeout=1)
        shutil.rmtree(self.folder, ignore_errors=True)


def _encoded(path):
    return base64.b64encode(pathlib.Path(path).read_bytes()).decode()


def _port_answers(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/health")
        return b'"true"' in connection.getresponse().read()
    finally:
        connection.close()
