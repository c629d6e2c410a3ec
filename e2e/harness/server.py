"""The real `bailiwick` binary: as a server with folders of its own, and as the command line of people."""

import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import tempfile
import urllib.request

from harness.kube import path_of
from harness.process import Process, clean_environment, until
from harness.sdk import AccessPolicies, cce_client
from harness.wire import Client

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def program():
    """The binary under test; `BAILIWICK_BIN` names another one."""
    target = os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")
    return pathlib.Path(os.environ.get("BAILIWICK_BIN", pathlib.Path(target) / "release/bailiwick")).resolve()


def program_with_test_clock():
    """The same program, built so that `BAILIWICK_TEST_NOW` tells it the time: `scripts/test-clock` puts it beside the other;
    `BAILIWICK_TEST_CLOCK_BIN` names one elsewhere."""
    beside = program().with_name("bailiwick-test-clock")
    return pathlib.Path(os.environ.get("BAILIWICK_TEST_CLOCK_BIN", beside)).resolve()


LIVE = []
"""Every server that was launched and not stopped: a failing test shows the end of their logs."""


class Server:
    """One installation: folders, first account, and the process while it runs."""

    def __init__(
        self, database=None, config="", arguments=("--listen", "127.0.0.1:0"), environment=None, bootstrap=True
    ):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bailiwick-e2e-"))
        self.data = self.folder / "data"
        self.home = self.folder / "home"
        self.home.mkdir()
        self.log = self.folder / "log"
        self.database, self.config, self.arguments = database, config, list(arguments)
        self.account, self.project, self.root = (secrets.token_hex(16) for _ in range(3))
        self.project_name = f"region-{secrets.token_hex(4)}"
        self.user_name = f"root-{secrets.token_hex(4)}"
        self.password = f"Pw-{secrets.token_hex(12)}"
        self.key_id = f"AK{secrets.token_hex(9).upper()}"
        self.secret = secrets.token_hex(20)
        self.environment = self._bootstrap() if bootstrap else {}
        self.environment.update(environment or {})
        self.clusters = []
        self.binary = program()
        self.process = self.base = None

    def _bootstrap(self):
        values = {
            "ACCOUNT_ID": self.account,
            "PROJECT_ID": self.project,
            "PROJECT_NAME": self.project_name,
            "USER_ID": self.root,
            "USER_NAME": self.user_name,
            "PASSWORD": self.password,
            "ACCESS_KEY_ID": self.key_id,
            "SECRET_ACCESS_KEY": self.secret,
        }
        return {f"BAILIWICK_BOOTSTRAP_{name}": value for name, value in values.items()}

    def another(self):
        """A further server of this installation, which must have been started once: on the same database, with the
        same master key and credentials, and a data folder of its own."""
        key = {"BAILIWICK_MASTER_KEY_FILE": str(self.home / "config/bailiwick/master.key")}
        twin = Server(self.database, self.config, self.arguments, {**self.environment, **key}, bootstrap=False)
        for name in ("account", "project", "root", "project_name", "user_name", "password", "key_id", "secret"):
            setattr(twin, name, getattr(self, name))
        return twin

    # --- the process ------------------------------------------------------------------------------------------

    def _environment(self, **extra):
        # HOME and XDG_CONFIG_HOME are the installation's own: the master key lands there, not in the developer's home.
        return clean_environment(**{"HOME": self.home, "XDG_CONFIG_HOME": self.home / "config", **extra})

    def launch(self, umask=None, **environment):
        """Starts the process without waiting for anything."""
        command = [self.binary, "serve", "--data-dir", self.data, *self.arguments]
        if self.database:
            command += ["--database", self.database]
        if self.config:
            path = self.folder / "config.toml"
            path.write_text(self.config, encoding="utf-8")
            command += ["--config", path]
        if umask is not None:
            command = ["sh", "-c", f'umask {umask:03o}; exec "$@"', "sh", *command]
        self.log.write_bytes(b"")
        self.process = Process(
            command, log=self.log, env=self._environment(**{**self.environment, **environment}), cwd=self.folder
        )
        if self not in LIVE:
            LIVE.append(self)
        return self

    def start(self, **options):
        """Starts the process and waits until it is ready for requests."""
        self.launch(**options)
        self.base = self.process.wait_ready(self._announced, 30, "`listening on …`")
        self.process.wait_ready(self.is_ready, 30, "/readyz answers 200")
        return self

    def _announced(self):
        found = re.search(r"^listening on (https?://\S+)$", self.process.output(), re.MULTILINE)
        return found and found[1]

    def is_ready(self):
        with urllib.request.urlopen(f"{self.base}/readyz", timeout=5) as answer:
            return answer.status == 200

    def refuses_to_start(self, timeout=15, **options):
        """Starts a process that must end by itself, with an error. Answers what it said."""
        self.launch(**options)
        until(lambda: not self.process.running(), timeout, "the server refuses to start and ends")
        said = self.process.output()
        assert self.process.popen.returncode not in (0, None, -11), f"ended well:\n{said}"
        return said

    def stop(self):
        """Ends the process; its folders stay. Answers its exit code."""
        if self in LIVE:
            LIVE.remove(self)
        return self.process.stop() if self.process else None

    def remove(self):
        """Ends the process and removes what it leaves: its folders, and its bindings, each of which would slow every
        later review of that cluster a little."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        for cluster, api_server in self.clusters:
            if api_server and api_server.api.running():
                kube = api_server.client()
                for label in ("cluster", "stamp-of"):
                    for binding in kube.bindings(f"bailiwick.dev/{label}={cluster}"):
                        kube.delete(path_of(binding))

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    # --- clients ----------------------------------------------------------------------------------------------

    def client(self, key=None):
        """A new connection that signs as the root user, or with another (key id, secret)."""
        key_id, secret = key or (self.key_id, self.secret)
        return Client(self.base, key_id, secret, None if key else self.project)

    def policies(self, key=None):
        """The official SDK's access policies, as the root user or with another (key id, secret)."""
        key_id, secret = key or (self.key_id, self.secret)
        return AccessPolicies(cce_client(self.base, key_id, secret, None if key else self.project))

    def run(self, *arguments, text="", key=None, env=None):
        """Runs the command line. Answers the completed process."""
        key_id, secret = key or (self.key_id, self.secret)
        env = {"BAILIWICK_ACCESS_KEY_ID": key_id, "BAILIWICK_SECRET_ACCESS_KEY": secret, **(env or {})}
        if self.base:
            env["BAILIWICK_SERVER"] = self.base
        return subprocess.run(
            [program(), *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            env=self._environment(**env),
            cwd=self.folder,
            check=False,
        )

    def do(self, *arguments, **options):
        """Runs a command that must succeed. Answers what it printed."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, f"{' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def cli(self, *arguments, **options):
        """Runs a command that must succeed, with JSON output. Answers the parsed output."""
        return json.loads(self.do(*arguments, "-o", "json", **options))

    # --- things -----------------------------------------------------------------------------------------------

    def add_cluster(self, api_server=None, name=None, kubeconfig=None):
        """Registers a cluster by the command line and waits until it is connected. Answers its id.

        An API server is registered as its operator would: with the base connector's own token and no stronger one. A
        `kubeconfig` is uploaded as it is; with neither, the cluster is detached.
        """
        if api_server and not kubeconfig:
            return self.add_cluster_by_context(api_server, name=name)
        name = name or f"cluster-{secrets.token_hex(3)}"
        arguments = ["cluster", "add", name]
        if kubeconfig:
            file = self.folder / f"{name}.kubeconfig"
            file.write_text(kubeconfig, encoding="utf-8")
            arguments += ["--kubeconfig", file]
        cluster = self.cli(*arguments)["id"]
        return self._until_connected(cluster, api_server)

    def add_cluster_as_root(self, api_server):
        """Registers a cluster with a credential that may do everything there. Answers its id."""
        return self.add_cluster(api_server, kubeconfig=api_server.kubeconfig)

    def add_cluster_by_context(self, api_server, *arguments, name=None, env=None):
        """Registers a cluster as its operator would: by a context of their own kubeconfig. Answers its id."""
        file = self.folder / "operator.kubeconfig"
        file.write_text(api_server.kubeconfig, encoding="utf-8")
        name = name or f"cluster-{secrets.token_hex(3)}"
        env = {"KUBECONFIG": str(file), **(env or {})}
        cluster = self.cli("cluster", "add", name, "--context", "e2e", *arguments, env=env)["id"]
        return self._until_connected(cluster, api_server)

    def _until_connected(self, cluster, api_server):
        self.clusters.append((cluster, api_server))
        if api_server:
            until(lambda: self.cluster(cluster)["state"] == "connected", 30, f"cluster {cluster} is connected")
        return cluster

    def cluster(self, cluster):
        return self.client().call("GET", f"/bailiwick/v1/clusters/{cluster}")

    def add_user(self, name=None, user_id=None):
        return self._add("users", name, user_id)

    def add_group(self, *members, name=None, group_id=None):
        group = self._add("groups", name, group_id)
        for member in members:
            self.client().call("PUT", f"/bailiwick/v1/groups/{group}/members/{member}")
        return group

    def add_agency(self, name=None, agency_id=None):
        return self._add("agencies", name, agency_id)

    def _add(self, noun, name, chosen):
        body = {"name": name or f"{noun[:-1]}-{secrets.token_hex(4)}"}
        if chosen:
            body["id"] = chosen
        return self.client().call("POST", f"/bailiwick/v1/{noun}", body, status=201)["id"]

    def add_key(self, user):
        """A new access key of `user`: (key id, secret)."""
        key = self.client().call("POST", "/bailiwick/v1/access-keys", {"user": user}, status=201)
        return key["accessKeyId"], key["secretAccessKey"]

    def grant(self, grant_id):
        """A grant with its states, by the native API."""
        return self.client().call("GET", f"/bailiwick/v1/grants/{grant_id}")

    def state(self, grant_id, cluster):
        """Where a grant stands in one cluster: its row of `states`."""
        return next(row for row in self.grant(grant_id)["states"] if row["clusterId"] == cluster)

    def until_state(self, grant_id, cluster, *states, timeout=15):
        """Waits until the state is one of `states` for the current generation. Answers the row."""

        def reached():
            grant = self.grant(grant_id)
            row = next(row for row in grant["states"] if row["clusterId"] == cluster)
            assert row["state"] in states and row["observedGeneration"] == grant["generation"], f"{row}"
            return row

        return until(reached, timeout, f"grant {grant_id} is {' or '.join(states)} in {cluster}")
