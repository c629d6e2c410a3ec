"""How a stranger installs and runs the server. What a machine without Docker, systemd and nodes can start is started:
the static program, its image, the compose file's server, the chart's container. The rest is read by the tool that it is
for. docs/install.md says which is which."""

import hashlib
import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile

import pytest
import yaml

from harness import helm
from harness.certificates import Authority
from harness.containers import Podman, as_root
from harness.postgres import Postgres
from harness.process import free_port, until
from harness.server import REPOSITORY, program
from harness.wire import Client

DEPLOY = REPOSITORY / "deploy"
UNIT = DEPLOY / "systemd/bailiwick.service"
MASTER_KEY = secrets.token_hex(32) + "\n"
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges")
BOOTSTRAP = {
    "ACCESS_KEY_ID": "AKDEPLOY",
    "SECRET_ACCESS_KEY": secrets.token_hex(20),
    "PROJECT_ID": secrets.token_hex(16),
}


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """What `make dist` makes of the program under test."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([REPOSITORY / "scripts/dist", program(), folder], check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="module")
def podman():
    running = Podman()
    yield running
    running.remove()


@pytest.fixture(scope="module")
def image(podman, dist):
    """The image of `make dist`, loaded. Answers its name."""
    (archive,) = dist.glob("*.image.tar")
    return podman.do("load", "--input", archive).strip().splitlines()[-1].split()[-1]


@pytest.fixture(scope="module")
def master_key(podman):
    """As systemd and Kubernetes hand secrets over: root's, and readable by the group of the service."""
    return podman.secret("master.key", MASTER_KEY, mode="440", owner="0:65532")


@pytest.fixture
def run(podman, image, tmp_path):
    """Runs the image until the test ends, on a port of its own. Answers the process and the address once ready."""
    started = []

    def start(*options, environment=None, arguments=(), scheme="http", authority=None):
        port = free_port()
        values = {"LISTEN": f"127.0.0.1:{port}", **{f"BOOTSTRAP_{name}": value for name, value in BOOTSTRAP.items()}}
        values.update(environment or {})
        variables = [word for name, value in values.items() for word in ("--env", f"BAILIWICK_{name}={value}")]
        process = podman.start("--network", "host", *options, *variables, image, *arguments, log=tmp_path / "log")
        started.append(process)
        base = f"{scheme}://127.0.0.1:{port}"
        flags = ["--ca-file", authority] if authority else []
        process.wait_ready(lambda: asked(f"{scheme}://localhost:{port}", *flags).returncode == 0, 30, "it is healthy")
        return process, base

    yield start
    for process in started:
        process.stop()


def asked(server, *flags):
    """`bailiwick health` of a server."""
    command = [program(), "health", "--server", server, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def as_root_user(base):
    return Client(base, BOOTSTRAP["ACCESS_KEY_ID"], BOOTSTRAP["SECRET_ACCESS_KEY"], BOOTSTRAP["PROJECT_ID"])


# --- the program ----------------------------------------------------------------------------------------------------


def test_the_program_needs_no_library_of_the_machine():
    headers = subprocess.run(
        ["readelf", "--wide", "--program-headers", "--dynamic", program()],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert "LOAD" in headers
    assert "INTERP" not in headers and "NEEDED" not in headers, f"build it by `make static`:\n{headers}"


def test_names_are_looked_up_without_the_machines_modules(podman, image, tmp_path, bailiwick):
    """A module of another glibc than the one inside would kill the program, so it must not be asked even if it is all
    that the machine names."""
    switch = tmp_path / "nsswitch.conf"
    switch.write_text("hosts: myhostname\npasswd: systemd\n", encoding="utf-8")
    port = bailiwick.base.rsplit(":", 1)[1]
    options = ["--network", "host", "--add-host", "access.example:127.0.0.1"]
    options += ["--volume", f"{switch}:/etc/nsswitch.conf:ro"]
    said = podman.do("run", "--rm", *options, image, "health", "--server", f"http://access.example:{port}")
    assert said == "ok\n"


def test_the_archive_holds_the_program_with_its_licences_and_its_sums_are_right(dist):
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        held = {name.split("/", 1)[1]: tar.extractfile(name).read() for name in tar.getnames()}
    assert set(held) == {"bailiwick", "bailiwick-agent", "LICENSE", "NOTICES", "bailiwick.service"}
    assert held["bailiwick"] == program().read_bytes()
    notices = held["NOTICES"].decode()
    for part in ("  ring ", "  tokio ", "Permission is hereby granted", "GNU C Library"):
        assert part in notices, part
    sums = dict(reversed(line.split()) for line in (dist / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    packed = [file for file in dist.iterdir() if file.name != "SHA256SUMS"]
    assert sums == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in packed}
    assert len(packed) == 2


def test_the_same_program_packed_twice_is_the_same_to_the_byte(dist, tmp_path):
    subprocess.run([REPOSITORY / "scripts/dist", program(), tmp_path], check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "SHA256SUMS").read_bytes() == (dist / "SHA256SUMS").read_bytes()


# --- the image ------------------------------------------------------------------------------------------------------


def test_the_image_serves_as_nobody_with_nothing_and_ends_when_told(run, podman, master_key):
    name = f"bailiwick-{secrets.token_hex(4)}"
    process, base = run(
        *HARDENED,
        "--name",
        name,
        "--volume",
        f"{master_key}:/run/secrets/master.key:ro",
        environment={"MASTER_KEY_FILE": "/run/secrets/master.key", "SERVER": "http://127.0.0.1:1"},
    )
    client = as_root_user(base)
    user = client.call("POST", "/bailiwick/v1/users", {"name": "ada"}, status=201)["id"]
    assert client.call("GET", f"/bailiwick/v1/users/{user}")["name"] == "ada"
    status = podman.do("exec", name, "/bailiwick", "health", "--server", base)
    assert status == "ok\n"
    assert podman.attempt("exec", name, "/bailiwick", "health").returncode == 1, "nobody answers on port 1"
    pid = podman.do("inspect", name, "--format", "{{.State.Pid}}").strip()
    status = dict(re.findall(r"^(\w+):\t(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.M))
    assert status["Uid"].split() == ["65532"] * 4
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, 0, "1")
    assert process.stop() == 0
    assert "told to stop" in process.output()


def test_the_image_refuses_to_serve_the_network_without_tls_until_it_is_told_to(podman, image):
    done = podman.attempt("run", "--rm", "--network", "none", image)
    assert done.returncode == 1 and "without TLS" in done.stderr, done.stderr


def test_a_key_that_was_handed_over_to_everybody_is_refused(podman, image):
    key = podman.secret("open.key", MASTER_KEY, mode="444", owner="0:0")
    settings = {"BAILIWICK_MASTER_KEY_FILE": "/run/secrets/master.key", "BAILIWICK_LISTEN": "127.0.0.1:8470"}
    options = ["--network", "none", "--volume", f"{key}:/run/secrets/master.key:ro"]
    options += [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
    done = podman.attempt("run", "--rm", *options, image)
    assert done.returncode == 1 and "can be read by others" in done.stderr, done.stderr


def test_the_dockerfile_makes_the_same_image(podman, image, dist, tmp_path):
    """Its last stage, with the files of the archive in place of the first stage, which compiles."""
    (archive,) = dist.glob("*.tar.gz")
    out = tmp_path / "out"
    documents = out / "root/usr/share/doc/bailiwick"
    for folder in (documents, out / "root/etc", out / "root/tmp", tmp_path / "unpacked"):
        folder.mkdir(parents=True)
    (out / "root/tmp").chmod(0o1777)
    for name in ("data", "seen"):
        (out / "owned" / name).mkdir(parents=True, mode=0o700)
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    for name in ("bailiwick", "bailiwick-agent"):
        (unpacked / name).rename(out / "root" / name)
    for name in ("LICENSE", "NOTICES"):
        (unpacked / name).rename(documents / name)
    dockerfile = DEPLOY / "container/Dockerfile"
    for line in re.findall(r"printf '(.*)' > (\S+)", dockerfile.read_text(encoding="utf-8")):
        (tmp_path / line[1].lstrip("/")).write_text(line[0].replace("\\n", "\n"), encoding="utf-8")
    podman.do(
        "build",
        *("--isolation", "chroot", "--format", "docker", "--build-context", f"build={tmp_path}"),
        *("--tag", "built", "--file", dockerfile, tmp_path),
    )
    built, made = podman.inspect("built"), podman.inspect(image)
    for key in ("User", "Entrypoint", "Cmd", "Env", "ExposedPorts", "Volumes", "WorkingDir"):
        assert built["Config"][key] == made["Config"][key], key
    # The tool that loads an archive may leave out what the standard does not know: it is read from the archive.
    assert built["Healthcheck"].items() >= saved_config(dist)["Healthcheck"].items()
    assert tree(podman, "built", tmp_path) == tree(podman, image, tmp_path)


def test_a_build_of_the_image_is_given_its_sources_and_no_secret_that_lies_beside_them(podman, tmp_path):
    listed = subprocess.run(
        ["git", "ls-files"], check=True, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()
    needed = ("Cargo.", "LICENSE", "Makefile", "benches/", "crates/", "deploy/connector/", "scripts/")
    secret = ["master.key", "bootstrap.env", "recovered.env", "bailiwick-data/bailiwick.db", "backup.dump"]
    secret += ["deploy/compose/secrets/master.key", "deploy/compose/secrets/pgpass", "crates/bailiwick/master.key"]
    for name in listed + secret:
        (tmp_path / "context" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "context" / name).touch()
    (tmp_path / "context/.dockerignore").write_bytes((REPOSITORY / ".dockerignore").read_bytes())
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")
    build = ("--isolation", "chroot", "--format", "docker", "--tag", "context", "--file", tmp_path / "Dockerfile")
    podman.do("build", *build, tmp_path / "context")
    podman.do("create", "--name", "context", "context", "/none")
    podman.do("export", "--output", tmp_path / "context.tar", "context")
    with tarfile.open(tmp_path / "context.tar") as tar:
        given = {entry.name for entry in tar if entry.isfile()}
    assert not given & set(secret)
    assert {name for name in listed if name.startswith(needed)} <= given
    assert not [name for name in given if name in listed and not name.startswith(needed)]


def saved_config(dist):
    """The settings in an image's archive."""
    (archive,) = dist.glob("*.image.tar")
    with tarfile.open(archive) as tar:
        (saved,) = json.load(tar.extractfile("manifest.json"))
        return json.load(tar.extractfile(saved["Config"]))["config"]


def tree(podman, image, folder):
    """Everything in an image: kind, mode, owner and content by name."""
    name, out = f"tree-{secrets.token_hex(4)}", folder / f"{secrets.token_hex(4)}.tar"
    podman.do("create", "--name", name, image)
    podman.do("export", "--output", out, name)
    with tarfile.open(out) as tar:
        held = {
            entry.name: (entry.type, entry.mode, entry.uid, entry.isfile() and tar.extractfile(entry).read())
            for entry in tar
        }
    # What podman itself mounts on or adds.
    for name in ("proc", "dev", "sys", "run", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab"):
        held.pop(name, None)
    return {name: value for name, value in held.items() if not name.startswith(("run/", "dev/"))}


# --- compose --------------------------------------------------------------------------------------------------------


def test_the_compose_file_is_one_by_its_published_schema():
    tool = pathlib.Path(sys.executable).with_name("check-jsonschema")
    file = DEPLOY / "compose/compose.yaml"
    done = subprocess.run(
        [tool, "--builtin-schema", "vendor.compose-spec", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    published = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]["bailiwick"]["ports"]
    assert published == ["127.0.0.1:8470:8470"], "without TLS it is published on loopback alone"


def test_the_compose_files_server_runs_on_a_database_that_asks_for_its_password(podman, image, own_postgres, tmp_path):
    postgres, socket_folder = own_postgres
    password = secrets.token_hex(16)
    with_password(postgres, socket_folder, password)
    folder = tmp_path / "compose"
    folder.mkdir()
    (folder / "compose.yaml").write_bytes((DEPLOY / "compose/compose.yaml").read_bytes())
    as_root("mkdir", "--mode", "700", folder / "secrets")
    readme = (DEPLOY / "compose/README.md").read_text(encoding="utf-8")
    pgpass = re.search(r"^printf '(.*)%s\\n' .* > secrets/pgpass$", readme, re.MULTILINE)[1] + password + "\n"
    for name, text in (("master.key", MASTER_KEY), ("pgpass", pgpass), ("postgres-password", password)):
        as_root("mv", podman.secret(f"compose-{name}", text), folder / "secrets" / name)
    port = free_port()
    url = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))
    url = url["services"]["bailiwick"]["environment"]["BAILIWICK_DATABASE"]
    override = {
        "services": {
            "bailiwick": {
                "image": image,
                # Its port is asked on this machine.
                "network_mode": "host",
                "environment": {
                    "BAILIWICK_LISTEN": f"127.0.0.1:{port}",
                    "BAILIWICK_DATABASE": f"{url}&port={postgres.port}",
                },
            }
        },
        # The folder of the test's PostgreSQL, made as that of the image that the file names.
        "volumes": {"socket": {"driver_opts": {"type": "none", "o": "bind", "device": str(socket_folder)}}},
    }
    files = ["--file", folder / "compose.yaml", "--file", folder / "override.yaml"]
    host = "    network_mode: host\n"
    text = yaml.safe_dump(override).replace(host, f"{host}    ports: !reset\n")
    assert "!reset" in text
    (folder / "override.yaml").write_text(text, encoding="utf-8")
    compose = podman.command(pathlib.Path(sys.executable).with_name("podman-compose"), *files)
    try:
        up = [*compose, "up", "--detach", "--no-deps", "bailiwick"]
        done = subprocess.run(up, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        log = lambda: podman.attempt("logs", "bailiwick_bailiwick_1")  # noqa: E731
        until(lambda: asked(f"http://127.0.0.1:{port}").returncode == 0, 30, f"it is healthy: {log()}")
        pid = podman.do("inspect", "bailiwick_bailiwick_1", "--format", "{{.State.Pid}}").strip()
        for file in ("cmdline", "environ"):
            assert password.encode() not in as_root("cat", f"/proc/{pid}/{file}").encode(), f"in its {file}"
        assert password not in log().stdout + log().stderr
    finally:
        subprocess.run([*compose, "down", "--volumes", "--timeout", "5"], capture_output=True, timeout=120, check=False)


@pytest.fixture
def own_postgres():
    """A PostgreSQL, and the folder of its socket with the mode that the official image gives it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bailiwick-socket-"))
    as_root("chown", "postgres:postgres", folder)
    as_root("chmod", "3775", folder)
    running = Postgres(options=(f"unix_socket_directories={folder}",))
    yield running, folder
    running.stop()
    as_root("rm", "-rf", folder)


def with_password(postgres, socket_folder, password):
    """A user `bailiwick` of the database server who must give a password, and a database of the same name."""
    rules = pathlib.Path(postgres.data) / "pg_hba.conf"
    rule = "local all bailiwick scram-sha-256\n"
    rules.write_text(rule + rules.read_text(encoding="utf-8"), encoding="utf-8")
    for statement in (
        f"CREATE ROLE bailiwick LOGIN PASSWORD '{password}'",
        "CREATE DATABASE bailiwick OWNER bailiwick",
        "SELECT pg_reload_conf()",
    ):
        postgres.query("postgres", statement)
    database = f"postgres:///bailiwick?host={socket_folder}&user=bailiwick&port={postgres.port}"
    command = ["psql", "--no-password", "--dbname", database, "--command", "SELECT 1"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode != 0 and "password" in refused.stderr, "the database asks for the password"


# --- systemd --------------------------------------------------------------------------------------------------------


def test_the_unit_is_sound_and_hardly_exposed(tmp_path):
    file = tmp_path / "bailiwick.service"
    text = UNIT.read_text(encoding="utf-8")
    assert "/usr/local/bin/bailiwick" in text
    file.write_text(text.replace("/usr/local/bin/bailiwick", str(program())), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "bailiwick" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"more exposed than 1.5 of 10:\n{done.stdout}"


def system_calls(group):
    """The system calls of one of systemd's groups, groups in it resolved."""
    said = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", group], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = set()
    for word in (line.strip() for line in said.splitlines()[1:]):
        if word.startswith("@"):
            found |= system_calls(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def test_the_units_system_calls_are_enough(run, tmp_path, master_key, api_server):
    allowed = set()
    for line in re.findall("^SystemCallFilter=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE):
        if line.startswith("~"):
            allowed -= set().union(*map(system_calls, line[1:].split()))
        else:
            allowed |= set().union(*map(system_calls, line.split()))
    assert "read" in allowed and "mount" not in allowed and "setrlimit" not in allowed
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "syscalls": [{"names": sorted(allowed), "action": "SCMP_ACT_ALLOW"}],
    }
    file = tmp_path / "seccomp.json"
    file.write_text(json.dumps(profile), encoding="utf-8")
    process, base = run(
        *HARDENED,
        *("--security-opt", f"seccomp={file}", "--volume", f"{master_key}:/run/secrets/master.key:ro"),
        environment={"MASTER_KEY_FILE": "/run/secrets/master.key"},
    )
    client = as_root_user(base)
    client.call("POST", "/bailiwick/v1/users", {"name": "ada"}, status=201)
    cluster = {"name": "prod", "kubeconfig": api_server.kubeconfig}
    cluster = client.call("POST", "/bailiwick/v1/clusters", cluster, status=201)["id"]
    reached = lambda: client.call("GET", f"/bailiwick/v1/clusters/{cluster}")["state"] == "connected"  # noqa: E731
    until(reached, 30, "it works in a cluster")
    assert process.stop() == 0


def test_the_service_manager_is_told_when_it_is_ready_and_when_it_stops(new_server, tmp_path):
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(30)
        server = new_server().launch(NOTIFY_SOCKET=str(address))
        assert manager.recv(100) == b"READY=1\n"
        base = re.search(r"^listening on (\S+)$", server.process.output(), re.MULTILINE)[1]
        assert asked(base).stdout == "ok\n", "what was called ready is"
        assert server.stop() == 0
        assert manager.recv(100) == b"STOPPING=1\n"


# --- Kubernetes -----------------------------------------------------------------------------------------------------

SMALL = {"masterKey": {"existingSecret": "keys"}, "insecurePlainHttp": True}
LARGE = {
    "masterKey": {"existingSecret": "keys", "key": "bailiwick"},
    "database": {"existingSecret": "database", "caKey": "ca.crt"},
    "replicas": 3,
    "tls": {"existingSecret": "certificate"},
    "bootstrap": {"existingSecret": "first"},
    "config": "[clusters]\nallowed_networks = ['10.0.0.0/8']\n",
    "metrics": {"enabled": True},
    "networkPolicy": {
        "enabled": True,
        "from": [{"podSelector": {"matchLabels": {"app": "proxy"}}}],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
    },
    "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    "imagePullSecrets": [{"name": "registry"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
}


def test_the_chart_and_the_compose_file_name_the_programs_version():
    said = subprocess.run([program(), "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    chart = yaml.safe_load((DEPLOY / "helm/bailiwick/Chart.yaml").read_text(encoding="utf-8"))
    assert said.split() == ["bailiwick", chart["appVersion"]]
    compose = (DEPLOY / "compose/compose.yaml").read_text(encoding="utf-8")
    assert f"${{BAILIWICK_VERSION:-{chart['appVersion']}}}" in compose


@pytest.mark.parametrize("values", [SMALL, LARGE], ids=["small", "large"])
def test_helm_has_nothing_to_say_against_the_chart(values):
    report = helm.ask("lint", values=values)
    assert report["total_charts_linted"] == 1
    assert [one for one in report["messages"] if one["error"] != "icon is recommended"] == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"masterKey": {}}, "masterKey.existingSecret must name a Secret"),
        ({"insecurePlainHttp": False}, "give tls.existingSecret, or insecurePlainHttp=true"),
        ({"replicas": 2}, "replicas must be 1 with SQLite"),
        ({"replicaCount": 2}, "additional properties 'replicaCount' not allowed"),
        ({"service": {"port": "http"}}, "got string, want integer"),
        ({"metrics": {"enabled": True, "port": 8470}}, "metrics.port must not be 8470"),
    ],
)
def test_the_chart_refuses_what_would_not_run_and_says_why(change, reason):
    with pytest.raises(helm.Refused, match=re.escape(reason)):
        helm.ask("render", values={**SMALL, **change})


@pytest.fixture
def installed(api_server, kube):
    """Installs the chart by Helm in the real cluster. Answers its objects as the API server keeps them."""
    namespaces = []

    def install(values):
        namespace = f"access-{secrets.token_hex(4)}"
        helm.ask("install", values=values, kubeconfig=api_server.kubeconfig, namespace=namespace)
        namespaces.append(namespace)
        core, apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"
        return {
            "namespace": namespace,
            "deployment": kube.get(f"{apps}/deployments/access-bailiwick"),
            "config": kube.get(f"{core}/configmaps/access-bailiwick")["data"]["config.toml"],
            "services": kube.get(f"{core}/services")["items"],
            "claims": kube.get(f"{core}/persistentvolumeclaims")["items"],
            "policies": kube.get(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")["items"],
            "budgets": kube.get(f"/apis/policy/v1beta1/namespaces/{namespace}/poddisruptionbudgets")["items"],
        }

    yield install
    for namespace in namespaces:
        kube.delete(f"/api/v1/namespaces/{namespace}")


def test_the_api_server_takes_what_helm_makes_of_the_chart(installed, kube, api_server):
    small, large = installed(SMALL), installed(LARGE)
    counts = ("services", "claims", "policies", "budgets")
    assert [len(small[kind]) for kind in counts] == [1, 2, 0, 0]
    assert [len(large[kind]) for kind in counts] == [2, 0, 1, 1]
    assert small["deployment"]["spec"]["strategy"]["type"] == "Recreate"
    assert [rule["ports"][0]["port"] for rule in large["policies"][0]["spec"]["ingress"]] == ["api", "metrics"]
    for made in (small, large):
        pod = made["deployment"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        # What Kubernetes' profile `restricted` asks for.
        assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    helm.ask("uninstall", kubeconfig=api_server.kubeconfig, namespace=small["namespace"])
    claims = kube.get(f"/api/v1/namespaces/{small['namespace']}/persistentvolumeclaims")["items"]
    kept = sorted(one["metadata"]["name"] for one in claims)
    assert kept == ["access-bailiwick", "access-bailiwick-seen"], "the database outlives the release"


def volumes(podman, pod, container, objects):
    """The mounts of a container with the objects that they name, as the node would make them: secrets belong to root,
    the pod's group may read them, and volumes are the group's."""
    group = pod["securityContext"]["fsGroup"]
    of_pod = {one["name"]: one for one in pod["volumes"]}
    options = []
    for mount in container["volumeMounts"]:
        volume = of_pod[mount["name"]]
        folder = podman.folder / f"{mount['name']}-{secrets.token_hex(4)}"
        as_root("mkdir", "--mode", "1777", folder)
        if "secret" in volume:
            source = objects[volume["secret"]["secretName"]]
            items = volume["secret"].get("items") or [{"key": key, "path": key} for key in source]
            assert volume["secret"]["defaultMode"] == 0o400
            for item in items:
                text = source[item["key"]]
                as_root("mv", podman.secret(secrets.token_hex(8), text, "440", f"0:{group}"), folder / item["path"])
        elif "configMap" in volume:
            text = objects[volume["configMap"]["name"]]
            as_root("mv", podman.secret(secrets.token_hex(8), text, "644", f"0:{group}"), folder / "config.toml")
        else:
            as_root("chgrp", group, folder)
            as_root("chmod", "2775", folder)
        options += ["--volume", f"{folder}:{mount['mountPath']}:{'ro' if mount.get('readOnly') else 'rw'}"]
    return options


def start_container(podman, run, made, objects, port, **options):
    """Starts the container of a Deployment, with its arguments, environment, user and mounts."""
    pod = made["deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    values = {}
    for one in container["env"]:
        named = one.get("valueFrom", {}).get("secretKeyRef")
        values[one["name"]] = objects[named["name"]][named["key"]] if named else one["value"]
    for one in container.get("envFrom", []):
        values.update(objects[one["secretRef"]["name"]])
    assert values.pop("BAILIWICK_LISTEN") == "0.0.0.0:8470"
    if "BAILIWICK_METRICS_LISTEN" in values:
        values["BAILIWICK_METRICS_LISTEN"] = f"127.0.0.1:{port}"
    context = pod["securityContext"]
    others = [word for name in list(values) if name.startswith("PG") for word in ("--env", f"{name}={values.pop(name)}")]
    return run(
        *others,
        *("--user", f"{context['runAsUser']}:{context['runAsGroup']}", "--group-add", context["fsGroup"]),
        *("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
        *volumes(podman, pod, container, {**objects, "access-bailiwick": made["config"]}),
        environment={name.removeprefix("BAILIWICK_"): value for name, value in values.items()},
        arguments=container["args"],
        **options,
    )


def test_the_charts_container_runs_with_an_embedded_database(installed, podman, run):
    _, base = start_container(podman, run, installed(SMALL), {"keys": {"master.key": MASTER_KEY}}, 0)
    as_root_user(base).call("POST", "/bailiwick/v1/users", {"name": "ada"}, status=201)


@pytest.fixture
def tls_postgres(tmp_path):
    """A PostgreSQL with a certificate of an authority of its own."""
    authority = Authority(str(tmp_path))
    certificate, key = authority.server("db")
    if os.geteuid() == 0:
        # PostgreSQL runs as another user, who must be able to come here.
        for folder in (tmp_path, *tmp_path.parents):
            if "pytest" in str(folder):
                folder.chmod(0o755)
        shutil.chown(key, "postgres")
    pathlib.Path(key).chmod(0o600)
    running = Postgres(options=("ssl=on", f"ssl_cert_file={certificate}", f"ssl_key_file={key}"))
    yield running, authority
    running.stop()


def test_the_charts_container_runs_with_tls_metrics_and_postgresql(installed, podman, run, tls_postgres):
    postgres, authority = tls_postgres
    certificate, key = authority.server("localhost")
    database = postgres.create_database(f"chart_{secrets.token_hex(4)}")
    first = {f"BAILIWICK_BOOTSTRAP_{name}": value for name, value in BOOTSTRAP.items()}
    objects = {
        "keys": {"bailiwick": MASTER_KEY},
        "database": {
            "url": f"{database}?sslmode=verify-full",
            "ca.crt": pathlib.Path(authority.certificate).read_text(encoding="utf-8"),
        },
        "certificate": {
            "tls.crt": pathlib.Path(certificate).read_text(encoding="utf-8"),
            "tls.key": pathlib.Path(key).read_text(encoding="utf-8"),
        },
        "first": first,
    }
    port = free_port()
    process, _ = start_container(
        podman, run, installed(LARGE), objects, port, scheme="https", authority=authority.certificate
    )
    with socket.create_connection(("127.0.0.1", port), timeout=5) as metrics:
        metrics.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: metrics.recv(65536), b""))
    assert b"bailiwick_database_up 1" in answer
    logged = [line for line in process.output().splitlines() if not line.startswith("listening on ")]
    assert logged and all(json.loads(line)["level"] for line in logged), "the log is JSON"
